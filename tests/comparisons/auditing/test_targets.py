"""What is found out about a cipher by running it under own keys."""

from __future__ import annotations

from typing import Any

import pytest
from threadpoolctl import threadpool_limits

from he_compare.comparisons.auditing.facts import facts_of
from he_compare.comparisons.auditing.targets import cipher_target, scheme_of_cipher

TRUE_FACTS = {
    "vit_block": "keeps_values keeps_folded keeps_nibbles local bytewise shared_key moves_blocks",
    "np": "keeps_folded keeps_nibbles keeps_places local bytewise shared_key",
    "pixel_np": "keeps_folded keeps_nibbles keeps_places local bytewise",
    "tanaka_le": "keeps_nibbles local shared_key",
    "madono_ele": "keeps_nibbles local moves_blocks",
    "etc": "keeps_folded keeps_nibbles local bytewise moves_blocks",
    "etc_gray": "keeps_folded keeps_nibbles local bytewise moves_blocks",
    "restricted": "keeps_values keeps_folded keeps_nibbles local bytewise shared_key moves_blocks",
    "shf": "keeps_values keeps_folded keeps_nibbles local bytewise shared_key",
    "ffx": "keeps_places local bytewise shared_key",
}
ASKED = {name for facts in TRUE_FACTS.values() for name in facts.split()}


@pytest.mark.parametrize("cipher", TRUE_FACTS)
def test_the_structure_of_a_cipher_is_found_by_running_it(cipher: str) -> None:
    options: dict[str, Any] = {} if cipher == "pixel_np" else {"patch": 8}
    facts = facts_of(scheme_of_cipher(cipher, options, 32), cipher, "cipher")
    assert facts.deterministic and facts.one_key
    assert {name for name in ASKED if getattr(facts, name)} == set(TRUE_FACTS[cipher].split())


def test_a_key_for_each_image_and_fresh_nonces_show() -> None:
    per_image = cipher_target("vit_block[patch=8,key_policy=per_image]", 32).facts
    aes = cipher_target("aes_ctr", 32).facts
    assert per_image is not None and aes is not None
    assert per_image.deterministic and not per_image.one_key
    assert per_image.images_are_samples
    assert cipher_target("patch_shuffle[patch=8]", 32).facts.images_are_samples
    assert not cipher_target("vit_block[patch=8]", 32).facts.images_are_samples
    assert not aes.deterministic and aes.kind == "control"


def test_a_fresh_order_for_each_image_shows_and_so_does_what_stays_whole() -> None:
    whole = cipher_target("patch_shuffle[patch=8]", 32).facts
    mixed = cipher_target("patch_shuffle[patch=8,mix=true]", 32).facts
    assert whole is not None and mixed is not None
    for facts in (whole, mixed):
        assert not facts.deterministic and not facts.one_key and not facts.key_per_image
        assert facts.keeps_values and not facts.keeps_places
    assert whole.keeps_blocks and whole.moves_blocks and not mixed.keeps_blocks


def test_a_cipher_takes_the_largest_size_that_its_blocks_tile() -> None:
    facts = cipher_target("al_amin", 64).facts
    assert facts is not None
    assert facts.shape == (50, 50, 3) and facts.patch == 25


@pytest.mark.parametrize("patch", [8, 16])
def test_facts_of_a_rotation_do_not_depend_on_the_number_of_threads(patch: int) -> None:
    facts = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            found = cipher_target(f"orthogonal[patch={patch}]", 64).facts
            facts.append({name: value for name, value in vars(found).items() if name != "claims"})
    assert facts[0] == facts[1]
    assert facts[0]["shared_key"] and not facts[0]["moves_blocks"]


@pytest.mark.parametrize(
    ("cipher", "stay"),
    [
        ("etc[patch=8]", True),
        ("etc[patch=8,key_policy=per_image]", True),
        ("patch_shuffle[patch=8]", True),
        ("vit_block[patch=8]", False),
        ("al_amin[patch=8,shared_pixel_key=false]", False),
        ("madono_ele", False),
        ("orthogonal[patch=8]", False),
    ],
)
def test_whether_pixels_inside_blocks_stay_beside_each_other(cipher: str, stay: bool) -> None:
    assert cipher_target(cipher, 32).facts.keeps_neighbours is stay
