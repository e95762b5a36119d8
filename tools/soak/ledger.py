"""The kept outcomes of a part of the soak, each with the code that it is of.

A file of JSON lines. The first holds the seed and the settings that all outcomes are of; each other
one a unit, its outcome and the digest of the code that was tried.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

from tools.imports import FLOORS, NAMESPACE

Outcome: TypeAlias = dict[str, Any]
STATE = "state"
# Of a digest of code, in names of files and folders.
SHORT = 12


class Stopped(Exception):
    """The soak cannot go on; the text says why and what to do."""


@dataclass(frozen=True)
class KeptOutcome:
    """What came of a unit. ``code``: the digest of what was tried, '' where it is not known."""

    outcome: Outcome
    code: str


@cache
def code_digest() -> str:
    """Return the SHA-256 of all that is tried: every module of the house and of the soak."""
    hasher = hashlib.sha256()
    for package in (*(f"{NAMESPACE}.{floor}" for floor in FLOORS), __package__):
        found = find_spec(package)
        for place in (found.submodule_search_locations if found else None) or ():
            root = Path(place)
            for file in sorted(root.rglob("*.py")):
                hasher.update(f"{package}:{file.relative_to(root).as_posix()}\0".encode())
                hasher.update(hashlib.sha256(file.read_bytes()).digest())
    return hasher.hexdigest()


@dataclass(frozen=True)
class Ledger:
    """The kept outcomes of a part. ``heading``: what they depend on; ``code``: that of new ones."""

    path: Path
    heading: Mapping[str, Any]
    code: str

    def take(self, *, carry_over: bool) -> tuple[dict[int, KeptOutcome], str]:
        """Return the outcomes that count, by unit, and what is to be said of others.

        ``carry_over``: those of other code count; else the file is kept under another name, and
        begun anew. A torn last line is left out. Raises Stopped where outcomes that count are of
        another seed or other settings.
        """
        values = list(_whole_lines(self.path)) if self.path.is_file() else []
        if not values:
            return {}, ""
        found = {
            int(one["unit"]): KeptOutcome(one["outcome"], str(one.get("code", "")))
            for one in values[1:]
        }
        others = [one.code for one in found.values() if one.code != self.code]
        taken = {u: one for u, one in found.items() if carry_over or one.code == self.code}
        if taken and values[0] != json.loads(json.dumps(self.heading)):
            raise Stopped(
                f"{self.path} holds outcomes of another seed or other settings "
                f"({values[0]}): name another folder with --out"
            )
        if not others or carry_over:
            return taken, ""
        beside = self.path.with_name(f"{self.path.stem}-of-{others[-1][:SHORT] or 'unknown'}.jsonl")
        self.path.replace(beside)
        return taken, f"{len(others):,} units were done by other code: kept apart in {beside.name}"

    def begin(self, kept: Mapping[int, KeptOutcome]) -> None:
        """Write the file anew with what is kept, so that no torn line stays in it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_suffix(".new")
        lines = [json.dumps(self.heading) + "\n", *(_line(unit, one) for unit, one in kept.items())]
        beside.write_text("".join(lines))
        beside.replace(self.path)

    def add(self, unit: int, outcome: Outcome) -> None:
        """Append an outcome."""
        with self.path.open("a") as stream:
            stream.write(_line(unit, KeptOutcome(outcome, self.code)))


def _line(unit: int, one: KeptOutcome) -> str:
    return json.dumps({"unit": unit, "code": one.code, "outcome": one.outcome}) + "\n"


def _whole_lines(path: Path) -> Iterator[Any]:
    for line in path.read_text().splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            return
