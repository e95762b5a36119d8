"""What a runner lends to a pipeline: settings, and artefacts and servers in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from he_compare.common import plugins
from he_compare.common.clock import Clock
from he_compare.common.contracts import (
    ArtefactStore,
    Deployment,
    RunContext,
    RunSettings,
    Server,
    ServerHandle,
)
from he_compare.common.identity import key_of
from he_compare.common.types import Float64Array, Message, Side, UInt8Array

SETTINGS: dict[str, Any] = {
    "image_size": 32,
    "backbone": "deit_tiny_patch16_224",
    "weights": "untrained",
    "epochs": 2,
    "batch_size": 8,
    "learning_rate": 1e-3,
    "threads": 1,
    "infer_batch": 8,
}


@dataclass
class MemoryArtefacts:
    """Artefacts in memory, keyed like those on disk. ``made``: their kinds, in this order."""

    kept: dict[str, bytes] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)
    reused: list[str] = field(default_factory=list)

    def get_or_make(self, kind: str, inputs: Mapping[str, Any], make: Callable[[], bytes]) -> bytes:
        key = key_of(kind=kind, inputs=dict(inputs))
        if key not in self.kept:
            self.kept[key] = make()
            self.made.append(kind)
        return self.kept[key]

    def note_reused(self, name: str, seconds: float | None) -> None:
        self.reused.append(name)

    def note_waited(self, seconds: float) -> None:
        pass


class NoArtefacts:
    """Fails when something is stored."""

    def get_or_make(self, kind: str, inputs: Mapping[str, Any], make: Callable[[], bytes]) -> bytes:
        raise AssertionError(f"{kind} was stored")

    def note_reused(self, name: str, seconds: float | None) -> None:
        pass

    def note_waited(self, seconds: float) -> None:
        pass


def no_server(pipeline: str, public_material: bytes) -> ServerHandle:
    """Stand in for the starting of servers where none may be started."""
    raise AssertionError(f"{pipeline} started a server")


def run_context(
    folder: Path,
    artefacts: ArtefactStore,
    start_server: Callable[[str, bytes], ServerHandle] = no_server,
    seed: int = 0,
    **settings: Any,
) -> RunContext:
    """Return a context with its key file in ``folder``; ``settings`` are changes of SETTINGS."""
    return RunContext(
        seed=seed,
        settings=RunSettings(**SETTINGS | settings),
        clock=Clock(Side.CLIENT),
        artefacts=artefacts,
        cache_dir=folder,
        key_file=folder / "client.key",
        start_server=start_server,
        progress=lambda what, done, total: None,
    )


@dataclass
class Crossing:
    """Every byte string that crossed the trust boundary."""

    public: list[bytes] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)


@dataclass
class InProcessServer:
    """A server handle without a process: bytes in, bytes out."""

    server: Server
    crossing: Crossing
    pid: int = 0
    closed: bool = False

    def call(self, verb: str, messages: list[Message], clock: Clock) -> list[Message]:
        assert not self.closed and verb in self.server.verbs
        self.crossing.messages += messages
        own = Clock(Side.SERVER)
        replies: list[Message] = getattr(self.server, verb)(messages, own)
        clock.absorb(own)
        return replies

    def close(self) -> None:
        self.closed = True


@dataclass
class Bench:
    """Lends contexts to a pipeline and keeps all that crossed to its servers."""

    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)
    artefacts: MemoryArtefacts = field(default_factory=MemoryArtefacts)
    crossing: Crossing = field(default_factory=Crossing)
    servers: list[InProcessServer] = field(default_factory=list)

    def context(self, seed: int = 0, **settings: Any) -> RunContext:
        return run_context(
            self.folder, self.artefacts, self.start, seed, **self.settings | settings
        )

    def start(self, pipeline: str, public_material: bytes) -> InProcessServer:
        self.crossing.public.append(public_material)
        loaded = plugins.load("pipelines", pipeline).load_server(public_material)
        self.servers.append(InProcessServer(loaded, self.crossing))
        return self.servers[-1]

    def scores(self, pipeline: str, deployment: Deployment, images: UInt8Array) -> Float64Array:
        """Protect, infer at a new server, reveal."""
        server = self.start(pipeline, deployment.public_material)
        clock = Clock(Side.CLIENT)
        replies = server.call("infer", deployment.client.protect(images, clock), clock)
        return deployment.client.reveal(replies, clock)
