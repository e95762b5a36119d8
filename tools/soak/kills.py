"""Kills at random moments of small runs, and signals; then the same command until it ends.

A try is one run of three cheap pipelines in which one process ends at a moment that the seed draws:
the driver, the server's front, its child, a Dask worker, a scheduler, or `compare host`. Then the
same command is repeated until it ends by itself. An exact answer is wanted of pipelines whose keys
are kept in a file; of CKKS the predicted classes have to be equal (see ``aftermath``).
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import psutil

from tools.soak.aftermath import (
    Aftermath,
    compare_runs,
    files_left,
    finished_lines,
    kinds_of_files,
)
from tools.soak.campaign import Outcome, Part, Stopped
from tools.soak.cluster import certificates
from tools.soak.figures import Figure, Line, Report, all_of, counted, no_more_than
from tools.soak.places import ALONE, HOST, SCHEDULER, WORKERS, Place, Where, hosts_can_be_run
from tools.soak.room import Room, below, left_after, words_of

Victim: TypeAlias = Literal["driver", "server", "child", "worker", "scheduler", "host"]

# Who dies in turn, and where; a run of --workers 2 has its scheduler in the driver.
TURNS: tuple[tuple[Where, Victim], ...] = (
    (ALONE, "driver"),
    (WORKERS, "worker"),
    (HOST, "host"),
    (ALONE, "server"),
    (SCHEDULER, "scheduler"),
    (ALONE, "child"),
    (WORKERS, "driver"),
    (HOST, "child"),
    (SCHEDULER, "worker"),
    (HOST, "driver"),
    (WORKERS, "server"),
    (SCHEDULER, "driver"),
)
SIGNAL_TURNS: tuple[tuple[Where, str], ...] = (
    (ALONE, "SIGTERM"),
    (ALONE, "SIGINT"),
    (WORKERS, "SIGTERM"),
    (ALONE, "SIGHUP"),
    (WORKERS, "SIGINT"),
)
EXIT_CODES = {"SIGTERM": 143, "SIGINT": 130, "SIGHUP": 129}
# After a run that had ended before its kill: runs vary, the next one may be faster still.
FASTER, MOST_MISSES = 0.85, 4
RUN_SECONDS, MOST_RESUMES, ORPHAN_SECONDS = 900.0, 3, 5.0
RUN = (
    *("run", "--profile", "smoke", "--offline", "--no-audit", "--format", "md"),
    *("--train-limit", "60", "--val-limit", "20", "--test-limit", "40", "--epochs", "1"),
    *("--latency-images", "2", "--latency-rounds", "2", "--threads", "1"),
    *("--pipeline", "plaintext[model=logistic]"),
    *("--pipeline", "block-scramble[cipher=vit_block,mode=adapted]"),
    *("--pipeline", "fhe-head"),
)
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


class Kills(Part):
    """SIGKILL of every kind of process, in turn."""

    name = "kills"
    turns = TURNS

    def __init__(self, folder: Path, seed: int, count: int, run: Sequence[str] = RUN) -> None:
        """``count``: how many; ``run``: the command's words without its places."""
        super().__init__(folder, seed)
        self.count, self.run = count, tuple(run)
        # Of a run: by where it runs, and whether nothing is cached.
        self.seconds: dict[tuple[Where, bool], float] = {}
        self._known: set[str] = set()

    @property
    def units(self) -> int:
        return self.count

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"run": list(self.run), "hosts": hosts_can_be_run()}

    def prepare(self) -> None:
        """Run once without disturbance, with empty caches and then with full ones."""
        super().prepare()
        certificates(self.folder)
        room = self._room("undisturbed", cold=False)
        for name, cold in (("cold", True), ("undisturbed", False)):
            begin = time.monotonic()
            with Place(room, self.folder, ALONE) as place:
                ended, told = _ended(self._start(room, place, self.folder / name), self._log(room))
            if ended != 0:
                raise Stopped(f"the run that nobody disturbs ended with {ended}: {told}")
            self.seconds[ALONE, cold] = time.monotonic() - begin
        self._known = kinds_of_files(self.folder / "undisturbed", *self._beside(room))

    def disturbance(self, unit: int) -> Disturbance:
        """Return what is done in a unit."""
        turns = [(w, v) for w, v in self.turns if w != HOST or hosts_can_be_run()]
        where, victim = turns[unit % len(turns)]
        random = np.random.default_rng([self.seed, 1, unit])
        cold = bool(unit // len(turns) % 2 if self.count > len(turns) else unit % 3 == 2)
        return Disturbance(where, victim, "SIGKILL", float(random.uniform(0.05, 0.95)), cold)

    def try_one(self, unit: int) -> Outcome:
        """Disturb one run; again, earlier, where it had ended before."""
        wanted = self.disturbance(unit)
        share = wanted.share
        for attempt in range(MOST_MISSES):
            hit, found, resumes = self._disturbed(unit, attempt, wanted, share)
            if hit:
                break
            share *= FASTER
        else:
            found.problems.append("nobody was disturbed: the run had ended before")
        return {"what": wanted.words, "who": _who(wanted), "resumes": resumes} | found.as_json()

    def _disturbed(
        self, unit: int, attempt: int, wanted: Disturbance, share: float
    ) -> tuple[bool, Aftermath, int]:
        room = self._room(f"{unit}-{attempt}", cold=wanted.cold)
        out, found, resumes = room.folder / "run", Aftermath(), 0
        random = np.random.default_rng([self.seed, 2, unit])
        with Place(room, self.folder, wanted.where) as place:
            begin = time.monotonic()
            driver = self._start(room, place, out)
            moment = share * self._expected(wanted)
            hit = not _ends_within(driver, moment) and strike(driver, place, wanted, random)
            ended, told = _ended(driver, self._log(room))
            if not hit:
                self.seconds[wanted.where, wanted.cold] = time.monotonic() - begin
            before = finished_lines(out)
            if wanted.signal != "SIGKILL" and hit:
                found.problems += ended_well(wanted.signal, ended, told)
            found.orphans += left_after(ORPHAN_SECONDS, place.pids, place.tops)
            place.mend()
            while ended != 0 and resumes < MOST_RESUMES:
                resumes += 1
                ended, told = _ended(self._start(room, place, out), self._log(room))
            if ended != 0:
                found.problems.append(f"ended with {ended} after {resumes} repetitions: {told}")
        found.orphans += left_after(ORPHAN_SECONDS, ())
        if ended == 0:
            compare_runs(self.folder / "undisturbed", before, out, found)
        found.left += files_left(self._known, out, *self._beside(room))
        return hit, found, resumes

    def _expected(self, wanted: Disturbance) -> float:
        usual = self.seconds[ALONE, wanted.cold]
        return self.seconds.get((wanted.where, wanted.cold), usual)

    def _room(self, name: str, *, cold: bool) -> Room:
        cache = self.folder / (f"cache-{name}" if cold else "cache")
        return Room(self.folder / f"room-{name}", cache)

    def _beside(self, room: Room) -> tuple[Path, ...]:
        """What a run may leave files in besides its own folder. The key is shared by all tries."""
        return (room.temporary, room.cache, self.folder / "keys")

    def _log(self, room: Room) -> Path:
        return room.folder / "log.txt"

    def _start(self, room: Room, place: Place, out: Path) -> subprocess.Popen[bytes]:
        key = self.folder / "keys" / "client.key"
        key.parent.mkdir(exist_ok=True)
        words = [*self.run, "--out", str(out), "--key", str(key), *place.options()]
        self._log(room).write_bytes(b"")
        return room.start(words, self._log(room))

    def report(self, outcomes: Sequence[Outcome]) -> Report:
        """Return a line per kind of victim, and the figures."""
        return report_of(outcomes, "SIGKILL at a random moment", "kills")


class Signals(Kills):
    """Signals that ask the driver to end: one line, its exit code, and the run resumes."""

    name = "signals"

    def disturbance(self, unit: int) -> Disturbance:
        """Return what is done in a unit."""
        where, name = SIGNAL_TURNS[unit % len(SIGNAL_TURNS)]
        random = np.random.default_rng([self.seed, 3, unit])
        return Disturbance(where, "driver", name, float(random.uniform(0.05, 0.95)), unit % 3 == 2)

    def report(self, outcomes: Sequence[Outcome]) -> Report:
        """Return a line per signal, and the figures."""
        return report_of(outcomes, "a signal at a random moment", "signals")


def report_of(outcomes: Sequence[Outcome], how: str, name: str) -> Report:
    """Return lines and figures of disturbed runs."""
    lines = []
    for who, count in Counter(one["who"] for one in outcomes).items():
        mine = [one for one in outcomes if one["who"] == who]
        lines.append(Line(f"{who}, {how}", count, _result(mine)))
    n, total = len(outcomes), _totals(outcomes)
    figures: list[Figure] = [
        all_of(f"{name} after which the same command gave the same", n, sum(map(is_same, outcomes))),
        *(no_more_than(f"{name}: {what}", 0, total[what]) for what in _COUNTED),
    ]
    faults = [f"{one['what']}: {words}" for one in outcomes if (words := _wrong(one))]
    return Report(tuple(lines), tuple(figures), tuple(faults))


_COUNTED = ("lost", "redone", "doubled", "orphans", "left")


def _totals(outcomes: Sequence[Outcome]) -> Counter[str]:
    total: Counter[str] = Counter()
    for one in outcomes:
        for name in _COUNTED:
            total[name] += one[name] if isinstance(one[name], int) else len(one[name])
    return total


def is_same(one: Outcome) -> bool:
    """Say whether the command ended as if nobody had disturbed it."""
    return not (one["problems"] or one["differing"])


def _wrong(one: Outcome) -> str:
    fields = {name: one[name] for name in Aftermath().as_json()}
    return Aftermath(**fields).words


def _result(outcomes: Sequence[Outcome]) -> str:
    total = _totals(outcomes)
    again = Counter(one["resumes"] for one in outcomes)
    went_on = sum(map(is_same, outcomes))
    counts = ", ".join(f"{total[name]} {name}" for name in _COUNTED)
    repeated = counted(Counter({f"with {n} repetitions": count for n, count in again.items()}))
    return f"{went_on} end as an undisturbed run ({repeated}); {counts}"


def _who(wanted: Disturbance) -> str:
    if wanted.signal != "SIGKILL":
        return wanted.signal
    return f"{wanted.victim}, {wanted.where}"


def strike(
    driver: subprocess.Popen[bytes],
    place: Place,
    wanted: Disturbance,
    random: np.random.Generator,
) -> bool:
    """Disturb; say whether there was somebody to disturb before the run ended."""
    while driver.poll() is None:
        victims = victims_of(driver, place, wanted.victim)
        if victims:
            victim = victims[int(random.integers(len(victims)))]
            try:
                victim.send_signal(getattr(signal, wanted.signal))
            except psutil.Error:
                continue
            return True
        time.sleep(0.05)  # early moments come before the first of its kind: then as soon as it is
    return False


def victims_of(
    driver: subprocess.Popen[bytes], place: Place, victim: Victim
) -> list[psutil.Process]:
    """Return the processes of a kind, in order of their numbers."""
    if victim == "driver":
        found = [psutil.Process(driver.pid)] if driver.poll() is None else []
    elif victim in ("scheduler", "host"):
        found = [place.top] if place.top is not None and place.top.is_running() else []
    elif victim == "worker" and place.workers:
        found = [one for one in place.workers if one.is_running()]
    else:
        names = {"server": FRONTS, "child": CHILDREN, "worker": DASK_WORKERS}[victim]
        under = [one for pid in (driver.pid, *place.pids) for one in below(pid)]
        found = [one for one in under if any(name in words_of(one) for name in names)]
    return sorted(found, key=lambda one: one.pid)


def ended_well(name: str, code: int, told: str) -> list[str]:
    """Return what is wrong with how a command ended after a signal that asked it to."""
    problems = []
    if code not in (EXIT_CODES[name], 0):  # 0: the signal came in the last moment
        problems.append(f"ended with {code} instead of {EXIT_CODES[name]}")
    if code != 0 and "run the same command again" not in told:
        problems.append(f"does not say that the same command resumes: {told}")
    return problems


def _ends_within(driver: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait; say whether the command ended meanwhile."""
    try:
        driver.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _ended(driver: subprocess.Popen[bytes], log: Path) -> tuple[int, str]:
    """Wait for a command; return its exit code and its last words. One that hangs is ended."""
    try:
        code = driver.wait(RUN_SECONDS)
    except subprocess.TimeoutExpired:
        driver.kill()
        driver.wait()
        return -int(signal.SIGALRM if sys.platform != "win32" else 1), "it did not end in time"
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    if any(line.startswith("Traceback") for line in lines):
        return code, f"a traceback; {lines[-1]}"
    return code, lines[-1] if lines else ""
