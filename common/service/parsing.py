"""What every parser of foreign bytes shares: strict JSON, and the net that holds what it raises.

A parser checks what it reads and says what is wrong. The net is for what nobody thought of: what
leaves it is a ``MessageError`` or a ``CellError``, whatever a library or Python itself made of
hostile values.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from he_compare.common.errors import CellError, CompareError, MessageError, UnavailableError

MOST_FOREIGN_JSON_BYTES = 1 << 22
# More digits say nothing that a 64-bit number or a double could hold.
MOST_DIGITS = 400
MOST_WORDS = 200


@contextmanager
def parsed_as_hostile(what: str) -> Iterator[None]:
    """Let only MessageError and CellError leave a parser, and what says that a library is missing.

    ``what`` is parsed, in words. What else is raised becomes a MessageError that says of which kind
    it was.
    """
    try:
        yield
    except (CellError, UnavailableError):
        raise
    except CompareError as error:
        raise MessageError(f"{what} is invalid: {error}") from error
    except Exception as error:
        told = " ".join(str(error).split())[:MOST_WORDS]
        raise MessageError(f"{what} does not parse: {type(error).__name__}: {told}") from error


def strict_json(text: str | bytes, what: str) -> Any:
    """Parse JSON from outside. Raises MessageError.

    Refused are, besides what is no JSON: more than 4 MiB, names that come twice in one table, NaN
    and infinities, numbers of more than 400 digits, and nesting deeper than Python's stack.
    """
    if len(text) > MOST_FOREIGN_JSON_BYTES:
        raise MessageError(
            f"{what} has {len(text)} bytes of JSON, more than {MOST_FOREIGN_JSON_BYTES}"
        )
    try:
        return json.loads(
            text,
            object_pairs_hook=_table,
            parse_constant=_no_constant,
            parse_int=_whole,
            parse_float=_finite,
        )
    except RecursionError:
        raise MessageError(f"{what} is not JSON: it is nested too deeply") from None
    except ValueError as error:
        raise MessageError(f"{what} is not JSON: {str(error)[:MOST_WORDS]}") from None


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a name comes twice in one table")
    return table


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _whole(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits) if len(digits) <= MOST_DIGITS else math.inf
    if not math.isfinite(number):
        raise ValueError(f"the number {digits[:20]} is too large or too long")
    return number
