"""No protection: what the plain pipelines share. Their messages hold the image as it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from he_compare.common.clock import Clock
from he_compare.common.contracts import Deployed, DeployedClient, DeployedScheme, Fitted
from he_compare.common.errors import MessageError
from he_compare.common.run.records import SecurityClaims
from he_compare.common.scheme import KeyedScheme, KeyMoves, PictureShape, Scheme
from he_compare.common.service.parsing import parsed_as_hostile, strict_json
from he_compare.common.service.wire import pack, unpack
from he_compare.common.types import (
    Float64Array,
    Message,
    PixelArray,
    Stage,
    UInt8Array,
)


class PlaintextClient:
    """Sends the image as it is and reads the scores."""

    def protect(self, images: UInt8Array, clock: Clock) -> list[Message]:
        """Pack each image: uint8 (n, size, size, 3) to n messages."""
        with clock.stage(Stage.SERIALIZE, items=len(images)):
            return [pack({"image": image}) for image in images]

    def reveal(self, replies: list[Message], clock: Clock) -> Float64Array:
        """Unpack the scores: float64 (n, k). Raises MessageError."""
        with clock.stage(Stage.DECODE, items=len(replies)):
            return unpack_scores(replies)


def unpack_scores(replies: list[Message]) -> Float64Array:
    """Unpack one reply per image into scores: float64 (n, k). Raises MessageError."""
    if not replies:
        raise MessageError("there are no replies to read scores from")
    rows = [unpack(reply, expect={"scores": ("float32", 1)})[0]["scores"] for reply in replies]
    if len({len(row) for row in rows}) > 1 or not len(rows[0]):
        raise MessageError("replies differ in their number of scores, or have none")
    scores = np.stack(rows).astype(np.float64)
    if not np.isfinite(scores).all():
        raise MessageError("a reply has scores that are no finite numbers")
    return scores


def read_setup(metadata: Mapping[str, str], fields: Mapping[str, type]) -> dict[str, Any]:
    """Return the setup of a plain model from a message's metadata: exactly these fields.

    Raises MessageError.
    """
    if "setup" not in metadata:
        raise MessageError("public material lacks its setup")
    setup = strict_json(metadata["setup"], "the setup in public material")
    if not isinstance(setup, dict) or set(setup) != set(fields):
        raise MessageError(f"the setup in public material is not {', '.join(sorted(fields))}")
    for name, kind in fields.items():
        if type(setup[name]) is not kind:
            raise MessageError(f"{name} in public material is {ascii(setup[name])[:40]}")
    return setup


class PlaintextServer(ABC):
    """Answers messages that hold an image each: the base of servers of plain models.

    ``size``: side in pixels of the images it takes.
    """

    verbs = ("infer",)
    size: int

    @abstractmethod
    def scores(self, images: UInt8Array) -> Float64Array:
        """Return the model's scores (n, k) of images, uint8 (n, size, size, 3)."""

    def infer(self, messages: list[Message], clock: Clock) -> list[Message]:
        """Classify images. Raises MessageError on anything that is no image of the right size."""
        if not messages:
            return []
        with clock.stage(Stage.DESERIALIZE, items=len(messages)), parsed_as_hostile("an image"):
            images = np.stack([self._read(message) for message in messages])
        with clock.stage(Stage.EVALUATE, items=len(messages)):
            scores = self.scores(images)
        with clock.stage(Stage.SERIALIZE, items=len(messages)):
            return [pack({"scores": row.astype(np.float32)}) for row in scores]

    def _read(self, message: Message) -> UInt8Array:
        image: UInt8Array = unpack(message, expect={"image": ("uint8", 3)})[0]["image"]
        if image.shape != (self.size, self.size, 3):
            raise MessageError(f"image has shape {image.shape}, expected {self.size} px, colour")
        return image


class FittedWithoutProtection(Fitted):
    """A plain model: it claims nothing, and its server sees the images."""

    def claims(self) -> SecurityClaims:
        """Claim nothing."""
        return SecurityClaims(
            scheme="none",
            protects="nothing: the server receives the image",
            claim_type="none",
            deterministic=True,
            preserves=["everything"],
            server_learns=["the image", "the scores", "the model"],
            server_learns_class=True,
        )

    def protected_picture(self, images: UInt8Array) -> UInt8Array:
        """Return the images: the server sees them."""
        return images

    def scheme(self, deployed: Deployed, shape: PictureShape) -> Scheme:
        """Return the messages as what they are: images."""
        return PlainScheme(deployed, shape)


class PlainClient(DeployedClient):
    """A client without a key, for the harness."""

    def __init__(self, client: PlaintextClient, shape: PictureShape) -> None:
        super().__init__(client)
        self._size = int(np.prod(shape))

    def moves(self) -> KeyMoves:
        """Every value is where it was."""
        return KeyMoves(np.arange(self._size), np.zeros(self._size, np.bool_))


class PlainScheme(DeployedScheme):
    """Images sent as they are; there is no key."""

    name = "plaintext"

    def own_key(self) -> KeyedScheme:
        """Return the client of the run."""
        return PlainClient(PlaintextClient(), self.shape)

    def new_key(self, seed: int) -> KeyedScheme:
        """There is no key: the client is the same."""
        return PlainClient(PlaintextClient(), self.shape)

    def read(self, messages: Sequence[Message]) -> PixelArray:
        """Unpack the images. Raises MessageError."""
        read = [unpack(message, expect={"image": ("uint8", 3)})[0]["image"] for message in messages]
        return np.stack(read) if read else np.empty((0, *self.shape), np.uint8)
