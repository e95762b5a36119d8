"""Small random pictures, and a cipher prepared for them under one fixed key."""

from __future__ import annotations

from typing import Any

import numpy as np

from he_compare.block_scramble.cipher import Cipher, cipher_parameters
from he_compare.block_scramble.engine.shapes import ImageShape
from he_compare.block_scramble.keys.client_key import ClientKey
from he_compare.common.types import UInt8Array

KEY = ClientKey.from_seed(0)
SMALL = ImageShape(12, 8, 3)


def pictures(shape: ImageShape = SMALL, count: int = 3, seed: int = 0) -> UInt8Array:
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (count, *shape), dtype=np.uint8)


def prepare(cipher: Cipher, shape: ImageShape = SMALL, **options: Any) -> Any:
    return cipher.prepare(KEY, cipher_parameters(cipher, options), shape)


def blocks_of(image: UInt8Array, side: int) -> list[UInt8Array]:
    rows, columns = image.shape[0] // side, image.shape[1] // side
    return [
        image[r * side : (r + 1) * side, c * side : (c + 1) * side]
        for r in range(rows)
        for c in range(columns)
    ]
