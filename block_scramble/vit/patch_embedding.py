"""The patch embedding of models adapted to keys that differ by position, or that move nibbles.

One matrix for each ciphertext patch (or one for all) on the bytes of the patch or on their 4-bit
halves. A matrix for each patch is that many times the parameters to store and to send; the number
of multiplications stays.
"""

from __future__ import annotations

import torch
from torch import nn


class KeyedPatchEmbed(nn.Module):
    """Takes the place of a timm PatchEmbed: images (n, c, h, w) in 0..1 to tokens (n, b, width).

    ``embeddings``: 1, or one for each patch. ``nibbles``: bytes are split into halves first, the
    low ones of a patch and then the high ones, both divided by 15.
    """

    def __init__(
        self, patch: int, channels: int, width: int, *, embeddings: int, nibbles: bool
    ) -> None:
        super().__init__()
        self.patch = patch
        self.nibbles = nibbles
        values = patch * patch * channels * (2 if nibbles else 1)
        self.weight = nn.Parameter(torch.zeros(embeddings, values, width))
        self.bias = nn.Parameter(torch.zeros(embeddings, width))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Embed every patch by its own matrix, or all by one."""
        patches = patch_vectors(images, self.patch)
        if self.nibbles:
            patches = nibble_planes(patches)
        if len(self.weight) == 1:
            return patches @ self.weight[0] + self.bias[0]
        tokens = torch.bmm(patches.transpose(0, 1), self.weight).transpose(0, 1)
        return tokens + self.bias


def patch_vectors(images: torch.Tensor, patch: int) -> torch.Tensor:
    """Cut (n, c, h, w) into patches (n, blocks, patch * patch * c): row, column, channel."""
    n, channels, height, width = images.shape
    grid = images.reshape(n, channels, height // patch, patch, width // patch, patch)
    return grid.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)


def nibble_planes(patches: torch.Tensor) -> torch.Tensor:
    """Split bytes given in 0..1, (..., v), into low and high halves in 0..1, (..., 2 v)."""
    values = torch.round(patches * 255.0)
    high = torch.floor(values / 16.0)
    return torch.cat([values - 16.0 * high, high], dim=-1) / 15.0
