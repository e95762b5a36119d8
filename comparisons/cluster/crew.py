"""The workers of a run: processes that are started for it here, or those of a running cluster."""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from he_compare.common.environment import thread_environment
from he_compare.common.errors import CellError, UsageError
from he_compare.common.software import Software
from he_compare.comparisons.cluster import worker_tasks
from he_compare.comparisons.cluster.run_order import SAME_EVERYWHERE
from he_compare.comparisons.cluster.scheduler_access import (
    DRIVER,
    require_only_driver,
    why_silent,
)
from he_compare.comparisons.progress import ProgressReporter

ANSWER_SECONDS = 10.0
WORKER_SECONDS = 60.0
LOST_SECONDS = 10.0
TOLD_AFTER = 2.0


class Introduced(Protocol):
    """What a worker is told first: the software it has to have, and a token that lies in a folder
    of the driver, by which it knows whether it sees its files."""

    @property
    def software(self) -> Software: ...

    @property
    def files(self) -> str: ...

    @property
    def token(self) -> str: ...


@dataclass(frozen=True)
class Hand:
    """One worker. ``number`` and ``machine``: as the run counts them, from 1.

    ``host``: name of its machine, which no record holds.
    """

    address: str
    number: int
    machine: int
    sees_files: bool
    host: str = ""

    @property
    def title(self) -> str:
        """Name it for a person."""
        return f"worker {self.number}"


@dataclass
class Crew:
    """The workers of a run and the client of Dask that reaches them. ``own``: started for it.

    ``outside``: hosts of workers that were there at the last look and not taken in, by address.
    """

    client: Any
    progress: ProgressReporter
    own: bool
    address: str = ""
    hands: dict[str, Hand] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    outside: dict[str, str] = field(default_factory=dict)
    _machines: dict[str, int] = field(default_factory=dict)
    _count: int = 0
    _silent_since: float | None = None

    def addresses(self) -> dict[str, str]:
        """Return the host of every worker of the cluster. Raises CellError without scheduler."""
        # Not ``scheduler_info``: what it returns may be a view without workers.
        workers: dict[str, int] | None = None
        if self.client.status == "running":
            with contextlib.suppress(OSError, TimeoutError):
                workers = self.client.nthreads()
        if workers is None or self.client.status != "running":
            now = time.monotonic()
            self._silent_since = self._silent_since or now
            if self.client.status == "closed" or now - self._silent_since > LOST_SECONDS:
                raise self._gone()
            return {one.address: "" for one in self.hands.values()}
        self._silent_since = None
        return {address: str(urlsplit(address).hostname or "") for address in workers}

    def _gone(self) -> CellError:
        return CellError(
            f"the scheduler {self.address} is gone",
            fix="run the same command again: finished cells are kept",
        )

    @contextlib.contextmanager
    def reached(self) -> Iterator[None]:
        """Have the crew for the ``with`` block. Raises CellError where its scheduler was lost.

        A client of Dask that lost it says so in several ways, whatever it was asked.
        """
        from distributed.client import (
            ClosedClientError,
            FutureCancelledError,
            FuturesCancelledError,
        )
        from distributed.comm import CommClosedError

        try:
            yield
        except (ClosedClientError, CommClosedError):
            raise self._gone() from None
        except (FutureCancelledError, FuturesCancelledError):
            if self.client.status == "running":
                raise
            raise self._gone() from None

    def update(self, order: Introduced, *, admit: bool = True) -> tuple[list[Hand], list[Hand]]:
        """Look who is there: return who is new, and who was lost since the last time.

        ``admit``: False to leave who is new outside, without a word to it. Raises UsageError on a
        worker that cannot take part where no other is there yet.
        """
        there = self.addresses()
        lost = [hand for address, hand in self.hands.items() if address not in there]
        for hand in lost:
            del self.hands[hand.address]
        fresh = [one for one in there if one not in self.hands and one not in self.refused]
        self.outside = {} if admit else {one: there[one] for one in fresh}
        new = self._join({one: there[one] for one in fresh}, order) if fresh and admit else []
        return new, lost

    def has(self, hand: Hand) -> bool:
        """Say whether a worker is still there; without a scheduler none is."""
        try:
            return hand.address in self.addresses()
        except CellError:
            return False

    def outside_on(self, machine: int) -> bool:
        """Say whether a worker that is not taken in is on a machine."""
        return any(self._machines.get(host) == machine for host in self.outside.values())

    def _join(self, fresh: dict[str, str], order: Introduced) -> list[Hand]:
        replies = self.client.run(
            worker_tasks.introduce, order.files, order.token, workers=[*fresh], on_error="return"
        )
        new = []
        for address, reply in replies.items():
            if isinstance(reply, OSError):
                continue  # gone already, or not there yet: seen at the next look
            problem, sees, name = _judged(reply, order.software)
            if problem:
                self.refused[address] = f"{_at(address, name)}: {problem}"
                continue
            new.append(self._hand(address, fresh[address], sees, name))
        if self.own and new:
            where = [one.address for one in new]
            self.client.run(worker_tasks.silence, order.files, workers=where, on_error="return")
        for hand in new:
            self.hands[hand.address] = hand
        return new

    def _hand(self, address: str, host: str, sees_files: bool, name: str) -> Hand:
        self._count += 1
        machine = self._machines.setdefault(host, len(self._machines) + 1)
        return Hand(address, self._count, machine, sees_files, name)

    def threads(self) -> tuple[int, ...]:
        """Return the threads that each worker was started with."""
        return tuple(int(one) for one in self.client.nthreads().values())

    def refuse(self, hand: Hand, problem: str) -> None:
        """Leave a worker out that cannot take part."""
        self.hands.pop(hand.address, None)
        self.refused[hand.address] = f"{_at(hand.address, hand.host)}: {problem}"

    def wait_for_workers(self, seconds: float) -> None:
        """Wait until a worker is there. Raises UsageError where none comes in time."""
        start, told = time.monotonic(), False
        while not self.addresses():
            if time.monotonic() - start > seconds:
                files = " --tls-ca-file CA --tls-cert CERT --tls-key KEY"
                tls = files if self.address.startswith("tls://") else ""
                raise UsageError(
                    f"{self.address} has no workers after {seconds:.0f} s",
                    fix=f"start some with `dask worker {self.address} --nthreads CORES{tls}`, or "
                    "wait longer with --worker-seconds",
                )
            if not told and time.monotonic() - start > TOLD_AFTER:
                told = True
                self.progress.line(f"waiting for workers of {self.address}")
            time.sleep(0.2)


def _at(address: str, host: str) -> str:
    """Name a worker by its address and, where it is known, its machine."""
    return f"worker {address} on {host}" if host else f"worker {address}"


def _judged(reply: object, wanted: Software) -> tuple[str, bool, str]:
    """Say what is in the way of a worker, '' for nothing; whether it sees the files; its host."""
    if isinstance(reply, BaseException):
        return (
            (
                f"it cannot load he-compare ({' '.join(str(reply).split())}) "
                f"(install he-compare {wanted.tool_version} there)"
            ),
            False,
            "",
        )
    try:
        told = json.loads(str(reply))
        has, sees = Software.model_validate(told["software"]), bool(told["sees_files"])
    except (ValueError, KeyError, TypeError):
        return f"it answers nothing that makes sense ({SAME_EVERYWHERE})", False, ""
    differing = has.differences(wanted)
    problem = f"it has {'; '.join(differing)} ({SAME_EVERYWHERE})" if differing else ""
    return problem, sees, str(told.get("host", ""))


@contextlib.contextmanager
def workers_here(
    count: int, threads: int, progress: ProgressReporter, files: Path, *, processes: bool = True
) -> Iterator[Crew]:
    """Start workers on this machine, reached over loopback with a certificate that is made for it.

    ``threads``: of each for numeric work. ``files``: a private folder. ``processes``: False for
    threads of this process, for tests. When the run is stopped, they are ended at once.
    Raises CellError where one of them ends before it is there.
    """
    import dask
    from distributed import Client, Security

    settings = {
        "distributed.worker.daemon": True,
        # Their pages would say over plain HTTP what runs.
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
        "distributed.scheduler.worker-ttl": None,
        "distributed.nanny.pre-spawn-environ": thread_environment(threads),
        "distributed.admin.tick.limit": "1h",
        # Of the scheduler, which would leave its folder in that of temporary files.
        "temporary-directory": str(files),
    }
    with contextlib.ExitStack() as stack:
        stack.enter_context(dask.config.set(settings))
        stack.enter_context(_quiet_dask())
        security = Security.temporary() if processes else None
        cluster = _cluster_here(count, files, security)
        stack.callback(_close, cluster)
        stack.push(lambda kind, error, trace: _end_at_once(cluster) if error else None)
        client = stack.enter_context(Client(cluster, security=security, set_as_default=False))
        yield Crew(client, progress, own=processes, address=cluster.scheduler_address)


def _cluster_here(count: int, files: Path, security: Any | None) -> Any:
    """Start a cluster on this machine; without ``security`` of threads of this process."""
    from distributed import LocalCluster
    from distributed.deploy.spec import close_clusters

    processes = security is not None
    try:
        return LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            processes=processes,
            host="127.0.0.1" if processes else None,
            protocol="tls://" if processes else "inproc://",
            security=security,
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False},
            worker_dashboard_address="127.0.0.1:0",
            local_directory=str(files / "dask"),
            memory_limit=0,
            silence_logs=logging.CRITICAL,
        )
    except RuntimeError:
        # What Dask says of a worker's process that ended or was killed while it started.
        raise CellError(
            f"a worker of this machine ended while {count} of them were started",
            fix="run the same command again; with --workers 1 there is none to start",
        ) from None
    except BaseException:
        # A signal came while it started: what Dask closes at exit would fail on it, at length.
        atexit.unregister(close_clusters)
        raise


@contextlib.contextmanager
def workers_of(address: str, security: Any | None, progress: ProgressReporter) -> Iterator[Crew]:
    """Join the workers of a running cluster.

    Raises UsageError where its scheduler is silent, or another run uses it.
    """
    from distributed import Client

    with contextlib.ExitStack() as stack:
        stack.enter_context(_quiet_dask())
        try:
            # What workers answer holds pictures: it comes from them, past the scheduler.
            client = Client(
                address,
                security=security,
                timeout=ANSWER_SECONDS,
                name=DRIVER,
                set_as_default=False,
                direct_to_workers=True,
            )
        except (OSError, TimeoutError, ValueError) as error:
            raise UsageError(
                f"the scheduler {address} does not answer ({why_silent(error, ANSWER_SECONDS)})",
                fix="see that it runs, that this machine reaches it, and that both use TLS or "
                "neither does",
            ) from None
        stack.callback(client.close, timeout=2)
        crew = Crew(client, progress, own=False, address=address)
        require_only_driver(client, address)
        # Those that were refused may hold keys, too.
        stack.callback(lambda: _end_benches(client, [*crew.hands, *crew.refused]))
        yield crew


def _end_benches(client: Any, workers: list[str]) -> None:
    """Stop the servers on workers that go on after the run."""
    if not workers or client.status != "running":
        return
    with contextlib.suppress(OSError, TimeoutError):
        client.run(worker_tasks.leave, workers=workers, on_error="return")


def _end_at_once(cluster: Any) -> None:
    """End worker processes that may be in the middle of a cell; their servers end with them."""
    for nanny in cluster.workers.values():
        nanny.auto_restart = False
        if pid := getattr(nanny, "pid", None):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGTERM)


def _close(cluster: Any) -> None:
    with contextlib.suppress(OSError, TimeoutError):
        cluster.close(timeout=5)


@contextlib.contextmanager
def _quiet_dask() -> Iterator[None]:
    """Keep Dask's own lines out of the terminal: what matters is said by the run."""
    before = {}
    for name in [*logging.root.manager.loggerDict, "distributed"]:
        if name.split(".")[0] in ("distributed", "bokeh", "tornado"):
            logger = logging.getLogger(name)
            before[logger] = logger.level
            logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in before.items():
            logger.setLevel(level)
