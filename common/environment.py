"""Fingerprint of the machine and software, and the pinning of threads."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib.metadata
import os
import platform
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from he_compare.common.run.records import EnvironmentFingerprint

PACKAGES = (
    "he-compare",
    "tenseal",
    "concrete-ml",
    "concrete-python",
    "torch",
    "timm",
    "numpy",
    "scipy",
    "scikit-learn",
    "pandas",
    "matplotlib",
    "cryptography",
    "numba",
    "pillow",
    "typst",
)
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "KMP_BLOCKTIME",
)
CPUINFO = Path("/proc/cpuinfo")


def usable_cores() -> int:
    """Return the number of logical cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def thread_environment(threads: int) -> dict[str, str]:
    """Return the environment variables that pin numeric libraries to ``threads``."""
    return {name: str(threads) for name in THREAD_VARIABLES}


def tool_version() -> str:
    """Return the installed version of he-compare."""
    try:
        return importlib.metadata.version("he-compare")
    except importlib.metadata.PackageNotFoundError:
        return "0+uninstalled"


def installed_packages() -> dict[str, str]:
    """Return the versions of the packages that matter, as they are installed at this moment."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


@cache
def _package_versions() -> dict[str, str]:
    return installed_packages()


@cache
def _cpu_model() -> str:
    if CPUINFO.exists():
        for line in CPUINFO.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})


@cache
def multiplies_bfloat16() -> bool:
    """Say whether this CPU has instructions that multiply matrices of bfloat16.

    Where the system does not tell (anything but Linux on x86-64), the answer is no.
    """
    if not CPUINFO.exists():
        return False
    lines = CPUINFO.read_text(errors="replace").splitlines()
    flags = next((line for line in lines if line.startswith("flags")), "")
    return bool(BFLOAT16_FLAGS & set(flags.split()))


@cache
def _source_state() -> tuple[str, bool | None]:
    """Commit and dirtiness of the checkout the code runs from; empty for an installed package."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return "", None
    try:
        commit = _git(root, "rev-parse", "HEAD")
        dirty = bool(_git(root, "status", "--porcelain"))
    except (OSError, subprocess.SubprocessError):
        return "", None
    return commit, dirty


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=20
    )
    return done.stdout.strip()


def fingerprint_environment(threads: int) -> EnvironmentFingerprint:
    """Describe this machine and software; no user name, host name or path."""
    from he_compare.common.run.records import EnvironmentFingerprint

    commit, dirty = _source_state()
    return EnvironmentFingerprint(
        python=f"{platform.python_version()} {platform.python_implementation()}",
        platform=f"{platform.system()} {platform.release()} {platform.machine()}",
        cpu=_cpu_model(),
        logical_cores=usable_cores(),
        memory_bytes=int(psutil.virtual_memory().total),
        threads=threads,
        load_average=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        packages=_package_versions(),
        source_commit=commit,
        source_dirty=dirty,
    )


def peak_memory_bytes() -> int:
    """Return the peak resident memory of this process in bytes.

    Linux: VmHWM, since ``ru_maxrss`` starts at what the parent held when it forked.
    """
    own = high_water(os.getpid())
    if own is not None:
        return own
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@dataclass(frozen=True)
class ProcessesPeak:
    """The largest sizes of some processes, summed, in bytes; ``count``: how many they are."""

    bytes: int
    count: int


def peak_of_processes(pid: int) -> ProcessesPeak | None:
    """Return the peak of a process and of those it started that still run; None if not told."""
    try:
        found = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except (psutil.Error, ValueError):
        return None
    sizes = [high_water(process.pid) for process in found]
    known = [size for size in sizes if size is not None]
    return ProcessesPeak(sum(known), len(known)) if known and len(known) == len(sizes) else None


def high_water(pid: int) -> int | None:
    """Return the peak resident memory of a process in bytes; None where Linux does not tell it."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None


def reset_peak_memory() -> bool:
    """Start measuring the peak again; False where the system cannot (anything but Linux)."""
    try:
        os.write(_peak_switch(os.getpid()), b"5")
    except OSError:
        return False
    return True


def give_back_free_memory() -> None:
    """Return to the system what earlier work left free in the heap: it would hide growth.

    With glibc only (malloc_trim(3)); elsewhere growth may be understated.
    """
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


# Parameters of mallopt(3), and what is kept: tensors of a batch fit in, images of a split do not.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
KEPT_FREE_BYTES, MOST_IN_HEAP_BYTES = 512 << 20, 64 << 20


@cache
def keep_free_memory() -> bool:
    """Keep up to 512 MiB that a network frees for its next batch; False where it cannot be had.

    glibc gives the top of its heap back after many layers, and the kernel fills it with zeros
    again: a DeiT-Tiny at 224 px took 40 to 51 ms of processor time per image in batches, and 33 to
    36 ms since. The peak of memory was the same. With glibc only.
    """
    try:
        told = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    kept = told(_TRIM_THRESHOLD, KEPT_FREE_BYTES) and told(_MMAP_THRESHOLD, MOST_IN_HEAP_BYTES)
    return bool(kept)


PEAK_METHOD = "VmHWM of the process, reset when the phase began, free heap given back (Linux)"


@dataclass(frozen=True)
class MemoryTaken:
    """Peak resident memory of a phase, and how far it is above where the phase began, in bytes."""

    peak: int
    growth: int


class PeakMemory:
    """The peak resident memory of this process since this object was made."""

    def __init__(self) -> None:
        give_back_free_memory()
        self._own = reset_peak_memory()
        self._before = int(psutil.Process().memory_info().rss)

    def taken(self) -> MemoryTaken | None:
        """Return it; None where the system does not start the peak anew."""
        if not self._own:
            return None
        peak = peak_memory_bytes()
        return MemoryTaken(peak, max(0, peak - self._before))


def keep_peak_resettable() -> None:
    """Open what ``reset_peak_memory`` needs, before this process closes its memory to its user."""
    with contextlib.suppress(OSError):
        _peak_switch(os.getpid())


@cache
def _peak_switch(pid: int) -> int:
    """Return a descriptor of this process's clear_refs (proc(5)), opened once. Raises OSError."""
    return os.open(f"/proc/{pid}/clear_refs", os.O_WRONLY | os.O_CLOEXEC)
