"""Learned linear inversion: bytes that say nothing give the mean picture, whatever their frame."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from he_compare.common.adversary import Need, Pairs, View
from he_compare.common.scheme import folded
from he_compare.common.similarity import ssim
from he_compare.common.types import PixelArray, UInt8Array
from he_compare.comparisons.attacks.learned_linear import ATTACK
from he_compare.comparisons.auditing.targets import cipher_target
from tests.support.oneattack import SMALL
from tests.support.smoothimages import smooth_images

SIDE, PAIRS = 32, 16
SHAPE = (SIDE, SIDE, 3)
RANDOM = np.random.default_rng(4)
FRAME = RANDOM.bytes(64), RANDOM.bytes(200)
Maker = Callable[[UInt8Array], PixelArray]


def bytes_of(make: Callable[[], bytes]) -> Maker:
    return lambda images: folded([make() for _ in images], SHAPE)


def images() -> tuple[UInt8Array, UInt8Array]:
    """Pairs and attacked images that have a mean picture: a disc on a darker ground."""
    grid = np.hypot(*np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j])
    disc = np.where(grid < 0.6, 160, 40)[None, :, :, None]
    grey = (disc + smooth_images(PAIRS + 20, SIDE) / 6).astype(np.uint8)
    whole = np.repeat(grey, 3, axis=3)
    return whole[:PAIRS], whole[PAIRS:]


def recovered(encrypt: Maker) -> float:
    plain, attacked = images()
    view = View(
        facts=cipher_target("identity", SIDE).facts,
        messages=[],
        ciphertexts=encrypt(attacked),
        under_own_key=lambda some, _: encrypt(some),
        given={Need.PAIRS: Pairs(plain, encrypt(plain))},
    )
    guess = ATTACK.run(view, SMALL, RANDOM)
    return float(ssim(guess.same_key, attacked).mean())


def of_the_mean_picture() -> float:
    plain, attacked = images()
    mean = np.rint(plain.mean(axis=0)).astype(np.uint8)
    return float(ssim(np.stack([mean] * len(attacked)), attacked).mean())


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: RANDOM.bytes(SIDE * SIDE * 3), id="as long as a picture"),
        pytest.param(lambda: RANDOM.bytes(624), id="short, repeated"),
        pytest.param(lambda: FRAME[0] + RANDOM.bytes(360) + FRAME[1], id="short, in a frame"),
    ],
)
def test_bytes_that_say_nothing_give_the_mean_picture_and_no_more(
    make: Callable[[], bytes],
) -> None:
    assert recovered(bytes_of(make)) == pytest.approx(of_the_mean_picture(), abs=0.02)


def test_a_linear_map_is_still_inverted() -> None:
    assert recovered(lambda some: 255 - some[:, :, ::-1]) > 0.99 > of_the_mean_picture() + 0.05
