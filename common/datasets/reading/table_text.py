"""The text of a table as spreadsheets and scripts store it: its encoding and what separates values.

A mark at the beginning (BOM) says which Unicode form it is. Without one it is UTF-16 where every
other byte is zero, else UTF-8, else Windows-1252 as long as that gives words; the last is told. A
text that was encoded twice ("Ã¼" for "ü") is refused where it is used (``check_plain``).
"""

from __future__ import annotations

import codecs
import csv
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from he_compare.common.errors import DataError

MAX_BYTES = 256 * 1024 * 1024
MAX_FIELD = 4096
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
# The longer mark first: that of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SEPARATOR_LINE = re.compile(r"sep=([,;\t|])\r?\n?", re.IGNORECASE)
_LOOKED_AT = 400
_WORDS_SHOWN = 3
# Control characters, surrogates (bytes that are no text) and line separators.
_UNPLAIN = frozenset({"Cc", "Cs", "Zl", "Zp"})


def read_text(path: Path) -> tuple[str, str]:
    """Return the text of a table or list, and a sentence where its encoding had to be guessed.

    Raises DataError on a file that is too large, cannot be read or is no text.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path.name} is larger than {MAX_BYTES:,} bytes", fix="split it")
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}", fix="check the path") from None
    encoding = _marked(data)
    try:
        return data.decode(encoding or "utf-8"), ""
    except UnicodeDecodeError as error:
        if encoding:
            raise DataError(
                f"{path.name} is not {encoding.upper()} as its first bytes say (byte "
                f"{error.start})",
                fix="store it as UTF-8",
            ) from None
        return _as_windows(data, path.name, error.start)


def _marked(data: bytes) -> str:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return encoding
    head = data[:_LOOKED_AT]
    if len(head) >= 4 and not len(data) % 2:
        even, odd = head[0::2].count(0), head[1::2].count(0)
        if odd > len(head) // 4 and not even:
            return "utf-16-le"
        if even > len(head) // 4 and not odd:
            return "utf-16-be"
    return ""


def _as_windows(data: bytes, name: str, first: int) -> tuple[str, str]:
    """Decode as Windows-1252 if every word with a foreign letter looks like one."""
    problem = f"{name} is not UTF-8 (byte {first})"
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        raise DataError(f"{problem} nor Windows-1252", fix="store it as UTF-8") from None
    words = dict.fromkeys(word for word in re.findall(r"[^\s,;|\"]+", text) if not word.isascii())
    odd = next((word for word in words if not _is_wordlike(word)), None)
    if odd is not None:
        raise DataError(
            f"{problem}, and read as Windows-1252 it has words such as {odd[:40]!r}",
            fix="store it as UTF-8",
        )
    shown = ", ".join(repr(word[:40]) for word in list(words)[:_WORDS_SHOWN])
    return text, (
        f"{name} is not UTF-8 and was read as Windows-1252: {shown}; if these words are wrong, "
        "store it as UTF-8"
    )


def _is_wordlike(word: str) -> bool:
    """Say whether a word has its foreign letters where words have them."""
    for part in re.findall(r"[^\W\d_]+|[^\w\s]", word):
        if part.isascii() or part in "°µ–—‘’“”…":
            continue
        cased = part.islower() or part.isupper() or part.istitle()
        if not (part.isalpha() and cased and any(letter.isascii() for letter in part)):
            return False
    return True


def delimiter_of(text: str, wanted: Sequence[str]) -> tuple[str, str]:
    """Return what separates values, and the text from the header on.

    It is what a line ``sep=;`` before the header names, else what finds most of the ``wanted``
    columns, else what cuts the header into most parts.
    """
    said = _SEPARATOR_LINE.match(text)
    if said:
        return said[1], text[said.end() :]
    head = text[: 64 * MAX_FIELD].lstrip("\r\n")

    def rank(delimiter: str) -> tuple[int, int]:
        try:
            header = next(
                csv.reader([re.split(r"\r|\n", head, maxsplit=1)[0]], delimiter=delimiter)
            )
        except (csv.Error, StopIteration):
            return 0, 0
        names = {name.strip().casefold() for name in header}
        return sum(name.casefold() in names for name in wanted), len(header)

    return max(DELIMITERS, key=rank), text


def is_plain(text: str) -> bool:
    """Say whether a text has no control characters, line ends or bytes that are no text."""
    return text.isprintable() or not any(unicodedata.category(one) in _UNPLAIN for one in text)


def check_plain(value: str, where: str, column: str) -> None:
    """Raise DataError on a value that is not plain text, is too long or was encoded twice."""
    if not is_plain(value) or len(value) > MAX_FIELD:
        raise DataError(
            f"{where}: {column} is not plain text: {value[:40]!a}", fix="correct that line"
        )
    if value.isascii():
        return
    repaired = _repaired(value)
    if repaired:
        raise DataError(
            f"{where}: {column} {value[:40]!r} was garbled when the table was stored; it should "
            f"read {repaired[:40]!r}",
            fix="store the table as UTF-8 again",
        )


def _repaired(value: str) -> str:
    """Return what a text that was encoded twice should read, '' where it was not, '?' if lost."""
    if "\ufffd" in value:
        return value.replace("\ufffd", "?")
    for encoding in ("cp1252", "latin-1"):
        try:
            return value.encode(encoding).decode("utf-8")
        except UnicodeError:
            continue
    return ""
