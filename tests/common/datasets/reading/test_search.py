"""Data is looked for in --data-dir alone, else in COMPARE_DATA and then in the user cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from he_compare.common.datasets.reading import search
from he_compare.common.errors import DataError


def marker(folder: Path) -> Path | None:
    return folder if (folder / "marker").is_file() else None


def mark(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "marker").write_text("x")
    return folder


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPARE_DATA", str(tmp_path / "env"))
    monkeypatch.setattr(search, "data_cache", lambda name: tmp_path / "cache" / name)


def find(data_dir: Path | None = None) -> Path:
    return search.require("thing", data_dir, marker, "marker")


@pytest.mark.parametrize("below", ["", "thing"])
def test_data_dir_is_the_dataset_or_contains_it(tmp_path: Path, below: str) -> None:
    wanted = mark(tmp_path / "given" / below)
    assert find(tmp_path / "given") == wanted


@pytest.mark.parametrize("below", ["", "thing"])
def test_compare_data_comes_before_the_cache(tmp_path: Path, below: str) -> None:
    mark(tmp_path / "cache" / "thing")
    assert find() == tmp_path / "cache" / "thing"
    wanted = mark(tmp_path / "env" / below)
    assert find() == wanted


def test_a_data_dir_without_the_data_is_not_passed_over(tmp_path: Path) -> None:
    mark(tmp_path / "env")
    with pytest.raises(DataError, match=r"given.*--data-dir: no such folder"):
        find(tmp_path / "given")


def test_every_place_is_told_with_what_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "env" / "thing").mkdir(parents=True)
    with pytest.raises(DataError) as refused:
        find()
    told = str(refused.value)
    assert f"{tmp_path / 'env'} (COMPARE_DATA: no marker)" in told
    assert f"{tmp_path / 'env' / 'thing'} (COMPARE_DATA: empty)" in told
    assert f"{tmp_path / 'cache' / 'thing'} (user cache: no such folder)" in told
    assert "\n" not in told
