"""Fits a pipeline and deploys it, the same way for a run and for an audit without one."""

from __future__ import annotations

import contextlib
import importlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from he_compare.common.backbones.device import CPU
from he_compare.common.clock import Clock
from he_compare.common.contracts import (
    Deployed,
    Deployment,
    Fitted,
    LocalFitted,
    LocalPipeline,
    Pipeline,
    Progress,
    RunContext,
    RunSettings,
    TrainingData,
)
from he_compare.common.errors import (
    CellError,
    NoServerError,
    ServerReplacedError,
    UnavailableError,
)
from he_compare.common.run.kept_artefacts import ArtefactFolder, Reused
from he_compare.common.run.severity import NOTHING_TO_ATTACK
from he_compare.common.service.process import ServerProcess
from he_compare.common.service.remote import RemoteServer
from he_compare.common.service.remote_host import RemoteHost
from he_compare.common.service.session_client import ByteCount, SessionClient
from he_compare.common.sources import INIT, libraries_of
from he_compare.common.types import Per, Side, Stage


@dataclass(frozen=True)
class Fit:
    """A pipeline that is fitted and deployed, and what that cost.

    ``deployment``: None where there is no server, so that there is nothing to deploy.
    ``library_seconds``: what loading libraries took before, which is no part of ``once``.
    ``servers_replaced``: processes of servers that ended while it was fitted, and were replaced.
    """

    fitted: Fitted
    context: RunContext
    deployment: Deployment | None
    once: Clock
    training_bytes: ByteCount
    reused: list[Reused]
    library_seconds: float = 0.0
    servers_replaced: int = 0

    @property
    def deployed(self) -> Deployed:
        """What an attacker faces. Raises NoServerError where nothing is sent to anybody."""
        if self.deployment is None:
            raise NoServerError(NOTHING_TO_ATTACK)
        return Deployed(self.fitted, self.deployment, self.context)


@dataclass(frozen=True)
class Ground:
    """What a pipeline is fitted on and where: the same for all pipelines of a run.

    ``measured_on``: the device of networks while they answer. ``host``: where server halves run;
    None for this machine.
    """

    data: TrainingData
    settings: RunSettings
    seed: int
    call_seconds: float
    key_file: Path
    artefacts: ArtefactFolder
    cache_dir: Path
    progress: Progress
    measured_on: str = CPU
    host: RemoteHost | None = None


class StartedServers:
    """Servers that were started for one pipeline, and how many of their processes were replaced."""

    def __init__(self) -> None:
        self._servers: list[SessionClient] = []
        self._lost_at_start = 0

    def start(self, begin: Callable[[], SessionClient]) -> SessionClient:
        """Start one; a process that ends at its very start is counted as well."""
        try:
            server = begin()
        except ServerReplacedError:
            self._lost_at_start += 1
            raise
        self._servers.append(server)
        return server

    @property
    def any(self) -> bool:
        """Whether there was one."""
        return bool(self._servers) or self._lost_at_start > 0

    @property
    def replaced(self) -> int:
        """Processes that ended and were replaced, or were to be."""
        return self._lost_at_start + sum(one.replaced for one in self._servers)

    def traffic(self) -> ByteCount:
        """Return the bytes of all kinds of traffic."""
        return _total(self._servers)

    def close(self) -> None:
        """Stop them."""
        for server in self._servers:
            server.close()


def fit_and_deploy(
    pipeline: Pipeline, parameters: Any, ground: Ground, servers: StartedServers | None = None
) -> Fit:
    """Fit a pipeline and deploy it.

    Servers that the pipeline starts while fitting are stopped before this returns, whatever
    happens. ``servers``: counts them also where no fit comes of it. Raises UnavailableError where
    the pipeline cannot run here.
    """
    availability = pipeline.availability()
    if not availability.available:
        raise UnavailableError(availability.reason, fix=availability.fix)
    library_seconds = load_libraries(pipeline.source_modules(parameters))
    started = servers or StartedServers()
    fit_clock = Clock(Side.CLIENT)

    def start_training(name: str, public_material: bytes) -> SessionClient:
        if isinstance(pipeline, LocalPipeline):
            raise CellError(
                f"{pipeline.name} says that it has no server, and starts one to train",
                fix="repair the pipeline: derive it from Pipeline",
            )
        device = ground.settings.device
        return started.start(lambda: start_server(name, public_material, fit_clock, ground, device))

    context = RunContext(
        seed=ground.seed,
        settings=ground.settings,
        clock=fit_clock,
        artefacts=ground.artefacts,
        cache_dir=ground.cache_dir,
        key_file=ground.key_file,
        start_server=start_training,
        progress=ground.progress,
        measured_on=ground.measured_on,
    )
    ground.artefacts.drain_reused()
    ground.artefacts.drain_waited()
    try:
        start = time.perf_counter()
        fitted = pipeline.fit(ground.data, parameters, context)
        fit_seconds = time.perf_counter() - start - ground.artefacts.drain_waited()
    finally:
        started.close()
    context.clock = once = Clock(Side.CLIENT)
    _record_fit(once, fit_clock, fit_seconds)
    deployment = None if _stays_local(pipeline, fitted) else fitted.deploy(context)
    reused = ground.artefacts.drain_reused()
    return Fit(
        *(fitted, context, deployment, once, started.traffic(), reused, library_seconds),
        servers_replaced=started.replaced,
    )


def load_libraries(modules: Sequence[str]) -> float:
    """Import modules and all that they import from elsewhere, and return the seconds it took.

    The clock of a fit starts afterwards, so that what is loaded or compiled once in a process is
    not booked on the pipeline that happens to come first.
    """
    start = time.perf_counter()
    for name in (*modules, *libraries_of(*modules)):
        # What is not installed is no loss here: whoever needs it says so when it is needed.
        with contextlib.suppress(ImportError):
            importlib.import_module(name.removesuffix(f".{INIT}"))
    return time.perf_counter() - start


def _stays_local(pipeline: Pipeline, fitted: Fitted) -> bool:
    """Say whether there is no server. Raises CellError where pipeline and model disagree."""
    local = isinstance(fitted, LocalFitted)
    if local is not isinstance(pipeline, LocalPipeline):
        raise CellError(
            f"{pipeline.name} and what it fits disagree on whether there is a server",
            fix="repair the pipeline: LocalPipeline and LocalFitted belong together",
        )
    return local


def start_server(
    name: str,
    public_material: bytes,
    clock: Clock,
    ground: Ground,
    device: str,
    *,
    threads: int | None = None,
) -> SessionClient:
    """Start the server half of a pipeline with its public material, its networks on a device.

    On the host of the run, where it has one. ``threads``: None for as many as the run has.
    """
    count = threads or ground.settings.threads
    if ground.host is not None:
        return RemoteServer(ground.host, name, public_material, clock, threads=count, device=device)
    return ServerProcess(
        name,
        public_material,
        clock,
        threads=count,
        call_seconds=ground.call_seconds,
        device=device,
    )


# What the client does while fitting under protection has a line of its own in the one-time costs.
FIT_STAGES = (Stage.KEYGEN, Stage.ENCODE, Stage.ENCRYPT, Stage.REFRESH, Stage.DECRYPT)


def _record_fit(once: Clock, fit_clock: Clock, seconds: float) -> None:
    """Split the wall time of ``fit`` into protection, transport, the server's and the client's."""
    told = 0.0
    for (stage, side, _), values in fit_clock.samples.items():
        if side is Side.CLIENT and stage in FIT_STAGES:
            once.add(stage, sum(values), side=side, per=Per.ONCE)
            told += sum(values)
    remote = any(stage is Stage.NETWORK for stage, _, _ in fit_clock.samples)
    wire = Stage.NETWORK if remote else Stage.TRANSPORT
    for side, stage in ((Side.SERVER, Stage.FIT), (Side.NETWORK, wire)):
        spent = fit_clock.total(side)
        if spent:
            once.add(stage, spent, side=side, per=Per.ONCE)
            told += spent
    once.add(Stage.FIT, max(seconds - told, 0.0), side=Side.CLIENT, per=Per.ONCE)


def _total(servers: list[SessionClient]) -> ByteCount:
    total = ByteCount()
    for server in servers:
        for count in server.traffic.values():
            total.requests += count.requests
            total.upload += count.upload
            total.download += count.download
    return total
