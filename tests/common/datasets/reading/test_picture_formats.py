"""Every format that the documentation names is read, by content, as a person sees the picture."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from he_compare.common.datasets.reading.decoding import (
    SUFFIXES,
    header_facts,
    image_size,
    open_image,
)
from he_compare.common.datasets.reading.picture_formats import PICTURE_FORMATS, format_of
from he_compare.common.errors import DataError
from tests.support.repository import ROOT

ROWS, COLUMNS = np.mgrid[:40, :57]
COLOUR = np.stack([ROWS * 6, COLUMNS * 4, 255 - ROWS * 3], axis=2).astype(np.uint8)
PICTURE = Image.fromarray(COLOUR)
WRITTEN = {
    "PNG": ("PNG", {}),
    "JPEG": ("JPEG", {"quality": 95, "subsampling": 0}),
    "TIFF": ("TIFF", {"compression": "tiff_lzw"}),
    "BMP": ("BMP", {}),
    "WebP": ("WEBP", {"lossless": True}),
}


def written(path: Path, name: str, picture: Image.Image = PICTURE, orientation: int = 0) -> Path:
    plugin, options = WRITTEN[name]
    extra = {}
    if orientation:
        exif = Image.Exif()
        exif[0x0112] = orientation
        extra = {"exif": exif}
    picture.save(path, format=plugin, **options, **extra)
    return path


def documented() -> dict[str, set[str]]:
    text = (ROOT / "docs/how-to/own-images.md").read_text()
    rows = re.findall(r"^\| (\w+) \| ((?:`\.\w+` ?)+)\|", text, re.MULTILINE)
    return {name: set(re.findall(r"`(\.\w+)`", endings)) for name, endings in rows}


def test_the_documentation_names_the_formats_and_endings_that_the_code_reads() -> None:
    assert documented() == {known.name: set(known.endings) for known in PICTURE_FORMATS}
    assert {ending for endings in documented().values() for ending in endings} == SUFFIXES


@pytest.mark.parametrize(
    ("name", "ending"), [(name, e) for name, all_ in documented().items() for e in sorted(all_)]
)
def test_each_documented_format_is_read_under_each_ending(
    tmp_path: Path, name: str, ending: str
) -> None:
    path = written(tmp_path / f"x{ending}", name)
    seen = np.asarray(open_image(path, path.name)).astype(int)
    assert np.abs(seen - COLOUR).max() <= (6 if name == "JPEG" else 0)
    assert header_facts(path, path.name).format == name
    assert image_size(path, path.name) == (57, 40)


@pytest.mark.parametrize("name", WRITTEN)
def test_content_and_not_the_ending_says_what_a_file_is(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / ("x.png" if name != "PNG" else "x.jpg"), name)
    assert header_facts(path, path.name).format == name
    known = format_of(path.read_bytes()[:256])
    assert known is not None and known.name == name


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["PNG", "JPEG", "TIFF", "WebP"])
def test_pictures_are_seen_as_exif_turns_them(tmp_path: Path, name: str, orientation: int) -> None:
    path = written(tmp_path / "x.img", name, orientation=orientation)
    seen = open_image(path, path.name)
    with Image.open(written(tmp_path / "plain.img", name)) as plain:
        exif = Image.Exif()
        exif[0x0112] = orientation
        as_stored = Image.fromarray(np.asarray(plain))
        as_stored.save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as turned:
        wanted = ImageOps.exif_transpose(turned)
        np.testing.assert_array_equal(np.asarray(seen), np.asarray(wanted))
    assert image_size(path, path.name) == seen.size
    assert header_facts(path, path.name).oriented == (orientation != 1)


def test_exif_data_behind_the_pixels_of_a_png_turn_it_too(tmp_path: Path) -> None:
    data = written(tmp_path / "x.png", "PNG", orientation=6).read_bytes()
    at = data.index(b"eXIf") - 4
    end = at + 12 + int.from_bytes(data[at : at + 4], "big")
    rest = data[:at] + data[end:]
    (tmp_path / "x.png").write_bytes(rest[:-12] + data[at:end] + rest[-12:])
    np.testing.assert_array_equal(
        np.asarray(open_image(tmp_path / "x.png", "x.png")), np.rot90(COLOUR, -1)
    )
    assert image_size(tmp_path / "x.png", "x.png") == (40, 57)


@pytest.mark.parametrize("orientation", [0, 9])
def test_an_orientation_that_does_not_exist_turns_nothing(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    PICTURE.save(tmp_path / "x.png", exif=exif)
    assert not header_facts(tmp_path / "x.png", "x.png").oriented
    np.testing.assert_array_equal(np.asarray(open_image(tmp_path / "x.png", "x.png")), COLOUR)


def test_broken_exif_data_turn_nothing(tmp_path: Path) -> None:
    data = written(tmp_path / "x.jpg", "JPEG", orientation=6).read_bytes()
    assert b"MM\0*" in data or b"II*\0" in data
    (tmp_path / "x.jpg").write_bytes(data.replace(b"MM\0*", b"XX\0*").replace(b"II*\0", b"XX*\0"))
    assert image_size(tmp_path / "x.jpg", "x.jpg") == (57, 40)
    assert open_image(tmp_path / "x.jpg", "x.jpg").size == (57, 40)


def test_a_phones_mpo_gives_its_first_picture_and_says_so(tmp_path: Path) -> None:
    other = Image.fromarray(255 - COLOUR)
    PICTURE.save(tmp_path / "x.jpg", "MPO", save_all=True, append_images=[other], quality=95)
    facts = header_facts(tmp_path / "x.jpg", "x.jpg")
    assert facts.first_of_several and facts.format == "JPEG"
    seen = np.asarray(open_image(tmp_path / "x.jpg", "x.jpg")).astype(int)
    assert np.abs(seen - COLOUR).mean() < 4


@pytest.mark.parametrize(
    ("name", "plugin"), [("x.png", "PNG"), ("x.webp", "WEBP"), ("x.tif", "TIFF")]
)
def test_files_of_several_pictures_of_one_rank_are_refused(
    tmp_path: Path, name: str, plugin: str
) -> None:
    PICTURE.save(
        tmp_path / name, plugin, save_all=True, append_images=[Image.fromarray(255 - COLOUR)]
    )
    for reading in (open_image, image_size):
        with pytest.raises(DataError, match=rf"{name} is (an animation|a TIFF file of 2 pictures)"):
            reading(tmp_path / name, name)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"GIF89a" + bytes(30), "is a GIF file.*convert it"),
        (bytes(128) + b"DICM", "is a DICOM file.*dicom:PATH"),
        (b"\0\0\0\x1cftypheic" + bytes(30), "is a HEIC file"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "is a JPEG 2000 file"),
        (b"<!DOCTYPE html><html>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
        (b"", "is an empty file"),
        (bytes(500), "is a file of zeros"),
        (b"hello", "is a file of another kind"),
        (b"BM hello, this is no bitmap", "BMP or WebP file, but is broken|cannot be decoded"),
    ],
)
def test_what_is_no_picture_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(DataError, match=rf"x\.png.*({said})"):
        open_image(tmp_path / "x.png", "x.png")


def test_cmyk_is_refused_with_the_reason(tmp_path: Path) -> None:
    for name in ("x.jpg", "x.tif"):
        PICTURE.convert("CMYK").save(tmp_path / name)
        with pytest.raises(DataError, match=rf"{name}.*CMYK.*convert it to RGB"):
            open_image(tmp_path / name, name)


def test_odd_names_and_things_that_are_no_files_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.png").mkdir()
    for name in ("x.png", "gone\n.png", "r\udcf6ntgen.png"):
        with pytest.raises(DataError) as caught:
            open_image(tmp_path / name, name)
        str(caught.value).encode("utf-8")
        assert "\n" not in str(caught.value)
    assert r"r\xf6ntgen.png" in str(caught.value)


def test_a_webp_of_an_enormous_canvas_is_refused_before_room_is_made(tmp_path: Path) -> None:
    side = (16_000).to_bytes(3, "little")
    chunk = b"VP8X" + (10).to_bytes(4, "little") + bytes(4) + side + side
    data = b"RIFF" + (len(chunk) + 4).to_bytes(4, "little") + b"WEBP" + chunk
    (tmp_path / "x.webp").write_bytes(data)
    with pytest.raises(DataError, match="16001 x 16001 pixels, more than 64,000,000"):
        open_image(tmp_path / "x.webp", "x.webp")


def test_a_jpeg_of_a_thousand_scans_is_refused(tmp_path: Path) -> None:
    PICTURE.save(tmp_path / "x.jpg", progressive=True)
    data = (tmp_path / "x.jpg").read_bytes()
    last = data.rindex(b"\xff\xda")
    (tmp_path / "x.jpg").write_bytes(data[:last] + data[last:-2] * 1000 + data[-2:])
    with pytest.raises(DataError, match=r"x\.jpg is a JPEG file of 1,\d+ scans"):
        open_image(tmp_path / "x.jpg", "x.jpg")


@pytest.mark.parametrize("name", WRITTEN)
def test_mutated_files_are_read_or_refused_in_one_line(tmp_path: Path, name: str) -> None:
    whole = written(tmp_path / "x.img", name, orientation=6 if name != "BMP" else 0).read_bytes()
    generator = np.random.default_rng(3)
    refused = 0
    for _ in range(120):
        data = bytearray(whole)
        if generator.integers(3) == 0:
            data = data[: generator.integers(len(data))]
        for place in generator.integers(0, max(1, len(data)), 4 if data else 0):
            data[min(place, 200) if generator.integers(2) else place] = generator.integers(256)
        (tmp_path / "x.img").write_bytes(data)
        try:
            seen = open_image(tmp_path / "x.img", "x.img")
            assert image_size(tmp_path / "x.img", "x.img") == seen.size
        except DataError as error:
            refused += 1
            assert "x.img" in str(error) and "\n" not in str(error)
    assert refused > 0
