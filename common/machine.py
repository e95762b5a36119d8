"""Which machine this is: a word that stands for it and tells nobody its name."""

from __future__ import annotations

import hashlib
import platform
from functools import cache
from pathlib import Path

MACHINE_ID = Path("/etc/machine-id")
LENGTH = 16


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
