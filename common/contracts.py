"""The protocols every plug-in fulfils: the whole story of a run in one place.

A dataset goes through pipelines. Every pipeline is a client that protects, a server that computes
and a client that reveals::

    Pipeline.fit(data, context)      -> Fitted
    Fitted.deploy(context)           -> Deployment(client, public_material)
    Client.protect(images, clock)    -> list[Message]       # one per image; leaves only bytes
    Server.infer(messages, clock)    -> list[Message]       # built from public material alone
    Client.reveal(replies, clock)    -> scores (n, k)

The same calls describe no protection at all, scrambling and encryption, so stages, bytes on the
wire and the attacker's view come out of one mechanism and are equal for all. **The trust boundary
is a type**: what crosses it is ``bytes``. The server runs as a process of its own that is started
with the public material only. Training at the server is the same boundary with another verb
(``RunContext.start_server`` from inside ``fit``): every round trip is counted.

A pipeline that cannot run here raises ``UnavailableError`` from ``fit`` or says so in
``availability``: a normal status with a reason and the command that mends it, never a crash.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict

from he_compare.common.clock import Clock
from he_compare.common.run.records import DatasetCard, SecurityClaims
from he_compare.common.types import (
    FheMode,
    Float64Array,
    ImageBatch,
    IntArray,
    Message,
    Split,
    UInt8Array,
)


class Parameters(BaseModel):
    """Base of every pipeline's and cipher's parameters: unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def known_names(cls, values: Mapping[str, Any]) -> list[str]:
        """Return the names that ``values`` may use; a choice among them may bring more names."""
        return list(cls.model_fields)


@dataclass(frozen=True)
class SplitIndex:
    """Ids, labels and groups of one split, without pixels. ``labels``: int64 (n,)."""

    ids: tuple[str, ...]
    labels: IntArray
    groups: tuple[str, ...]


@runtime_checkable
class OpenDataset(Protocol):
    """A dataset that was found and validated: no split shares an id or a group with another."""

    card: DatasetCard
    subset: str
    notes: list[str]

    def index(self, split: Split) -> SplitIndex:
        """Return ids, labels and groups of a split in a stable order."""
        ...

    def read(self, split: Split, positions: IntArray, size: int) -> UInt8Array:
        """Decode images of a split: uint8 (n, size, size, 3), Pillow's bicubic resize.

        Raises DataError naming the file that cannot be read.
        """
        ...


class DatasetFamily(Protocol):
    """What a module of ``he_compare.common.datasets`` hands over as ``DATASET``."""

    name: str
    subsets: tuple[str, ...]

    def card(self) -> DatasetCard:
        """Return the card without opening any data."""
        ...

    def open(self, argument: str, data_dir: Path | None, subset: str, seed: int) -> OpenDataset:
        """Find and validate the data.

        ``argument`` is what follows ``name:``; ``data_dir`` is ``--data-dir`` where given.
        Raises DataError with the places looked at and what to do.
        """
        ...


@dataclass(frozen=True)
class TrainingData:
    """What a pipeline may learn from; the test split is never part of it."""

    train: ImageBatch
    val: ImageBatch
    classes: tuple[str, ...]
    fingerprint: str


class ServerHandle(Protocol):
    """The client's end of a running server process."""

    pid: int

    def call(self, verb: str, messages: list[Message], clock: Clock) -> list[Message]:
        """POST messages to a verb of the server; server-side stages are added to ``clock``.

        Raises ServiceError when the server refuses, times out or dies.
        """
        ...

    def close(self) -> None:
        """Stop the process and wait for its end."""
        ...


class ArtefactStore(Protocol):
    """Results of expensive steps, kept in the run folder and keyed by all their inputs."""

    def get_or_make(self, kind: str, inputs: Mapping[str, Any], make: Callable[[], bytes]) -> bytes:
        """Return the stored bytes for these inputs, or make and store them (atomic).

        ``inputs`` must name every value that can change the result, plug-in source included
        (``he_compare.common.identity.source_digest``). Never store secrets here.
        """
        ...


class Progress(Protocol):
    """Where a pipeline reports long work; drawn on stderr."""

    def __call__(self, what: str, done: int, total: int) -> None: ...


@dataclass(frozen=True)
class RunSettings:
    """Settings of the run that pipelines share, so that budgets are equal."""

    image_size: int
    backbone: str
    weights: str
    epochs: int
    batch_size: int
    learning_rate: float
    threads: int
    infer_batch: int


@dataclass
class RunContext:
    """What the runner lends to a pipeline while a cell runs.

    ``key_file``: file of the client's 256-bit key (0600), made from the OS CSPRNG at first use.
    ``training``: facts about the fit that go into the record (epochs run, best epoch, ...).
    ``warnings``: lines shown wherever the record is printed.
    """

    seed: int
    settings: RunSettings
    clock: Clock
    artefacts: ArtefactStore
    cache_dir: Path
    key_file: Path
    start_server: Callable[[str, bytes], ServerHandle]
    progress: Progress
    training: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


class Client(Protocol):
    """Holds the secrets, in the client's process; only bytes leave it."""

    def protect(self, images: UInt8Array, clock: Clock) -> list[Message]:
        """Turn uint8 (n, size, size, 3) into n messages."""
        ...

    def reveal(self, replies: list[Message], clock: Clock) -> Float64Array:
        """Turn the n replies into class scores (logits), float64 (n, k).

        The runner turns scores into probabilities by softmax, the same way for all. Raises
        MessageError on replies that do not parse.
        """
        ...


class Server(Protocol):
    """Computes on what the client sent; built from public material alone, in its own process.

    Verbs other than ``infer`` (training) are methods of the same shape listed in ``verbs``.
    """

    verbs: tuple[str, ...]

    def infer(self, messages: list[Message], clock: Clock) -> list[Message]:
        """Answer each message. Raises MessageError on bytes that do not parse."""
        ...


@dataclass(frozen=True)
class Deployment:
    """A client with its secrets, and the bytes that are all the server ever gets."""

    client: Client
    public_material: bytes


class Fitted(Protocol):
    """A fitted pipeline."""

    fhe_mode: FheMode

    def deploy(self, context: RunContext) -> Deployment:
        """Make keys and public material; key generation is timed on ``context.clock``."""
        ...

    def claims(self) -> SecurityClaims:
        """Return what this instance claims and gives away."""
        ...

    def clear_reference(self, images: UInt8Array) -> tuple[str, Float64Array] | None:
        """Return the name and scores (n, k) of the clear model the protected path must reproduce
        on these images, or None where the method itself changes the model."""
        ...

    def protected_picture(self, images: UInt8Array) -> UInt8Array | None:
        """Return what the server sees of these images as pictures, or None if it is no picture."""
        ...


@dataclass(frozen=True)
class Availability:
    """Whether a pipeline can run here; if not, why and what mends it."""

    available: bool
    reason: str = ""
    fix: str = ""


class Pipeline(Protocol):
    """What a module of a ``pipelines`` package hands over as ``PIPELINE``."""

    name: str
    parameters: type[Parameters]

    def availability(self) -> Availability:
        """Say whether this machine can run it, without importing anything heavy."""
        ...

    def source_modules(self) -> tuple[str, ...]:
        """Name the modules whose source can change a result (they key the cells)."""
        ...

    def identity_inputs(self, parameters: Any, key_file: Path) -> Mapping[str, str]:
        """Name what else on this machine can change a result, for instance the fingerprint of the
        client's key (never the key)."""
        ...

    def fit(self, data: TrainingData, parameters: Any, context: RunContext) -> Fitted:
        """Learn from the training data; no secret enters ``context.artefacts``."""
        ...

    def load_server(self, public_material: bytes) -> Server:
        """Build the server half from bytes; called in the server process only.

        Raises MessageError on bytes that do not parse.
        """
        ...
