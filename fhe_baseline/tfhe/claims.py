"""What inference and training with TFHE claim, on which assumption, and what they do not claim.

Sources: Chillotti, Gama, Georgieva, Izabachene, "TFHE: Fast Fully Homomorphic Encryption over the
Torus", Journal of Cryptology 2020; Cheon, Choe, Passelegue, Stehle, Suvanto, "Attacks Against the
IND-CPA-D Security of Exact FHE Schemes", CCS 2024; the licence of Concrete (BSD-3-Clause-Clear).
"""

from __future__ import annotations

import hashlib
from typing import Any

from common.records import KeySpace, SecurityClaims
from fhe_baseline.tfhe.facts import ENFORCED_BY, CircuitFacts

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
    "client that reveals how it reacts gives away more than the scheme promises",
    "IND-CPA-D: an error of decryption, however rare, betrays noise to whoever sees decrypted "
    "scores beside their ciphertexts (Cheon et al., CCS 2024); scores stay with the client",
    "circuit privacy: the client may learn the head from the noise and the scores",
]


def inference_claims(facts: CircuitFacts | None, told: dict[str, Any]) -> SecurityClaims:
    """Return the claims of one deployment; ``facts`` are None before the first.

    ``told``: what the record is to say besides, sizes for instance.
    """
    return SecurityClaims(
        scheme="TFHE (LWE), Concrete ML",
        protects="the image, its features and its scores are hidden from an honest-but-curious "
        "server",
        claim_type="reduction to a hardness assumption",
        assumption="decision LWE with a uniform binary secret (IND-CPA)",
        enforced_by=ENFORCED_BY,
        deterministic=False,
        key_space=_key_space(facts) if facts else None,
        key_policy="per_client",
        preserves=["the number of images"],
        server_learns=SERVER_LEARNS,
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


def fingerprint(upload: bytes) -> str:
    """Name a deployment by a hash of an encryption under its key: linear circuits publish none."""
    return hashlib.sha256(upload).hexdigest()[:16]


def _key_space(facts: CircuitFacts) -> KeySpace:
    """Count binary secrets; Concrete's generator is seeded with 128 bits."""
    nominal = float(min(one.dimension for one in facts.lwe))
    return KeySpace(
        nominal_bits=nominal,
        seed_entropy_bits=SEED_BITS,
        effective_bits=min(nominal, SEED_BITS),
    )
