"""What the ciphertext shows as it is is a row of its own: it is nobody's merit, and no pass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from he_compare.common.adversary import Pairs, Truth, View
from he_compare.common.types import UInt8Array
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
