"""Accuracy when ciphertexts are disturbed on their way: flipped bits and Gaussian noise.

After Al Amin et al. (arXiv 2501.15363), who test both. Nothing is decrypted before the server
computes: messages are disturbed, the server answers them, the client reads what comes back. This
says how well a protection bears accidents. It says nothing about confidentiality, and a message
whose transport is authenticated never arrives disturbed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from he_compare.common.clock import Clock
from he_compare.common.contracts import Client, Progress, ServerHandle
from he_compare.common.errors import (
    MessageError,
    ServerReplacedError,
    ServiceError,
    ServiceTimeoutError,
    UsageError,
)
from he_compare.common.run.records import RobustnessCurve, RobustnessPoint
from he_compare.common.seeds import generator_for
from he_compare.common.statistics.repeats import wilson_of_repeats
from he_compare.common.types import Float64Array, IntArray, Message, Side, UInt8Array
from he_compare.comparisons.measuring.disturbances import Disturbance, count_flips

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

        A batch that is refused is sent again message by message. A message that ended the server's
        process counts as a crash. ``clean`` is undisturbed: where the server does not answer it any
        more, all of it is gone.
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
        except ServerReplacedError:
            self.crashes += 1
            return None
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
    """Count right, refused and wrong answers at each level, on uint8 (n, h, w, 3), labels (n,).

    The same ciphertexts serve all levels, each disturbed anew as often as the disturbance says;
    what happens to image i in a draw at a level depends on the seed, i, the draw and the level
    alone. ``restart`` starts a server anew where a message has killed it. Raises ServiceError where
    the undisturbed messages are not answered.
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
        draws = []
        for draw in range(disturbance.draws if level else 1):
            named = (seed, disturbance.name, repr(float(level)), draw)
            draws.append(
                [
                    disturbance.apply(message, level, generator_for(*named, i))
                    for i, message in enumerate(messages)
                ]
            )
        answers = [_answers(line, sent, messages, reference, batch) for sent in draws]
        counted = _flips(disturbance, level, draws, messages)
        points.append(_point(level, answers, labels, reference.argmax(axis=1), counted))
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


@dataclass(frozen=True)
class _Answers:
    """What came of one draw: predicted classes (n,), -1 where there was none, and why not."""

    predicted: IntArray
    refused: int
    unreadable: int
    garbage: int
    crashes: int


def _answers(
    line: _Line, sent: list[Message], clean: list[Message], reference: Float64Array, batch: int
) -> _Answers:
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
    return _Answers(predicted, refused, unreadable, garbage, line.crashes - before)


def _flips(
    disturbance: Disturbance, level: float, draws: list[list[Message]], clean: list[Message]
) -> tuple[float, int] | None:
    """Return how many changes were to be expected and how many were drawn; None if not counted."""
    if disturbance.expected is None:
        return None
    expected = sum(disturbance.expected(message, level) for message in clean) * len(draws)
    drawn = sum(
        count_flips(before, after)
        for sent in draws
        for before, after in zip(clean, sent, strict=True)
    )
    return expected, drawn


def _point(
    level: float,
    answers: list[_Answers],
    labels: IntArray,
    undisturbed: IntArray,
    flips: tuple[float, int] | None,
) -> RobustnessPoint:
    predicted = np.stack([one.predicted for one in answers])
    right = predicted == labels
    wrong = (predicted >= 0) & ~right
    return RobustnessPoint(
        level=level,
        n=predicted.size,
        draws=len(answers),
        flips_expected=flips[0] if flips else None,
        flips_drawn=flips[1] if flips else None,
        correct=int(right.sum()),
        same=int((predicted == undisturbed).sum()),
        refused=sum(one.refused for one in answers),
        unreadable=sum(one.unreadable for one in answers),
        garbage=sum(one.garbage for one in answers),
        crashes=sum(one.crashes for one in answers),
        wrong=int(wrong.sum()),
        accuracy=float(right.mean()),
        interval=wilson_of_repeats(right),
        wrong_interval=wilson_of_repeats(wrong),
    )
