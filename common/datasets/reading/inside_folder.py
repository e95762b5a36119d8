"""Names of files from a table or a listing: plain text, relative, inside the folder, existing."""

from __future__ import annotations

import stat
from pathlib import Path, PurePosixPath

from he_compare.common.datasets.reading.table_text import is_plain
from he_compare.common.errors import DataError


class InsideFolder:
    """Checks names against one folder; remembers which parent folders were found to be inside."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._resolved = root.resolve()
        self._safe_parents: set[Path] = set()

    def check(self, name: str, where: str) -> str:
        """Return ``name`` as the posix path it means.

        ``where`` names the source ("labels.csv line 3"). Raises DataError on a name that is no
        plain text, an absolute path, one that leaves the folder (``..`` or a symbolic link), a
        missing file, or one that is no regular file.
        """
        refuse_odd_name(name, where)
        pure = PurePosixPath(name)
        if pure.is_absolute() or "\\" in name or (len(name) > 1 and name[1] == ":"):
            raise DataError(
                f"{where}: {name!r} is not a relative path with '/' between its parts",
                fix="name files relative to the folder",
            )
        if ".." in pure.parts or not pure.parts:
            raise self._outside(name, where)
        path = self.root / pure
        try:
            self._check_parent(path.parent, name, where)
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                if not path.resolve(strict=True).is_relative_to(self._resolved):
                    raise self._outside(name, where)
                mode = path.stat().st_mode
        except (OSError, RuntimeError):
            raise DataError(
                f"{where}: file {name!r} does not exist", fix="restore the file or leave it out"
            ) from None
        if not stat.S_ISREG(mode):
            raise DataError(f"{where}: {name!r} is not a regular file", fix="leave it out")
        return pure.as_posix()

    def _check_parent(self, parent: Path, name: str, where: str) -> None:
        if parent in self._safe_parents:
            return
        if not parent.resolve(strict=True).is_relative_to(self._resolved):
            raise self._outside(name, where)
        self._safe_parents.add(parent)

    def _outside(self, name: str, where: str) -> DataError:
        return DataError(
            f"{where}: {name!r} leads out of the folder {self.root.name!r}",
            fix="put the file itself into the folder, not a link to it; a table lies in the folder "
            "of its images or above it",
        )


def refuse_odd_name(name: str, where: str) -> None:
    """Refuse a file name with control characters or bytes that are not UTF-8, by its escaped name.

    Such a name cannot be written into records, tables and reports as it is. Raises DataError.
    """
    if is_plain(name):
        return
    raw = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    shown = "".join(one if is_plain(one) else repr(one)[1:-1] for one in raw)
    undecodable = any("\ud800" <= one <= "\udfff" for one in name)
    what = "is not UTF-8" if undecodable else "has control characters"
    raise DataError(
        f"{where}: the file name '{shown}' {what}",
        fix="rename the file"
        + (
            " (`convmv -f latin1 -t utf8 -r --notest FOLDER` does it for all)"
            if undecodable
            else ""
        ),
    )
