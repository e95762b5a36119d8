"""Splits that share nothing: cutting by patient group, and the check that no name is shared.

Groups are what splits may not share. Images with equal pixels ("twins") are kept together as well,
whatever group they name. All choices follow from hashes of (seed, name), so that adding or removing
one group moves no other.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from he_compare.common.contracts import SplitIndex
from he_compare.common.errors import DataError
from he_compare.common.seeds import seed_for
from he_compare.common.types import Split

MAX_LEAKS_NAMED = 5


def hashed_order(names: Sequence[str], seed: int, *purpose: str) -> list[str]:
    """Return the distinct names in an order that depends on seed, purpose and name alone."""
    prefix = f"{seed_for(seed, *purpose)}\x00".encode()
    return sorted(set(names), key=lambda name: hashlib.sha256(prefix + name.encode()).digest())


def join_twins(groups: Sequence[str], twins: Sequence[str]) -> list[str]:
    """Return for each image the smallest group it is tied to by group or by equal twin keys."""
    parent = {group: group for group in groups}

    def root(group: str) -> str:
        while parent[group] != group:
            parent[group] = parent[parent[group]]
            group = parent[group]
        return group

    first_with: dict[str, str] = {}
    for group, twin in zip(groups, twins, strict=True):
        low, high = sorted((root(group), root(first_with.setdefault(twin, group))))
        parent[high] = low
    return [root(group) for group in groups]


def cut_by_group(
    labels: Sequence[int],
    groups: Sequence[str],
    shares: Mapping[Split, float],
    seed: int,
    *purpose: str,
) -> list[Split]:
    """Assign every image to a split of ``shares`` or to TRAIN; no group is cut in two.

    Each share is met class by class as far as the groups allow; every split receives every class
    if there are groups enough. Raises DataError where there are not.
    """
    content: dict[str, Counter[int]] = defaultdict(Counter)
    for label, group in zip(labels, groups, strict=True):
        content[group][label] += 1
    totals = Counter(labels)
    free = hashed_order(list(content), seed, "split", *purpose)
    assigned: dict[str, Split] = {}
    for done, (split, share) in enumerate(shares.items()):
        wanted = {label: max(1, round(share * count)) for label, count in totals.items()}
        chosen = _fill(free, content, wanted, still_to_serve=len(shares) - done)
        _require_classes(chosen, content, totals, split)
        assigned.update(dict.fromkeys(chosen, split))
        free = [group for group in free if group not in assigned]
    _require_classes(free, content, totals, Split.TRAIN)
    return [assigned.get(group, Split.TRAIN) for group in groups]


def _fill(
    free: list[str],
    content: Mapping[str, Counter[int]],
    wanted: Mapping[int, int],
    still_to_serve: int,
) -> list[str]:
    """Choose groups in order while none of their classes overshoots; then fill empty classes.

    Of every class, a group is left to each of the splits ``still_to_serve`` (train included).
    """
    got: Counter[int] = Counter()
    left = Counter(label for group in free for label in content[group])
    chosen: dict[str, None] = {}

    def spare(group: str) -> bool:
        return all(left[label] > still_to_serve for label in content[group])

    def take(group: str) -> None:
        chosen[group] = None
        got.update(content[group])
        left.subtract(content[group].keys())

    for group in free:
        fits = all(got[label] + count <= wanted[label] for label, count in content[group].items())
        if fits and spare(group):
            take(group)
    for label in wanted:
        rest = [group for group in free if content[group][label] and group not in chosen]
        if not got[label] and rest:
            take(min(rest, key=lambda group: (not spare(group), content[group].total())))
    return list(chosen)


def _require_classes(
    groups: Sequence[str],
    content: Mapping[str, Counter[int]],
    classes: Mapping[int, int],
    split: Split,
) -> None:
    present = {label for group in groups for label in content[group]}
    if set(classes) - present:
        raise DataError(
            f"there are too few patient groups ({len(content)}) to cut a {split} split with every "
            "class",
            fix="add images of other patients, or give the splits yourself",
        )


def check_splits(
    splits: Mapping[Split, SplitIndex],
    classes: Sequence[str],
) -> None:
    """Refuse splits that share a name or cannot be learned from.

    Raises DataError on an empty split, an id or a group in two splits, a training split of one
    class, or a class that is tested but not trained. Equal pixels are the matter of ``screening``.
    """
    for split in Split:
        if split not in splits or not splits[split].ids:
            raise DataError(f"the {split} split has no images", fix="add images to it")
    present = {int(label) for label in np.unique(splits[Split.TRAIN].labels)}
    if len(present) < 2:
        names = ", ".join(repr(classes[label]) for label in sorted(present))
        raise DataError(
            f"the training images are all of one class ({names})",
            fix="add images of at least one other class",
        )
    for split in (Split.VAL, Split.TEST):
        for label in np.unique(splits[split].labels):
            if int(label) not in present:
                raise DataError(
                    f"class {classes[int(label)]!r} is in the {split} split but not in train",
                    fix="add training images of that class, or leave the class out",
                )
    _refuse_shared_ids(splits)
    _refuse_shared_groups(splits)


def _refuse_shared_ids(splits: Mapping[Split, SplitIndex]) -> None:
    owner: dict[str, Split] = {}
    leaks: list[str] = []
    for split, index in splits.items():
        for name in index.ids:
            if owner.setdefault(name, split) is not split:
                leaks.append(f"image {name!r} is in two splits, {owner[name]} and {split}")
    _refuse(leaks, "keep it in one split")


def _refuse_shared_groups(splits: Mapping[Split, SplitIndex]) -> None:
    owner: dict[str, tuple[Split, str]] = {}
    leaks: dict[str, str] = {}
    for split, index in splits.items():
        for name, group in zip(index.ids, index.groups, strict=True):
            other, image = owner.setdefault(group, (split, name))
            if other is not split:
                leaks.setdefault(
                    group,
                    f"patient group {group!r} is in two splits, {other} and {split} "
                    f"(images {image!r} and {name!r})",
                )
    _refuse(list(leaks.values()), "keep all its images in one split")


def _refuse(leaks: Sequence[str], fix: str) -> None:
    """Raise DataError that names the first few leaks and counts the others."""
    if leaks:
        more = len(leaks) - MAX_LEAKS_NAMED
        named = "; ".join(leaks[:MAX_LEAKS_NAMED])
        raise DataError(f"{named}; and {more} more" if more > 0 else named, fix=fix)
