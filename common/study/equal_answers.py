"""Pipeline and twin that answer every test image alike: what that shows, and what it does not.

A bootstrap draws from the images that are there. Where no answer differs it draws no difference,
so that its interval is [0, 0] whether ten images were tested or ten thousand. What n images show
then is the exact limit of the binomial distribution for nothing seen in n: with 97.5% confidence
the answers differ on less than 1 - 0.025^(1/n) of all such images (Clopper and Pearson, Biometrika
26:404-413, 1934), and no accuracy can differ by more. For 30 images that is 0.116.

In balanced accuracy each class counts the same, so that a class with few images widens the limit.
The limit is then the largest mean of the shares p_c by class that is still in agreement with
nothing seen: of all p with the product of (1 - p_c)^n_c at least 0.025.

Several trainings answer the same images, so they add none. Where patients are known, n is the
number of patients: images of one are no independent trials. A class has its share of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from he_compare.common.run.records import Interval, PairedDifference
from he_compare.common.run.view import PipelineView, RunView
from he_compare.common.types import Split

CHANCE = 0.025
EXACT_LIMITS = "exact limits for no answer that differs"


def is_degenerate(found: PairedDifference | None) -> bool:
    """Say whether the interval of a difference is [0, 0]: no draw of the bootstrap differed."""
    limits = found.interval if found is not None else None
    return limits is not None and limits.low == limits.high == 0


def answered_alike(pipeline: PipelineView) -> int:
    """Return the number of test images where all of them are answered alike; 0 where not all are.

    Alike: pipeline and twin are both right or both wrong, in every training. With two classes that
    is the same answer.
    """
    found = pipeline.difference("accuracy")
    return found.n if found is not None and found.discordant == (0, 0) else 0


def equal_words(view: RunView, pipeline: PipelineView) -> str:
    """Say that all answers are equal, with their number; '' where they are not."""
    n = answered_alike(pipeline)
    if not n:
        return ""
    several = len(view.manifest.dataset.card.classes) > 2
    return f"{n:,} of {n:,} equally right" if several else f"{n:,} of {n:,} answers equal"


def exact_limits(view: RunView, metric: str) -> Interval | None:
    """Return how far accuracies can lie apart where no answer of a run differs; None for no images.

    ``metric``: accuracy or balanced_accuracy.
    """
    split = view.manifest.dataset.splits.get(Split.TEST)
    if split is None or split.n < 1:
        return None
    patients = min(split.groups, split.n) if split.groups else split.n
    if metric == "accuracy":
        most = largest_mean_share([patients])
    else:
        share = patients / split.n
        most = largest_mean_share([n * share for n in split.per_class.values() if n])
    return Interval(low=-most, high=most, method=EXACT_LIMITS)


def largest_mean_share(counts: Sequence[float]) -> float:
    """Return the largest mean of shares p_c for which nothing seen in ``counts`` has chance 0.025.

    For one count that is 1 - 0.025^(1/n). Of several the mean of (1 - p_c) is least where each is
    a common factor times its count, 1 at most: the smallest classes give way first. ``counts``:
    above 0. Returns 1 for no counts.
    """
    ordered = sorted(counts)
    for giving in range(len(ordered), 0, -1):
        few = ordered[:giving]
        factor = (math.log(CHANCE) - sum(n * math.log(n) for n in few)) / sum(few)
        kept = [math.exp(factor + math.log(n)) for n in few]
        if kept[-1] <= 1:
            return sum(1 - one for one in kept) / len(ordered)
    return 1.0
