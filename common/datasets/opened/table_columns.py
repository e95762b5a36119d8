"""Which column of a table is which: as the command says, as the header says, or a proposal.

A column that is not called ``file`` or ``label`` is never taken for it unasked: the error proposes
the ``--csv-columns`` that would do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from he_compare.common.datasets.reading.csv_tables import sample_table
from he_compare.common.datasets.reading.decoding import SUFFIXES
from he_compare.common.datasets.reading.named_files import NamedFiles
from he_compare.common.datasets.reading.split_words import split_of
from he_compare.common.errors import DataError
from he_compare.common.plugins import nearest

REQUIRED, OPTIONAL = ("file", "label"), ("split", "group")
TRIED_NAMES = 20
MAX_COLUMNS_SHOWN = 20
# Names in use, in order of preference; spelled in lower case without separators.
_FILES = (
    "filename filepath imagepath imageid imagename image img imgid imgpath path idcode imageindex "
    "files images patientid id name"
)
_LABELS = (
    "labels class classes dx diagnosis diagnostic finding findings findinglabels target disease "
    "category pathology classname classid level grade result y"
)
_GROUPS = (
    "patient patientid patientids subject subjectid participant participantid case caseid person "
    "lesionid studyid"
)
SPLIT_COLUMNS = "set dataset subset partition phase fold kfold"


@dataclass(frozen=True)
class TableColumns:
    """``missing``: roles without a column. ``called``: the name of each role's column.

    ``proposed``: columns that may stand for roles that have none. ``header``: all names.
    ``flags``: columns of 0 and 1. ``exist``: how many of the first files named exist, of how many.
    """

    name: str
    header: Sequence[str]
    called: Mapping[str, str]
    missing: Sequence[str]
    proposed: Mapping[str, str]
    flags: Sequence[str]
    exist: tuple[int, int]

    @property
    def usable(self) -> bool:
        """Return whether files and labels are known, and any of the first files exists."""
        return not self.missing and self.exist[0] > 0

    @property
    def describes_images(self) -> bool:
        """Return whether the table would be usable if the proposed columns were meant."""
        return bool(self.missing) and not {"file", "label"} & (
            set(self.missing) - set(self.proposed)
        )

    def option(self) -> str:
        """Return the option that would name the columns, COLUMN where none is proposed."""
        roles = [*REQUIRED, *(role for role in OPTIONAL if role in self.proposed)]
        said = {**dict.fromkeys(self.missing, "COLUMN"), **self.called, **self.proposed}
        named = ",".join(f"{role}={said[role]}" for role in roles if said.get(role, role) != role)
        return f"--csv-columns {named}" if " " not in named else f"--csv-columns '{named}'"

    def problem(self) -> str:
        """Say which columns are missing and which there are."""
        shown = ", ".join(map(repr, self.header[:MAX_COLUMNS_SHOWN])) or "none"
        more = len(self.header) - MAX_COLUMNS_SHOWN
        return (
            f"{self.name} has no column {' and no column '.join(map(repr, self.missing))} "
            f"(it has {shown}" + (f" and {more} more)" if more > 0 else ")")
        )

    def error(self) -> DataError:
        """Return the error of a table whose columns are not known."""
        if not self.header or any(
            PurePath(name).suffix.lower() in SUFFIXES for name in self.header
        ):
            return DataError(self.problem(), fix="add a header line")
        flags = ""
        if "label" in self.missing and "label" not in self.proposed and len(self.flags) > 1:
            flags = (
                f"; columns of 0 and 1 ({', '.join(map(repr, self.flags[:6]))}) are not read: add "
                "a column with the one class of each image"
            )
        return DataError(self.problem(), fix=f"pass {self.option()}{flags}")


def columns_of_table(path: Path, asked: Mapping[str, str], files: NamedFiles) -> TableColumns:
    """Find the columns of a table; ``asked``: by role, as the command names them.

    Raises DataError on a column that is asked for and absent, and where the file is no table.
    """
    sample = sample_table(path, [asked.get(role, role) for role in (*REQUIRED, *OPTIONAL)])
    header = list(sample)
    by_folded: dict[str, list[str]] = {}
    for name in header:
        by_folded.setdefault(name.casefold(), []).append(name)
    called = {}
    for role in (*REQUIRED, *OPTIONAL):
        wanted = asked.get(role, role)
        alike = by_folded.get(wanted.casefold(), [])
        if wanted in header or alike:
            called[role] = wanted if wanted in header else alike[0]
        elif role in asked:
            raise DataError(
                f"{path.name} has no column {wanted!r}, which --csv-columns names for {role}",
                fix=nearest(wanted, header),
            )
    missing = [role for role in REQUIRED if role not in called]
    free = {name: values for name, values in sample.items() if name not in called.values()}
    names = [name for name in sample.get(called.get("file", ""), []) if name][:TRIED_NAMES]
    return TableColumns(
        path.name,
        header,
        called,
        missing,
        _proposed(free, [role for role in (*REQUIRED, *OPTIONAL) if role not in called], files),
        [name for name, values in free.items() if _is_flag(values)],
        (sum(map(files.can_find, names)), len(names)),
    )


def _proposed(
    sample: Mapping[str, Sequence[str]], roles: Sequence[str], files: NamedFiles
) -> dict[str, str]:
    """Propose a column for each role: files by what exists, the others by names in use."""
    left = dict(sample)
    proposed: dict[str, str] = {}
    for role, used in zip(
        (*REQUIRED, *OPTIONAL), (_FILES, _LABELS, SPLIT_COLUMNS, _GROUPS), strict=True
    ):
        if role not in roles:
            continue
        names = used.split()
        flags = [one for one, values in left.items() if _is_flag(values)]
        like = [one for one in left if len(flags) < 2 or one not in flags]
        ranked = [one for name in names for one in left if _spelled(one) == name] or [
            one for name in names for one in like if len(name) > 4 and name in _spelled(one)
        ]
        if role == "file":
            ranked = _of_existing(left, files) or ranked
        elif role == "split":
            ranked = [name for name in ranked if all(map(split_of, filter(None, left[name])))]
        if ranked:
            proposed[role] = ranked[0]
            del left[ranked[0]]
    return proposed


def _of_existing(sample: Mapping[str, Sequence[str]], files: NamedFiles) -> list[str]:
    """Return the columns whose first values name files, those with most first."""
    found = {}
    for name, values in sample.items():
        tried = [value for value in values if value][:TRIED_NAMES]
        count = sum(map(files.can_find, tried))
        if count * 2 > len(tried):
            found[name] = count
    return sorted(found, key=lambda name: -found[name])


def _is_flag(values: Sequence[str]) -> bool:
    return bool(values) and {*values} <= {"0", "1", "0.0", "1.0", "-1.0", ""} and any(values)


def _spelled(name: str) -> str:
    return "".join(one for one in name.casefold() if one.isalnum())
