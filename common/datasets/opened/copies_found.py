"""What copies a dataset has: equal images in several splits, and equal images of several labels.

A training or validation image is a copy where it equals an image of a later split, in the order
train, validation, test: because of it that later image is not unseen. The image of the latest split
stays.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from he_compare.common.contracts import OpenDataset, Progress
from he_compare.common.datasets.opened.equal_images import EqualImages, find_equal
from he_compare.common.datasets.opened.looks import BITS, NEAR_BITS, nearest_looks
from he_compare.common.datasets.stored.image_store import StoreWish
from he_compare.common.run.records import CopiesFacts, NearCopiesFacts
from he_compare.common.types import IntArray, Split

COPYING = (Split.TRAIN, Split.VAL)
MAX_COMPARED = 1_000_000_000


@dataclass(frozen=True)
class ImagePlace:
    """An image of a dataset by split and position."""

    split: Split
    position: int


@dataclass(frozen=True)
class CopyPair:
    """A training or validation image and an image of a later split that it equals."""

    copy: ImagePlace
    equals: ImagePlace


@dataclass(frozen=True)
class CopiesFound:
    """``groups``: the places of equal images, where there are several."""

    dataset: OpenDataset
    equal: EqualImages
    groups: tuple[tuple[ImagePlace, ...], ...]

    def label(self, place: ImagePlace) -> str:
        """Return the class of an image by name."""
        number = int(self.dataset.index(place.split).labels[place.position])
        return self.dataset.card.classes[number]

    def name(self, place: ImagePlace) -> str:
        """Return the id of an image."""
        return self.dataset.index(place.split).ids[place.position]

    def pairs(self) -> list[CopyPair]:
        """Name every copy, and every image of a later split that has one, in at least one pair."""
        return [pair for group in self.groups for pair in _pairs_of(group)]

    def copies(self, split: Split) -> IntArray:
        """Return the positions of the copies of a split, ascending."""
        held = {pair.copy.position for pair in self.pairs() if pair.copy.split is split}
        return np.array(sorted(held), dtype=np.int64)

    def conflicts(self) -> list[tuple[ImagePlace, ...]]:
        """Return the groups of equal images that have several labels."""
        return [group for group in self.groups if len(set(map(self.label, group))) > 1]

    def facts(self, policy: str, used: Mapping[Split, IntArray] | None = None) -> CopiesFacts:
        """Return the counts for a record. ``used``: positions of a run, None for all images.

        Under "drop" every copy counts, because none was there to be chosen; else those used do.
        """
        held = {split: set(map(int, chosen)) for split, chosen in (used or {}).items()}

        def is_used(place: ImagePlace) -> bool:
            return place.split not in held or place.position in held[place.split]

        copies: set[ImagePlace] = set()
        tests: set[ImagePlace] = set()
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
                "near": self._near_facts(held, tested),
            }
        )

    def _near_facts(self, held: Mapping[Split, set[int]], tested: int) -> NearCopiesFacts:
        """Count the test images that have a near copy, of those that are used."""
        near = self.near_pairs(held)
        tests = {pair.equals for pair, _ in near}
        return NearCopiesFacts(
            test_images=len(tests),
            test_per_class=self._per_class(tests),
            test_share=len(tests) / tested if tested else 0.0,
            bits=BITS,
            threshold=NEAR_BITS,
            turns=self._turns(),
            not_compared=self._why_no_looks(),
        )

    def near_pairs(
        self, held: Mapping[Split, set[int]] | None = None
    ) -> list[tuple[CopyPair, int]]:
        """Return each test image that looks almost like one to learn from, and the bits apart.

        It is paired with the image that looks most like it, copies of test images apart.
        ``held``: the positions that count by split; a split that is not in it counts whole.
        """
        if self._why_no_looks():
            return []
        places = self._compared(held or {})
        return self._all_near_pairs if places == self._compared({}) else self._near_pairs(places)

    @cached_property
    def _all_near_pairs(self) -> list[tuple[CopyPair, int]]:
        return self._near_pairs(self._compared({}))

    def _compared(self, held: Mapping[Split, set[int]]) -> dict[Split, list[int]]:
        """Return the positions whose looks are compared, by split, ascending."""
        left = {split: set(range(len(looks))) for split, looks in self.equal.looks.items()}
        for split in COPYING:
            left[split] -= set(self.copies(split).tolist())
        return {split: sorted(left[split] & held.get(split, left[split])) for split in left}

    def _near_pairs(self, places: Mapping[Split, list[int]]) -> list[tuple[CopyPair, int]]:
        others = [ImagePlace(split, position) for split in COPYING for position in places[split]]
        tests = places[Split.TEST]
        if not others or not tests:
            return []
        looks = self.equal.looks
        among = np.concatenate([looks[split][places[split]] for split in COPYING])
        nearest, bits = nearest_looks(looks[Split.TEST][tests], among, turns=self._turns())
        return [
            (CopyPair(others[int(nearest[i])], ImagePlace(Split.TEST, tests[i])), int(bits[i]))
            for i in np.flatnonzero(bits <= NEAR_BITS)
        ]

    def _compared_looks(self) -> int:
        return len(self.equal.looks[Split.TEST]) * sum(
            len(self.equal.looks[split]) for split in COPYING
        )

    def _turns(self) -> bool:
        return not self.equal.looks or 8 * self._compared_looks() <= MAX_COMPARED

    def _why_no_looks(self) -> str:
        if self.equal.looks and self._compared_looks() > MAX_COMPARED:
            return f"{self._compared_looks():,} pairs of images are more than {MAX_COMPARED:,}"
        return self.equal.without_looks

    def _per_class(self, places: Iterable[ImagePlace]) -> dict[str, int]:
        counts = Counter(map(self.label, places))
        return {name: counts[name] for name in self.dataset.card.classes if counts[name]}


def look_for_copies(
    dataset: OpenDataset, progress: Progress | None = None, wish: StoreWish | None = None
) -> CopiesFound:
    """Compare all images of a dataset; nothing is left out. ``wish``: as of ``find_equal``."""
    equal = find_equal(dataset, progress, wish)
    holders: dict[str, list[ImagePlace]] = defaultdict(list)
    for split in Split:
        for position, key in enumerate(equal.keys[split]):
            holders[key].append(ImagePlace(split, position))
    groups = tuple(tuple(held) for held in holders.values() if len(held) > 1)
    return CopiesFound(dataset, equal, groups)


def _pairs_of(group: Iterable[ImagePlace]) -> Iterator[CopyPair]:
    """Pair the copies of a group with its images of the latest split, each in turn."""
    held: dict[Split, list[ImagePlace]] = defaultdict(list)
    for place in group:
        held[place.split].append(place)
    latest = held[Split.TEST] or held[Split.VAL]
    copies = held[Split.TRAIN] + (held[Split.VAL] if held[Split.TEST] else [])
    if not copies:
        return
    for turn in range(max(len(copies), len(latest)) if latest else 0):
        yield CopyPair(copies[turn % len(copies)], latest[turn % len(latest)])
