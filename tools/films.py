"""Training films as the atlas is fitted to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Films:
    """Real images as float32 (n, side^2) grey levels, their labels and patient-like groups."""

    pixels: np.ndarray
    labels: np.ndarray
    groups: np.ndarray

    def take(self, chosen: np.ndarray) -> Films:
        """The chosen images."""
        return Films(self.pixels[chosen], self.labels[chosen], self.groups[chosen])
