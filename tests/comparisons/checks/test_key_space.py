"""Keys are counted where a search would go over them, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from he_compare.common.attack import Inspected
from he_compare.common.audit_budget import BUDGETS
from he_compare.common.run.records import KeySpace, SecurityClaims
from he_compare.common.scheme import Scheme
from he_compare.common.types import HeldPictures
from he_compare.comparisons.auditing.targets import scheme_of_cipher
from he_compare.comparisons.checks.key_space import CHECK


class Claiming:
    """A scheme that claims a key space, and encrypts like another."""

    def __init__(self, scheme: Scheme, space: KeySpace | None) -> None:
        self.shape, self.new_key = scheme.shape, scheme.new_key
        self.space = space

    def claims(self) -> SecurityClaims:
        return SecurityClaims(
            scheme="s", protects="p", claim_type="heuristic", key_space=self.space
        )


def inspected(space: KeySpace | None) -> Inspected:
    scheme = Claiming(scheme_of_cipher("np", {}, 16), space)
    images = HeldPictures(np.zeros((1, 16, 16, 3), np.uint8))
    return Inspected("s", "", None, scheme, images, np.zeros(1, np.int64), ("a",))  # type: ignore[arg-type]


def space(bits: float, *, searched: bool = True) -> KeySpace:
    return KeySpace(
        nominal_bits=bits, seed_entropy_bits=bits, effective_bits=bits, searched=searched
    )


def test_a_lattice_secret_is_not_searched_for_and_without_a_key_there_is_nothing_to_search() -> (
    None
):
    assert "not searched for key by key" in CHECK.applies(inspected(space(512, searched=False)))
    assert CHECK.applies(inspected(None)) == "its claims name no key space"
    assert CHECK.applies(inspected(space(512))) == ""


@pytest.mark.parametrize(
    ("bits", "verdict"), [(32, "broken"), (80, "partial"), (256, "resists within budget")]
)
def test_few_keys_are_found_by_trying_them(bits: float, verdict: str) -> None:
    found = CHECK.examine(inspected(space(bits)), BUDGETS["quick"], np.random.default_rng(0))
    assert (found.verdict, found.value) == (verdict, bits)
    assert found.spent == {"trials": 5}
