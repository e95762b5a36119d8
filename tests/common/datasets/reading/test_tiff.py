"""TIFF files of every kind: read to the pixels that were written, or refused by name."""

from __future__ import annotations

import itertools
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from he_compare.common.datasets.reading.decoding import header_facts, image_size, open_image
from he_compare.common.errors import DataError
from tests.support.tiffs import directory, tiff_bytes

GREY = (np.arange(40)[:, None] * 5 + np.arange(57) * 2).astype(np.uint8)
COLOUR = np.stack([GREY, GREY[::-1], 255 - GREY], axis=2)
DEEP = GREY.astype(np.uint16) * 257
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE = 0, 1, 2, 3


HUGE = [(256, 4, [60_000]), (257, 4, [60_000]), (278, 4, [60_000])]


def read(folder: Path, data: bytes) -> np.ndarray[Any, Any]:
    (folder / "x.tif").write_bytes(data)
    seen = open_image(folder / "x.tif", "x.tif")
    assert image_size(folder / "x.tif", "x.tif") == seen.size
    return np.asarray(seen)


@pytest.mark.parametrize(
    ("order", "big", "tile", "deflate"),
    [
        layout
        for layout in itertools.product("<>", (False, True), (0, 16), (False, True))
        if layout[:2] != (">", True)
    ],
)
def test_layouts_of_a_file_do_not_change_its_pixels(
    tmp_path: Path, order: str, big: bool, tile: int, deflate: bool
) -> None:
    def seen(pixels: np.ndarray[Any, Any], photometric: int, planar: bool = False) -> Any:
        options = {"order": order, "big": big, "tile": tile, "deflate": deflate, "planar": planar}
        return read(tmp_path, tiff_bytes(pixels, photometric=photometric, **options))

    np.testing.assert_array_equal(seen(GREY, BLACK_IS_ZERO), GREY)
    np.testing.assert_array_equal(seen(GREY, WHITE_IS_ZERO), 255 - GREY)
    np.testing.assert_array_equal(seen(COLOUR, RGB), COLOUR)
    np.testing.assert_array_equal(seen(COLOUR, RGB, planar=True), COLOUR)
    np.testing.assert_array_equal(seen(DEEP, BLACK_IS_ZERO), GREY)


def test_sixteen_bit_grey_where_zero_is_white_is_inverted_in_its_window(tmp_path: Path) -> None:
    twelve = GREY.astype(np.uint16) * 16
    seen = read(tmp_path, tiff_bytes(twelve, photometric=WHITE_IS_ZERO))
    np.testing.assert_array_equal(seen, 255 - np.rint(twelve * (255 / 4095)).astype(np.uint8))


@pytest.mark.parametrize("scale", [1, 257])
def test_palettes_of_8_and_16_bits_are_the_colours_they_stand_for(
    tmp_path: Path, scale: int
) -> None:
    palette = np.random.default_rng(0).integers(0, 256, (256, 3))
    colour_map = (320, 3, (palette.T.reshape(-1) * scale).tolist())
    seen = read(tmp_path, tiff_bytes(GREY, photometric=PALETTE, more=[colour_map]))
    np.testing.assert_array_equal(seen, palette[GREY])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("deflate", [False, True])
def test_the_orientation_of_a_tiff_is_applied_once(
    tmp_path: Path, orientation: int, deflate: bool
) -> None:
    turned = {
        1: COLOUR,
        2: COLOUR[:, ::-1],
        3: COLOUR[::-1, ::-1],
        4: COLOUR[::-1],
        5: COLOUR.transpose(1, 0, 2),
        6: np.rot90(COLOUR, -1),
        7: COLOUR[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(COLOUR),
    }
    more = [(274, 3, [orientation])]
    seen = read(tmp_path, tiff_bytes(COLOUR, photometric=RGB, deflate=deflate, more=more))
    np.testing.assert_array_equal(seen, turned[orientation])


@pytest.mark.parametrize(
    ("pixels", "options", "said"),
    [
        (DEEP, {"more": [(339, 3, [2])]}, "holds signed values"),
        (DEEP, {"more": [(339, 3, [3])]}, "holds floating-point"),
        (np.zeros((40, 57, 3), np.uint16), {"photometric": RGB}, "has 16 bits per channel"),
        (np.zeros((40, 57), np.uint32), {}, "has 32 bits per channel"),
        (GREY, {"big": True, "order": ">"}, "BigTIFF file with the highest byte first"),
        (DEEP, {"photometric": WHITE_IS_ZERO, "order": ">"}, "where 0 is white"),
        (GREY, {"more": [(259, 3, [4])]}, "compressed as a fax"),
        (GREY, {"more": HUGE}, "60000 x 60000 pixels"),
        (GREY, {"tile": 16, "more": [(322, 4, [70_000]), (323, 4, [70_000])]}, "tiles of"),
        (GREY, {"tile": 16, "more": [(322, 4, [0])]}, "tiles have no size|of the"),
        (GREY, {"more": [(257, 4, [400])]}, "8 of the 80 strips"),
        (GREY, {"more": [(256, 3, [0])]}, "its width is missing"),
    ],
)
def test_what_is_not_read_is_refused_by_name(
    tmp_path: Path, pixels: np.ndarray[Any, Any], options: dict[str, Any], said: str
) -> None:
    data = tiff_bytes(pixels, **{"photometric": BLACK_IS_ZERO, **options})
    (tmp_path / "x.tif").write_bytes(data)
    for reading in (open_image, header_facts):
        with pytest.raises(DataError, match=rf"x\.tif .*{said}"):
            reading(tmp_path / "x.tif", "x.tif")


def test_a_sparse_tile_is_refused_where_a_library_would_show_other_bytes(tmp_path: Path) -> None:
    whole = tiff_bytes(GREY, photometric=BLACK_IS_ZERO, tile=16)
    with_hole = whole.replace(struct.pack("<II", 8 + 256, 8 + 512), struct.pack("<II", 0, 8 + 512))
    assert with_hole != whole
    with pytest.raises(DataError, match=r"x\.tif .*11 of the 12 strips or tiles"):
        read(tmp_path, with_hole)


def test_a_tiff_of_two_gigabytes_is_one_line_about_its_pixels(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    side, head = 46_000, 8
    tags = [
        (256, 4, [side]),
        (257, 4, [side]),
        (258, 3, [8]),
        (262, 3, [1]),
        (273, 4, [head]),
        (278, 4, [side]),
        (279, 4, [side * side]),
    ]
    with path.open("wb") as stream:
        stream.write(b"II*\0" + struct.pack("<I", head + side * side))
        stream.seek(head + side * side)
        stream.write(directory(tags, head + side * side, "<", False))
    assert path.stat().st_size > 2_000_000_000
    with pytest.raises(DataError) as caught:
        open_image(path, "x.tif")
    assert "46000 x 46000 pixels, more than 64,000,000" in str(caught.value)


def test_tags_that_claim_more_than_there_is_are_refused(tmp_path: Path) -> None:
    whole = tiff_bytes(GREY, photometric=BLACK_IS_ZERO, more=[(700, 4, [1, 2])])
    at = whole.index(struct.pack("<HHI", 700, 4, 2))
    claimed = whole[: at + 4] + struct.pack("<I", 1 << 30) + whole[at + 8 :]
    with pytest.raises(DataError, match="tag 700 claims 1,073,741,824 values"):
        read(tmp_path, claimed)


def test_a_tiff_of_a_picture_and_smaller_copies_gives_the_picture(tmp_path: Path) -> None:
    first = tiff_bytes(GREY, photometric=BLACK_IS_ZERO)
    (tmp_path / "x.tif").write_bytes(first)
    small = Image.fromarray(GREY).resize((20, 14))
    with Image.open(tmp_path / "x.tif") as image:
        image.save(
            tmp_path / "x.tif",
            save_all=True,
            append_images=[small],
        )
    data = (tmp_path / "x.tif").read_bytes()
    with pytest.raises(DataError, match="a TIFF file of 2 pictures"):
        read(tmp_path, data)
    second = struct.unpack("<I", data[directory_end(data) : directory_end(data) + 4])[0]
    tags = [(254, 4, [1]), (256, 4, [20]), (257, 4, [14])]
    data = data[:second] + directory(tags, second, "<", False)
    np.testing.assert_array_equal(read(tmp_path, data), GREY)
    assert header_facts(tmp_path / "x.tif", "x.tif").first_of_several


def directory_end(data: bytes) -> int:
    first = struct.unpack("<I", data[4:8])[0]
    return int(first + 2 + 12 * struct.unpack("<H", data[first : first + 2])[0])


def test_directories_that_lead_in_a_circle_end(tmp_path: Path) -> None:
    whole = tiff_bytes(GREY, photometric=BLACK_IS_ZERO)
    end = directory_end(whole)
    np.testing.assert_array_equal(read(tmp_path, whole[:end] + whole[4:8] + whole[end + 4 :]), GREY)
