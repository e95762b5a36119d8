"""`compare audit attack-file --public`: keys of their own for blocks, with pictures of the kind."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from he_compare.common.datasets.embedded.atlas import sample
from he_compare.common.errors import DataError, UsageError
from he_compare.common.similarity import ssim
from he_compare.common.types import UInt8Array
from he_compare.comparisons.attack_file.attack_folder import attack_folder
from he_compare.comparisons.attack_file.block_maps import NO_UNIT, maps_shown
from he_compare.comparisons.attack_file.public_pictures import (
    agreement_of,
    read_moments,
    read_own_maps,
    read_public,
    too_large,
)
from he_compare.comparisons.attack_file.writing import FolderAttack, State
from he_compare.comparisons.attacks.tools.block_recovery import Blocks, recover
from he_compare.comparisons.cli.app import app
from tests.support import slowscramblers as slow
from tests.support.smoothimages import smooth_images

SIZE, PATCH, ATTACKED, PUBLIC = 64, 8, 60, 120


@pytest.fixture(scope="module")
def originals() -> UInt8Array:
    return sample(ATTACKED, 11, SIZE).images[..., :1]


@pytest.fixture(scope="module")
def public() -> UInt8Array:
    return sample(PUBLIC, 12, SIZE).images[..., :1]


def written(folder: Path, images: UInt8Array) -> Path:
    folder.mkdir(parents=True)
    for number, image in enumerate(images):
        Image.fromarray(image[:, :, 0]).save(folder / f"{number:03d}.png")
    return folder


def attacked(folder: Path, public: Path | None) -> FolderAttack:
    named = None if public is None else str(public)
    return attack_folder(folder, PATCH, None, lambda what, done, total: None, named)


def likeness(pictures: UInt8Array, originals: UInt8Array) -> float:
    return float(ssim(pictures, originals).mean())


def test_a_map_of_each_block_is_read_with_public_pictures_only(
    tmp_path: Path, originals: UInt8Array, public: UInt8Array
) -> None:
    hidden = slow.under(slow.madono_ele, originals, PATCH, 1)
    folder, known = written(tmp_path / "in", hidden), written(tmp_path / "public", public)
    done = attacked(folder, known)
    assert done.state in (State.READ, State.PARTLY) and done.upright
    assert "4-bit halves of values moved inside each block" in done.found
    # No symmetry is left open: pictures are compared as they are.
    pictures = np.stack([np.asarray(Image.open(done.out / name)) for name in done.written])
    assert likeness(pictures[..., None], originals) > 0.6
    told = "\n".join(done.lines)
    assert "the right way up" in told and "copies of the hidden ones cannot be seen here" in told
    report = json.loads((done.out / "attack.json").read_text())
    assert report["public_pictures"]["used"] and report["public_pictures"]["images"] == PUBLIC


def test_without_public_pictures_it_is_unknown_and_the_option_is_named(
    tmp_path: Path, originals: UInt8Array
) -> None:
    hidden = slow.under(slow.madono_ele, originals[:24], PATCH, 2)
    done = attacked(written(tmp_path / "in", hidden), None)
    assert done.state is State.UNKNOWN
    assert "needs public pictures of the same kind: --public FOLDER" in "\n".join(done.lines)


def test_noise_stays_unknown_with_public_pictures(public: UInt8Array) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (40, SIZE, SIZE, 1), dtype=np.uint8)
    assert read_own_maps(noise, public, PATCH) is None
    assert read_moments(noise, public, PATCH) is None


def test_pictures_of_another_kind_claim_nothing(originals: UInt8Array) -> None:
    hidden = slow.under(slow.madono_ele, originals, PATCH, 4)
    assert read_own_maps(hidden, smooth_images(PUBLIC, SIZE), PATCH) is None


def test_keys_that_change_with_the_image_claim_nothing(
    originals: UInt8Array, public: UInt8Array
) -> None:
    for scrambler in (slow.madono_ele, slow.vit_block, slow.shf):
        hidden = slow.under(scrambler, originals, PATCH, 5, per_image=True)
        assert read_own_maps(hidden, public, PATCH) is None


def test_whole_values_are_told_from_halves(originals: UInt8Array, public: UInt8Array) -> None:
    hidden = slow.under(slow.al_amin, originals, PATCH, 6)
    found = read_own_maps(hidden, public, PATCH)
    assert found is not None and found.what.startswith("values moved inside each block")
    assert likeness(found.undo(hidden), originals) > 0.7


def test_one_linear_map_is_read_by_moments(originals: UInt8Array, public: UInt8Array) -> None:
    hidden = slow.under(slow.shuffled_and_negated, originals, PATCH, 7)
    found = read_moments(hidden, public, PATCH)
    assert found is not None and found.agreement > 0.4
    assert likeness(found.undo(hidden), originals) > 0.6


@pytest.mark.parametrize("nibbles", [False, True])
def test_maps_that_pictures_show_undo_what_they_were_not_learnt_from(
    originals: UInt8Array, public: UInt8Array, nibbles: bool
) -> None:
    hidden = slow.under(slow.al_amin, originals, PATCH, 8)
    found = recover(hidden, public, Blocks(PATCH, (SIZE, SIZE, 1), nibbles, True, True))
    maps = maps_shown(hidden, found.pictures, found.block, PATCH, nibbles=nibbles)
    assert np.array_equal(maps.undo(hidden), found.pictures)
    assert nibbles or (maps.unit != NO_UNIT).all()
    fresh = sample(20, 13, SIZE).images[..., :1]
    assert likeness(maps.undo(slow.under(slow.al_amin, fresh, PATCH, 8)), fresh) > 0.5


def test_pictures_agree_in_what_is_their_own_only() -> None:
    images = smooth_images(20, 32)
    assert agreement_of(images, images) == pytest.approx(1.0)
    assert abs(agreement_of(images, images[::-1])) < 0.3
    assert agreement_of(np.full_like(images, 7), images) == 0.0


def test_public_pictures_take_size_and_colour_of_the_ciphertexts(tmp_path: Path) -> None:
    colours = np.random.default_rng(9).integers(0, 256, (16, 20, 30, 3), dtype=np.uint8)
    (tmp_path / "public").mkdir()
    for number, image in enumerate(colours):
        Image.fromarray(image).save(tmp_path / "public" / f"{number}.png")
    assert read_public(str(tmp_path / "public"), 24, 16, 1).images.shape == (16, 24, 16, 1)
    named = read_public(f"folder:{tmp_path / 'public'}", 8, 32, 3)
    assert named.images.shape == (16, 8, 32, 3)
    assert len(named.notes) == 1 and "in colour" in named.notes[0]


@pytest.mark.parametrize("fault", ["missing", "few", "flat"])
def test_public_folders_that_cannot_serve_are_refused(tmp_path: Path, fault: str) -> None:
    known = tmp_path / "public"
    if fault != "missing":
        images = np.zeros((16, 16, 16, 1), np.uint8) if fault == "flat" else smooth_images(3, 16)
        written(known, images)
    with pytest.raises(DataError):
        read_public(str(known), 16, 16, 1)


def test_public_pictures_of_arrays_are_refused_and_large_blocks_are_named(tmp_path: Path) -> None:
    arrays = np.random.default_rng(10).normal(size=(4, 16, 16, 1)).astype(np.float32)
    (tmp_path / "in").mkdir()
    for number, one in enumerate(arrays):
        np.savez(tmp_path / "in" / f"{number}.npz", ciphertext=one)
    with pytest.raises(UsageError, match="bytes only"):
        attacked(tmp_path / "in", tmp_path / "public")
    assert too_large(np.zeros((1, 224, 224, 3), np.uint8), 32)
    assert not too_large(np.zeros((1, 224, 224, 3), np.uint8), 8)


def test_the_option_is_on_the_command_line(tmp_path: Path, originals: UInt8Array) -> None:
    folder = written(tmp_path / "in", slow.under(slow.madono_ele, originals[:24], PATCH, 14))
    call = ["audit", "attack-file", str(folder), "--patch", "8", "--quiet"]
    result = CliRunner().invoke(app, [*call, "--public", str(tmp_path / "nowhere")])
    assert result.exit_code != 0 and "does not exist" in str(result.exception or result.output)
