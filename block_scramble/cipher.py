"""What a cipher is: the protocol each file of ``block_scramble.ciphers`` fulfils, and its shapes.

A cipher under a key is an immutable object that maps uint8 batches to uint8 batches. How a Vision
Transformer can absorb the key is described by ``PatchAffine``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from block_scramble.keys import ClientKey
from common.contracts import Parameters
from common.errors import UsageError
from common.identity import canonical_json
from common.plugins import nearest
from common.records import KeySpace
from common.types import IntArray, UInt8Array


class ImageShape(NamedTuple):
    """Shape of one image; channels are 1 or 3."""

    height: int
    width: int
    channels: int


@dataclass(frozen=True)
class CipherTraits:
    """What holds for a cipher under every key and parameter.

    ``deterministic``: equal image and key, equal ciphertext. ``keyed``: there is a key at all.
    ``interpretation``: where the publication leaves room, what was filled in; else empty.
    """

    operations: str
    protects: str
    source: str
    claim_type: Literal["heuristic", "none"]
    deterministic: bool
    keyed: bool
    interpretation: str = ""
    insecure: str = ""


@dataclass(frozen=True, repr=False)
class PatchAffine:
    """How a ciphertext patch follows from a plain one, as far as a patch embedding can absorb it.

    Patches are flattened in the order row, column, channel into v values in 0..1. Ciphertext patch
    b holds plain patch ``block_order[b]``; its value j is value ``value_order[j]`` of that patch,
    taken as 1 - value where ``negated[j]``. Both are (v,): one for all patches.
    """

    patch: int
    block_order: IntArray
    value_order: IntArray
    negated: npt.NDArray[np.bool_]


class KeyedCipher(Protocol):
    """A cipher under one key for images of one shape."""

    shape: ImageShape

    def encrypt(self, images: UInt8Array) -> UInt8Array:
        """Encrypt uint8 (n, h, w, c) to the same shape. Raises UsageError on another shape."""
        ...

    def decrypt(self, ciphertexts: UInt8Array) -> UInt8Array:
        """Invert ``encrypt`` exactly. Raises UsageError where there is nothing to invert."""
        ...

    def affine_embedding(self, patch: int) -> PatchAffine:
        """Describe the key to a model with square patches of ``patch`` pixels.

        Raises UsageError with the reason where no patch embedding can absorb it.
        """
        ...


class Cipher(Protocol):
    """What a module of ``block_scramble.ciphers`` hands over as ``CIPHER``."""

    name: str
    parameters: type[Parameters]
    traits: CipherTraits

    def prepare(
        self, key: ClientKey, parameters: Any, shape: ImageShape, *, sequence: str = ""
    ) -> KeyedCipher:
        """Derive the sub-keys and precompute what encryption needs.

        ``sequence`` names a series of encryptions for ciphers that use fresh randomness: two series
        never share it. Deterministic ciphers ignore it. Raises UsageError where a parameter does
        not fit the shape.
        """
        ...

    def nominal_bits(self, parameters: Any, shape: ImageShape) -> float | None:
        """Return log2 of the number of keys; None where keys are continuous."""
        ...

    def preserves(self, parameters: Any) -> tuple[str, ...]:
        """Name what a ciphertext keeps of its image."""
        ...

    def obstacle(self, parameters: Any) -> str:
        """Say why no plain model can be adapted to the key by one patch embedding; '' if it can."""
        ...


def cipher_parameters(cipher: Cipher, options: Mapping[str, Any]) -> Parameters:
    """Validate the options of a cipher. Raises UsageError naming the option and its value."""
    known = list(cipher.parameters.model_fields)
    for name in options:
        if name not in known:
            raise UsageError(
                f"cipher {cipher.name!r} has no parameter {name!r}", fix=nearest(name, known)
            )
    try:
        return cipher.parameters(**options)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(
            f"cipher {cipher.name!r} cannot take {where}={first['input']!r}",
            fix=first["msg"].lower(),
        ) from None


def purpose_of(cipher: str, parameters: Parameters, shape: ImageShape) -> tuple[str, ...]:
    """Return the purpose of a cipher's sub-keys: another cipher, option or shape, other keys."""
    options = canonical_json(parameters.model_dump(mode="json"))
    return cipher, options, "x".join(map(str, shape))


def check_images(images: UInt8Array, shape: ImageShape) -> None:
    """Raise UsageError unless ``images`` is uint8 (n, h, w, c) of this shape."""
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != tuple(shape):
        raise UsageError(
            f"images are {images.dtype} {images.shape}, "
            f"this key is prepared for uint8 (n, {shape.height}, {shape.width}, {shape.channels})",
            fix="convert them to 8 bit without alpha and resize them to that shape",
        )


def check_shape(shape: ImageShape) -> None:
    """Raise UsageError unless the shape is that of a grey or colour image."""
    if shape.channels not in (1, 3) or min(shape) < 1:
        raise UsageError(
            f"images of shape {tuple(shape)} are neither grey nor RGB",
            fix="convert them to 1 or 3 channels (no alpha)",
        )


def log2_factorial(n: int) -> float:
    """Return log2(n!), the bits of a uniform permutation of n elements."""
    return math.lgamma(n + 1) / math.log(2)


def key_space(
    cipher: Cipher, parameters: Parameters, shape: ImageShape, entropy_bits: float
) -> KeySpace | None:
    """Return the key space in bits, limited by the entropy of the key; None for keyless ciphers."""
    if not cipher.traits.keyed:
        return None
    nominal = cipher.nominal_bits(parameters, shape)
    effective = entropy_bits if nominal is None else min(nominal, entropy_bits)
    return KeySpace(nominal_bits=nominal, seed_entropy_bits=entropy_bits, effective_bits=effective)
