"""Memory of client and server while a head is trained under encryption, stated and measured.

Each training runs in a client process of its own, so that nothing is left from work before: the
client's figure is how far that process grows, the server's the peak of its process. Data: Gaussian
classes, 5,216 x 64, as many as the chest X-rays have; memory does not depend on values.
"""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np

from benchmarks.rows import Row, against, main
from he_compare.common.clock import Clock
from he_compare.common.service.process import ServerProcess
from he_compare.common.types import Side
from he_compare.fhe_baseline.ckks.training.memory import client_bytes, server_bytes
from he_compare.fhe_baseline.ckks.training.problem import make_problem
from he_compare.fhe_baseline.ckks.training.rounds import CkksTraining
from he_compare.fhe_baseline.ckks.training.sets import choose_set
from he_compare.fhe_baseline.ckks.training.sigmoid import fit_sigmoid
from he_compare.fhe_baseline.ckks.training.steps import plain_steps

ROWS, COLUMNS = 5216, 64
GIGABYTE = 1e9
CHILD = "--one-training"


def measure(quick: bool) -> list[Row]:
    """Train three steps at N = 16384; unless ``quick`` six at N = 32768, too."""
    rows = []
    for steps, ring in ((3, 16384),) if quick else ((3, 16384), (6, 32768)):
        command = [sys.executable, "-m", "benchmarks.fhe_memory", CHILD, str(steps)]
        answer = subprocess.run(command, capture_output=True, check=True, text=True)
        found = json.loads(answer.stdout)
        for side in ("client", "server"):
            stated, measured = (
                found[f"{side}_{what}"] / GIGABYTE for what in ("stated", "measured")
            )
            what = f"memory of the {side}, {ROWS} x {COLUMNS}, N = {ring}, {steps} steps"
            rows.append(against(what, measured, "GB", 1, "stated", stated))
    return rows


def train_once(steps: int) -> dict[str, int]:
    """Train at a server process; return bytes stated and measured, of both sides."""
    generator = np.random.default_rng(0)
    features = np.clip(generator.normal(size=(ROWS, COLUMNS - 1)), -4, 4)
    problem = make_problem(features, np.arange(ROWS) % 2, 2, 0.01, balanced=True)
    chain = plain_steps(steps, problem.safe_length(), fit_sigmoid(3, 10.0))
    circuit = problem.circuit(choose_set("auto", steps, 0, 3), chain)
    clock = Clock(Side.CLIENT)

    def start(material: bytes) -> ServerProcess:
        return ServerProcess("fhe-train", material, clock, threads=1)

    outcome = CkksTraining(circuit, problem, start, clock).run(restarts=0)
    if outcome.client_peak_bytes is None or outcome.server_peak_bytes is None:
        raise SystemExit("this system does not tell the memory of processes")
    return {
        "client_stated": client_bytes(circuit),
        "server_stated": server_bytes(circuit),
        "client_measured": outcome.client_peak_bytes,
        "server_measured": outcome.server_peak_bytes,
    }


if __name__ == "__main__":
    if sys.argv[1:2] == [CHILD]:
        print(json.dumps(train_once(int(sys.argv[2]))))
    else:
        main(measure, threads=1)
