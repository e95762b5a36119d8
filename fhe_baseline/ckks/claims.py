"""What encrypted inference with CKKS claims, on which assumption, and what it does not claim.

Sources: Cheon, Kim, Kim, Song, "Homomorphic Encryption for Arithmetic of Approximate Numbers",
ASIACRYPT 2017; Li and Micciancio, "On the Security of Homomorphic Encryption on Approximate
Numbers", EUROCRYPT 2021 (IND-CPA-D); ``parameters`` for the tables.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

from he_compare.common.run.records import KeySpace, LatticeFacts, SecurityClaims
from he_compare.common.run.security_tables import GUIDELINES_2024
from he_compare.fhe_baseline.ckks.context import ERROR_SIGMA, PRNG_SEED_BITS, SECRET_DISTRIBUTION
from he_compare.fhe_baseline.ckks.facts import ckks_facts, verdicts_of
from he_compare.fhe_baseline.ckks.inference import Plan
from he_compare.fhe_baseline.ckks.packing import PREDICTED_ERROR
from he_compare.fhe_baseline.ckks.parameters import (
    ENFORCED_BY,
    CkksParameters,
    verdict,
)

SERVER_LEARNS = [
    "the weights and bias of the head, which it evaluates in the clear",
    "that an image was classified, when, and how many",
    "the number of features and classes, the parameters and the evaluation keys",
]
NOT_CLAIMED = [
    "IND-CPA-D: whoever gets all slots of one decoded reply beside its ciphertext recovers the "
    "secret key (Li and Micciancio 2021); of real slots alone it takes two replies, and rounding "
    "to eight decimals does not help; the class scores alone did not suffice; decoded replies stay "
    "with the client",
    "circuit privacy: the client may learn the head from decrypted slots",
    "integrity: ciphertexts are not authenticated; the server may answer with anything, and a "
    "client that shows how it reacts reveals more than the scheme promises",
]


def inference_claims(plan: Plan, keys: bytes, sizes: dict[str, int]) -> SecurityClaims:
    """Return the claims of one deployment; ``keys`` are the public bytes that name its key."""
    parameters = plan.parameters
    return SecurityClaims(
        scheme=f"CKKS, packing {plan.packing.name}",
        protects="the image, its features and its scores are hidden from an honest-but-curious "
        "server",
        claim_type="reduction to a hardness assumption",
        assumption="decision RLWE with a uniform ternary secret (IND-CPA)",
        enforced_by=ENFORCED_BY,
        deterministic=False,
        key_space=key_space(parameters),
        key_fingerprint=hashlib.sha256(keys).hexdigest()[:16] if keys else "",
        key_policy="per_client",
        preserves=["the number of images"],
        server_learns=SERVER_LEARNS,
        parameters=_scheme_parameters(plan) | sizes,
        lattice=[inference_facts(plan)],
        source="Cheon, Kim, Kim, Song, ASIACRYPT 2017; Microsoft SEAL through TenSEAL",
    )


def inference_facts(plan: Plan) -> LatticeFacts:
    """Return what the parameters of a plan are worth, and the precision of its scores."""
    error = plan.packing.facts(plan.parameters, plan.model).get(PREDICTED_ERROR)
    return ckks_facts("inference", plan.parameter_name, plan.parameters, error)


def key_space(parameters: CkksParameters) -> KeySpace:
    """Return the size of the secret's space and of the seed it is drawn from."""
    nominal = parameters.degree * math.log2(3)
    return KeySpace(
        nominal_bits=nominal,
        seed_entropy_bits=PRNG_SEED_BITS,
        effective_bits=min(nominal, PRNG_SEED_BITS),
        searched=False,
    )


def _scheme_parameters(plan: Plan) -> dict[str, Any]:
    parameters = plan.parameters
    return {
        "packing": plan.packing.name,
        "parameter_set": plan.parameter_name,
        "scale_log2": parameters.scale_bits,
        **lattice_parameters(parameters),
        "security_rests_on": "N and log2 Q (the verdicts), not on the size of the key space",
        "multiplicative_depth": parameters.depth,
        "score_bound": float(f"{plan.model.score_bound():.4g}"),
        "decryptions_go_to": "the client alone",
        "not_claimed": NOT_CLAIMED,
    } | plan.packing.facts(parameters, plan.model)


def parameter_warnings(parameters: CkksParameters) -> list[str]:
    """Return what to say of parameters that SEAL accepts and the 2024 guidelines do not."""
    judged = verdict(parameters)[GUIDELINES_2024]
    if judged.level is not None:
        return []
    return [
        f"CKKS with N = {parameters.degree} and log2 Q = {parameters.total_bits} meets SEAL's "
        f"bound of 128 bits, but the {GUIDELINES_2024} allow log2 Q = "
        f"{judged.largest_bits_at_128} only"
    ]


def lattice_parameters(parameters: CkksParameters) -> dict[str, Any]:
    """Return ring, modulus, secret and errors, and the verdicts on them, for the record."""
    return {
        "N": parameters.degree,
        "log2_Q": parameters.total_bits,
        "modulus_bits": list(parameters.modulus_bits),
        "secret_distribution": SECRET_DISTRIBUTION,
        "sigma": round(ERROR_SIGMA, 2),
        "verdicts": verdicts_of(parameters),
    }
