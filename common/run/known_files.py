"""Which files of a run folder are the run's own: what its records name, and the fixed ones.

A file that somebody put there does not become part of a run by being in its folder.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import Path

from he_compare.common.run.records import AttackOutcome, RunRecord

RECORDS = "records.jsonl"
ATTACKS = "attacks.jsonl"
# Written by themselves; a killed process may leave them without a digest in the sums.
FIXED = (
    *("manifest.json", "audit.json", RECORDS, ATTACKS, "pictures.npz"),
    *("scores.json", "records.torn", "attacks.torn"),
)
_OF_A_CELL = re.compile(
    r"predictions/[0-9a-f]{16}\.npz|tape/[0-9a-f]{16}\.tape|tape/[0-9a-f]{32}\.public"
    r"|attacks/[a-z0-9-]+/[a-z0-9-]+/[0-9]+-[a-z0-9-]+\.png"
)


def named_digests(
    records: Iterable[RunRecord], outcomes: Iterable[AttackOutcome]
) -> dict[str, str]:
    """Return the files that records name, with the SHA-256 that they ought to have.

    '' in records of earlier versions, which do not tell it.
    """
    named: dict[str, str] = {}
    for record in records:
        for name in files_of_cell(record):
            named[name] = record.files_sha256.get(name, "") or named.get(name, "")
    for outcome in outcomes:
        left = (*outcome.artefacts, *(one.file for one in outcome.pictures))
        named |= {name: outcome.files_sha256.get(name, "") for name in left}
    return named


def files_of_cell(record: RunRecord) -> list[str]:
    """Return the files that a cell left, by name."""
    tape = (record.tape.file, record.tape.public_file) if record.tape is not None else ()
    return [name for name in (record.predictions, *tape) if name]


def is_of_a_cell(name: str) -> bool:
    """Say whether a file is called as one that a cell or an attack leaves."""
    return _OF_A_CELL.fullmatch(name) is not None


def remove_orphans(folder: Path, named: Collection[str]) -> list[str]:
    """Remove files of cells and attacks that were killed before their record was written.

    ``named``: what records name. Only files called as such a file is are removed. Return their
    names.
    """
    removed = []
    for top in ("predictions", "tape", "attacks"):
        for path in (folder / top).rglob("*"):
            name = path.relative_to(folder).as_posix()
            if is_of_a_cell(name) and name not in named and path.is_file():
                path.unlink()
                removed.append(name)
    return removed
