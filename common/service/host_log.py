"""The lines of a host: what it does and whom it refuses, each with its time in UTC.

Whoever reaches the port can be refused as often as they like. So a reason that comes again is
counted, and told again after a minute at the earliest; reasons are few, whatever is sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from he_compare.common.service.refusals import RefusedRequest
from he_compare.common.visible_text import visible

QUIET_SECONDS = 60.0
MOST_REASONS, OTHERS = 32, "other reasons"
TIME_FORMAT = "%Y-%m-%d %H:%M:%SZ"


@dataclass
class _Again:
    """A reason that was told at ``told``; ``untold``: how often it came since."""

    told: float
    untold: int = 0


class HostLog:
    """Writes lines. ``write``: takes one; ``now``: seconds since the epoch."""

    def __init__(self, write: Callable[[str], None], *, now: Callable[[], float] = time.time):
        self._write, self._now = write, now
        self._reasons: dict[str, _Again] = {}

    def say(self, line: str) -> None:
        """Write a line with its time."""
        moment = datetime.fromtimestamp(self._now(), UTC)
        self._write(f"{moment.strftime(TIME_FORMAT)} {line}")

    def refused(self, origin: str, error: RefusedRequest) -> None:
        """Tell that a request from an address was refused; of many alike, how many."""
        kind = error.kind if error.kind in self._reasons or self._has_room else OTHERS
        now, known = self._now(), self._reasons.get(kind)
        if known is not None and now - known.told < QUIET_SECONDS:
            known.untold += 1
            return
        before = known.untold if known is not None else 0
        more = f" ({before:,} more before)" if before else ""
        self._reasons[kind] = _Again(now)
        self.say(f"refused, from {visible(origin) or 'unknown'}: {visible(error.message)}{more}")

    @property
    def _has_room(self) -> bool:
        return len(self._reasons) < MOST_REASONS

    def close(self) -> None:
        """Tell what has not been told yet."""
        for kind, one in self._reasons.items():
            if one.untold:
                self.say(f"refused {one.untold:,} more: {visible(kind)}")
                one.untold = 0
