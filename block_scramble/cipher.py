"""What a cipher is: the protocol each file of ``block_scramble.ciphers`` fulfils, and its shapes.

A cipher under a key is an immutable object that maps uint8 batches to ciphertexts of the same
shape, uint8 or float32. How a Vision Transformer can absorb the key is described by ``PatchKey``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, cast

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from he_compare.block_scramble.keys.client_key import ClientKey
from he_compare.block_scramble.vit.patch_key import PatchKey
from he_compare.common.contracts import Parameters
from he_compare.common.errors import UsageError
from he_compare.common.identity import canonical_json
from he_compare.common.plugins import nearest
from he_compare.common.run.records import KeySpace
from he_compare.common.types import UInt8Array

# uint8 or float32, as the cipher's traits say.
CiphertextArray: TypeAlias = npt.NDArray[Any]

# Length of the nonces that travel with ciphertexts.
NONCE_BYTES = 16

SCRAMBLED = "decrypts to another scrambled picture, and nothing notices"


class ImageShape(NamedTuple):
    """Shape of one image; channels are 1 or 3."""

    height: int
    width: int
    channels: int


@dataclass(frozen=True)
class CipherTraits:
    """What holds for a cipher under every key and parameter.

    ``deterministic``: equal image and key, equal ciphertext. ``keyed``: there is a key at all.
    ``ciphertext``: type of the values of a ciphertext. ``fresh_nonces``: every encryption draws a
    nonce that decryption needs. ``wrong_key``: what decryption under another key comes to.
    ``assumption``: what the claim rests on, where it is more than heuristic. ``interpretation``:
    where the publication leaves room, what was filled in; else empty.
    """

    operations: str
    protects: str
    source: str
    claim_type: Literal["reduction to a hardness assumption", "heuristic", "none"]
    deterministic: bool
    keyed: bool
    ciphertext: Literal["uint8", "float32"] = "uint8"
    fresh_nonces: bool = False
    wrong_key: str = SCRAMBLED
    assumption: str = ""
    interpretation: str = ""
    insecure: str = ""


class KeyedCipher(Protocol):
    """A cipher under one key for images of one shape."""

    shape: ImageShape

    def encrypt(self, images: UInt8Array) -> CiphertextArray:
        """Encrypt uint8 (n, h, w, c) to the same shape. Raises UsageError on another shape.

        A cipher with fresh nonces draws them here and forgets them: use ``encrypt_under``.
        """
        ...

    def decrypt(self, ciphertexts: CiphertextArray) -> UInt8Array:
        """Invert ``encrypt`` exactly. Raises UsageError where there is nothing to invert."""
        ...

    def affine_embedding(self, patch: int) -> PatchKey:
        """Describe the key to a model with square patches of ``patch`` pixels.

        Raises UsageError with the reason where no patch embedding can absorb it.
        """
        ...


class NoncedCipher(KeyedCipher, Protocol):
    """A keyed cipher whose traits say ``fresh_nonces``: each image is encrypted under one."""

    def encrypt_under(self, images: UInt8Array, nonces: Sequence[bytes]) -> CiphertextArray:
        """Encrypt uint8 (n, h, w, c), image i under nonce i."""
        ...

    def decrypt_under(self, ciphertexts: CiphertextArray, nonces: Sequence[bytes]) -> UInt8Array:
        """Invert ``encrypt_under``."""
        ...


class Cipher(Protocol):
    """What a module of ``block_scramble.ciphers`` hands over as ``CIPHER``, by inheriting this."""

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
        """Say why no plain model can be adapted to the key; '' where one can."""
        return ""

    def keys_by_block(self, parameters: Any) -> bool:
        """Say whether blocks have keys of their own: an adapted model needs an embedding for each.

        That is as many times the parameters of the patch embedding as there are patches.
        """
        return False

    def describe(
        self, shape: tuple[int, int, int] = (224, 224, 3), patch: int = 16
    ) -> dict[str, str]:
        """Return one line each on what it does, takes and keeps, its key space and what adapts."""
        options = {"patch": patch} if "patch" in self.parameters.model_fields else {}
        parameters = cipher_parameters(self, options)
        image = ImageShape(*shape)
        where = f"{image.height} px" + (f", blocks of {patch}" if options else "")
        lines = {
            "operations": self.traits.operations,
            "parameters": parameters_text(self.parameters),
            f"key space ({where})": key_space_text(self, parameters, image),
            "deterministic": "yes" if self.traits.deterministic else "no",
            "ciphertext": self.traits.ciphertext,
            "preserves": "; ".join(self.preserves(parameters)),
            "adaptable by key": self._adaptable(parameters, image, patch),
            "wrong key": self.traits.wrong_key,
            "source": self.traits.source,
        }
        if self.traits.interpretation:
            lines["interpretation"] = self.traits.interpretation
        return lines

    def _adaptable(self, parameters: Any, shape: ImageShape, patch: int) -> str:
        obstacle = self.obstacle(parameters)
        if obstacle:
            return f"no: {obstacle}"
        if not self.keys_by_block(parameters):
            return "yes, one patch embedding for all positions"
        positions = (shape.height // patch) * (shape.width // patch)
        return f"yes, a patch embedding for each of {positions} positions"


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


def parameters_text(parameters: type[Parameters]) -> str:
    """Return names, defaults and meanings of a cipher's parameters in one line, for listings."""
    fields = parameters.model_fields.items()
    texts = [
        f"{name}{_default_text(field.default)} ({field.description})" for name, field in fields
    ]
    return "; ".join(texts) or "none"


def _default_text(default: Any) -> str:
    """A default the way it is written in NAME[param=value]."""
    if default is None:
        return ", not set"
    return f"={str(default).lower() if isinstance(default, bool) else default}"


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


def as_pictures(ciphertexts: CiphertextArray) -> UInt8Array:
    """Show ciphertexts (n, h, w, c) as uint8 pictures; float32 values v as 127.5 + v / 2, cut off.

    That keeps nearly all values of a rotated patch, whose spread is that of bytes around zero.
    """
    if ciphertexts.dtype == np.uint8:
        return ciphertexts
    return cast(UInt8Array, np.clip(np.rint(127.5 + ciphertexts / 2.0), 0, 255).astype(np.uint8))


def log2_factorial(n: int) -> float:
    """Return log2(n!), the bits of a uniform permutation of n elements."""
    return math.lgamma(n + 1) / math.log(2)


def log2_binomial(n: int, k: int) -> float:
    """Return log2 of the number of ways to choose k of n elements."""
    return log2_factorial(n) - log2_factorial(k) - log2_factorial(n - k)


def key_space(
    cipher: Cipher, parameters: Parameters, shape: ImageShape, entropy_bits: float
) -> KeySpace | None:
    """Return the key space in bits, limited by the entropy of the key; None for keyless ciphers."""
    if not cipher.traits.keyed:
        return None
    nominal = cipher.nominal_bits(parameters, shape)
    effective = entropy_bits if nominal is None else min(nominal, entropy_bits)
    return KeySpace(nominal_bits=nominal, seed_entropy_bits=entropy_bits, effective_bits=effective)


def key_space_text(cipher: Cipher, parameters: Parameters, shape: ImageShape) -> str:
    """Return the nominal key space as text for listings."""
    if not cipher.traits.keyed:
        return "no key"
    nominal = cipher.nominal_bits(parameters, shape)
    return "continuous" if nominal is None else f"{nominal:,.0f} bits"
