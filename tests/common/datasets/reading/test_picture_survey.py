"""What is done to the pictures of a dataset is counted, and one window serves all of 16 bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from he_compare.common.datasets.reading.decoding import open_image
from he_compare.common.datasets.reading.grey_window import DEPTHS, least_depth, through_window
from he_compare.common.datasets.reading.picture_survey import conversion_notes, survey_pictures
from he_compare.common.errors import DataError

PLAIN = Image.fromarray(np.full((20, 30, 3), 9, dtype=np.uint8))


def deep(path: Path, largest: int) -> None:
    values = np.linspace(0, largest, 16 * 16).astype(np.uint16).reshape(16, 16)
    Image.fromarray(values).save(path)


def test_pictures_that_are_read_as_stored_need_no_words(tmp_path: Path) -> None:
    PLAIN.save(tmp_path / "a.png")
    assert conversion_notes(tmp_path, ["a.png"]) == []


def test_turned_first_and_deep_pictures_are_counted(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 8
    PLAIN.save(tmp_path / "a.jpg", exif=exif)
    PLAIN.save(tmp_path / "b.jpg", exif=exif)
    PLAIN.save(tmp_path / "c.jpg", "MPO", save_all=True, append_images=[PLAIN])
    deep(tmp_path / "d.png", 900)
    deep(tmp_path / "e.tif", 3000)
    (tmp_path / "f.png").write_bytes(b"broken")
    turned, first, window = conversion_notes(
        tmp_path, ["a.jpg", "b.jpg", "c.jpg", "d.png", "e.tif", "f.png"]
    )
    assert turned.startswith("2 pictures are turned")
    assert first.startswith("1 picture is first of several")
    assert window.startswith("2 pictures are 16-bit grey") and "0 to 4,095 become 0" in window


def test_one_window_serves_the_whole_dataset(tmp_path: Path) -> None:
    deep(tmp_path / "dark.png", 900)
    deep(tmp_path / "light.png", 3000)
    survey = survey_pictures(tmp_path, ["dark.png", "light.png"])
    assert (survey.depth, survey.deep) == (12, 2)
    dark = np.asarray(survey.open_image(tmp_path / "dark.png", "dark.png"))
    light = np.asarray(survey.open_image(tmp_path / "light.png", "light.png"))
    assert dark.max() == round(900 * 255 / 4095) and light.max() == round(3000 * 255 / 4095)
    alone = np.asarray(open_image(tmp_path / "dark.png", "dark.png"))
    assert alone.max() == round(900 * 255 / 1023)


def test_a_picture_that_grew_deeper_since_is_refused(tmp_path: Path) -> None:
    deep(tmp_path / "a.png", 900)
    survey = survey_pictures(tmp_path, ["a.png"])
    deep(tmp_path / "a.png", 3000)
    with pytest.raises(DataError, match=r"a\.png has values of 12 bits, the dataset had 10"):
        survey.open_image(tmp_path / "a.png", "a.png")


@pytest.mark.parametrize("bits", DEPTHS)
def test_a_window_maps_its_range_evenly_onto_eight_bits(bits: int) -> None:
    values = np.arange(1 << bits, dtype=np.uint16)
    mapped = through_window(values, bits)
    assert (mapped[0], mapped[-1]) == (0, 255)
    assert np.abs(mapped - values * (255 / ((1 << bits) - 1))).max() <= 0.5
    assert least_depth((1 << bits) - 1) == bits


def test_a_transparent_value_of_16_bit_grey_is_refused_where_it_occurs(tmp_path: Path) -> None:
    values = np.full((16, 16), 500, dtype=np.uint16)
    for unseen, refused in ((500, True), (501, False)):
        Image.fromarray(values).save(tmp_path / "a.png", transparency=unseen)
        if refused:
            with pytest.raises(DataError, match=r"a\.png has transparent pixels"):
                open_image(tmp_path / "a.png", "a.png")
        else:
            assert np.unique(np.asarray(open_image(tmp_path / "a.png", "a.png"))).tolist() == [125]
