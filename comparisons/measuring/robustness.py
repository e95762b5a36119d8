"""Accuracy when ciphertexts are disturbed on their way: flipped bits and Gaussian noise.

After Al Amin et al. (arXiv 2501.15363), who test both. Nothing is decrypted before the server
computes: messages are disturbed, the server answers them, the client reads what comes back. This
says how well a protection bears accidents. It says nothing about confidentiality, and a message
whose transport is authenticated never arrives disturbed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from he_compare.common.clock import Clock
from he_compare.common.contracts import Client, Progress, ServerHandle
from he_compare.common.errors import MessageError, ServiceError, ServiceTimeoutError, UsageError
from he_compare.common.run.records import RobustnessCurve, RobustnessPoint
from he_compare.common.seeds import generator_for
from he_compare.common.statistics.evaluation import wilson
from he_compare.common.types import Float64Array, IntArray, Message, Side, UInt8Array
from he_compare.comparisons.measuring.disturbances import Disturbance

INFER = "infer"
NO_MESSAGE = "nothing is sent: there is no message that could be disturbed"
# Scores this many times as large as any undisturbed one are no scores.
GARBAGE_FACTOR = 100.0


class Served(Protocol):
    """A deployed pipeline: what ``he_compare.comparisons.measuring.session.ServedSession`` has."""

    @property
    def client(self) -> Client:
        """Protects and reveals."""
        ...

    @property
    def server(self) -> ServerHandle:
        """Answers."""
        ...


class _Line:
    """Sends disturbed messages and counts correct, changed and refused answers."""

    def __init__(
        self, client: Client, server: ServerHandle, restart: Callable[[], ServerHandle] | None
    ) -> None:
        self._client = client
        self._server = server
        self._restart = restart
        self._clock = Clock(Side.CLIENT)
        self.crashes = 0

    def send(self, messages: list[Message], clean: Message) -> list[Message | None]:
        """Return the reply to each message, None where it was refused.

        A batch that is refused is sent again message by message. ``clean`` is undisturbed: where
        the server does not answer it any more, it has died of what it was sent.
        """
        try:
            return list(self._server.call(INFER, messages, self._clock))
        except ServiceTimeoutError:
            raise
        except ServiceError:
            replies = [self._send_one(message) for message in messages]
        if None not in replies or self._send_one(clean) is not None:
            return replies
        self._start_again()
        return [self._send_watched(message, clean) for message in messages]

    def _send_one(self, message: Message) -> Message | None:
        try:
            (reply,) = self._server.call(INFER, [message], self._clock)
        except ServiceTimeoutError:
            raise
        except ServiceError:
            return None
        return reply

    def _send_watched(self, message: Message, clean: Message) -> Message | None:
        reply = self._send_one(message)
        if reply is None and self._send_one(clean) is None:
            self.crashes += 1
            self._start_again()
        return reply

    def _start_again(self) -> None:
        if self._restart is None:
            raise ServiceError("a disturbed message stopped the server")
        self._server = self._restart()

    def reveal(self, reply: Message) -> Float64Array | None:
        """Return the scores (k,) of a reply, None where it cannot be read."""
        try:
            scores: Float64Array = self._client.reveal([reply], self._clock)[0]
        except MessageError:
            return None
        return scores


def robustness_curve(
    served: Served,
    images: UInt8Array,
    labels: IntArray,
    disturbance: Disturbance,
    levels: Sequence[float] | None = None,
    *,
    seed: int = 0,
    batch: int = 32,
    restart: Callable[[], ServerHandle] | None = None,
    progress: Progress = lambda what, done, total: None,
) -> RobustnessCurve:
    """Measure accuracy at each level, on uint8 (n, h, w, 3) with labels (n,).

    The same ciphertexts serve all levels; what happens to image i at a level depends on the seed,
    i and the level alone. ``restart`` starts a server anew where a message has killed it. Raises
    ServiceError where the undisturbed messages are not answered.
    """
    if not len(images) or len(images) != len(labels):
        raise UsageError(f"{len(images)} images came with {len(labels)} labels")
    chosen = sorted(disturbance.levels if levels is None else levels)
    line = _Line(served.client, served.server, restart)
    messages = served.client.protect(images, Clock(Side.CLIENT))
    try:
        disturbance.apply(messages[0], 0.0, generator_for(seed))
    except UsageError as error:
        return no_curve(disturbance, seed, error.problem)
    reference = _reference(line, messages, batch)
    points = []
    for number, level in enumerate(chosen):
        progress(f"robustness: {disturbance.name}", number, len(chosen))
        sent = [
            disturbance.apply(
                message, level, generator_for(seed, disturbance.name, repr(float(level)), i)
            )
            for i, message in enumerate(messages)
        ]
        points.append(_point(line, level, sent, messages, labels, reference, batch))
    progress(f"robustness: {disturbance.name}", len(chosen), len(chosen))
    return no_curve(disturbance, seed, "").model_copy(update={"points": points})


def no_curve(disturbance: Disturbance, seed: int, reason: str) -> RobustnessCurve:
    """Return a curve without points, and why it has none."""
    return RobustnessCurve(
        disturbance=disturbance.name,
        unit=disturbance.unit,
        applied_to=disturbance.applied_to,
        seed=seed,
        points=[],
        reason=reason,
    )


def _reference(line: _Line, messages: list[Message], batch: int) -> Float64Array:
    """Return the scores (n, k) of the undisturbed messages. Raises ServiceError."""
    scores = []
    for start in range(0, len(messages), batch):
        part = messages[start : start + batch]
        for reply in line.send(part, part[0]):
            row = None if reply is None else line.reveal(reply)
            if row is None:
                raise ServiceError("the server did not answer an undisturbed message")
            scores.append(row)
    return np.stack(scores)


def _point(
    line: _Line,
    level: float,
    sent: list[Message],
    clean: list[Message],
    labels: IntArray,
    reference: Float64Array,
    batch: int,
) -> RobustnessPoint:
    limit = GARBAGE_FACTOR * max(float(np.abs(reference).max()), 1.0)
    refused = unreadable = garbage = 0
    predicted = np.full(len(sent), -1, np.int64)
    before = line.crashes
    for start in range(0, len(sent), batch):
        replies = line.send(sent[start : start + batch], clean[start])
        for position, reply in enumerate(replies, start=start):
            scores = None if reply is None else line.reveal(reply)
            if scores is None:
                refused += reply is None
                unreadable += reply is not None
            elif not np.isfinite(scores).all() or np.abs(scores).max() > limit:
                garbage += 1
            else:
                predicted[position] = int(scores.argmax())
    hits = predicted == labels
    return RobustnessPoint(
        level=level,
        n=len(sent),
        correct=int(hits.sum()),
        same=int((predicted == reference.argmax(axis=1)).sum()),
        refused=refused,
        unreadable=unreadable,
        garbage=garbage,
        crashes=line.crashes - before,
        accuracy=float(hits.mean()),
        interval=wilson(hits),
    )
