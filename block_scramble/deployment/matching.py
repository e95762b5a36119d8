"""A ViT's patch embedding fitted to ciphertexts by their moments: no key, no labels, no gradient.

The server holds a model of plain images, ciphertexts, and public images of the same kind. What
aligns the two sets of blocks (``common.block_moments``) is folded into the embedding and the order
of the positions, as the key holder does with the key (``vit.adaptation``): exactly there,
nearly here. Fine-tuning then starts from a model that reads ciphertexts, instead of from a random
embedding. That it can be done is a property of the ciphers, and an attack on them as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from he_compare.block_scramble.deployment.public_material import ServerMaterial
from he_compare.block_scramble.keyed_cipher import CiphertextArray
from he_compare.block_scramble.vit.adaptation import fold_normalisation, kernel_of
from he_compare.common.block_moments import Alignment, align_blocks, most_images
from he_compare.common.errors import MessageError
from he_compare.common.references.reference import COLOUR_CHANNELS, PublicReference
from he_compare.common.references.shipped import SHIPPED_REFERENCES
from he_compare.common.types import UInt8Array

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

REFERENCE_IMAGES = 800
REFERENCE_SEED = 20_411


def match_patch_embedding(
    model: VisionTransformer,
    header: ServerMaterial,
    ciphertexts: CiphertextArray,
    sent: UInt8Array | None = None,
) -> Alignment | None:
    """Fit the patch embedding of a model of plain images to ciphertexts (n, h, w, 3), in place.

    ``sent``: public images that came with the material, uint8 (m, h, w, 3); without them those of
    the shipped reference that the header names. Returns the alignment; the model is left as it is
    where that is None or not ``found``. Raises MessageError where no such reference ships.
    """
    if sent is None:
        if header.reference not in SHIPPED_REFERENCES:
            raise MessageError(f"no public images {header.reference!r} ship with the package")
        sent = public_images(SHIPPED_REFERENCES[header.reference](), header.image_size)
    alignment = align_blocks(ciphertexts, sent, header.patch)
    if alignment is not None and alignment.found:
        fold_in(model, header, alignment)
    return alignment


def images_used(size: int) -> int:
    """Return how many ciphertexts of a side in pixels are looked at: the first ones."""
    return most_images(size * size * COLOUR_CHANNELS)


def public_images(reference: PublicReference, size: int) -> UInt8Array:
    """Return what a patch embedding is matched to: uint8 (n, size, size, 3)."""
    return reference.images(_count(size), size, COLOUR_CHANNELS, REFERENCE_SEED)


def _count(size: int) -> int:
    """Fewer of the larger images: they have more blocks each."""
    return max(200, min(REFERENCE_IMAGES, REFERENCE_IMAGES * 112 * 112 // size**2))


def fold_in(model: VisionTransformer, header: ServerMaterial, alignment: Alignment) -> None:
    """Have a model of plain images read aligned ciphertexts, normalised as the header says."""
    import torch

    from he_compare.common.backbones.deit import pixel_statistics

    projection = model.patch_embed.proj
    kernel, bias = projection.weight.detach().numpy(), projection.bias.detach().numpy()
    rows, constant = fold_normalisation(kernel, bias, *pixel_statistics(header.backbone))
    turned = alignment.turn @ rows
    constant += (alignment.mean_to @ rows - alignment.mean_from @ turned) / 255.0
    # The model normalises its input: z = ((x - mean) / std) @ (std * turned) + mean @ turned + ...
    mean, std = (np.tile(values, header.patch**2) for values in header.statistics())
    constant += mean @ turned
    turned *= std[:, None]
    order = torch.from_numpy(alignment.block_order)
    with torch.no_grad():
        projection.weight.copy_(torch.from_numpy(kernel_of(turned, header.patch)))
        projection.bias.copy_(torch.from_numpy(constant.astype(np.float32)))
        prefix = model.pos_embed.shape[1] - len(order)
        model.pos_embed[:, prefix:] = model.pos_embed[:, prefix:][:, order]
