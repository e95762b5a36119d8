"""Vision Transformers on ciphertext: adapted by key, or with a patch embedding to be re-fitted.

Adaptation (Qi et al., arXiv 2205.12041; Kiya et al., arXiv 2308.07612). The embedding of patch b is
z_b = sum_j E_j (x_bj - mean_j) / std_j + bias + position_b with x in 0..1. With the normalisation
folded in, z_b = sum_j W_j x_bj + bias' + position_b. If ciphertext value j is value p(j) of block
q(b), rows W_p(j) and positions q(b) give the same tokens in another order; where it is 1 - x, the
row changes sign and is added to the bias. Self-attention does not see the order of tokens, and
class and distillation tokens stay first: the logits are those of the plain model up to rounding.
Keys that differ from block to block, and ciphers on nibbles, need another embedding layer: that of
``he_compare.block_scramble.vit.patch_embedding``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from he_compare.block_scramble.vit.patch_key import PatchKey
from he_compare.common.errors import UsageError
from he_compare.common.service.wire import pack, unpack
from he_compare.common.types import Float32Array, Float64Array, IntArray

if TYPE_CHECKING:
    import torch

KERNEL = "patch_embed.proj.weight"
BIAS = "patch_embed.proj.bias"
POSITIONS = "pos_embed"
# The same of a model with a ``KeyedPatchEmbed``.
KEYED_ROWS = "patch_embed.weight"
KEYED_BIASES = "patch_embed.bias"

State = dict[str, npt.NDArray[np.generic]]


def embedding_parameters(key: PatchKey, width: int) -> int:
    """Return the number of parameters of a patch embedding that has absorbed a key.

    One for each patch is that many times the plain one; on nibbles it is twice as large.
    """
    values = key.values * (2 if key.nibbles else 1)
    return key.embeddings * (values + 1) * width


def patch_of(state: bytes) -> int:
    """Return the side in pixels of the patches of a model, from its state bytes."""
    arrays, _ = unpack(state, expect={KERNEL: ("float32", 4)})
    return int(arrays[KERNEL].shape[-1])


def adapt_by_key(state: bytes, key: PatchKey, mean: Float32Array, std: Float32Array) -> bytes:
    """Return the state of a model that does on ciphertext what ``state`` does on plain images.

    ``state``: safetensors of a timm VisionTransformer for images in 0..1 that are normalised by
    ``mean`` and ``std``, (3,). The result takes ciphertext values divided by 255, not normalised;
    where ``needs_keyed_embedding(key)``, it belongs to a model with a ``KeyedPatchEmbed``.
    Raises UsageError where patches or positions do not fit the key.
    """
    names = {KERNEL: ("float32", 4), BIAS: ("float32", 1), POSITIONS: ("float32", 3)}
    arrays, metadata = unpack(state, expect=names)
    rows, bias = fold_normalisation(arrays[KERNEL], arrays[BIAS], mean, std)
    _check_fit(rows, arrays, key)
    absorbed, constants = key.absorb(rows)
    biases = (bias + constants).astype(np.float32)
    adapted = {name: value for name, value in arrays.items() if name not in (KERNEL, BIAS)}
    if needs_keyed_embedding(key):
        adapted |= {KEYED_ROWS: absorbed, KEYED_BIASES: biases}
    else:
        adapted |= {KERNEL: kernel_of(absorbed[0], key.patch), BIAS: biases[0]}
    adapted[POSITIONS] = _positions_of(arrays[POSITIONS], key.block_order)
    return pack(adapted, metadata)


def for_normalised_inputs(state: bytes, mean: Float32Array, std: Float32Array) -> bytes:
    """Return the state that takes (x - mean) / std where ``state`` takes x, (3,) each.

    ``state``: what ``adapt_by_key`` returned.
    """
    arrays, metadata = unpack(state)
    shift, scale = np.asarray(mean, np.float64), np.asarray(std, np.float64)
    if KEYED_ROWS in arrays:
        rows = arrays[KEYED_ROWS].astype(np.float64)
        times = rows.shape[1] // len(shift)
        added = np.tile(shift, times) @ rows
        changed = {KEYED_ROWS: rows * np.tile(scale, times)[None, :, None]}
        changed |= {KEYED_BIASES: arrays[KEYED_BIASES] + added}
    else:
        kernel = arrays[KERNEL].astype(np.float64)
        changed = {KERNEL: kernel * scale[None, :, None, None]}
        changed |= {BIAS: arrays[BIAS] + np.einsum("dcij,c->d", kernel, shift)}
    return pack(
        arrays | {name: value.astype(np.float32) for name, value in changed.items()}, metadata
    )


def patch_embeddings_of(state: bytes) -> int:
    """Return how many patch embeddings a model has: one, or one for each patch."""
    arrays, _ = unpack(state)
    return len(arrays[KEYED_ROWS]) if KEYED_ROWS in arrays else 1


def with_patch_embeddings(state: bytes, count: int) -> bytes:
    """Return the state of the same model with one patch embedding for each of ``count`` patches."""
    arrays, metadata = unpack(state)
    if count == 1 or KEYED_ROWS in arrays:
        return state
    kernel, bias = arrays[KERNEL], arrays[BIAS]
    rows = kernel.transpose(2, 3, 1, 0).reshape(1, -1, len(kernel))
    kept = {name: value for name, value in arrays.items() if name not in (KERNEL, BIAS)}
    keyed = {KEYED_ROWS: rows.repeat(count, axis=0), KEYED_BIASES: bias[None].repeat(count, axis=0)}
    return pack(kept | keyed, metadata)


def needs_keyed_embedding(key: PatchKey) -> bool:
    """Say whether a key takes more than other weights of the model's own patch embedding."""
    return key.nibbles or key.embeddings > 1


def fold_normalisation(
    kernel: npt.NDArray[np.generic],
    bias: npt.NDArray[np.generic],
    mean: Float32Array,
    std: Float32Array,
) -> tuple[Float64Array, Float64Array]:
    """Fold (x - mean) / std into a patch embedding.

    ``kernel``: (width, 3, m, m). Returns rows float64 (m * m * 3, width) in the order row, column,
    channel, and bias float64 (width,), for x in 0..1 without normalisation.
    """
    weights = kernel.astype(np.float64)
    scale = 1.0 / np.asarray(std, np.float64)
    shift = np.asarray(mean, np.float64) * scale
    constant = np.einsum("dcij,c->d", weights, shift)
    scaled = weights * scale[None, :, None, None]
    rows = scaled.transpose(2, 3, 1, 0).reshape(-1, weights.shape[0])
    return rows, bias.astype(np.float64) - constant


def _check_fit(rows: Float64Array, arrays: State, key: PatchKey) -> None:
    if len(rows) != key.values:
        raise UsageError(
            f"the model's patches have {len(rows)} values, the key's {key.values}",
            fix="prepare the cipher with the model's patch",
        )
    tokens, blocks = arrays[POSITIONS].shape[1], len(key.block_order)
    if tokens < blocks or tokens > blocks + 2:
        raise UsageError(
            f"the model has {tokens} positions, the key permutes {blocks} blocks",
            fix="prepare the cipher for the model's image size",
        )


def kernel_of(rows: Float32Array | Float64Array, patch: int) -> Float32Array:
    """Turn rows (m * m * 3, width) back into a convolution kernel, float32 (width, 3, m, m)."""
    channels = len(rows) // patch**2
    kernel = rows.reshape(patch, patch, channels, -1).transpose(3, 2, 0, 1)
    return np.ascontiguousarray(kernel, np.float32)


def _positions_of(
    positions: npt.NDArray[np.generic], block_order: IntArray
) -> npt.NDArray[np.generic]:
    """Permute the positions of patches; those of class and distillation tokens come first."""
    prefix = positions.shape[1] - len(block_order)
    patches = positions[:, prefix:][:, block_order]
    return np.concatenate([positions[:, :prefix], patches], axis=1)


def pooled(statistics: Float32Array) -> tuple[float, float, float]:
    """Return the mean of (3,) three times: where channels mix, they share their normalisation."""
    mean = float(np.mean(statistics))
    return mean, mean, mean


def forget_patch_embedding(model: torch.nn.Module, seed: int) -> None:
    """Replace the patch embedding by random weights of the same scale: ciphertext is another input.

    The scale is that of the weights it replaces, so that the layers above see tokens of the size
    they were trained on.
    """
    import torch

    projection = model.patch_embed.proj
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        scale = float(projection.weight.std())
        projection.weight.normal_(0.0, scale, generator=generator)
        projection.bias.zero_()
