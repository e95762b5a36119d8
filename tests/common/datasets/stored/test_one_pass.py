"""One pass over images in processes: the same as in one process, and quiet when it is stopped."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from he_compare.common.contracts import OpenDataset
from he_compare.common.datasets.embedded.atlas import EmbeddedCohort
from he_compare.common.datasets.opened.arrays import ArrayImages, index_of
from he_compare.common.datasets.opened.indexed import IndexedImages
from he_compare.common.datasets.stored import one_pass
from he_compare.common.datasets.stored.one_pass import (
    Wanted,
    look_through,
    portions_of,
    scales_stored,
    see,
)
from he_compare.common.types import IntArray, Split, UInt8Array

Opened = Callable[[], OpenDataset]


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let processes be worth it at once, and on any machine."""
    monkeypatch.setattr(one_pass, "WORTH_PROCESSES", -1.0)
    monkeypatch.setattr(one_pass, "usable_cores", lambda: 2)
    monkeypatch.setattr(one_pass, "PER_REQUEST", 4)


def _told(seen: list[one_pass.SeenImage]) -> list[tuple[Any, ...]]:
    return [
        (one.native, one.source, one.look.tobytes(), one.pixels.tobytes())
        for one in seen
        if one.look is not None and one.pixels is not None
    ]


def test_processes_tell_what_one_process_tells(
    opened: Opened, many: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = opened()
    portions = portions_of(Split.TRAIN, np.arange(len(dataset.index(Split.TRAIN).ids)))
    wanted = Wanted(16, looks=True, sources=True)
    here = [one for portion in portions for one in see(dataset, portion, wanted)]
    used: list[int] = []
    by_processes = one_pass._by_processes

    def counted(*given: Any) -> Any:
        for seen in by_processes(*given):
            used.append(len(multiprocessing.active_children()))
            yield seen

    monkeypatch.setattr(one_pass, "_by_processes", counted)
    told: list[int] = []
    there = list(look_through(dataset, portions, wanted, lambda _, done, __: told.append(done)))
    assert _told(there) == _told(here) and len(_told(here)) == len(here) > 20
    assert len(used) == len(portions) - 2 and max(used) >= 1
    assert told[-1] == len(here) and multiprocessing.active_children() == []


def test_a_pass_that_is_left_leaves_no_process(opened: Opened, many: None) -> None:
    dataset = opened()
    portions = portions_of(Split.TRAIN, np.arange(len(dataset.index(Split.TRAIN).ids)))
    seen = look_through(dataset, portions, Wanted(16, looks=False, sources=False))
    for _ in range(10):
        next(seen)
    assert multiprocessing.active_children()
    seen.close()  # type: ignore[attr-defined]
    assert multiprocessing.active_children() == []


def test_a_killed_process_costs_nothing_but_time(opened: Opened, many: None) -> None:
    dataset = opened()
    portions = portions_of(Split.TRAIN, np.arange(len(dataset.index(Split.TRAIN).ids)))
    wanted = Wanted(16, looks=True, sources=True)
    seen = look_through(dataset, portions, wanted)
    first = [next(seen) for _ in range(10)]
    for child in multiprocessing.active_children():
        child.kill()
    here = [one for portion in portions for one in see(dataset, portion, wanted)]
    assert _told([*first, *seen]) == _told(here)


class Drawn:
    """A dataset of a third party whose own reading is no scaling of its pixels as stored."""

    def __init__(self, opened: OpenDataset) -> None:
        self.card, self.subset, self.notes = opened.card, opened.subset, opened.notes
        self.index, self.native = opened.index, opened.native  # type: ignore[attr-defined]
        self._read = opened.read

    def read(self, split: Split, positions: IntArray, size: int) -> UInt8Array:
        return 255 - self._read(split, positions, size)


def test_a_dataset_that_scales_in_its_own_way_is_read_in_its_own_way(opened: Opened) -> None:
    dataset = Drawn(opened())
    portions = portions_of(Split.TEST, np.arange(5))
    wanted = Wanted(16, looks=False, sources=True)
    seen = list(look_through(dataset, portions, wanted))
    own = dataset.read(Split.TEST, np.arange(5), 16)
    assert all(
        np.array_equal(np.broadcast_to(a.pixels, b.shape), b)
        for a, b in zip(seen, own, strict=True)
    )
    assert [one.source for one in seen] == [b""] * 5


class TurnsOne(IndexedImages):
    """A family of a third party whose ``read`` is the house's but for one image."""

    def read(self, split: Split, positions: IntArray, size: int) -> UInt8Array:
        images = super().read(split, positions, size)
        images[positions == 7] = 255 - images[positions == 7]
        return images


def test_a_reading_that_differs_for_one_image_is_not_taken_for_scaling(opened: Opened) -> None:
    house = opened()
    assert isinstance(house, IndexedImages) and scales_stored(house)
    dataset = TurnsOne(**vars(house))
    count = len(dataset.index(Split.TRAIN).ids)
    portions = portions_of(Split.TRAIN, np.arange(count))
    seen = look_through(dataset, portions, Wanted(16, looks=False, sources=False))
    own = dataset.read(Split.TRAIN, np.arange(count), 16)
    for one, image in zip(seen, own, strict=True):
        assert one.pixels is not None
        assert np.array_equal(np.broadcast_to(one.pixels, image.shape), image)
    assert not scales_stored(dataset)


def test_reading_is_scaling_in_every_class_that_declares_it(opened: Opened) -> None:
    colours = np.random.default_rng(5).integers(0, 256, (6, 20, 20, 3), dtype=np.uint8)
    colours[3:] = colours[3:, ..., :1]
    index = index_of(Split.TEST, np.arange(6) % 2)
    card = opened().card
    arrays = ArrayImages(card, "", {Split.TEST: colours}, {Split.TEST: index})
    for dataset in (opened(), arrays, EmbeddedCohort.open("balanced", 0)):
        assert scales_stored(dataset)
        portion = one_pass.Portion(Split.TEST, np.arange(5))
        own = dataset.read(Split.TEST, portion.positions, 16)
        for one, image in zip(see(dataset, portion, Wanted(16, False, False)), own, strict=True):
            assert one.pixels is not None
            assert np.array_equal(np.broadcast_to(one.pixels, image.shape), image)
