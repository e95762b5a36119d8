"""Pipelines that run the same network at the same place: whether it took them the same time.

It is the same work, so a difference is of the machine at the time, not of a protection, and must
not be read as its price.
"""

from __future__ import annotations

from dataclasses import dataclass

from he_compare.common.run.quantiles import Spread
from he_compare.common.run.spelling import milliseconds
from he_compare.common.run.timing import latency_of
from he_compare.common.run.view import PipelineView, RunView
from he_compare.common.types import FheMode, Side, Stage


@dataclass(frozen=True)
class SameNetwork:
    """One network at one place, and what each pipeline that runs it took for an image."""

    place: str
    found: tuple[tuple[PipelineView, Spread], ...]

    @property
    def fastest(self) -> tuple[PipelineView, Spread]:
        """The pipeline with the smallest median."""
        return min(self.found, key=lambda one: one[1].p50)

    @property
    def slowest(self) -> tuple[PipelineView, Spread]:
        """The pipeline with the largest median."""
        return max(self.found, key=lambda one: one[1].p50)

    @property
    def differs(self) -> bool:
        """True where the intervals of the slowest and the fastest median do not meet."""
        low, high = self.slowest[1].interval, self.fastest[1].interval
        return low is not None and high is not None and low.low > high.high


def same_networks(view: RunView) -> list[SameNetwork]:
    """Return the networks that at least two pipelines run, place by place.

    At the hospital it is the run's backbone. At the server it is that of an unprotected pipeline
    and of those it is the twin of, where nothing else differs and nothing is computed on
    ciphertexts of homomorphic encryption.
    """
    hospital = _with(list(view.pipelines), Stage.FEATURES, Side.CLIENT)
    groups = [SameNetwork("at the hospital", hospital)]
    for twin in view.pipelines:
        others = [
            one
            for one in view.pipelines
            if view.twin_of(one) is twin and _in_clear(one) and not one.planned.twin_differs
        ]
        if others and _in_clear(twin):
            served = _with([twin, *others], Stage.EVALUATE, Side.SERVER)
            groups.append(SameNetwork("at the server", served))
    return [group for group in groups if len(group.found) > 1]


def same_network_words(view: RunView) -> list[str]:
    """Say of each such network whether the medians differ by more than their intervals."""
    return [_words(group) for group in same_networks(view)]


def _words(group: SameNetwork) -> str:
    names = ", ".join(pipeline.label for pipeline, _ in group.found)
    (slow, most), (fast, least) = group.slowest, group.fastest
    head = f"{names} run the same network {group.place}: its median is "
    if not group.differs:
        return (
            f"{head}{milliseconds(least.p50)} to {milliseconds(most.p50)} ms, and the intervals "
            "of the slowest and the fastest meet."
        )
    return (
        f"{head}{milliseconds(least.p50)} ms with {fast.label} and {milliseconds(most.p50)} ms "
        f"with {slow.label}, a difference of {milliseconds(most.p50 - least.p50)} ms that is "
        "larger than their intervals. It is the same work: this part of a difference between the "
        "two is of the machine at the time, not the price of a protection."
    )


def _in_clear(pipeline: PipelineView) -> bool:
    return all(one.fhe_mode is FheMode.NOT_APPLICABLE for one in pipeline.timed)


def _with(
    pipelines: list[PipelineView], stage: Stage, side: Side
) -> tuple[tuple[PipelineView, Spread], ...]:
    found = []
    for pipeline in pipelines:
        latency = latency_of(pipeline)
        for timing in latency.stages if latency else ():
            if timing.stage is stage and timing.side is side:
                found.append((pipeline, timing.spread))
    return tuple(found)
