"""The audit of parameters: named sets and runs, both tables, bits with model names, enforcers."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from he_compare.common.errors import UsageError
from he_compare.common.run.records import Agreement, LatticeFacts, RunRecord, SecurityClaims
from he_compare.common.run.security_tables import GUIDELINES_2024, STANDARD_2018
from he_compare.common.run.store import RunFolder
from he_compare.common.run.view import read_run
from he_compare.common.types import FheMode, Phase
from he_compare.comparisons.cli.audit import audit_app
from he_compare.fhe_baseline.ckks.context import ERROR_SIGMA
from he_compare.fhe_baseline.ckks.facts import ckks_facts, fresh_error
from he_compare.fhe_baseline.ckks.parameters import (
    PARAMETER_SETS,
    TRAINING_SETS,
    CkksParameters,
    name_of,
)
from he_compare.fhe_baseline.lattice import CLASSICAL, CORE_SVP, QUANTUM
from he_compare.fhe_baseline.parameter_table import AuditRow, describe, named_rows, run_rows
from he_compare.fhe_baseline.tfhe.facts import CircuitFacts, LweFacts, tfhe_facts
from tests.support.samplerun import three_pipelines

CIRCUIT = CircuitFacts(
    "head",
    (LweFacts("inputs", 1282, 64, 33.73, "uniform binary"),),
    17,
    {"global_p_error": 8.4e-13},
)


def test_every_named_set_has_a_row_with_both_verdicts_and_three_models() -> None:
    rows = [row.facts for row in named_rows()]
    assert [row.name for row in rows] == [*PARAMETER_SETS, *TRAINING_SETS]
    for row in rows:
        assert set(row.verdicts) == {STANDARD_2018, GUIDELINES_2024}
        assert set(row.bits) == {CLASSICAL, CORE_SVP, QUANTUM}
        assert row.secret_distribution == "uniform ternary"
        assert row.enforced_by
        assert row.precision_bits is not None and row.precision_bits > 10


def test_a_full_modulus_by_the_old_standard_is_told_apart_from_the_new_guidelines() -> None:
    row = next(row.facts for row in named_rows() if row.facts.name == "n4096")
    assert row.verdicts == {STANDARD_2018: "128 bits", GUIDELINES_2024: "below 128 bits"}
    assert row.bits[CLASSICAL] == pytest.approx(125.6, abs=0.1)
    assert row.bits[CORE_SVP] == pytest.approx(95.5, abs=0.1)


def test_insecure_sets_are_not_enforced_and_no_other_is_below_120_bits() -> None:
    for row in (row.facts for row in named_rows()):
        if "insecure" in row.name:
            assert row.enforced_by.startswith("not enforced")
            assert row.verdicts[STANDARD_2018] == "below 128 bits"
            assert row.bits_are_at_most
        else:
            assert "SEAL refuses" in row.enforced_by
            assert row.bits[CLASSICAL] > 120


def test_a_tfhe_circuit_is_told_with_its_failure_probability_and_its_enforcer() -> None:
    (row,) = tfhe_facts(CIRCUIT, "inference")
    assert (row.scheme, row.purpose, row.dimension, row.log2_q) == (
        *("TFHE", "inference: inputs", 1282, 64),
    )
    assert row.failure_probability == 8.4e-13
    assert row.precision_bits is None and "exact" in row.precision
    assert "optimizer" in row.enforced_by
    assert 128 < row.bits[CLASSICAL] < 136


def test_the_precision_of_a_score_goes_before_that_of_a_fresh_slot() -> None:
    parameters = PARAMETER_SETS["n4096-106"]
    fresh, scored = (
        ckks_facts("inference", "b", parameters),
        ckks_facts("inference", "b", parameters, 2.0**-9),
    )
    assert (fresh.precision_of, fresh.precision_bits) == ("a fresh slot", pytest.approx(17, abs=1))
    assert (scored.precision_of, scored.precision_bits) == ("a score", 9.0)


def test_the_predicted_error_of_a_fresh_slot_is_that_of_seal() -> None:
    """Five deviations: no slot of a few fresh ciphertexts is above, many are above a fifth."""
    import numpy as np

    from he_compare.fhe_baseline.ckks.context import import_tenseal, seal_context
    from he_compare.fhe_baseline.ckks.serialization import load_ciphertext, seal_bytes

    seal, parameters = import_tenseal().sealapi, PARAMETER_SETS["n4096-106"]
    context = seal_context(parameters)
    secret = seal.KeyGenerator(context).secret_key()
    encoder, plain = seal.CKKSEncoder(context), seal.Plaintext()
    encoder.encode([0.0] * parameters.slot_count, 2.0**parameters.scale_bits, plain)
    sent = seal_bytes(seal.Encryptor(context, secret).encrypt_symmetric(plain))
    encrypted = load_ciphertext(seal.Ciphertext(), context, sent, "fresh ciphertext")
    seal.Decryptor(context, secret).decrypt(encrypted, plain)
    errors = np.abs(np.real(encoder.decode_complex(plain)))
    assert fresh_error(parameters) / 5 < errors.max() < fresh_error(parameters)


def test_the_width_of_errors_that_is_estimated_is_the_one_that_seal_draws() -> None:
    """A slot's mean square is N sigma^2 over the scale's square (Parseval): 40 ciphertexts of 0."""
    import numpy as np

    from he_compare.fhe_baseline.ckks.context import import_tenseal, seal_context

    seal, parameters = import_tenseal().sealapi, PARAMETER_SETS["n8192"]
    context = seal_context(parameters)
    secret = seal.KeyGenerator(context).secret_key()
    encryptor, decryptor = seal.Encryptor(context, secret), seal.Decryptor(context, secret)
    encoder, scale, variances = seal.CKKSEncoder(context), 2.0**parameters.scale_bits, []
    for _ in range(40):
        encrypted, plain = seal.Ciphertext(), seal.Plaintext()
        encryptor.encrypt_zero_symmetric(encrypted)
        encrypted.scale = scale
        decryptor.decrypt(encrypted, plain)
        slots = np.array(encoder.decode_complex(plain))
        variances.append(float((np.abs(slots) ** 2).mean()) * scale**2 / parameters.degree)
    # Six deviations of the mean; 3.19 squared is 10.18, eleven below.
    assert np.mean(variances) == pytest.approx(10.5, abs=0.17)
    facts = ckks_facts("inference", "n8192", parameters)
    assert 2**facts.log2_sigma == pytest.approx(math.sqrt(10.5), rel=1e-3)
    assert pytest.approx(math.sqrt(10.5)) == ERROR_SIGMA


def test_a_circuit_that_bootstraps_nothing_is_called_lwe() -> None:
    for count, scheme in ((0, "LWE"), (3, "TFHE"), (None, "TFHE")):
        told = {} if count is None else {"programmable_bootstrap_count": count}
        (row,) = tfhe_facts(replace(CIRCUIT, statistics=CIRCUIT.statistics | told), "inference")
        assert row.scheme == scheme


def test_names_are_found_by_value() -> None:
    assert name_of(TRAINING_SETS["n16384-402"]) == "n16384-402"
    assert name_of(CkksParameters(4096, (36, 30, 40), 20)) == ""


def test_the_text_names_models_tables_enforcers_and_what_is_not_estimated() -> None:
    text = describe(named_rows(CIRCUIT))
    for words in ("MATZOV", "core-SVP", "Chailloux-Loyer", STANDARD_2018, "2024/463"):
        assert words in text
    assert "failure probability of a circuit: 8.4e-13" in text
    assert "at most 4" in text.split("n1024-insecure")[1]
    assert "Dual and hybrid attacks are not estimated" in text


def run_record(label: str) -> RunRecord:
    """Return the accuracy record of the sample run's pipeline of that kind."""
    return next(
        one
        for one in three_pipelines().records
        if one.cell.pipeline == label and one.cell.phase is Phase.ACCURACY
    )


def claims_with(*facts: LatticeFacts) -> SecurityClaims:
    return SecurityClaims(
        scheme="CKKS",
        protects="everything",
        claim_type="reduction to a hardness assumption",
        lattice=list(facts),
    )


def test_a_run_is_audited_by_the_claims_of_its_records_and_what_they_measured(
    tmp_path: Path,
) -> None:
    agreement = Agreement(
        reference="clear head",
        executed=80,
        compared=80,
        agree=79,
        max_abs_score_difference=2.0**-12,
        max_abs_score=4.0,
    )
    facts = ckks_facts("inference", "n4096", PARAMETER_SETS["n4096"])
    learnt = ckks_facts("training", "n8192-214", TRAINING_SETS["n8192-214"])
    head = run_record("fhe-head").model_copy(
        update={
            "claims": claims_with(facts, learnt),
            "agreement": agreement,
            "fhe_mode": FheMode.EXECUTE,
            "training": {"relative_difference_to_twin": 2.0**-15},
        }
    )
    plain = run_record("plaintext").model_copy(update={"claims": claims_with()})
    run = replace(three_pipelines(), records=(head, plain)).write(tmp_path / "run")
    rows, without = run_rows(read_run(RunFolder(run)))
    assert [(row.user, row.facts) for row in rows] == [
        *(("fhe-head", facts), ("fhe-head", learnt)),
    ]
    assert [len(row.measured) for row in rows] == [1, 1]
    assert without == ["plaintext"]
    text = describe(rows, without)
    assert "12.0 bits: largest difference of a score to the clear head, 79 of 80" in text
    assert "15.0 bits: trained weights to their clear twin's" in text
    assert "No lattice parameters: plaintext" in text


def parameters(*arguments: str) -> Any:
    """Run `compare audit parameters` in this process."""
    return CliRunner().invoke(audit_app, ["parameters", *arguments])


def test_the_command_reads_a_run_folder(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.create(three_pipelines().manifest)
    refused = parameters(str(folder.path)).exception
    assert isinstance(refused, UsageError)
    assert re.search(r"no record of .* holds lattice parameters", str(refused))
    facts = ckks_facts("training", "n8192-214", TRAINING_SETS["n8192-214"])
    folder.append(run_record("fhe-head").model_copy(update={"claims": claims_with(facts)}))
    (row,) = json.loads(parameters(str(folder.path), "--json").output)
    assert (row["user"], row["dimension"], row["log2_q"]) == ("fhe-head", 8192, 214)
    assert row["bits"][CLASSICAL] == pytest.approx(128.5, abs=0.1)
    assert "fhe-head: CKKS n8192-214 (training)" in parameters(str(folder.path)).output


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    assert "holds no run" in str(parameters(str(tmp_path)).exception)


def test_records_written_before_estimates_existed_still_load() -> None:
    old = claims_with().model_dump(mode="json")
    del old["lattice"]
    assert SecurityClaims.model_validate(old).lattice == []
    assert AuditRow("", ckks_facts("inference", "b", PARAMETER_SETS["n4096"])).measured == ()


def test_the_command_imports_nothing_heavy_without_tfhe() -> None:
    code = (
        "import sys\n"
        "from he_compare.comparisons.cli.audit import parameters\n"
        "parameters(without_tfhe=True)\n"
        "assert not {'torch', 'concrete', 'sklearn', 'tenseal'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_compare_audit_parameters_prints_the_sets_and_a_run(tmp_path: Path) -> None:
    from he_compare.comparisons.cli.app import app

    named = CliRunner().invoke(app, ["audit", "parameters", "--without-tfhe"])
    assert named.exit_code == 0
    assert "CKKS n16384-402 (training)" in named.output
    run = three_pipelines().write(tmp_path / "run")
    told = CliRunner().invoke(app, ["audit", "parameters", str(run), "--json"])
    assert [row["user"] for row in json.loads(told.output)] == ["fhe-head"]
