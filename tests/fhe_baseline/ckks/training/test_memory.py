"""Memory and bytes of a training: stated beforehand, measured, refused where they do not fit."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from he_compare.common.errors import CellError
from he_compare.fhe_baseline.ckks.parameters import name_of, training_set
from he_compare.fhe_baseline.ckks.training import memory
from he_compare.fhe_baseline.ckks.training.circuit import Circuit
from he_compare.fhe_baseline.ckks.training.client import CkksTrainingClient
from he_compare.fhe_baseline.ckks.training.design_space import design_space
from he_compare.fhe_baseline.ckks.training.key_parts import key_elements
from he_compare.fhe_baseline.ckks.training.memory import (
    GrowthOfThisProcess,
    client_bytes,
    key_bytes,
    server_bytes,
)
from he_compare.fhe_baseline.ckks.training.messages import addresses
from he_compare.fhe_baseline.ckks.training.problem import make_problem
from he_compare.fhe_baseline.ckks.training.sets import choose_set
from he_compare.fhe_baseline.ckks.training.sigmoid import fit_sigmoid
from he_compare.fhe_baseline.ckks.training.steps import plain_steps, steps_from_zero
from tests.support.encrypted_training import separable, small_task, train

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def full_size(steps: int, refreshes: int = 0, columns: int = 64) -> Circuit:
    parameters = choose_set("auto", steps, refreshes, 3)
    chain = plain_steps(steps, 4.0, fit_sigmoid(3, 10))
    return Circuit(parameters, 5216, columns, 1, chain, refreshes)


def test_the_servers_figure_counts_data_keys_and_processes() -> None:
    circuit = full_size(3)
    data = sum(1 for _ in addresses(circuit)) * 2 * 8 * 16384 * circuit.scales.top
    keys = len(key_elements(circuit)) * key_bytes(16384, circuit.levels + 1)
    assert data + keys + 300_000_000 < server_bytes(circuit) < 2 * (data + keys + 300_000_000)
    assert server_bytes(circuit, 2) > server_bytes(circuit) + keys
    assert server_bytes(full_size(3, columns=128)) > server_bytes(circuit) + data / 2


def test_the_servers_figure_grows_by_the_uploads_of_every_further_group_of_rows() -> None:
    circuit = full_size(3)
    twice = replace(circuit, rows=2 * 8192)
    assert (circuit.layout.groups, twice.layout.groups) == (1, 2)
    further = len(list(addresses(twice))) - len(list(addresses(circuit)))
    assert twice.scales.top == circuit.scales.top
    ciphertext = 2 * 8 * 16384 * circuit.scales.top
    assert server_bytes(twice) - server_bytes(circuit) == further * ciphertext
    divided, shared = (server_bytes(one, 2) - server_bytes(one) for one in (circuit, twice))
    # two processes divide the one group, and both need its data; of two groups each has one
    assert divided - shared == len(list(addresses(circuit))) * ciphertext


def test_the_client_needs_little_whatever_the_size_of_the_upload() -> None:
    """A stream: 5,216 x 64 at N = 32768 once took 10 GB."""
    assert client_bytes(full_size(6)) < 1_500_000_000
    assert client_bytes(full_size(3)) < 500_000_000


def test_too_little_memory_is_told_with_the_figures_before_any_key_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    circuit, problem = small_task(60, 5)
    there, here = server_bytes(circuit) / 1e9, client_bytes(circuit) / 1e9
    monkeypatch.setattr(memory, "available_bytes", lambda: 100_000_000)
    monkeypatch.setattr(CkksTrainingClient, "__init__", lambda *_: pytest.fail("a key was made"))
    with pytest.raises(
        CellError,
        match=rf"holds {there:.2f} GB at the server and {here:.2f} GB at the client, 0\.10 GB are",
    ):
        train(circuit, problem)


def test_processes_count_when_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    circuit, problem = small_task(1300, 7)
    enough = server_bytes(circuit) + client_bytes(circuit)
    monkeypatch.setattr(memory, "available_bytes", lambda: enough)
    train(circuit, problem)
    with pytest.raises(CellError, match="fewer steps or processes"):
        train(circuit, problem, processes=3)


# One training in a process of its own: what the tests before left behind would count.
MEASURED = """
import json, sys
from he_compare.common.clock import Clock
from he_compare.common.service.process import ServerProcess
from he_compare.common.types import Side
from he_compare.fhe_baseline.ckks.parameters import training_set
from he_compare.fhe_baseline.ckks.training.memory import client_bytes, server_bytes
from he_compare.fhe_baseline.ckks.training.problem import make_problem
from he_compare.fhe_baseline.ckks.training.sigmoid import fit_sigmoid
from he_compare.fhe_baseline.ckks.training.steps import plain_steps
from tests.support.encrypted_training import separable, train
processes, rows, width = map(int, sys.argv[1:])
problem = make_problem(*separable(rows, width, 2), 2, 0.1, True)
steps = plain_steps(2, problem.safe_length(), fit_sigmoid(3, 12))
circuit = problem.circuit(training_set("n8192-214"), steps, refreshes=1)
clock = Clock(Side.CLIENT)
start = lambda material: ServerProcess("fhe-train", material, clock, threads=1)
outcome = train(circuit, problem, start, processes=processes)
print(json.dumps({
    "client": [outcome.client_peak_bytes, client_bytes(circuit)],
    "server": [outcome.server_peak_bytes, server_bytes(circuit, processes)],
}))
"""


@LINUX
@pytest.mark.parametrize(("processes", "rows", "width"), [(1, 5000, 63), (2, 5000, 31)])
def test_the_stated_figures_are_at_least_the_measured_ones(
    processes: int, rows: int, width: int
) -> None:
    arguments = [sys.executable, "-c", MEASURED, *map(str, (processes, rows, width))]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    for measured, stated in json.loads(done.stdout).values():
        assert measured <= stated
        assert stated < 6 * measured


@LINUX
def test_a_peak_from_before_is_not_taken_for_growth(monkeypatch: pytest.MonkeyPatch) -> None:
    earlier = np.ones(10_000_000)
    del earlier
    monkeypatch.setattr(memory, "reset_peak_memory", lambda: False)
    assert GrowthOfThisProcess().bytes() is None


# The published sets beside each other


@pytest.mark.parametrize(("steps", "refreshes"), [(1, 0), (3, 0), (6, 0), (8, 7)])
def test_the_design_space_has_every_set_that_holds_the_steps(steps: int, refreshes: int) -> None:
    circuit = full_size(steps, refreshes)
    entries = {entry["parameter_set"]: entry for entry in design_space(circuit)}
    chosen = [name for name, entry in entries.items() if entry["chosen"]]
    assert chosen == [name_of(circuit.parameters)]
    for name, entry in entries.items():
        parameters = training_set(name)
        assert entry["steps_from_one_upload"] == steps_from_zero(parameters.depth, 3)
        one_upload = entry["steps_from_one_upload"] >= steps
        if not entry["chosen"]:
            assert (entry["refreshes_for_these_steps"] == 0) is one_upload
        assert 0 < entry["data_bytes"] < entry["server_bytes"]
        assert entry["key_switches"] > 0
    assert entries[chosen[0]]["refreshes_for_these_steps"] == refreshes
    assert "n1024-insecure" not in entries


def test_the_design_spaces_bytes_are_those_of_a_real_upload() -> None:
    problem = make_problem(*separable(600, 15, 2), 2, 0.1, True)
    steps = plain_steps(1, problem.safe_length(), fit_sigmoid(3, 12))
    circuit = problem.circuit(training_set("n8192-214"), steps)
    (entry,) = [one for one in design_space(circuit) if one["chosen"]]
    outcome = train(circuit, problem)
    assert entry["keys_bytes"] == pytest.approx(outcome.keys.bytes, rel=0.15)
    assert entry["data_bytes"] == pytest.approx(outcome.data.bytes, rel=0.15)
    assert np.isfinite(outcome.weights).all()
