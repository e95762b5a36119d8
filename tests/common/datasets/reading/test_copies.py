"""Copies among files: compared by pixels where that is affordable, else by bytes, else not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from he_compare.common.datasets.reading import copies
from he_compare.common.datasets.reading.copies import find_twins
from he_compare.common.errors import DataError


@pytest.fixture
def names(tmp_path: Path) -> list[str]:
    generator = np.random.default_rng(0)
    grey = generator.integers(0, 256, (12, 16), dtype=np.uint8)
    Image.fromarray(grey).save(tmp_path / "a.png")
    Image.fromarray(grey).convert("RGB").save(tmp_path / "b.bmp")
    Image.fromarray(grey.T).save(tmp_path / "turned.png")
    Image.fromarray(255 - grey).save(tmp_path / "other.png")
    (tmp_path / "c.png").write_bytes((tmp_path / "a.png").read_bytes())
    return ["a.png", "b.bmp", "c.png", "other.png", "turned.png"]


def test_equal_pixels_are_found_whatever_the_format(tmp_path: Path, names: list[str]) -> None:
    found = find_twins(tmp_path, names)
    assert set(found.keys) == {"a.png", "b.bmp", "c.png"}
    assert len(set(found.keys.values())) == 1
    assert found.copies == 2
    assert found.note().startswith("2 images are exact copies of another one (compared by pixels)")


def test_beyond_the_limit_files_are_compared_by_bytes_and_that_is_told(
    tmp_path: Path, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "MAX_DECODED_PIXELS", 100)
    found = find_twins(tmp_path, names)
    assert set(found.keys) == {"a.png", "c.png"}
    assert "file bytes, because" in found.note()


def test_beyond_both_limits_nothing_is_compared_and_that_is_told(
    tmp_path: Path, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "MAX_DECODED_PIXELS", 100)
    monkeypatch.setattr(copies, "MAX_READ_BYTES", 100)
    found = find_twins(tmp_path, names)
    assert not found.keys
    assert "copies were not looked for" in found.note()


def test_images_of_a_size_of_their_own_are_not_decoded(
    tmp_path: Path, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []
    real = copies.open_image
    monkeypatch.setattr(
        copies, "open_image", lambda path, name: decoded.append(name) or real(path, name)
    )
    find_twins(tmp_path, names)
    assert "turned.png" not in decoded


def test_a_broken_image_is_named(tmp_path: Path, names: list[str]) -> None:
    data = (tmp_path / "c.png").read_bytes()
    (tmp_path / "c.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=r"image c\.png cannot be decoded"):
        find_twins(tmp_path, names)


def test_files_of_one_length_and_end_are_told_apart_by_all_their_bytes(tmp_path: Path) -> None:
    end = bytes(copies.END_BYTES)
    for name, start in (("a", b"1"), ("b", b"1"), ("c", b"2"), ("d", b"12")):
        (tmp_path / name).write_bytes(start + end)
    keys, rule = copies.equal_files(tmp_path, ["a", "b", "c", "d"])
    assert (set(keys), rule) == ({"a", "b"}, "file bytes")


def test_a_file_that_vanishes_while_files_are_compared_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    with pytest.raises(DataError, match="image gone cannot be read: No such file"):
        copies.equal_files(tmp_path, ["a", "gone"])
