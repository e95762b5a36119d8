"""How a dataset is opened for every command: its family, then what holds whatever the family.

Copies across splits are left out, kept or refused, and a class may be named as the positive one.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from he_compare.common import plugins
from he_compare.common.contracts import OpenDataset
from he_compare.common.dataset import DatasetFamily, ReadingOptions, choose_subset
from he_compare.common.errors import UnknownNameError, UsageError
from he_compare.common.plugins import nearest

if TYPE_CHECKING:
    from he_compare.common.datasets.opened.screening import ScreenedImages

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


def open_dataset(
    dataset_spec: str,
    data_dir: Path | None,
    subset: str,
    seed: int,
    options: DataOptions | None = None,
) -> ScreenedImages:
    """Open ``NAME`` or ``NAME:ARGUMENT``, the default subset where ``subset`` is ''.

    Raises UnknownNameError; DataError too where what was opened does not keep to its contract.
    """
    from he_compare.common.datasets.opened.invariants import check_opened
    from he_compare.common.datasets.opened.screening import screen
    from he_compare.common.datasets.reading.source_policy import current_policy

    options = options or DataOptions()
    family, argument = find_family(dataset_spec)
    chosen = choose_subset(family.name, subset, family.subsets)
    opened = family.open(argument, data_dir, chosen, seed, options.reading)
    check_opened(opened, family.name)
    screened = screen(opened, options.copies, current_policy().progress)
    if options.positive:
        name_positive(screened, options.positive)
    return screened


def find_family(dataset_spec: str) -> tuple[DatasetFamily, str]:
    """Return the family and the argument of ``NAME`` or ``NAME:ARGUMENT``."""
    name, _, argument = dataset_spec.partition(":")
    return plugins.load("datasets", name), argument


def name_positive(opened: OpenDataset, positive: str) -> None:
    """Let sensitivity be computed for a class. Raises UsageError where there is no such class."""
    classes = opened.card.classes
    if positive not in classes:
        raise UsageError(
            f"--positive {positive!r} is not a class of {opened.card.name}: "
            + ", ".join(map(repr, classes[:20])),
            fix=nearest(positive, classes),
        )
    if len(classes) != 2:
        raise UsageError(
            f"--positive {positive!r}: {opened.card.name} has {len(classes)} classes, not two",
            fix="leave --positive out; recall is given for each class",
        )
    opened.card = opened.card.model_copy(update={"positive_class": positive})
    opened.notes.append(f"positive class: {positive!r}, as the command says")
