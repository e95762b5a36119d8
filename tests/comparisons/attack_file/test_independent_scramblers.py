"""`compare audit attack-file` on folders scrambled by somebody else's slow implementations."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from he_compare.common.block_solving.reconstruct import Sureness
from he_compare.common.similarity import ssim
from he_compare.common.types import UInt8Array
from he_compare.comparisons.attack_file.attack_folder import attack_folder
from he_compare.comparisons.attack_file.plain import looks_plain
from he_compare.comparisons.attack_file.readers import READERS, read_in_turn
from he_compare.comparisons.attack_file.reading_cases import Case, Reader, Reading
from he_compare.comparisons.attack_file.writing import FolderAttack, State
from he_compare.comparisons.attacks.tools.alignment import aligned_one_by_one, aligned_together
from he_compare.comparisons.attacks.tools.block_size import guess_block_size
from he_compare.comparisons.cli.app import app
from tests.support import slowscramblers as slow
from tests.support.smoothimages import smooth_images

SIDE = 96


def written(folder: Path, images: UInt8Array, ending: str = "png", **how: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images):
        picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
        picture.save(folder / f"{number:02d}.{ending}", **how)
    return folder


def attacked(folder: Path, patch: int | None = None) -> FolderAttack:
    return attack_folder(folder, patch, None, lambda what, done, total: None)


def alike(done: FolderAttack, images: UInt8Array) -> float:
    found = np.stack([np.asarray(Image.open(done.out / name)) for name in done.written])
    aligned = aligned_one_by_one if done.each else aligned_together
    return float(ssim(aligned(found, images)[..., None], images).mean())


@pytest.mark.parametrize(
    ("scrambler", "patch", "found"),
    [
        (slow.shf, 8, "values moved inside blocks"),
        (slow.negate, 8, "values negated inside blocks"),
        (slow.vit_block, 12, "values moved inside blocks; blocks moved"),
        (slow.shuffled_and_negated, 8, "values moved and negated inside blocks; blocks moved"),
        (slow.moved_only, 16, "blocks moved"),
        (slow.tanaka_le, 4, "4-bit halves of values moved inside blocks"),
        (slow.ffx, 4, "values replaced through a table, in place"),
        (slow.etc, 16, "each block turned or negated on its own; blocks moved"),
    ],
)
def test_what_it_claims_to_read_is_read(
    tmp_path: Path, scrambler: slow.Scrambler, patch: int, found: str
) -> None:
    images = smooth_images(8, SIDE)
    done = attacked(written(tmp_path / "in", slow.under(scrambler, images, patch, 1)))
    assert (done.patch, done.state, done.found) == (patch, State.READ, found)
    assert alike(done, images) > 0.9


@pytest.mark.parametrize("scrambler", [slow.vit_block, slow.etc])
def test_keys_for_each_image_are_read_one_by_one(tmp_path: Path, scrambler: slow.Scrambler) -> None:
    images = smooth_images(3, SIDE)
    hidden = slow.under(scrambler, images, 8, 2, per_image=True)
    done = attacked(written(tmp_path / "in", hidden))
    assert (done.patch, done.keys) == (8, "one for each image")
    assert done.state is not State.UNKNOWN and len(done.each) == 3


def test_negation_of_single_values_is_folded(tmp_path: Path) -> None:
    images = smooth_images(2, 64)
    hidden = slow.under(slow.pixel_np, images, 8, 3, per_image=True)
    done = attacked(written(tmp_path / "in", hidden))
    assert (done.state, done.keys) == (State.PARTLY, "none needed")
    assert "negated in place" in done.found
    pictures = np.stack([np.asarray(Image.open(done.out / name)) for name in done.written])
    assert np.array_equal(pictures, 2 * np.minimum(images, 255 - images)[..., 0])


def test_what_is_not_read_is_unknown_and_never_safe(tmp_path: Path) -> None:
    hidden = slow.under(slow.madono_ele, smooth_images(4, 64), 8, 4)
    done = attacked(written(tmp_path / "in", hidden), patch=8)
    told = "\n".join(done.lines)
    assert done.state is State.UNKNOWN
    assert "no evidence that the images are safe" in told and "--public FOLDER" in told


def test_jpeg_ciphertexts_are_read_and_the_loss_is_named(tmp_path: Path) -> None:
    images = smooth_images(8, SIDE)
    hidden = slow.under(slow.vit_block, images, 12, 5)
    done = attacked(written(tmp_path / "in", hidden, "jpg", quality=92))
    assert (done.patch, done.jpegs) == (12, 8)
    assert any(line.startswith("the files are JPEG") for line in done.lines)
    assert alike(done, images) > 0.8


def test_copies_that_jpeg_made_unequal_are_still_copies(tmp_path: Path) -> None:
    images = np.repeat(smooth_images(8, SIDE), 3, axis=3)
    hidden = slow.under(slow.vit_block, images, 8, 6)
    done = attacked(written(tmp_path / "in", hidden, "jpg", quality=98, subsampling=0))
    assert done.state is not State.UNKNOWN and done.patch == 8
    assert alike(done, images) > 0.8


def test_unscrambled_jpeg_files_are_not_scrambled(tmp_path: Path) -> None:
    done = attacked(written(tmp_path / "in", smooth_images(6, SIDE), "jpg", quality=40))
    assert done.state is State.NOT_SCRAMBLED
    assert done.lines[0].startswith("no scrambling that this command looks for was found")
    assert "no blocks" not in done.lines[0] and "blocks of 8 pixels" in done.lines[0]


def test_palettes_and_bitmaps_are_read_and_mixed_endings_too(tmp_path: Path) -> None:
    images = smooth_images(6, 64)
    hidden = slow.under(slow.vit_block, images, 8, 7)
    folder = written(tmp_path / "in", hidden[:5], "bmp")
    Image.fromarray(hidden[5, :, :, 0]).convert("P").save(folder / "05.png")
    done = attacked(folder)
    assert done.state is State.READ and alike(done, images) > 0.9


def test_json_on_the_terminal_says_all_and_unknown_has_its_exit_code(tmp_path: Path) -> None:
    noise = np.random.default_rng(8).integers(0, 256, (3, 64, 64, 1), dtype=np.uint8)
    call = ["audit", "attack-file", str(written(tmp_path / "in", noise)), "--quiet", "--json"]
    result = CliRunner().invoke(app, call)
    assert result.exit_code == 3
    report = json.loads(result.stdout)
    assert report["state"] == "unknown" and report["pictures"] == []
    assert report["patch_guess"]["patch"] is None
    assert {one["reader"] for one in report["tried"]} >= {"as they are", "one key", "folding"}
    read = slow.under(slow.vit_block, smooth_images(6, 64), 8, 9)
    call[2] = str(written(tmp_path / "read", read))
    result = CliRunner().invoke(app, call)
    assert result.exit_code == 0 and json.loads(result.stdout)["state"] == "read"


def test_readers_are_tried_in_turn_until_one_is_sure() -> None:
    def sure(case: Case) -> Reading:
        return Reading(Sureness.SURE, "found", "none", lambda more: (more[..., 0], []))

    def never(case: Case) -> Reading | None:
        raise AssertionError("tried after one was sure")

    readers = (
        Reader("asks", "a", never, lambda case: "something"),
        Reader("nothing", "b", lambda case: None, lambda case: ""),
        Reader("sure", "c", sure, lambda case: ""),
        Reader("late", "d", never, lambda case: ""),
    )
    tried = read_in_turn(Case(smooth_images(1, 32), None, None), readers)
    assert [one.reader.name for one in tried] == ["asks", "nothing", "sure"]
    assert tried[0].asked == "something" and tried[2].reading is not None


def test_blocks_that_show_clearly_are_never_called_unscrambled() -> None:
    for scrambler, patch in ((slow.tanaka_le, 4), (slow.shf, 4), (slow.negate, 16)):
        for seed in range(4):
            hidden = slow.under(scrambler, smooth_images(2, 64), patch, seed)
            guess = guess_block_size(hidden)
            assert not looks_plain(hidden, guess.patch, guess.share)[0]


def test_blocks_that_show_clearly_are_not_called_negated_in_place() -> None:
    hidden = slow.under(slow.pixel_np, smooth_images(4, 64), 8, 10)
    folding = next(one for one in READERS if one.name == "folding")
    found = folding.read(Case(hidden, None, None))
    assert found is not None and found.sureness is Sureness.PARTLY
    # Half of the variance explained by places: what negates single values leaves no such trace.
    assert folding.read(Case(hidden, 8, 8, share=0.5)) is None


@pytest.mark.parametrize(
    ("scrambler", "reader"),
    [
        (slow.tanaka_le, "nibble histories for each image"),
        (slow.ffx, "substitution for each image"),
    ],
)
def test_halves_and_tables_are_read_under_a_key_for_each_image(
    scrambler: slow.Scrambler, reader: str
) -> None:
    images = smooth_images(3, 64)
    hidden = slow.under(scrambler, images, 4, 11, per_image=True)
    found = next(one for one in READERS if one.name == reader).read(Case(hidden, 4, 4))
    assert found is not None and found.keys == "one for each image"
    assert found.sureness is not Sureness.NOTHING
    pictures, sureness = found.pictures(hidden)
    assert len(sureness) == 3 and sureness.count(Sureness.NOTHING) <= 1
    assert float(ssim(aligned_one_by_one(pictures, images)[..., None], images).mean()) > 0.8


def test_one_image_that_is_not_sure_claims_nothing_for_others() -> None:
    hidden = slow.under(slow.madono_ele, smooth_images(3, 64), 8, 12)
    for reader in READERS:
        if reader.name.endswith("for each image"):
            assert reader.read(Case(hidden, 8, 8)) is None


def test_means_of_blocks_alone_are_not_taken_for_a_table() -> None:
    images = smooth_images(6, 96)
    images[:, :, :32] = 0  # A black margin, as around a head: its blocks stay equal.
    substituted = next(one for one in READERS if one.name == "substitution")
    for patch in (8, 16):
        blocks = images.reshape(6, 96 // patch, patch, 96 // patch, patch)
        random = np.random.default_rng(patch)
        hidden = random.permuted(
            blocks.transpose(0, 1, 3, 2, 4).reshape(6, -1, patch * patch), axis=2
        )
        hidden = hidden.reshape(6, 96 // patch, 96 // patch, patch, patch)
        whole = hidden.transpose(0, 1, 3, 2, 4).reshape(6, 96, 96, 1)
        assert substituted.read(Case(whole, patch, patch)) is None
