"""The uSVP estimate against the public lattice-estimator, and its behaviour at the edges."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import pytest

from he_compare.common.errors import UsageError
from he_compare.fhe_baseline.lattice import CLASSICAL, CORE_SVP, QUANTUM, SMALLEST_BLOCK, estimate

VECTORS = json.loads((Path(__file__).parent / "lattice_vectors.json").read_text())
POINTS: list[dict[str, Any]] = VECTORS["points"]


@pytest.mark.parametrize("point", POINTS, ids=lambda point: f"{point['n']}-{point['logq']}")
def test_every_public_vector_is_met_to_a_hundredth_of_a_bit(point: dict[str, Any]) -> None:
    bits = {one.model: one.bits for one in estimate(point["n"], point["logq"], 3.19, "ternary")}
    assert bits[CLASSICAL] == pytest.approx(point["usvp_matzov"], abs=0.01)
    assert bits[CORE_SVP] == pytest.approx(point["usvp_adps16"], abs=0.01)
    assert bits[QUANTUM] == pytest.approx(point["usvp_chaloy21_q"], abs=0.01)


@pytest.mark.parametrize("point", POINTS, ids=lambda point: f"{point['n']}-{point['logq']}")
def test_block_size_and_dimension_are_those_of_the_public_vectors(point: dict[str, Any]) -> None:
    for one in estimate(point["n"], point["logq"], 3.19, "ternary"):
        assert (one.beta, one.d) == (point["beta"], point["d"])


def test_the_vectors_name_their_source() -> None:
    assert "27a581b" in VECTORS["source"]
    assert len(POINTS) == 25


def bits_of(n: int, logq: float, sigma: float, secret: Any) -> float:
    return estimate(n, logq, sigma, secret)[0].bits


def test_longer_moduli_cost_bits_and_larger_rings_and_errors_give_them() -> None:
    base = bits_of(4096, 109, 3.19, "ternary")
    assert bits_of(4096, 120, 3.19, "ternary") < base < bits_of(8192, 109, 3.19, "ternary")
    assert bits_of(4096, 109, 16.0, "ternary") > base


def test_a_smaller_secret_is_never_worth_more() -> None:
    binary, ternary, gaussian = (
        bits_of(2048, 54, 3.19, secret) for secret in ("binary", "ternary", "gaussian")
    )
    assert binary < ternary < gaussian


def test_parameters_tfhe_uses_are_worth_about_128_bits() -> None:
    """Concrete 2.10 pairs these dimensions and variances at its level of 128 bits."""
    for dimension, variance in ((1282, 5.987509e-19), (828, 6.325302e-12), (590, 3.042144e-8)):
        bits = bits_of(dimension, 64, math.sqrt(variance) * 2**64, "binary")
        assert 128 < bits < 140


def test_errors_as_large_as_the_modulus_are_out_of_reach_and_small_rings_are_at_the_floor() -> None:
    assert bits_of(1024, 20, 2.0**19, "ternary") == math.inf
    assert estimate(512, 200, 3.19, "ternary")[0].beta == SMALLEST_BLOCK


@pytest.mark.parametrize(
    ("n", "logq", "sigma"), [(8, 27, 3.19), (1024, 0.5, 0.1), (1024, 27, 0.0), (1024, 27, 2.0**30)]
)
def test_what_is_no_instance_is_refused(n: int, logq: float, sigma: float) -> None:
    with pytest.raises(UsageError, match="no estimate"):
        estimate(n, logq, sigma, "ternary")


def test_an_estimate_takes_milliseconds() -> None:
    start = time.perf_counter()
    for point in POINTS:
        estimate(point["n"], point["logq"], 3.19, "ternary")
    assert time.perf_counter() - start < 1.0
