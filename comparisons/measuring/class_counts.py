"""Whether every class of a dataset can be learnt and tested: in the splits, and by the pipelines.

A profile's limits on images are meant for few classes: they are raised to one image of each class.
A limit that was asked for is kept, or refused with the number it needs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from he_compare.common.contracts import OpenDataset
from he_compare.common.errors import DataError, UsageError
from he_compare.common.types import MAX_CLASSES, IntArray, Split
from he_compare.comparisons.measuring.config import RunConfig, profile_values

MOST_NAMED = 5


@dataclass(frozen=True)
class ImageLimits:
    """Largest number of images by split, None for all; ``notes``: which of them were raised."""

    by_split: dict[Split, int | None]
    notes: list[str]


def image_limits(config: RunConfig, classes: int) -> ImageLimits:
    """Return the limits of a run on so many classes.

    Raises UsageError where a limit that was asked for is too small for one image of each class.
    """
    own = profile_values()[config.profile]
    limits: dict[Split, int | None] = {}
    notes = []
    for split in Split:
        option = f"{split.value}_limit"
        most = getattr(config, option)
        if most is not None and most < classes:
            if own.get(option) != most:
                raise UsageError(
                    f"--{split.value}-limit {most} is less than one image of each of {classes} "
                    "classes",
                    fix=f"pass --{split.value}-limit {classes} or more",
                )
            notes.append(
                f"{split.value}: the profile's limit of {most} images was raised to {classes}, one "
                "of each class"
            )
            most = classes
        limits[split] = most
    return ImageLimits(limits, notes)


def require_all_classes(dataset: OpenDataset, chosen: Mapping[Split, IntArray]) -> None:
    """Raise DataError, naming the classes and what to do, where a split has no image of a class."""
    classes = dataset.card.classes
    if len(classes) > MAX_CLASSES:
        raise DataError(
            f"{dataset.card.name} has {len(classes)} classes; pipelines take at most {MAX_CLASSES}",
            fix="group classes, or leave some out",
        )
    labels = {split: dataset.index(split).labels for split in chosen}
    everywhere = np.sum(
        [np.bincount(own, minlength=len(classes)) for own in labels.values()], axis=0
    )
    for split, positions in chosen.items():
        here = np.bincount(labels[split][positions], minlength=len(classes))
        missing = np.flatnonzero(here == 0)
        if not len(missing):
            continue
        counted = [
            f"{classes[label]!r} ({everywhere[label]} in all)" for label in missing[:MOST_NAMED]
        ]
        more = f" and {len(missing) - MOST_NAMED} more" if len(missing) > MOST_NAMED else ""
        what = "class" if len(missing) == 1 else f"{len(missing)} classes:"
        raise DataError(
            f"the {split.value} split has no image of {what} {', '.join(counted)}{more}",
            fix=f"a class needs an image in each of {', '.join(chosen)}: add images of it to "
            f"{split.value}, put it together with another class, or leave it out",
        )


def too_many_classes(pipelines: Sequence[Any], classes: int, width: int) -> dict[str, str]:
    """Return, by label, why pipelines do not take so many classes (``width``: of features).

    ``pipelines``: with ``label``, ``pipeline`` and ``parameters``. Raises UsageError where none is
    left.
    """
    reasons = {}
    for one in pipelines:
        most = one.pipeline.most_classes(one.parameters, width)
        if classes > most:
            reasons[one.label] = f"it takes at most {most} classes, the dataset has {classes}"
    if reasons and len(reasons) == len(pipelines):
        told = "; ".join(f"{label}: {reason}" for label, reason in reasons.items())
        raise UsageError(
            f"no pipeline of this run takes the dataset's classes: {told}",
            fix="choose other pipelines, for instance plaintext, or fewer classes",
        )
    return reasons
