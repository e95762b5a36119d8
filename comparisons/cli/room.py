"""Whether a command has the memory to begin, where something bounds it: said before it begins.

Under a limit on the address space the libraries fail in many ways while they are loaded, some
without a word: so they are loaded in a process of their own first. Under the limit of a container
the kernel ends what takes too much, and nobody is left to say why.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from he_compare.common.errors import UsageError

# Commands that load everything there is; the others load numpy and little more.
HEAVY = (("run",), ("audit",), ("doctor",), ("study", "run"))
HEAVY_MODULES = (
    "torch",
    "tenseal",
    "sklearn.linear_model",
    "he_compare.comparisons.measuring.measurer",
    "he_compare.comparisons.cluster.who_runs",
)
LIGHT_MODULES = ("numpy", "pydantic", "PIL.Image", "he_compare.common.run.store")
# What a run takes beside its libraries: images, models, threads. A server takes less.
HEAVY_BYTES, LIGHT_BYTES = 700_000_000, 100_000_000
# The smallest run, driver and one server together, as measured (1.07 GB at the peak, libraries
# included): less, and the kernel ends it.
LEAST_RUN_BYTES = 1_050_000_000
PROBE_LIMIT_SECONDS = 120.0

_PROBE = """
import importlib, sys
for name in sys.argv[2:]:
    importlib.import_module(name)
if "torch" in sys.modules:
    torch = sys.modules["torch"]
    torch.ones(512, 512) @ torch.ones(512, 512)
for line in open("/proc/self/status"):
    if line.startswith(sys.argv[1]):
        print(int(line.split()[1]) * 1024)
"""


def require_room_to_begin(arguments: Sequence[str]) -> None:
    """Raise UsageError where a command line cannot have the memory that it needs to begin."""
    if not arguments or "--help" in arguments:
        return
    from he_compare.common.memory_limits import soft_limit

    heavy = any(tuple(arguments[: len(words)]) == words for words in HEAVY)
    for name, field, option in (("RLIMIT_AS", "VmPeak", "-v"), ("RLIMIT_DATA", "VmData", "-d")):
        limit = soft_limit(name)
        if limit is not None:
            _require_libraries(limit, field, option, heavy=heavy)
    if heavy and sys.platform == "linux":
        _require_container()


def _require_libraries(limit: int, field: str, option: str, *, heavy: bool) -> None:
    """Load what a command loads, in a process under the same limits."""
    from he_compare.common.run.spelling import size

    taken = _taken_by(HEAVY_MODULES if heavy else LIGHT_MODULES, field)
    more = HEAVY_BYTES if heavy else LIGHT_BYTES
    if taken is not None and taken + more <= limit:
        return
    what = "address space" if option == "-v" else "data"
    needs = "the libraries alone do not fit into that"
    fix = f"raise it: ulimit {option} unlimited"
    if taken is not None:
        needs = f"the libraries take {size(taken)} and the work at least {size(more)}"
        fix = f"raise it: ulimit {option} {-(-(taken + more) // 1024)}, or more"
    raise UsageError(
        f"memory: this process may have {size(limit)} of {what} (ulimit {option}), and {needs}",
        fix=fix,
    )


def _taken_by(modules: Sequence[str], field: str) -> int | None:
    """Return what a process has that loads modules, in bytes; None where it cannot."""
    search = os.pathsep.join(entry for entry in sys.path if entry)
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _PROBE, field, *modules],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": search},
            timeout=PROBE_LIMIT_SECONDS,
            check=True,
        )
        return int(done.stdout.split()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


def _require_container() -> None:
    from he_compare.common.memory_limits import CONTAINER, free_memory
    from he_compare.common.run.spelling import size

    free = free_memory()
    if free.bound == CONTAINER and free.bytes < LEAST_RUN_BYTES:
        raise UsageError(
            f"memory: {size(free.bytes)} are free {free.bound}, and the smallest run takes about "
            f"{size(LEAST_RUN_BYTES)} with its server",
            fix="give the container more memory, or end what else runs in it",
        )
