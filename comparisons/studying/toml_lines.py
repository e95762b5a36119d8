"""On which line of a TOML file something stands: ``tomllib`` does not say it of what it has read.

Only for messages. Where a file is written in a way that is not looked for (quoted keys, tables
inside a line), there is no number, and the message names the key alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_HEADER = re.compile(r"^\s*\[\s*([^\[\]]+?)\s*\]\s*(?:#.*)?$")
_PART = re.compile(r"""\"([^\"]*)\"|'([^']*)'|([\w-]+)""")
_KEY = re.compile(r"""^\s*(?:"([^"]+)"|'([^']+)'|([\w-]+))\s*=""")


def line_of_key(text: str, keys: Sequence[str], value: str = "") -> int:
    """Return the line, from 1, of a key by its path; 0 where it is not found.

    ``value``: a text inside the value of that key, whose own line is returned where it is found.
    """
    lines = text.splitlines()
    start = _place_of_key(lines, list(keys))
    if not start:
        return 0
    if not value:
        return start
    spelled = (f'"{value}"', f"'{value}'")
    for number, line in enumerate(lines[start - 1 :], start=start):
        if number > start and (_HEADER.match(line) or _KEY.match(line)):
            break
        if any(one in line for one in spelled):
            return number
    return start


def _place_of_key(lines: Sequence[str], wanted: list[str]) -> int:
    table: list[str] = []
    for number, line in enumerate(lines, start=1):
        if header := _HEADER.match(line):
            table = [next(filter(None, parts), "") for parts in _PART.findall(header[1])]
            if table == wanted:
                return number
        elif key := _KEY.match(line):
            name = next(part for part in key.groups() if part is not None)
            if [*table, name] == wanted:
                return number
    return 0
