"""A pipeline that is ready to be measured: fitted, deployed, its server process running.

A pipeline that the hospital runs by itself has no server: it is measured on the same path, and no
process is started for it.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

from he_compare.common.backbones.device import memory_warning
from he_compare.common.clock import Clock
from he_compare.common.contracts import (
    Client,
    Fitted,
    LocalFitted,
)
from he_compare.common.errors import CellError
from he_compare.common.run.records import Traffic
from he_compare.common.service.session_client import ByteCount, SessionClient
from he_compare.common.types import Float64Array, Message, Per, Side, Stage, UInt8Array
from he_compare.comparisons.measuring.fitting import (
    Fit,
    Ground,
    StartedServers,
    fit_and_deploy,
    start_server,
)
from he_compare.comparisons.measuring.planned import Planned

INFERENCE_VERB = "infer"
PUBLIC_VERB = "public"


@dataclass
class Session(ABC):
    """One fitted pipeline. ``fit.once`` holds the one-time costs: fit, keys, upload, load."""

    planned: Planned
    fit: Fit
    classes: int

    @property
    def fitted(self) -> Fitted:
        """The fitted pipeline."""
        return self.fit.fitted

    @property
    def training(self) -> dict[str, Any]:
        """How the model was fitted."""
        return self.fit.context.training

    @property
    def warnings(self) -> list[str]:
        """Lines that are shown wherever a record is printed."""
        return self.fit.context.warnings

    def run(
        self,
        images: UInt8Array,
        clock: Clock,
        *,
        per: Per,
        record: Callable[[list[Message]], None] | None = None,
    ) -> Float64Array:
        """Send images through the whole path once: scores (n, k); adds a TOTAL sample.

        ``record`` is handed the messages once they have crossed, outside the timed path.
        """
        with self.undisturbed():
            start = time.perf_counter()
            scores, messages = self._answers(images, clock)
            seconds = time.perf_counter() - start
        clock.add(Stage.TOTAL, seconds, per=per, items=len(images), side=Side.CLIENT)
        self._check_scores(scores, len(images))
        if record is not None:
            record(messages)
        return scores

    def undisturbed(self) -> AbstractContextManager[None]:
        """Let nothing of the program's own run beside what is timed in the ``with`` block."""
        return nullcontext()

    @abstractmethod
    def _answers(self, images: UInt8Array, clock: Clock) -> tuple[Float64Array, list[Message]]:
        """Return scores (n, k) and the messages that were sent for them."""

    def _check_scores(self, scores: object, n: int) -> None:
        """Raise CellError unless there is one row of scores per image."""
        shape = getattr(scores, "shape", None)
        if shape != (n, self.classes):
            raise CellError(
                f"the client of {self.planned.label} gave scores of shape {shape}, expected "
                f"{(n, self.classes)}",
                fix="return an array of one row per image and one column per class from "
                f"{self.answers_in}",
            )

    answers_in: ClassVar[str]

    @abstractmethod
    def byte_count(self) -> ByteCount:
        """Return a copy of the inference byte counter."""

    @abstractmethod
    def traffic(self, before: ByteCount, n_images: int) -> Traffic:
        """Bytes of inference since ``before`` (a copy of the counter), and the one-time ones."""

    @abstractmethod
    def server_facts(self) -> dict[str, Any]:
        """Return the fields of a cell's record that say whether there is a server, and where it
        runs; processes that were replaced are told once, to the first who asks."""

    def server_place(self) -> dict[str, Any]:
        """Return fields of a record that say on which machine the server runs; {} (the default)
        without one. Raises ServiceError where it has to be asked and does not answer."""
        return {}

    def server_peak(self) -> int | None:
        """Return the peak memory of the server in bytes; None (the default) without a server."""
        return None

    def set_threads(self, threads: int) -> None:
        """Let the server compute with so many threads. The default: there is no server."""
        return

    @abstractmethod
    def close(self) -> None:
        """Stop what was started."""


@dataclass
class ServedSession(Session):
    """One deployed pipeline with its server, beside it or on a host."""

    server: SessionClient
    start: Callable[[int], SessionClient]
    threads: int
    _before: int = 0
    _told: int = 0
    answers_in = "reveal"

    @property
    def client(self) -> Client:
        """The client, with its secrets."""
        return self.fit.deployed.deployment.client

    @property
    def public_material(self) -> bytes:
        """All that the server was started with."""
        return self.fit.deployed.deployment.public_material

    def undisturbed(self) -> AbstractContextManager[None]:
        """Let a server on a host not be asked beside what is timed whether it is there."""
        return self.server.undisturbed()

    def _answers(self, images: UInt8Array, clock: Clock) -> tuple[Float64Array, list[Message]]:
        messages = self.client.protect(images, clock)
        if len(messages) != len(images) or not all(isinstance(one, bytes) for one in messages):
            raise CellError(
                f"the client of {self.planned.label} does not send {len(images)} messages of bytes "
                f"for {len(images)} images",
                fix="repair the pipeline: one message of type bytes for each image",
            )
        replies = self.server.call(INFERENCE_VERB, messages, clock)
        return self.client.reveal(replies, clock), messages

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
            training_upload_bytes=self.fit.training_bytes.upload,
            training_download_bytes=self.fit.training_bytes.download,
            n_images=n_images,
        )

    def byte_count(self) -> ByteCount:
        """Return a copy of the inference byte counter."""
        return ByteCount(**vars(self.server.traffic[INFERENCE_VERB]))

    def server_facts(self) -> dict[str, Any]:
        """Say whether the server runs in a process of its own, and how many it needed."""
        replaced = self._replaced - self._told
        self._told += replaced
        return {"server_pid_separate": self.server.is_separate, "servers_replaced": replaced}

    def server_place(self) -> dict[str, Any]:
        """Say on which machine the server runs; of a host, what is measured of the way to it."""
        return self.server.place()

    @property
    def _replaced(self) -> int:
        """Processes that were replaced since the fit began, those of closed servers included."""
        return self.fit.servers_replaced + self._before + self.server.replaced

    def server_peak(self) -> int | None:
        """Return the peak memory of the server's process in bytes; None where it is not known.

        It is asked as well whether the memory of its device was full, which becomes a warning.
        """
        peak = self.server.measure_peak()
        limit = self.server.batch_limit
        if limit is not None:
            wanted = self.fit.context.settings.infer_batch
            warning = memory_warning("the server", limit, wanted)
            if warning not in self.warnings:
                self.warnings.append(warning)
        return peak

    def restart(self) -> SessionClient:
        """Restart the server from the same public material after a message has stopped it."""
        before = self.server
        before.close()
        self.server = self.start(self.threads)
        self._before += before.replaced  # counted once, also where no other one starts
        return self.server

    def set_threads(self, threads: int) -> None:
        """Have the server compute with another number of threads."""
        if threads != self.threads:
            self.threads = threads
            self.server.set_threads(threads)

    def close(self) -> None:
        """Stop the server process."""
        self.server.close()


@dataclass
class LocalSession(Session):
    """One pipeline that answers at the hospital: nothing is started, nothing is sent."""

    model: LocalFitted
    answers_in = "answer"

    def _answers(self, images: UInt8Array, clock: Clock) -> tuple[Float64Array, list[Message]]:
        told, start = clock.total(), time.perf_counter()
        scores = self.model.answer(images, clock)
        if clock.total() == told:
            clock.add(Stage.EVALUATE, time.perf_counter() - start, items=len(images))
        return scores, []

    def byte_count(self) -> ByteCount:
        """Return a counter at zero."""
        return ByteCount()

    def traffic(self, before: ByteCount, n_images: int) -> Traffic:
        """Nothing crossed, for all the images."""
        return Traffic(
            requests=0,
            upload_bytes=0,
            download_bytes=0,
            payload_upload_bytes=0,
            payload_download_bytes=0,
            public_material_bytes=0,
            n_images=n_images,
        )

    def server_facts(self) -> dict[str, Any]:
        """Say that there is no server."""
        return {"no_server": True}

    def close(self) -> None:
        """Nothing was started."""


def open_session(
    planned: Planned, ground: Ground, servers: StartedServers | None = None
) -> Session:
    """Fit a pipeline; where it has a server, deploy it and start the server process.

    ``servers``: counts those that were started, also where no session comes of it. Raises
    UnavailableError where the pipeline cannot run here.
    """
    started = servers or StartedServers()
    fit = fit_and_deploy(planned.pipeline, planned.parameters, ground, started)
    classes = len(ground.data.classes)
    if isinstance(fit.fitted, LocalFitted):
        return LocalSession(planned, fit, classes, fit.fitted)
    material = fit.deployed.deployment.public_material

    def start_again(threads: int) -> SessionClient:
        clock = Clock(Side.CLIENT)
        return start_server(
            *(planned.pipeline.name, material, clock, ground, ground.measured_on), threads=threads
        )

    server = started.start(
        lambda: start_server(planned.pipeline.name, material, fit.once, ground, ground.measured_on)
    )
    return ServedSession(planned, fit, classes, server, start_again, ground.settings.threads)
