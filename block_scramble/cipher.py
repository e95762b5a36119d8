"""What a cipher is: the base of the files of ``block_scramble.ciphers``.

A cipher says what it claims and how it looks under a key; its options are a model of its own.
Checks of shape and options, sub-keys that no other cipher shares, key space and listing are here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import Field, ValidationError

from he_compare.block_scramble.engine.blocks import check_patch
from he_compare.block_scramble.engine.shapes import ImageShape, check_shape
from he_compare.block_scramble.keyed_cipher import NOT_DESCRIBED, KeyedCipher
from he_compare.block_scramble.keys.client_key import ClientKey
from he_compare.block_scramble.keys.keystream import Keystream
from he_compare.common.contracts import Parameters
from he_compare.common.errors import UsageError
from he_compare.common.identity import canonical_json
from he_compare.common.plugins import nearest
from he_compare.common.run.records import KeySpace
from he_compare.common.secrecy import KeptInProcess

SCRAMBLED = "decrypts to another scrambled picture; the error goes unnoticed"


@dataclass(frozen=True)
class CipherTraits:
    """What holds for a cipher under every key and parameter.

    ``deterministic``: equal image and key, equal ciphertext. ``keyed``: there is a key at all.
    ``ciphertext``: type of the values of a ciphertext. ``fresh_nonces``: every encryption draws a
    nonce that decryption needs. ``wrong_key``: what decryption under another key gives.
    ``assumption``: what the claim rests on, where it is more than heuristic. ``enforced_by``: who
    keeps its parameters at the level that a claim by reduction needs; empty where nobody says.
    ``interpretation``: where the publication leaves room, what was filled in; else empty.
    ``insecure``: why it must not protect real data; empty where it may.
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
    enforced_by: str = ""
    interpretation: str = ""
    insecure: str = ""


@dataclass(frozen=True, repr=False)
class SubKeys(KeptInProcess):
    """The keys of one cipher, its options and image shape: unrelated to those of any other.

    ``sequence``: names a series of encryptions, for ciphers that use fresh randomness.
    """

    key: ClientKey
    purpose: tuple[str, ...]
    sequence: str = ""

    def stream(self, name: str) -> Keystream:
        """Open the keyed stream of a name at its start."""
        return self.key.stream(*self.purpose, name)

    def subkey(self, name: str) -> ClientKey:
        """Derive the key of a name."""
        return self.key.subkey(*self.purpose, name)


class Cipher(ABC):
    """What a module of ``block_scramble.ciphers`` provides as ``CIPHER``.

    ``name``: that of the file, or of the entry point. ``parameters``: the model of its options; the
    default has none. To write: ``keyed``, ``key_bits``, ``preserves``, and the rest where the
    default does not hold.
    """

    name: ClassVar[str]
    parameters: ClassVar[type[Parameters]] = Parameters
    traits: ClassVar[CipherTraits]

    @abstractmethod
    def keyed(self, keys: SubKeys, parameters: Any, shape: ImageShape) -> KeyedCipher:
        """Draw the key material from ``keys`` and precompute what encryption needs."""

    @abstractmethod
    def key_bits(self, parameters: Any, shape: ImageShape) -> float | None:
        """Return log2 of the number of keys; None where keys are continuous."""

    @abstractmethod
    def preserves(self, parameters: Any) -> tuple[str, ...]:
        """Name what a ciphertext keeps of its image."""

    def check(self, parameters: Any, shape: ImageShape) -> None:
        """Raise UsageError where the options do not fit the shape of the images."""
        check_shape(shape)

    def obstacle(self, parameters: Any) -> str:
        """Say why no plain model can be adapted to the key; '' where one can."""
        return NOT_DESCRIBED

    def keys_by_block(self, parameters: Any) -> bool:
        """Say whether blocks have keys of their own: an adapted model needs an embedding for each.

        That is as many times the parameters of the patch embedding as there are patches.
        """
        return False

    def prepare(
        self, key: ClientKey, parameters: Any, shape: ImageShape, *, sequence: str = ""
    ) -> KeyedCipher:
        """Return the cipher under a key for images of a shape.

        ``sequence`` names a series of encryptions for ciphers that use fresh randomness: two series
        never share it. Raises UsageError where an option does not fit the shape.
        """
        self.check(parameters, shape)
        keys = SubKeys(key, purpose_of(self.name, parameters, shape), sequence)
        return self.keyed(keys, parameters, shape)

    def nominal_bits(self, parameters: Any, shape: ImageShape) -> float | None:
        """Return ``key_bits``. Raises UsageError where an option does not fit the shape."""
        self.check(parameters, shape)
        return self.key_bits(parameters, shape)

    def key_space(self, parameters: Any, shape: ImageShape, entropy_bits: float) -> KeySpace | None:
        """Return the key space, limited by the entropy of the key; None for keyless ciphers."""
        if not self.traits.keyed:
            return None
        nominal = self.nominal_bits(parameters, shape)
        effective = entropy_bits if nominal is None else min(nominal, entropy_bits)
        return KeySpace(
            nominal_bits=nominal, seed_entropy_bits=entropy_bits, effective_bits=effective
        )

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
            "parameters": _parameters_text(self.parameters),
            f"key space ({where})": self._key_space_text(parameters, image),
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

    def _key_space_text(self, parameters: Any, shape: ImageShape) -> str:
        if not self.traits.keyed:
            return "no key"
        nominal = self.nominal_bits(parameters, shape)
        return "continuous" if nominal is None else f"{nominal:,.0f} bits"

    def _adaptable(self, parameters: Any, shape: ImageShape, patch: int) -> str:
        obstacle = self.obstacle(parameters)
        if obstacle:
            return f"no: {obstacle}"
        if not self.keys_by_block(parameters):
            return "yes, one patch embedding for all positions"
        positions = (shape.height // patch) * (shape.width // patch)
        return f"yes, a patch embedding for each of {positions} positions"


class BlockwiseCipher(Cipher):
    """A cipher on square blocks, whose side is its option ``patch``.

    A patch embedding can absorb its key unless ``obstacle`` says why not.
    """

    def check(self, parameters: Any, shape: ImageShape) -> None:
        """Raise UsageError unless blocks of ``patch`` pixels tile the image."""
        check_patch(shape, parameters.patch)

    def obstacle(self, parameters: Any) -> str:
        """Say why no plain model can be adapted to the key; '' where one can."""
        return ""


def patch_side(default: int, most: int = 512) -> int:
    """Declare the option ``patch`` of a block cipher in its model of options."""
    side: int = Field(default=default, ge=2, le=most, description="Side of a block in pixels")
    return side


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


def _parameters_text(parameters: type[Parameters]) -> str:
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
