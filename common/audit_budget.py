"""What an adversary may spend on one target: the named budgets of an audit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from he_compare.common.backbones.device import CPU, device_identity


@dataclass(frozen=True)
class AttackBudget:
    """What an adversary may spend on one target; ``seconds`` per key, on ``device``."""

    name: str
    keys: int
    images: int
    queries: int
    pairs: int
    auxiliary: int
    candidates: int
    labels: int
    seconds: float
    device: str = CPU

    def with_images(self, wanted: int) -> AttackBudget:
        """Return the budget of an attack that takes so many ciphertexts per key, or more."""
        return replace(self, images=max(self.images, wanted))

    def as_record(self) -> dict[str, Any]:
        """Return the budget as it is kept in an outcome, with the device where it is no CPU."""
        record = dict(vars(self))
        del record["device"]
        return record if self.device == CPU else record | {"device": device_identity(self.device)}


BUDGETS: dict[str, AttackBudget] = {
    budget.name: budget
    for budget in (
        AttackBudget("quick", 3, 20, 3, 16, 60, 624, 60, 20.0),
        AttackBudget("full", 5, 50, 16, 64, 500, 624, 200, 300.0),
    )
}
