"""One disturbed run: it is started, somebody is struck, and the same command ends it.

Everything lies in a ``Lane``: a folder that a process of the soak has for itself.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

from tools.soak.aftermath import Aftermath, compare_runs, files_left, finished_lines
from tools.soak.ledger import Outcome
from tools.soak.places import ALONE, Place, Where, is_alive
from tools.soak.room import Room, adopt_orphans, left_after, pids_below
from tools.soak.victims import Disturbance, strike

EXIT_CODES = {"SIGTERM": 143, "SIGINT": 130, "SIGHUP": 129}
# Of a driver of which something else was killed: all went on, or cells failed. Without a scheduler
# it may not even begin.
WENT_ON, SCHEDULER_LOST = (0, 3), 2
# After a run that had ended before its kill: runs vary, the next one may be faster still.
FASTER, MOST_MISSES = 0.85, 4
RUN_SECONDS, MOST_RESUMES, ORPHAN_SECONDS = 900.0, 3, 5.0
GONE_SECONDS = 10.0


@dataclass(frozen=True)
class Undisturbed:
    """A run that nobody disturbed. ``words``: its command without its places.

    ``seconds``: what it took, by where it ran and whether nothing was cached; ``known``: the kinds
    of files that it leaves.
    """

    name: str
    out: Path
    words: tuple[str, ...]
    seconds: Mapping[tuple[Where, bool], float]
    known: frozenset[str]


@dataclass(frozen=True)
class Lane:
    """Where one process of the soak tries things. The key is that of the undisturbed run."""

    folder: Path

    def room(self, name: str, run: str, *, cold: bool) -> Room:
        """Return a room whose cache is empty, or the one that the undisturbed run filled."""
        folder = self.folder / f"room-{name}"
        return Room(folder, folder / "cache" if cold else self.folder / "cache" / run)

    def beside(self, room: Room) -> tuple[Path, ...]:
        """Return what a run may leave files in besides its own folder."""
        return (room.temporary, room.cache, self.folder / "keys")

    def start(
        self, room: Room, place: Place, out: Path, words: tuple[str, ...]
    ) -> subprocess.Popen[bytes]:
        """Start the run; what it prints goes to the log of the room."""
        key = self.folder / "keys" / "client.key"
        key.parent.mkdir(exist_ok=True)
        log_of(room).write_bytes(b"")
        return room.start(
            [*words, "--out", str(out), "--key", str(key), *place.options()], log_of(room)
        )

    def undisturbed(self, name: str, words: tuple[str, ...]) -> tuple[int, str, float]:
        """Run once; return exit code, last words and seconds. The folder of the run stays."""
        out = self.folder / name
        shutil.rmtree(out, ignore_errors=True)
        room, begin = self.room("undisturbed", name, cold=False), time.monotonic()
        with Place(room, self.folder, ALONE) as place:
            code, told = ended(self.start(room, place, out, words), log_of(room))
        return code, told, time.monotonic() - begin


def log_of(room: Room) -> Path:
    """Return the file of what a run in a room prints."""
    return room.folder / "log.txt"


_lanes: list[Lane] = []


def enter_lane(folder: Path, count: int) -> None:
    """Have this process adopt what loses its parent, and give it a lane that no other has."""
    adopt_orphans()
    for number in range(count):
        lane = folder / f"lane-{number}"
        with suppress(FileExistsError):
            (lane / "taken").mkdir()
            _lanes.append(Lane(lane))
            return
    raise RuntimeError(f"all {count} lanes are taken")


@dataclass
class _Struck:
    """What came of one try. ``hit``: whether it was one; ``seconds``: of a run that it missed."""

    found: Aftermath = field(default_factory=Aftermath)
    hit: bool = False
    seconds: float = 0.0
    resumes: int = 0


def disturbed(
    seed: int, unit: int, wanted: Disturbance, of: Undisturbed
) -> tuple[Outcome, dict[tuple[Where, bool], float]]:
    """Disturb one run; again, earlier, where it had ended before.

    Returns what came of it, and what a run of its kind took where that was seen.
    """
    lane, seen = _lanes[0], dict(of.seconds)
    share, tried = wanted.share, _Struck()
    for attempt in range(MOST_MISSES):
        random = np.random.default_rng([seed, 2, unit])
        usual = seen.get((wanted.where, wanted.cold), seen[ALONE, wanted.cold])
        tried = _Try(lane, f"{unit}-{attempt}", wanted, of).at(share * usual, random)
        if tried.hit:
            break
        seen[wanted.where, wanted.cold] = tried.seconds
        share *= FASTER
    else:
        tried.found.problems.append("nobody was disturbed: the run had ended before")
    told = {
        "what": f"{of.name} run: {wanted.words}",
        "who": wanted.who,
        "hit": tried.hit,
        "resumes": tried.resumes,
    }
    return told | tried.found.as_json(), {k: v for k, v in seen.items() if k not in of.seconds}


class _Try:
    """A run that is disturbed once, in a room of its own."""

    def __init__(self, lane: Lane, name: str, wanted: Disturbance, of: Undisturbed) -> None:
        shutil.rmtree(lane.folder / f"room-{name}", ignore_errors=True)
        self._lane, self._wanted, self._of = lane, wanted, of
        self._room = lane.room(name, of.name, cold=wanted.cold)
        self._out = self._room.folder / "run"
        self._struck = _Struck()

    def at(self, moment: float, random: np.random.Generator) -> _Struck:
        """Strike so many seconds after the start; repeat the command until it ends; look."""
        struck, own = self._struck, pids_below()
        before: Mapping[str, int] = {}
        with Place(self._room, self._lane.folder, self._wanted.where) as place:
            begin = time.monotonic()
            driver = self._start(place)
            victim = None
            if not _ends_within(driver, moment):
                victim = strike(driver, place, self._wanted, random)
            after = finished_lines(self._out)
            code, told = ended(driver, log_of(self._room))
            struck.seconds = time.monotonic() - begin
            struck.hit = victim is not None and self._was_hit(victim, code, len(after))
            before = finished_lines(self._out)
            if struck.hit:
                struck.found.problems += self._problems(code, told)
            struck.found.orphans += left_after(ORPHAN_SECONDS, own, place.pids)
            place.mend()
            while code != 0 and struck.resumes < MOST_RESUMES:
                struck.resumes += 1
                code, told = ended(self._start(place), log_of(self._room))
            if code != 0:
                times = f"after {struck.resumes} repetitions"
                struck.found.problems.append(f"ended with {code} {times}: {told}")
        struck.found.orphans += left_after(ORPHAN_SECONDS, own)
        self._look(code, before, place.not_ours)
        return struck

    def _start(self, place: Place) -> subprocess.Popen[bytes]:
        return self._lane.start(self._room, place, self._out, self._of.words)

    def _was_hit(self, victim: psutil.Process, code: int, finished: int) -> bool:
        """Say whether the victim was struck before everything was finished.

        A driver that had finished its last cell may end well in spite of what was sent to it.
        """
        late = finished == len(finished_lines(self._of.out)) and code == 0
        if self._wanted.victim == "driver":
            return not late
        return _is_gone(victim)

    def _problems(self, code: int, told: str) -> list[str]:
        if self._wanted.victim != "driver":
            due = (*WENT_ON, SCHEDULER_LOST) if self._wanted.victim == "scheduler" else WENT_ON
            wrong = [] if code in due else [f"ended with {code} instead of one of {due}: {told}"]
            return wrong + ([told] if told.startswith("a traceback") else [])
        if self._wanted.signal == "SIGKILL":
            return [] if code == -signal.SIGKILL else [f"ended with {code} in spite of a kill"]
        return ended_well(self._wanted.signal, code, told, begun=self._out.exists())

    def _look(self, code: int, before: Mapping[str, int], not_ours: tuple[str, ...]) -> None:
        """Compare the run that ended with the one that nobody disturbed."""
        found = self._struck.found
        if code == 0:
            compare_runs(self._of.out, before, self._out, found)
        beside = self._lane.beside(self._room)
        found.left += files_left(set(self._of.known), self._out, *beside, but=not_ours)
        if found.good:
            shutil.rmtree(self._room.folder)


def ended_well(name: str, code: int, told: str, *, begun: bool) -> list[str]:
    """Return what is wrong with how a command ended after a signal that asked it to.

    ``begun``: whether there was a run folder; before, Python itself may still be loading.
    """
    problems: list[str] = []
    if not begun and code == -getattr(signal, name):
        return problems
    if code != EXIT_CODES[name]:
        problems.append(f"ended with {code} instead of {EXIT_CODES[name]}")
    if "run the same command again" not in told:
        problems.append(f"does not say that the same command resumes: {told}")
    return problems


def _is_gone(victim: psutil.Process) -> bool:
    """Wait a little for a process to end; say whether it has."""
    end = time.monotonic() + GONE_SECONDS
    while is_alive(victim):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def _ends_within(driver: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait; say whether the command ended meanwhile."""
    try:
        driver.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def ended(driver: subprocess.Popen[bytes], log: Path) -> tuple[int, str]:
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
