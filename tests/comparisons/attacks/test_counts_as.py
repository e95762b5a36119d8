"""What is open by design, or hypothetical, is no break."""

from __future__ import annotations

from dataclasses import replace

import pytest

from he_compare.common import plugins
from he_compare.common.attack import Attack
from he_compare.common.attack_requirements import (
    BLOCKS,
    MOVED_BLOCKS,
    NO_BYTES,
    ONE_KEY,
    SHARED_KEY,
)
from he_compare.common.scheme import NO_MODEL
from he_compare.common.target_facts import Facts
from he_compare.comparisons.attacks.tools.move_keys import MOVES_VALUES
from he_compare.comparisons.auditing.targets import cipher_target


def facts(cipher: str = "vit_block[patch=8]", learns_class: bool | None = None) -> Facts:
    found = cipher_target(cipher, 32).facts
    claims = found.claims.model_copy(update={"server_learns_class": learns_class})
    return replace(found, claims=claims)


@pytest.mark.parametrize(
    ("kind", "learns_class", "counts_as"),
    [
        ("pipeline", True, "open by design"),
        ("pipeline", None, "evidence"),
        ("pipeline", False, "evidence"),
        ("cipher", True, "evidence"),
        ("cipher", None, "evidence"),
    ],
)
def test_the_class_is_open_by_design_where_a_server_computes_it_in_the_clear(
    kind: str, learns_class: bool | None, counts_as: str
) -> None:
    attack: Attack = plugins.load("attacks", "property_inference")
    assert attack.counts_as(replace(facts(learns_class=learns_class), kind=kind)) == counts_as


def test_a_cipher_alone_does_not_say_that_its_server_learns_the_class() -> None:
    assert cipher_target("vit_block[patch=8]", 32).scheme.claims().server_learns_class is None


def test_there_is_no_model_to_read_where_none_was_adapted() -> None:
    attack: Attack = plugins.load("attacks", "model_to_key")
    assert attack.obstacle(facts()) == (NO_MODEL, True)
    adapted = replace(facts(), unadaptable="")
    assert attack.obstacle(adapted) is None


def test_what_the_cipher_does_not_do_is_told_from_what_the_solver_cannot_read() -> None:
    plain, blocks = facts("pixel_np"), facts()
    assert BLOCKS.holds_by_construction(plain) and not BLOCKS.holds_by_construction(blocks)
    assert SHARED_KEY.holds_by_construction(blocks) and NO_BYTES.holds_by_construction(blocks)
    assert not ONE_KEY.holds_by_construction(blocks)
    assert not MOVES_VALUES.holds_by_construction(blocks)
    assert MOVED_BLOCKS.holds_by_construction(replace(blocks, keeps_blocks=True))
    unknown = replace(blocks, keeps_blocks=False, local=False, keeps_places=False)
    assert not MOVED_BLOCKS.holds_by_construction(unknown)


def test_of_blocks_of_unknown_side_nothing_holds_by_construction() -> None:
    blocks = cipher_target("vit_block[patch=8]", 32).facts
    unknown = replace(blocks, patch=None, shared_key=False, moves_blocks=False, keeps_blocks=False)
    assert not SHARED_KEY.holds_by_construction(unknown)
    assert not MOVED_BLOCKS.holds_by_construction(unknown)
    mixed = replace(blocks, keeps_values=False, keeps_folded=False, keeps_nibbles=False)
    assert not NO_BYTES.holds_by_construction(mixed)
