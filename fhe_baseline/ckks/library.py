"""Whether TenSEAL, which computes with CKKS here, can be used on this machine."""

from __future__ import annotations

import importlib.util

from he_compare.common.contracts import Availability

INSTALL = "pip install 'tenseal>=0.3.16'"


def availability() -> Availability:
    """Say whether TenSEAL is installed, without importing it."""
    if importlib.util.find_spec("tenseal") is None:
        return Availability(False, "TenSEAL is not installed", INSTALL)
    return Availability(True)
