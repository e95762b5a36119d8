"""`compare data forget` lists the decoded images of the cache, and deletes them when told to."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from he_compare.common.datasets.folder import DATASET
from he_compare.common.datasets.stored.image_store import StoreWish, decoded_images
from he_compare.common.kept import FEATURES_FOLDER, Kept, KeptResults
from he_compare.common.types import Split
from he_compare.comparisons import user_folders
from he_compare.comparisons.cli.app import app
from he_compare.comparisons.cli.doctor import examine


def test_decoded_images_are_listed_and_deleted_only_when_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setattr(user_folders, "default_cache_dir", lambda: cache)
    DATASET.example(tmp_path / "films")
    dataset = DATASET.open(str(tmp_path / "films"), None, "", 0)
    chosen = {split: np.arange(len(dataset.index(split).ids)) for split in Split}
    file = decoded_images(dataset, chosen, StoreWish(cache, 16), looks=False).file.path
    listed = CliRunner().invoke(app, ["data", "forget"]).output
    assert f"{file.name}  40 images of 16 x 16 pixels" in listed and "--yes deletes" in listed
    (doctors,) = [one for one in examine(None, cache, cache) if one.name == "decoded images"]
    assert "compare data forget --yes" in doctors.fix and file.exists()
    told = json.loads(CliRunner().invoke(app, ["data", "forget", "--yes", "--json"]).output)
    assert told["deleted"] and told["files"][0]["path"] == file.name
    assert not file.exists()
    assert "0 files, 0.0 MiB kept" in CliRunner().invoke(app, ["data", "forget"]).output


def test_features_of_images_are_counted_and_deleted_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_folders, "default_cache_dir", lambda: tmp_path)
    cache = KeptResults(tmp_path / FEATURES_FOLDER, private=True)
    for name in ("features-a", "features-b"):
        cache.keep(name, Kept(bytes(1024)))
    listed = CliRunner().invoke(app, ["data", "forget"]).output
    assert f"features of images: 2 files in {cache.folder}, 0.0 MiB" in listed
    assert "2 files, 0.0 MiB kept; --yes deletes them" in listed
    assert len(cache.names()) == 2
    told = json.loads(CliRunner().invoke(app, ["data", "forget", "--yes", "--json"]).output)
    assert told["features"]["files"] == 2
    assert not cache.names()
