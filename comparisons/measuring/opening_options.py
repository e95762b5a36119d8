"""What a command says of a dataset beside its name: checked here, before anything is opened.

Loads nothing heavy: the options of `compare run` are made from it.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import Literal, get_args

from he_compare.common.errors import UnknownNameError, UsageError
from he_compare.common.plugins import nearest
from he_compare.common.reading_options import ReadingOptions

Copies = Literal["drop", "keep", "error"]
GroupBy = Literal["", "folder"]
Frames = Literal["", "first", "middle", "all"]
CSV_ROLES = ("file", "label", "split", "group")


@dataclass(frozen=True)
class DataOptions:
    """What a command says of a dataset beside its name.

    ``copies``: what becomes of training and validation images whose pixels equal a test image's.
    ``positive``: the class for which sensitivity is computed; '' for what the card says.
    """

    copies: str = "drop"
    positive: str = ""
    reading: ReadingOptions = field(default_factory=ReadingOptions)


def data_options(
    copies: str = "drop",
    positive: str = "",
    group_by: str = "",
    csv_columns: str = "",
    frames: str = "",
) -> DataOptions:
    """Check the options of a command. Raises UsageError naming the option and the value."""
    for option, value, known in (
        ("copies", copies, get_args(Copies)),
        ("group-by", group_by, get_args(GroupBy)),
        ("frames", frames, get_args(Frames)),
    ):
        if value not in known:
            named = ", ".join(one for one in known if one)
            raise UsageError(f"--{option} {value!r} is not one of {named}", fix="pass one of them")
    reading = ReadingOptions(group_by, columns_of(csv_columns), frames)
    return DataOptions(copies, positive, reading)


def option_words(options: DataOptions) -> list[str]:
    """Return the words of a command that say how its dataset was read; the positive class is none.

    What is as it is unasked is left out.
    """
    words = [] if options.copies == DataOptions.copies else [f"--copies {options.copies}"]
    reading = options.reading
    if reading.group_by:
        words.append(f"--group-by {reading.group_by}")
    if reading.csv_columns:
        columns = ",".join(f"{role}={name}" for role, name in reading.csv_columns.items())
        words.append(f"--csv-columns {shlex.quote(columns)}")
    if reading.frames:
        words.append(f"--frames {reading.frames}")
    return words


def columns_of(text: str) -> dict[str, str]:
    """Return the columns by role of ``file=image_path,label=finding``. Raises UsageError."""
    columns: dict[str, str] = {}
    for part in text.split(",") if text.strip() else ():
        role, equals, column = (word.strip() for word in part.partition("="))
        if not equals or not column:
            raise UsageError(
                f"--csv-columns {part.strip()!r} is not ROLE=COLUMN",
                fix=f"write file=NAME,label=NAME; roles are {', '.join(CSV_ROLES)}",
            )
        if role not in CSV_ROLES:
            raise UnknownNameError(
                f"--csv-columns has no role {role!r}", fix=nearest(role, list(CSV_ROLES))
            )
        if role in columns:
            raise UsageError(f"--csv-columns names {role!r} twice", fix="keep one of them")
        columns[role] = column
    return columns
