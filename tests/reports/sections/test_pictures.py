"""Sample pictures: grids that fit a page, with pixels as they are."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from he_compare.common.run.store import RunFolder
from he_compare.common.run.view import RunView, read_run
from he_compare.reports.document.nodes import Paragraph
from he_compare.reports.document.photographs import ColumnHead, Grid, GridRow, Tile
from he_compare.reports.document.png import LARGEST, SMALLEST, png_of, redrawn
from he_compare.reports.sections import pictures
from tests.support.samplerun import PLAIN, SCRAMBLE, build, ten_pipelines, three_pipelines


def _view(path: Path, count: int) -> RunView:
    kinds = [replace(SCRAMBLE, label=f"variant-{i}-" + "value," * 9) for i in range(count)]
    run = build((PLAIN, *kinds), classes=("a" * 80, "b"), n=40, untrained=False, rounds=1)
    ids = np.array([f"images/test/{'deep/' * 12}person{i}.jpeg" for i in range(4)])
    return read_run(RunFolder(replace(run, pictures={**run.pictures, "ids": ids}).write(path)))


def _grids(view: RunView) -> list[Grid]:
    (section,) = pictures.SECTION.sections(view)
    return [block for block in section.blocks if isinstance(block, Grid)]


def _pixels(png: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.asarray(Image.open(io.BytesIO(png)))


def test_many_views_are_cut_into_grids_that_fit_a_page(tmp_path: Path) -> None:
    made = _grids(_view(tmp_path, 11))
    assert [len(grid.rows) for grid in made] == [5, 5, 5]
    assert {grid.rows[0].title for grid in made} == {"original (client only)"}
    assert made[0].heads[2].remark.startswith("…")
    assert made[0].heads[2].remark.endswith("person2.jpeg")


def test_a_run_without_pictures_says_so(tmp_path: Path) -> None:
    run = replace(three_pipelines(), pictures={})
    (section,) = pictures.SECTION.sections(read_run(RunFolder(run.write(tmp_path))))
    (only,) = section.blocks
    assert isinstance(only, Paragraph)


def test_every_tile_has_words_and_the_pixels_of_the_run(tmp_path: Path) -> None:
    view = read_run(RunFolder(ten_pipelines().write(tmp_path)))
    grid = _grids(view)[0]
    assert view.pictures is not None
    shown = _pixels(grid.rows[0].tiles[1].png)
    np.testing.assert_array_equal(shown[::2, ::2], view.pictures.original[1][..., 0])
    assert all(tile.alt for row in grid.rows for tile in row.tiles)


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
