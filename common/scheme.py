"""What is attacked: a scheme without a key, and under one client's key; the controls by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from he_compare.common.run.records import SecurityClaims
from he_compare.common.types import Message, PixelArray, UInt8Array

BoolArray: TypeAlias = npt.NDArray[np.bool_]

ImageShape: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True, repr=False)
class KeyMoves:
    """Key material of a cipher that moves values and negates some: sealed truth, never recorded.

    Flat unit t of a ciphertext is plain unit ``index[t]``, taken as ``top - v`` where
    ``negated[t]``. Units are the values of an image in the order row, column, channel (top 255), or
    with ``nibbles`` their low 4-bit halves followed by their high ones (top 15).
    """

    index: npt.NDArray[np.intp]
    negated: BoolArray
    nibbles: bool = False


class KeyedScheme(Protocol):
    """A scheme under one client's key."""

    def protect(self, images: UInt8Array) -> list[Message]:
        """Turn uint8 (n, h, w, c) into the n messages that leave the client."""
        ...

    def moves(self) -> KeyMoves | None:
        """Return the key as moves of values, or None where it is nothing of the kind."""
        ...

    def adapted(self, rows: npt.NDArray[np.float64], positions: npt.NDArray[np.float64]) -> Models:
        """Return a patch embedding, rows (v, width) and positions (n, width), made for this key.

        Raises UsageError where no embedding can absorb it.
        """
        ...


class Scheme(Protocol):
    """What is attacked, without a key: public by Kerckhoffs.

    ``name``: of the cipher or pipeline. ``parameters``: as resolved. ``shape``: (h, w, c) of images
    and pictures of ciphertexts. ``adaptable``: why no model can absorb a key, '' where one can.
    """

    @property
    def name(self) -> str: ...

    @property
    def parameters(self) -> Mapping[str, Any]: ...

    @property
    def shape(self) -> ImageShape: ...

    @property
    def adaptable(self) -> str: ...

    def new_key(self, seed: int) -> KeyedScheme:
        """Make the key of a seed: reproducible, for experiments only."""
        ...

    def read(self, messages: Sequence[Message]) -> PixelArray:
        """Decode messages as a server does: (n, h, w, c), uint8 or float32.

        A scheme whose ciphertexts are no pictures returns its bytes, folded into that shape.
        """
        ...

    def claims(self) -> SecurityClaims:
        """Return what this scheme claims and gives away."""
        ...


@dataclass(frozen=True)
class Models:
    """The patch embedding before and after adaptation: rows (v, width) and (k, v, width)."""

    plain_rows: npt.NDArray[np.float64]
    deployed_rows: npt.NDArray[np.float32]
    plain_positions: npt.NDArray[np.float64]
    deployed_positions: npt.NDArray[np.float64]
    nibbles: bool


# Names of the schemes whose answer is known; every attack is run on them as well.
OPEN_CONTROL, CLOSED_CONTROLS = "identity", ("noise", "aes_ctr")

CONTROLS = (OPEN_CONTROL, *CLOSED_CONTROLS)
