"""Mutated DICOM files end as a picture or as one clear error, in bounded time."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence
from pydicom.uid import RLELossless

from he_compare.common.datasets.reading.dicom_header import read_header
from he_compare.common.datasets.reading.dicom_pixels import open_dicom
from he_compare.common.errors import DataError
from tests.support.dicomfolders import SECRETS, dicom, save

PIXELS = np.arange(256, dtype=np.uint16).reshape(16, 16)
MUTANTS = 500
SECONDS = 2.0


def grey() -> FileDataset:
    table = Dataset()
    table.add_new(0x00283002, "US", [256, 0, 16])
    table.add_new(0x00283006, "OW", (np.arange(256) * 257).astype("<u2").tobytes())
    return dicom(
        PIXELS,
        bits_stored=12,
        VOILUTSequence=Sequence([table]),
        RescaleSlope=2,
        RescaleIntercept=-5,
        PixelPaddingValue=0,
    )


def palette() -> FileDataset:
    image = dicom(PIXELS.astype(np.uint8), photometric="PALETTE COLOR")
    units = np.array([0, 3, 0, 900, 1800, 1, 200, 65535, 2, 1, 0, 0, 1, 50, 0], dtype="<u2")
    for colour in (1, 2, 3):
        image.add_new(0x00281100 + colour, "US", [256, 0, 16])
        image.add_new(0x00281220 + colour, "OW", units.tobytes())
    return image


def frames() -> FileDataset:
    image = dicom(PIXELS, NumberOfFrames=3, WindowCenter=100, WindowWidth=200)
    image.PixelData = np.stack([PIXELS] * 3).tobytes()
    image.compress(RLELossless)
    return image


@pytest.mark.parametrize("make", [grey, palette, frames])
def test_mutants_are_read_or_refused_in_one_line(
    tmp_path: Path, make: object, capfd: pytest.CaptureFixture[str]
) -> None:
    assert callable(make)
    dataset = make()
    if "PixelPaddingValue" in dataset:
        dataset["PixelPaddingValue"].VR = "US"
    raw = np.frombuffer(save(dataset, tmp_path / "whole.dcm").read_bytes(), dtype=np.uint8)
    assert read_header(tmp_path / "whole.dcm", "whole.dcm", "all") is not None
    generator = np.random.default_rng(15)
    path = tmp_path / "one.dcm"
    read = refused = 0
    for _ in range(MUTANTS):
        path.write_bytes(mutated(raw, generator))
        started = time.process_time()
        try:
            header = read_header(path, "one.dcm", "all")
            for frame in header.chosen[:3] if header else ():
                open_dicom(path, "one.dcm", frame)
            read += 1
        except DataError as error:
            refused += 1
            assert "\n" not in str(error)
            assert not any(secret in str(error) for secret in SECRETS)
        assert time.process_time() - started < SECONDS
    assert read > MUTANTS // 50
    assert refused > MUTANTS // 50
    assert not any(capfd.readouterr())


def mutated(raw: np.ndarray, generator: np.random.Generator) -> bytes:
    """Change up to eight bytes after the preamble, or cut the file."""
    changed = raw.copy()
    count = int(generator.integers(1, 9))
    places = generator.integers(132, len(raw), count)
    changed[places] = generator.choice([0, 1, 2, 0x7F, 0x80, 0xFF, 0x32, 0x53], count)
    cut = len(raw) if generator.random() < 0.9 else int(generator.integers(132, len(raw)))
    return changed[:cut].tobytes()
