"""Stored DICOM values become grey levels by what elements mean, not by whether they are there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence

from he_compare.common.datasets.reading.dicom_header import read_header
from he_compare.common.datasets.reading.dicom_pixels import open_dicom
from he_compare.common.errors import DataError
from tests.support.dicomfolders import dicom, save

DEEP = np.arange(4096, dtype=np.uint16).reshape(64, 64)
SHALLOW = (40 + np.arange(256) // 2).astype(np.uint8).reshape(16, 16)
WINDOW = {"WindowCenter": 2048, "WindowWidth": 4096}
EMPTY = (
    "RescaleSlope",
    "RescaleIntercept",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "VOILUTSequence",
    "ModalityLUTSequence",
    "NumberOfFrames",
    "PerFrameFunctionalGroupsSequence",
)


def picture(dataset: FileDataset, folder: Path, frame: int = 0) -> np.ndarray:
    path = save(dataset, folder / "one.dcm")
    return np.asarray(open_dicom(path, "one.dcm", frame)).astype(int)


def test_empty_elements_are_as_if_absent(tmp_path: Path) -> None:
    plain = picture(dicom(DEEP, bits_stored=12), tmp_path)
    image = dicom(DEEP, bits_stored=12)
    for keyword in EMPTY:
        setattr(image, keyword, Sequence([]) if keyword.endswith("Sequence") else None)
    for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit"):
        image[keyword].VR = "US"
    assert np.array_equal(picture(image, tmp_path), plain)


@pytest.mark.parametrize("pixels", [SHALLOW, DEEP, DEEP.view(np.int16), SHALLOW.view(np.int8)])
def test_a_rescale_that_changes_nothing_changes_nothing(tmp_path: Path, pixels: Any) -> None:
    plain = picture(dicom(pixels), tmp_path)
    for elements in (
        {"RescaleSlope": 1, "RescaleIntercept": 0},
        {"RescaleSlope": 1},
        {"RescaleIntercept": 0},
        {"RescaleSlope": 0, "RescaleIntercept": 0},
        {"RescaleSlope": 2, "RescaleIntercept": -10},
    ):
        assert np.array_equal(picture(dicom(pixels, **elements), tmp_path), plain)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(("high_bit", "rest"), [(11, 0xF000), (13, 0xC003), (15, 0x000F)])
def test_the_high_bit_says_where_values_lie_and_other_bits_are_cleared(
    tmp_path: Path, high_bit: int, rest: int, signed: bool
) -> None:
    values = DEEP.astype(np.int64) - (2048 if signed else 0)
    stored = ((values & 0xFFF) << (high_bit - 11)) | rest
    image = dicom(
        stored.astype(np.uint16).view(np.int16 if signed else np.uint16),
        bits_stored=12,
        HighBit=high_bit,
        WindowCenter=0 if signed else 2048,
        WindowWidth=4096,
    )
    assert np.abs(picture(image, tmp_path) - DEEP * (255 / 4095)).max() <= 1


def test_a_range_of_padding_is_black_and_left_out_of_the_extremes(tmp_path: Path) -> None:
    pixels = (DEEP // 4 + 1000).astype(np.uint16)
    pixels[:4], pixels[4:8] = 0, 50
    for value, limit in ((0, 100), (100, 0)):
        image = dicom(pixels, bits_stored=12, PixelPaddingValue=value, PixelPaddingRangeLimit=limit)
        for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit"):
            image[keyword].VR = "US"
        shown = picture(image, tmp_path)
        assert not shown[:8].any()
        assert (shown[8:].min(), shown[8:].max()) == (0, 255)


@pytest.mark.parametrize(("value", "vr"), [(63536, "US"), (-2000, "SS")])
def test_padding_has_the_sign_of_the_pixels(tmp_path: Path, value: int, vr: str) -> None:
    pixels = (DEEP.astype(int) // 8).astype(np.int16)
    pixels[:4] = -2000
    image = dicom(pixels, PixelPaddingValue=value)
    image["PixelPaddingValue"].VR = vr
    shown = picture(image, tmp_path)
    assert not shown[:4].any()
    assert (shown[4:].min(), shown[4:].max()) == (0, 255)


def test_a_window_below_one_is_applied_where_values_are_fractions(tmp_path: Path) -> None:
    fractions = dicom(
        DEEP, bits_stored=12, RescaleSlope="0.0001", WindowCenter="0.2", WindowWidth="0.4"
    )
    expected = np.clip(DEEP * (0.0001 / 0.4), 0, 1) * 255
    assert np.abs(picture(fractions, tmp_path) - expected).max() <= 0.5 + 1e-6


@pytest.mark.parametrize("width", ["0", "0.5", "-5", "NaN", "inf", ""])
def test_a_window_that_is_none_is_counted_and_passed_over(tmp_path: Path, width: str) -> None:
    image = dicom(DEEP, bits_stored=12)
    plain = picture(image, tmp_path)
    image.add_new(0x00281050, "LO", "100")  # written as text, so that pydicom takes any number
    image.add_new(0x00281051, "LO", width)
    path = save(image, tmp_path / "one.dcm")
    path.write_bytes(
        path.read_bytes()
        .replace(b"\x28\x00\x50\x10LO", b"\x28\x00\x50\x10DS")
        .replace(b"\x28\x00\x51\x10LO", b"\x28\x00\x51\x10DS")
    )
    assert np.array_equal(np.asarray(open_dicom(path, "one.dcm")), plain)
    header = read_header(path, "one.dcm")
    assert header is not None
    assert header.no_window == bool(width)


def test_the_first_window_that_is_one_is_taken(tmp_path: Path) -> None:
    several = dicom(DEEP, bits_stored=12, WindowCenter=[9, 900, 5], WindowWidth=[0, 800, 7])
    one = dicom(DEEP, bits_stored=12, WindowCenter=900, WindowWidth=800)
    assert np.array_equal(picture(several, tmp_path), picture(one, tmp_path))


@pytest.mark.parametrize(
    ("elements", "what"),
    [
        ({"VOILUTFunction": "CUBIC", **WINDOW}, "its VOILUTFunction is none of LINEAR"),
        ({"HighBit": 5}, "its high bit 5 does not go with 12 of 16 bits"),
        ({"BitsAllocated": 12}, "has 12 bits allocated per value"),
        ({"SamplesPerPixel": 3}, "is MONOCHROME2 with 3 samples per pixel"),
        ({"NumberOfFrames": 30000}, "claims 30,000 frames, more than 20,000"),
    ],
)
def test_headers_that_cannot_be_are_refused(
    tmp_path: Path, elements: dict[str, Any], what: str
) -> None:
    with pytest.raises(DataError, match=what):
        picture(dicom(DEEP, bits_stored=12, **elements), tmp_path)


@pytest.mark.parametrize("dtype", [np.uint32, np.int32])
def test_values_of_32_bits_go_from_smallest_to_largest(tmp_path: Path, dtype: Any) -> None:
    pixels = ((DEEP.astype(np.int64) - 2000 * (dtype is np.int32)) * 100_000).astype(dtype)
    assert np.abs(picture(dicom(pixels), tmp_path) - DEEP * (255 / 4095)).max() <= 0.5


def test_one_bit_is_black_or_white(tmp_path: Path) -> None:
    bits = np.random.default_rng(0).integers(0, 2, (16, 16), dtype=np.uint8)
    image = dicom(bits, bits_stored=1, BitsAllocated=1)
    image.PixelData = np.packbits(bits, bitorder="little").tobytes()
    assert np.array_equal(picture(image, tmp_path), bits * 255)


def functional(**elements: Any) -> Dataset:
    """Return a functional group with a rescale and a window."""
    group, values, window = Dataset(), Dataset(), Dataset()
    values.RescaleSlope, values.RescaleIntercept = elements["rescale"]
    window.WindowCenter, window.WindowWidth = elements["window"]
    group.PixelValueTransformationSequence = Sequence([values])
    group.FrameVOILUTSequence = Sequence([window])
    return group


def test_each_frame_of_an_enhanced_object_has_its_own_rescale_and_window(tmp_path: Path) -> None:
    own = [
        {"rescale": (1, 0), "window": (2048, 4096)},
        {"rescale": (2, -1000), "window": (500, 3000)},
    ]
    frames = np.stack([DEEP, DEEP])
    image = dicom(frames[0], bits_stored=12, NumberOfFrames=2, WindowCenter=1, WindowWidth=2)
    image.PixelData = frames.tobytes()
    image.PerFrameFunctionalGroupsSequence = Sequence([functional(**one) for one in own])
    for frame, one in enumerate(own):
        (slope, intercept), (center, width) = one["rescale"], one["window"]
        alone = dicom(
            DEEP,
            bits_stored=12,
            RescaleSlope=slope,
            RescaleIntercept=intercept,
            WindowCenter=center,
            WindowWidth=width,
        )
        assert np.array_equal(picture(image, tmp_path, frame), picture(alone, tmp_path))
    del image.PerFrameFunctionalGroupsSequence
    image.SharedFunctionalGroupsSequence = Sequence([functional(**own[1])])
    assert np.array_equal(picture(image, tmp_path, 0), picture(alone, tmp_path))
