"""How much memory this process may still take, and what bounds it; how often the kernel killed.

A container or a service has less than its machine: a control group bounds resident memory
(cgroup v1 ``memory.limit_in_bytes``, v2 ``memory.max``, of the group and of all above it), and the
shell may bound address space and data (setrlimit(2), RLIMIT_AS and RLIMIT_DATA).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import psutil

PROC = Path("/proc")
GROUPS = Path("/sys/fs/cgroup")

MACHINE = "on this machine"
CONTAINER = "for this container (its control group has a memory limit)"
ADDRESS_SPACE = "for this process (its address space is limited, ulimit -v)"
DATA = "for this process (its data is limited, ulimit -d)"

# Where no limit is set, cgroup v1 writes a number near 2^63.
_NO_LIMIT = 1 << 60


@dataclass(frozen=True)
class FreeMemory:
    """``bytes``: what may be taken. ``bound``: what bounds it, as words that follow "free"."""

    bytes: int
    bound: str = MACHINE


def free_memory(proc: Path = PROC, groups: Path = GROUPS) -> FreeMemory:
    """Return the least of what machine, control groups and limits of this process leave."""
    found = [FreeMemory(int(psutil.virtual_memory().available))]
    found += [FreeMemory(one, CONTAINER) for one in _left_by_groups(proc, groups)]
    usage = psutil.Process().memory_info()
    for limit, taken, bound in (
        (soft_limit("RLIMIT_AS"), usage.vms, ADDRESS_SPACE),
        (soft_limit("RLIMIT_DATA"), getattr(usage, "data", 0), DATA),
    ):
        if limit is not None:
            found.append(FreeMemory(max(0, limit - int(taken)), bound))
    return min(found, key=lambda one: one.bytes)


def most_memory(proc: Path = PROC, groups: Path = GROUPS) -> int:
    """Return the bytes that this process and its neighbours in its control group may have."""
    limits = [one.limit for one in _groups(proc, groups)]
    return min([int(psutil.virtual_memory().total), *limits])


def soft_limit(name: str) -> int | None:
    """Return a limit of this process, named as in setrlimit(2), in bytes; None for none."""
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return None
    number = getattr(resource, name, None)
    if number is None:
        return None
    soft, _ = resource.getrlimit(number)
    return None if soft == resource.RLIM_INFINITY else int(soft)


def oom_kills(proc: Path = PROC, groups: Path = GROUPS) -> int:
    """Return how many processes the kernel has killed for lack of memory, as far as it tells.

    It counts those of the control group and those of the machine: what matters is that it rises.
    """
    counts = [proc / "vmstat"]
    for folder in _folders(proc, groups):
        counts += [folder / "memory.events", folder / "memory.oom_control"]
    return sum(_fields(one).get("oom_kill", 0) for one in counts)


@dataclass(frozen=True)
class _Group:
    """One control group with a limit. ``used``: without files that the kernel would drop first."""

    limit: int
    used: int


def _left_by_groups(proc: Path, groups: Path) -> list[int]:
    return [max(0, one.limit - one.used) for one in _groups(proc, groups)]


def _groups(proc: Path, groups: Path) -> Iterator[_Group]:
    for folder in _folders(proc, groups):
        for names in (
            ("memory.max", "memory.current", "inactive_file", "active_file"),
            (
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
                "total_inactive_file",
                "total_active_file",
            ),
        ):
            limit, used = _number(folder / names[0]), _number(folder / names[1])
            if limit is None or used is None or limit >= _NO_LIMIT:
                continue
            stat = _fields(folder / "memory.stat")
            files = sum(stat.get(name, 0) for name in names[2:])
            yield _Group(limit, max(0, used - files))


def _folders(proc: Path, groups: Path) -> Iterator[Path]:
    """Yield the folders of this process's control groups and of those above them.

    Inside a container the path may be that of the host: then the root is the container's own.
    """
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = (line.split(":", 2) + ["", ""])[:3]
        if controllers and "memory" not in controllers.split(","):
            continue
        roots = [groups / "memory"] if controllers else [groups, groups / "unified"]
        own = PurePosixPath(path or "/")
        for one in (own, *own.parents):
            for root in roots:
                folder = root / str(one).lstrip("/")
                if folder.is_dir():
                    yield folder


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # not there, or "max"
        return None


def _fields(path: Path) -> dict[str, int]:
    """Return a file of names and numbers; {} where it is none."""
    found = {}
    with contextlib.suppress(OSError, ValueError):
        for line in path.read_text().splitlines():
            name, _, value = line.partition(" ")
            found[name] = int(value)
    return found
