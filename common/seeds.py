"""Seeds hashed from named components, so that adding one component moves no other's seed.

Never a source of key material: keys come from the operating system (``secrets``).
"""

from __future__ import annotations

import hashlib

import numpy as np


def seed_for(root: int, *names: str | int) -> int:
    """Return a 63-bit seed for the component ``names`` under the run's ``root`` seed."""
    text = "\x1f".join([str(root), *(str(name) for name in names)])
    digest = hashlib.sha256(b"he-compare seed\x00" + text.encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator_for(root: int, *names: str | int) -> np.random.Generator:
    """Return a NumPy generator for the component ``names`` under the run's ``root`` seed."""
    return np.random.Generator(np.random.PCG64(seed_for(root, *names)))
