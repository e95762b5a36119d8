"""The base of checks that mean something for every pipeline that encrypts features."""

from __future__ import annotations

from he_compare.common.attack import Check, Inspected
from he_compare.fhe_baseline.checks.tools.victim import encryption_obstacle


class EncryptionCheck(Check):
    """A check of encrypted features, whatever the scheme and the packing."""

    def applies(self, inspected: Inspected) -> str:
        """Every pipeline that encrypts features."""
        return encryption_obstacle(inspected)
