"""Wherever a secret key is made, or a token held, the memory of the process is closed first."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.repository import ROOT

# What makes a secret key, and where what is made is thrown away at once, in a server perhaps, whose
# memory the check that searches it has to be able to read.
MAKERS = ("KeyGenerator(", "generate_private_and_evaluation_keys(", ".keygen(", "tenseal.context(")
THROWN_AWAY = {"fhe_baseline/tfhe/value_forms.py"}
PACKAGES = ("common", "block_scramble", "fhe_baseline", "comparisons")


def test_every_module_that_makes_keys_closes_the_memory() -> None:
    found = []
    for package in PACKAGES:
        for file in (ROOT / package).rglob("*.py"):
            text = file.read_text()
            if any(maker in text for maker in MAKERS):
                found.append(file.relative_to(ROOT).as_posix())
                if found[-1] not in THROWN_AWAY:
                    assert "close_memory()" in text, found[-1]
    assert {"fhe_baseline/ckks/context.py", "fhe_baseline/tfhe/inference.py"} <= set(found)


SEAL = (
    "from he_compare.fhe_baseline.ckks.parameters import parameter_set\n"
    "from he_compare.fhe_baseline.ckks import context\n"
    "chosen = parameter_set('n4096')\n"
)
MADE = {
    "SEAL": SEAL + "context.new_keys(context.seal_context(chosen))",
    "TenSEAL": SEAL + "context.tenseal_context(chosen)",
    "token": (
        "from he_compare.common.service.host_address import HostAddress\n"
        "from he_compare.common.service.remote_host import RemoteHost\n"
        "where = HostAddress('http://127.0.0.1:1', False, '127.0.0.1', 1)\n"
        "RemoteHost(where, 't' * 40, None, driver='d', process='p', call_seconds=1.0)"
    ),
}


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_DUMPABLE is of Linux")
@pytest.mark.parametrize("what", MADE)
def test_a_process_is_closed_once_it_has_a_secret(what: str) -> None:
    code = (
        "import ctypes, resource\n"
        "opened = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)\n"
        f"{MADE[what]}\n"
        "print(opened, ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), "
        "resource.getrlimit(resource.RLIMIT_CORE)[0])\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.stdout.split() == ["1", "0", "0"], done.stderr
