"""What a process runs with, and what has to be the same where its results are to be the same."""

from __future__ import annotations

import hashlib
import platform
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from he_compare.common.environment import (
    fingerprint_environment,
    installed_packages,
    tool_version,
)

# The packages whose code server halves and their pipelines are made of.
SERVED_FROM = ("common", "block_scramble", "fhe_baseline")
KEYING = ("torch", "timm", "numpy", "scikit-learn", "tenseal", "concrete-ml", "pillow")


class Software(BaseModel):
    """What has to be the same on all machines of a run. ``commit``: '' for an installed package."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    python: str
    tool_version: str
    commit: str = ""
    packages: dict[str, str] = Field(default_factory=dict)

    def differences(self, wanted: Software, verb: str = "wanted") -> list[str]:
        """Say what is not as it is wanted: what is there, and what should be, or ``verb``."""
        pairs = [
            ("Python", self.python, wanted.python),
            ("he-compare", self.tool_version, wanted.tool_version),
            ("commit", self.commit or "none", wanted.commit or "none"),
            *((name, self.packages.get(name, "none"), v) for name, v in wanted.packages.items()),
        ]
        return [f"{name} {has}, {verb} {want}" for name, has, want in pairs if has != want]


def software_here(*, afresh: bool = False) -> Software:
    """Return what this process runs with; ``afresh``: what is installed at this moment.

    The commit is the one of the start in either case.
    """
    return Software(
        python=".".join(platform.python_version_tuple()[:2]),
        tool_version=tool_version(),
        commit=fingerprint_environment(1).source_commit,
        packages=keying_packages(afresh=afresh),
    )


def keying_packages(*, afresh: bool = False) -> dict[str, str]:
    """Return the versions of the packages that key every cell."""
    versions = installed_packages() if afresh else fingerprint_environment(1).packages
    return {name: versions[name] for name in KEYING}


def served_source_digest(*, afresh: bool = False) -> str:
    """Return the SHA-256 over the bytes of all source files that server halves are made of.

    ``afresh``: of the bytes as they are at this moment, else as they were when first asked for.
    """
    return _read_source_digest() if afresh else _source_digest()


@cache
def _source_digest() -> str:
    return _read_source_digest()


def _read_source_digest() -> str:
    root = Path(__file__).resolve().parents[1]
    hasher = hashlib.sha256()
    for package in SERVED_FROM:
        for file in sorted((root / package).rglob("*.py")):
            hasher.update(f"{file.relative_to(root).as_posix()}\x00".encode())
            hasher.update(hashlib.sha256(file.read_bytes()).digest())
    return hasher.hexdigest()
