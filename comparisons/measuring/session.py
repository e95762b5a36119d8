"""A pipeline that is ready to be measured: fitted, deployed, its server process running."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from he_compare.common.clock import Clock
from he_compare.common.contracts import (
    ClearTwin,
    Client,
    Fitted,
)
from he_compare.common.errors import CellError
from he_compare.common.run.records import Agreement, Traffic
from he_compare.common.service.process import ByteCount, ServerProcess
from he_compare.common.types import Float64Array, Message, Per, Side, Stage, UInt8Array
from he_compare.comparisons.measuring.fitting import Fit, Ground, fit_and_deploy, start_server
from he_compare.comparisons.measuring.plan import Planned

INFERENCE_VERB = "infer"
PUBLIC_VERB = "public"


@dataclass
class Session:
    """One deployed pipeline. ``fit.once`` holds the one-time costs: fit, keys, upload, load."""

    planned: Planned
    fit: Fit
    server: ServerProcess
    start: Callable[[], ServerProcess]
    classes: int

    @property
    def fitted(self) -> Fitted:
        """The fitted pipeline."""
        return self.fit.deployed.fitted

    @property
    def client(self) -> Client:
        """The client, with its secrets."""
        return self.fit.deployed.deployment.client

    @property
    def training(self) -> dict[str, Any]:
        """How the model was fitted."""
        return self.fit.deployed.context.training

    @property
    def warnings(self) -> list[str]:
        """Lines that are shown wherever a record is printed."""
        return self.fit.deployed.context.warnings

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
        start = time.perf_counter()
        messages = self.client.protect(images, clock)
        if len(messages) != len(images) or not all(isinstance(one, bytes) for one in messages):
            raise CellError(
                f"the client of {self.planned.label} does not send {len(images)} messages of bytes "
                f"for {len(images)} images",
                fix="repair the pipeline: one message of type bytes for each image",
            )
        replies = self.server.call(INFERENCE_VERB, messages, clock)
        scores = self.client.reveal(replies, clock)
        clock.add(
            Stage.TOTAL, time.perf_counter() - start, per=per, items=len(images), side=Side.CLIENT
        )
        self._check_scores(scores, len(images))
        if record is not None:
            record(messages)
        return scores

    def _check_scores(self, scores: object, n: int) -> None:
        """Raise CellError unless a client revealed one row of scores per image."""
        shape = getattr(scores, "shape", None)
        if shape != (n, self.classes):
            raise CellError(
                f"the client of {self.planned.label} revealed scores of shape {shape}, "
                f"expected {(n, self.classes)}",
                fix="return an array of one row per image and one column per class from reveal",
            )

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

    def restart(self) -> ServerProcess:
        """Restart the server from the same public material after a message has stopped it."""
        self.server.close()
        self.server = self.start()
        return self.server

    def close(self) -> None:
        """Stop the server process."""
        self.server.close()


def open_session(planned: Planned, ground: Ground) -> Session:
    """Fit a pipeline, deploy it and start its server process.

    Raises UnavailableError where the pipeline cannot run here.
    """
    fit = fit_and_deploy(planned.pipeline, planned.parameters, ground)
    material = fit.deployed.deployment.public_material

    def start_deployed(clock: Clock) -> ServerProcess:
        return start_server(planned.pipeline.name, material, clock, ground)

    return Session(
        planned=planned,
        fit=fit,
        server=start_deployed(fit.once),
        start=lambda: start_deployed(Clock(Side.CLIENT)),
        classes=len(ground.data.classes),
    )


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


def clear_twins_of(fitted: Fitted, images: UInt8Array, classes: int) -> tuple[ClearTwin, ...]:
    """Return the clear models between the clear reference and the executed one, on these images.

    Raises CellError where one has scores of another shape or does not say what it costs.
    """
    twins = fitted.clear_twins(images)
    for number, twin in enumerate(twins):
        shape = getattr(twin.scores, "shape", None)
        if shape != (len(images), classes):
            raise CellError(
                f"the clear model {twin.name!r} has scores of shape {shape}, "
                f"expected {(len(images), classes)}",
                fix="return one row per image and one column per class from clear_twins",
            )
        if not twin.name or bool(twin.cost) is (number == 0):
            raise CellError(
                f"clear model {number + 1} of {len(twins)} has the name {twin.name!r} and the cost "
                f"{twin.cost!r}",
                fix="name every model, and what each costs, except the first, in clear_twins",
            )
    return twins
