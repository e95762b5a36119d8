"""Names of files as a line of text shows them: on any terminal, in any record, on one line.

A name on disk is bytes. Python holds those that are no UTF-8 as lone surrogates, which no JSON file
and not every terminal can take.
"""

from __future__ import annotations

from collections.abc import Sequence

MAX_NAMES_SHOWN = 10


def is_utf8_name(name: str) -> bool:
    """Say whether the bytes of a name on disk are UTF-8, so that it can be written into a file."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def shown_name(name: str) -> str:
    r"""Return a name with everything that cannot be printed spelled out: ``r\xf6ntgen.png``."""
    if name.isprintable():
        return name
    return "".join(letter if letter.isprintable() else _escaped(letter) for letter in name)


def _escaped(letter: str) -> str:
    byte = ord(letter) - 0xDC00
    if 0x80 <= byte <= 0xFF:  # how Python keeps a byte of a name that is no UTF-8
        return f"\\x{byte:02x}"
    return letter.encode("unicode_escape").decode("ascii")


def shown_names(names: Sequence[str], most: int = MAX_NAMES_SHOWN) -> str:
    """Return the first names as one line, and how many more there are."""
    named = ", ".join(map(shown_name, names[:most]))
    return named + (f" and {len(names) - most:,} more" if len(names) > most else "")
