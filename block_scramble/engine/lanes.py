"""How many images the compiled loops take at once; read without waiting for the compiler."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

UInt32Array = npt.NDArray[np.uint32]
# Images that the compiled loops move side by side: one byte each of a 64-bit word.
LANES = 8
