"""Kills at random moments of small runs, and signals; then the same command until it ends.

A try is one run of three cheap pipelines in which one process ends at a moment that the seed draws:
the driver, the server's front, its child, a Dask worker, a scheduler, or `compare host`. Then the
same command is repeated until it ends by itself. An exact answer is wanted of pipelines whose keys
are kept in a file; of CKKS the predicted classes have to be equal (see ``aftermath``).
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tools.soak.aftermath import (
    Aftermath,
    compare_runs,
    files_left,
    finished_lines,
    kinds_of_files,
)
from tools.soak.campaign import Outcome, Part, Stopped
from tools.soak.cluster import certificates
from tools.soak.disturbed_runs import report_of
from tools.soak.figures import Report
from tools.soak.invented import SMALL, invented_images
from tools.soak.places import ALONE, HOST, SCHEDULER, WORKERS, Place, Where, hosts_can_be_run
from tools.soak.room import Room, left_after, pids_below
from tools.soak.victims import Disturbance, Victim, strike

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
    *("run", *SMALL, "--no-audit", "--format", "md"),
    *("--pipeline", "plaintext[model=logistic]"),
    *("--pipeline", "block-scramble[cipher=vit_block,mode=adapted]"),
    *("--pipeline", "fhe-head"),
)


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
        for name in ("cold", "undisturbed", "cache", "room-undisturbed"):  # of a soak before
            shutil.rmtree(self.folder / name, ignore_errors=True)
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
        shutil.rmtree(self.folder / f"room-{unit}-{attempt}", ignore_errors=True)
        room = self._room(f"{unit}-{attempt}", cold=wanted.cold)
        out, found, resumes = room.folder / "run", Aftermath(), 0
        random, own = np.random.default_rng([self.seed, 2, unit]), pids_below()
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
                found.problems += ended_well(wanted.signal, ended, told, begun=out.exists())
            found.orphans += left_after(ORPHAN_SECONDS, own, place.pids)
            place.mend()
            while ended != 0 and resumes < MOST_RESUMES:
                resumes += 1
                ended, told = _ended(self._start(room, place, out), self._log(room))
            if ended != 0:
                found.problems.append(f"ended with {ended} after {resumes} repetitions: {told}")
        found.orphans += left_after(ORPHAN_SECONDS, own)
        if ended == 0:
            compare_runs(self.folder / "undisturbed", before, out, found)
        found.left += files_left(self._known, out, *self._beside(room), but=place.not_ours)
        if found.good:
            shutil.rmtree(room.folder)
        return hit, found, resumes

    def _expected(self, wanted: Disturbance) -> float:
        usual = self.seconds[ALONE, wanted.cold]
        return self.seconds.get((wanted.where, wanted.cold), usual)

    def _room(self, name: str, *, cold: bool) -> Room:
        folder = self.folder / f"room-{name}"
        return Room(folder, folder / "cache" if cold else self.folder / "cache")

    def _beside(self, room: Room) -> tuple[Path, ...]:
        """What a run may leave files in besides its own folder. The key is shared by all tries."""
        return (room.temporary, room.cache, self.folder / "keys")

    def _log(self, room: Room) -> Path:
        return room.folder / "log.txt"

    def _start(self, room: Room, place: Place, out: Path) -> subprocess.Popen[bytes]:
        key = self.folder / "keys" / "client.key"
        key.parent.mkdir(exist_ok=True)
        images = invented_images(self.folder / "images")
        words = [*self.run, *images, "--out", str(out), "--key", str(key), *place.options()]
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


def _who(wanted: Disturbance) -> str:
    if wanted.signal != "SIGKILL":
        return wanted.signal
    return f"{wanted.victim}, {wanted.where}"


def ended_well(name: str, code: int, told: str, *, begun: bool) -> list[str]:
    """Return what is wrong with how a command ended after a signal that asked it to.

    ``begun``: whether there was a run folder; before, Python itself may still be loading.
    """
    problems: list[str] = []
    if not begun and code == -getattr(signal, name):
        return problems
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
