"""Kills workers, scheduler and driver of a small run, and sees whether the same command resumes.

Each try is one run of three cheap pipelines (disposable folders, ``--workers 2`` or a scheduler of
its own over TLS) in which one process is killed with SIGKILL at a moment that the seed draws. Then
the same command is repeated until it ends by itself. Counted are tries whose predictions are those
of a run that nobody disturbed, cells that are lost or written twice, and processes left behind.

``python -m benchmarks.scale_kills [--quick] [--json FILE]``: 20 tries, with ``--quick`` three. An
exact answer is wanted of pipelines whose keys are kept in a file. Of CKKS, whose keys are fresh,
the predicted classes have to be equal and the probabilities within ``CKKS_NOISE``.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import psutil

from benchmarks.kill_cluster import Cluster, certificates
from benchmarks.rows import Row, main
from he_compare.common.run.records import RunRecord
from he_compare.common.run.store import RunFolder, load_arrays
from he_compare.common.types import Phase, Status

Victim: TypeAlias = Literal["worker", "driver", "scheduler"]
Outside: TypeAlias = Literal["--workers 2", "--scheduler"]

SEED, TRIES, QUICK_TRIES = 17, 20, 3
# Who dies in turn; a run of --workers 2 has its scheduler in the driver.
TURNS: tuple[tuple[Outside, Victim], ...] = (
    ("--workers 2", "worker"),
    ("--scheduler", "scheduler"),
    ("--workers 2", "driver"),
    ("--scheduler", "worker"),
    ("--scheduler", "driver"),
)
CKKS_NOISE = 1e-3
# After a run that had ended before its kill: runs vary, the next one may be faster still.
FASTER = 0.9
MOST_SECONDS, MOST_RESUMES, MOST_MISSES, QUIET_SECONDS = 600.0, 3, 3, 60.0
MARK = "COMPARE_KILLS"
RUN = (
    *("run", "--profile", "smoke", "--offline", "--no-audit", "--format", "md"),
    *("--train-limit", "60", "--val-limit", "20", "--test-limit", "40", "--epochs", "1"),
    *("--latency-images", "2", "--latency-rounds", "2", "--threads", "1"),
    *("--pipeline", "plaintext[model=logistic]"),
    *("--pipeline", "block-scramble[cipher=vit_block,mode=adapted]"),
    *("--pipeline", "fhe-head"),
)


@dataclass(frozen=True)
class Room:
    """Where tries live: a folder, an environment that marks every process, one key."""

    folder: Path
    mark: str

    @property
    def environment(self) -> dict[str, str]:
        """The environment of every process of a try, which all that it starts inherit."""
        caches = {"XDG_CACHE_HOME": str(self.folder / "cache")}
        return {**os.environ, **caches, "OMP_NUM_THREADS": "1", MARK: self.mark}

    def processes(self) -> list[psutil.Process]:
        """Return the processes that carry the mark, whoever their parent is by now."""
        return [one for one in psutil.process_iter() if self._is_marked(one)]

    def _is_marked(self, one: psutil.Process) -> bool:
        try:
            running = one.status() != psutil.STATUS_ZOMBIE
            return running and one.environ().get(MARK) == self.mark
        except psutil.Error:
            return False


@dataclass
class Try:
    """What came of one try. ``killed``: who, with the moment as a share of an undisturbed run.

    ``seconds``: what the run took where it ended before anybody was killed, else None.
    """

    killed: str
    seconds: float | None = None
    resumes: int = 0
    problems: list[str] = field(default_factory=list)
    left_behind: int = 0
    lost: int = 0
    doubled: int = 0
    differing: int = 0

    @property
    def good(self) -> bool:
        """Whether nothing is wrong with it."""
        return not (
            self.problems or self.left_behind or self.lost or self.doubled or self.differing
        )


def measure(quick: bool, tries: int = 0) -> list[Row]:
    """Kill; return one row per figure, and one per try that went wrong."""
    count = tries or (QUICK_TRIES if quick else TRIES)
    random = np.random.default_rng(SEED)
    with tempfile.TemporaryDirectory() as folder:
        room = Room(Path(folder), f"{os.getpid()}-{time.time_ns()}")
        certificates(room.folder)
        for name in ("undisturbed", "warm"):  # the first also fills the caches
            begin = time.perf_counter()
            with running_cluster(room, "--workers 2") as where:
                ended = drive(room, where, room.folder / name)
            seconds = time.perf_counter() - begin
            if ended != 0:
                raise SystemExit(f"the {name} run ended with {ended}")
        found = []
        for number in range(count):
            outside, victim = TURNS[number % len(TURNS)]
            share = float(random.uniform(0.05, 0.95))
            one = disturbed(room, f"{number}", outside, victim, share, seconds, random)
            # A machine that became faster: the run had ended. That was no kill, so once more.
            for again in range(MOST_MISSES):
                if one.seconds is None:
                    break
                seconds = FASTER * one.seconds
                out = f"{number}-{again}"
                one = disturbed(room, out, outside, victim, share, seconds, random)
            if one.seconds is not None:
                one.problems.append("nobody was killed: the run had ended before")
            print(f"try {number + 1}/{count}: {one}", file=sys.stderr, flush=True)
            found.append(one)
    return rows_of(found, seconds)


def rows_of(found: Sequence[Try], seconds: float) -> list[Row]:
    """Return the figures of all tries."""
    n = len(found)
    rows = [
        Row(
            "kills after which the same command gave the same predictions",
            sum(one.good for one in found),
            "tries",
            n,
            "asked",
            n,
        ),
        Row("cells lost", sum(one.lost for one in found), "cells", n),
        Row("cells written twice", sum(one.doubled for one in found), "cells", n),
        Row("predictions that differ", sum(one.differing for one in found), "cells", n),
        Row("processes left behind", sum(one.left_behind for one in found), "processes", n),
        Row("commands repeated", sum(one.resumes for one in found), "commands", n),
        Row("undisturbed run", seconds, "s", 1),
    ]
    bad = [one for one in found if not one.good]
    return rows + [Row(f"{one.killed}: {'; '.join(one.problems)}", 0, "good", 1) for one in bad]


def disturbed(
    room: Room,
    name: str,
    outside: Outside,
    victim: Victim,
    share: float,
    seconds: float,
    random: np.random.Generator,
) -> Try:
    """Run once, kill once, repeat the command until it ends by itself, compare."""
    one = Try(f"{victim} of a run with {outside} at {share:.0%} of an undisturbed run")
    out = room.folder / f"try-{name}"
    with running_cluster(room, outside) as where:
        begin, driver = time.perf_counter(), start(room, where, out)
        hit = not ends_within(driver, share * seconds) and kill(driver, where, victim, random)
        ended = wait(driver)
        if not hit:
            one.seconds = time.perf_counter() - begin
        if victim == "driver":
            one.left_behind += count_left(room, where)
        if victim == "scheduler":
            where.restart()
        while ended != 0 and one.resumes < MOST_RESUMES:
            one.resumes += 1
            ended = drive(room, where, out)
        if ended != 0:
            one.problems.append(f"the command ended with {ended} after {one.resumes} repetitions")
    one.left_behind += count_left(room, None)
    if ended == 0:
        compare(room.folder / "undisturbed", out, one)
    return one


def start(room: Room, where: Cluster, out: Path) -> subprocess.Popen[bytes]:
    """Start the command in a session of its own."""
    program = "import sys; from he_compare.comparisons.cli.app import main; sys.exit(main())"
    command = [sys.executable, "-c", program, *RUN, "--out", str(out)]
    command += ["--key", str(room.folder / "client.key"), *where.options()]
    with (room.folder / f"{out.name}.log").open("ab") as log:
        return subprocess.Popen(
            command, env=room.environment, stdout=log, stderr=log, start_new_session=True
        )


def wait(driver: subprocess.Popen[bytes]) -> int:
    """Wait for a command; end one that hangs, which no exit code of a good run is."""
    try:
        return driver.wait(MOST_SECONDS)
    except subprocess.TimeoutExpired:
        driver.kill()
        driver.wait()
        return -int(signal.SIGALRM)


def ends_within(driver: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait; say whether the command ended meanwhile."""
    try:
        driver.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def drive(room: Room, where: Cluster, out: Path) -> int:
    """Run the command to its end."""
    return wait(start(room, where, out))


def kill(
    driver: subprocess.Popen[bytes],
    where: Cluster,
    victim: Victim,
    random: np.random.Generator,
) -> bool:
    """Kill one process; say whether there was one."""
    if driver.poll() is not None:
        return False
    if victim == "driver":
        driver.kill()
        return True
    if victim == "scheduler":
        where.kill_scheduler()
        return True
    workers = where.workers
    while not workers and driver.poll() is None:
        # Early moments come before the first worker: then as soon as there is one.
        workers = workers_of(driver.pid)
        time.sleep(0.1)
    if not workers:
        return False
    chosen = workers[int(random.integers(len(workers)))]
    try:
        chosen.kill()
    except psutil.NoSuchProcess:
        return False
    return True


def workers_of(driver: int) -> list[psutil.Process]:
    """Return the worker processes of a driver: spawned by Python, and no server of a pipeline."""
    found: list[psutil.Process] = []
    try:
        below = psutil.Process(driver).children(recursive=True)
    except psutil.NoSuchProcess:
        return found
    for one in below:
        try:
            words = " ".join(one.cmdline())
        except psutil.Error:
            continue
        if "spawn_main" in words or "distributed.cli.dask_worker" in words:
            found.append(one)
    return sorted(found, key=lambda one: one.pid)


def count_left(room: Room, where: Cluster | None) -> int:
    """Wait for all processes to end that should; return how many did not."""
    own = {one.pid for one in where.processes()} if where else set()
    end = time.monotonic() + QUIET_SECONDS
    while left := [one for one in room.processes() if one.pid not in own]:
        if time.monotonic() > end:
            break
        time.sleep(0.5)
    for one in left:
        print(f"left behind: {one}", file=sys.stderr, flush=True)
        one.kill()
    return len(left)


@contextmanager
def running_cluster(room: Room, outside: Outside) -> Iterator[Cluster]:
    """Start what a run needs besides its driver, and end it."""
    where = Cluster(room.folder, room.environment, external=outside == "--scheduler")
    try:
        yield where
    finally:
        where.close()


def compare(undisturbed: Path, out: Path, one: Try) -> None:
    """Count what is lost, doubled and different in a run folder."""
    wanted, found = (finished(folder) for folder in (undisturbed, out))
    one.lost += len(set(wanted) - set(found))
    extra = sorted(set(found) - set(wanted))
    if extra:
        one.problems.append(f"{len(extra)} cells have another identity")
    one.doubled += sum(times - 1 for times in written(out).values())
    for identity in set(wanted) & set(found):
        record = wanted[identity]
        if record.cell.phase is Phase.ACCURACY:
            one.differing += not same(undisturbed, record, out, found[identity])


def finished(folder: Path) -> dict[str, RunRecord]:
    """Return the finished cells of a run folder by identity."""
    records = RunFolder(folder).records()
    return {one.identity: one for one in records if one.status is Status.OK}


def written(folder: Path) -> Mapping[str, int]:
    """Return how often each cell was written down as finished."""
    lines = (folder / "records.jsonl").read_bytes().splitlines()
    records = [RunRecord.model_validate_json(line) for line in lines]
    return Counter(one.identity for one in records if one.status is Status.OK)


def same(first: Path, one: RunRecord, second: Path, other: RunRecord) -> bool:
    """Say whether two cells predicted the same: to the digit, or but for the noise of CKKS."""
    if one.predictions_sha256 == other.predictions_sha256:
        return True
    if not one.cell.pipeline.startswith("fhe-"):
        return False
    left, right = (
        load_arrays(folder / record.predictions)
        for folder, record in ((first, one), (second, other))
    )
    if not np.array_equal(left["ids"], right["ids"]):
        return False
    classes = [arrays["scores"].argmax(axis=1) for arrays in (left, right)]
    apart = np.abs(left["probabilities"] - right["probabilities"]).max()
    return bool(np.array_equal(*classes)) and float(apart) < CKKS_NOISE


if __name__ == "__main__":
    main(measure, threads=1)
