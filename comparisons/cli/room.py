"""Whether a command has the memory to begin, where something bounds it: said before it begins.

Under a limit on the address space the libraries fail in many ways while they are loaded, some
without a word: so they are loaded in a process of their own first. Where that fails for another
reason than memory, nothing is said here: the command meets the same and says it. Under the limit of
a container the kernel ends what takes too much, and nobody is left to say why.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

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

# What a library ends its process by where memory is refused to it, and by other faults of its own.
CRASHES = ("SIGSEGV", "SIGABRT", "SIGBUS")

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


@dataclass(frozen=True)
class Probed:
    """What became of a process that loaded libraries. ``taken``: bytes, None where it could not.

    ``short``: for lack of memory. ``crash``: the signal it ended by without a word, '' for none.
    """

    taken: int | None = None
    short: bool = False
    crash: str = ""


def _require_libraries(limit: int, field: str, option: str, *, heavy: bool) -> None:
    """Load what a command loads, in a process under the same limits."""
    from he_compare.common.run.spelling import size

    found = probe_libraries(HEAVY_MODULES if heavy else LIGHT_MODULES, field)
    more = HEAVY_BYTES if heavy else LIGHT_BYTES
    what = "address space" if option == "-v" else "data"
    have = f"this process may have {size(limit)} of {what} (ulimit {option})"
    if found.taken is not None and found.taken + more > limit:
        raise UsageError(
            f"memory: {have}, and the libraries take {size(found.taken)} and the work at least "
            f"{size(more)}",
            fix=f"raise it: ulimit {option} {-(-(found.taken + more) // 1024)}, or more",
        )
    if found.short:
        raise UsageError(
            f"memory: {have}, and the libraries alone do not fit into that",
            fix=f"raise it: ulimit {option} unlimited",
        )
    if found.crash:
        raise UsageError(
            f"{have}, and the libraries end with {found.crash} while they are loaded",
            fix=f"raise it: ulimit {option} unlimited; where they still end so, it is not the "
            "limit: install them again",
        )


def probe_libraries(modules: Sequence[str], field: str) -> Probed:
    """Load modules in a process of its own; say what it took, or why it could not.

    ``field``: of /proc/PID/status.
    """
    from he_compare.common.memory_errors import killed_for_memory, printed_lack_of_memory
    from he_compare.common.memory_limits import oom_kills

    search = os.pathsep.join(entry for entry in sys.path if entry)
    kills = oom_kills()
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _PROBE, field, *modules],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": search},
            timeout=PROBE_LIMIT_SECONDS,
            check=False,
        )
    except OSError as error:
        return Probed(short=error.errno == errno.ENOMEM)
    except subprocess.SubprocessError:  # too slow: no matter of memory
        return Probed()
    if done.returncode == 0:
        lines = done.stdout.split()
        return Probed(int(lines[-1]) if lines and lines[-1].isdigit() else None)
    if killed_for_memory(done.returncode, kills):
        return Probed(short=True)
    if printed_lack_of_memory(done.stderr.decode(errors="replace")):
        return Probed(short=True)
    return Probed(crash=_crash(done.returncode))


def _crash(code: int) -> str:
    """Name the signal that ended a process, where it is one of a crash; else ''."""
    try:
        name = signal.Signals(-code).name
    except ValueError:
        return ""
    return name if name in CRASHES else ""


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
