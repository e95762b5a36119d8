"""A tiny pipeline for tests of the service and the runner: mean brightness, no torch in the way.

Registered under an entry-point-like name by ``register`` (a fixture patches discovery).
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

from he_compare.common.clock import Clock
from he_compare.common.contracts import (
    Availability,
    ClearTwin,
    Deployment,
    Fitted,
    Parameters,
    Pipeline,
    RunContext,
    TrainingData,
)
from he_compare.common.errors import MessageError
from he_compare.common.run.records import SecurityClaims
from he_compare.common.service.wire import pack, unpack
from he_compare.common.types import Float64Array, Message, Stage, UInt8Array


class EchoParameters(Parameters):
    """What the tests make the server do."""

    behaviour: str = "answer"


class EchoServer:
    """Answers the mean brightness, or misbehaves as told by the public material or a message."""

    verbs = ("infer", "pid", "do")

    def __init__(self, public_material: bytes) -> None:
        _, metadata = unpack(public_material)
        self._behaviour = metadata["behaviour"]
        self._kept: list[Message] = []
        if self._behaviour == "abort while loading":
            os.abort()
        if self._behaviour.startswith("abort at the second load: "):
            marker = Path(self._behaviour.partition(": ")[2])
            if marker.exists():
                os.abort()
            marker.touch()

    def do(self, messages: list[Message], clock: Clock) -> list[Message]:
        """Do what each message says; ``keep`` and ``kept`` have a state."""
        return [self._obey(message.decode()) for message in messages]

    def _obey(self, what: str) -> Message:
        if what.startswith("keep "):
            self._kept.append(what.encode())
        if what == "kept":
            return b",".join(self._kept)
        if what == "start another":
            return str(subprocess.Popen(["sleep", "60"]).pid).encode()
        if what == "threads":
            pools = {one["num_threads"] for one in threadpool_info()}
            return f"{os.environ['OMP_NUM_THREADS']} {pools}".encode()
        if what == "print":
            for stream in (sys.stdout, sys.stderr):
                print("x" * 300_000, flush=True, file=stream)
            os.write(1, b"HEC1 not for you")
        misbehave(what)
        return b"done"

    def infer(self, messages: list[Message], clock: Clock) -> list[Message]:
        if messages and messages[0].startswith(b"do: "):
            return [self._obey(message.decode().removeprefix("do: ")) for message in messages]
        if self._behaviour == "die":
            os._exit(9)
        if self._behaviour == "hang":
            time.sleep(30)
        if self._behaviour == "raise":
            raise RuntimeError("the echo server was told to raise")
        with clock.stage(Stage.EVALUATE, items=len(messages)):
            rows = []
            for message in messages:
                image = unpack(message, expect={"image": ("uint8", 3)})[0]["image"]
                level = float(image.mean()) / 255
                rows.append(np.array([1 - 2 * level, 2 * level - 1], np.float32))
        return [pack({"scores": row}) for row in rows]

    def pid(self, messages: list[Message], clock: Clock) -> list[Message]:
        return [str(os.getpid()).encode()]


def misbehave(what: str) -> None:
    """Do to this process what a library does that met a message it cannot bear."""
    if what == "abort":
        os.abort()
    if what == "crash":
        ctypes.string_at(0)
    if what == "exit":
        sys.exit(0)
    if what == "leave":
        os._exit(9)
    if what == "sleep":
        time.sleep(60)
    if what == "take memory":
        taken = []
        while True:
            taken.append(bytearray(1 << 24))
    if what == "close stdout":
        sys.stdout.close()
        os.close(1)
    if what == "close everything":
        os.closerange(0, 200)
    if what == "read stdin":
        sys.stdin.read()


class EchoClient:
    """Sends images as they are."""

    def protect(self, images: UInt8Array, clock: Clock) -> list[Message]:
        with clock.stage(Stage.SERIALIZE, items=len(images)):
            return [pack({"image": image}) for image in images]

    def reveal(self, replies: list[Message], clock: Clock) -> Float64Array:
        with clock.stage(Stage.DECODE, items=len(replies)):
            rows = [unpack(reply)[0]["scores"] for reply in replies]
        return np.stack(rows).astype(np.float64)


class EchoFitted(Fitted):
    """Nothing is learnt."""

    def __init__(self, behaviour: str) -> None:
        self.behaviour = behaviour

    def deploy(self, context: RunContext) -> Deployment:
        return Deployment(EchoClient(), pack({}, {"behaviour": self.behaviour}))

    def claims(self) -> SecurityClaims:
        claimed = "heuristic" if self.behaviour == "claim" else "none"
        return SecurityClaims(scheme="echo", protects="nothing", claim_type=claimed)

    def clear_reference(self, images: UInt8Array) -> tuple[str, Float64Array] | None:
        if self.behaviour != "disagree":
            return None
        return "opposite", np.tile(np.array([[-9.0, 9.0], [9.0, -9.0]]), (len(images), 1))[
            : len(images)
        ]

    def clear_twins(self, images: UInt8Array) -> tuple[ClearTwin, ...]:
        """With "twins": one that errs everywhere, one that tosses a coin, then what is executed."""
        if self.behaviour == "misshapen twin":
            return (ClearTwin("half a model", "", np.zeros((len(images), 1))),)
        if self.behaviour != "twins":
            return ()
        level = images.mean(axis=(1, 2, 3)) / 255
        right = np.stack([1 - 2 * level, 2 * level - 1], axis=1)
        return (
            ClearTwin("contrary", "", -right),
            ClearTwin("undecided", "courage", np.zeros_like(right)),
        )

    def protected_picture(self, images: UInt8Array) -> UInt8Array:
        return 255 - images


class EchoPipeline(Pipeline):
    """A pipeline without learning."""

    name = "echo"
    parameters = EchoParameters

    def availability(self) -> Availability:
        if os.environ.get("ECHO_UNAVAILABLE"):
            return Availability(False, "echo is not installed", "unset ECHO_UNAVAILABLE")
        return Availability(True)

    def fit(self, data: TrainingData, parameters: Any, context: RunContext) -> EchoFitted:
        if parameters.behaviour == "fail in fit":
            raise ValueError("fit was told to fail")
        if parameters.behaviour == "take too much":
            raise MemoryError("unable to allocate 9 EB")
        return EchoFitted(parameters.behaviour)

    def load_server(self, public_material: bytes) -> EchoServer:
        if not public_material:
            raise MessageError("no public material")
        return EchoServer(public_material)


PIPELINE = EchoPipeline()
