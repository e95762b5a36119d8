"""Key space and seed entropy: how many keys an adversary who knows the algorithm has to try.

The nominal key space is a property of the cipher; what counts is the entropy of the source that
keys are drawn from, since a search goes over that. One trial (make the key, decrypt, look) is timed
here, so that the bits become years. Necessary, never sufficient: a key that need not be searched
for does not gain from its length.
"""

from __future__ import annotations

import math
import time

import numpy as np

from he_compare.common.attack import Check, CheckFinding, Inspected
from he_compare.common.attack_score import AttackMetric, Detail
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.run.quantiles import quantile
from he_compare.common.run.records import KeySpace, Verdict
from he_compare.common.types import Aim, Knowledge

# A search of 2**80 trials is out of reach of anybody; one of 2**50 is a matter of money.
OUT_OF_REACH, IN_REACH = 100.0, 56.0
SECONDS_PER_YEAR = 365.25 * 24 * 3600
CORES = 1000
TRIALS = 5


class KeySpaceCheck(Check):
    """Prints nominal bits and entropy, and what a search would take."""

    name = "key_space"
    title = "Key space and seed entropy"
    rung = Knowledge.CIPHERTEXT_ONLY
    aim = Aim.KEY
    metric = AttackMetric("effective key bits", "bits", higher_is_worse=False, high=math.inf)
    source = "Kerckhoffs; NIST SP 800-57 for the scale"

    def applies(self, inspected: Inspected) -> str:
        """To whatever has a key space of its own."""
        space = inspected.scheme.claims().key_space
        if space is None:
            return "its claims name no key space"
        if not space.searched:
            return (
                "a lattice secret is not searched for key by key: its bits are an estimate (see "
                "`compare audit parameters`)"
            )
        return ""

    def examine(
        self, inspected: Inspected, budget: AttackBudget, random: np.random.Generator
    ) -> CheckFinding:
        """Read the claim and time one trial."""
        space = inspected.scheme.claims().key_space
        assert space is not None
        seconds = self._seconds_per_trial(inspected)
        years = 2.0 ** min(space.effective_bits, 1000.0) * seconds / SECONDS_PER_YEAR / CORES
        verdict, reason = judge_bits(space)
        return CheckFinding(
            verdict=verdict,
            headline=f"{_nominal(space)} keys, seed entropy {space.seed_entropy_bits:.0f} bits: "
            f"effectively {space.effective_bits:.0f} bits; trying all on {CORES} cores: "
            f"{_spelled_years(years)}",
            value=space.effective_bits,
            details=(
                Detail(
                    "nominal key space",
                    math.nan if space.nominal_bits is None else space.nominal_bits,
                    "bits",
                    "continuous" if space.nominal_bits is None else "",
                ),
                Detail("entropy of the key's source", space.seed_entropy_bits, "bits"),
                Detail("one trial", seconds * 1000, "ms"),
            ),
            limits=(
                "a large key space is necessary, never sufficient: attacks that find the key or "
                "the picture without a search do not depend on it",
                "equivalent keys are counted as different ones",
            ),
            reason=reason,
            counts_as="necessary",
            spent={"trials": TRIALS},
        )

    @staticmethod
    def _seconds_per_trial(inspected: Inspected) -> float:
        """Time making a key and encrypting one image under it: the p50 of a few."""
        size = inspected.scheme.shape[0]
        image = np.ascontiguousarray(inspected.images[:1][:, :size, :size])
        samples = []
        for seed in range(TRIALS):
            start = time.perf_counter()
            inspected.scheme.new_key(seed).protect(image)
            samples.append(time.perf_counter() - start)
        return quantile(samples, 0.5)


def judge_bits(space: KeySpace) -> tuple[Verdict, str]:
    """Return verdict and reason of a key space."""
    if space.effective_bits < IN_REACH:
        return "broken", f"{space.effective_bits:.0f} bits can be searched with ordinary means"
    if space.effective_bits < OUT_OF_REACH:
        return "partial", f"{space.effective_bits:.0f} bits are below what is considered safe today"
    return "resists within budget", ""


def _nominal(space: KeySpace) -> str:
    return "continuously many" if space.nominal_bits is None else f"2^{space.nominal_bits:,.0f}"


def _spelled_years(years: float) -> str:
    if years >= 1:
        return f"10^{math.log10(years):.0f} years" if years > 1e6 else f"{years:,.0f} years"
    days = years * 365.25
    return f"{days:.1f} days" if days >= 1 else f"{days * 24:.1f} hours"


CHECK = KeySpaceCheck()
