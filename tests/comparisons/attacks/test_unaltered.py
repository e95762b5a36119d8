"""What the ciphertext shows as it is is a row of its own: it is nobody's merit, and no pass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from he_compare.block_scramble.keyed_cipher import as_pictures
from he_compare.common.adversary import Pairs, Truth, View
from he_compare.common.run.severity import gravest
from he_compare.common.types import UInt8Array
from he_compare.comparisons.attacks.tools.likeness import as_picture
from he_compare.comparisons.attacks.unaltered import ATTACK
from he_compare.comparisons.auditing.facts import facts_of
from he_compare.comparisons.auditing.floors import had_without
from he_compare.comparisons.auditing.targets import scheme_of_cipher
from tests.support.oneattack import outcome
from tests.support.smoothimages import smooth_images


def test_scrambled_pictures_show_next_to_nothing_and_plain_ones_everything(tmp_path: Path) -> None:
    assert outcome(tmp_path / "a", "unaltered", "vit_block[patch=8]").verdict != "broken"
    plain = outcome(tmp_path / "b", "unaltered", "identity")
    assert (plain.verdict, plain.metric and plain.metric.value) == ("broken", 1.0)


def test_a_picture_that_is_half_left_alone_is_seen_by_whoever_looks() -> None:
    images: UInt8Array = smooth_images(4, 32)
    seen = images.copy()
    seen[:, :16] = np.random.default_rng(0).integers(0, 256, seen[:, :16].shape)
    facts = facts_of(scheme_of_cipher("identity", {}, 32), "half", "cipher")
    mean = np.rint(smooth_images(8, 32).mean(axis=0)).astype(np.uint8)
    ids = tuple("abcd")
    truth = Truth(
        facts, images, ids, np.zeros(4, np.int64), Pairs(images, seen), None, public_mean=mean
    )
    view = View(facts, [], seen, lambda plain, key: plain)
    score = ATTACK.score(seen, truth)
    assert score.value == pytest.approx(0.5, abs=0.1)
    assert had_without(ATTACK, view, truth).keys() == {"the mean public picture"}
    assert score.images == ids and score.each is not None and len(score.each) == 4


def test_a_picture_as_float_values_is_the_picture_and_not_one_of_half_contrast() -> None:
    (image,) = smooth_images(1, 32)
    values = image.astype(np.float32)
    assert (as_picture(values) == image).all()
    assert (as_pictures(values[None])[0] == image).all()
    hidden = values.copy()
    hidden[::5] = np.float32(-120.0)
    assert (as_picture(hidden)[1] == image[1]).all()


def test_values_around_zero_are_shown_around_grey() -> None:
    values = np.random.default_rng(0).normal(0, 100, (16, 16, 3)).astype(np.float32)
    middle = np.clip(np.rint(127.5 + values / 2.0), 0, 255)
    assert np.abs(as_picture(values) - middle).max() <= 1
    values[0, 0, 0] = np.nan
    assert as_picture(values).dtype == np.uint8


def test_that_it_shows_nothing_is_no_pass(tmp_path: Path) -> None:
    nothing = outcome(tmp_path, "unaltered", "vit_block[patch=8]")
    assert nothing.verdict == "resists within budget"
    assert gravest([nothing]) is None
    shown = nothing.model_copy(update={"verdict": "broken"})
    assert gravest([nothing, shown]) == shown
