"""What a packing is: a way to lay features out in CKKS slots and to evaluate a linear head there.

One file of ``packings/`` is one packing and hands over ``PACKING``; a package of one's own adds
another by the entry-point group ``he_compare.packings``. All turn the standardised features of n
images into n messages and give back one score per class; they differ in slots, rotations, keys and
bytes. Every stage is timed once per batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, ClassVar

import numpy as np

from he_compare.common import plugins
from he_compare.common.backbones.head import LinearModel
from he_compare.common.clock import Clock
from he_compare.common.errors import MessageError, UnavailableError, UnknownNameError, UsageError
from he_compare.common.plugin_names import canonical_name
from he_compare.common.types import MAX_CLASSES, Float64Array, Message, UInt8Array
from he_compare.fhe_baseline.ckks.parameters import CkksParameters, parameter_set

KIND = "packings"
AUTO = "auto"
# Five standard deviations of a score's error, as the scales predict it: the name of that fact.
PREDICTED_ERROR = "predicted_score_error_5_sigma"


class Purpose(StrEnum):
    """What ``auto`` takes a packing for."""

    LATENCY = "latency"
    THROUGHPUT = "throughput"


class PackingClient(ABC):
    """Makes and holds the secret key of one deployment."""

    @abstractmethod
    def __init__(self, parameters: CkksParameters, model: LinearModel) -> None:
        """Generate the keys. The client may read the model's shape and scales, not its weights."""

    def public_arrays(self) -> dict[str, UInt8Array]:
        """Return the evaluation keys for the server, serialised: nothing secret. Default: none."""
        return {}

    @abstractmethod
    def protect(self, features: Float64Array, clock: Clock) -> list[Message]:
        """Encrypt standardised features (n, width) into n messages, with fresh randomness."""

    @abstractmethod
    def reveal(self, replies: list[Message], clock: Clock) -> Float64Array:
        """Decrypt n replies into scores (n, classes).

        Raises MessageError on bytes that do not parse.
        """

    def secret_key(self) -> Any:
        """Return SEAL's secret key object: the truth, for scoring checks alone.

        Raises UnavailableError (the default) where the client keeps it inside SEAL's decryptor.
        """
        raise UnavailableError(
            f"{type(self).__name__} keeps its secret key inside SEAL's decryptor",
            fix="override secret_key in the packing's client, or audit another packing",
        )


class PackingServer(ABC):
    """Evaluates the head on ciphertexts; holds no secret key."""

    verbs: tuple[str, ...] = ("infer",)

    @abstractmethod
    def __init__(
        self, parameters: CkksParameters, model: LinearModel, arrays: Mapping[str, UInt8Array]
    ) -> None:
        """Load the client's public arrays. Raises MessageError; KeyError where one is missing."""

    @abstractmethod
    def infer(self, messages: list[Message], clock: Clock) -> list[Message]:
        """Answer each message. Raises MessageError on bytes that do not parse."""


class Packing(ABC):
    """A named layout and the computation on it.

    ``preferred_parameters``: names of parameter sets, best first; the first that fits is used.
    ``purpose``: set where ``auto`` may choose this packing. ``one_ciphertext``: a message is one
    serialised ciphertext of one image, and a reply one that has the scores in its first slots: what
    checks that work on single ciphertexts ask for. ``in_batches``: the ciphertexts of a call hold
    all of its images, so that one message says nothing by itself. ``client``: called with
    parameters and model. ``server``: called with parameters, model (in the clear) and the client's
    public arrays.
    """

    name: ClassVar[str]
    preferred_parameters: ClassVar[tuple[str, ...]]
    client: ClassVar[type[PackingClient]]
    server: ClassVar[type[PackingServer]]
    purpose: ClassVar[Purpose | None] = None
    one_ciphertext: ClassVar[bool] = False
    in_batches: ClassVar[bool] = False

    @abstractmethod
    def misfit(self, parameters: CkksParameters, model: LinearModel) -> str:
        """Say why the model cannot be evaluated with these parameters, '' if it can."""

    def most_classes(self, parameters: CkksParameters, width: int) -> int:
        """Say how many classes of so many features find a place. The default: as many as a head."""
        return MAX_CLASSES

    @abstractmethod
    def facts(self, parameters: CkksParameters, model: LinearModel) -> dict[str, Any]:
        """Return rotations, Galois keys and scales, for the record."""

    def make_client(self, parameters: CkksParameters, model: LinearModel) -> PackingClient:
        """Generate the keys of a client."""
        return self.client(parameters, model)

    def load_server(
        self, parameters: CkksParameters, model: LinearModel, arrays: Mapping[str, UInt8Array]
    ) -> PackingServer:
        """Build the server from public arrays. Raises as the server does."""
        return self.server(parameters, model, arrays)


def finite_scores(scores: Sequence[float], classes: int) -> Float64Array:
    """Return decrypted scores as (n, classes). Raises MessageError where one is not finite."""
    table = np.array(scores, dtype=np.float64).reshape(-1, classes)
    if not np.isfinite(table).all():
        raise MessageError("a reply decrypts to NaN or infinite scores")
    return table


def check_name(name: str) -> str:
    """Return the spelling of a packing's name, or ``auto``. Raises UnknownNameError."""
    known = plugins.discover(KIND)
    for spelled in (AUTO, *known):
        if canonical_name(spelled) == canonical_name(name):
            return spelled
    raise UnknownNameError(f"unknown packing {name!r}", fix=plugins.nearest(name, [AUTO, *known]))


def load_packing(name: str) -> Packing:
    """Return the packing of that name. Raises UnknownNameError, and UsageError if it is misnamed.

    The name travels to the server, which looks it up again: it has to be the registered one.
    """
    found = check_name(name)
    packing: Packing = plugins.load(KIND, found)
    if packing.name != found:
        raise UsageError(
            f"packing {found!r} calls itself {packing.name!r}",
            fix="give the file or the entry point and the class attribute one name",
        )
    return packing


def packing_for(purpose: Purpose) -> str:
    """Return the built-in packing for a purpose: one that is installed never changes ``auto``."""
    return next(
        plugin.name
        for plugin in plugins.discover(KIND).values()
        if plugin.origin == "built in" and plugin.load().purpose is purpose
    )


def resolve(name: str, width: int, batch: int) -> str:
    """Return the name of a packing for ``auto``: by the images that are sent together.

    A batch of as many images as there are features costs less server time and fewer bytes by the
    packing for throughput; a smaller batch, and a single image, costs more bytes by it.
    """
    if name != AUTO:
        return name
    return packing_for(Purpose.THROUGHPUT if batch >= width else Purpose.LATENCY)


def most_classes_of(name: str, parameter_set_name: str, width: int) -> int:
    """Say how many classes of so many features a packing takes, or any that ``auto`` may choose."""
    names = [packing_for(purpose) for purpose in Purpose] if name == AUTO else [name]
    packings = [load_packing(one) for one in names]
    return min(
        max(
            packing.most_classes(parameter_set(candidate), width)
            for candidate in _candidates(packing, parameter_set_name)
        )
        for packing in packings
    )


def _candidates(packing: Packing, name: str) -> tuple[str, ...]:
    return packing.preferred_parameters if name == AUTO else (name,)


def packing_modules(name: str) -> tuple[str, ...]:
    """Name the module of a packing; for ``auto``, of those it may choose."""
    names = [packing_for(purpose) for purpose in Purpose] if name == AUTO else [name]
    return tuple(plugins.find(KIND, one).module for one in names)


def choose_parameters(
    packing: Packing, name: str, model: LinearModel
) -> tuple[str, CkksParameters]:
    """Return the named parameter set, or for ``auto`` the first preferred one that fits.

    Raises UsageError with the reason where none does.
    """
    if not model.weights.any(axis=1).all():
        raise UsageError(
            "the head has a class with only zero weights, and SEAL refuses a product that hides "
            "nothing",
            fix="train on images whose features differ",
        )
    misfits = []
    for candidate in _candidates(packing, name):
        parameters = parameter_set(candidate)
        misfit = packing.misfit(parameters, model)
        if not misfit:
            return candidate, parameters
        misfits.append(f"{candidate}: {misfit}")
    raise UsageError(
        f"packing {packing.name} cannot evaluate {model.width} features and {model.classes} "
        f"classes with {'; '.join(misfits)}",
        fix="choose another parameter_set or packing",
    )
