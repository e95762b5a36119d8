"""A store is made anew after an upgrade: which code and which libraries its reader is made of."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from he_compare.common import identity, sources
from he_compare.common.contracts import OpenDataset
from he_compare.common.datasets.dicom import DATASET as DICOM
from he_compare.common.datasets.opened.indexed import IndexedImages
from he_compare.common.datasets.stored import reader_code
from he_compare.common.datasets.stored.image_store import StoreWish, decoded_images
from he_compare.common.datasets.stored.reader_code import code_behind, reader_version
from he_compare.common.sources import sources_of
from he_compare.common.types import Split

Opened = Callable[[], OpenDataset]
HOUSE = "he_compare.common.datasets"
OPENER = """
from PIL import Image

class Opener:
    def __call__(self, path, name):
        return Image.open(path).convert("L").point(lambda value: value // {part})
    def file_behind(self, path, name):
        return path, ""
"""


def test_the_reader_is_the_pass_the_dataset_and_its_opener(opened: Opened, tmp_path: Path) -> None:
    pictures = sources_of(*code_behind(opened()))
    for name in ("opened.fingerprint", "opened.invariants", "opened.looks", "opened.indexed"):
        assert f"{HOUSE}.{name}" in pictures
    assert f"{HOUSE}.reading.picture_survey" in pictures
    DICOM.example(tmp_path / "slices")
    frames = DICOM.open("", tmp_path / "slices", "", 0)
    assert f"{HOUSE}.reading.dicom_pixels" in sources_of(*code_behind(frames))
    assert reader_version(frames) != reader_version(opened()) == reader_version(opened())


@pytest.mark.parametrize(
    "package", ["pydicom", "pylibjpeg", "pylibjpeg-openjpeg", "pillow", "numpy"]
)
def test_another_version_of_a_decoder_is_another_reader(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    before, versions = reader_version(opened()), reader_code.package_version
    monkeypatch.setattr(
        reader_code, "package_version", lambda name: versions(name) + "1" * (name == package)
    )
    assert reader_version(opened()) != before


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], Any]]:
    """Return a function that installs a version of somebody's opener and returns one of it."""
    file = tmp_path / "films_of_ours.py"
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def install(part: int) -> Any:
        file.write_text(OPENER.format(part=part))
        sys.modules.pop(file.stem, None)
        importlib.invalidate_caches()
        for kept in (sources.sources_of, sources._read, sources._imported_by):
            kept.cache_clear()
        identity.source_digest.cache_clear()
        identity._code_digest.cache_clear()
        return importlib.import_module(file.stem).Opener()

    yield install
    sys.modules.pop(file.stem, None)


def test_images_are_decoded_again_after_an_upgrade_of_a_plug_in(
    opened: Opened,
    plugin: Callable[[int], Any],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    house = opened()
    assert isinstance(house, IndexedImages)
    chosen = {split: np.arange(len(house.index(split).ids)) for split in Split}
    wish = StoreWish(tmp_path / "cache", 16)

    def natives(part: int) -> tuple[bool, list[str]]:
        dataset = replace(house, opener=plugin(part))
        found = decoded_images(dataset, chosen, wish, looks=False)
        return found.reused, found.natives(Split.TRAIN, chosen[Split.TRAIN])

    _, first = natives(2)
    assert natives(2) == (True, first)
    with caplog.at_level(logging.WARNING):
        reused, second = natives(3)
    assert not reused and set(first).isdisjoint(second)
    assert "another version of the reader" in caplog.text


def test_code_that_cannot_be_read_is_never_the_same_reader(opened: Opened) -> None:
    typed = type("Typed", (IndexedImages,), {"__module__": "of_no_file"})
    dataset = typed(**vars(opened()))
    assert reader_version(dataset) != reader_version(dataset)
