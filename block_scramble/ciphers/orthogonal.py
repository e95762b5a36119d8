"""Every patch vector times one keyed orthogonal matrix: a rotation, or a restricted permutation.

The matrix is uniform over all orthogonal ones: QR of a Gaussian with the signs of R's diagonal
moved into Q (Mezzadri, Notices of the AMS 54, 2007). With ``fraction`` it is a permutation matrix
that moves only that share of the values. Source: Horio, Nishikawa, Kiya, "Privacy-Preserving Vision
Transformer Using Images Encrypted with Restricted Random Permutation Matrices" (arXiv 2408.08529).
"""

from __future__ import annotations

import math
from typing import cast

import numpy as np
from pydantic import Field

from he_compare.block_scramble.cipher import BlockwiseCipher, CipherTraits, SubKeys, patch_side
from he_compare.block_scramble.engine.blocks import block_count, block_values
from he_compare.block_scramble.engine.counting import log2_binomial, log2_factorial
from he_compare.block_scramble.engine.shapes import ImageShape, check_images
from he_compare.block_scramble.keyed_cipher import CiphertextArray, KeyedCipher
from he_compare.block_scramble.keys.keystream import Keystream
from he_compare.block_scramble.vit.patch_key import PatchMatrix
from he_compare.common.contracts import Parameters
from he_compare.common.errors import UsageError
from he_compare.common.types import Float32Array, Float64Array, IntArray, UInt8Array

# A matrix of 4096 x 4096 takes seconds to draw and 64 MB; beyond it the cost grows with the cube.
MAX_VALUES = 4096


class OrthogonalParameters(Parameters):
    """Options of ``orthogonal``."""

    patch: int = patch_side(16, most=64)
    fraction: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Restricted: a permutation that moves this share of the values; none: a dense "
        "orthogonal matrix",
    )


class KeyedMatrix(KeyedCipher):
    """Patch x of byte values becomes ``matrix`` x, float32; patches stay in place."""

    def __init__(self, shape: ImageShape, patch: int, matrix: Float64Array) -> None:
        self.shape = shape
        self.patch = patch
        self._exact = matrix
        self._matrix = matrix.astype(np.float32)

    def encrypt(self, images: UInt8Array) -> Float32Array:
        """Encrypt uint8 (n, h, w, c) to float32 in units of byte values, of any sign."""
        check_images(images, self.shape)
        patches = _patches(images.astype(np.float32), self.shape, self.patch)
        return _assembled(patches @ self._matrix.T, self.shape, self.patch)

    def decrypt(self, ciphertexts: CiphertextArray) -> UInt8Array:
        """Invert ``encrypt`` and round to bytes. Raises UsageError on another shape or type."""
        _check_ciphertexts(ciphertexts, self.shape)
        patches = _patches(ciphertexts, self.shape, self.patch)
        values = np.rint(_assembled(patches @ self._matrix, self.shape, self.patch))
        return np.clip(values, 0, 255).astype(np.uint8)

    def affine_embedding(self, patch: int) -> PatchMatrix:
        """Describe the key to a model of the same patch. Raises UsageError."""
        if patch != self.patch:
            raise UsageError(
                f"the key rotates patches of {self.patch} pixels, the model's have {patch}",
                fix=f"pass patch={patch}",
            )
        blocks = np.arange(block_count(self.shape, patch), dtype=np.int64)
        return PatchMatrix(patch, blocks, self._exact)


def _patches(values: Float32Array, shape: ImageShape, patch: int) -> Float32Array:
    """(n, h, w, c) to (n, blocks, values), in the order row, column, channel."""
    rows, columns = shape.height // patch, shape.width // patch
    n, blocks = len(values), rows * columns
    grid = values.reshape(n, rows, patch, columns, patch, shape.channels)
    return grid.transpose(0, 1, 3, 2, 4, 5).reshape(n, blocks, block_values(shape, patch))


def _assembled(patches: Float32Array, shape: ImageShape, patch: int) -> Float32Array:
    rows, columns = shape.height // patch, shape.width // patch
    grid = patches.reshape(len(patches), rows, columns, patch, patch, shape.channels)
    return grid.transpose(0, 1, 3, 2, 4, 5).reshape(len(patches), *shape)


def _check_ciphertexts(ciphertexts: CiphertextArray, shape: ImageShape) -> None:
    fits = ciphertexts.ndim == 4 and ciphertexts.shape[1:] == tuple(shape)
    if ciphertexts.dtype != np.float32 or not fits or not np.isfinite(ciphertexts).all():
        raise UsageError(
            f"ciphertexts are {ciphertexts.dtype} {ciphertexts.shape}, this key is prepared for "
            f"finite float32 (n, {shape.height}, {shape.width}, {shape.channels})",
            fix="decrypt with the cipher and the image shape they were made with",
        )


class Orthogonal(BlockwiseCipher):
    """One orthogonal matrix for all patches; patches stay in place."""

    name = "orthogonal"
    parameters = OrthogonalParameters
    traits = CipherTraits(
        operations="every patch vector times one keyed orthogonal matrix, or (fraction) one "
        "permutation that moves a share of the values; patches stay in place",
        protects="what each patch shows; the outline of the picture stays visible patch by patch",
        source="Horio et al., arXiv 2408.08529",
        claim_type="heuristic",
        deterministic=True,
        keyed=True,
        ciphertext="float32",
        interpretation="values are rotated as bytes without centring, and ciphertexts are float32 "
        "(four times the bytes); the restricted permutation is one cycle through a keyed choice of "
        "values, so that exactly that share moves; patches themselves are not permuted",
    )

    def keyed(
        self, keys: SubKeys, parameters: OrthogonalParameters, shape: ImageShape
    ) -> KeyedMatrix:
        """Draw the matrix. Raises UsageError where the patch does not fit or is too large."""
        values = block_values(shape, parameters.patch)
        if values > MAX_VALUES:
            raise UsageError(
                f"a patch of {parameters.patch} pixels has {values} values: a matrix of that size "
                "is too large to draw",
                fix=f"pass a patch of at most {math.isqrt(MAX_VALUES // shape.channels)}",
            )
        stream = keys.stream("matrix")
        if parameters.fraction is None:
            matrix = orthogonal_matrix(stream, values)
        else:
            matrix = np.eye(values)[cycle(stream, values, _moved(parameters, values))]
        return KeyedMatrix(shape, parameters.patch, matrix)

    def key_bits(self, parameters: OrthogonalParameters, shape: ImageShape) -> float | None:
        """None for a dense matrix; log2 of the choices of values and of cycles through them."""
        if parameters.fraction is None:
            return None
        values = block_values(shape, parameters.patch)
        moved = _moved(parameters, values)
        return log2_binomial(values, moved) + log2_factorial(moved - 1)

    def preserves(self, parameters: OrthogonalParameters) -> tuple[str, ...]:
        """Lengths and angles survive; a permutation keeps the values as well."""
        kept = ["order of patches"]
        if parameters.fraction is not None:
            kept.append("multiset of values of each patch")
        if parameters.fraction is not None and parameters.fraction < 1:
            kept.append(f"a share of {1 - parameters.fraction:.0%} of the values, in place")
        return (
            *kept,
            "norm of every patch, and angles and distances between patches, also of two images",
            "equal patches stay equal",
        )


def _moved(parameters: OrthogonalParameters, values: int) -> int:
    """Number of values that the restricted permutation moves, at least two."""
    return max(2, round((parameters.fraction or 0.0) * values))


def orthogonal_matrix(stream: Keystream, size: int) -> Float64Array:
    """Return a uniform orthogonal matrix, float64 (size, size)."""
    q, r = np.linalg.qr(stream.normals((size, size)))
    return cast(Float64Array, q * np.where(np.diag(r) < 0, -1.0, 1.0))


def cycle(stream: Keystream, size: int, moved: int) -> IntArray:
    """Return a permutation, int64 (size,), that is one cycle through ``moved`` random elements."""
    chosen = stream.permutation(size)[:moved]
    order = np.arange(size)
    order[chosen] = np.roll(chosen, 1)
    return order


CIPHER = Orthogonal()
