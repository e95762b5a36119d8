"""One key for all images of a client, or one for each image: who gets which key, batch by batch.

``per_client`` is what training on ciphertext needs. ``per_image`` derives each image's key from the
client's and a nonce that travels with the ciphertext. The nonce is synthetic (the idea of SIV,
RFC 5297): an HMAC of the image. It cannot be reused for two different images, needs no memory of
past nonces, makes runs repeatable, and lets decryption notice a wrong key or an altered ciphertext;
the price is that equal images still get equal ciphertexts.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Protocol

import numpy as np

from block_scramble.cipher import Cipher, ImageShape, KeyedCipher, check_images
from block_scramble.keys import ClientKey
from common.errors import MessageError, UsageError
from common.types import UInt8Array

NONCE_BYTES = 16


class KeyPolicy(StrEnum):
    """How many images share a key."""

    PER_CLIENT = "per_client"
    PER_IMAGE = "per_image"


class Encryptor(Protocol):
    """Encrypts batches; ``nonces`` has one entry per image, or is empty where there are none."""

    def encrypt(self, images: UInt8Array) -> tuple[UInt8Array, tuple[bytes, ...]]:
        """Encrypt uint8 (n, h, w, c). Raises UsageError on another shape."""
        ...

    def decrypt(self, ciphertexts: UInt8Array, nonces: Sequence[bytes]) -> UInt8Array:
        """Invert ``encrypt``. Raises MessageError on nonces that do not fit."""
        ...


class PerClientEncryptor:
    """All images under one key."""

    def __init__(self, keyed: KeyedCipher) -> None:
        self.keyed = keyed

    def encrypt(self, images: UInt8Array) -> tuple[UInt8Array, tuple[bytes, ...]]:
        """Encrypt uint8 (n, h, w, c); there are no nonces."""
        return self.keyed.encrypt(images), ()

    def decrypt(self, ciphertexts: UInt8Array, nonces: Sequence[bytes] = ()) -> UInt8Array:
        """Decrypt uint8 (n, h, w, c). Raises MessageError where a nonce is given."""
        if nonces:
            raise MessageError("the ciphertext has a nonce, this key has policy per_client")
        return self.keyed.decrypt(ciphertexts)


class PerImageEncryptor:
    """Each image under a key of its own, derived from its nonce."""

    def __init__(self, cipher: Cipher, parameters: Any, shape: ImageShape, key: ClientKey) -> None:
        self._cipher = cipher
        self._parameters = parameters
        self._shape = shape
        self._key = key

    def encrypt(self, images: UInt8Array) -> tuple[UInt8Array, tuple[bytes, ...]]:
        """Encrypt uint8 (n, h, w, c); one nonce of 16 bytes per image."""
        check_images(images, self._shape)
        nonces = tuple(self._nonce(image) for image in images)
        ciphertexts = np.empty(images.shape, np.uint8)
        for i, nonce in enumerate(nonces):
            ciphertexts[i] = self._keyed(nonce).encrypt(images[i : i + 1])[0]
        return ciphertexts, nonces

    def decrypt(self, ciphertexts: UInt8Array, nonces: Sequence[bytes]) -> UInt8Array:
        """Decrypt uint8 (n, h, w, c). Raises MessageError on a missing or wrong nonce or key."""
        check_images(ciphertexts, self._shape)
        if len(nonces) != len(ciphertexts):
            raise MessageError(f"{len(ciphertexts)} ciphertexts came with {len(nonces)} nonces")
        images = np.empty(ciphertexts.shape, np.uint8)
        for i, nonce in enumerate(nonces):
            images[i] = self._keyed(nonce).decrypt(ciphertexts[i : i + 1])[0]
            if not hmac.compare_digest(self._nonce(images[i]), nonce):
                raise MessageError(
                    f"nonce of ciphertext {i} does not fit: wrong key, or ciphertext was altered"
                )
        return images

    def _nonce(self, image: UInt8Array) -> bytes:
        return self._key.tag(image.tobytes(), self._cipher.name, "nonce")[:NONCE_BYTES]

    def _keyed(self, nonce: bytes) -> KeyedCipher:
        key = self._key.subkey("image", nonce.hex())
        return self._cipher.prepare(key, self._parameters, self._shape)


def check_policy(cipher: Cipher, policy: KeyPolicy) -> None:
    """Raise UsageError where a cipher without a key is asked for one key per image."""
    if policy is KeyPolicy.PER_IMAGE and not cipher.traits.keyed:
        raise UsageError(
            f"cipher {cipher.name!r} has no key, so there is none for each image",
            fix="pass key_policy=per_client",
        )


def make_encryptor(
    cipher: Cipher,
    parameters: Any,
    shape: ImageShape,
    key: ClientKey,
    policy: KeyPolicy,
    *,
    sequence: str = "",
) -> Encryptor:
    """Prepare a cipher under a key and policy; ``sequence`` as in ``Cipher.prepare``.

    Raises UsageError where parameters, shape and policy do not fit together.
    """
    check_policy(cipher, policy)
    keyed = cipher.prepare(key, parameters, shape, sequence=sequence)
    if policy is KeyPolicy.PER_CLIENT:
        return PerClientEncryptor(keyed)
    return PerImageEncryptor(cipher, parameters, shape, key)
