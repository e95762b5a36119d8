"""What a process does so that others of the same user do not read its memory.

Linux: no core dump, no ptrace and no reading of /proc/PID/mem by processes without the capability
CAP_SYS_PTRACE (prctl(2), PR_SET_DUMPABLE), and for a server process no new privileges and no
capabilities but those on files. Elsewhere the core limit alone. This is no sandbox: a process of
the same user still reads the user's files.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_SET_DEATH_SIGNAL, _SET_DUMPABLE, _SET_NO_NEW_PRIVILEGES = 1, 4, 38
_CAPABILITY_VERSION = 0x20080522  # _LINUX_CAPABILITY_VERSION_3
# CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER
_ON_FILES = 0b1111


@dataclass(frozen=True)
class Closed:
    """What held on this system. ``memory``: closed to other processes of the user."""

    core: bool
    memory: bool
    privileges: bool


def forbid_core_dumps(*, for_good: bool = False) -> bool:
    """Set the core limit of this process and its children to 0; say whether that could be done.

    A core dump would write the keys in memory to disk. A crash handler that the kernel pipes dumps
    to is told the limit and may ignore it. ``for_good``: the hard limit as well.
    """
    try:
        import resource
    except ImportError:  # Windows has no core files
        return False
    try:
        _, hard = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0 if for_good else hard))
    except (OSError, ValueError):
        return False
    return True


@cache
def close_memory() -> Closed:
    """Close the memory of this process, once: it holds or may hold a key."""
    core = forbid_core_dumps()
    if sys.platform != "linux":
        return Closed(core, False, False)
    from he_compare.common.environment import keep_peak_resettable

    keep_peak_resettable()
    return Closed(core, _prctl(_SET_DUMPABLE, 0), False)


def give_up_privileges(*, searchable: bool = False) -> Closed:
    """Close the memory of a server process, and drop what could open that of others.

    ``searchable``: leave the memory open to processes of the same user, for the check that searches
    it for keys.
    """
    core = forbid_core_dumps(for_good=True)
    if sys.platform != "linux":
        return Closed(core, False, False)
    dropped = _drop_capabilities()
    dropped = _prctl(_SET_NO_NEW_PRIVILEGES, 1) and dropped
    # Last: a process whose capabilities change is closed by the kernel as well.
    return Closed(core, _prctl(_SET_DUMPABLE, int(searchable)) and not searchable, dropped)


def end_with_parent() -> bool:
    """Have the kernel end this process when the thread that started it ends (prctl(2)).

    It ends whatever it computes. False where the system does not do that: anything but Linux.
    """
    return sys.platform == "linux" and _prctl(_SET_DEATH_SIGNAL, int(signal.SIGKILL))


def _prctl(option: int, value: int) -> bool:
    try:
        call = ctypes.CDLL(None, use_errno=True).prctl
    except (OSError, AttributeError):
        return False
    return bool(call(option, ctypes.c_ulong(value), 0, 0, 0) == 0)


def _effective_capabilities() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


def _drop_capabilities() -> bool:
    """Reduce the capabilities of this thread to those on files (capset(2)).

    Threads inherit them: so this comes before any other is started. Root has to read the package
    wherever it is installed, so what overrides the modes of files is kept.
    """
    if os.geteuid() != 0:
        return True  # has none
    header = _Header(_CAPABILITY_VERSION, 0)
    kept = _effective_capabilities() & _ON_FILES
    sets = (ctypes.c_uint32 * 6)(kept, kept, 0, 0, 0, 0)
    try:
        call = ctypes.CDLL(None, use_errno=True).capset
    except (OSError, AttributeError):
        return False
    return bool(call(ctypes.byref(header), sets) == 0)
