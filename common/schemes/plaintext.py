"""No protection, as an audit sees it: the messages of the plain pipelines hold the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from common.adversary import ImageShape, KeyMoves, Models
from common.clock import Clock
from common.errors import UsageError
from common.records import SecurityClaims
from common.types import Message, PixelArray, Side, UInt8Array
from common.wire import unpack

PIPELINES = ("plaintext", "convnet")
NO_KEY = "there is no key"


@dataclass(frozen=True)
class PlainScheme:
    """Sends images as they are; scheme and keyed scheme in one."""

    shape: ImageShape
    name: str = "plaintext"
    adaptable: str = NO_KEY

    @property
    def parameters(self) -> Mapping[str, Any]:
        """There are none."""
        return {}

    def new_key(self, seed: int) -> PlainScheme:
        """There is no key."""
        return self

    def protect(self, images: UInt8Array) -> list[Message]:
        """Pack uint8 (n, h, w, c) as the plain pipelines do."""
        from common.pipelines.plaintext import PlaintextClient

        return PlaintextClient().protect(images, Clock(Side.CLIENT))

    def read(self, messages: Sequence[Message]) -> PixelArray:
        """Unpack the images. Raises MessageError."""
        read = [unpack(message, expect={"image": ("uint8", 3)})[0]["image"] for message in messages]
        return np.stack(read) if read else np.empty((0, *self.shape), np.uint8)

    def moves(self) -> KeyMoves:
        """Every value is where it was."""
        size = int(np.prod(self.shape))
        return KeyMoves(np.arange(size), np.zeros(size, np.bool_))

    def adapted(self, rows: npt.NDArray[np.float64], positions: npt.NDArray[np.float64]) -> Models:
        """Raise UsageError: there is no key to absorb."""
        raise UsageError(NO_KEY)

    def claims(self) -> SecurityClaims:
        """Claim nothing."""
        return SecurityClaims(
            scheme="none", protects="nothing: the server receives the image", claim_type="none"
        )


class PlainSchemes:
    """The pipelines that protect nothing."""

    name = "plaintext"

    def of_cipher(self, name: str, options: Mapping[str, Any], shape: ImageShape) -> None:
        """None: there is no cipher here."""
        return

    def of_pipeline(
        self, pipeline: str, parameters: Any, shape: ImageShape, backbone: str
    ) -> PlainScheme | None:
        """Return the plain scheme for the plain pipelines."""
        return PlainScheme(shape) if pipeline in PIPELINES else None


SCHEMES = PlainSchemes()
