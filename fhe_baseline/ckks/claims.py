"""What encrypted inference with CKKS claims, on which assumption, and what it does not claim.

Sources: Cheon, Kim, Kim, Song, "Homomorphic Encryption for Arithmetic of Approximate Numbers",
ASIACRYPT 2017; Li and Micciancio, "On the Security of Homomorphic Encryption on Approximate
Numbers", EUROCRYPT 2021 (IND-CPA-D); parameters.py for the tables.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

from he_compare.common.run.records import KeySpace, LatticeFacts, SecurityClaims
from he_compare.fhe_baseline.ckks.context import ERROR_SIGMA, PRNG_SEED_BITS, SECRET_DISTRIBUTION
from he_compare.fhe_baseline.ckks.inference import Plan
from he_compare.fhe_baseline.ckks.packing import PREDICTED_ERROR
from he_compare.fhe_baseline.ckks.parameters import (
    ENFORCED_BY,
    GUIDELINES_2024,
    STANDARD_2018,
    CkksParameters,
    name_of,
    verdict,
)
from he_compare.fhe_baseline.ckks.training.circuit import Circuit
from he_compare.fhe_baseline.lattice import lattice_facts


def ckks_facts(
    use: str, name: str, parameters: CkksParameters, error: float | None = None
) -> LatticeFacts:
    """Return the facts of a CKKS set; ``error``: predicted error of a result under it, absolute."""
    judged = verdict(parameters)
    return lattice_facts(
        scheme="CKKS",
        use=use,
        name=name,
        dimension=parameters.degree,
        log2_q=parameters.total_bits,
        sigma=TABLE_SIGMA,
        secret="ternary",
        verdicts={table: str(one) for table, one in judged.items()},
        enforced_by=ENFORCED_BY if judged[STANDARD_2018].level else STUDY_ONLY,
        precision=f"scale 2^{parameters.scale_bits}, depth {parameters.depth}",
        precision_bits=_bits_of(fresh_error(parameters) if error is None else error),
        precision_of="a fresh slot" if error is None else "a score",
    )


def fresh_error(parameters: CkksParameters) -> float:
    """Return five standard deviations of the error of one slot of a fresh symmetric ciphertext."""
    slot = math.sqrt(parameters.degree) * TABLE_SIGMA
    return float(5 * slot / 2.0**parameters.scale_bits)


def _bits_of(error: float) -> float:
    return round(-math.log2(error), 1)


# The tables and the estimates count the errors of SEAL's centred binomial as sigma = 3.19.
TABLE_SIGMA = 3.19

STUDY_ONLY = "nobody: the set exists for study and is refused unless that is asked for by name"


SERVER_LEARNS = [
    "the weights and bias of the head, which it evaluates in the clear",
    "that an image was classified, when, and how many",
    "the number of features and classes, the parameters and the evaluation keys",
]
NOT_CLAIMED = [
    "IND-CPA-D: whoever sees decrypted scores at full precision beside their ciphertexts can "
    "recover the secret key (Li and Micciancio 2021); scores stay with the client",
    "circuit privacy: the client may learn the head from decrypted slots",
    "integrity: ciphertexts are not authenticated; the server may answer with anything, and a "
    "client that reveals how it reacts gives away more than the scheme promises",
]


def claims_of(plan: Plan, keys: bytes, sizes: dict[str, int]) -> SecurityClaims:
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
    )


def verdicts_of(parameters: CkksParameters) -> dict[str, str]:
    """Return what each security table says, in words."""
    return {table: str(judged) for table, judged in verdict(parameters).items()}


def _scheme_parameters(plan: Plan) -> dict[str, Any]:
    parameters = plan.parameters
    return {
        "packing": plan.packing.name,
        "parameter_set": plan.parameter_name,
        "N": parameters.degree,
        "log2_Q": parameters.total_bits,
        "modulus_bits": list(parameters.modulus_bits),
        "scale_log2": parameters.scale_bits,
        "secret_distribution": SECRET_DISTRIBUTION,
        "sigma": ERROR_SIGMA,
        "verdicts": verdicts_of(parameters),
        "security_rests_on": "N and log2 Q (the verdicts), not on the size of the key space",
        "multiplicative_depth": parameters.depth,
        "score_bound": float(f"{plan.model.score_bound():.4g}"),
        "decryptions_go_to": "the client alone",
        "not_claimed": NOT_CLAIMED,
    } | plan.packing.facts(parameters, plan.model)


def parameter_warnings(parameters: CkksParameters) -> list[str]:
    """Return what must be told of parameters that SEAL accepts and the 2024 guidelines do not."""
    judged = verdict(parameters)[GUIDELINES_2024]
    if judged.level is not None:
        return []
    return [
        f"CKKS with N = {parameters.degree} and log2 Q = {parameters.total_bits} meets SEAL's "
        f"bound of 128 bits, but the {GUIDELINES_2024} allow log2 Q = "
        f"{judged.largest_bits_at_128} only"
    ]


TRAINING_SERVER_LEARNS = [
    "the shape of the task: images, features, classes, polynomial, penalty",
    "the learning rate, one number that depends on the largest variance of the features",
    "how many iterations were run, when, and how long the client took to refresh",
]
ENCRYPTED_SERVER_LEARNS = [
    "the power of two above the largest score the head can give (the scale of a reply)",
    "that an image was classified, when, and how many",
    "the number of features and classes, the parameters and the evaluation keys",
]
CLEAR_SERVER_LEARNS = [
    "weights and bias of the head: its owner decrypted, rounded and released them",
    "that an image was classified, when, and how many",
    "the number of features and classes, the parameters and the evaluation keys",
]
RELEASED_WEIGHTS = (
    "the owner releases decrypted weights (rounded) to a server that may hold their ciphertexts: "
    "CKKS is not IND-CPA-D secure, and no noise was flooded"
)
TRAINING_NOT_CLAIMED = [
    "differential privacy: the trained head may tell about single training images whoever sees it",
    "a malicious server: it may send back any ciphertext; the client checks range and copies of "
    "the weights it decrypts, and that it refuses is an answer the server sees",
    *NOT_CLAIMED,
]


def training_claims(
    circuit: Circuit,
    plan: Plan,
    *,
    encrypted: bool,
    facts: dict[str, Any],
    public: bytes,
) -> SecurityClaims:
    """Return the claims of training and of the inference that follows as planned.

    ``encrypted``: the head stays encrypted at the server. ``public``: bytes that name the key.
    """
    inference = plan.parameters
    kept = "the head's weights and " if encrypted else ""
    return SecurityClaims(
        scheme="CKKS, trained and evaluated under encryption",
        protects=f"images, features, labels, {kept}scores are hidden from an honest-but-curious "
        "server, while it trains and while it classifies",
        claim_type="reduction to a hardness assumption",
        assumption="decision RLWE with a uniform ternary secret (IND-CPA)",
        enforced_by=ENFORCED_BY,
        deterministic=False,
        key_space=key_space(inference),
        key_fingerprint=hashlib.sha256(public).hexdigest()[:16] if public else "",
        key_policy="per_client",
        preserves=["the number of images"],
        server_learns=TRAINING_SERVER_LEARNS
        + (ENCRYPTED_SERVER_LEARNS if encrypted else CLEAR_SERVER_LEARNS),
        parameters={
            "use": "encrypted" if encrypted else "decrypted-by-owner",
            "weights_seen_by": "the client, which owns them"
            + ("" if encrypted else ", and the classifying server"),
            "keys": "one for training, another for inference",
            "decryptions_go_to": "the client alone"
            if encrypted
            else "the client; the rounded weights go on to the classifying server",
            "training": _parameter_facts(circuit.parameters) | _circuit_facts(circuit),
            "not_claimed": TRAINING_NOT_CLAIMED,
            **_parameter_facts(inference),
            **facts,
        },
        lattice=[
            ckks_facts("training", name_of(circuit.parameters), circuit.parameters),
            inference_facts(plan),
        ],
        insecure=insecurities(circuit.parameters, encrypted=encrypted),
        source="Panzade, Takabi, Cai, arXiv 2401.09604 (the setting); Cheon, Kim, Kim, Song, "
        "ASIACRYPT 2017; Microsoft SEAL through tenseal.sealapi",
    )


def insecurities(parameters: CkksParameters, *, encrypted: bool) -> list[str]:
    """Return why this instance must not protect real data."""
    reasons = [] if encrypted else [RELEASED_WEIGHTS]
    if verdict(parameters)[STANDARD_2018].level is None:
        reasons.append(
            f"the training context, N = {parameters.degree} with log2 Q = {parameters.total_bits}, "
            "is far below 128 bits of security (allow_insecure)"
        )
    return reasons


def _parameter_facts(parameters: CkksParameters) -> dict[str, Any]:
    return {
        "N": parameters.degree,
        "log2_Q": parameters.total_bits,
        "modulus_bits": list(parameters.modulus_bits),
        "secret_distribution": SECRET_DISTRIBUTION,
        "sigma": ERROR_SIGMA,
        "verdicts": verdicts_of(parameters),
    }


def _circuit_facts(circuit: Circuit) -> dict[str, Any]:
    layout = circuit.layout
    return {
        "interface": "tenseal.sealapi (SEAL Evaluator and CKKSEncoder)",
        "packing": "generalised diagonals, two features a complex slot, baby and giant steps",
        "diagonals": layout.period,
        "groups_of_rows": layout.groups,
        "batches": circuit.batches,
        "baby_steps": [layout.forward_baby, layout.backward_baby],
        "galois_keys": f"exactly the rotations used: {layout.rotations()}, and conjugation",
        "levels_per_iteration": circuit.depth,
        "iterations_per_refresh": circuit.per_round,
        "server_bytes_estimated": circuit.server_bytes(),
    }
