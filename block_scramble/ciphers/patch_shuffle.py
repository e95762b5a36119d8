"""A fresh order of the blocks for every image; attention ignores it, so the server needs no key.

The order follows from the key and a random nonce that travels with the ciphertext, so that the
owner alone can undo it; two images never share one. Source: Hao et al., "Human-Imperceptible,
Machine-Recognizable Images", IJCAI 2025 (arXiv 2306.03679), whose vision transformer is adapted to
ignore the order of patches. A relative shuffles patches of features: Yao et al.,
"Privacy-Preserving Split Learning via Patch Shuffling over Transformers", ICDM 2022.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from pydantic import Field

from he_compare.block_scramble.cipher import BlockwiseCipher, CipherTraits, SubKeys, patch_side
from he_compare.block_scramble.engine.blocks import block_count
from he_compare.block_scramble.engine.counting import log2_factorial
from he_compare.block_scramble.engine.shapes import ImageShape, check_images
from he_compare.block_scramble.keyed_cipher import NoncedCipher, check_nonces
from he_compare.block_scramble.keys.client_key import ClientKey
from he_compare.common.contracts import Parameters
from he_compare.common.types import IntArray, UInt8Array

NOT_FIXED = (
    "the order of the blocks is another one for every image, so there is no fixed map that a model "
    "could absorb; a model that ignores the order of patches needs none"
)


class PatchShuffleParameters(Parameters):
    """Options of ``patch_shuffle``."""

    patch: int = patch_side(16)
    mix: bool = Field(
        default=False,
        description="Sub-blocks move between blocks: those at the same place of all blocks, in an "
        "order of their own",
    )


class KeyedShuffle(NoncedCipher):
    """Sends the pieces of each image to the places that its nonce says, all pieces of a kind."""

    obstacle = NOT_FIXED

    def __init__(self, shape: ImageShape, patch: int, piece: int, key: ClientKey) -> None:
        """``piece``: side of what moves as a whole; the patch, or a divisor of it."""
        self.shape = shape
        self._patch = patch
        self._piece = piece
        self._key = key

    def encrypt_under(self, images: UInt8Array, nonces: Sequence[bytes]) -> UInt8Array:
        """Encrypt uint8 (n, h, w, c), image i under nonce i of 16 bytes.

        Raises UsageError on another shape, MessageError where a nonce has another length or serves
        two images.
        """
        check_images(images, self.shape)
        return self._moved(images, self._orders(nonces, len(images)))

    def decrypt_under(self, ciphertexts: UInt8Array, nonces: Sequence[bytes]) -> UInt8Array:
        """Invert ``encrypt_under``."""
        check_images(ciphertexts, self.shape)
        return self._moved(ciphertexts, np.argsort(self._orders(nonces, len(ciphertexts)), axis=1))

    def _orders(self, nonces: Sequence[bytes], count: int) -> IntArray:
        """Return for every image, block of the ciphertext and place in it the block it comes from.

        int64 (n, blocks, places).
        """
        check_nonces(nonces, count)
        blocks = block_count(self.shape, self._patch)
        places = (self._patch // self._piece) ** 2
        orders = np.empty((count, blocks, places), np.int64)
        for i, nonce in enumerate(nonces):
            orders[i] = self._key.stream(nonce.hex()).permutations(places, blocks).T
        return orders

    def _moved(self, images: UInt8Array, orders: IntArray) -> UInt8Array:
        """Take piece p of block b of image i from block ``orders[i, b, p]``."""
        height, width, channels = self.shape
        rows, columns = height // self._patch, width // self._patch
        inside = self._patch // self._piece
        split = (len(images), rows, inside, self._piece, columns, inside, self._piece, channels)
        pieces = images.reshape(split).transpose(0, 1, 4, 2, 5, 3, 6, 7)
        flat = pieces.reshape(len(images), rows * columns, inside**2, self._piece**2 * channels)
        image, place = np.arange(len(images))[:, None, None], np.arange(inside**2)
        moved = flat[image, orders, place].reshape(pieces.shape)
        return cast(UInt8Array, moved.transpose(0, 1, 3, 5, 2, 4, 6, 7).reshape(images.shape))


class PatchShuffle(BlockwiseCipher):
    """A fresh order of blocks for every image, optionally of sub-blocks."""

    name = "patch_shuffle"
    parameters = PatchShuffleParameters
    traits = CipherTraits(
        operations="permutation of the blocks, another one for every image; optionally (mix) "
        "another order for each place of sub-blocks inside a block",
        protects="where blocks belong; what each block (with mix: each sub-block) shows is in the "
        "clear",
        source="Hao et al., arXiv 2306.03679 (IJCAI 2025)",
        claim_type="heuristic",
        deterministic=False,
        keyed=True,
        fresh_nonces=True,
        interpretation="published as a shuffle that nobody undoes: here the order follows from a "
        "key and a nonce, so that the owner can. The published mixing of sub-patches loses values "
        "(undoing it is called ill-posed); here (mix) sub-blocks change places between blocks, and "
        "nothing is lost. Sub-blocks are the largest that tile a block: its side over "
        "its smallest prime factor. The published model is made to ignore the order of patches; "
        "the pipeline's model keeps its positions and has to learn to ignore them",
    )

    def keyed(
        self, keys: SubKeys, parameters: PatchShuffleParameters, shape: ImageShape
    ) -> KeyedShuffle:
        """Derive the key that turns nonces into orders."""
        patch = parameters.patch
        piece = sub_block_side(patch) if parameters.mix else patch
        return KeyedShuffle(shape, patch, piece, keys.subkey("orders of images"))

    def key_bits(self, parameters: PatchShuffleParameters, shape: ImageShape) -> float:
        """log2 of the orders that one image can have: blocks!, with mix for each sub-block."""
        patch = parameters.patch
        places = (patch // sub_block_side(patch)) ** 2 if parameters.mix else 1
        return places * log2_factorial(block_count(shape, patch))

    def preserves(self, parameters: PatchShuffleParameters) -> tuple[str, ...]:
        """The inside of what moves, and all values."""
        if parameters.mix:
            return (
                "multiset of values of the image",
                "sub-blocks, as they are, and their place inside a block",
            )
        return ("multiset of values of the image", "blocks, as they are")

    def obstacle(self, parameters: PatchShuffleParameters) -> str:
        """Every image has another order."""
        return NOT_FIXED


def sub_block_side(patch: int) -> int:
    """Return the side of the largest sub-blocks that tile a block: patch / smallest factor."""
    return next(side for side in range(patch // 2, 0, -1) if patch % side == 0)


CIPHER = PatchShuffle()
