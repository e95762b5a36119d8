"""Features that were made before are used again, and the record says what they cost."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from he_compare.common.backbones.features import cached_features
from he_compare.common.run.kept_artefacts import ArtefactFolder
from he_compare.common.types import Float32Array, HeldPictures, ImageBatch, UInt8Array
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


def test_who_comes_while_they_are_made_waits_and_uses_them(tmp_path: Path) -> None:
    """Two workers of a machine extracted the same features beside each other."""
    began, go_on = threading.Event(), threading.Event()

    class Slow(FakeExtractor):
        def __call__(self, images: UInt8Array) -> Float32Array:
            began.set()
            assert go_on.wait(20)
            return super().__call__(images)

    first, second = (ArtefactFolder(tmp_path / name) for name in ("one", "two"))
    slow, late = (kind("deit", 32, "untrained", 0, width=4) for kind in (Slow, FakeExtractor))
    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(cached_features, batch(), run_context(tmp_path, first), slow)
        assert began.wait(20)
        two = pool.submit(cached_features, batch(), run_context(tmp_path, second), late)
        time.sleep(0.2)
        assert not two.done()
        go_on.set()
        np.testing.assert_array_equal(one.result(20), two.result(20))
    assert (slow.seen, late.seen) == (6, 0)
    assert len(second.drain_reused()) == 1 and second.drain_waited() > 0.1
    assert first.drain_waited() < 0.1
    assert [file.suffix for file in (tmp_path / "features").iterdir()] == [".kept"]


def test_what_a_killed_process_left_locked_blocks_nobody_and_goes(tmp_path: Path) -> None:
    context = run_context(tmp_path, ArtefactFolder(tmp_path / "artefacts"))
    extractor = FakeExtractor("deit", 32, "untrained", 0, width=4)
    cached_features(batch(), context, extractor)
    (kept,) = (tmp_path / "features").iterdir()
    lock = kept.with_name(f".{kept.stem}.lock")
    for before in (True, False):  # it was killed before they were kept, or just after
        lock.touch()
        if before:
            kept.unlink()
        cached_features(batch(), context, extractor)
        assert [*(tmp_path / "features").iterdir()] == [kept]
    assert extractor.seen == 12


def test_features_of_another_number_of_threads_are_made_anew(tmp_path: Path) -> None:
    context = run_context(tmp_path, ArtefactFolder(tmp_path / "artefacts"))
    extractor = FakeExtractor("deit", 32, "untrained", 0, width=4)
    for threads in (1, 2, 1):
        own = replace(context, settings=replace(context.settings, threads=threads))
        cached_features(batch(), own, extractor)
    assert extractor.seen == 12


def test_no_bit_of_a_cache_file_can_change_without_its_features_being_made_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    context = run_context(tmp_path, ArtefactFolder(tmp_path / "artefacts"))
    extractor = FakeExtractor("deit", 32, "untrained", 0, width=4)
    wanted = cached_features(batch(), context, extractor)
    (file,) = (tmp_path / "features").iterdir()
    whole = file.read_bytes()
    random = np.random.default_rng(5)
    places = {*range(0, 100, 4), *random.integers(0, len(whole), 25).tolist()}
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(random.integers(8))
        file.write_bytes(damaged)
        extractor.seen = 0
        caplog.clear()
        np.testing.assert_array_equal(cached_features(batch(), context, extractor), wanted)
        assert extractor.seen == 6, place
        assert sum(str(file) in line for line in caplog.messages) == 1
    for cut in (0, 8, 39, 44, len(whole) - 1):
        file.write_bytes(whole[:cut])
        np.testing.assert_array_equal(cached_features(batch(), context, extractor), wanted)


def test_the_features_of_other_images_are_not_used_under_this_name(tmp_path: Path) -> None:
    context = run_context(tmp_path, ArtefactFolder(tmp_path / "artefacts"))
    extractor = FakeExtractor("deit", 32, "untrained", 0, width=4)
    cached_features(batch(), context, extractor)
    (first,) = (tmp_path / "features").iterdir()
    other = replace(batch(), images=HeldPictures(np.zeros((6, 32, 32, 3), np.uint8)))
    wanted = cached_features(other, context, extractor)
    (second,) = {*(tmp_path / "features").iterdir()} - {first}
    second.write_bytes(first.read_bytes())
    np.testing.assert_array_equal(cached_features(other, context, extractor), wanted)


def test_a_cache_that_cannot_be_written_is_said_once_and_costs_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "features").write_text("in the way")
    context = run_context(tmp_path, ArtefactFolder(tmp_path / "artefacts"))
    extractor = FakeExtractor("deit", 32, "untrained", 0, width=4)
    for _ in range(2):
        assert cached_features(batch(), context, extractor).shape == (6, 4)
    assert extractor.seen == 12
    assert sum("nothing is kept in" in line for line in caplog.messages) == 1


def test_an_artefact_remembers_what_making_it_took(tmp_path: Path) -> None:
    store = ArtefactFolder(tmp_path)
    for _ in range(2):
        assert store.get_or_make("kind", {"a": 1}, lambda: b"made") == b"made"
    (reused,) = store.drain_reused()
    assert reused.seconds is not None and reused.seconds >= 0
