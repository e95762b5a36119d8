"""The server solves ciphertexts by itself and reads them as the plain model does, or says not."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

from he_compare.block_scramble.cipher import cipher_parameters
from he_compare.block_scramble.deployment.public_material import ServerMaterial
from he_compare.block_scramble.deployment.solving import (
    FOLDS,
    forget_places,
    probe_loss,
    reads_ciphertexts,
    solve_ciphertexts,
)
from he_compare.block_scramble.engine.shapes import ImageShape
from he_compare.block_scramble.keys.client_key import ClientKey
from he_compare.common import plugins
from he_compare.common.backbones.deit import (
    build_vit,
    pixel_statistics,
    predict_logits,
    state_bytes,
)
from he_compare.common.datasets.embedded.atlas import sample
from he_compare.common.references.natural import NaturalPhotographs
from he_compare.common.types import IntArray, PixelArray, UInt8Array

SIZE, PATCH, BACKBONE, COUNT = 112, 16, "deit_tiny_distilled_patch16_224", 120


@cache
def radiographs() -> tuple[UInt8Array, IntArray]:
    drawn = sample(COUNT, 1, SIZE)
    return drawn.images, drawn.labels


@cache
def photographs() -> UInt8Array:
    return NaturalPhotographs().images(400, SIZE, 3, 5)


def encrypted(name: str, images: UInt8Array, **options: Any) -> PixelArray:
    cipher = plugins.load("ciphers", name)
    if "patch" in cipher.parameters.model_fields:
        options["patch"] = PATCH
    key = ClientKey.from_seed(7)
    shape = ImageShape(SIZE, SIZE, 3)
    keyed = cipher.prepare(key, cipher_parameters(cipher, options), shape, sequence="test")
    if cipher.traits.fresh_nonces:
        return keyed.encrypt_under(images, [i.to_bytes(16, "big") for i in range(len(images))])
    return keyed.encrypt(images)


def model() -> VisionTransformer:
    return build_vit(BACKBONE, image_size=SIZE, classes=2, weights="shipped", seed=0)


def header() -> ServerMaterial:
    return ServerMaterial(
        backbone=BACKBONE,
        image_size=SIZE,
        patch=PATCH,
        classes=2,
        mean=(0.4, 0.5, 0.6),
        std=(0.3, 0.2, 0.1),
    )


def exact(shown: UInt8Array, plain: UInt8Array) -> bool:
    """Say whether pictures are the originals, turned in one way and perhaps negated."""
    ways = [np.rot90(face, k, (1, 2)) for face in (plain, plain.swapaxes(1, 2)) for k in range(4)]
    return any(np.array_equal(shown, one) or np.array_equal(255 - shown, one) for one in ways)


@pytest.mark.parametrize(
    ("cipher", "options"),
    [
        ("vit_block", {}),
        ("vit_block", {"negative_positive": True}),
        ("al_amin", {}),
        ("np", {}),
        ("identity", {}),
    ],
)
def test_ciphertexts_of_radiographs_are_solved_exactly(
    cipher: str, options: dict[str, Any]
) -> None:
    plain, labels = radiographs()
    hidden = encrypted(cipher, plain, **options)
    solved, figures = solve_ciphertexts(model(), header(), hidden, labels)
    assert solved is not None and solved.placed
    assert figures["solved_neighbours"] > 0.5
    assert exact(solved.view.pictures(hidden), plain)


def test_blocks_that_never_moved_are_shown_the_right_way_up() -> None:
    plain, labels = radiographs()
    hidden = encrypted("shf", plain)
    solved, figures = solve_ciphertexts(model(), header(), hidden, labels)
    assert solved is not None and figures["solved_ways"] == 1
    assert np.array_equal(solved.view.pictures(hidden), plain)


@pytest.mark.parametrize("cipher", ["noise", "madono_ele", "tanaka_le"])
def test_what_this_solver_does_not_read_is_left_to_others(cipher: str) -> None:
    plain, labels = radiographs()
    assert solve_ciphertexts(model(), header(), encrypted(cipher, plain), labels)[0] is None


def test_an_order_of_blocks_for_every_image_leaves_their_inside() -> None:
    plain, labels = radiographs()
    hidden = encrypted("patch_shuffle", plain)
    solved, _ = solve_ciphertexts(model(), header(), hidden, labels)
    assert solved is not None and not solved.placed
    assert np.array_equal(solved.view.pictures(hidden), hidden)


def test_the_solved_model_does_on_ciphertexts_what_the_plain_one_does_on_their_pictures() -> None:
    plain, labels = radiographs()
    hidden = encrypted("vit_block", plain, negative_positive=True)
    plain_model = model()
    solved, _ = solve_ciphertexts(plain_model, header(), hidden, labels)
    assert solved is not None
    pictures = solved.view.pictures(hidden[:8])
    wanted = predict_logits(plain_model, pictures, *pixel_statistics(BACKBONE))
    told = reads_ciphertexts(state_bytes(plain_model), header(), solved.view)
    there = header().build_model(told)
    assert np.abs(predict_logits(there, hidden[:8], *header().statistics()) - wanted).max() < 1e-3


def test_too_few_images_are_not_solved() -> None:
    plain, labels = radiographs()
    assert solve_ciphertexts(model(), header(), plain[:8], labels[:8]) == (None, {})


def test_colours_that_a_key_mixed_are_told_apart_exactly() -> None:
    plain = photographs()
    labels = (plain.mean(axis=(1, 2, 3)) > 110).astype(np.int64)
    hidden = encrypted("vit_block", plain)
    solved, figures = solve_ciphertexts(model(), header(), hidden, labels)
    assert solved is not None and figures["solved_ways"] == 48
    shown = np.sort(solved.view.pictures(hidden), axis=3)
    assert exact(shown, np.sort(plain, axis=3))


def test_places_that_are_not_known_are_all_alike() -> None:
    one = model()
    forget_places(one, header())
    places = one.pos_embed[0, -49:]
    assert torch.allclose(places, places[:1].expand_as(places), atol=1e-6)


def test_features_that_tell_the_labels_have_a_smaller_loss() -> None:
    random = np.random.default_rng(0)
    labels = np.arange(10 * FOLDS) % 2
    noise = random.normal(size=(len(labels), 5))
    told = noise + 3.0 * labels[:, None]
    assert probe_loss(told, labels) < 0.55 < 0.65 < probe_loss(noise, labels)
