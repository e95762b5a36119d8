"""The hospital's half of encrypted inference: features in the clear, encrypted before they leave.

``FeatureClient`` is the client of every pipeline here that evaluates a linear head; what differs is
how features are prepared and how they are encrypted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from he_compare.common.clock import Clock
from he_compare.common.types import Float32Array, Float64Array, Message, Stage, UInt8Array

Extractor = Callable[[UInt8Array], Float32Array]
Prepare = Callable[[Float32Array], Float64Array]


class FeatureEncryption(Protocol):
    """Encrypts prepared features and decrypts scores; holds the secret key."""

    def protect(self, features: Float64Array, clock: Clock) -> list[Message]:
        """Encrypt prepared features (n, width) into n messages."""
        ...

    def reveal(self, replies: list[Message], clock: Clock) -> Float64Array:
        """Decrypt n replies into scores (n, classes). Raises MessageError."""
        ...


class FeatureClient:
    """Holds backbone, preparation and secret key; features never leave it unencrypted."""

    def __init__(
        self, extractor: Extractor, prepare: Prepare, encryption: FeatureEncryption, classes: int
    ) -> None:
        self._extractor = extractor
        self._prepare = prepare
        self.encryption = encryption
        self._classes = classes

    def protect(self, images: UInt8Array, clock: Clock) -> list[Message]:
        """Run the DeiT on uint8 (n, size, size, 3), prepare and encrypt: n messages."""
        if not len(images):
            return []
        with clock.stage(Stage.FEATURES, items=len(images)):
            features = self._prepare(self._extractor(images))
        return self.encryption.protect(features, clock)

    def reveal(self, replies: list[Message], clock: Clock) -> Float64Array:
        """Decrypt scores (logits), float64 (n, classes). Raises MessageError."""
        if not replies:
            return np.zeros((0, self._classes))
        return self.encryption.reveal(replies, clock)
