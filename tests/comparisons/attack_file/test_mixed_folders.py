"""`compare audit attack-file` on folders of which some images are something else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from he_compare.common.block_solving.reconstruct import Sureness
from he_compare.common.block_solving.tiles import cut, join
from he_compare.common.types import UInt8Array
from he_compare.comparisons.attack_file.attack_folder import attack_folder
from he_compare.comparisons.attack_file.judging import alike_inside, judged
from he_compare.comparisons.attack_file.writing import FolderAttack, State
from tests.support.smoothimages import scrambled, smooth_images

SIDE = 64


def attacked(folder: Path, images: UInt8Array, patch: int | None = None) -> FolderAttack:
    folder.mkdir(parents=True)
    for number, image in enumerate(images):
        Image.fromarray(image[:, :, 0]).save(folder / f"{number:02}.png")
    return attack_folder(folder, patch, None, lambda what, done, total: None)


def noise(count: int, side: int = SIDE) -> UInt8Array:
    return np.random.default_rng(5).integers(0, 256, (count, side, side, 1), dtype=np.uint8)


def moved(images: UInt8Array, patch: int, order: list[int] | None = None) -> UInt8Array:
    """The blocks of every image in an order, by default one of its own for each image."""
    random = np.random.default_rng(7)
    rows, columns = images.shape[1] // patch, images.shape[2] // patch
    orders = [random.permutation(rows * columns) if order is None else order for _ in images]
    blocks = cut(images, patch)
    laid = np.stack([one[chosen] for one, chosen in zip(blocks, orders, strict=True)])
    return join(laid, rows, columns, 1)


def test_noise_among_pictures_is_counted_and_the_folder_is_not_said_to_be_unscrambled(
    tmp_path: Path,
) -> None:
    done = attacked(tmp_path / "in", np.concatenate([smooth_images(14, SIDE), noise(6)]))
    assert done.state is State.PARTLY
    assert "14 sure, 6 show nothing" in done.lines[0]
    assert done.each == [Sureness.SURE] * 14 + [Sureness.NOTHING] * 6
    assert done.report()["sureness_of_each"]["19.png"] == "no structure found"


def test_noise_beyond_the_images_learnt_from_is_found_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "he_compare.comparisons.attack_file.attack_folder.LEARNT_FROM"
    monkeypatch.setattr(module, 5)
    images = smooth_images(17, SIDE)
    # Images 0, 4, 8, 12 and 16 are learnt from.
    images[[3, 9]] = noise(2)
    done = attacked(tmp_path / "in", images)
    assert done.state is State.PARTLY and "15 sure, 2 show nothing" in done.lines[0]


def test_moved_blocks_of_few_images_among_many_are_seen(tmp_path: Path) -> None:
    images = smooth_images(20, SIDE)
    images[7:8] = moved(images[7:8], 8)
    done = attacked(tmp_path / "in", images)
    assert done.state is State.PARTLY and done.each[7] is not Sureness.SURE
    assert done.each.count(Sureness.SURE) == 19


def test_scrambled_images_among_those_solved_alone_are_not_said_to_be_unscrambled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from he_compare.comparisons.attack_file import readers

    own = [one for one in readers.READERS if one.name == "a key for each image"]
    monkeypatch.setattr(readers, "READERS", own)
    images = smooth_images(9, SIDE)
    images[[1, 5, 6]] = moved(images[[1, 5, 6]], 8)  # 0, 4 and 8 are tried first
    done = attacked(tmp_path / "in", images, patch=8)
    assert done.state is not State.NOT_SCRAMBLED and done.scrambled
    assert "blocks moved" in done.lines[0]
    assert "6 of them show no scrambling" in done.lines[0]


@pytest.mark.parametrize("kind", ["noise", "another key"])
def test_a_key_that_does_not_fit_some_images_is_not_sure_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    module = "he_compare.comparisons.attack_file.attack_folder.LEARNT_FROM"
    monkeypatch.setattr(module, 5)
    images = smooth_images(17, SIDE)
    hidden = scrambled(images, 8, seed=1, negate=True).images
    others = scrambled(images[[3, 9]], 8, seed=2, negate=True).images
    hidden[[3, 9]] = noise(2) if kind == "noise" else others
    done = attacked(tmp_path / "in", hidden, patch=8)
    assert done.state is State.PARTLY and done.keys == "one for all images"
    assert "(15 sure, " in done.lines[0]
    assert Sureness.SURE not in (done.each[3], done.each[9])
    if kind == "noise":
        assert "2 show nothing" in done.lines[0]


@pytest.mark.parametrize("order", [[3, 2, 1, 0], [1, 0, 3, 2], [1, 3, 0, 2]])
def test_four_blocks_in_turned_order_were_moved(tmp_path: Path, order: list[int]) -> None:
    images = smooth_images(12, 112)
    done = attacked(tmp_path / "in", moved(images, 56, order), patch=56)
    assert (done.state, done.found) == (State.READ, "blocks moved")
    assert "no blocks" not in done.lines[0]


def test_turned_pictures_whose_values_moved_inside_blocks_are_not_said_to_have_moved_blocks(
    tmp_path: Path,
) -> None:
    # The order inside blocks is known up to a turn, and that of blocks has to be turned with it.
    images = smooth_images(16, SIDE)
    values = np.random.default_rng(2).permutation(64)
    done = attacked(tmp_path / "in", join(cut(images, 8)[:, :, values], 8, 8, 1), patch=8)
    assert done.state is State.READ and done.found == "values moved inside blocks"


def test_single_pictures_are_told_from_noise_and_shuffled_blocks() -> None:
    pictures = smooth_images(1, SIDE)[..., 0]
    for patch in (2, 4, 8, 16):
        assert judged(pictures, patch, Sureness.SURE) == [Sureness.SURE]
        assert judged(pictures, patch, Sureness.PARTLY) == [Sureness.PARTLY]
        assert judged(noise(1)[..., 0], patch, Sureness.SURE) == [Sureness.NOTHING]
        others = moved(pictures[..., None], patch)[..., 0]
        assert judged(others, patch, Sureness.SURE) != [Sureness.SURE]
    assert alike_inside(np.full((1, 16, 16), 9, np.uint8), 8) == 0.0
