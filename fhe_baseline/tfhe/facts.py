"""What a compiled TFHE circuit is worth: keys, noise, failure probability, and bits by model.

Read from Concrete's client specifications (JSON) and ``circuit.statistics``. Concrete's compiler
chooses dimension and noise for its security level by curves fitted to the lattice estimator; the
bits here are this project's own uSVP estimate of each key (``fhe_baseline.lattice``).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from he_compare.common.run.records import LatticeFacts
from he_compare.fhe_baseline.lattice import Estimate, Task, estimate, lattice_facts

TARGET_BITS = 128
ENFORCED_BY = (
    "Concrete's optimizer chooses LWE dimension and noise for 128 bits when a circuit is compiled; "
    "the server compiles the circuit again from its text with that same setting"
)
KEPT_STATISTICS = (
    "p_error",
    "global_p_error",
    "complexity",
    "programmable_bootstrap_count",
    "key_switch_count",
    "clear_multiplication_count",
    "encrypted_addition_count",
    "size_of_bootstrap_keys",
    "size_of_keyswitch_keys",
    "size_of_inputs",
    "size_of_outputs",
)


@dataclass(frozen=True)
class LweFacts:
    """One kind of ciphertext: LWE dimension, errors of width 2^log2_sigma under q = 2^log2_q."""

    use: str
    dimension: int
    log2_q: int
    log2_sigma: float
    secret: str

    def estimates(self) -> list[Estimate]:
        """Return the estimated bits under every cost model."""
        return estimate(self.dimension, self.log2_q, 2**self.log2_sigma, "binary")


@dataclass(frozen=True)
class CircuitFacts:
    """What is known of one circuit."""

    name: str
    lwe: tuple[LweFacts, ...]
    message_bits: int
    statistics: dict[str, Any]

    @property
    def bootstraps(self) -> bool | None:
        """Whether the circuit bootstraps, which makes it TFHE; None: not known."""
        count = self.statistics.get("programmable_bootstrap_count")
        return None if count is None else count > 0

    @property
    def scheme(self) -> str:
        """LWE where nothing is bootstrapped: the circuit adds, and multiplies by constants."""
        return "LWE" if self.bootstraps is False else "TFHE"

    def weakest(self) -> LweFacts:
        """Return the ciphertexts with the fewest estimated bits."""
        return min(self.lwe, key=lambda one: one.estimates()[0].bits)

    def described(self) -> dict[str, Any]:
        """Return the facts as a record keeps them."""
        weakest = self.weakest()
        return {
            "lwe": [
                {
                    "use": one.use,
                    "dimension": one.dimension,
                    "log2_q": one.log2_q,
                    "log2_sigma": round(one.log2_sigma, 2),
                    "secret_distribution": one.secret,
                }
                for one in self.lwe
            ],
            "security_bits": {one.model: round(one.bits, 1) for one in weakest.estimates()},
            "security_attack": "primal uSVP, weakest of the ciphertexts above",
            "security_level_targeted": TARGET_BITS,
            "message_bits": self.message_bits,
            **self.statistics,
            "failure_probability": self.statistics.get("global_p_error"),
        }


def circuit_facts(specs: bytes, statistics: Mapping[str, Any]) -> CircuitFacts:
    """Parse client specifications and statistics of a compiled circuit of one function."""
    described = json.loads(specs)
    (circuit,) = described["circuits"]
    found = dict.fromkeys([*_inputs(circuit), *_keys(described["keyset"])])
    widths = [
        gate["typeInfo"]["lweCiphertext"]["encoding"]["integer"]["width"]
        for gate in circuit["inputs"] + circuit["outputs"]
    ]
    kept = {name: statistics[name] for name in KEPT_STATISTICS if name in statistics}
    return CircuitFacts(circuit["name"], tuple(found), max(widths), kept)


def _inputs(circuit: Mapping[str, Any]) -> list[LweFacts]:
    encryptions = [gate["typeInfo"]["lweCiphertext"]["encryption"] for gate in circuit["inputs"]]
    return [_facts("inputs", one["lweDimension"], one["variance"]) for one in encryptions]


def _keys(keyset: Mapping[str, Any]) -> list[LweFacts]:
    found = []
    for key in keyset["lweBootstrapKeys"]:
        declared = key["params"]
        dimension = declared["glweDimension"] * declared["polynomialSize"]
        found.append(_facts("bootstrapping key", dimension, declared["variance"]))
    for key in keyset["lweKeyswitchKeys"]:
        declared = key["params"]
        found.append(
            _facts("key-switching key", declared["outputLweDimension"], declared["variance"])
        )
    return found


def _facts(use: str, dimension: int, variance: float, log2_q: int = 64) -> LweFacts:
    """Concrete gives the variance of the error as a fraction of the modulus."""
    return LweFacts(use, dimension, log2_q, log2_q + 0.5 * math.log2(variance), "uniform binary")


def tfhe_facts(circuit: CircuitFacts, task: Task) -> list[LatticeFacts]:
    """Return the facts of every kind of ciphertext and key of a compiled circuit."""
    return [
        lattice_facts(
            scheme=circuit.scheme,
            task=task,
            use=one.use,
            name=f"{circuit.message_bits}-bit circuit",
            dimension=one.dimension,
            log2_q=one.log2_q,
            sigma=2**one.log2_sigma,
            secret="binary",
            verdicts={},
            enforced_by=ENFORCED_BY,
            precision=f"{circuit.message_bits}-bit integers, {_exactness(circuit)}",
            precision_bits=None,
            precision_of="",
            failure_probability=circuit.statistics.get("global_p_error"),
        )
        for one in circuit.lwe
    ]


def _exactness(circuit: CircuitFacts) -> str:
    if circuit.bootstraps:
        return "exact where no table look-up fails"
    return "exact"
