"""Errors that code from elsewhere raises in an audit: told, so that the other cells go on."""

from __future__ import annotations

import traceback

from he_compare.common.disk_errors import is_full
from he_compare.common.memory_errors import lacks_memory, memory_error


def why_failed(error: BaseException, what: str = "") -> str:
    """Return why something failed, and print its trace, unless memory was short.

    ``what``: its name, '' where the sentence before names it. Raises the error again where the disk
    is full: all that follows would fail as well.
    """
    if is_full(error):
        raise error
    if lacks_memory(error):
        return str(memory_error(error, what or "it"))
    traceback.print_exc()
    return f"{what} failed: {type(error).__name__}: {error}".lstrip()
