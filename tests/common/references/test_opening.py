"""What ``--public`` names: refused where it is unknown, too small, broken, or under attack."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from he_compare.common.datasets.chestxray import CARD
from he_compare.common.datasets.folder import make_card
from he_compare.common.errors import DataError, UnknownNameError, UsageError
from he_compare.common.references.opening import (
    MATCHED_TO,
    UnderTest,
    open_references,
    reference_to_match,
    same_kind,
    shown_spec,
)
from he_compare.common.references.overlap import find_copy
from he_compare.common.references.reference import COLOUR_CHANNELS, GREY_CHANNELS, LEAST_PUBLIC
from he_compare.common.run.records import DatasetCard
from he_compare.common.types import HeldPictures, UInt8Array
from tests.support.attackpool import InventedPool, pictures

SIZE = 48
POOL = InventedPool()


def under_test(card: DatasetCard = CARD) -> UnderTest:
    return UnderTest(card, POOL.fingerprint, SIZE, 0, POOL.attacked, POOL.auxiliary)


def write(folder: Path, images: UInt8Array, suffix: str = "png") -> str:
    folder.mkdir(exist_ok=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number:03d}.{suffix}")
    return f"folder:{folder}"


def others(count: int = 20, size: int = SIZE) -> UInt8Array:
    return pictures(count, size, 77).images[:]


def jpeg(image: UInt8Array) -> UInt8Array:
    data = io.BytesIO()
    Image.fromarray(image).save(data, "JPEG", quality=40)
    return np.asarray(Image.open(data).convert("RGB"))


def test_unasked_a_foreign_reference_comes_first_and_the_in_domain_one_is_called_so() -> None:
    first, second = open_references((), under_test())
    assert (first.reference.name, first.domain) == ("natural", "foreign")
    assert (second.reference.name, second.domain) == ("train", "in-domain")
    assert second.reference.images(8, SIZE, GREY_CHANNELS, 1).shape == (8, SIZE, SIZE, 3)


def test_a_folder_is_read_and_named_without_its_path(tmp_path: Path) -> None:
    spec = write(tmp_path / "secret-name", others())
    (public,) = open_references([spec], under_test())
    record = public.facts(5).model_dump_json()
    assert public.domain == "domain not known" and "secret" not in record + public.argument
    assert shown_spec(spec) == public.argument == "folder:PATH"
    assert public.reference.name == f"folder-{public.reference.digest[:8]}"
    images = public.reference.images(50, SIZE, COLOUR_CHANNELS, 4)
    assert len(images) == 20 and np.array_equal(images, public.reference.images(50, SIZE, 3, 4))
    (moved,) = open_references([write(tmp_path / "other", others())], under_test())
    assert moved.reference.digest == public.reference.digest


def test_sub_folders_count_and_other_files_do_not(tmp_path: Path) -> None:
    write(tmp_path, others(10))
    write(tmp_path / "more", pictures(10, SIZE, 78).images[:])
    (tmp_path / "notes.txt").write_text("no picture")
    (public,) = open_references([f"folder:{tmp_path}"], under_test())
    assert len(public.reference.images(99, SIZE, COLOUR_CHANNELS, 0)) == 20


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda image: image, "is an image under attack"),
        (jpeg, "is a changed copy of"),
        (lambda image: (image // 2 + 40).astype(np.uint8), "is a changed copy of"),
        (lambda image: image[:, ::-1], "is a changed copy of"),
        (
            lambda image: np.asarray(Image.fromarray(image).resize((150, 150))),
            "is a changed copy of",
        ),
    ],
    ids=["equal", "jpeg", "brightness", "mirrored", "enlarged"],
)
def test_a_copy_of_an_image_under_attack_is_refused_by_name(
    tmp_path: Path, change: Callable[[UInt8Array], UInt8Array], words: str
) -> None:
    spec = write(tmp_path, others())
    attacked = POOL.attacked(SIZE)
    Image.fromarray(np.ascontiguousarray(change(attacked.images[31]))).save(tmp_path / "copy.png")
    with pytest.raises(UsageError, match=rf"'copy\.png' {words}.*'{re.escape(attacked.ids[31])}'"):
        open_references([spec], under_test())


def test_other_pictures_are_no_copies() -> None:
    assert find_copy(HeldPictures(others()), POOL.attacked(SIZE).images) is None
    flat = np.full((20, SIZE, SIZE, 3), 90, np.uint8)
    assert find_copy(HeldPictures(flat), HeldPictures(flat + 1)) is None


def test_a_folder_that_shares_images_with_the_training_split_is_in_domain(tmp_path: Path) -> None:
    write(tmp_path, others())
    Image.fromarray(POOL.auxiliary(SIZE).images[3]).save(tmp_path / "shared.png")
    (public,) = open_references([f"folder:{tmp_path}"], under_test(make_card("mine", ["a", "b"])))
    assert public.domain == "in-domain"


def test_too_few_images_are_refused_with_the_number_needed(tmp_path: Path) -> None:
    spec = write(tmp_path, others(LEAST_PUBLIC - 1))
    with pytest.raises(DataError, match=rf"holds {LEAST_PUBLIC - 1} pictures, at least 16"):
        open_references([spec], under_test())


def test_images_that_show_nothing_are_refused(tmp_path: Path) -> None:
    spec = write(tmp_path, np.full((20, SIZE, SIZE, 3), 7, np.uint8))
    with pytest.raises(DataError, match="show nothing"):
        open_references([spec], under_test())


def test_mixed_sizes_and_colour_are_converted_and_said(tmp_path: Path) -> None:
    write(tmp_path, others(20, 60))
    colour = others(1, 100)[0].copy()
    colour[..., 2] //= 3
    Image.fromarray(colour).save(tmp_path / "colour.png")
    (public,) = open_references([f"folder:{tmp_path}"], under_test())
    notes = " ".join(public.facts().notes)
    assert "2 sizes" in notes and "1 of 21 pictures are in colour" in notes
    grey = public.reference.images(21, SIZE, GREY_CHANNELS, 0)
    assert (grey == grey[..., :1]).all()
    shown = public.reference.images(21, SIZE, COLOUR_CHANNELS, 0)
    assert (shown != shown[..., :1]).any()


@pytest.mark.parametrize("kind", ["text", "truncated", "link", "deep", "missing", "file"])
def test_hostile_folders_are_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "public"
    spec = write(folder, others())
    if kind == "text":
        (folder / "x.png").write_text("no picture")
    elif kind == "truncated":
        (folder / "x.png").write_bytes((folder / "000.png").read_bytes()[:60])
    elif kind == "link":
        Image.fromarray(others()[0]).save(tmp_path / "outside.png")
        (folder / "x.png").symlink_to(tmp_path / "outside.png")
    elif kind == "deep":
        (folder / "/".join("abcdefghij")).mkdir(parents=True)
    else:
        spec = f"folder:{tmp_path / 'nothing'}" if kind == "missing" else spec + "/000.png"
    with pytest.raises(DataError) as caught:
        open_references([spec], under_test())
    assert "\n" not in str(caught.value) and str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("spec", ["natrual", "folder", "folder:", "natural:x", "dicom:PATH"])
def test_unknown_names_are_refused(spec: str) -> None:
    with pytest.raises((UnknownNameError, UsageError)):
        open_references([spec], under_test())


def test_naming_images_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="named twice"):
        open_references(["natural", "natural"], under_test())


def test_the_server_is_never_given_the_training_split() -> None:
    asked = open_references(["train", "natural"], under_test())
    assert reference_to_match(asked, CARD).reference.name == "natural"
    alone = reference_to_match(asked[:1], CARD)
    assert (alone.reference.name, alone.domain) == (MATCHED_TO, "foreign")


def test_images_of_the_same_kind_ship_or_are_the_training_split() -> None:
    chest = same_kind(under_test())
    assert (chest.reference.name, chest.domain) == ("synthetic-chest", "in-domain")
    card = CARD.model_copy(update={"collections": []})
    other = same_kind(under_test(card))
    assert (other.reference.name, other.domain) == ("train", "in-domain")
