"""What an adversary may spend on one target: the named budgets of an audit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class AttackBudget:
    """What an adversary may spend on one target; ``seconds`` per key."""

    name: str
    keys: int
    images: int
    queries: int
    pairs: int
    auxiliary: int
    candidates: int
    labels: int
    seconds: float

    def with_images(self, wanted: int) -> AttackBudget:
        """Return the budget of an attack that takes so many ciphertexts per key, or more."""
        return replace(self, images=max(self.images, wanted))

    def as_record(self) -> dict[str, Any]:
        """Return the budget as it is kept in an outcome."""
        return dict(vars(self))


BUDGETS: dict[str, AttackBudget] = {
    budget.name: budget
    for budget in (
        AttackBudget("quick", 3, 20, 3, 16, 60, 624, 60, 20.0),
        AttackBudget("full", 5, 50, 16, 64, 500, 624, 200, 300.0),
    )
}
