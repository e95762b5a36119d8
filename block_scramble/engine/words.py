"""Eight images side by side in 64-bit words: how the compiled loops see a batch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

UInt32Array = npt.NDArray[np.uint32]

# Images that are moved side by side: one byte each of a word.
LANES = 8
