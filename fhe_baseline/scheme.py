"""Encrypted features as an audit attacks them: attacks on images meet the bytes of ciphertexts."""

from __future__ import annotations

import hashlib
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np

from he_compare.common.clock import Clock
from he_compare.common.contracts import Client, Deployed, DeployedClient, DeployedScheme
from he_compare.common.scheme import KeyedScheme, PictureShape
from he_compare.common.types import Float32Array, Message, Side, UInt8Array
from he_compare.fhe_baseline.feature_client import Extractor

MOST_KNOWN = 4096

_known: dict[tuple[str, bytes], Float32Array] = {}


class EncryptedFeatures(DeployedScheme):
    """The client's ciphertexts, and those of the same fitted head under fresh keys."""

    name = "encrypted features"

    def __init__(self, deployed: Deployed, shape: PictureShape) -> None:
        super().__init__(deployed, shape)
        fitted: Any = copy(deployed.fitted)
        fitted.extractor = RememberingExtractor(fitted.extractor)
        self._fresh = replace(deployed, fitted=fitted)
        self._in_batches = fitted.plan is not None and fitted.plan.packing.in_batches

    @property
    def in_batches(self) -> bool:
        """Whether one ciphertext holds many images."""
        return self._in_batches

    def own_key(self) -> KeyedScheme:
        """Return the client of the run."""
        return OneByOne(self.deployed.deployment.client)

    def new_key(self, seed: int) -> KeyedScheme:
        """Deploy again: keys are the operating system's, the seed does not choose them."""
        return OneByOne(self._fresh.again().client)


class OneByOne(DeployedClient):
    """A client that is handed one image at a time.

    A packing that puts many images into one ciphertext then sends a whole one for each.
    """

    def __init__(self, client: Client) -> None:
        super().__init__(client)

    def protect(self, images: UInt8Array) -> list[Message]:
        """Encrypt uint8 (n, h, w, c): n messages."""
        clock = Clock(Side.CLIENT)
        return [message for image in images for message in self.client.protect(image[None], clock)]


class RememberingExtractor:
    """Looks once at images that several attacks encrypt."""

    def __init__(self, extractor: Extractor) -> None:
        self._extractor = extractor
        self._weights = str(getattr(extractor, "weights_sha256", id(extractor)))

    def __call__(self, images: UInt8Array) -> Float32Array:
        """Extract features (n, width)."""
        keys = [(self._weights, hashlib.sha256(image.tobytes()).digest()) for image in images]
        new = [place for place, key in enumerate(keys) if key not in _known]
        if len(_known) + len(new) > MOST_KNOWN:
            _known.clear()
            new = list(range(len(images)))
        if new:
            rows = self._extractor(images[new])
            _known.update({keys[place]: row for place, row in zip(new, rows, strict=True)})
        return np.stack([_known[key] for key in keys])
