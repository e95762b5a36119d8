"""A plain ViT adapted by key gives the plain logits on ciphertext, for every cipher that is affine.

The models have large random weights everywhere, as training would leave them, so that positions,
biases and class tokens matter and logits are well above one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import timm
import torch

from he_compare.block_scramble.cipher import Cipher, cipher_parameters
from he_compare.block_scramble.deployment.public_material import ServerMaterial
from he_compare.block_scramble.engine.shapes import ImageShape
from he_compare.block_scramble.keyed_cipher import KeyedCipher
from he_compare.block_scramble.keys.client_key import ClientKey
from he_compare.block_scramble.vit.adaptation import (
    adapt_by_key,
    embedding_parameters,
    forget_patch_embedding,
    needs_keyed_embedding,
)
from he_compare.block_scramble.vit.patch_embedding import nibble_planes, patch_vectors
from he_compare.block_scramble.vit.patch_key import PatchKey, affine_from_moves
from he_compare.common import plugins
from he_compare.common.backbones.deit import load_state_bytes, predict_logits, state_bytes
from he_compare.common.errors import MessageError, UsageError
from he_compare.common.service.wire import unpack
from he_compare.common.types import Float64Array, UInt8Array

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
RAW_MEAN, RAW_STD = np.zeros(3, np.float32), np.ones(3, np.float32)

WAYS: list[tuple[str, dict[str, Any], int]] = [
    ("identity", {}, 1),
    ("vit_block", {"patch": 8}, 1),
    ("vit_block", {"patch": 8, "negative_positive": True}, 1),
    ("al_amin", {"patch": 8}, 1),
    ("al_amin", {"patch": 8, "mix_channels": False, "negative_positive": True}, 1),
    ("al_amin", {"patch": 8, "nibble_split": True, "negative_positive": True}, 1),
    ("al_amin", {"patch": 8, "shared_pixel_key": False}, 16),
    ("al_amin", {"patch": 8, "shared_pixel_key": False, "nibble_split": True}, 16),
    ("tanaka_le", {"patch": 8}, 1),
    ("tanaka_le", {"patch": 8, "mask_from_order": True}, 1),
    ("tanaka_le", {"patch": 4}, 1),
    ("madono_ele", {"patch": 8}, 16),
    ("pixel_np", {}, 16),
    ("etc", {"patch": 8}, 16),
    ("restricted", {"patch": 8}, 1),
    ("restricted", {"patch": 8, "fraction": 1, "block_fraction": 0.25}, 1),
    ("shf", {"patch": 8}, 1),
    ("shf", {"patch": 4}, 1),
    ("np", {"patch": 8}, 1),
    ("np", {"patch": 4}, 1),
    ("orthogonal", {"patch": 8}, 1),
    ("orthogonal", {"patch": 8, "fraction": 0.5}, 1),
]


def small_vit(
    distilled: bool = False, seed: int = 0, size: int = 32, patch: int = 8
) -> torch.nn.Module:
    """A random ViT of width 48 and three blocks whose logits differ from image to image."""
    torch.manual_seed(seed)
    name = "deit_tiny_distilled_patch16_224" if distilled else "vit_tiny_patch16_224"
    model = timm.create_model(
        name, img_size=size, patch_size=patch, num_classes=5, depth=3, embed_dim=48, num_heads=3
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(float("norm" in name and "weight" in name), 0.2)
        model.pos_embed.normal_(0, 1)
    return model.eval()


def pictures(count: int, size: int, seed: int = 0) -> UInt8Array:
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    images[0], images[1] = 0, 255
    return images


def keyed_cipher(
    name: str, options: dict[str, Any], shape: ImageShape, key: ClientKey | None = None
) -> KeyedCipher:
    cipher: Cipher = plugins.load("ciphers", name)
    parameters = cipher_parameters(cipher, options)
    return cipher.prepare(key or ClientKey.generate(), parameters, shape)


def logits_of_adapted(
    model: torch.nn.Module, key: PatchKey, ciphertexts: np.ndarray
) -> Float64Array:
    """Adapt, load into the model that the server would build, and run it."""
    adapted = adapt_by_key(state_bytes(model), key, MEAN, STD)
    if needs_keyed_embedding(key):
        size = ciphertexts.shape[1]
        target = small_vit(model.num_prefix_tokens == 2, size=size, patch=key.patch)
        header(size, key).replace_patch_embedding(target)
    else:
        target = model
    load_state_bytes(target, adapted)
    return predict_logits(target, ciphertexts, RAW_MEAN, RAW_STD)


def header(size: int, key: PatchKey) -> ServerMaterial:
    return ServerMaterial(
        backbone="deit_tiny_patch16_224",
        image_size=size,
        patch=key.patch,
        classes=5,
        embeddings=key.embeddings,
        nibbles=key.nibbles,
    )


@pytest.mark.parametrize("distilled", [False, True], ids=["class token", "distillation token"])
@pytest.mark.parametrize(("name", "options", "embeddings"), WAYS, ids=str)
def test_adapted_model_gives_the_plain_logits_on_ciphertext(
    name: str, options: dict[str, Any], embeddings: int, distilled: bool
) -> None:
    keyed = keyed_cipher(name, options, ImageShape(32, 32, 3))
    key = keyed.affine_embedding(8)
    images, model = pictures(24, 32), small_vit(distilled)
    plain = predict_logits(model, images, MEAN, STD)
    on_ciphertext = logits_of_adapted(model, key, keyed.encrypt(images))
    assert key.embeddings == embeddings
    assert np.abs(plain).max() > 1
    assert np.ptp(plain, axis=0).min() > 0.1
    assert np.abs(on_ciphertext - plain).max() < 1e-4
    assert (on_ciphertext.argmax(axis=1) == plain.argmax(axis=1)).all()


def test_every_adaptable_cipher_is_tried() -> None:
    adaptable = set()
    for name in plugins.discover("ciphers"):
        cipher = plugins.load("ciphers", name)
        if not cipher.obstacle(cipher.parameters()):
            adaptable.add(name)
    assert adaptable == {name for name, _, _ in WAYS}


@pytest.mark.parametrize("name", sorted({name for name, _, _ in WAYS} - {"identity"}))
def test_model_adapted_to_one_key_is_lost_on_ciphertexts_of_another(name: str) -> None:
    cipher = plugins.load("ciphers", name)
    options = {"patch": 8} if "patch" in cipher.parameters.model_fields else {}
    own, other = (
        keyed_cipher(name, options, ImageShape(32, 32, 3), ClientKey.from_seed(seed))
        for seed in (0, 1)
    )
    model, images = small_vit(), pictures(24, 32)
    plain = predict_logits(model, images, MEAN, STD)
    on_other = logits_of_adapted(model, own.affine_embedding(8), other.encrypt(images))
    assert np.abs(on_other - plain).max() > 0.1


def test_al_amins_own_patches_of_25_in_images_of_200_pixels_are_absorbed() -> None:
    images, model = pictures(3, 200), small_vit(size=200, patch=25)
    plain = predict_logits(model, images, MEAN, STD)
    for shared in (True, False):
        options = {"patch": 25, "shared_pixel_key": shared}
        keyed = keyed_cipher("al_amin", options, ImageShape(200, 200, 3))
        key = keyed.affine_embedding(25)
        assert key.embeddings == (1 if shared else 64)
        model = small_vit(size=200, patch=25)
        on_ciphertext = logits_of_adapted(model, key, keyed.encrypt(images))
        assert np.abs(on_ciphertext - plain).max() < 1e-4


def test_cost_of_an_embedding_for_each_position_is_stated() -> None:
    shape, width = ImageShape(224, 224, 3), 192
    plain = 768 * width + width
    for name, options, factor in (
        ("vit_block", {"patch": 16}, 1),
        ("etc", {"patch": 16}, 196),
        ("tanaka_le", {"patch": 16}, 2),
        ("madono_ele", {"patch": 16}, 392),
    ):
        key = keyed_cipher(name, options, shape).affine_embedding(16)
        ratio = embedding_parameters(key, width) / plain
        assert ratio == pytest.approx(factor, rel=2e-3)


def test_splitting_into_nibbles_is_exact_for_every_byte() -> None:
    every = torch.arange(256, dtype=torch.float32).reshape(1, 1, 256) / 255.0
    planes = (nibble_planes(every) * 15).round().int().reshape(2, 256).numpy()
    assert (planes[0] == np.arange(256) % 16).all()
    assert (planes[1] == np.arange(256) // 16).all()


def test_patch_vectors_are_in_the_order_of_the_ciphers() -> None:
    images = pictures(3, 32)
    scaled = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    vectors = patch_vectors(scaled, 8).numpy()
    blocks = images.reshape(3, 4, 8, 4, 8, 3).transpose(0, 1, 3, 2, 4, 5).reshape(3, 16, -1)
    assert (vectors == blocks).all()


def test_a_model_of_other_patches_or_positions_is_refused() -> None:
    state = state_bytes(small_vit())
    for shape, patch, reason in (
        (ImageShape(32, 32, 3), 4, "192 values, the key's 48"),
        (ImageShape(64, 64, 3), 8, "17 positions, the key permutes 64 blocks"),
    ):
        keyed = keyed_cipher("vit_block", {"patch": patch}, shape)
        with pytest.raises(UsageError, match=reason):
            adapt_by_key(state, keyed.affine_embedding(patch), MEAN, STD)


def test_embeddings_that_do_not_fit_the_patches_are_refused() -> None:
    material = ServerMaterial(
        backbone="deit_tiny_patch16_224", image_size=32, patch=8, classes=5, embeddings=7
    )
    with pytest.raises(MessageError, match="7 patch embeddings for 16 patches"):
        material.build_model(bytes(1_100_000))


def test_moves_between_patches_are_no_key_of_an_embedding() -> None:
    positions = np.arange(8).reshape(2, 4)
    crossing = np.array([4, 1, 2, 3, 0, 5, 6, 7])
    with pytest.raises(UsageError, match="between the model's patches"):
        affine_from_moves(2, positions, crossing, np.zeros(8, np.bool_), nibbles=False)


def test_adapted_weights_are_not_the_plain_ones() -> None:
    state = state_bytes(small_vit())
    keyed = keyed_cipher("vit_block", {"patch": 8}, ImageShape(32, 32, 3))
    adapted, _ = unpack(adapt_by_key(state, keyed.affine_embedding(8), MEAN, STD))
    plain, _ = unpack(state)
    changed = {name for name in plain if not np.array_equal(plain[name], adapted[name])}
    assert changed == {"patch_embed.proj.weight", "patch_embed.proj.bias", "pos_embed"}


def test_forgetting_the_patch_embedding_leaves_the_rest_and_its_scale() -> None:
    model, forgotten = small_vit(), small_vit()
    forget_patch_embedding(forgotten, 1)
    before, after = model.state_dict(), forgotten.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"patch_embed.proj.weight", "patch_embed.proj.bias"}
    kernel = "patch_embed.proj.weight"
    assert float(after[kernel].std() / before[kernel].std()) == pytest.approx(1, abs=0.05)
    correlation = torch.corrcoef(torch.stack([before[kernel].ravel(), after[kernel].ravel()]))
    assert abs(float(correlation[0, 1])) < 0.05
