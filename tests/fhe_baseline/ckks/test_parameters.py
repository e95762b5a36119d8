"""CKKS parameter sets and the verdicts of the two security tables."""

from __future__ import annotations

from typing import get_args

import pytest

from he_compare.common.errors import MessageError, UnknownNameError, UsageError
from he_compare.common.run.security_tables import GUIDELINES_2024, STANDARD_2018, TABLES
from he_compare.fhe_baseline.ckks.context import data_primes, seal_context
from he_compare.fhe_baseline.ckks.parameters import (
    PARAMETER_SETS,
    CkksParameters,
    parameter_set,
    require_128_bits,
    verdict,
)
from he_compare.fhe_baseline.pipelines.fhe_head import FheHeadParameters


def with_total(degree: int, total: int) -> CkksParameters:
    """Parameters of exactly ``total`` bits, in primes of 20 to 60."""
    count = max(2, -(-total // 60))
    sizes = [total // count + (i < total % count) for i in range(count)]
    return CkksParameters(degree, tuple(sizes), 10)


@pytest.mark.parametrize(
    ("degree", "total", "standard", "guidelines"),
    [
        (2048, 54, 128, None),
        (2048, 53, 128, 128),
        (4096, 110, None, None),
        (4096, 109, 128, None),
        (4096, 107, 128, None),
        (4096, 106, 128, 128),
        (4096, 75, 192, 128),
        (4096, 73, 192, 192),
        (4096, 58, 256, 192),
        (4096, 56, 256, 256),
        (8192, 218, 128, None),
        (8192, 214, 128, 128),
        (8192, 219, None, None),
        (8192, 147, 192, 192),
        (8192, 118, 256, 192),
        (16384, 438, 128, None),
        (16384, 230, 256, 256),
        (32768, 881, 128, None),
        (32768, 868, 128, 128),
        (32768, 462, 256, 256),
    ],
)
def test_each_table_gives_its_highest_level_met(
    degree: int, total: int, standard: int | None, guidelines: int | None
) -> None:
    judged = verdict(with_total(degree, total))
    assert judged[STANDARD_2018].level == standard
    assert judged[GUIDELINES_2024].level == guidelines


def test_larger_rings_allow_larger_moduli_and_higher_levels_smaller_ones() -> None:
    for bounds in TABLES.values():
        for level in range(3):
            column = [row[level] for row in bounds.values() if row[level] is not None]
            assert column == sorted(column)
        for row in bounds.values():
            listed = [bound for bound in row if bound is not None]
            assert listed == sorted(listed, reverse=True)


def test_the_2024_table_is_never_laxer_than_the_2018_standard() -> None:
    for degree, row in TABLES[STANDARD_2018].items():
        for old, new in zip(row, TABLES[GUIDELINES_2024][degree], strict=True):
            assert old is not None
            assert new is None or new <= old


def test_a_verdict_reads_as_a_sentence_would() -> None:
    judged = verdict(parameter_set("n4096"))
    assert [str(judged[table]) for table in TABLES] == ["128 bits", "below 128 bits"]


@pytest.mark.parametrize("name", PARAMETER_SETS)
def test_every_named_set_is_made_by_seal_with_primes_of_the_stated_sizes(name: str) -> None:
    parameters = parameter_set(name)
    primes = data_primes(seal_context(parameters))
    assert [round(prime.bit_length()) for prime in primes] == list(parameters.modulus_bits[:-1])


@pytest.mark.parametrize("name", ["n4096-106", "n8192", "n8192-160", "n8192-144"])
def test_sets_in_use_meet_128_bits_of_both_tables(name: str) -> None:
    assert all(judged.level is not None for judged in verdict(parameter_set(name)).values())


def test_the_192_bit_set_meets_192_bits_of_both_tables() -> None:
    assert {judged.level for judged in verdict(parameter_set("n8192-144")).values()} == {192}


def test_parameters_below_128_bits_are_refused_with_the_bound_and_a_larger_ring() -> None:
    weak = CkksParameters(4096, (40, 36, 37), 30)
    with pytest.raises(UsageError, match=r"113 is below 128 .* allows 109 .* N = 8192"):
        require_128_bits(weak)
    with pytest.raises(UsageError, match="below 128"):
        seal_context(weak)


@pytest.mark.parametrize(
    ("degree", "bits", "scale", "complaint"),
    [
        (4095, (36, 36), 30, "ring degree 4095"),
        (65536, (36, 36), 30, "ring degree 65536"),
        (4096, (36,), 30, "no prime to compute with"),
        (4096, (61, 36), 30, "61 bits"),
        (4096, (36, 19), 30, "19 bits"),
        (4096, (36, 36), 36, "scale 2\\^36 does not fit"),
    ],
)
def test_impossible_parameters_are_refused_by_name(
    degree: int, bits: tuple[int, ...], scale: int, complaint: str
) -> None:
    with pytest.raises(UsageError, match=complaint):
        CkksParameters(degree, bits, scale)


def test_parameters_survive_json() -> None:
    for parameters in PARAMETER_SETS.values():
        assert CkksParameters.from_json(parameters.to_json()) == parameters


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"degree": 4096, "modulus_bits": 36, "scale_bits": 30}',
        '{"degree": "4096", "modulus_bits": [36, 36], "scale_bits": 30}',
        '{"degree": 4096, "modulus_bits": [36, 36.5], "scale_bits": 30}',
        '{"degree": true, "modulus_bits": [36, 36], "scale_bits": 30}',
    ],
)
def test_json_of_another_shape_is_refused(text: str) -> None:
    with pytest.raises((ValueError, UsageError, MessageError)):
        CkksParameters.from_json(text)


def test_an_unknown_set_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'n4096'"):
        parameter_set("n4069")


def test_the_pipeline_offers_exactly_the_named_sets() -> None:
    offered = get_args(FheHeadParameters.model_fields["parameter_set"].annotation)
    assert sorted(offered) == sorted(["auto", *PARAMETER_SETS])
