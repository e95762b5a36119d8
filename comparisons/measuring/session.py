"""A pipeline that is ready to be measured: fitted, deployed, its server process running."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from he_compare.common.clock import Clock
from he_compare.common.contracts import Client, Fitted, RunContext
from he_compare.common.errors import UnavailableError
from he_compare.common.run.records import Agreement, Traffic
from he_compare.common.run.store import ArtefactFolder
from he_compare.common.service.process import ByteCount, ServerProcess
from he_compare.common.types import Float64Array, Per, Side, Stage, UInt8Array
from he_compare.comparisons.measuring.plan import Planned, RunPlan
from he_compare.comparisons.progress import ProgressReporter

INFERENCE_VERB = "infer"
PUBLIC_VERB = "public"


@dataclass
class Session:
    """One deployed pipeline. ``once`` holds the one-time costs: fit, keys, upload, load."""

    planned: Planned
    fitted: Fitted
    client: Client
    server: ServerProcess
    once: Clock
    training: dict[str, Any]
    training_bytes: ByteCount
    warnings: list[str]
    start: Callable[[], ServerProcess]
    reused: list[str] = field(default_factory=list)

    def run(self, images: UInt8Array, clock: Clock, *, per: Per) -> Float64Array:
        """Send images through the whole path once: scores (n, k); adds a TOTAL sample."""
        start = time.perf_counter()
        messages = self.client.protect(images, clock)
        replies = self.server.call(INFERENCE_VERB, messages, clock)
        scores = self.client.reveal(replies, clock)
        clock.add(
            Stage.TOTAL, time.perf_counter() - start, per=per, items=len(images), side=Side.CLIENT
        )
        return scores

    def traffic(self, before: ByteCount, n_images: int) -> Traffic:
        """Bytes of inference since ``before`` (a copy of the counter), and the one-time ones."""
        now = self.server.traffic[INFERENCE_VERB]
        public = self.server.traffic[PUBLIC_VERB]
        return Traffic(
            requests=now.requests - before.requests,
            upload_bytes=now.upload - before.upload,
            download_bytes=now.download - before.download,
            payload_upload_bytes=now.payload_upload - before.payload_upload,
            payload_download_bytes=now.payload_download - before.payload_download,
            public_material_bytes=public.upload,
            training_upload_bytes=self.training_bytes.upload,
            training_download_bytes=self.training_bytes.download,
            n_images=n_images,
        )

    def byte_count(self) -> ByteCount:
        """Return a copy of the inference byte counter."""
        return ByteCount(**vars(self.server.traffic[INFERENCE_VERB]))

    def restart(self) -> ServerProcess:
        """Restart the server from the same public material after a message has stopped it."""
        self.server.close()
        self.server = self.start()
        return self.server

    def close(self) -> None:
        """Stop the server process."""
        self.server.close()


def open_session(
    planned: Planned,
    plan: RunPlan,
    artefacts: ArtefactFolder,
    cache_dir: Path,
    progress: ProgressReporter,
) -> Session:
    """Fit a pipeline, deploy it and start its server process.

    Servers that the pipeline starts while fitting are stopped before this returns, whatever
    happens. Raises UnavailableError where the pipeline cannot run here.
    """
    availability = planned.pipeline.availability()
    if not availability.available:
        raise UnavailableError(availability.reason, fix=availability.fix)
    started: list[ServerProcess] = []
    fit_clock = Clock(Side.CLIENT)

    def start_server(pipeline: str, public_material: bytes) -> ServerProcess:
        server = ServerProcess(
            pipeline,
            public_material,
            fit_clock,
            threads=plan.settings.threads,
            call_seconds=plan.config.call_seconds,
        )
        started.append(server)
        return server

    context = RunContext(
        seed=plan.config.seed,
        settings=plan.settings,
        clock=fit_clock,
        artefacts=artefacts,
        cache_dir=cache_dir,
        key_file=plan.key_file,
        start_server=start_server,
        progress=progress,
    )
    artefacts.drain_reused()
    try:
        start = time.perf_counter()
        fitted = planned.pipeline.fit(plan.data, planned.parameters, context)
        fit_seconds = time.perf_counter() - start
    finally:
        for server in started:
            server.close()
    context.clock = once = Clock(Side.CLIENT)
    _record_fit(once, fit_clock, fit_seconds)
    deployment = fitted.deploy(context)

    def start_deployed(clock: Clock) -> ServerProcess:
        return ServerProcess(
            planned.pipeline.name,
            deployment.public_material,
            clock,
            threads=plan.settings.threads,
            call_seconds=plan.config.call_seconds,
        )

    return Session(
        planned=planned,
        fitted=fitted,
        client=deployment.client,
        server=start_deployed(once),
        once=once,
        training=context.training,
        training_bytes=_total(started),
        warnings=context.warnings,
        start=lambda: start_deployed(Clock(Side.CLIENT)),
        reused=artefacts.drain_reused(),
    )


# What the client does while fitting under protection has a line of its own in the one-time costs.
FIT_STAGES = (Stage.KEYGEN, Stage.ENCODE, Stage.ENCRYPT, Stage.REFRESH)


def _record_fit(once: Clock, fit_clock: Clock, seconds: float) -> None:
    """Split the wall time of ``fit`` into protection, transport, the server's and the client's."""
    told = 0.0
    for (stage, side, _), values in fit_clock.samples.items():
        if side is Side.CLIENT and stage in FIT_STAGES:
            once.add(stage, sum(values), side=side, per=Per.ONCE)
            told += sum(values)
    for side, stage in ((Side.SERVER, Stage.FIT), (Side.NETWORK, Stage.TRANSPORT)):
        spent = fit_clock.total(side)
        if spent:
            once.add(stage, spent, side=side, per=Per.ONCE)
            told += spent
    once.add(Stage.FIT, max(seconds - told, 0.0), side=Side.CLIENT, per=Per.ONCE)


def _total(servers: list[ServerProcess]) -> ByteCount:
    total = ByteCount()
    for server in servers:
        for count in server.traffic.values():
            total.requests += count.requests
            total.upload += count.upload
            total.download += count.download
    return total


def compare_with_clear(
    fitted: Fitted, images: UInt8Array, scores: Float64Array
) -> Agreement | None:
    """Compare executed scores (n, k) with those of the clear reference on the same images."""
    import numpy as np

    reference = fitted.clear_reference(images)
    if reference is None:
        return None
    name, clear = reference
    same = scores.argmax(axis=1) == clear.argmax(axis=1)
    return Agreement(
        reference=name,
        executed=len(images),
        compared=len(clear),
        agree=int(same.sum()),
        max_abs_score_difference=float(np.abs(scores - clear).max()),
        max_abs_score=float(np.abs(clear).max()),
    )
