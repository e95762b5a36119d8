"""What is claimed of each cipher, and what of its key and its server is admitted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from he_compare.block_scramble.deployment.cipher_instance import make_instance
from he_compare.block_scramble.deployment.parameters import BlockScrambleParameters
from he_compare.common import plugins
from tests.support.runcontext import Bench
from tests.support.scrambling import DATA


def claims_of(bench: Bench, **parameters: Any) -> Any:
    resolved = BlockScrambleParameters(**parameters)
    return make_instance(resolved, DATA, bench.context(image_size=224)).claims()


def test_claims_of_a_cipher_are_heuristic_and_name_its_key_without_showing_it(
    bench: Bench,
) -> None:
    claims = claims_of(bench)
    assert claims.claim_type == "heuristic"
    assert claims.deterministic is True
    assert claims.key_space.nominal_bits == pytest.approx(7_474, abs=1)
    assert claims.key_space.effective_bits == 256
    assert claims.key_policy == "per_client"
    assert len(claims.key_fingerprint) == 16
    assert claims.insecure == []
    assert any("labels" in item for item in claims.server_learns)


def test_claims_of_an_adapted_model_say_who_can_read_the_key_off(bench: Bench) -> None:
    claims = claims_of(bench, mode="adapted")
    assert any("reads the key off" in item for item in claims.server_learns)
    assert not any("labels" in item for item in claims.server_learns)


def test_claims_of_a_seeded_key_say_that_it_is_insecure(bench: Bench) -> None:
    claims = claims_of(bench, key="seeded:7")
    assert claims.key_space.seed_entropy_bits == claims.key_space.effective_bits == 32
    assert len(claims.insecure) == 1 and "32-bit seed" in claims.insecure[0]


def test_claims_of_al_amin_declare_the_interpretation(bench: Bench) -> None:
    claims = claims_of(bench, cipher="al_amin")
    assert "2411.05901" in claims.source
    assert "not published in full" in claims.parameters["interpretation"]


def test_claims_of_aes_rest_on_an_assumption_and_hide_equality(bench: Bench) -> None:
    claims = claims_of(bench, cipher="aes_ctr")
    assert claims.claim_type == "reduction to a hardness assumption"
    assert "AES-256" in claims.assumption and "cryptography package" in claims.enforced_by
    assert claims.deterministic is False
    assert claims.preserves == ["the size of the image"]
    assert claims.key_space.effective_bits == 256
    assert "the nonce of every image" in claims.server_learns
    assert not any("equal" in line for line in claims.server_learns)


def test_who_enforces_parameters_is_said_by_the_cipher(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    cipher = plugins.load("ciphers", "aes_ctr")
    monkeypatch.setattr(type(cipher), "traits", replace(cipher.traits, enforced_by=""))
    assert claims_of(bench, cipher="aes_ctr").enforced_by == ""
    assert claims_of(bench).enforced_by.startswith("not enforced")


@pytest.mark.parametrize("cipher", ["identity", "noise"])
def test_claims_of_controls_claim_nothing(bench: Bench, cipher: str) -> None:
    claims = claims_of(bench, cipher=cipher)
    assert claims.claim_type == "none"
    assert claims.key_space is None and claims.key_fingerprint == ""
    assert claims.insecure
