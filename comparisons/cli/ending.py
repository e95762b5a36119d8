"""How the command ends: every error is a line on the standard error, and an exit code."""

from __future__ import annotations

import datetime
import os
import sys
import traceback
from pathlib import Path

import typer

from he_compare.common.disk_errors import file_error
from he_compare.common.errors import (
    EXIT_INTERNAL,
    EXIT_USAGE,
    CompareError,
    UnknownNameError,
    UsageError,
)
from he_compare.common.files import close_to_others
from he_compare.common.stopping import StopSignal
from he_compare.comparisons.cli.signals import say_line, stop_in, stopped

DEBUG = "--debug"
TRACES, MOST_TRACES = "traces", 20


def ended_by(error: BaseException) -> int:
    """Say in a line how the command ended; return its exit code."""
    if isinstance(error, typer.Exit):
        return int(error.exit_code)
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else EXIT_INTERNAL * bool(error.code)
    if (stop := stop_in(error)) is not None:
        return stopped(stop)
    if isinstance(error, typer.Abort):
        return stopped(StopSignal())
    if DEBUG in sys.argv:
        traceback.print_exception(error)
    known = _understood(error)
    if known is not None:
        say_line(_spelled(known))
        return known.exit_code
    shown = getattr(error, "format_message", None)  # of the parser of the command line
    if shown is not None:
        say_line(f"error: {shown()} (see `compare --help`)")
        return int(getattr(error, "exit_code", EXIT_USAGE))
    text = " ".join(str(error).split())
    say_line(f"internal error: {type(error).__name__}: {text} ({_where_the_trace_is(error)})")
    return EXIT_INTERNAL


def _understood(error: BaseException) -> CompareError | None:
    """Return an error as the project tells it; None where nobody has foreseen it."""
    if isinstance(error, CompareError):
        return error
    from he_compare.common.memory_errors import is_of_loading, lacks_memory, memory_error

    if lacks_memory(error):
        if is_of_loading(error):
            short = memory_error(error, "the libraries of this command")
            return UsageError(short.problem, fix="allow more memory (see ulimit -a)")
        return memory_error(error, "this command")
    return file_error(error) if isinstance(error, OSError) else None


def _spelled(error: CompareError) -> str:
    """Return an error as one line; where a name is unknown, the nearest ones are a second line."""
    if isinstance(error, UnknownNameError) and error.fix:
        return f"error: {error.problem}\n{error.fix}"
    return f"error: {error}"


def _where_the_trace_is(error: BaseException) -> str:
    """Keep the trace of an error in a file of the user's cache; say where, or how to see it."""
    if DEBUG in sys.argv:
        return "the trace is above"
    try:
        return f"its trace is in {_kept_trace(error)}"
    except Exception:  # no place for it, or none that may be written
        return f"run again with {DEBUG} for the trace"


def _kept_trace(error: BaseException) -> Path:
    """Write the trace of an error, for this user alone, and drop the oldest. Raises OSError."""
    from he_compare.comparisons.user_folders import default_cache_dir

    folder = default_cache_dir() / TRACES
    close_to_others(folder)
    for old in sorted(folder.glob("*.txt"))[: -MOST_TRACES + 1]:
        old.unlink(missing_ok=True)
    now = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S")
    path = folder / f"{now}-{os.getpid()}.txt"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as stream:
        stream.write(f"{' '.join(sys.argv)}\n\n")
        stream.writelines(traceback.format_exception(error))
    return path
