"""Block-wise format-preserving encryption: half of the values of a block go through a keyed table.

The table maps the 256 byte values one to one; it and the half are the same for all blocks. Source:
MaungMaung (AprilPyone), Kiya, "Block-wise Image Transformation with Secret Key for Adversarially
Robust Defense" (arXiv 2010.00801), transformation FFX. The table is FF1 (NIST SP 800-38G) with
AES-256, from the package ``libffx``.
"""

from __future__ import annotations

import numpy as np

from he_compare.block_scramble.cipher import BlockwiseCipher, CipherTraits, SubKeys, patch_side
from he_compare.block_scramble.engine.blocks import block_positions, block_values
from he_compare.block_scramble.engine.counting import log2_binomial
from he_compare.block_scramble.engine.gather import batch_is_last
from he_compare.block_scramble.engine.shapes import ImageShape, check_images
from he_compare.block_scramble.keyed_cipher import KeyedCipher
from he_compare.block_scramble.keys.client_key import KEY_BITS, ClientKey
from he_compare.common.contracts import Parameters
from he_compare.common.types import BoolArray, UInt8Array

BYTE_VALUES = 256
NOT_AFFINE = (
    "format-preserving encryption maps values by a table that is not affine, so no linear "
    "embedding can undo it"
)


class FfxParameters(Parameters):
    """Options of ``ffx``."""

    patch: int = patch_side(4)


class KeyedTable(KeyedCipher):
    """Bytes where ``chosen`` go through ``table``, uint8 (256,), a permutation of all values."""

    obstacle = NOT_AFFINE

    def __init__(self, shape: ImageShape, chosen: BoolArray, table: UInt8Array) -> None:
        self.shape = shape
        self._mask = chosen.reshape(shape) * np.uint8(255)
        self._table = table.tobytes()
        self._inverse = np.argsort(table).astype(np.uint8).tobytes()

    def encrypt(self, images: UInt8Array) -> UInt8Array:
        """Encrypt uint8 (n, h, w, c) to the same shape. Raises UsageError on another shape."""
        check_images(images, self.shape)
        return self._translated(images, self._table)

    def decrypt(self, ciphertexts: UInt8Array) -> UInt8Array:
        """Invert ``encrypt`` exactly. Raises UsageError on another shape."""
        check_images(ciphertexts, self.shape)
        return self._translated(ciphertexts, self._inverse)

    def _translated(self, images: UInt8Array, table: bytes) -> UInt8Array:
        """Send all values through a table and keep the result where they are chosen."""
        last = batch_is_last(images)
        stored = images.transpose(1, 2, 3, 0) if last else images
        translated = np.frombuffer(stored.tobytes().translate(table), np.uint8)
        every = translated.reshape(stored.shape)
        every = every.transpose(3, 0, 1, 2) if last else every
        return ((every ^ images) & self._mask) ^ images


class Ffx(BlockwiseCipher):
    """Half of the values of each block encrypted value by value; nothing moves."""

    name = "ffx"
    parameters = FfxParameters
    traits = CipherTraits(
        operations="format-preserving encryption (FF1) of half of the values of a block, value by "
        "value, the same half and table for all blocks; nothing moves",
        protects="the value of half of the values; the other half is in the clear",
        source="MaungMaung and Kiya, arXiv 2010.00801; FF1: NIST SP 800-38G",
        claim_type="heuristic",
        deterministic=True,
        keyed=True,
        interpretation="the reference code encrypts values as three decimal digits (0 to 999) "
        "under a password; here FF1 permutes the 256 byte values under a 256-bit key, so that "
        "ciphertexts stay 8 bit. A domain of 256 is far below the million that SP 800-38G asks "
        "for: FF1 gives no security here beyond a secret table, the same wherever it is applied. "
        "Published as a defence against adversarial examples, used here as a cipher",
    )

    def keyed(self, keys: SubKeys, parameters: FfxParameters, shape: ImageShape) -> KeyedTable:
        """Draw the encrypted half and tabulate FF1. Raises UsageError on a bad patch."""
        values = block_values(shape, parameters.patch)
        half = keys.stream("encrypted half").half(values)
        positions = block_positions(shape, parameters.patch)
        chosen = np.empty(positions.size, np.bool_)
        chosen[positions] = half
        return KeyedTable(shape, chosen, ff1_table(keys.subkey("FF1")))

    def key_bits(self, parameters: FfxParameters, shape: ImageShape) -> float:
        """256 bits of FF1's key and log2 of the number of ways to choose half of the values."""
        values = block_values(shape, parameters.patch)
        return KEY_BITS + log2_binomial(values, values // 2)

    def preserves(self, parameters: FfxParameters) -> tuple[str, ...]:
        """Half of the picture, and the histogram of the other half under one substitution."""
        return (
            "half of all values, in the clear and in place",
            "place of every pixel",
            "which values are equal: one table for all (a simple substitution)",
            "correlations between positions of a block; equal blocks stay equal",
            "differences between images: one changed value changes one value",
        )

    def obstacle(self, parameters: FfxParameters) -> str:
        """A table is not affine."""
        return NOT_AFFINE


def ff1_table(key: ClientKey) -> UInt8Array:
    """Return FF1 of all byte values under a key, uint8 (256,)."""
    from ffx import FF1

    cipher = FF1(key.secret_bytes(), allow_small_domain=True)
    table = [cipher.encrypt_int(value, domain=BYTE_VALUES) for value in range(BYTE_VALUES)]
    return np.array(table, np.uint8)


CIPHER = Ffx()
