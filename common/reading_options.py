"""How the files of a dataset are to be read, where a family of datasets can be told so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields


@dataclass(frozen=True)
class ReadingOptions:
    """How files are to be read, where only some families can be told so.

    ``group_by``: "folder" where each sub-folder of a class holds the images of one patient.
    ``csv_columns``: the column of a table by what it stands for (file, label, split, group).
    ``frames``: which frames of a file with several are images: first, middle or all.
    Empty values: not asked for.
    """

    group_by: str = ""
    csv_columns: Mapping[str, str] = field(default_factory=dict)
    frames: str = ""

    def asked_for(self) -> list[str]:
        """Return the names of the options that are not empty."""
        return [one.name for one in fields(self) if getattr(self, one.name)]


NOTHING_ASKED = ReadingOptions()
