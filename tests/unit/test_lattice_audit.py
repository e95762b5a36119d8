"""The audit of parameters: every named set, both tables, bits with model names, who enforces."""

from __future__ import annotations

import subprocess
import sys

import pytest

from fhe_baseline.parameters import (
    GUIDELINES_2024,
    PARAMETER_SETS,
    STANDARD_2018,
    TRAINING_SETS,
)
from fhe_baseline.security.audit import COMMAND, describe, parameter_audit
from fhe_baseline.security.lattice import CLASSICAL, CORE_SVP, QUANTUM
from fhe_baseline.tfhe.facts import CircuitFacts, LweFacts

CIRCUIT = CircuitFacts(
    "inference",
    (LweFacts("inputs", 1282, 64, 33.73, "uniform binary"),),
    17,
    {"global_p_error": 8.4e-13},
)


def test_every_named_set_has_a_row_with_both_verdicts_and_three_models() -> None:
    rows = parameter_audit()
    assert [row["name"] for row in rows] == [*PARAMETER_SETS, *TRAINING_SETS]
    for row in rows:
        assert set(row["verdicts"]) == {STANDARD_2018, GUIDELINES_2024}
        assert set(row["bits"]) == {CLASSICAL, CORE_SVP, QUANTUM}
        assert row["secret_distribution"] == "uniform ternary"
        assert row["enforced_by"]


def test_a_full_modulus_by_the_old_standard_is_told_apart_from_the_new_guidelines() -> None:
    row = next(row for row in parameter_audit() if row["name"] == "n4096")
    assert row["verdicts"] == {STANDARD_2018: "128 bits", GUIDELINES_2024: "below 128 bits"}
    assert row["bits"][CLASSICAL] == pytest.approx(125.6, abs=0.1)
    assert row["bits"][CORE_SVP] == pytest.approx(95.5, abs=0.1)


def test_insecure_sets_are_enforced_by_nobody_and_no_other_is_below_120_bits() -> None:
    for row in parameter_audit():
        if "insecure" in row["name"]:
            assert row["enforced_by"].startswith("nobody")
            assert row["verdicts"][STANDARD_2018] == "below 128 bits"
        else:
            assert "SEAL refuses" in row["enforced_by"]
            assert row["bits"][CLASSICAL] > 120


def test_a_tfhe_circuit_is_told_with_its_failure_probability_and_its_enforcer() -> None:
    row = parameter_audit(CIRCUIT)[-1]
    assert (row["scheme"], row["N"], row["log2_Q"]) == ("TFHE", 1282, 64)
    assert row["failure_probability"] == 8.4e-13
    assert "optimizer" in row["enforced_by"]
    assert 128 < row["bits"][CLASSICAL] < 136


def test_the_text_names_models_tables_enforcers_and_what_is_not_estimated() -> None:
    text = describe(parameter_audit(CIRCUIT))
    for words in ("MATZOV", "core-SVP", "Chailloux-Loyer", STANDARD_2018, "2024/463"):
        assert words in text
    assert "failure probability of a circuit: 8.4e-13" in text
    assert "at most 4" in text.split("n1024-insecure")[1]
    assert "dual and hybrid attacks" in text


def test_the_command_runs_without_concrete_ml_and_imports_nothing_heavy() -> None:
    assert COMMAND.name == "parameters"
    code = (
        "import sys\n"
        "from fhe_baseline.security.audit import COMMAND\n"
        "COMMAND.describe(COMMAND.run(with_tfhe=False))\n"
        "assert not {'torch', 'concrete', 'sklearn', 'tenseal'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
