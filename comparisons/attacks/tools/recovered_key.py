"""A key of moves that an attack found: what it decrypts, and how near the sealed key it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np

from he_compare.common.adversary import Pairs, Truth, View
from he_compare.common.attack import Attack
from he_compare.common.attack_requirements import ONE_KEY_TO_LEARN
from he_compare.common.attack_score import AS_IT_IS, AttackMetric, Detail, Picture
from he_compare.common.scheme import KeyMoves, PictureShape
from he_compare.common.similarity import gradient_similarity, psnr, ssim
from he_compare.common.types import Float64Array, IntArray, PixelArray, UInt8Array
from he_compare.comparisons.attacks.tools.move_keys import (
    BYTE_TOP,
    MOVES_VALUES,
    NIBBLE_TOP,
    images_of,
    units_of,
)
from he_compare.comparisons.attacks.tools.recogniser import recognised

SHOWN = 3


@dataclass(frozen=True)
class RecoveredKey:
    """A key, how many images it took, and what it was tried on."""

    key: KeyMoves
    queries: int
    ciphertexts: PixelArray


class KeyRecovery(Attack):
    """An attack that recovers a key of moves: verified by decrypting sealed images with it."""

    metric = AttackMetric("share of values of fresh images decrypted correctly", best=1.0)
    requires = (ONE_KEY_TO_LEARN, MOVES_VALUES)
    source = "design of the cipher: no diffusion, one key for all images"

    def effortless(self, view: View, truth: Truth) -> Mapping[str, float]:
        """Count the values of sealed images that their ciphertexts hold in place, unaltered."""
        fresh = truth.fresh
        return {AS_IT_IS: float((fresh.ciphertexts == fresh.plain).mean())}


def decrypt(
    key: KeyMoves, ciphertexts: PixelArray, shape: PictureShape, *, unset: float = 0.5
) -> UInt8Array:
    """Decrypt ciphertexts (n, h, w, c) with a recovered key.

    A guessed key may move two units to one place. Places that none is moved to are ``unset`` of the
    largest value.
    """
    top = NIBBLE_TOP if key.nibbles else BYTE_TOP
    units = units_of(ciphertexts, key.nibbles)
    plain = np.full_like(units, round(unset * top))
    plain[:, key.index] = np.where(key.negated, top - units, units)
    return images_of(plain, shape, key.nibbles)


def value_shares(key: KeyMoves, pairs: Pairs, shape: PictureShape) -> Float64Array:
    """Return for each sealed image the share of values that a recovered key decrypts right.

    A value that the key says nothing of is not right, whatever stands in its place.
    """
    dark, light = (decrypt(key, pairs.ciphertexts, shape, unset=unset) for unset in (0.0, 1.0))
    right = (dark == pairs.plain) & (light == pairs.plain)
    return cast(Float64Array, right.mean(axis=(1, 2, 3)))


def value_share(key: KeyMoves, pairs: Pairs, shape: PictureShape) -> float:
    """Return the share of values of sealed images that a recovered key decrypts right."""
    return float(value_shares(key, pairs, shape).mean())


def key_details(key: KeyMoves, truth: Truth) -> list[Detail]:
    """Compare what a recovered key decrypts with the sealed images, and it with the sealed key."""
    plain = truth.fresh.plain
    found = decrypt(key, truth.fresh.ciphertexts, truth.facts.shape)
    details = [
        Detail("SSIM of decrypted images", float(ssim(found, plain).mean())),
        Detail("PSNR of decrypted images", float(psnr(found, plain).mean()), "dB"),
        Detail("gradient similarity", float(gradient_similarity(found, plain).mean())),
    ]
    if truth.fresh_labels is not None:
        details += recognised(found, plain, truth.fresh_labels, truth)
    return details + _exactness(key, truth)


def _exactness(key: KeyMoves, truth: Truth) -> list[Detail]:
    """Count exact key positions, where the cipher has a key of that kind."""
    if truth.key is None or truth.key.nibbles != key.nibbles:
        return []
    right = truth.key.index == key.index
    same_pixel = _pixel_of(truth.key, truth) == _pixel_of(key, truth)
    return [
        Detail("key positions exact", float(right.mean())),
        Detail("key positions in the right pixel", float(same_pixel.mean())),
        Detail("negation mask right", float((truth.key.negated == key.negated).mean())),
    ]


def _pixel_of(key: KeyMoves, truth: Truth) -> IntArray:
    """Return the pixel each unit came from, low and high halves apart."""
    height, width, channels = truth.facts.shape
    half, value = np.divmod(key.index, height * width * channels)
    return cast(IntArray, half * height * width + value // channels)


def fresh_pictures(key: KeyMoves, truth: Truth, ciphertexts: PixelArray) -> list[Picture]:
    """Show attacked ciphertexts decrypted with the recovered key."""
    shown = decrypt(key, ciphertexts[:SHOWN], truth.facts.shape)
    alike = ssim(shown, truth.originals[:SHOWN])
    return [Picture(i, image, f"SSIM {alike[i]:.2f}") for i, image in enumerate(shown)]
