"""Where ``chestxray`` comes from: the folder, a copy, a download, last a synthetic cohort."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest

from he_compare.common.datasets.chestxray import DATASET
from he_compare.common.datasets.embedded import substitutes
from he_compare.common.datasets.medmnist_sets.known_sets import known_set
from he_compare.common.datasets.medmnist_sets.npz_files import find_or_fetch
from he_compare.common.datasets.opened.inspection import check
from he_compare.common.datasets.reading import download
from he_compare.common.datasets.reading.search import data_cache
from he_compare.common.datasets.reading.source_policy import SourcePolicy, source_policy
from he_compare.common.errors import EXIT_USAGE, DataError
from he_compare.common.types import Split
from tests.support.imagefolders import write_chestxray_like, write_medmnist_like

NAME = "pneumoniamnist_224.npz"


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COMPARE_DATA", raising=False)
    monkeypatch.setattr(download, "open_address", lambda *_: pytest.fail("used the network"))


def serve(monkeypatch: pytest.MonkeyPatch, content: bytes | Exception) -> list[str]:
    """Let the network answer with ``content``, and be it what MedMNIST promises."""
    asked: list[str] = []

    @contextmanager
    def opened(address: str, seconds: float) -> Iterator[Any]:
        asked.append(address)
        if isinstance(content, Exception):
            raise content
        parts = iter([content, b""])
        yield SimpleNamespace(
            read=lambda _: next(parts), headers={"Content-Length": str(len(content))}
        )

    monkeypatch.setattr(download, "open_address", opened)
    return asked


def small_set(folder: Path) -> Path:
    return write_medmnist_like(folder / NAME, (12, 4, 6), size=224)


def test_an_existing_folder_needs_no_note_and_no_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write_chestxray_like(tmp_path / "chestxray", 20, 8, size=24)
    monkeypatch.setenv("COMPARE_DATA", str(tmp_path))
    data = DATASET.open("", None, "", 0)
    assert not data.card.synthetic
    assert not any("COMPARE_DATA" in note for note in data.notes)
    assert caplog.messages == []


def test_a_compare_data_without_the_set_is_passed_over_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    monkeypatch.setenv("COMPARE_DATA", str(tmp_path / "other"))
    write_chestxray_like(data_cache("chestxray"), 20, 8, size=24)
    notes = DATASET.open("", None, "", 0).notes
    assert "the folder of COMPARE_DATA lacks chestxray: it was found elsewhere" in notes
    assert not any(str(tmp_path) in note for note in notes)


def test_pneumoniamnist_at_224_px_stands_in_for_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_set(tmp_path / "pneumoniamnist")
    monkeypatch.setenv("COMPARE_DATA", str(tmp_path))
    data = DATASET.open("", None, "published", 0)
    assert data.card.name == "chestxray"
    assert data.card.classes == ["NORMAL", "PNEUMONIA"]
    assert "PneumoniaMNIST at 224 px" in data.card.title
    assert not data.card.synthetic
    assert [len(data.index(split).ids) for split in Split] == [12, 4, 6]


def test_its_balanced_choice_has_no_copies(tmp_path: Path) -> None:
    path = small_set(tmp_path)
    with np.load(path) as stored:
        arrays = {name: stored[name].copy() for name in stored.files}
    arrays["train_images"][0] = arrays["test_images"][0]
    np.savez_compressed(path, **arrays)
    data = DATASET.open("", tmp_path, "balanced", 0)
    assert [np.bincount(data.index(s).labels).tolist() for s in Split] == [[5, 5], [2, 2], [3, 3]]
    found = check(data).copies
    assert found.across == 0
    name = data.index(Split.TRAIN).ids[3]
    row = int(name.rpartition("/")[2])
    native = data.native(Split.TRAIN, np.array([3]))  # type: ignore[attr-defined]
    assert np.array_equal(next(native)[:, :, 0], arrays["train_images"][row])


def test_the_download_is_used_once_it_is_whole_and_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = small_set(tmp_path / "served").read_bytes()
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    import medmnist

    monkeypatch.setitem(medmnist.INFO["pneumoniamnist"], "MD5_224", md5)
    asked = serve(monkeypatch, content)
    for policy in (SourcePolicy(), SourcePolicy(offline=True, require_real=True)):
        with source_policy(policy):
            data = DATASET.open("", None, "", 0)
        assert "PneumoniaMNIST at 224 px" in data.card.title
    assert asked == [medmnist.INFO["pneumoniamnist"]["url_224"]]


def test_an_altered_download_is_not_used_and_the_cohort_taken_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    serve(monkeypatch, b"not what was promised")
    with source_policy(SourcePolicy()):
        data = DATASET.open("", None, "", 0)
    assert data.card.synthetic
    assert "it was deleted and not used" in caplog.messages[-1]
    assert not any(data_cache("pneumoniamnist").iterdir())


def test_without_data_and_network_the_synthetic_cohort_is_taken_loudly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    serve(monkeypatch, URLError("Name or service not known"))
    with source_policy(SourcePolicy()):
        data = DATASET.open("", None, "balanced", 0)
    assert data.card.synthetic
    assert data.subset == "balanced"
    last = caplog.messages[-1]
    assert last.startswith("WARNING: no real chest X-rays found; using the synthetic cohort")
    assert "Name or service not known" in last
    assert "\n" not in last
    assert any("no real data was found" in note for note in data.notes)
    assert not any(str(tmp_path) in note for note in data.notes)


def test_offline_no_download_is_tried(caplog: pytest.LogCaptureFixture) -> None:
    with source_policy(SourcePolicy(offline=True)):
        data = DATASET.open("", None, "", 0)
    assert data.card.synthetic
    assert any("(offline)" in note for note in data.notes)
    assert len(caplog.messages) == 1


def test_require_real_refuses_the_cohort_with_exit_code_2() -> None:
    with (
        source_policy(SourcePolicy(offline=True, require_real=True)),
        pytest.raises(DataError, match=r"no real chestxray data found.*offline.*--data-dir") as it,
    ):
        DATASET.open("", None, "", 0)
    assert it.value.exit_code == EXIT_USAGE == 2


def test_an_explicit_folder_without_the_data_is_an_error_and_nothing_else_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(substitutes, "open_synthetic", lambda *_: pytest.fail("fell back"))
    (tmp_path / "mine").mkdir()
    with (
        source_policy(SourcePolicy()),
        pytest.raises(DataError, match=r"mine \(--data-dir: empty\)"),
    ):
        DATASET.open("", tmp_path / "mine", "", 0)


def test_a_set_that_cannot_be_fetched_names_the_places_and_the_fix(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    serve(monkeypatch, URLError("no route to host"))
    with (
        source_policy(SourcePolicy()),
        pytest.raises(
            DataError, match=r"looked in .*user cache.*no route to host.*fetch bloodmnist\.npz from"
        ),
    ):
        find_or_fetch(known_set("bloodmnist"), 28, None)
