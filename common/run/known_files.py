"""Which files of a run folder are the run's own: what its records name, and the fixed ones.

A file that somebody put there, or changed, does not become part of a run by being in its folder
when the run ends once more: it has no sum, or the one that it had.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from he_compare.common.run.records import AttackOutcome, RunRecord

FIXED = (
    *("manifest.json", "copies.csv", "records.jsonl", "attacks.jsonl", "pictures.npz"),
    *("scores.json", "records.torn", "attacks.torn"),
)
REPORT_FILES = "report/"
_OF_A_CELL = re.compile(
    r"predictions/[0-9a-f]{16}\.npz|tape/[0-9a-f]{16}\.tape|tape/[0-9a-f]{32}\.public"
    r"|attacks/[a-z0-9-]+/[a-z0-9-]+/[0-9]+-[a-z0-9-]+\.png"
)


def known_digests(
    folder: Path,
    records: Iterable[RunRecord],
    outcomes: Iterable[AttackOutcome],
    artefacts: Iterable[str],
    before: Mapping[str, str],
) -> dict[str, str]:
    """Return the run's files by name with the SHA-256 that they ought to have, '' where to compute.

    ``artefacts``: names of files whose digests hold. ``before``: the sums that the folder has: of
    files of the report, which are written by themselves, they stay.
    """
    known = dict.fromkeys(FIXED, "") | named_digests(records, outcomes)
    known |= dict.fromkeys(artefacts, "")
    known |= {name: sum_ for name, sum_ in before.items() if name.startswith(REPORT_FILES)}
    return {name: digest for name, digest in known.items() if name and (folder / name).is_file()}


def named_digests(
    records: Iterable[RunRecord], outcomes: Iterable[AttackOutcome]
) -> dict[str, str]:
    """Return the files that records name, with the SHA-256 that they ought to have or ''."""
    named: dict[str, str] = {}
    for record in records:
        named[record.predictions] = ""
        if record.tape is not None:
            named[record.tape.file] = named[record.tape.public_file] = ""
    for outcome in outcomes:
        left = (*outcome.artefacts, *(one.file for one in outcome.pictures))
        named |= {name: outcome.files_sha256.get(name, "") for name in left}
    return named


def remove_orphans(folder: Path, named: Collection[str]) -> int:
    """Remove files of cells and attacks that were killed before their record was written.

    ``named``: what records name. Only files called as such a file is are removed. Return how many.
    """
    removed = 0
    for top in ("predictions", "tape", "attacks"):
        for path in (folder / top).rglob("*"):
            name = path.relative_to(folder).as_posix()
            if _OF_A_CELL.fullmatch(name) and name not in named and path.is_file():
                path.unlink()
                removed += 1
    return removed
