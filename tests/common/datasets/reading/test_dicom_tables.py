"""Lookup tables of DICOM: one picture, whatever the depth, the packing and the order of bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence

from he_compare.common.datasets.reading.dicom_elements import ElementError
from he_compare.common.datasets.reading.dicom_pixels import open_dicom
from he_compare.common.datasets.reading.dicom_segments import expanded
from he_compare.common.errors import DataError
from tests.support.dicomfolders import dicom, save, save_big_endian

INDEX = np.arange(256, dtype=np.uint8).reshape(16, 16)
DEEP = np.arange(4096, dtype=np.uint16).reshape(64, 64)
ENTRIES = np.arange(256)[::-1]


def picture(dataset: FileDataset, folder: Path, *, big_endian: bool = False) -> np.ndarray:
    write = save_big_endian if big_endian else save
    return np.asarray(open_dicom(write(dataset, folder / "one.dcm"), "one.dcm")).astype(int)


def table(descriptor: list[int], data: Any, vr: str = "OW") -> Dataset:
    item = Dataset()
    item.add_new(0x00283002, "US", descriptor)
    item.add_new(0x00283006, vr, data)
    return item


def with_palette(pixels: np.ndarray, descriptor: list[int], data: Any, vr: str) -> FileDataset:
    image = dicom(pixels, photometric="PALETTE COLOR", bits_stored=8 * pixels.dtype.itemsize)
    for colour in (1, 2, 3):
        image.add_new(0x00281100 + colour, "US", descriptor)
        image.add_new(0x00281200 + colour, vr, data)
    return image


@pytest.mark.parametrize(
    ("bits", "data", "vr"),
    [
        (8, ENTRIES.astype("u1").tobytes(), "OW"),
        (8, ENTRIES.astype("<u2").tobytes(), "OW"),
        (8, (ENTRIES * 256).astype("<u2").tobytes(), "OW"),
        (8, (ENTRIES * 257).astype("<u2").tobytes(), "OW"),
        (8, ENTRIES.astype("u1").view("<u2").tolist(), "US"),
        (16, (ENTRIES * 257).astype("<u2").tobytes(), "OW"),
        (16, (ENTRIES * 257).tolist(), "US"),
        (16, ENTRIES.astype("u1").tobytes(), "OW"),
    ],
    ids=["packed", "low", "high", "both", "packed-words", "16", "16-words", "16-that-is-8"],
)
def test_a_palette_is_the_same_however_it_is_stored(
    tmp_path: Path, bits: int, data: Any, vr: str
) -> None:
    shown = picture(with_palette(INDEX, [256, 0, bits], data, vr), tmp_path)
    assert np.array_equal(shown, np.repeat((255 - INDEX)[..., None], 3, axis=2))


@pytest.mark.parametrize(
    ("bits", "data"),
    [
        (8, ENTRIES.astype("u1").reshape(-1, 2)[:, ::-1].tobytes()),
        (8, ENTRIES.astype(">u2").tobytes()),
        (16, (ENTRIES * 257).astype(">u2").tobytes()),
    ],
    ids=["packed", "low", "16"],
)
def test_a_big_endian_palette_is_read_in_its_order(tmp_path: Path, bits: int, data: bytes) -> None:
    swapped = INDEX.reshape(-1, 2)[:, ::-1].reshape(16, 16)  # 8-bit pixels in words
    image = with_palette(swapped, [256, 0, bits], data, "OW")
    image["PixelData"].VR = "OW"
    shown = picture(image, tmp_path, big_endian=True)
    assert np.array_equal(shown[..., 0], 255 - INDEX)


def test_a_palette_of_4096_or_65536_entries_is_looked_up_beyond_256(tmp_path: Path) -> None:
    small = with_palette(DEEP, [4096, 0, 8], (np.arange(4096) // 16).astype("u1").tobytes(), "OW")
    assert np.array_equal(picture(small, tmp_path)[..., 0], DEEP // 16)
    pixels = DEEP * 16
    large = with_palette(pixels, [0, 0, 16], np.arange(65536).astype("<u2").tobytes(), "OW")
    assert np.abs(picture(large, tmp_path)[..., 0] - pixels / 257).max() <= 0.5


def test_indices_outside_of_a_table_take_its_ends(tmp_path: Path) -> None:
    data = np.linspace(10 * 257, 200 * 257, 100).round().astype("<u2").tobytes()
    shown = picture(with_palette(INDEX, [100, 50, 16], data, "OW"), tmp_path)[..., 0].ravel()
    assert set(shown[:51]) == {10}
    assert set(shown[149:]) == {200}
    assert np.all(np.diff(shown[50:150]) >= 1)


@pytest.mark.parametrize(
    ("bits", "entries"),
    [(8, np.arange(4096) // 16), (10, np.arange(4096) // 4), (12, np.arange(4096))]
    + [(16, np.arange(4096) * 16), (0, np.arange(4096) * 16)],
)
def test_a_voi_lut_is_scaled_by_its_own_depth(
    tmp_path: Path, bits: int, entries: np.ndarray
) -> None:
    item = table([4096, 0, bits], entries.astype("<u2").tobytes())
    shown = picture(dicom(DEEP, bits_stored=12, VOILUTSequence=Sequence([item])), tmp_path)
    assert np.abs(shown - DEEP * (255 / 4095)).max() <= 1


@pytest.mark.parametrize("written_as", ["negative values", "US for them"])
def test_the_first_value_of_a_table_has_the_sign_of_the_values(
    tmp_path: Path, written_as: str
) -> None:
    item = table([4096, 0x10000 - 2048, 12], np.arange(4096).astype("<u2").tobytes())
    if written_as == "negative values":
        image = dicom((DEEP.astype(int) - 2048).astype(np.int16), bits_stored=12)
    else:
        image = dicom(DEEP, bits_stored=12, RescaleSlope=1, RescaleIntercept=-2048)
    image.VOILUTSequence = Sequence([item])
    assert np.abs(picture(image, tmp_path) - DEEP * (255 / 4095)).max() <= 1


def test_a_modality_lut_comes_before_the_window(tmp_path: Path) -> None:
    item = table([4096, 0, 16], np.arange(4096)[::-1].astype("<u2").tobytes())
    image = dicom(DEEP, bits_stored=12, WindowCenter=2048, WindowWidth=4096)
    image.ModalityLUTSequence = Sequence([item])
    assert np.abs(picture(image, tmp_path) - (255 - DEEP * (255 / 4095))).max() <= 1


def test_empty_sequences_and_items_of_tables_are_as_if_absent(tmp_path: Path) -> None:
    plain = picture(dicom(DEEP, bits_stored=12, WindowCenter=900, WindowWidth=800), tmp_path)
    for sequence in (Sequence([]), Sequence([Dataset()])):
        image = dicom(DEEP, bits_stored=12, WindowCenter=900, WindowWidth=800)
        image.VOILUTSequence = image.ModalityLUTSequence = sequence
        assert np.array_equal(picture(image, tmp_path), plain)


def test_a_table_of_too_few_entries_is_refused(tmp_path: Path) -> None:
    image = with_palette(INDEX, [256, 0, 16], bytes(400), "OW")
    with pytest.raises(DataError, match=r"one\.dcm: its Red\S+ has 400 bytes for 256 entries"):
        picture(image, tmp_path)


def segmented(units: list[int], count: int, unit_bytes: int = 2) -> list[int]:
    return expanded(np.array(units, dtype=np.uint16), unit_bytes, count, "Table").tolist()


def test_segments_are_expanded() -> None:
    discrete = [0, 3, 10, 20, 30]
    line = [1, 4, 70]
    assert segmented([*discrete, *line], 7) == [10, 20, 30, 40, 50, 60, 70]
    # Once more the line, which begins at byte 10 of words, and at byte 5 of bytes.
    again = [10, 20, 30, 40, 50, 60, 70, 70, 70, 70, 70]
    assert segmented([*discrete, *line, 2, 1, 10, 0], 11) == again
    assert segmented([*discrete, *line, 2, 1, 5, 0, 0, 0], 11, 1) == again


@pytest.mark.parametrize(
    ("units", "what"),
    [
        ([1, 4, 70], "a line without a first entry"),
        ([0, 2, 5, 6, 2, 1, 8, 0], "an indirect segment inside another"),
        ([0, 2, 5, 6, 2, 60000, 0, 0], "an indirect segment inside another"),
        ([0, 2, 5, 6, 2, 1, 0, 60000], "ends after the data"),
        ([0, 0, 0, 0], "a segment of no length"),
        ([0, 9, 1], "ends after the data"),
        ([7, 1, 1, 1], "an unknown segment"),
        ([0, 2, 5, 6], "makes 2 of 256 entries"),
        ([0, 2, 5, 6, 1, 60000, 9], "more entries than declared"),
    ],
)
def test_hostile_segments_are_refused(units: list[int], what: str) -> None:
    with pytest.raises(ElementError, match=what):
        segmented(units, 256)


def test_a_segmented_palette_is_the_plain_one(tmp_path: Path) -> None:
    image = dicom(INDEX, photometric="PALETTE COLOR")
    for colour in (1, 2, 3):
        image.add_new(0x00281100 + colour, "US", [256, 0, 16])
        units = np.array([0, 1, 0, 1, 255, 65535], dtype="<u2")
        image.add_new(0x00281220 + colour, "OW", units.tobytes())
    assert np.array_equal(picture(image, tmp_path)[..., 0], INDEX)
