"""What a target must have for an attack to apply, and the obstacle if it has not.

An attack lists them in ``requires``. What stands in the way is either a property of the cipher,
since what the attack undoes is not there ("not applicable"), or a limit of the solver, so that
nothing is known ("unreadable"). It is the second unless a requirement says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from he_compare.common.target_facts import Facts


@dataclass(frozen=True)
class Requirement:
    """``met``: whether a target has it. ``obstacle``: what stands in the way where it has not.

    ``by_construction``: whether the obstacle holds for the cipher whatever the solver, so that
    there is nothing to attack; False (the default) for a limit of this solver.
    """

    obstacle: str
    met: Callable[[Facts], bool]
    by_construction: bool | Callable[[Facts], bool] = False

    def holds_by_construction(self, facts: Facts) -> bool:
        """Say whether the obstacle is a property of the cipher that has these facts."""
        found = self.by_construction
        return found(facts) if callable(found) else found


class Obstacle(NamedTuple):
    """Why an attack does not run on a target; a limit of the solver unless ``by_construction``."""

    reason: str
    by_construction: bool


# A cipher that changes every pixel by itself has no blocks. Others may have some of unknown size.
BLOCKS = Requirement(
    "no blocks", lambda facts: facts.patch is not None, lambda facts: facts.keeps_places
)
# Images under keys of their own can be attacked one by one: that a solver reads them together is
# its own limit.
ONE_KEY = Requirement(
    "every image has a key of its own", lambda facts: facts.deterministic and facts.one_key
)
# What was sent under keys of many images says nothing of the next one, unless the cipher lets no
# structure through at all: then that is what an attack shows.
ONE_KEY_TO_LEARN = Requirement(
    "every image has a key of its own; this solver learns one for all",
    lambda facts: facts.one_key or not (facts.key_per_image or facts.keeps_nibbles),
)
# Of blocks whose side nobody knows, nothing was measured.
SHARED_KEY = Requirement(
    "every block has a key of its own",
    lambda facts: facts.shared_key,
    lambda facts: facts.patch is not None or facts.keeps_places,
)
MOVED_BLOCKS = Requirement(
    "blocks do not change places",
    lambda facts: facts.moves_blocks,
    lambda facts: (
        facts.keeps_places or (facts.patch is not None and (facts.keeps_blocks or facts.local))
    ),
)
BYTES = Requirement(
    "values are mixed, not kept as bytes", lambda facts: facts.ciphertext == "uint8"
)
NO_BYTES = Requirement(
    "values are moved or mapped as bytes, not mixed",
    lambda facts: facts.ciphertext != "uint8",
    lambda facts: facts.keeps_nibbles or facts.keeps_folded or facts.tables_in_place,
)
ONE_VALUE = Requirement(
    "a value of the ciphertext depends on many of the image",
    lambda facts: facts.local,
    lambda facts: facts.one_key,
)

KEPT_BLOCKS = Requirement(
    "no block of the ciphertext holds one block of the image", lambda facts: facts.keeps_blocks
)


def first_obstacle(requires: tuple[Requirement, ...], facts: Facts) -> str:
    """Return the obstacle of the first requirement that a target does not meet; '' where none."""
    return next((one.obstacle for one in requires if not one.met(facts)), "")


def worst_obstacle(requires: tuple[Requirement, ...], facts: Facts) -> Obstacle | None:
    """Return what stands in the way: a property of the cipher before any limit of the solver."""
    unmet = [one for one in requires if not one.met(facts)]
    found = [Obstacle(one.obstacle, one.holds_by_construction(facts)) for one in unmet]
    return next((one for one in found if one.by_construction), found[0] if found else None)
