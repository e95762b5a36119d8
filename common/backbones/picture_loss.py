"""How unlike two batches of pictures are, for networks that learn pictures."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

WINDOW = 7
# SSIM's constants for pictures of 0 ... 1, as in ``he_compare.common.similarity``.
C1, C2 = 0.01**2, 0.03**2


def structural_loss(x: Tensor, y: Tensor) -> Tensor:
    """Return one minus the mean SSIM over square windows of pictures (n, 1, h, w), 0 to 1."""

    def mean(values: Tensor) -> Tensor:
        return functional.avg_pool2d(values, WINDOW, stride=2)

    mean_x, mean_y = mean(x), mean(y)
    var_x, var_y = mean(x * x) - mean_x**2, mean(y * y) - mean_y**2
    covariance = mean(x * y) - mean_x * mean_y
    likeness = (2 * mean_x * mean_y + C1) * (2 * covariance + C2)
    likeness = likeness / ((mean_x**2 + mean_y**2 + C1) * (var_x + var_y + C2))
    unlike: Tensor = 1 - likeness.mean()
    return unlike
