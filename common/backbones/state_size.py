"""How large a network's weights must be at least: asked before anything of that size is made.

A few numbers in a header make a network of any size. The server gets its weights in the same
message, so a network is made only where the weights that came are as large as what grows with those
numbers: a message costs the server memory in proportion to its length, and no more.
"""

from __future__ import annotations

from typing import get_args

from he_compare.common.backbones.catalog import find_backbone
from he_compare.common.backbones.convnet import SMALL_STEM_SIDE, Stem
from he_compare.common.errors import MessageError
from he_compare.common.types import MAX_CLASSES

# Of an image in pixels; every image that is answered is multiplied by itself, patch by patch.
MAX_IMAGE_SIDE = 2048
MAX_PATCHES = 1 << 14
FLOAT_BYTES, COLOURS = 4, 3
RESNET_WIDTH = 512


def require_vit_state(
    state: bytes,
    backbone: str,
    *,
    image_size: int,
    patch: int,
    outputs: int,
    embeddings: int = 1,
) -> None:
    """Refuse a Vision Transformer that its state cannot be the weights of. Raises MessageError.

    ``outputs``: 0 where it has no head. ``embeddings``: patch embeddings. Raises UnknownNameError.
    """
    require_sides(image_size, patch)
    _require_outputs(outputs, least=0)
    width = find_backbone(backbone).width
    patches = (image_size // patch) ** 2
    if patches > MAX_PATCHES:
        raise MessageError(f"{patches} patches per image are more than {MAX_PATCHES}")
    pixels = COLOURS * patch * patch
    _require_bytes(state, FLOAT_BYTES * width * (patches + embeddings * pixels + outputs))


def require_convnet_state(
    state: bytes, *, image_size: int, outputs: int, stem: str = "imagenet"
) -> None:
    """Refuse a ResNet-18 that its state cannot be the weights of. Raises MessageError."""
    require_sides(image_size, 1)
    if stem not in get_args(Stem):
        raise MessageError(f"stem {stem[:20]!r} is not one of {', '.join(get_args(Stem))}")
    if stem == "small" and image_size > SMALL_STEM_SIDE:
        raise MessageError(f"the small stem is for images of {SMALL_STEM_SIDE} pixels at most")
    _require_outputs(outputs, least=1)
    _require_bytes(state, FLOAT_BYTES * RESNET_WIDTH * outputs)


def require_sides(image_size: int, patch: int) -> None:
    """Refuse sides of images and patches that are out of range. Raises MessageError."""
    if not 1 <= image_size <= MAX_IMAGE_SIDE:
        raise MessageError(f"images of {image_size} pixels are not of 1 to {MAX_IMAGE_SIDE}")
    if not 1 <= patch <= image_size:
        raise MessageError(f"patches of {patch} pixels do not fit images of {image_size}")


def _require_outputs(outputs: int, least: int) -> None:
    if not least <= outputs <= MAX_CLASSES:
        raise MessageError(f"{outputs} classes are not {least} to {MAX_CLASSES}")


def _require_bytes(state: bytes, needed: int) -> None:
    if len(state) < needed:
        raise MessageError(
            f"model state of {len(state)} bytes is too small: the header's model has at least "
            f"{needed}"
        )
