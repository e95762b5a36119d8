"""What training on CKKS ciphertexts claims, together with the inference that follows.

Sources: as in ``ckks.claims``; Panzade, Takabi, Cai, arXiv 2401.09604 (the setting).
"""

from __future__ import annotations

import hashlib
from typing import Any

from he_compare.common.run.records import SecurityClaims
from he_compare.common.run.security_tables import STANDARD_2018
from he_compare.fhe_baseline.ckks.claims import (
    NOT_CLAIMED,
    inference_facts,
    key_space,
    lattice_parameters,
)
from he_compare.fhe_baseline.ckks.facts import ckks_facts
from he_compare.fhe_baseline.ckks.inference import Plan
from he_compare.fhe_baseline.ckks.parameters import (
    ENFORCED_BY,
    CkksParameters,
    name_of,
    verdict,
)
from he_compare.fhe_baseline.ckks.training.circuit import Circuit
from he_compare.fhe_baseline.ckks.training.memory import server_bytes
from he_compare.fhe_baseline.ckks.training.steps import depth_of

TRAINING_SERVER_LEARNS = [
    "the shape of the task: images, components, classes, the number of steps and the parameters; "
    "where they are chosen, they depend on features and labels",
    "the length of every step and the polynomials: a few numbers that depend on features and "
    "labels, the safe length of equal steps among them",
    "when it was asked to train, and how long it took",
]
ENCRYPTED_SERVER_LEARNS = [
    "the power of two above the largest score the head can give (the scale of a reply), and how "
    "many rotations its precision wants before the rescale",
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
REFRESH_SERVER_LEARNS = "how long the client took to refresh the weights between steps"
TRAINING_NOT_CLAIMED = [
    "differential privacy: the trained head may reveal single training images to whoever sees it",
    "a malicious server: it may send back any ciphertext, such as training data in place of "
    "weights, which an owner who releases weights would hand out; the client checks range and "
    "copies of what it decrypts, and that it refuses is an answer the server sees",
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
        assumption="decision RLWE with a uniform ternary secret, circular security of the "
        "evaluation keys (IND-CPA)",
        enforced_by=ENFORCED_BY,
        deterministic=False,
        key_space=key_space(inference),
        key_fingerprint=hashlib.sha256(public).hexdigest()[:16] if public else "",
        key_policy="per_client",
        preserves=["the number of images"],
        server_learns=TRAINING_SERVER_LEARNS
        + [REFRESH_SERVER_LEARNS] * bool(circuit.refreshes)
        + (ENCRYPTED_SERVER_LEARNS if encrypted else CLEAR_SERVER_LEARNS),
        parameters={
            "use": "encrypted" if encrypted else "decrypted-by-owner",
            "weights_seen_by": "the client, which owns them"
            + ("" if encrypted else ", and the classifying server"),
            "keys": "one for training, another for inference",
            "decryptions_go_to": "the client alone"
            if encrypted
            else "the client; the rounded weights go on to the classifying server",
            "training": lattice_parameters(circuit.parameters) | _circuit_facts(circuit),
            "not_claimed": TRAINING_NOT_CLAIMED,
            **lattice_parameters(inference),
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


def _circuit_facts(circuit: Circuit) -> dict[str, Any]:
    layout = circuit.layout
    return {
        "interface": "tenseal.sealapi (SEAL Evaluator and CKKSEncoder)",
        "packing": "generalised diagonals, two features per complex slot, baby and giant steps",
        "diagonals": layout.period,
        "groups_of_rows": layout.groups,
        "classes_per_ciphertext": layout.lanes,
        "batches": circuit.batches,
        "baby_steps": layout.baby,
        "galois_keys": f"exactly the rotations used: {layout.rotations()}, and conjugation, sent "
        "one at a time",
        "client_in_the_loop": f"{circuit.refreshes} refreshes of the weights"
        if circuit.refreshes
        else "no: one upload, one download",
        "levels_of_a_step": depth_of(circuit.degree),
        "steps_between_visits_to_the_client": [stretch.count for stretch in circuit.stretches],
        "server_bytes_with_one_process": server_bytes(circuit),
    }
