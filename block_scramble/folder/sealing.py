"""One cipher under one key for images of any size: prepared anew for each shape, padded to blocks.

Every ciphertext is decrypted again and compared before it leaves, so what was encrypted here comes
back with the same pixels or the call says why not.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from secrets import token_hex
from typing import Any, cast

import numpy as np

from he_compare.block_scramble.cipher import Cipher, cipher_parameters
from he_compare.block_scramble.encryptor import Encryptor, KeyPolicy, check_policy, make_encryptor
from he_compare.block_scramble.engine.blocks import crop, pad, padded_shape
from he_compare.block_scramble.engine.shapes import ImageShape
from he_compare.block_scramble.keyed_cipher import CiphertextArray
from he_compare.block_scramble.keys.client_key import ClientKey
from he_compare.common import plugins
from he_compare.common.contracts import Parameters
from he_compare.common.errors import IntegrityError, MessageError, UnknownNameError, UsageError
from he_compare.common.plugins import nearest
from he_compare.common.types import UInt8Array

POLICY_OPTION = "key_policy"
PREPARED_SHAPES = 4


class FolderChoice:
    """A cipher with its options and key policy, before there is a key."""

    def __init__(self, cipher: str, options: Mapping[str, Any]) -> None:
        """Raise UsageError or UnknownNameError where they do not exist or do not fit together."""
        rest = dict(options)
        self.policy = _policy(rest.pop(POLICY_OPTION, KeyPolicy.PER_CLIENT.value))
        self.cipher = cast(Cipher, plugins.load("ciphers", cipher))
        self.parameters: Parameters = cipher_parameters(self.cipher, rest)
        check_policy(self.cipher, self.policy)

    @property
    def block(self) -> int:
        """Side of a block in pixels; 1 where the cipher has no blocks."""
        return int(getattr(self.parameters, "patch", 1))

    @property
    def ciphertext(self) -> str:
        """Type of the values of a ciphertext."""
        return self.cipher.traits.ciphertext

    def check_size(self, height: int, width: int, name: str) -> None:
        """Raise UsageError that names an image smaller than a block."""
        if min(height, width) < self.block:
            raise UsageError(
                f"image {name} has {width} x {height} pixels, "
                f"a block of {self.cipher.name!r} has {self.block} per side",
                fix="pass a smaller patch, leave the image out, or resize all with --size",
            )

    def ciphertext_shape(self, shape: ImageShape) -> ImageShape:
        """Return the shape of the ciphertext of an image: whole blocks."""
        return padded_shape(shape, self.block)


def _policy(value: Any) -> KeyPolicy:
    known = [policy.value for policy in KeyPolicy]
    if value not in known:
        raise UnknownNameError(f"unknown {POLICY_OPTION} {value!r}", fix=nearest(str(value), known))
    return KeyPolicy(value)


class FolderCipher:
    """Encrypts and decrypts single images of any shape; may be called from several threads."""

    def __init__(self, choice: FolderChoice, client_key: ClientKey) -> None:
        """The key of folders is derived from ``client_key``, apart from those of runs."""
        self.choice = choice
        self._key = client_key.subkey("folder")
        # A prepared cipher of a large image takes a hundred bytes a value: only a few are kept.
        self._prepared = lru_cache(PREPARED_SHAPES)(self._prepare)

    def _prepare(self, shape: ImageShape) -> Encryptor:
        choice = self.choice
        return make_encryptor(
            choice.cipher,
            choice.parameters,
            shape,
            self._key,
            choice.policy,
            sequence=f"folder {token_hex(16)}",
        )

    def encrypt(self, image: UInt8Array) -> tuple[CiphertextArray, bytes]:
        """Encrypt uint8 (h, w, c) to whole blocks (h', w', c), with a nonce or b''.

        Raises UsageError where the cipher cannot, or nothing of the image would come back.
        """
        padded = pad(image[None], self.choice.block)
        encryptor = self._prepared(ImageShape(*padded.shape[1:]))
        ciphertexts, nonces = encryptor.encrypt(padded)
        if not np.array_equal(encryptor.decrypt(ciphertexts, nonces), padded):
            raise IntegrityError(f"a ciphertext of {self.choice.cipher.name!r} does not decrypt")
        return ciphertexts[0], nonces[0] if nonces else b""

    def decrypt(self, ciphertext: CiphertextArray, nonce: bytes, shape: ImageShape) -> UInt8Array:
        """Decrypt one ciphertext to uint8 of ``shape``. Raises IntegrityError, UsageError."""
        encryptor = self._prepared(ImageShape(*ciphertext.shape))
        try:
            images = encryptor.decrypt(ciphertext[None], (nonce,) if nonce else ())
        except MessageError as error:
            raise IntegrityError(error.problem, fix=error.fix) from None
        image: UInt8Array = crop(images, shape)[0]
        return image
