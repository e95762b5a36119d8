"""Three invented pictures side by side, as a section on attacks shows it."""

from __future__ import annotations

import numpy as np

from he_compare.reports.document.photographs import Still, Stills
from he_compare.reports.document.png import png_of


def png(shade: int) -> bytes:
    """Return a PNG of 8 by 8 pixels of one shade."""
    return png_of(np.full((8, 8, 3), shade, np.uint8))


def three_stills() -> Stills:
    """Return original, ciphertext and recovered picture."""
    frames = tuple(
        Still(title, words, png(40 * index))
        for index, (title, words) in enumerate(
            (("original", ""), ("encrypted", "r = 0.01"), ("after the attack", "SSIM 0.98"))
        )
    )
    return Stills("slide", "What an attack recovers", "A chest X-ray", frames)
