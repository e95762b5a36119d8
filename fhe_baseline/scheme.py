"""Encrypted features as a scheme: attacks on images meet the ciphertext bytes of these pipelines.

The negative control on this side: features of the images are encrypted under a fresh key for a
nominal head, and the bytes, folded into the shape of a picture, are all there is to read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from he_compare.common.backbones.catalog import find_backbone
from he_compare.common.backbones.head import CLIP, LinearModel
from he_compare.common.backbones.weights import SHIPPED, SHIPPED_FOLDER, UNTRAINED
from he_compare.common.clock import Clock
from he_compare.common.errors import UsageError
from he_compare.common.run.records import SecurityClaims
from he_compare.common.scheme import ImageShape, KeyMoves, Models
from he_compare.common.types import Float64Array, Message, PixelArray, Side, UInt8Array

if TYPE_CHECKING:
    from he_compare.common.backbones.features import FeatureExtractor
    from he_compare.fhe_baseline.ckks.inference import Plan


def as_pictures(messages: Sequence[Message], shape: tuple[int, int, int]) -> UInt8Array:
    """Fold the bytes of ciphertexts into pictures, uint8 (n, h, w, c), from their middle on.

    Shorter ones are repeated: a picture is to look at and to attack, nothing is read from it.
    """
    size = int(np.prod(shape))
    pictures = np.zeros((len(messages), size), np.uint8)
    for picture, message in zip(pictures, messages, strict=True):
        start = max(0, (len(message) - size) // 2)
        picture[:] = np.resize(np.frombuffer(message[start : start + size], np.uint8), size)
    return pictures.reshape(len(messages), *shape)


CKKS_HEAD, CKKS_TRAINED, TFHE_HEAD = "fhe-head", "fhe-train", "fhe-tfhe"
NO_EMBEDDING = "ciphertexts are no pixels: no patch embedding can absorb a key"
PACKING = "replicated"
MOST_KNOWN = 4096


@dataclass(frozen=True, repr=False)
class KeyedCiphertexts:
    """One client with its secret key."""

    encryption: Any
    prepare: Callable[[UInt8Array], Float64Array]

    def protect(self, images: UInt8Array) -> list[Message]:
        """Extract features of uint8 (n, h, w, c) and encrypt them: n messages."""
        if not len(images):
            return []
        messages: list[Message] = self.encryption.protect(self.prepare(images), Clock(Side.CLIENT))
        return messages

    def moves(self) -> KeyMoves | None:
        """None: nothing of the image is moved, it is not there."""
        return None

    def adapted(self, rows: npt.NDArray[np.float64], positions: npt.NDArray[np.float64]) -> Models:
        """Raise UsageError: no embedding absorbs a key."""
        raise UsageError(NO_EMBEDDING)


@dataclass(frozen=True)
class CiphertextScheme:
    """What a pipeline sends, without a key."""

    name: str
    shape: ImageShape
    backbone: str
    width: int
    parameters: Mapping[str, Any] = field(default_factory=dict)
    adaptable: str = NO_EMBEDDING

    def new_key(self, seed: int) -> KeyedCiphertexts:
        """Make a key from the operating system's generator: the seed cannot choose it."""
        return KeyedCiphertexts(self._client(), self._prepare)

    def read(self, messages: Sequence[Message]) -> PixelArray:
        """Fold bytes of each message into a picture."""
        return as_pictures(messages, self.shape)

    def claims(self) -> SecurityClaims:
        """Return what the encryption claims of the images."""
        from he_compare.fhe_baseline.ckks.claims import key_space

        return SecurityClaims(
            scheme="TFHE" if self.name == TFHE_HEAD else "CKKS",
            key_space=None if self.name == TFHE_HEAD else key_space(self._plan().parameters),
            protects="the image and its features are hidden from an honest-but-curious server",
            claim_type="reduction to a hardness assumption",
            assumption="LWE" if self.name == TFHE_HEAD else "decision RLWE",
            deterministic=False,
        )

    def _prepare(self, images: UInt8Array) -> Float64Array:
        features = _features(self.backbone, self.shape[0], images)
        return np.clip(features[:, : self.width], -CLIP, CLIP)

    def _model(self) -> LinearModel:
        row = np.random.default_rng(0).normal(size=(1, self.width)) / np.sqrt(self.width)
        return LinearModel(np.vstack([-row, row]) / 2, np.zeros(2))

    def _plan(self) -> Plan:
        from he_compare.fhe_baseline.ckks.inference import make_plan

        return make_plan(self._model(), PACKING, "auto")

    def _client(self) -> Any:
        if self.name == TFHE_HEAD:
            from he_compare.fhe_baseline.tfhe.inference import deploy_head
            from he_compare.fhe_baseline.tfhe.quantised import quantise_head

            ends = np.array([[-CLIP] * self.width, [CLIP] * self.width])
            quantised = quantise_head(self._model(), ends, int(self.parameters["n_bits"]))
            return deploy_head(quantised, Clock(Side.CLIENT)).client
        plan = self._plan()
        return plan.packing.make_client(plan.parameters, plan.model)


_known: dict[tuple[str, bytes], Float64Array] = {}


def _features(backbone: str, size: int, images: UInt8Array) -> Float64Array:
    """Extract features (n, width); images that several attacks encrypt are looked at once."""
    keys = [(backbone, hashlib.sha256(image.tobytes()).digest()) for image in images]
    new = [place for place, key in enumerate(keys) if key not in _known]
    if len(_known) + len(new) > MOST_KNOWN:
        _known.clear()
        new = list(range(len(images)))
    if new:
        rows = _extractor(backbone, size)(images[new]).astype(np.float64)
        _known.update({keys[place]: row for place, row in zip(new, rows, strict=True)})
    return np.stack([_known[key] for key in keys])


@lru_cache(maxsize=1)
def _extractor(backbone: str, size: int) -> FeatureExtractor:
    from he_compare.common.backbones.features import FeatureExtractor

    ships = (SHIPPED_FOLDER / f"{backbone}.safetensors").is_file()
    return FeatureExtractor(backbone, size, SHIPPED if ships else UNTRAINED, 0, 1)


class CiphertextSchemes:
    """The homomorphic pipelines whose client sends one message an image."""

    name = "ciphertexts"

    def of_cipher(self, name: str, options: Mapping[str, Any], shape: ImageShape) -> None:
        """None: no cipher on images is here."""
        return

    def of_pipeline(
        self, pipeline: str, parameters: Any, shape: ImageShape, backbone: str
    ) -> CiphertextScheme | None:
        """Return what a pipeline sends; None for any other, and where its library is missing."""
        from he_compare.fhe_baseline.pipelines import fhe_head, fhe_tfhe

        width = find_backbone(backbone).width
        if pipeline == CKKS_HEAD and fhe_head.PIPELINE.availability().available:
            return CiphertextScheme(pipeline, shape, backbone, width, {"packing": PACKING})
        if pipeline == CKKS_TRAINED and fhe_head.PIPELINE.availability().available:
            kept = min(width, parameters.whiten - 1) if parameters.whiten > 1 else width
            return CiphertextScheme(pipeline, shape, backbone, kept, {"packing": PACKING})
        if pipeline == TFHE_HEAD and fhe_tfhe.PIPELINE.availability().available:
            bits = {"n_bits": parameters.n_bits}
            kept = min(width, parameters.whiten or width)
            return CiphertextScheme(pipeline, shape, backbone, kept, bits)
        return None


SCHEMES = CiphertextSchemes()
