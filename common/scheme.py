"""What is attacked: a scheme without a key, and under one client's key; the controls by name."""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from he_compare.common.errors import UsageError
from he_compare.common.run.records import SecurityClaims
from he_compare.common.secrecy import KeptInProcess
from he_compare.common.types import BoolArray, Message, PixelArray, UInt8Array

PictureShape: TypeAlias = tuple[int, int, int]

# Of a seed that stands for a key of the operating system's generator.
SEED_BITS = 63
NO_MODEL = "no model was adapted to a key here"


@dataclass(frozen=True, repr=False)
class KeyMoves(KeptInProcess):
    """Key material of a cipher that moves values and negates some: sealed truth, never recorded.

    Flat unit t of a ciphertext is plain unit ``index[t]``, taken as ``top - v`` where
    ``negated[t]``. Units are the values of an image in the order row, column, channel (top 255), or
    with ``nibbles`` their low 4-bit halves followed by their high ones (top 15).
    """

    index: npt.NDArray[np.intp]
    negated: BoolArray
    nibbles: bool = False


@dataclass(frozen=True)
class Models:
    """The patch embedding before and after adaptation: rows (v, width) and (k, v, width)."""

    plain_rows: npt.NDArray[np.float64]
    deployed_rows: npt.NDArray[np.float32]
    plain_positions: npt.NDArray[np.float64]
    deployed_positions: npt.NDArray[np.float64]
    nibbles: bool


class KeyedScheme(ABC):
    """A scheme under one client's key: base class. Only ``protect`` has to be written."""

    @abstractmethod
    def protect(self, images: UInt8Array) -> list[Message]:
        """Turn uint8 (n, h, w, c) into the n messages that leave the client."""

    def moves(self) -> KeyMoves | None:
        """Return the key as moves of values; None (the default) where it is nothing of the kind."""
        return None

    def models(self) -> Models | None:
        """Return the plain model's patch embedding and the deployed one's, adapted to this key.

        None (the default) where no model is deployed.
        """
        return None

    def adapted(self, rows: npt.NDArray[np.float64], positions: npt.NDArray[np.float64]) -> Models:
        """Adapt a patch embedding, rows (v, width) and positions (n, width), to this key.

        Raises UsageError (the default) where no embedding can absorb it.
        """
        raise UsageError(NO_MODEL)


class Scheme(ABC):
    """What is attacked, public by Kerckhoffs: base class. ``new_key`` and ``claims`` are abstract.

    ``name``: of the cipher, or what the messages are. ``parameters``: as resolved. ``shape``:
    (h, w, c) of images and of pictures of ciphertexts. ``unadaptable``: why there is no model that
    was adapted to the key, '' where there is one.
    """

    name: str
    shape: PictureShape
    parameters: Mapping[str, Any] = {}
    unadaptable: str = NO_MODEL

    @property
    def in_batches(self) -> bool:
        """Whether the messages of one call can only be read together (the default: no).

        A tape of single messages shows nothing then: images are encrypted again, one at a time.
        """
        return False

    def own_key(self) -> KeyedScheme | None:
        """Return the key that is in use; None (the default) where nothing is deployed."""
        return None

    @abstractmethod
    def new_key(self, seed: int) -> KeyedScheme:
        """Make a fresh key. The key of a seed is the same again where the scheme can do that."""

    def fresh_key(self) -> KeyedScheme:
        """Make a key that nobody can derive: from the operating system's generator."""
        return self.new_key(secrets.randbits(SEED_BITS))

    def read(self, messages: Sequence[Message]) -> PixelArray:
        """Decode messages as a server does: (n, h, w, c), uint8 or float32.

        The default is for ciphertexts that are no pictures: their bytes, folded into that shape.
        """
        return folded(messages, self.shape)

    @property
    def shows_pictures(self) -> bool:
        """Whether messages can be read as pictures: its own ``read`` says how."""
        return type(self).read is not Scheme.read

    @abstractmethod
    def claims(self) -> SecurityClaims:
        """Return what this scheme claims and what it reveals."""


def folded(messages: Sequence[Message], shape: PictureShape) -> UInt8Array:
    """Fold the bytes of ciphertexts into pictures, uint8 (n, h, w, c), from their middle on.

    Shorter ones are repeated: a picture is to look at and to attack, nothing is read from it. An
    empty message is black.
    """
    size = int(np.prod(shape))
    pictures = np.zeros((len(messages), size), np.uint8)
    for picture, message in zip(pictures, messages, strict=True):
        start = max(0, (len(message) - size) // 2)
        picture[:] = np.resize(np.frombuffer(message[start : start + size], np.uint8), size)
    return pictures.reshape(len(messages), *shape)


def encrypted(keyed: KeyedScheme, images: UInt8Array) -> list[Message]:
    """Return the messages of images: one each, all of them bytes. Raises UsageError otherwise."""
    messages = keyed.protect(images)
    if len(messages) != len(images) or not all(isinstance(one, bytes) for one in messages):
        raise UsageError(
            f"protect of {type(keyed).__name__} does not return {len(images)} messages of bytes",
            fix="repair the plug-in: one message of type bytes for each image",
        )
    return messages


def seen(scheme: Scheme, messages: Sequence[Message]) -> PixelArray:
    """Return messages as the scheme reads them, (n, h, w, c). Raises UsageError otherwise.

    An attack that meets anything else fails, and a failed attack looks like a scheme that resists.
    """
    pictures = scheme.read(messages)
    expected = (len(messages), *scheme.shape)
    if (
        not isinstance(pictures, np.ndarray)
        or pictures.shape != expected
        or pictures.dtype not in (np.uint8, np.float32)
        or not np.isfinite(pictures).all()
    ):
        raise UsageError(
            f"read of {type(scheme).__name__} does not return finite uint8 or float32 {expected}",
            fix="repair the plug-in: one picture of the shape of the scheme for each message",
        )
    return pictures


# Names of the schemes whose answer is known; every attack is run on them as well.
OPEN_CONTROL, CLOSED_CONTROLS = "identity", ("noise", "aes_ctr")
CONTROLS = (OPEN_CONTROL, *CLOSED_CONTROLS)
