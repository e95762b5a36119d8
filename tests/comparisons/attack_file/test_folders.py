"""`compare audit attack-file` on folders: pictures, sureness, and one line for what cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from he_compare.common.block_solving import correlation
from he_compare.common.block_solving.reconstruct import Sureness
from he_compare.common.block_solving.tiles import cut, join
from he_compare.common.errors import DataError, UsageError
from he_compare.common.similarity import ssim
from he_compare.common.types import UInt8Array
from he_compare.comparisons.attack_file import readers
from he_compare.comparisons.attack_file.attack_folder import attack_folder
from he_compare.comparisons.attack_file.writing import REPORT, FolderAttack, State
from he_compare.comparisons.attacks.tools.alignment import aligned_one_by_one, aligned_together
from he_compare.comparisons.cli.app import app
from tests.support.smoothimages import scrambled, smooth_images

SIDE, PATCH = 64, 8


def write(folder: Path, images: UInt8Array) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"patient {number}.png" for number in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(path)
    return paths


def attack(folder: Path, patch: int | None = None, out: Path | None = None) -> FolderAttack:
    return attack_folder(folder, patch, out, lambda what, done, total: None)


def pictures(done: FolderAttack) -> UInt8Array:
    return np.stack([np.asarray(Image.open(done.out / name)) for name in done.written])


@pytest.mark.parametrize("channels", [1, 3])
def test_a_folder_under_one_key_comes_back_with_the_same_names(
    tmp_path: Path, channels: int
) -> None:
    images = np.repeat(smooth_images(4, SIDE), channels, axis=3)
    paths = write(tmp_path / "in", scrambled(images, PATCH, seed=1, negate=True).images)
    done = attack(tmp_path / "in")
    assert done.sureness is Sureness.SURE
    assert (done.patch, done.guessed, done.keys) == (PATCH, True, "one for all images")
    assert done.written == [path.name for path in paths]
    assert np.array_equal(aligned_together(pictures(done), images), images[..., 0])
    report = json.loads((done.out / REPORT).read_text())
    assert report["sureness"] == "sure" and report["patch"] == PATCH


def test_images_under_keys_of_their_own_are_solved_one_by_one(tmp_path: Path) -> None:
    images = smooth_images(3, 96)
    each = [
        scrambled(image[None], PATCH, seed=number, negate=True).images[0]
        for number, image in enumerate(images)
    ]
    write(tmp_path / "in", np.stack(each))
    done = attack(tmp_path / "in", patch=PATCH)
    assert done.keys == "one for each image"
    report = json.loads((done.out / REPORT).read_text())
    assert set(report["sureness_of_each"]) == set(done.written)
    # The word for the folder is that of its least sure image.
    assert done.sureness is max(done.each, key=list(Sureness).index)
    assert done.sureness is Sureness.SURE
    off = aligned_one_by_one(pictures(done), images).astype(float) - images[..., 0]
    assert np.abs(off).mean() < 2.0


def test_noise_is_unknown_and_never_said_to_be_safe(tmp_path: Path) -> None:
    noise = np.random.default_rng(2).integers(0, 256, (3, SIDE, SIDE, 1), dtype=np.uint8)
    write(tmp_path / "in", noise)
    done = attack(tmp_path / "in")
    assert (done.state, done.patch, done.written) == (State.UNKNOWN, None, [])
    told = "\n".join(done.lines)
    assert (
        "could not be guessed" in told and "--patch N (sizes that divide the images: 2, 4" in told
    )
    assert "no evidence that the images are safe" in told
    assert "not looked for: " in told and "safe:" in told
    report = json.loads((done.out / REPORT).read_text())
    assert report["state"] == "unknown" and report["patch"] is None
    assert report["patch_guess"]["scores"] and {one["result"] for one in report["tried"]} <= {
        "no structure found",
        "not tried: needs the width of the blocks (--patch)",
    }
    told = "\n".join(attack(tmp_path / "in", patch=8, out=tmp_path / "given").lines)
    assert "no structure found" in told and "no evidence that the images are safe" in told


@pytest.mark.parametrize("side", [8, 16, 32])
def test_blank_and_tiny_images_are_unknown_or_plain(tmp_path: Path, side: int) -> None:
    write(tmp_path / "blank", np.zeros((40, side, side, 1), np.uint8))
    assert attack(tmp_path / "blank").state is State.UNKNOWN
    noise = np.random.default_rng(6).integers(0, 256, (40, side, side, 1), dtype=np.uint8)
    write(tmp_path / "noise", noise)
    assert attack(tmp_path / "noise").state is State.UNKNOWN
    write(tmp_path / "smooth", smooth_images(40, side))
    # So few pixels do not tell it of every one of them.
    assert attack(tmp_path / "smooth").state is not State.READ
    write(tmp_path / "one", smooth_images(1, side))
    assert attack(tmp_path / "one").state in (State.NOT_SCRAMBLED, State.UNKNOWN)


def test_colours_mixed_by_the_key_are_told_apart(tmp_path: Path) -> None:
    grey, tints = smooth_images(10, SIDE), [smooth_images(10, SIDE, s) // 4 for s in (1, 2, 3)]
    colour = np.concatenate([grey // 2 + tint for tint in tints], axis=3)
    write(tmp_path / "in", scrambled(colour, PATCH, seed=5, negate=True).images)
    done = attack(tmp_path / "in")
    assert done.sureness is not Sureness.NOTHING and done.patch == PATCH
    found = aligned_together(pictures(done), colour)
    assert ssim(found[..., None], colour).mean() > 0.8


def test_colours_that_do_not_come_apart_are_no_sign_of_strength(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(correlation, "separate_channels", lambda upright: None)
    # The reader of 4-bit halves groups nearly equal colours in another way, and finds some.
    monkeypatch.setattr(readers, "READERS", [r for r in readers.READERS if r.name == "one key"])
    colour = np.concatenate([smooth_images(6, SIDE) // 2 + shade for shade in (0, 40, 90)], axis=3)
    colour[..., 1] += smooth_images(6, SIDE, 1)[..., 0] // 8
    colour[..., 2] += smooth_images(6, SIDE, 2)[..., 0] // 8
    write(tmp_path / "in", scrambled(colour, PATCH, seed=5, negate=True).images)
    done = attack(tmp_path / "in")
    assert done.sureness is Sureness.NOTHING
    assert any("no sign of strength" in line for line in done.lines)


@pytest.mark.parametrize("believed", [8, 14, 28])
def test_a_wrong_side_is_not_called_sure_and_the_right_one_is_named(
    tmp_path: Path, believed: int
) -> None:
    # Blocks of 16 pixels in order inside, moved: their halves do agree on what is wrong.
    images = smooth_images(8, 112)
    blocks = cut(images, 16)[:, np.random.default_rng(3).permutation(49)]
    write(tmp_path / "in", join(blocks, 7, 7, 1))
    assert attack(tmp_path / "in", 16, tmp_path / "right").sureness is Sureness.SURE
    wrong = attack(tmp_path / "in", believed, tmp_path / "wrong")
    alike = ssim(aligned_together(pictures(wrong), images)[..., None], images).mean()
    assert wrong.sureness is not Sureness.SURE or alike > 0.9
    if wrong.sureness is not Sureness.SURE:
        assert any("try --patch 16" in line for line in wrong.lines)


def test_pictures_that_are_not_scrambled_are_said_not_to_be(tmp_path: Path) -> None:
    write(tmp_path / "in", smooth_images(3, SIDE))
    for patch in (None, PATCH):
        done = attack(tmp_path / "in", patch, tmp_path / f"out {patch}")
        assert done.state is State.NOT_SCRAMBLED
        told = "\n".join(done.lines)
        assert told.startswith("no scrambling that this command looks for was found: 3 images")
        assert "shifting whole pictures" in told and "v ^ 128" in told


def test_sub_folders_keep_their_names(tmp_path: Path) -> None:
    hidden = scrambled(smooth_images(4, SIDE), PATCH, seed=3, negate=False).images
    write(tmp_path / "in" / "a", hidden[:2])
    write(tmp_path / "in" / "b", hidden[2:])
    done = attack(tmp_path / "in", patch=PATCH, out=tmp_path / "found")
    assert done.written == [f"{sub}/patient {number}.png" for sub in "ab" for number in range(2)]


def test_the_command_prints_sureness_and_folder(tmp_path: Path) -> None:
    write(tmp_path / "in", scrambled(smooth_images(4, SIDE), PATCH, seed=4, negate=True).images)
    result = CliRunner().invoke(app, ["audit", "attack-file", str(tmp_path / "in"), "--quiet"])
    assert result.exit_code == 0
    assert result.stdout.startswith("sure: 4 images, blocks of 8 pixels (guessed")
    assert str(tmp_path / "in.attacked") in result.stdout


def refusal(folder: Path, patch: int | None = None, out: Path | None = None) -> str:
    with pytest.raises((UsageError, DataError)) as caught:
        attack(folder, patch, out)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_that_is_missing_or_empty_is_refused(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "nowhere")
    (tmp_path / "in").mkdir()
    assert "has no" in refusal(tmp_path / "in")


def test_arrays_of_numbers_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    np.savez(tmp_path / "in" / "a.npz", ciphertext=np.zeros((4, 4)))
    assert "a.npz" in refusal(tmp_path / "in")
    write(tmp_path / "mixed", smooth_images(2, 32))
    np.savez(tmp_path / "mixed" / "b.npz", ciphertext=np.zeros((4, 4)))
    assert "2 pictures and 1 arrays of numbers (b.npz)" in refusal(tmp_path / "mixed")


def test_mixed_sizes_are_refused_naming_one_of_the_others(tmp_path: Path) -> None:
    write(tmp_path / "in", smooth_images(3, SIDE))
    write(tmp_path / "in" / "other", smooth_images(1, 48))
    told = refusal(tmp_path / "in")
    assert "64 x 64 (3 images) and 48 x 48 (other/patient 0.png)" in told


def test_a_patch_that_does_not_divide_is_refused_with_those_that_do(tmp_path: Path) -> None:
    write(tmp_path / "in", smooth_images(2, SIDE))
    assert "patch 7 does not divide images of 64 x 64" in refusal(tmp_path / "in", patch=7)
    assert "patches that divide them: 2, 4, 8, 16, 32" in refusal(tmp_path / "in", patch=7)


def test_too_few_blocks_are_refused_with_the_number_needed(tmp_path: Path) -> None:
    write(tmp_path / "in", smooth_images(1, SIDE))
    assert "1 image of 64 x 64 make 16 blocks" in refusal(tmp_path / "in", patch=16)


def test_sides_that_no_block_tiles_ask_for_the_patch(tmp_path: Path) -> None:
    write(tmp_path / "in", smooth_images(2, 61))
    done = attack(tmp_path / "in")
    assert done.state is State.NOT_SCRAMBLED
    noise = np.random.default_rng(3).integers(0, 256, (3, 61, 61, 1), dtype=np.uint8)
    write(tmp_path / "noise", noise)
    done = attack(tmp_path / "noise")
    assert done.state is State.UNKNOWN and any("--patch" in line for line in done.lines)


def test_transparent_deep_and_broken_images_are_refused_by_name(tmp_path: Path) -> None:
    broken = {
        "alpha": Image.fromarray(np.zeros((SIDE, SIDE, 4), np.uint8)),
        "deep": Image.fromarray(np.zeros((SIDE, SIDE), np.uint16)),
    }
    for name, image in broken.items():
        write(tmp_path / name, smooth_images(1, SIDE))
        image.save(tmp_path / name / f"{name}.png")
        assert f"{name}.png" in refusal(tmp_path / name, patch=PATCH)
    write(tmp_path / "cut", smooth_images(1, SIDE))
    (tmp_path / "cut" / "x.png").write_bytes(b"no picture")
    assert "x.png" in refusal(tmp_path / "cut")


def test_a_target_that_holds_something_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "in", smooth_images(2, SIDE))
    write(tmp_path / "out", smooth_images(1, SIDE))
    assert "not empty" in refusal(tmp_path / "in", out=tmp_path / "out")
    assert "lies in" in refusal(tmp_path / "in", out=tmp_path / "in" / "new")


@pytest.mark.realdata
def test_real_radiographs_come_back_from_what_compare_encrypt_wrote(
    real_data: Path, tmp_path: Path
) -> None:
    files = sorted((real_data / "chestxray/images/test/NORMAL").iterdir())[:5]
    (tmp_path / "in").mkdir()
    originals = []
    for number, file in enumerate(files):
        image = Image.open(file).convert("L").resize((224, 224))
        image.save(tmp_path / "in" / f"{number}.png")
        originals.append(np.asarray(image))
    call = ["encrypt", str(tmp_path / "in"), str(tmp_path / "sent"), "--quiet"]
    call += ["--cipher", "vit_block[negative_positive=true]", "--key", str(tmp_path / "key")]
    assert CliRunner().invoke(app, call).exit_code == 0
    done = attack(tmp_path / "sent")
    assert (done.sureness, done.patch) == (Sureness.SURE, 16)
    images = np.stack(originals)[..., None]
    assert np.array_equal(aligned_together(pictures(done), images), images[..., 0])
