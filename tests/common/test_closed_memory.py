"""Memory that others of the same user cannot read: tried from a process without privileges."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

NOBODY = 65_534
linux = pytest.mark.skipif(sys.platform != "linux", reason="prctl and /proc are Linux's")
as_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another user"
)

# A holder and a reader of one user without privileges: may the reader open the holder's memory?
TRIAL = """
import os, sys, subprocess
from he_compare.common.closed_memory import close_memory, give_up_privileges
from he_compare.common.environment import reset_peak_memory
reset_peak_memory.__module__
os.setgid({nobody}); os.setuid({nobody})
{prepare}
print("peak", reset_peak_memory())
child = os.fork()
if child == 0:
    try:
        open(f"/proc/{{os.getppid()}}/mem", "rb").close()
        print("open", flush=True)
    except PermissionError:
        print("closed", flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""


def tried(prepare: str) -> list[str]:
    code = TRIAL.format(prepare=prepare, nobody=NOBODY)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    return done.stdout.split("\n")


# setuid itself closes a process (prctl(2)); opened again, it is as one that never was root.
OPENED = "import ctypes; ctypes.CDLL(None).prctl(4, ctypes.c_ulong(1), 0, 0, 0)"


@linux
@as_root
def test_memory_is_open_to_the_user_before_and_closed_after() -> None:
    before = tried(OPENED)
    if "open" not in before:
        pytest.skip("this kernel lets no process read another's memory (yama)")
    assert "closed" in tried(OPENED + "\nclose_memory()")
    assert "closed" in tried(OPENED + "\ngive_up_privileges()")
    assert "open" in tried(OPENED + "\ngive_up_privileges(searchable=True)")


@linux
@as_root
def test_the_peak_of_memory_is_still_measured_after_closing() -> None:
    assert "peak True" in tried(OPENED + "\nclose_memory()")


@linux
def test_no_core_file_and_no_capability_to_trace_others() -> None:
    code = (
        "from he_compare.common.closed_memory import give_up_privileges\n"
        "import resource\n"
        "closed = give_up_privileges()\n"
        "print(closed.core, closed.privileges, resource.getrlimit(resource.RLIMIT_CORE))\n"
        "status = open('/proc/self/status').read()\n"
        "effective = int(status.split('CapEff:')[1].split()[0], 16)\n"
        "print(effective >> 19 & 1, 'NoNewPrivs:\\t1' in status)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.split("\n")[:2] == ["True True (0, 0)", "0 True"]
