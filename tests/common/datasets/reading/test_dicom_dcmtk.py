"""Pictures against DCMTK's, on every file of pydicom's wheel and on the cases that failed once.

DCMTK is not needed: what it made of the files is kept (``tests/support/dcmtk.py``). Where its
commands are on the path, pictures are compared pixel by pixel as well.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from he_compare.common.datasets.reading.dicom_pixels import open_dicom
from he_compare.common.errors import DataError
from tests.support.dcmtk import (
    REFERENCES,
    TEST_FILES,
    dcmtk_options,
    dcmtk_picture,
    fields,
    has_dcmtk,
    shipped_pictures,
)

LEVELS = 2
KEPT = json.loads(REFERENCES.read_text(encoding="utf-8"))
RECIPES = dict(shipped_pictures())

# Read by DCMTK, and by the product only with the package that its message names.
NEED_A_CODEC = {
    "JPEGLSNearLossless_08.dcm": "pyjpegls",
    "JPEGLSNearLossless_16.dcm": "pyjpegls",
    "MR_small_jpeg_ls_lossless.dcm": "pyjpegls",
    "SC_rgb_jls_lossy_line.dcm": "pyjpegls",
    "SC_rgb_jls_lossy_sample.dcm": "pyjpegls",
    "JPGExtended.dcm": "pylibjpeg-libjpeg",
    "SC_rgb_jpeg_gdcm.dcm": "pylibjpeg-libjpeg",
}
# Read by DCMTK, and refused: what the message says.
REFUSED = {"JPEG-lossy.dcm": "false parameters of a scan.*dcmdjpeg"}
# Read by both, with another picture, and why the product's is right.
BIG_ENDIAN = "DCMTK swaps 32-bit values in words of 16; the little-endian twin gives this picture"
OTHER_PICTURE = {
    "rtdose_expb.dcm": ("rtdose.dcm", BIG_ENDIAN),
    "rtdose_expb_1frame.dcm": ("rtdose_1frame.dcm", BIG_ENDIAN),
}
# Files with pixels and a sound header that DCMTK 3.6.7 makes no picture of, and why.
NOT_BY_DCMTK = {
    **dict.fromkeys(
        (
            "693_J2KI.dcm",
            "GDCMJ2K_TextGBR.dcm",
            "J2K_pixelrep_mismatch.dcm",
            "JPEG2000-embedded-sequence-delimiter.dcm",
            "JPEG2000.dcm",
            "MR_small_jp2klossless.dcm",
            "SC_rgb_gdcm_KY.dcm",
            "examples_jpeg2k.dcm",
        ),
        "it has no JPEG 2000",
    ),
    "MR_truncated.dcm": "pixels are missing",
    "SC_rgb_jpeg.dcm": "it finds the JPEG stream to end too early",
}


def ours(name: str, frame: int) -> np.ndarray:
    return np.asarray(open_dicom(TEST_FILES / name, name, frame)).astype(int)


def test_every_picture_of_the_wheel_is_kept_or_has_a_reason() -> None:
    kept = {name.rpartition("#")[0] for name in KEPT}
    assert kept | set(NOT_BY_DCMTK) == set(RECIPES)
    assert not kept & set(NOT_BY_DCMTK)
    assert len(kept) >= 70


@pytest.mark.parametrize("key", sorted(KEPT))
def test_a_picture_is_dcmtks_within_two_levels(key: str) -> None:
    name, _, number = key.rpartition("#")
    frame = int(number)
    if name in REFUSED:
        with pytest.raises(DataError, match=REFUSED[name]):
            ours(name, frame)
        return
    try:
        picture = ours(name, frame)
    except DataError as error:
        assert name in NEED_A_CODEC, error
        assert NEED_A_CODEC[name] in error.fix
        return
    if name in OTHER_PICTURE:
        assert np.array_equal(picture, ours(OTHER_PICTURE[name][0], frame))
        return
    assert list(picture.shape[:2]) == KEPT[key]["size"]
    reference = np.array(KEPT[key]["fields"]).reshape(8, 8, -1)
    assert np.abs(fields(picture) - reference).max() <= LEVELS
    if has_dcmtk():
        whole = dcmtk_picture(TEST_FILES / name, frame, dcmtk_options(RECIPES[name], frame))
        assert whole is not None
        assert np.abs(_as_rgb(picture) - _as_rgb(whole)).max() <= LEVELS


def _as_rgb(picture: np.ndarray) -> np.ndarray:
    return picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)


@pytest.fixture(scope="module")
def cases() -> Path:
    folder = Path(os.environ.get("COMPARE_DATA", "")).parent / "cases" / "dicom"
    if not os.environ.get("COMPARE_DATA") or not folder.is_dir():
        pytest.skip("COMPARE_DATA names no folder with cases/dicom beside it")
    return folder


@pytest.mark.parametrize("name", ["high_bit_15", "pal_8in16_low", "rescale_empty", "voi_4096_to_8"])
def test_a_case_is_dcmtks_picture(cases: Path, name: str) -> None:
    picture = np.asarray(open_dicom(cases / f"{name}.dcm", name)).astype(int)
    reference = np.asarray(Image.open(cases / f"{name}.png")).astype(int)
    assert np.abs(_as_rgb(picture) - _as_rgb(reference)).max() <= LEVELS


def test_the_case_of_a_padding_range_uses_all_levels_for_its_image(cases: Path) -> None:
    """DCMTK shows the full range of 12 bits and no padding: the picture is 62 to 125 of 255."""
    stored = dcmread(cases / "padding_range.dcm").pixel_array.astype(int)
    picture = np.asarray(open_dicom(cases / "padding_range.dcm", "one")).astype(int)
    shown = stored > 100
    low, high = stored[shown].min(), stored[shown].max()
    expected = np.where(shown, (stored - low) * 255 / (high - low), 0)
    assert np.abs(picture - expected).max() <= 1


def test_the_case_of_a_narrow_window_shows_its_ramp(cases: Path) -> None:
    """DCMTK rounds values of 0 to 0.4 to whole numbers, and shows black."""
    stored = dcmread(cases / "window_width_below_1.dcm").pixel_array
    picture = np.asarray(open_dicom(cases / "window_width_below_1.dcm", "one")).astype(int)
    assert np.abs(picture - np.clip(stored * (0.0001 / 0.4), 0, 1) * 255).max() <= 1


def test_the_case_of_a_segmented_palette_is_pydicoms_picture(cases: Path) -> None:
    from pydicom.pixels.processing import apply_color_lut

    dataset = dcmread(cases / "pal_segmented.dcm")
    expected = apply_color_lut(dataset.pixel_array, dataset) / 65535 * 255
    picture = np.asarray(open_dicom(cases / "pal_segmented.dcm", "one")).astype(int)
    assert np.abs(picture - expected).max() <= 1
