"""Facts of a circuit, read from what Concrete writes about it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from he_compare.fhe_baseline.lattice import CLASSICAL
from he_compare.fhe_baseline.tfhe.claims import inference_claims, training_claims, training_warnings
from he_compare.fhe_baseline.tfhe.facts import circuit_facts

STATISTICS = {
    "p_error": 8.4e-13,
    "global_p_error": 8.5e-13,
    "programmable_bootstrap_count": 0,
    "clear_addition_count_per_tag": {},
}


def gate(dimension: int, variance: float, width: int) -> dict[str, Any]:
    return {
        "typeInfo": {
            "lweCiphertext": {
                "encryption": {"keyId": 0, "variance": variance, "lweDimension": dimension},
                "encoding": {"integer": {"width": width, "isSigned": True}},
            }
        }
    }


def specs(**keys: Any) -> bytes:
    keyset = {"lweBootstrapKeys": [], "lweKeyswitchKeys": []} | keys
    circuit = {
        "name": "inference",
        "inputs": [gate(1282, 5.9875e-19, 17)],
        "outputs": [gate(1282, 5.9875e-19, 18)],
    }
    return json.dumps({"keyset": keyset, "circuits": [circuit]}).encode()


def test_a_linear_circuit_has_one_kind_of_ciphertext_with_noise_in_units_of_the_modulus() -> None:
    facts = circuit_facts(specs(), STATISTICS)
    (lwe,) = facts.lwe
    assert (lwe.dimension, lwe.log2_q, lwe.secret) == (1282, 64, "uniform binary")
    assert lwe.log2_sigma == pytest.approx(33.73, abs=0.01)
    assert facts.message_bits == 18


def test_the_record_gets_failure_probability_bits_and_the_targeted_level() -> None:
    told = circuit_facts(specs(), STATISTICS).described()
    assert told["failure_probability"] == 8.5e-13
    assert told["security_level_targeted"] == 128
    assert told["security_bits"][CLASSICAL] == pytest.approx(132.8, abs=0.1)
    assert "clear_addition_count_per_tag" not in told
    json.dumps(told, allow_nan=False)


def test_bootstrapping_and_key_switching_keys_count_and_the_weakest_is_named() -> None:
    bootstrap = {"params": {"glweDimension": 4, "polynomialSize": 512, "variance": 8.4e-31}}
    keyswitch = {"params": {"outputLweDimension": 500, "variance": 3.0e-8}}
    facts = circuit_facts(
        specs(lweBootstrapKeys=[bootstrap], lweKeyswitchKeys=[keyswitch, keyswitch]), STATISTICS
    )
    assert [(one.use, one.dimension) for one in facts.lwe] == [
        ("inputs", 1282),
        ("bootstrapping key", 2048),
        ("key-switching key", 500),
    ]
    assert facts.weakest().dimension == 500


def test_claims_name_assumption_licence_archives_and_what_is_not_claimed() -> None:
    claims = inference_claims(circuit_facts(specs(), STATISTICS), {"n_bits": 8}, "0123")
    assert claims.claim_type == "reduction to a hardness assumption"
    assert "LWE" in claims.assumption
    assert "honest-but-curious" in claims.protects
    assert claims.key_fingerprint == "0123"
    assert "no patent rights" in claims.parameters["licence"]
    assert "nothing that came in is unpickled" in claims.parameters["archives"]
    assert any("IND-CPA-D" in line for line in claims.parameters["not_claimed"])
    assert claims.key_space is not None
    assert claims.key_space.effective_bits == 128


def test_training_claims_tell_that_the_head_is_released_and_the_slice_is_small() -> None:
    facts = circuit_facts(specs(), STATISTICS)
    claims = training_claims(facts, facts, {})
    assert "circular security" in claims.assumption
    assert any("released to the server" in line for line in claims.parameters["not_claimed"])
    warnings = training_warnings(32, 5216, 4)
    assert any("32 of 5216 images and 4 principal" in line for line in warnings)
