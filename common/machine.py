"""Which machine this is: a word that stands for it and tells nobody its name."""

from __future__ import annotations

import hashlib
import platform
from functools import cache
from pathlib import Path

MACHINE_ID = Path("/etc/machine-id")
LENGTH = 16
# Clocks that differ by more, beyond what a round trip explains, are said to be off.
CLOCK_OFF_SECONDS = 1.0


@cache
def machine_word() -> str:
    """Return the word of this machine: equal at every start, another one on another machine.

    Made from the identity that the system was given when it was installed (machine-id(5)) or, where
    there is none, from the name of the machine; both with the model of its processor.
    """
    from he_compare.common.environment import fingerprint_environment

    try:
        own = MACHINE_ID.read_text().strip()
    except OSError:
        own = ""
    facts = ("he-compare machine", own or platform.node(), fingerprint_environment(1).cpu)
    return hashlib.sha256("\x00".join(facts).encode()).hexdigest()[:LENGTH]


def is_clock_off(offset: float, uncertainty: float) -> bool:
    """Say whether two clocks differ by more than can be explained, all in seconds."""
    return abs(offset) > CLOCK_OFF_SECONDS + uncertainty
