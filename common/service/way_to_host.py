"""How far away a host is: round trips, and how far its clock is ahead."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from he_compare.common.machine import is_clock_off


@dataclass(frozen=True)
class WayToHost:
    """Round trips in seconds, and how far the host's clock is ahead, in seconds, give or take."""

    round_trips: tuple[float, ...]
    clock_offset: float
    clock_uncertainty: float

    @property
    def clock_is_off(self) -> bool:
        """Whether the clocks differ by more than can be explained."""
        return is_clock_off(self.clock_offset, self.clock_uncertainty)


def way_words(way: WayToHost) -> str:
    """Say on one line how far away a host is."""
    typical = 1e3 * statistics.median(way.round_trips)
    return (
        f"round trip {typical:.1f} ms (median of {len(way.round_trips)}, "
        f"least {1e3 * min(way.round_trips):.1f} ms)"
    )


def clock_words(way: WayToHost) -> str:
    """Say that the clock of a host is off; '' where it is not."""
    if not way.clock_is_off:
        return ""
    side = "ahead of" if way.clock_offset > 0 else "behind"
    return (
        f"the clock of the host is {abs(way.clock_offset):.1f} s {side} this machine's: times of "
        "day differ, durations do not; certificates may seem expired or not valid yet"
    )
