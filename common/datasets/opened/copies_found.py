"""What copies a dataset has: equal images in several splits, and equal images of several labels.

A training or validation image is a copy where it equals an image of a later split, in the order
train, validation, test: because of it that later image is not unseen. The image of the latest split
stays.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from he_compare.common.contracts import OpenDataset, Progress
from he_compare.common.datasets.opened.equal_images import EqualImages, find_equal
from he_compare.common.run.records import CopiesFacts
from he_compare.common.types import IntArray, Split

COPYING = (Split.TRAIN, Split.VAL)


@dataclass(frozen=True)
class Place:
    """An image of a dataset by split and position."""

    split: Split
    position: int


@dataclass(frozen=True)
class CopyPair:
    """A training or validation image and an image of a later split that it equals."""

    copy: Place
    equals: Place


@dataclass(frozen=True)
class CopiesFound:
    """``groups``: the places of equal images, where there are several."""

    dataset: OpenDataset
    equal: EqualImages
    groups: tuple[tuple[Place, ...], ...]

    def label(self, place: Place) -> str:
        """Return the class of an image by name."""
        number = int(self.dataset.index(place.split).labels[place.position])
        return self.dataset.card.classes[number]

    def name(self, place: Place) -> str:
        """Return the id of an image."""
        return self.dataset.index(place.split).ids[place.position]

    def pairs(self) -> list[CopyPair]:
        """Name every copy, and every image of a later split that has one, in at least one pair."""
        return [pair for group in self.groups for pair in _pairs_of(group)]

    def copies(self, split: Split) -> IntArray:
        """Return the positions of the copies of a split, ascending."""
        held = {pair.copy.position for pair in self.pairs() if pair.copy.split is split}
        return np.array(sorted(held), dtype=np.int64)

    def conflicts(self) -> list[tuple[Place, ...]]:
        """Return the groups of equal images that have several labels."""
        return [group for group in self.groups if len(set(map(self.label, group))) > 1]

    def facts(self, policy: str, used: Mapping[Split, IntArray] | None = None) -> CopiesFacts:
        """Return the counts for a record. ``used``: positions of a run, None for all images.

        Under "drop" every copy counts, because none was there to be chosen; else those used do.
        """
        held = {split: set(map(int, chosen)) for split, chosen in (used or {}).items()}

        def is_used(place: Place) -> bool:
            return place.split not in held or place.position in held[place.split]

        copies: set[Place] = set()
        tests: set[Place] = set()
        for group in self.groups:
            there = [
                place
                for place in group
                if is_used(place) or (policy == "drop" and place.split in COPYING)
            ]
            all_pairs = _pairs_of(group if policy == "drop" else there)
            copies.update(pair.copy for pair in all_pairs)
            tests.update(
                pair.equals for pair in _pairs_of(there) if pair.equals.split is Split.TEST
            )
        index = self.dataset.index(Split.TEST)
        tested = len(held.get(Split.TEST, index.ids))
        return CopiesFacts.model_validate(
            {
                "policy": policy,
                "compared": self.equal.rule,
                "not_compared": self.equal.not_compared,
                "unreadable": self.equal.unreadable,
                "copies": {
                    split.value: self._per_class(place for place in copies if place.split is split)
                    for split in COPYING
                },
                "test_images": len(tests),
                "test_per_class": self._per_class(tests),
                "test_share": len(tests) / tested if tested else 0.0,
                "conflicting": len(self.conflicts()),
            }
        )

    def _per_class(self, places: Iterable[Place]) -> dict[str, int]:
        counts = Counter(map(self.label, places))
        return {name: counts[name] for name in self.dataset.card.classes if counts[name]}


def look_for_copies(dataset: OpenDataset, progress: Progress | None = None) -> CopiesFound:
    """Compare all images of a dataset; nothing is left out."""
    equal = find_equal(dataset, progress)
    holders: dict[str, list[Place]] = defaultdict(list)
    for split in Split:
        for position, key in enumerate(equal.keys[split]):
            holders[key].append(Place(split, position))
    groups = tuple(tuple(held) for held in holders.values() if len(held) > 1)
    return CopiesFound(dataset, equal, groups)


def _pairs_of(group: Iterable[Place]) -> Iterator[CopyPair]:
    """Pair the copies of a group with its images of the latest split, each in turn."""
    held: dict[Split, list[Place]] = defaultdict(list)
    for place in group:
        held[place.split].append(place)
    latest = held[Split.TEST] or held[Split.VAL]
    copies = held[Split.TRAIN] + (held[Split.VAL] if held[Split.TEST] else [])
    if not copies:
        return
    for turn in range(max(len(copies), len(latest)) if latest else 0):
        yield CopyPair(copies[turn % len(copies)], latest[turn % len(latest)])
