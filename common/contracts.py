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

Where the hospital does everything itself there is no boundary: ``LocalPipeline`` and
``LocalFitted`` have one call, ``answer(images, clock) -> scores``, and nothing is started or sent.

A pipeline that cannot run here raises ``UnavailableError`` from ``fit`` or says so in
``availability``: a normal status with a reason and the command that fixes it, never a crash.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict

from he_compare.common.clock import Clock
from he_compare.common.costs import Costs, RunSizes
from he_compare.common.errors import NoServerError
from he_compare.common.run.records import DatasetCard, SecurityClaims
from he_compare.common.run.severity import NOTHING_TO_ATTACK
from he_compare.common.scheme import KeyedScheme, PictureShape, Scheme
from he_compare.common.sources import sources_of
from he_compare.common.temporary_folders import swept_folder
from he_compare.common.types import (
    MAX_CLASSES,
    FheMode,
    Float64Array,
    ImageBatch,
    IntArray,
    Message,
    Side,
    Split,
    UInt8Array,
)

if TYPE_CHECKING:
    from he_compare.common.references.reference import Public


class Parameters(BaseModel):
    """Base of every pipeline's and cipher's parameters.

    Unknown names are refused, and numbers that no record could hold.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def known_names(cls, values: Mapping[str, Any]) -> list[str]:
        """Return the names that ``values`` may use; a choice among them may bring more names."""
        return list(cls.model_fields)

    @classmethod
    def meanings(cls, values: Mapping[str, Any]) -> dict[str, str]:
        """Return what each parameter means, by name; what has no description is left out."""
        fields = cls.model_fields.items()
        return {name: field.description for name, field in fields if field.description}


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


@dataclass(frozen=True)
class TrainingData:
    """What a pipeline may learn from; the test split is never part of it.

    ``public``: public images that a server may have of its own, None where none were chosen.
    ``same_kind``: images of the kind under test, for whoever asks for such a reference.
    """

    train: ImageBatch
    val: ImageBatch
    classes: tuple[str, ...]
    fingerprint: str
    public: Public | None = None
    same_kind: Public | None = None


class ServerHandle(Protocol):
    """The client's end of a running server process.

    ``pid``: of the process that the server half lives in; another one may take its place.
    """

    pid: int

    def call(self, verb: str, messages: list[Message], clock: Clock) -> list[Message]:
        """POST messages to a verb of the server; server-side stages are added to ``clock``.

        Raises ServiceError when the server refuses, times out or dies; ServerReplacedError where
        another process has taken its place, which holds nothing but the public material.
        """
        ...

    def close(self) -> None:
        """Stop the process and wait for its end."""
        ...


@runtime_checkable
class MeasuredServer(ServerHandle, Protocol):
    """A server that can be asked what its processes take.

    ``processes``: how many they were at most when it was asked; None where that is not told.
    """

    processes: int | None

    def measure_peak(self) -> int | None:
        """Return the peak memory of all of them in bytes; None where it is not told."""
        ...


class ArtefactStore(Protocol):
    """Results of expensive steps, kept in the run folder and keyed by all their inputs."""

    def get_or_make(self, kind: str, inputs: Mapping[str, Any], make: Callable[[], bytes]) -> bytes:
        """Return the stored bytes for these inputs, or make and store them (atomic).

        ``inputs`` must name every value that can change the result, plug-in source included
        (``he_compare.common.identity.source_digest``). Never store secrets here.
        """
        ...

    def note_reused(self, name: str, seconds: float | None) -> None:
        """Record that something kept elsewhere was used again, and what making it took."""
        ...

    def note_waited(self, seconds: float) -> None:
        """Record a wait for another process that made something: no time of this pipeline."""
        ...


class Progress(Protocol):
    """Where a pipeline reports long work; drawn on stderr."""

    def __call__(self, what: str, done: int, total: int) -> None: ...


@dataclass(frozen=True)
class RunSettings:
    """Settings of the run that pipelines share, so that budgets are equal.

    ``device``: where networks are trained, as torch spells it.
    """

    image_size: int
    backbone: str
    weights: str
    epochs: int
    batch_size: int
    learning_rate: float
    threads: int
    infer_batch: int
    device: str = "cpu"


@dataclass
class RunContext:
    """What the runner gives a pipeline while a cell runs.

    ``key_file``: file of the client's 256-bit key (0600), made from the OS CSPRNG at first use.
    ``training``: facts about the fit that go into the record (epochs run, best epoch, ...).
    ``warnings``: lines shown wherever the record is printed. ``measured_on``: the device of
    networks while they are measured, the same for all pipelines of a run.
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
    measured_on: str = "cpu"


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

    Verbs other than ``infer`` (training) are methods of the same shape, listed in ``verbs``.
    """

    @property
    def verbs(self) -> tuple[str, ...]:
        """What can be called: ``infer`` (the default of subclasses), and verbs of training."""
        return ("infer",)

    def infer(self, messages: list[Message], clock: Clock) -> list[Message]:
        """Answer each message. Raises MessageError on bytes that do not parse."""
        ...


@dataclass(frozen=True)
class Deployment:
    """A client with its secrets, and the bytes that are all the server ever gets."""

    client: Client
    public_material: bytes


@dataclass(frozen=True)
class ClearTwin:
    """A clear model on the way from the clear reference to what is executed.

    ``name``: the model in words. ``cost``: what the step from the model before costs, in a word or
    two; '' for the first. ``scores``: float64 (n, k).
    """

    name: str
    cost: str
    scores: Float64Array


class Fitted(ABC):
    """A fitted pipeline: base class. Only ``deploy`` and ``claims`` have to be written.

    ``fhe_mode``: whether homomorphic encryption is executed.
    """

    fhe_mode: FheMode = FheMode.NOT_APPLICABLE

    @abstractmethod
    def deploy(self, context: RunContext) -> Deployment:
        """Make keys and public material; key generation is timed on ``context.clock``.

        A second call makes another client of the same fitted model. A key that is kept is read
        from ``context.key_file``: the audit names a fresh file there to have a fresh key.
        """

    @abstractmethod
    def claims(self) -> SecurityClaims:
        """Return what this instance claims and what it reveals."""

    def clear_reference(self, images: UInt8Array) -> tuple[str, Float64Array] | None:
        """Return the name and scores (n, k) of the clear model the protected path must reproduce
        on these images; None (the default) where the method itself changes the model."""
        return None

    def clear_twins(self, images: UInt8Array) -> tuple[ClearTwin, ...]:
        """Return clear models between the clear reference and the executed one, in order.

        Each differs from the one before in a single respect, so that the difference of their scores
        on these images is what that respect costs; what is executed follows the last. Empty (the
        default): there is no such way.
        """
        return ()

    def protected_picture(self, images: UInt8Array) -> UInt8Array | None:
        """Return what the server sees of these images as pictures; None (the default) where it is
        no picture."""
        return None

    def scheme(self, deployed: Deployed, shape: PictureShape) -> Scheme:
        """Say what an attacker faces: this deployment, for images of shape (h, w, c).

        The default reads messages as bytes and makes fresh keys by deploying again. A pipeline
        whose messages are pictures to its server overrides it, and says how they are read.
        """
        return DeployedScheme(deployed, shape)


NOTHING_LEAVES = "nothing leaves the hospital: it holds the images, the network and the head"


class LocalFitted(Fitted):
    """A model that the hospital runs by itself: base class. Only ``answer`` has to be written.

    There is no key, no message and no server, so there is nothing to deploy and nothing to attack.
    """

    @abstractmethod
    def answer(self, images: UInt8Array, clock: Clock) -> Float64Array:
        """Turn uint8 (n, size, size, 3) into class scores (logits), float64 (n, k).

        Stages are timed on ``clock``; without any, all of it is counted as evaluation.
        """

    def deploy(self, context: RunContext) -> NoReturn:
        """Raise NoServerError: nobody gets anything."""
        raise NoServerError(NOTHING_TO_ATTACK)

    def claims(self) -> SecurityClaims:
        """Claim nothing: nothing is hidden from a server that is not there."""
        return SecurityClaims(scheme="no server", protects=NOTHING_LEAVES, claim_type="none")


@dataclass(frozen=True)
class Deployed:
    """A fitted pipeline in use: what it was fitted to, its client and what its server has."""

    fitted: Fitted
    deployment: Deployment
    context: RunContext

    def again(self) -> Deployment:
        """Deploy the same fitted pipeline with a fresh key of the operating system's generator."""
        with swept_folder("key") as folder:
            fresh = replace(self.context, clock=Clock(Side.CLIENT), key_file=folder / "client.key")
            # A copy: what a deployment remembers of itself stays that of the run.
            return copy(self.fitted).deploy(fresh)

    def scheme(self, shape: PictureShape) -> Scheme:
        """Return what an attacker faces, for images of shape (h, w, c)."""
        return self.fitted.scheme(self, shape)


class DeployedScheme(Scheme):
    """A deployment as the audit attacks it: the run's own client, and others under fresh keys."""

    name = "deployed messages"

    def __init__(self, deployed: Deployed, shape: PictureShape) -> None:
        self.deployed = deployed
        self.shape = shape

    def own_key(self) -> KeyedScheme:
        """Return the client of the run."""
        return DeployedClient(self.deployed.deployment.client)

    def new_key(self, seed: int) -> KeyedScheme:
        """Deploy again: keys are the operating system's, the seed does not choose them."""
        return DeployedClient(self.deployed.again().client)

    def claims(self) -> SecurityClaims:
        """Return the claims of the deployment."""
        return self.deployed.fitted.claims()


@dataclass(frozen=True, repr=False)
class DeployedClient(KeyedScheme):
    """One client of a deployment, with its secrets."""

    client: Client

    def protect(self, images: UInt8Array) -> list[Message]:
        """Turn uint8 (n, h, w, c) into the n messages that leave the client."""
        return self.client.protect(images, Clock(Side.CLIENT)) if len(images) else []


@dataclass(frozen=True)
class Twin:
    """The same model, data and training without the protection: another pipeline, by name.

    ``differs``: what else is not the same; '' where nothing is.
    """

    pipeline: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    differs: str = ""


@dataclass(frozen=True)
class Work:
    """Who computes what, and whose the classifier's last layer is, each in a short phrase.

    '' where a pipeline does not say.
    """

    hospital: str = ""
    server: str = ""
    head_trained_by: str = ""
    head_owner: str = ""


@dataclass(frozen=True)
class Availability:
    """Whether a pipeline can run here; if not, why, and how to fix it."""

    available: bool
    reason: str = ""
    fix: str = ""


class Pipeline(ABC):
    """What a module of a ``pipelines`` package provides as ``PIPELINE``: base class.

    ``name``, ``fit`` and ``load_server`` have to be written; ``parameters`` where there are any.
    ``all_on_device``: whether all the computing that is measured can run on a GPU; False (the
    default) where a part of it is for the CPU alone, as encryption with keys of lattices is.
    ``takes_patches``: whether its network cuts images into patches, whose side has to divide the
    image's; False where it takes images of any size, as a convolutional network does.
    """

    name: str
    parameters: type[Parameters] = Parameters
    all_on_device: bool = False
    takes_patches: bool = True

    def availability(self) -> Availability:
        """Say whether this machine can run it, without importing anything heavy.

        The default: always.
        """
        return Availability(True)

    def plugins_used(self, parameters: Any) -> tuple[str, ...]:
        """Name the modules of plug-ins that these parameters choose by name, such as a cipher.

        The default: none.
        """
        return ()

    def reference_rank(self, parameters: Any) -> int | None:
        """Say how well it serves as the reference that all others of a run are compared with.

        The smallest rank of a run is the reference, the first of equals. None (the default): never.
        """
        return None

    def twin(self, parameters: Any) -> Twin | None:
        """Name the pipeline that is this one without its protection: what its price is measured
        against. None (the default): it protects nothing, or there is no such pipeline."""
        return None

    def work(self, parameters: Any) -> Work:
        """Say what the hospital computes, what the server computes, and who trained and owns the
        head. The default: not said."""
        return Work()

    def costs(self, parameters: Any, sizes: RunSizes) -> Costs | None:
        """Say what a run of these sizes takes, in units that a short probe prices.

        None (the default): the pipeline does not say, and its cells are left out of estimates.
        """
        return None

    def most_classes(self, parameters: Any, feature_width: int) -> int:
        """Say how many classes it takes on features of so many numbers, before anything runs.

        With more the pipeline is not run, and the others are. The default: as many as any reader
        reads, which every pipeline then has to take.
        """
        return MAX_CLASSES

    def source_modules(self, parameters: Any) -> tuple[str, ...]:
        """Name the modules whose source can change a result (they key what is kept).

        The default: the module of the pipeline's class, the plug-ins it uses, and every module of
        this project that these import, directly or not.
        """
        return sources_of(type(self).__module__, *self.plugins_used(parameters))

    def identity_inputs(self, parameters: Any, key_file: Path) -> Mapping[str, str]:
        """Name what else on this machine can change a result, for instance the fingerprint of the
        client's key (never the key). The default: nothing."""
        return {}

    def cipher_scheme(
        self, name: str, options: Mapping[str, Any], shape: PictureShape
    ) -> Scheme | None:
        """Return a cipher on images by name, as an audit attacks it without a run.

        None (the default) where this pipeline knows no ciphers by name. Raises UnknownNameError,
        UsageError.
        """
        return None

    @abstractmethod
    def fit(self, data: TrainingData, parameters: Any, context: RunContext) -> Fitted:
        """Learn from the training data; no secret enters ``context.artefacts``."""

    @abstractmethod
    def load_server(self, public_material: bytes) -> Server:
        """Build the server half from bytes; called in the server process only.

        Raises MessageError on bytes that do not parse.
        """


class LocalPipeline(Pipeline):
    """A pipeline without a server: base class. ``name`` and ``fit`` have to be written."""

    @abstractmethod
    def fit(self, data: TrainingData, parameters: Any, context: RunContext) -> LocalFitted:
        """Learn from the training data at the hospital; ``context.start_server`` is refused."""

    def load_server(self, public_material: bytes) -> NoReturn:
        """Raise NoServerError: there is no server half."""
        raise NoServerError(f"{self.name} has no server half", fix="nothing is sent for it")
