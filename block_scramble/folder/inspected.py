"""What a folder holds, looked at before anything of it is encrypted: every image, and the rest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from he_compare.block_scramble.folder.image_files import counted, read_plain
from he_compare.common.contracts import Progress
from he_compare.common.datasets.reading.decoding import map_threaded
from he_compare.common.datasets.reading.file_names import shown_name
from he_compare.common.datasets.reading.picture_formats import HEAD_BYTES, format_of, kind_of_other
from he_compare.common.errors import DataError

MAX_BROKEN_SHOWN = 10


def checked_shapes(
    source: Path, names: Sequence[str], size: int | None, depth: int | None, progress: Progress
) -> dict[str, tuple[int, ...]]:
    """Decode every image; return (height, width, channels) by name.

    ``size`` and ``depth``: as ``read_plain`` takes them. Raises DataError that names every image
    that cannot be read, up to ``MAX_BROKEN_SHOWN``.
    """

    def tried(position: int) -> tuple[int, ...] | DataError:
        name = names[position]
        try:
            return read_plain(source / name, name, size, depth).shape
        except DataError as error:
            return error

    shapes: dict[str, tuple[int, ...]] = {}
    errors: list[DataError] = []
    for position, result in enumerate(map_threaded(tried, range(len(names)))):
        if isinstance(result, DataError):
            errors.append(result)
        else:
            shapes[names[position]] = result
        progress("checking images", position + 1, len(names))
    if len(errors) == 1:
        raise errors[0]
    if errors:
        told = "; ".join(str(error) for error in errors[:MAX_BROKEN_SHOWN])
        more = len(errors) - MAX_BROKEN_SHOWN
        raise DataError(
            f"{counted(len(errors))} cannot be read: {told}"
            + (f"; and {more:,} more" if more > 0 else ""),
            fix="mend them or move them away; nothing was written",
        )
    return shapes


def described_others(source: Path, names: Sequence[str]) -> list[str]:
    """Return a line for each file that is not taken for an image: its name, and what it is."""
    return [f"{shown_name(name)}: {_described(source / name)}" for name in names]


def _described(path: Path) -> str:
    try:
        if not path.is_file():
            return "not a regular file"
        with path.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    found = format_of(head)
    if found is not None:
        return f"seems to be a {found.name} file, give it the ending {found.endings[0]}"
    return kind_of_other(head) or "not an image"
