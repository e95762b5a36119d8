"""What a target must have for an attack to apply, and the obstacle if it has not.

An attack lists them in ``requires``; the first that is not met is why the attack does not apply.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from he_compare.common.target_facts import Facts


@dataclass(frozen=True)
class Requirement:
    """``met``: whether a target has it. ``obstacle``: what stands in the way where it has not."""

    obstacle: str
    met: Callable[[Facts], bool]


BLOCKS = Requirement("no blocks", lambda facts: facts.patch is not None)
ONE_KEY = Requirement(
    "every image has a key of its own", lambda facts: facts.deterministic and facts.one_key
)
SHARED_KEY = Requirement("every block has a key of its own", lambda facts: facts.shared_key)
MOVED_BLOCKS = Requirement("blocks do not change places", lambda facts: facts.moves_blocks)
BYTES = Requirement(
    "values are mixed, not kept as bytes", lambda facts: facts.ciphertext == "uint8"
)
NO_BYTES = Requirement(
    "values are moved or mapped as bytes, not mixed", lambda facts: facts.ciphertext != "uint8"
)
ONE_VALUE = Requirement(
    "a value of the ciphertext depends on many of the image", lambda facts: facts.local
)


def first_obstacle(requires: tuple[Requirement, ...], facts: Facts) -> str:
    """Return the obstacle of the first requirement that a target does not meet; '' where none."""
    return next((one.obstacle for one in requires if not one.met(facts)), "")
