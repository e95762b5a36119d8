"""What every fitted pipeline here is: a linear head on features that leave the client encrypted."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from he_compare.common.contracts import Deployed, Fitted, Twin, Work
from he_compare.common.identity import array_digest
from he_compare.common.scheme import PictureShape, Scheme
from he_compare.common.types import FheMode, Float32Array, Float64Array, UInt8Array
from he_compare.fhe_baseline.feature_client import Extractor
from he_compare.fhe_baseline.scheme import EncryptedFeatures

if TYPE_CHECKING:
    from he_compare.common.backbones.head import LinearModel
    from he_compare.fhe_baseline.ckks.inference import Plan


def clear_twin(inverse_l2: float | None = None, differs: str = "") -> Twin:
    """Return the clear head on the same features: the twin of every pipeline here.

    ``inverse_l2``: its C; None: the default.
    """
    strength = {} if inverse_l2 is None else {"C": inverse_l2}
    return Twin("plaintext", {"model": "logistic", **strength}, differs)


def last_layer_work(trained_by: str, owner: str, *, trains: bool = False) -> Work:
    """Say who computes what where the server has the last layer only; ``trains``: that as well."""
    verb = "trains and evaluates" if trains else "evaluates"
    return Work(
        hospital="runs the image network, encrypts its features, decrypts the scores",
        server=f"{verb} the last layer, on ciphertexts",
        head_trained_by=trained_by,
        head_owner=owner,
    )


class FittedOnFeatures(Fitted):
    """Base class. ``plan``: how CKKS evaluates the head; None where it is not CKKS that does."""

    extractor: Extractor
    plan: Plan | None
    fhe_mode = FheMode.EXECUTE
    _extracted: tuple[str, Float32Array] | None = None

    @property
    @abstractmethod
    def model(self) -> LinearModel:
        """The head, in the clear: what an attacker would like to have."""

    @abstractmethod
    def prepared(self, features: Float32Array) -> Float64Array:
        """Turn features (n, width) into what is encrypted, float64 (n, kept)."""

    def features(self, images: UInt8Array) -> Float32Array:
        """Return features (n, width) of uint8 (n, h, w, 3), extracted apart from the client's.

        Those of the last images are kept: several clear models are asked about the same ones.
        """
        digest = array_digest(images)
        if self._extracted is None or self._extracted[0] != digest:
            self._extracted = (digest, self.extractor(images))
        return self._extracted[1]

    def inputs(self, images: UInt8Array) -> Float64Array:
        """Return what is encrypted of uint8 (n, h, w, 3): float64 (n, kept)."""
        return self.prepared(self.features(images))

    def scheme(self, deployed: Deployed, shape: PictureShape) -> Scheme:
        """Return the ciphertexts of features as deployed."""
        return EncryptedFeatures(deployed, shape)
