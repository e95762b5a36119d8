"""One key for all images of a client, or one for each image: who gets which key, batch by batch.

``per_client`` is what training on ciphertext needs. ``per_image`` derives each image's key from the
client's and a nonce that travels with the ciphertext. The nonce is synthetic (the idea of SIV,
RFC 5297): an HMAC of the image. It cannot be reused for two different images, needs no memory of
past nonces, makes runs repeatable, and lets decryption notice a wrong key or an altered ciphertext;
the price is that equal images still get equal ciphertexts. Ciphers whose traits ask for
``fresh_nonces`` get random ones from the operating system instead, under either policy and also
under keys made from a seed: a stream of nonces would begin again with every encryptor, and the XOR
of two ciphertexts of ``aes_ctr`` under one nonce is that of the images.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, Protocol, cast

import numpy as np

from he_compare.block_scramble.cipher import Cipher
from he_compare.block_scramble.engine.shapes import ImageShape, check_images
from he_compare.block_scramble.keyed_cipher import (
    NONCE_BYTES,
    CiphertextArray,
    KeyedCipher,
    NoncedCipher,
    random_nonce,
)
from he_compare.block_scramble.keys.client_key import ClientKey
from he_compare.common.errors import MessageError, UsageError
from he_compare.common.secrecy import KeptInProcess
from he_compare.common.types import UInt8Array


class KeyPolicy(StrEnum):
    """How many images share a key."""

    PER_CLIENT = "per_client"
    PER_IMAGE = "per_image"


class Encryptor(Protocol):
    """Encrypts batches; ``nonces`` has one entry per image, or is empty where there are none."""

    def encrypt(self, images: UInt8Array) -> tuple[CiphertextArray, tuple[bytes, ...]]:
        """Encrypt uint8 (n, h, w, c). Raises UsageError on another shape."""
        ...

    def decrypt(self, ciphertexts: CiphertextArray, nonces: Sequence[bytes]) -> UInt8Array:
        """Invert ``encrypt``. Raises MessageError on nonces that do not fit."""
        ...


class PerClientEncryptor(KeptInProcess):
    """All images under one key."""

    def __init__(self, keyed: KeyedCipher) -> None:
        self.keyed = keyed

    def encrypt(self, images: UInt8Array) -> tuple[CiphertextArray, tuple[bytes, ...]]:
        """Encrypt uint8 (n, h, w, c); there are no nonces."""
        return self.keyed.encrypt(images), ()

    def decrypt(self, ciphertexts: CiphertextArray, nonces: Sequence[bytes] = ()) -> UInt8Array:
        """Decrypt (n, h, w, c) to uint8. Raises MessageError where a nonce is given."""
        if nonces:
            raise MessageError("the ciphertext has a nonce, this key has policy per_client")
        return self.keyed.decrypt(ciphertexts)


class PerImageEncryptor(KeptInProcess):
    """Each image under a key of its own, derived from its nonce."""

    def __init__(self, cipher: Cipher, parameters: Any, shape: ImageShape, key: ClientKey) -> None:
        self._cipher = cipher
        self._parameters = parameters
        self._shape = shape
        self._key = key

    def encrypt(self, images: UInt8Array) -> tuple[CiphertextArray, tuple[bytes, ...]]:
        """Encrypt uint8 (n, h, w, c); one nonce of 16 bytes per image."""
        check_images(images, self._shape)
        nonces = tuple(self._nonce(image) for image in images)
        ciphertexts = np.empty(images.shape, self._cipher.traits.ciphertext)
        for i, nonce in enumerate(nonces):
            ciphertexts[i] = self._keyed(nonce).encrypt(images[i : i + 1])[0]
        return ciphertexts, nonces

    def decrypt(self, ciphertexts: CiphertextArray, nonces: Sequence[bytes]) -> UInt8Array:
        """Decrypt (n, h, w, c) to uint8. Raises MessageError on a missing or wrong nonce or key."""
        check_count(ciphertexts, nonces)
        images = np.empty((len(nonces), *self._shape), np.uint8)
        for i, nonce in enumerate(nonces):
            images[i] = self._keyed(nonce).decrypt(ciphertexts[i : i + 1])[0]
            if not hmac.compare_digest(self._nonce(images[i]), nonce):
                raise MessageError(
                    f"nonce of ciphertext {i} does not fit: wrong key, a nonce of another "
                    "ciphertext, or a ciphertext that was altered"
                )
        return images

    def _nonce(self, image: UInt8Array) -> bytes:
        return self._key.tag(image.tobytes(), self._cipher.name, "nonce")[:NONCE_BYTES]

    def _keyed(self, nonce: bytes) -> KeyedCipher:
        return self._cipher.prepare(image_key(self._key, nonce), self._parameters, self._shape)


class FreshNonceEncryptor(KeptInProcess):
    """Every encryption under a new random nonce, for ciphers that keep their promise only so.

    Under ``per_image`` the nonce also derives a key of its own. There is no tag: a wrong key or an
    altered ciphertext is not noticed.
    """

    def __init__(
        self, prepare: Callable[[bytes], KeyedCipher], draw_nonce: Callable[[], bytes]
    ) -> None:
        """``prepare``: the keyed cipher for a nonce; it has to be a ``NoncedCipher``."""
        self._prepare = prepare
        self._draw = draw_nonce

    def encrypt(self, images: UInt8Array) -> tuple[CiphertextArray, tuple[bytes, ...]]:
        """Encrypt uint8 (n, h, w, c); one nonce of 16 bytes per image."""
        nonces = tuple(self._draw() for _ in images)
        ciphertexts = [
            self._keyed(nonce).encrypt_under(images[i : i + 1], [nonce])
            for i, nonce in enumerate(nonces)
        ]
        return (np.concatenate(ciphertexts) if ciphertexts else images.copy()), nonces

    def decrypt(self, ciphertexts: CiphertextArray, nonces: Sequence[bytes]) -> UInt8Array:
        """Decrypt (n, h, w, c) to uint8. Raises MessageError on missing or repeated nonces."""
        check_count(ciphertexts, nonces)
        if len(set(nonces)) < len(nonces):
            raise MessageError("two ciphertexts have the same nonce, which is drawn only once")
        images = [
            self._keyed(nonce).decrypt_under(ciphertexts[i : i + 1], [nonce])
            for i, nonce in enumerate(nonces)
        ]
        return np.concatenate(images) if images else ciphertexts.copy()

    def _keyed(self, nonce: bytes) -> NoncedCipher:
        return cast(NoncedCipher, self._prepare(nonce))


def check_count(ciphertexts: CiphertextArray, nonces: Sequence[bytes]) -> None:
    """Raise MessageError unless there is a nonce of the right length for each ciphertext."""
    if len(nonces) != len(ciphertexts):
        raise MessageError(f"{len(ciphertexts)} ciphertexts came with {len(nonces)} nonces")
    for i, nonce in enumerate(nonces):
        if len(nonce) != NONCE_BYTES:
            raise MessageError(f"nonce of ciphertext {i} has {len(nonce)} bytes, not {NONCE_BYTES}")


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
    draw_nonce: Callable[[], bytes] = random_nonce,
) -> Encryptor:
    """Prepare a cipher under a key and policy; ``sequence`` as in ``Cipher.prepare``.

    ``draw_nonce``: for tests that must know the nonces; it must never return one twice under a key.
    Raises UsageError where parameters, shape and policy do not fit together.
    """
    check_policy(cipher, policy)
    keyed = cipher.prepare(key, parameters, shape, sequence=sequence)
    per_client = policy is KeyPolicy.PER_CLIENT

    def keyed_for(nonce: bytes) -> KeyedCipher:
        return keyed if per_client else cipher.prepare(image_key(key, nonce), parameters, shape)

    if cipher.traits.fresh_nonces:
        return FreshNonceEncryptor(keyed_for, draw_nonce)
    if per_client:
        return PerClientEncryptor(keyed)
    return PerImageEncryptor(cipher, parameters, shape, key)


def image_key(key: ClientKey, nonce: bytes) -> ClientKey:
    """Return the key of the image that has this nonce."""
    return key.subkey("image", nonce.hex())
