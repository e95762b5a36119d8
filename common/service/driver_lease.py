"""Who is served: one driver, from its first word to its last, whatever sessions it has between.

A driver has a name, which a run keeps when it is started again, and its process has a random word.
Names may be equal by accident (machines that were cloned): so a process takes over from another one
of its name only where that one has no connection any more.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from he_compare.common.service.doorway import Visit
from he_compare.common.service.refusals import RefusedRequest

SAME_NAME = "SameDriver"
# With which a driver says in every request which process it is.
PROCESS_HEADER = "compare-process"


@dataclass
class _Holder:
    driver: str
    process: str
    heard: float


class DriverLease:
    """At most one driver at a time; for one event loop.

    ``silent_seconds``: of whom nothing is heard for so long is served no longer; None: for ever.
    """

    def __init__(self, silent_seconds: float | None) -> None:
        self.silent_seconds = silent_seconds
        self._holder: _Holder | None = None
        self._visits: set[Visit] = set()

    @property
    def driver(self) -> str:
        """Who is served, as it named itself; '' for nobody."""
        return self._holder.driver if self._holder else ""

    @property
    def process(self) -> str | None:
        """The word of the process that is served; None for nobody."""
        return self._holder.process if self._holder else None

    def meet(self, process: str, visit: Visit) -> None:
        """Note that a connection is of a process."""
        visit.process = process
        if visit not in self._visits:
            self._visits = {one for one in self._visits if one.open} | {visit}

    def take(self, driver: str, process: str) -> bool:
        """Serve a driver; say whether it takes over from another process of its name.

        Raises RefusedRequest where another one is served.
        """
        before = self._holder
        if before is not None and before.driver != driver:
            raise RefusedRequest(
                409,
                "Busy",
                f"{before.driver or 'another driver'} is served at the moment",
                "wait until its run has ended, or start another host",
            )
        follows = before is not None and before.process != process
        if before is not None and follows and self._is_connected(before.process):
            raise RefusedRequest(
                409,
                SAME_NAME,
                f"another process that calls itself {driver or 'a driver'} is served at the moment",
                "wait until it has ended; one that was cut off is given up after about a minute",
            )
        self._holder = _Holder(driver, process, time.monotonic())
        return follows

    def heard(self) -> None:
        """Note that a whole request of the driver that is served has come."""
        if self._holder is not None:
            self._holder.heard = time.monotonic()

    def leave(self, process: str) -> bool:
        """Serve a process no longer, at its own word; say whether it was served."""
        if self.process != process:
            return False
        self._holder = None
        return True

    def silence(self) -> float:
        """Return how long the driver may still be silent, in seconds: none left where not above 0.

        Infinite where nobody is served, or there is no limit.
        """
        if self._holder is None or self.silent_seconds is None:
            return float("inf")
        return self._holder.heard + self.silent_seconds - time.monotonic()

    def _is_connected(self, process: str) -> bool:
        return any(one.open and one.process == process for one in self._visits)
