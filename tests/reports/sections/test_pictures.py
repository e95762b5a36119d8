"""Sample pictures: grids that fit a page, with pixels as they are."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from he_compare.common.run.store import RunFolder
from he_compare.common.run.view import read_run
from he_compare.reports.document.nodes import Paragraph
from he_compare.reports.document.photographs import ColumnHead, Grid, GridRow, Stills, Tile
from he_compare.reports.document.png import LARGEST, SMALLEST, png_of, redrawn
from he_compare.reports.sections import pictures
from tests.support.samplerun import ten_pipelines, three_pipelines


def _pixels(png: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.asarray(Image.open(io.BytesIO(png)))


def test_a_run_without_pictures_says_so(tmp_path: Path) -> None:
    run = replace(three_pipelines(), pictures={})
    (section,) = pictures.SECTION.sections(read_run(RunFolder(run.write(tmp_path))))
    (only,) = section.blocks
    assert isinstance(only, Paragraph)


def test_one_image_is_shown_as_it_is_sent_with_words_and_the_pixels_of_the_run(
    tmp_path: Path,
) -> None:
    view = read_run(RunFolder(ten_pipelines().write(tmp_path)))
    (section,) = pictures.SECTION.sections(view)
    (shown,) = [block for block in section.blocks if isinstance(block, Stills)]
    assert view.pictures is not None
    first = _pixels(shown.stills[0].png)
    np.testing.assert_array_equal(first[::2, ::2], view.pictures.original[0][..., 0])
    assert shown.alt and all(still.title for still in shown.stills)


def test_grey_pixels_are_stored_grey_and_colours_as_they_are() -> None:
    grey = np.repeat(np.arange(0, 200, 2, dtype=np.uint8)[None, :, None], 100, axis=0)
    colour = np.repeat(grey, 3, axis=2)
    assert _pixels(png_of(colour)).ndim == 2
    colour = colour.copy()
    colour[0, 0, 1] = 9
    np.testing.assert_array_equal(_pixels(png_of(colour)), colour)


@pytest.mark.parametrize(("side", "shown"), [(28, 112), (SMALLEST, SMALLEST), (600, 200)])
def test_tiny_pictures_are_enlarged_and_huge_ones_thinned(side: int, shown: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    made = _pixels(png_of(pixels))
    assert made.shape[:2] == (shown, shown)
    assert max(made.shape) <= LARGEST
    assert made[0, 0].tolist() == pixels[0, 0].tolist()


def test_bytes_that_are_no_picture_are_none() -> None:
    whole = png_of(np.zeros((100, 100, 3), np.uint8))
    assert redrawn(whole) == whole
    assert redrawn(b"no picture") is None
    assert redrawn(whole[: len(whole) // 2]) is None


def test_a_grid_needs_words_and_a_picture_under_every_head() -> None:
    tile = Tile(b"", "alt")
    with pytest.raises(ValueError, match="alternative"):
        Grid("g", "caption", " ", (ColumnHead("a"),), (GridRow("r", (tile,)),))
    with pytest.raises(ValueError, match="2 pictures under 1 heads"):
        Grid("g", "caption", "alt", (ColumnHead("a"),), (GridRow("r", (tile, tile)),))
