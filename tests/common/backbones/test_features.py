"""Features that were made before are used again, and the record says what they cost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from he_compare.common.backbones.features import cached_features
from he_compare.common.run.store import ArtefactFolder, load_arrays, save_arrays
from he_compare.common.types import ImageBatch
from tests.support.extractors import FakeExtractor
from tests.support.runcontext import run_context


def batch() -> ImageBatch:
    images = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    ids = tuple("abcdef")
    return ImageBatch(ids=ids, images=images, labels=np.arange(6) % 2, groups=ids)


def test_features_are_made_once_and_told_as_reused_with_what_they_cost(tmp_path: Path) -> None:
    store = ArtefactFolder(tmp_path / "artefacts")
    context = run_context(tmp_path, store)
    extractor = FakeExtractor("deit", 32, "untrained", 0, width=4)
    first = cached_features(batch(), context, extractor)
    assert store.drain_reused() == []
    second = cached_features(batch(), context, extractor)
    (reused,) = store.drain_reused()
    np.testing.assert_array_equal(first, second)
    assert extractor.seen == 6
    assert reused.name.startswith("features-")
    assert reused.seconds is not None and reused.seconds > 0


def test_features_of_another_number_of_threads_are_made_anew(tmp_path: Path) -> None:
    context = run_context(tmp_path, ArtefactFolder(tmp_path / "artefacts"))
    extractor = FakeExtractor("deit", 32, "untrained", 0, width=4)
    for threads in (1, 2, 1):
        own = replace(context, settings=replace(context.settings, threads=threads))
        cached_features(batch(), own, extractor)
    assert extractor.seen == 12


def test_features_kept_before_costs_were_recorded_are_reused_without_a_cost(
    tmp_path: Path,
) -> None:
    store = ArtefactFolder(tmp_path / "artefacts")
    context = run_context(tmp_path, store)
    extractor = FakeExtractor("deit", 32, "untrained", 0, width=4)
    cached_features(batch(), context, extractor)
    (file,) = (tmp_path / "features").glob("*.npz")
    save_arrays(file, {"features": load_arrays(file)["features"]})
    cached_features(batch(), context, extractor)
    assert [one.seconds for one in store.drain_reused()] == [None]


def test_an_artefact_remembers_what_making_it_took(tmp_path: Path) -> None:
    store = ArtefactFolder(tmp_path)
    for _ in range(2):
        assert store.get_or_make("kind", {"a": 1}, lambda: b"made") == b"made"
    (reused,) = store.drain_reused()
    assert reused.seconds is not None and reused.seconds >= 0
    (sums,) = tmp_path.glob("*.sha256")
    sums.write_text(sums.read_text().split("\n")[0] + "\n")
    store.get_or_make("kind", {"a": 1}, lambda: b"other")
    assert [one.seconds for one in store.drain_reused()] == [None]
