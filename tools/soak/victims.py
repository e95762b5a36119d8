"""Who is disturbed in a run, when and how: the processes of it told apart, and struck."""

from __future__ import annotations

import signal
import subprocess
import time
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import psutil

from tools.soak.places import Place, Where, is_alive
from tools.soak.room import below, words_of

Victim: TypeAlias = Literal["driver", "server", "child", "worker", "scheduler", "host"]

# How processes are told apart: by their command lines.
FRONTS = ("he_compare.common.service.front",)
CHILDREN = ("he_compare.common.service.child",)
DASK_WORKERS = ("spawn_main", "distributed.cli.dask_worker", "dask worker")


@dataclass(frozen=True)
class Disturbance:
    """What is done to a run: SIGKILL of a victim, or a signal to the driver, at ``share`` of it."""

    where: Where
    victim: Victim
    signal: str
    share: float
    cold: bool

    @property
    def words(self) -> str:
        """It, in words."""
        cache = ", nothing cached" if self.cold else ""
        return f"{self.signal} of the {self.victim}, {self.where}, at {self.share:.0%}{cache}"

    @property
    def who(self) -> str:
        """What it is counted under: the victim and where, or the signal."""
        return self.signal if self.signal != "SIGKILL" else f"{self.victim}, {self.where}"


def strike(
    driver: subprocess.Popen[bytes],
    place: Place,
    wanted: Disturbance,
    random: np.random.Generator,
) -> psutil.Process | None:
    """Disturb; return who was struck, None where the run ended before there was anybody."""
    while driver.poll() is None:
        victims = victims_of(driver, place, wanted.victim)
        if victims:
            victim = victims[int(random.integers(len(victims)))]
            try:
                victim.send_signal(getattr(signal, wanted.signal))
            except psutil.Error:
                continue
            return victim
        time.sleep(0.05)  # early moments come before the first of its kind: then as soon as it is
    return None


def victims_of(
    driver: subprocess.Popen[bytes], place: Place, victim: Victim
) -> list[psutil.Process]:
    """Return the processes of a kind, in order of their numbers."""
    if victim == "driver":
        found = [psutil.Process(driver.pid)] if driver.poll() is None else []
    elif victim in ("scheduler", "host"):
        found = [place.top] if place.top is not None and is_alive(place.top) else []
    elif victim == "worker" and place.workers:
        found = [one for one in place.workers if is_alive(one)]
    else:
        names = {"server": FRONTS, "child": CHILDREN, "worker": DASK_WORKERS}[victim]
        under = [one for pid in (driver.pid, *place.pids) for one in below(pid)]
        found = [one for one in under if any(name in words_of(one) for name in names)]
    return sorted(found, key=lambda one: one.pid)
