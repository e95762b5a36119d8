"""Sums over a run folder as it is: for tests of what comes after, not of who vouches."""

from __future__ import annotations

from pathlib import Path

from he_compare.common.identity import file_digest
from he_compare.common.run.sums import SUMS, Sums, write_sums
from he_compare.common.run.unlisted import entries


def seal(folder: Path) -> None:
    """Write the sums of every file of a folder, whoever wrote it."""
    names = [one for one in entries(folder) if (folder / one).is_file() and one != SUMS]
    digests = {
        name: file_digest(folder / name) for name in names if not (folder / name).is_symlink()
    }
    write_sums(folder, Sums(digests, complete=True))
