"""What inference and training with TFHE claim, on which assumption, and what they do not claim.

Sources: Chillotti, Gama, Georgieva, Izabachene, "TFHE: Fast Fully Homomorphic Encryption over the
Torus", Journal of Cryptology 2020; Cheon, Choe, Passelegue, Stehle, Suvanto, "Attacks Against the
IND-CPA-D Security of Exact FHE Schemes", CCS 2024; the licence of Concrete (BSD-3-Clause-Clear).
"""

from __future__ import annotations

from typing import Any

from he_compare.common.run.records import KeySpace, SecurityClaims
from he_compare.fhe_baseline.tfhe.facts import ENFORCED_BY, CircuitFacts, tfhe_facts

SEED_BITS = 128
LICENCE = (
    "Concrete and Concrete ML are under BSD-3-Clause-Clear, which grants no patent rights: "
    "commercial use needs a licence from Zama"
)
SOURCE = "Chillotti, Gama, Georgieva, Izabachene, J. Cryptology 2020; Concrete ML 1.9.0"
ARCHIVES = (
    "Concrete's server archive carries a jsonpickle document, which can run code when decoded, or "
    "a shared library, which is code: the server takes the circuit as text, checks it against an "
    "allow-list and compiles it itself; nothing that came in is unpickled"
)
SERVER_LEARNS = [
    "the quantised weights and bias of the head, which it evaluates in the clear",
    "that an image was classified, when, and how many",
    "the number of features and classes and the circuit's parameters",
]
NOT_CLAIMED = [
    "integrity: ciphertexts are not authenticated; the server may answer with anything, and a "
    "client that shows how it reacts reveals more than the scheme promises",
    "IND-CPA-D: an error of decryption, however rare, reveals noise to whoever sees decrypted "
    "scores beside their ciphertexts (Cheon et al., CCS 2024); scores stay with the client",
    "circuit privacy: the client may learn the head from the noise and the scores",
]

# What Concrete compiles a linear head to: additions and multiplications by constants.
LWE_ALONE = "LWE without bootstrapping, Concrete ML"
RELEASED = (
    "the trained head is decrypted by its owner and released to the server, which has seen its "
    "ciphertext: with look-ups that fail once in a hundred, IND-CPA-D is not claimed for the "
    "training key, which is used for nothing else"
)


def inference_claims(
    facts: CircuitFacts | None, told: dict[str, Any], key_fingerprint: str = ""
) -> SecurityClaims:
    """Return the claims of one deployment; ``facts`` are None before the first.

    ``told``: what the record is to say besides, sizes for instance.
    """
    return SecurityClaims(
        scheme=LWE_ALONE if facts and facts.bootstraps is False else "TFHE (LWE), Concrete ML",
        protects="the image, its features and its scores are hidden from an honest-but-curious "
        "server",
        claim_type="reduction to a hardness assumption",
        assumption="decision LWE with a uniform binary secret (IND-CPA)",
        enforced_by=ENFORCED_BY,
        deterministic=False,
        key_space=_key_space(facts) if facts else None,
        key_fingerprint=key_fingerprint,
        key_policy="per_client",
        preserves=["the number of images"],
        server_learns=SERVER_LEARNS,
        lattice=tfhe_facts(facts, "inference") if facts else [],
        parameters=(facts.described() if facts else {})
        | told
        | {
            "security_rests_on": "LWE dimension and noise (the estimates), not on the key space",
            "decryptions_go_to": "the client alone",
            "archives": ARCHIVES,
            "licence": LICENCE,
            "not_claimed": NOT_CLAIMED,
        },
        source=SOURCE,
    )


def _key_space(facts: CircuitFacts) -> KeySpace:
    """Count binary secrets; Concrete's generator is seeded with 128 bits."""
    nominal = float(min(one.dimension for one in facts.lwe))
    return KeySpace(
        nominal_bits=nominal,
        seed_entropy_bits=SEED_BITS,
        effective_bits=min(nominal, SEED_BITS),
        searched=False,
    )


def training_claims(
    training: CircuitFacts,
    inference: CircuitFacts | None,
    told: dict[str, Any],
    key_fingerprint: str = "",
) -> SecurityClaims:
    """Return the claims of a head trained under encryption and then released to the server."""
    claims = inference_claims(inference, told, key_fingerprint)
    return claims.model_copy(
        update={
            "scheme": "TFHE (LWE and GLWE), Concrete ML, training and inference",
            "protects": "training features and labels, the image, its features and its scores are "
            "hidden from an honest-but-curious server",
            "assumption": "decision LWE and GLWE with uniform binary secrets, circular security of "
            "the bootstrapping keys (IND-CPA)",
            "server_learns": [
                *SERVER_LEARNS,
                "how many images, features and steps the training had",
            ],
            "lattice": [*tfhe_facts(training, "training"), *claims.lattice],
            "parameters": claims.parameters
            | {
                "training_circuit": training.described(),
                "not_claimed": [*NOT_CLAIMED, RELEASED],
            },
        }
    )


def training_warnings(n: int, available: int, features: int) -> list[str]:
    """Return what must be told wherever a head trained on a slice is shown."""
    return [
        LICENCE,
        f"trained under encryption on {n} of {available} images and {features} principal "
        "components, one pass: the cost is the result; the accuracy is not comparable",
        RELEASED,
    ]
