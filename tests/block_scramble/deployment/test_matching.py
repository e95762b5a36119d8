"""Blocks of ciphertexts are aligned with public images' by moments, or said not to be.

Images are of the synthetic cohort: scrambled ones under one seed, public ones under another.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from he_compare.block_scramble.cipher import cipher_parameters
from he_compare.block_scramble.deployment.matching import fold_in, match_patch_embedding
from he_compare.block_scramble.deployment.public_material import ServerMaterial
from he_compare.block_scramble.engine.shapes import ImageShape
from he_compare.block_scramble.keyed_cipher import KeyedCipher
from he_compare.block_scramble.keys.client_key import ClientKey
from he_compare.common import plugins
from he_compare.common.backbones.deit import build_vit, pixel_statistics, predict_logits
from he_compare.common.block_moments import LEAST_IMAGES, Alignment, align_blocks
from he_compare.common.datasets.embedded.atlas import sample
from he_compare.common.errors import MessageError
from he_compare.common.types import UInt8Array

SIZE, PATCH, BACKBONE = 112, 16, "deit_tiny_distilled_patch16_224"


@cache
def images(seed: int, count: int) -> UInt8Array:
    return sample(count, seed, SIZE).images


def keyed(name: str, **options: Any) -> KeyedCipher:
    cipher = plugins.load("ciphers", name)
    if "patch" in cipher.parameters.model_fields:
        options["patch"] = PATCH
    shape = ImageShape(SIZE, SIZE, 3)
    return cipher.prepare(ClientKey.from_seed(7), cipher_parameters(cipher, options), shape)


def blocks(pixels: np.ndarray) -> np.ndarray:
    across = SIZE // PATCH
    tiles = pixels.reshape(len(pixels), across, PATCH, across, PATCH, 3).transpose(0, 1, 3, 2, 4, 5)
    return tiles.reshape(len(pixels), across * across, -1).astype(np.float64)


@pytest.mark.parametrize(
    ("name", "options"),
    [("vit_block", {"negative_positive": True}), ("al_amin", {}), ("np", {}), ("orthogonal", {})],
)
def test_one_key_for_all_blocks_is_undone_without_it(name: str, options: dict[str, Any]) -> None:
    plain, cipher = images(1, 150), keyed(name, **options)
    hidden = cipher.encrypt(plain)
    alignment = align_blocks(hidden, images(2, 150), PATCH)
    assert alignment is not None and alignment.found
    order = cipher.affine_embedding(PATCH).block_order
    assert (alignment.block_order == order).mean() > 0.9
    guess = alignment.mean_to + (blocks(hidden) - alignment.mean_from) @ alignment.turn
    truth = blocks(plain)[:, alignment.block_order]
    left = ((guess - truth) ** 2).sum() / ((truth - truth.mean(axis=(0, 1))) ** 2).sum()
    assert left < 0.1


@pytest.mark.parametrize("name", ["noise", "madono_ele", "pixel_np", "etc", "tanaka_le"])
def test_other_ciphers_are_said_not_to_match(name: str) -> None:
    alignment = align_blocks(keyed(name).encrypt(images(1, 150)), images(2, 150), PATCH)
    assert alignment is not None and not alignment.found


def test_too_little_to_align_is_none() -> None:
    few = images(1, 150)[: LEAST_IMAGES - 1]
    assert align_blocks(few, images(2, 150), PATCH) is None
    flat = np.full((20, SIZE, SIZE, 3), 9, np.uint8)
    assert align_blocks(flat, images(2, 150), PATCH) is None
    assert align_blocks(images(1, 150), images(2, 150), SIZE) is None


def test_matched_embedding_reads_ciphertexts_nearly_as_the_one_adapted_by_key() -> None:
    cipher = keyed("vit_block")
    hidden = cipher.encrypt(images(1, 150))
    model = build_vit(BACKBONE, image_size=SIZE, classes=2, weights="shipped", seed=0)
    model.head = model.head_dist = torch.nn.Identity()
    mean, std = pixel_statistics(BACKBONE)
    plain = predict_logits(model, images(1, 150)[:40], mean, std)
    header = ServerMaterial(
        backbone=BACKBONE,
        image_size=SIZE,
        patch=PATCH,
        classes=2,
        mean=(0.4, 0.4, 0.4),
        std=(0.3, 0.3, 0.3),
        reference="synthetic-chest",
    )
    before = predict_logits(model, hidden[:40], *header.statistics())
    alignment = match_patch_embedding(model, header, hidden)
    after = predict_logits(model, hidden[:40], *header.statistics())
    assert alignment is not None and alignment.found
    assert _unlike(after, plain) < 0.35 < 1.0 < _unlike(before, plain)


def test_an_exact_alignment_folds_into_the_scores_of_the_plain_model() -> None:
    model = build_vit(BACKBONE, image_size=SIZE, classes=2, weights="shipped", seed=0)
    mean, std = pixel_statistics(BACKBONE)
    plain = predict_logits(model, images(1, 150)[:8], mean, std)
    cipher = keyed("vit_block")
    key = cipher.affine_embedding(PATCH)
    values = PATCH * PATCH * 3
    turn = np.eye(values)[key.value_order[0]]
    exact = Alignment(turn, np.zeros(values), np.zeros(values), key.block_order, 1.0)
    header = ServerMaterial(
        backbone=BACKBONE,
        image_size=SIZE,
        patch=PATCH,
        classes=2,
        mean=(0.4, 0.5, 0.6),
        std=(0.3, 0.2, 0.1),
    )
    fold_in(model, header, exact)
    hidden = cipher.encrypt(images(1, 150)[:8])
    assert np.abs(predict_logits(model, hidden, *header.statistics()) - plain).max() < 1e-3


def _unlike(found: np.ndarray, wanted: np.ndarray) -> float:
    """Squared distance of centred features in shares of their variance."""
    spread = ((wanted - wanted.mean(axis=0)) ** 2).sum()
    return float(((found - wanted) ** 2).sum() / spread)


def material(**changes: Any) -> ServerMaterial:
    return ServerMaterial(backbone=BACKBONE, image_size=SIZE, patch=PATCH, classes=2, **changes)


def test_photographs_do_not_match_radiographs_and_leave_the_model_as_it_is() -> None:
    hidden = keyed("vit_block").encrypt(images(1, 150))
    model = build_vit(BACKBONE, image_size=SIZE, classes=2, weights="shipped", seed=0)
    before = model.patch_embed.proj.weight.detach().clone()
    alignment = match_patch_embedding(model, material(reference="natural"), hidden)
    assert alignment is not None and not alignment.found
    assert torch.equal(before, model.patch_embed.proj.weight)


def test_public_images_that_do_not_ship_come_with_the_material() -> None:
    header = material(reference="folder-0", reference_sent=True)
    for sent in (images(2, 20), np.roll(images(2, 20), 1, axis=3) // np.uint8([1, 2, 3])):
        data = header.to_bytes(b"state", sent=sent)
        read, states = ServerMaterial.from_bytes(data)
        found = read.sent_images(data)
        assert states == (b"state",) and found is not None and np.array_equal(found, sent)
    assert material().sent_images(data) is None
    with pytest.raises(MessageError, match="lacks the array"):
        header.sent_images(header.to_bytes(b"state"))
    with pytest.raises(MessageError, match="public images of shape"):
        header.sent_images(header.to_bytes(b"state", sent=images(2, 20)[:, :8]))


def test_a_reference_that_neither_ships_nor_was_sent_is_refused() -> None:
    model = build_vit(BACKBONE, image_size=SIZE, classes=2, weights="shipped", seed=0)
    with pytest.raises(MessageError, match="no public images 'folder-0' ship"):
        match_patch_embedding(model, material(reference="folder-0"), images(1, 20))
