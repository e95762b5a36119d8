"""Who runs the cells of a run: this process, workers that it starts, or those of a cluster."""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from he_compare.common.environment import usable_cores
from he_compare.common.errors import UsageError
from he_compare.common.run.folder_claim import SHARED_FILES
from he_compare.common.run.store import RunFolder
from he_compare.common.types import IntArray
from he_compare.comparisons.cluster.capacity import WORKER_BYTES, capacity_here
from he_compare.comparisons.cluster.crew import WORKER_SECONDS, Crew, Hand, workers_here, workers_of
from he_compare.comparisons.cluster.dask_executor import DaskExecutor
from he_compare.comparisons.cluster.key_delivery import give_keys, has_keys
from he_compare.comparisons.cluster.plan_files import write_plan
from he_compare.comparisons.cluster.run_order import make_order
from he_compare.comparisons.cluster.scheduler_access import access_to
from he_compare.comparisons.measuring.config import RunConfig
from he_compare.comparisons.measuring.plan import RunPlan
from he_compare.comparisons.measuring.threads import (
    Lanes,
    ThreadShare,
    lanes_here,
    lanes_of,
    share_threads,
)
from he_compare.comparisons.progress import ProgressReporter

MOST_WORKERS = 1024


@dataclass(frozen=True)
class WhoRuns:
    """What the command says of workers. ``count``: None for as many as the machine bears.

    ``scheduler``: address of a running cluster, '' for none; ``tls_ca``, ``tls_cert``, ``tls_key``:
    certificates for it; ``wait_seconds``: for its first worker.
    """

    count: int | None = 1
    scheduler: str = ""
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    insecure: bool = False
    wait_seconds: float = WORKER_SECONDS

    def check(self) -> None:
        """Raise UsageError on what contradicts itself, before anything is read."""
        if self.count is not None and not 1 <= self.count <= MOST_WORKERS:
            raise UsageError(
                f"--workers {self.count} is not 1 to {MOST_WORKERS}",
                fix="pass 1 to measure in one process",
            )
        if not self.scheduler and any((self.tls_ca, self.tls_cert, self.tls_key, self.insecure)):
            raise UsageError(
                "certificates are given for no scheduler and no host",
                fix="pass --scheduler tls://HOST:8786, or --host https://HOST:8700",
            )

    def beside_host(self) -> WhoRuns:
        """Return who runs the cells where server halves run on one host: this process alone.

        A host serves one driver, and what one image takes is measured with nothing beside it.
        Raises UsageError where others are asked for.
        """
        if self.scheduler:
            raise UsageError(
                "--host and --scheduler do not go together: one is where servers run, the other "
                "who measures",
                fix="leave one of them out",
            )
        if self.count not in (None, 1):
            raise UsageError(
                f"--workers {self.count} does not go together with --host, which serves one driver",
                fix="pass --workers 1, or leave it out",
            )
        return replace(self, count=1)

    def security(self) -> Any | None:
        """Return what Dask takes for the scheduler. Raises UsageError."""
        return access_to(
            self.scheduler, self.tls_ca, self.tls_cert, self.tls_key, insecure=self.insecure
        )


@dataclass(frozen=True)
class Staff:
    """Who runs the cells, settled: so many workers here, or a crew of a cluster.

    ``count``: 1 and no crew for this process alone. ``own``: the threads that each worker of a
    crew was started with.
    """

    count: int
    threads: ThreadShare
    crew: Crew | None = None
    wait_seconds: float = WORKER_SECONDS
    own: tuple[int, ...] = ()

    @property
    def lanes(self) -> Lanes:
        """How many cells go on beside each other at full speed, for an estimate."""
        if self.own:
            return lanes_of(self.own, self.threads.training)
        return lanes_here(self.count, self.threads.training, usable_cores())

    @property
    def alone(self) -> bool:
        """Whether this process measures the cells itself."""
        return self.crew is None and self.count == 1


def workers_wanted(who: WhoRuns, config: RunConfig, progress: ProgressReporter) -> int:
    """Return how many workers are started here, and say it with the reason."""
    if who.count is not None:
        tell_workers(who.count, progress)
        return who.count
    capacity = capacity_here()
    pipelines = len(config.pipelines) * len(config.all_seeds)
    # With --threads, workers share the cores: two workers of two threads need four.
    room = max(1, capacity.cores // (config.threads or 1))
    count = min(capacity.workers, pipelines, room)
    why = capacity.reason
    if count < capacity.workers:
        why = f"{pipelines} pipelines in all"
        if count < pipelines:
            why = f"{capacity.cores} cores, {config.threads} threads each"
    workers = "1 worker" if count == 1 else f"{count} workers"
    progress.line(f"{workers} on this machine ({why})")
    return count


def tell_workers(count: int, progress: ProgressReporter) -> None:
    """Say how many workers were asked for, and whether that is more than the machine bears."""
    if count == 1:
        return
    cores, bears = usable_cores(), capacity_here()
    more = f", more than the {cores} cores" if count > cores else ""
    progress.line(f"{count} workers on this machine{more}")
    if count > bears.workers:
        progress.line(
            f"note: each takes about {WORKER_BYTES / 1e9:.1f} GB with its servers, and "
            f"{bears.memory / 1e9:.1f} GB are free"
        )


@contextlib.contextmanager
def staffed(
    who: WhoRuns, config: RunConfig, known: Mapping[str, Any] | None, progress: ProgressReporter
) -> Iterator[Staff]:
    """Settle who runs the cells, before the plan is made: threads are part of it.

    ``known``: settings of the run that is resumed. Raises UsageError.
    """
    share = partial(share_threads, config.threads, known=known, latency=config.latency_threads)
    if not who.scheduler:
        count = workers_wanted(who, config, progress)
        yield Staff(count, share(count))
        return
    if who.count not in (None, 1):
        progress.line(f"note: --workers {who.count} is not used: all workers of the scheduler are")
    with workers_of(who.scheduler, who.security(), progress) as crew:
        crew.wait_for_workers(who.wait_seconds)
        count, own = len(crew.addresses()), crew.threads()
        threads = share(1, cores=min(own, default=1))
        workers = "1 worker" if count == 1 else f"{count} workers"
        progress.line(f"{workers} of {who.scheduler}; threads of each: {threads.training}")
        yield Staff(count, threads, crew, who.wait_seconds, own)


@contextlib.contextmanager
def executor_of(
    staff: Staff,
    plan: RunPlan,
    folder: RunFolder,
    *,
    dataset: str,
    data_dir: Path | None,
    offline: bool,
    require_real: bool,
    cache_dir: Path,
    taped: IntArray | None,
    progress: ProgressReporter,
) -> Iterator[DaskExecutor]:
    """Make what runs cells on workers, and start those that are this run's own.

    Files that they share with this process lie in a private folder inside the run's, which goes
    when this ends; what a killed process left there goes first.
    """
    with contextlib.ExitStack() as stack:
        files = stack.enter_context(folder_of_workers(folder.path / SHARED_FILES))
        write_plan(plan, files)
        order = make_order(
            plan,
            token=secrets.token_hex(32),
            dataset=dataset,
            data_dir=data_dir,
            offline=offline,
            # Synthetic images never stand in on a worker for real ones of the driver.
            require_real=require_real or not plan.summary.card.synthetic,
            files=files,
            run_folder=folder.path,
            cache_dir=cache_dir,
            taped=taped,
        )
        crew = staff.crew or stack.enter_context(
            workers_here(staff.count, staff.threads.training, progress, files)
        )
        stack.enter_context(crew.reached())
        yield DaskExecutor(
            crew,
            order,
            wait_seconds=staff.wait_seconds,
            keys=lambda hand: _key_on(crew, hand, plan),
        )


def _key_on(crew: Crew, hand: Hand, plan: RunPlan) -> str:
    """Give the keys of all seeds to a worker, where there are any and it does not read them here.

    Return where the first lies there, '' where none was given.
    """
    if not plan.key_file.is_file() or (hand.sees_files and crew.own):
        return ""
    if hand.sees_files and has_keys(crew.client, hand.address, plan):
        return ""
    return str(give_keys(crew.client, hand.address, plan))


@contextlib.contextmanager
def folder_of_workers(path: Path) -> Iterator[Path]:
    """Have an empty folder of this user's for the ``with`` block; what was there goes first."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(mode=0o700)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
