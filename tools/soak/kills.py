"""Kills at random moments of small runs, and signals; then the same command until it ends.

A try is one run in which one process ends at a moment that the seed draws: the driver, the server's
front, its child, a Dask worker, a scheduler, or `compare host`. Then the same command is repeated
until it ends by itself. An exact answer is wanted of pipelines whose keys are kept in a file; of
CKKS the predicted classes have to be equal (see ``aftermath``). A try after which the victim was
not killed, or everything was finished before, counts for nothing: it is made again, earlier.

Light runs and heavy ones are disturbed in turn. Each lane has caches and keys of its own, and is a
process that adopts what loses its parent there: tries beside each other do not see each other.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from tools.soak.aftermath import kinds_of_files
from tools.soak.campaign import Part
from tools.soak.cluster import certificates
from tools.soak.disturbed_runs import report_of
from tools.soak.disturbing import Lane, Undisturbed, disturbed, enter_lane
from tools.soak.figures import Report
from tools.soak.invented import SMALL, invented_images
from tools.soak.ledger import Outcome, Stopped
from tools.soak.places import ALONE, HOST, SCHEDULER, WORKERS, Where, hosts_can_be_run
from tools.soak.victims import Disturbance, Victim

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
_COMMON = ("run", *SMALL, "--no-audit", "--format", "md")
# What is run: light ones twice as often as heavy ones.
RUNS: Mapping[str, tuple[str, ...]] = {
    "light": (
        *_COMMON,
        *("--pipeline", "plaintext[model=logistic]"),
        *("--pipeline", "fhe-head"),
    ),
    "heavy": (
        *_COMMON,
        *("--pipeline", "plaintext[model=logistic]"),
        *("--pipeline", "block-scramble[cipher=vit_block,mode=adapted]"),
        *("--pipeline", "fhe-head"),
    ),
}
RUN_TURNS = ("light", "heavy", "light")


class Kills(Part):
    """SIGKILL of every kind of process, in turn."""

    name = "kills"
    bears_company = True
    turns = TURNS

    def __init__(self, folder: Path, seed: int, count: int) -> None:
        """``count``: how many."""
        super().__init__(folder, seed)
        self.count = count
        self._undisturbed: dict[str, Undisturbed] = {}

    @property
    def units(self) -> int:
        return self.count

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"runs": RUNS, "hosts": hosts_can_be_run()}

    @property
    def seconds(self) -> float:
        """What a light run took that nobody disturbed, with what it needs cached."""
        return self._undisturbed[RUN_TURNS[0]].seconds[ALONE, False]

    def prepare(self) -> None:
        """Run each without disturbance, with empty caches and then with full ones; make lanes."""
        super().prepare()
        first = Lane(self.folder / "lane-undisturbed")
        shutil.rmtree(first.folder, ignore_errors=True)  # of a soak before
        first.folder.mkdir()
        certificates(first.folder)
        images = invented_images(self.folder / "images")
        for name, words in RUNS.items():
            self._undisturbed[name] = _undisturbed(first, name, (*words, *images))
        # Keys and temporary files of a lane are those of all its runs.
        known = frozenset().union(*(one.known for one in self._undisturbed.values()))
        for name, one in self._undisturbed.items():
            self._undisturbed[name] = replace(one, known=known)
        for number in range(self.at_once):
            lane = self.folder / f"lane-{number}"
            shutil.rmtree(lane, ignore_errors=True)
            lane.mkdir()
            for path in first.folder.iterdir():
                if path.is_file():
                    shutil.copy2(path, lane)
                elif path.name in ("cache", "keys"):
                    shutil.copytree(path, lane / path.name)
        self._pool = ProcessPoolExecutor(
            self.at_once,
            mp_context=get_context("spawn"),
            initializer=enter_lane,
            initargs=(self.folder, self.at_once),
        )

    def disturbance(self, unit: int) -> Disturbance:
        """Return what is done in a unit."""
        turns = [(w, v) for w, v in self.turns if w != HOST or hosts_can_be_run()]
        where, victim = turns[unit % len(turns)]
        random = np.random.default_rng([self.seed, 1, unit])
        cold = bool(unit // len(turns) % 2 if self.count > len(turns) else unit % 3 == 2)
        return Disturbance(where, victim, "SIGKILL", float(random.uniform(0.05, 0.95)), cold)

    def try_one(self, unit: int) -> Outcome:
        """Disturb one run, in a lane that is free."""
        name = RUN_TURNS[unit // len(self.turns) % len(RUN_TURNS)]
        of = self._undisturbed[name]
        outcome, seen = self._pool.submit(
            disturbed, self.seed, unit, self.disturbance(unit), of
        ).result()
        now = self._undisturbed[name]
        self._undisturbed[name] = replace(now, seconds={**seen, **now.seconds})
        return outcome

    def close(self) -> None:
        """End the processes that disturb."""
        if hasattr(self, "_pool"):
            self._pool.shutdown()

    def report(self, outcomes: Sequence[Outcome]) -> Report:
        """Return a line per kind of victim, and the figures."""
        return report_of(outcomes, "SIGKILL at a random moment", "kills")


def _undisturbed(lane: Lane, name: str, words: tuple[str, ...]) -> Undisturbed:
    """Run twice: what is cached is filled by the first one. Raises Stopped where one fails."""
    seconds: dict[tuple[Where, bool], float] = {}
    for cold in (True, False):
        code, told, seconds[ALONE, cold] = lane.undisturbed(name, words)
        if code != 0:
            raise Stopped(f"the {name} run that nobody disturbs ended with {code}: {told}")
    room = lane.room("undisturbed", name, cold=False)
    known = frozenset(kinds_of_files(lane.folder / name, *lane.beside(room)))
    return Undisturbed(name, lane.folder / name, words, seconds, known)


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
