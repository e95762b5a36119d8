"""What the simple attacks get from the ciphers they apply to, on invented pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from he_compare.common.audit_budget import BUDGETS
from he_compare.common.scheme import NO_MODEL
from he_compare.common.types import HeldPictures
from he_compare.comparisons.attacks.minimum_difference import minimum_difference
from he_compare.comparisons.attacks.tools.move_keys import find_moves, match_rows, units_of
from he_compare.comparisons.auditing.adversary_view import _candidates
from he_compare.comparisons.auditing.targets import cipher_target, scheme_of_cipher
from tests.support.attackpool import pictures
from tests.support.oneattack import detail, outcome, outcome_on

KEYED = (
    "al_amin[patch=8]",
    "al_amin[patch=8,nibble_split=true,negative_positive=true]",
    "al_amin[patch=8,shared_pixel_key=false]",
    "vit_block[patch=8]",
    "vit_block[patch=8,negative_positive=true]",
    "tanaka_le",
    "shf",
    "np",
    "pixel_np",
    "madono_ele",
    "etc[patch=8]",
    "etc_gray[patch=8]",
    "restricted[patch=8]",
)


@pytest.mark.parametrize("cipher", KEYED)
def test_three_chosen_images_give_the_whole_key(tmp_path: Path, cipher: str) -> None:
    found = outcome(tmp_path, "chosen_plaintext", cipher)
    assert found.verdict == "broken", found.reason
    assert found.metric is not None and found.metric.value == 1.0
    assert detail(found, "key positions exact") == 1.0
    assert detail(found, "negation mask right") == 1.0
    assert found.spent["queries"] <= 3
    assert found.controls["aes_ctr"] < 0.05


@pytest.mark.parametrize("cipher", ["vit_block[patch=8,negative_positive=true]", "tanaka_le"])
def test_known_pairs_give_a_key_that_decrypts(tmp_path: Path, cipher: str) -> None:
    found = outcome(tmp_path, "known_plaintext", cipher)
    assert found.verdict == "broken"
    assert detail(found, "pairs needed for 99% of the values") <= 8
    assert detail(found, "key positions in the right pixel") > 0.99


@pytest.mark.parametrize(
    "cipher", ["vit_block[patch=8,key_policy=per_image]", "patch_shuffle[patch=8]"]
)
def test_a_key_for_each_image_is_none_that_pairs_could_tell(tmp_path: Path, cipher: str) -> None:
    for attack in ("chosen_plaintext", "known_plaintext", "learned_linear"):
        found = outcome(tmp_path / attack, attack, cipher)
        assert found.verdict == "unreadable" and "learns one for all" in found.reason


def test_where_nothing_is_kept_oracle_and_pairs_are_tried(tmp_path: Path) -> None:
    for attack in ("chosen_plaintext", "known_plaintext"):
        assert outcome(tmp_path / attack, attack, "aes_ctr").verdict == "resists within budget"


@pytest.mark.parametrize("attack", ["chosen_plaintext", "known_plaintext"])
def test_what_is_no_move_of_values_is_beyond_the_solver(tmp_path: Path, attack: str) -> None:
    found = outcome(tmp_path, attack, "ffx")
    assert found.verdict == "unreadable" and "not kept as bytes" in found.reason


@pytest.mark.parametrize("cipher", ["np", "pixel_np"])
def test_minimum_difference_restores_negated_pictures(tmp_path: Path, cipher: str) -> None:
    found = outcome(tmp_path, "minimum_difference", cipher)
    assert found.verdict == "broken"
    assert found.metric is not None and found.metric.value is not None
    assert found.metric.value > 0.95
    assert detail(found, "SSIM gain over the ciphertext") > 0.5


@pytest.mark.parametrize("attack", ["leading_bit", "minimum_difference"])
def test_folding_is_not_applicable_to_permutations_and_says_so(tmp_path: Path, attack: str) -> None:
    found = outcome(tmp_path, attack, "vit_block[patch=8]")
    assert found.verdict == "not applicable"
    assert "permutation only" in found.reason and found.metric is None


def test_minimum_difference_undoes_colour_orders_up_to_the_whole_negative() -> None:
    plain = pictures(6, 24, 5).images[:]
    scheme = scheme_of_cipher("pixel_np", {}, 24)
    seen = scheme.read(scheme.new_key(3).protect(plain))
    fixed = minimum_difference(seen.astype(np.uint8))
    right = (fixed == plain).mean()
    assert max(right, (255 - fixed == plain).mean()) > 0.95


@pytest.mark.parametrize("cipher", ["vit_block[patch=8]", "tanaka_le", "orthogonal[patch=8]"])
def test_ciphertexts_are_told_among_candidates_by_what_the_cipher_keeps(
    tmp_path: Path, cipher: str
) -> None:
    found = outcome(tmp_path, "reidentification", cipher)
    assert found.verdict == "broken"
    assert found.metric is not None and found.metric.value == 1.0
    assert found.controls["aes_ctr"] <= 0.25
    assert detail(found, "candidates") == 60


def test_copies_of_an_image_are_one_candidate() -> None:
    images = np.repeat(pictures(6, 8, 1).images[:], 2, axis=0)
    digests, random = HeldPictures(images).digests(), np.random.default_rng(0)
    chosen, where = _candidates(digests, np.array([3, 2, 7]), 5, random)
    assert len(chosen) == 5 and where[0] == where[1] != where[2]
    assert all(
        (images[chosen[w]] == images[i]).all() for w, i in zip(where, (3, 2, 7), strict=True)
    )


def test_a_property_shows_in_ciphertexts_and_not_in_noise(tmp_path: Path) -> None:
    found = outcome(tmp_path, "property_inference", "vit_block[patch=8]")
    assert found.verdict == "broken", found.reason
    assert found.controls["identity"] > 0.8 and found.controls["noise"] < 0.7


@pytest.mark.parametrize("cipher", ["vit_block[patch=8,negative_positive=true]", "tanaka_le"])
def test_a_model_adapted_by_key_gives_the_key_away(tmp_path: Path, cipher: str) -> None:
    target = cipher_target(cipher, 32)
    target.scheme.unadaptable = ""
    found = outcome_on(tmp_path, "model_to_key", target)
    assert found.verdict == "broken", (found.reason, found.unreliable)
    assert detail(found, "key positions exact") == 1.0


def test_where_no_model_was_adapted_there_is_nothing_to_read_a_key_off(tmp_path: Path) -> None:
    found = outcome(tmp_path, "model_to_key", "vit_block[patch=8]")
    assert (found.verdict, found.reason) == ("not applicable", NO_MODEL)


def test_the_key_space_counts_the_smaller_of_keys_and_entropy(tmp_path: Path) -> None:
    small = outcome(tmp_path / "np", "key_space", "np")
    large = outcome(tmp_path / "vit", "key_space", "vit_block[patch=8]")
    assert small.verdict == "broken" and "45 bits" in small.headline
    assert large.verdict == "resists within budget"
    assert large.metric is not None and large.metric.value == 256


def test_equal_signatures_still_give_a_permutation() -> None:
    rows = np.zeros((6, 3), np.uint8)
    order, negated = match_rows(rows, rows, 255)
    assert sorted(order.tolist()) == list(range(6)) and not negated.any()


def test_a_wrong_ciphertext_still_gives_a_permutation() -> None:
    facts = cipher_target("vit_block[patch=8]", 32).facts
    assert facts is not None
    random = np.random.default_rng(0)
    plain, noise = random.integers(0, 256, (2, 1, 32, 32, 3), dtype=np.uint8)
    key = find_moves(plain, noise, facts)
    assert sorted(key.index.tolist()) == list(range(units_of(plain, False).shape[1]))


def test_budgets_of_the_command_have_the_keys_that_figures_need() -> None:
    assert BUDGETS["full"].keys >= 5 and BUDGETS["quick"].keys >= 2
    assert all(budget.queries >= 3 for budget in BUDGETS.values())


def test_property_inference_reads_permuted_pictures_and_takes_enough_keys(tmp_path: Path) -> None:
    found = outcome(tmp_path, "property_inference", "vit_block[patch=8]")
    assert found.metric is not None and found.metric.name == "AUC of the class"
    assert found.spent["keys"] == 12 and found.floor == 0.5
    assert found.advantage is not None and found.advantage > 0.5


def test_the_auc_counts_pairs_in_order_and_knows_its_error_at_chance() -> None:
    from he_compare.comparisons.attacks.property_inference import _auc

    mine = np.array([True, True, False, False])
    assert _auc(np.array([3.0, 1.0, 2.0, 0.0]), mine)[0] == 0.75
    assert _auc(np.ones(4), mine)[0] == 0.5
    assert _auc(np.zeros(200), np.arange(200) < 100)[1] == pytest.approx(0.0409, abs=1e-3)
    assert _auc(np.ones(3), np.ones(3, bool)) == (0.5, 0.5)
