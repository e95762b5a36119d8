"""Ways to lay features out in CKKS slots and to evaluate a linear head there, chosen by name.

One file is one packing and hands over ``PACKING``. All turn the standardised features of n images
into n messages and give back one score per class; they differ in slots, rotations, keys and bytes.
Every stage is timed once per batch.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from he_compare.common.backbones.head import LinearModel
from he_compare.common.clock import Clock
from he_compare.common.errors import MessageError, UnknownNameError, UsageError
from he_compare.common.plugins import nearest
from he_compare.common.types import Float64Array, Message, UInt8Array
from he_compare.fhe_baseline.ckks.parameters import CkksParameters, parameter_set

PACKING_NAMES = ("replicated", "batched", "zero-sum", "tenseal-dot", "tenseal-mm")
LATENCY_PACKING, THROUGHPUT_PACKING = "replicated", "batched"
# The fact of a packing that foretells the error of a score: five standard deviations.
PREDICTED_ERROR = "predicted_score_error_5_sigma"


class PackingClient(Protocol):
    """Holds the secret key of one deployment."""

    def public_arrays(self) -> dict[str, UInt8Array]:
        """Return the evaluation keys (and context) for the server, serialised: nothing secret."""
        ...

    def protect(self, features: Float64Array, clock: Clock) -> list[Message]:
        """Encrypt standardised features (n, width) into n messages, with fresh randomness."""
        ...

    def reveal(self, replies: list[Message], clock: Clock) -> Float64Array:
        """Decrypt n replies into scores (n, classes).

        Raises MessageError on bytes that do not parse.
        """
        ...


class PackingServer(Protocol):
    """Evaluates the head; has the model in the clear and no secret key."""

    verbs: tuple[str, ...]

    def infer(self, messages: list[Message], clock: Clock) -> list[Message]:
        """Answer each message. Raises MessageError on bytes that do not parse."""
        ...


class Packing(Protocol):
    """A named layout and the computation on it."""

    name: str
    preferred_parameters: tuple[str, ...]

    def misfit(self, parameters: CkksParameters, model: LinearModel) -> str:
        """Say why the model cannot be evaluated with these parameters, '' if it can."""
        ...

    def facts(self, parameters: CkksParameters, model: LinearModel) -> dict[str, Any]:
        """Return rotations, Galois keys and scales, for the record."""
        ...

    def make_client(self, parameters: CkksParameters, model: LinearModel) -> PackingClient:
        """Generate the keys of a client."""
        ...

    def load_server(
        self, parameters: CkksParameters, model: LinearModel, arrays: Mapping[str, UInt8Array]
    ) -> PackingServer:
        """Build the server from public arrays. Raises MessageError."""
        ...


def finite_scores(scores: Sequence[float], classes: int) -> Float64Array:
    """Return decrypted scores as (n, classes). Raises MessageError where one is not finite."""
    table = np.array(scores, dtype=np.float64).reshape(-1, classes)
    if not np.isfinite(table).all():
        raise MessageError("a reply decrypts to NaN or infinite scores")
    return table


def resolve(name: str, width: int, batch: int) -> str:
    """Return the name of a packing for ``auto``: by the images that are sent together.

    A batch of as many images as there are features costs less by ``batched`` than by
    ``replicated`` in server time and in bytes; a smaller one, and a single image, more in bytes.
    """
    if name != "auto":
        return name
    return THROUGHPUT_PACKING if batch >= width else LATENCY_PACKING


def load_packing(name: str) -> Packing:
    """Return the packing of that name. Raises UnknownNameError."""
    if name not in PACKING_NAMES:
        raise UnknownNameError(
            f"unknown packing {name!r}", fix=nearest(name, ["auto", *PACKING_NAMES])
        )
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    packing: Packing = module.PACKING
    return packing


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
    candidates = packing.preferred_parameters if name == "auto" else (name,)
    misfits = []
    for candidate in candidates:
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
