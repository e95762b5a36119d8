"""What `compare doctor` checks: whether each part works on this machine, and how to fix it."""

from __future__ import annotations

import logging
import os
import platform
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from he_compare.common.datasets.reading.source_policy import LOGGER
from he_compare.common.environment import fingerprint_environment, usable_cores
from he_compare.common.errors import CompareError
from he_compare.common.memory_limits import most_memory
from he_compare.common.plugin_kinds import KINDS
from he_compare.common.plugins import import_third_parties
from he_compare.comparisons.cluster.capacity import capacity_here

Level = Literal["ok", "note", "problem"]
NEEDED_DISK_BYTES = 2 << 30
NEEDED_MEMORY_BYTES = 4 << 30


@dataclass(frozen=True)
class Diagnosis:
    """One part of the machine or the installation, and whether it works."""

    name: str
    level: Level
    found: str
    fix: str = ""


def examine(data_dir: Path | None, key_file: Path, cache_dir: Path) -> list[Diagnosis]:
    """Look at the machine, the packages, the pipelines, the data and the key file."""
    return [
        _python(),
        _resources(cache_dir),
        _workers(),
        _decoded_images(cache_dir),
        *_devices(),
        *_packages(),
        *_broken_plugins(),
        *_pipelines(),
        *_datasets(data_dir),
        _key(key_file),
    ]


def _python() -> Diagnosis:
    return Diagnosis("python", "ok", platform.python_version())


def _resources(cache_dir: Path) -> Diagnosis:
    memory = most_memory()
    existing = next(p for p in (cache_dir, *cache_dir.parents) if p.exists())
    disk = shutil.disk_usage(existing).free
    found = f"{usable_cores()} cores, {memory / 2**30:.0f} GiB memory, {disk / 2**30:.0f} GiB free"
    if memory < NEEDED_MEMORY_BYTES or disk < NEEDED_DISK_BYTES:
        return Diagnosis(
            "resources", "problem", found, "at least 4 GiB of memory and 2 GiB of disk are needed"
        )
    return Diagnosis("resources", "ok", found)


def _workers() -> Diagnosis:
    """Say how many workers a run starts here unless it is told otherwise."""
    capacity = capacity_here()
    return Diagnosis("workers", "ok", f"{capacity.workers} ({capacity.reason})")


def _devices() -> list[Diagnosis]:
    """Name every device with its memory, and the one that ``--device auto`` takes."""
    from he_compare.common.backbones.device import AUTOMATIC, devices, resolve_device

    checks = [
        Diagnosis(
            f"device {one.name}",
            "ok",
            f"{one.model}, {one.memory_bytes / 2**30:.0f} GiB, trains in {one.precision}",
        )
        for one in devices()
    ]
    chosen = resolve_device(AUTOMATIC).name
    return [*checks, Diagnosis("--device auto", "ok", f"trains on {chosen}")]


def _decoded_images(cache_dir: Path) -> Diagnosis:
    """Say where decoded images are kept, how much they take, and how much more would fit."""
    from he_compare.common.datasets.stored.image_store import stored_bytes

    folder, count, taken = stored_bytes(cache_dir)
    existing = next(p for p in (folder, *folder.parents) if p.exists())
    free = shutil.disk_usage(existing).free
    found = f"{count} files, {taken / 2**20:,.0f} MiB in {folder}; {free / 2**30:.0f} GiB free"
    fix = "compare data forget --yes deletes them" if count else ""
    return Diagnosis("decoded images", "ok", found, fix)


def _packages() -> list[Diagnosis]:
    checks = []
    for name, version in fingerprint_environment(1).packages.items():
        missing = version == "not installed"
        optional = name in {"concrete-ml", "concrete-python"}
        level: Level = "ok" if not missing else "note" if optional else "problem"
        fix = ""
        if missing and optional:
            fix = "optional: needs Python below 3.13 on Linux x86-64 or macOS arm64"
        elif missing:
            fix = "pip install he-compare"
        checks.append(Diagnosis(f"package {name}", level, version, fix))
    return checks


def _broken_plugins() -> list[Diagnosis]:
    return [
        Diagnosis(f"{kind.singular} {one.name}", "problem", one.reason, one.fix)
        for kind in KINDS.values()
        for one in import_third_parties(kind.name).broken
    ]


def _pipelines() -> list[Diagnosis]:
    checks = []
    for name, plugin in import_third_parties("pipelines").usable.items():
        try:
            availability = plugin.load().availability()
        except (ImportError, CompareError) as error:
            checks.append(
                Diagnosis(f"pipeline {name}", "problem", str(error), "reinstall he-compare")
            )
            continue
        if availability.available:
            checks.append(Diagnosis(f"pipeline {name}", "ok", "available"))
        else:
            checks.append(
                Diagnosis(f"pipeline {name}", "note", availability.reason, availability.fix)
            )
    return checks


def _datasets(data_dir: Path | None) -> list[Diagnosis]:
    """Look for each dataset on this machine; nothing is downloaded."""
    checks = []
    missing = []
    LOGGER.addHandler(logging.NullHandler())  # the checks themselves say what was found
    LOGGER.propagate = False
    for name, plugin in import_third_parties("datasets").usable.items():
        family = plugin.load()
        if family.takes_path:
            continue
        try:
            card = family.open("", data_dir, family.subsets[0], 0).card
        except CompareError:
            missing.append(name)
            continue
        if card.synthetic:
            fix = "for real images, put them into the folder named by COMPARE_DATA"
            checks.append(Diagnosis(f"dataset {name}", "note", card.title, fix))
        else:
            checks.append(Diagnosis(f"dataset {name}", "ok", card.title))
    if missing:
        names = ", ".join(missing)
        fix = "downloaded at first use, or read from the folder named by COMPARE_DATA"
        checks.append(Diagnosis("other datasets", "note", f"not on this machine: {names}", fix))
    if not (data_dir or os.environ.get("COMPARE_DATA")):
        checks.append(
            Diagnosis(
                "COMPARE_DATA", "note", "not set", "set it to the folder that holds your data"
            )
        )
    return checks


def _key(key_file: Path) -> Diagnosis:
    if not key_file.exists():
        return Diagnosis("client key", "note", "none yet", "the first scrambled run creates it")
    mode = key_file.stat().st_mode & 0o777
    if os.name == "posix" and mode & 0o077:
        return Diagnosis(
            "client key", "problem", f"readable by others ({mode:o})", "chmod 600 the file"
        )
    return Diagnosis("client key", "ok", f"mode {mode:o}")


def as_json(checks: list[Diagnosis]) -> list[dict[str, Any]]:
    """Return the checks as JSON values."""
    return [asdict(check) for check in checks]


def render(checks: list[Diagnosis]) -> str:
    """Lay the checks out as plain text."""
    width = max(len(check.name) for check in checks)
    lines = []
    for check in checks:
        line = f"{check.level:<8} {check.name:<{width}}  {check.found}"
        lines.append(line + (f"\n{'':9}{'':<{width}}  -> {check.fix}" if check.fix else ""))
    return "\n".join(lines)
