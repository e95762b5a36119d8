"""The probe itself, a process of its own: a few images through untrained pipelines of the plan.

Started as ``python -m he_compare.comparisons.estimating.probing`` with a request as JSON on its
standard input; prices go to its standard output. It sees no image, key or file of the run: images
are random numbers, keys are made in an empty folder that ends with it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from pydantic import BaseModel, ConfigDict

from he_compare.common.clock import Clock
from he_compare.common.contracts import (
    Fitted,
    LocalFitted,
    RunContext,
    RunSettings,
    TrainingData,
)
from he_compare.common.costs import Costs, RunSizes, Untrained
from he_compare.common.environment import (
    fingerprint_environment,
    give_back_free_memory,
    peak_memory_bytes,
    reset_peak_memory,
)
from he_compare.common.errors import CompareError
from he_compare.common.run.kept_artefacts import ArtefactFolder
from he_compare.common.service.process import ServerProcess
from he_compare.common.service.session_client import ByteCount
from he_compare.common.temporary_folders import swept_folder
from he_compare.common.types import FheMode, ImageBatch, Per, Side
from he_compare.comparisons.estimating.price_list import DeploymentPrice, PipelinePrice, Prices
from he_compare.comparisons.measuring.fitting import Fit, load_libraries
from he_compare.comparisons.measuring.planned import Planned
from he_compare.comparisons.measuring.session import LocalSession, ServedSession, Session

PROBED_IMAGES = 32
MOST_IN_A_BATCH = 64
SINGLES = 4
CALL_SECONDS = 120.0


class ProbeRequest(BaseModel):
    """What the probe is asked. ``pipelines``: as on the command line, by label."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pipelines: dict[str, str]
    sizes: dict[str, Any]
    learning_rate: float

    def run_sizes(self) -> RunSizes:
        """Return the sizes of the run."""
        return RunSizes(**self.sizes)


class Probe:
    """Measures each unit and each deployment once, in the order of the plan."""

    def __init__(self, request: ProbeRequest, folder: Path) -> None:
        self.sizes = request.run_sizes()
        self.units: dict[str, float] = {}
        self.deployments: dict[str, DeploymentPrice] = {}
        self._alive: list[Fitted] = []
        shared = {one.name for one in dataclasses.fields(RunSettings)}
        known = dataclasses.asdict(self.sizes) | {"learning_rate": request.learning_rate}
        self._settings = RunSettings(**{name: known[name] for name in shared})
        self._context = RunContext(
            seed=0,
            settings=self._settings,
            clock=Clock(Side.CLIENT),
            artefacts=ArtefactFolder(folder / "artefacts"),
            cache_dir=folder / "cache",
            key_file=folder / "client.key",
            start_server=self._refuse,
            progress=lambda what, done, total: None,
            measured_on=self.sizes.measured_on,
        )
        self._data = _few_images(self.sizes)

    def pipeline(self, planned: Planned) -> PipelinePrice:
        """Probe one pipeline; what cannot run here is told with its reason."""
        try:
            return self._probe(planned)
        except (CompareError, ImportError) as error:
            return PipelinePrice(reason=" ".join(str(error).split()))

    def _probe(self, planned: Planned) -> PipelinePrice:
        available = planned.pipeline.availability()
        if not available.available:
            return PipelinePrice(reason=available.reason)
        before = _resident()
        library_seconds = load_libraries(planned.pipeline.source_modules(planned.parameters))
        loaded = _resident()
        costs: Costs | None = planned.pipeline.costs(planned.parameters, self.sizes)
        if costs is None:
            return PipelinePrice(reason="the pipeline does not say what it takes")
        own_peak = reset_peak_memory()
        for unit in (*(step.unit for step in costs.fit), *costs.image):
            if unit.name not in self.units:
                self.units[unit.name] = unit.measure(self._context, self._data)
        self._deploy(planned, costs.untrained)
        return PipelinePrice(
            library_seconds=library_seconds,
            library_bytes=max(0, loaded - before),
            working_bytes=max(0, peak_memory_bytes() - loaded) if own_peak else 0,
        )

    def _deploy(self, planned: Planned, untrained: Untrained) -> None:
        if untrained.name in self.deployments:
            return
        fitted: Fitted = untrained.make(self._context, self._data)
        self._alive.append(fitted)
        start = time.perf_counter()
        with self._session(planned, fitted) as session:
            started = time.perf_counter() - start
            self.deployments[untrained.name] = self._ask(session, started)

    def _ask(self, session: Session, started: float) -> DeploymentPrice:
        batch = max(1, min(self.sizes.infer_batch, MOST_IN_A_BATCH))
        images = np.resize(self._data.train.images[:], (batch, *self._data.train.images.shape[1:]))
        session.run(images[:SINGLES], Clock(Side.CLIENT), per=Per.BATCH)
        before = session.byte_count()
        batch_seconds = _seconds(lambda: session.run(images, Clock(Side.CLIENT), per=Per.BATCH))
        sent = session.traffic(before, batch)
        single = [
            _seconds(lambda one=one: session.run(one[None], Clock(Side.CLIENT), per=Per.SAMPLE))
            for one in images[:SINGLES]
        ]
        return DeploymentPrice(
            start_seconds=started,
            batch_seconds=batch_seconds / batch,
            single_seconds=float(np.median(single)),
            check_seconds=_seconds(lambda: session.fitted.clear_reference(images)) / batch,
            server_bytes=session.server_peak() or 0,
            public_bytes=sent.public_material_bytes,
            up_bytes=round(sent.upload_bytes / batch),
            down_bytes=round(sent.download_bytes / batch),
            executes_fhe=session.fitted.fhe_mode is not FheMode.NOT_APPLICABLE,
        )

    @contextlib.contextmanager
    def _session(self, planned: Planned, fitted: Fitted) -> Iterator[Session]:
        clock, classes = Clock(Side.CLIENT), self.sizes.classes
        context = dataclasses.replace(self._context, clock=clock)
        deployment = None if isinstance(fitted, LocalFitted) else fitted.deploy(context)
        fit = Fit(fitted, context, deployment, clock, ByteCount(), [])
        session: Session
        if deployment is None:
            assert isinstance(fitted, LocalFitted)
            session = LocalSession(planned, fit, classes, fitted)
        else:
            material = deployment.public_material

            def start(threads: int) -> ServerProcess:
                return ServerProcess(
                    planned.pipeline.name,
                    material,
                    clock,
                    threads=threads,
                    call_seconds=CALL_SECONDS,
                    device=self.sizes.measured_on,
                )

            threads = self.sizes.threads
            session = ServedSession(planned, fit, classes, start(threads), start, threads)
        try:
            yield session
        finally:
            session.close()

    def _refuse(self, name: str, material: bytes) -> ServerProcess:
        raise CompareError(f"{name} starts a server of its own in a probe")


def answer(request: ProbeRequest) -> Prices:
    """Probe the pipelines of a request in their order."""
    import torch

    from he_compare.common import plugins
    from he_compare.comparisons.measuring.pipeline_spec import parse_spec, resolve_parameters

    start = time.perf_counter()
    sizes = request.run_sizes()
    torch.set_num_threads(sizes.threads)
    with swept_folder("probe") as folder:
        probe = Probe(request, folder)
        driver = _resident()
        pipelines = {}
        for label, text in request.pipelines.items():
            spec = parse_spec(text)
            pipeline = plugins.load("pipelines", spec.name)
            planned = Planned(spec, pipeline, resolve_parameters(pipeline, spec))
            pipelines[label] = probe.pipeline(planned)
    environment = fingerprint_environment(sizes.threads)
    return Prices(
        units=probe.units,
        deployments=probe.deployments,
        pipelines=pipelines,
        driver_bytes=driver,
        seconds=time.perf_counter() - start,
        cpu=environment.cpu,
        threads=sizes.threads,
        versions=environment.packages,
    )


def _few_images(sizes: RunSizes) -> TrainingData:
    """Return random images with labels of all classes."""
    random = np.random.default_rng(0)
    count = max(PROBED_IMAGES, 2 * sizes.classes)
    shape = (count, sizes.image_size, sizes.image_size, 3)
    names = tuple(f"probe-{number}" for number in range(count))
    batch = ImageBatch(
        images=random.integers(0, 256, shape, dtype=np.uint8),
        labels=np.arange(count, dtype=np.int64) % sizes.classes,
        ids=names,
        groups=names,
    )
    classes = tuple(f"class {number}" for number in range(sizes.classes))
    return TrainingData(batch, batch, classes, "probe")


def _resident() -> int:
    give_back_free_memory()
    return int(psutil.Process().memory_info().rss)


def _seconds(work: Any) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Answer the request on the standard input; all else that is printed goes to stderr."""
    answers = os.dup(1)
    os.dup2(2, 1)
    request = ProbeRequest.model_validate_json(sys.stdin.buffer.read())
    with os.fdopen(answers, "wb") as out:
        out.write(json.dumps(answer(request).model_dump(mode="json")).encode())


if __name__ == "__main__":
    main()
