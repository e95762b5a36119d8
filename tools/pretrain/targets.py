"""What the student regresses: the teacher's tokens in half-whitened principal components.

Every patch token is regressed on the teacher's token of the same place; the class token on the
teacher's class token, the distillation token on its mean patch token, and the average of the two
(what timm's head reads) on both at once. Components are divided by the square root of their
standard deviation: between plain variance, which a few directions own, and full whitening, which
is mostly noise. The readout layers live only during training.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

WEIGHTS = {"patch": 1.0, "class": 0.5, "mean": 0.5, "head": 1.0}
_COMPONENTS = {"patch": 256, "class": 192, "mean": 192, "head": 256}


def teacher_parts(tokens: Tensor) -> dict[str, Tensor]:
    """Raw targets from teacher tokens (n, 1 + patches, d)."""
    first, mean = tokens[:, 0], tokens[:, 1:].mean(1)
    return {
        "patch": tokens[:, 1:],
        "class": first,
        "mean": mean,
        "head": torch.cat([first, mean], -1),
    }


def student_parts(tokens: Tensor) -> dict[str, Tensor]:
    """The student tokens (n, 2 + patches, d) that each target is read from."""
    first, second = tokens[:, 0], tokens[:, 1]
    return {
        "patch": tokens[:, 2:],
        "class": first,
        "mean": second,
        "head": (first + second) / 2,
    }


@dataclass(frozen=True)
class Target:
    """Principal components of one kind of target: mean (d), basis (d, k), spread (k)."""

    mean: Tensor
    basis: Tensor
    spread: Tensor

    @classmethod
    def fit(cls, values: Tensor, components: int) -> "Target":
        """From teacher values (..., d)."""
        rows = values.flatten(0, -2).double()
        mean = rows.mean(0)
        variance, basis = torch.linalg.eigh((rows - mean).T @ (rows - mean) / len(rows))
        order = variance.argsort(descending=True)[:components]
        spread = variance[order].clamp(min=1e-12).sqrt()
        return cls(mean.float(), basis[:, order].float(), spread.float())

    def encode(self, values: Tensor) -> Tensor:
        """Half-whitened components (..., k) whose variances add up to 1."""
        scale = self.spread.sqrt() * self.spread.sum().sqrt()
        return (values - self.mean) @ (self.basis / scale)

    def missed(self, predicted: Tensor, values: Tensor) -> tuple[float, float]:
        """Squared error and squared deviation summed, in the teacher's own units."""
        scale = self.spread.sqrt() * self.spread.sum().sqrt()
        back = (predicted * scale) @ self.basis.T + self.mean
        return float((back - values).square().sum()), float((values - self.mean).square().sum())


def fit_targets(tokens: Tensor) -> dict[str, Target]:
    """All targets from teacher tokens (n, 1 + patches, d) of training views."""
    parts = teacher_parts(tokens)
    return {name: Target.fit(parts[name], _COMPONENTS[name]) for name in WEIGHTS}


def make_readouts(targets: dict[str, Target], width: int) -> nn.ModuleDict:
    """One linear readout for each target."""
    return nn.ModuleDict({n: nn.Linear(width, t.basis.shape[1]) for n, t in targets.items()})


def loss_of(
    readouts: nn.ModuleDict, targets: dict[str, Target], student: Tensor, teacher: Tensor
) -> Tensor:
    """Weighted sum of the shares of (half-whitened) variance left unexplained."""
    seen, wanted = student_parts(student), teacher_parts(teacher)
    total = student.new_zeros(())
    for name, target in targets.items():
        error = readouts[name](seen[name]) - target.encode(wanted[name])
        total = total + WEIGHTS[name] * error.square().sum(-1).mean()
    return total


def explained(
    readouts: nn.ModuleDict, targets: dict[str, Target], student: Tensor, teacher: Tensor
) -> dict[str, float]:
    """Share of the teacher's plain variance explained, by target."""
    seen, wanted = student_parts(student), teacher_parts(teacher)
    out = {}
    for name, target in targets.items():
        error, total = target.missed(readouts[name](seen[name]), wanted[name])
        out[name] = round(1 - error / total, 4)
    return out
