"""Standard input, output and errors that are closed, or whose other end goes away.

A reader that leaves (``| head -1``, a terminal that is gone) takes nothing but the text: what the
command does is done, and its exit code is its own. What cannot be written for another reason, such
as a full disk, is an error on standard output, and dropped on standard error.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any, TextIO

_GONE = (errno.EPIPE, errno.EIO, errno.EBADF, errno.ENXIO)
_NAMES = {1: "the standard output", 2: "the standard error"}


class LastingOutput(io.FileIO):
    """A standard stream that drops what is written once its reader is gone."""

    def write(self, data: Any, /) -> int:
        """Write bytes; return how many, those that were dropped included. Raises OSError."""
        try:
            done = super().write(data)
        except OSError as error:
            if error.errno not in _GONE and self.fileno() != 2:
                error.filename = _NAMES[self.fileno()]
                raise
            drop_output(self.fileno())
            return memoryview(data).nbytes
        # Not taken for now, by a pipe that does not block: the writer above asks again.
        return done if done is not None else self._waited(data)

    def _waited(self, data: Any) -> int:
        os.set_blocking(self.fileno(), True)
        return self.write(data)


def drop_output(number: int) -> None:
    """Lead a standard stream to nowhere from here on."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, number)
    if nowhere != number:
        os.close(nowhere)


def secure_streams() -> None:
    """Open what is closed of the three streams, and let the two of output outlast their readers.

    A closed one is opened on the null device: its number would be that of the next file that is
    opened, and what is printed would go there. Streams that somebody has replaced stay.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            drop_output(number)
    if sys.stdin is None:
        sys.stdin = open(os.devnull)  # noqa: SIM115, PTH123  # as long as the process
    sys.stdout = _lasting(sys.stdout, sys.__stdout__, 1)
    sys.stderr = _lasting(sys.stderr, sys.__stderr__, 2)


def _lasting(stream: TextIO | None, first: TextIO | None, number: int) -> TextIO:
    if stream is None:
        # Its number may belong to another file by now.
        return open(os.devnull, "w")  # noqa: PTH123  # as long as the process
    if stream is not first:
        return stream
    try:
        if stream.fileno() != number:
            return stream
        stream.flush()
    except (OSError, ValueError):
        return stream
    raw = LastingOutput(number, "wb", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding,
        # Names of files may hold bytes that are no text, and a terminal may know few letters.
        errors="backslashreplace",
        line_buffering=number == 2 or stream.isatty(),
    )


def flush_streams() -> OSError | None:
    """Write what was printed; return why it could not be, and drop it."""
    failed = None
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
        except OSError as error:
            drop_output(number)
            failed = error
    return failed
