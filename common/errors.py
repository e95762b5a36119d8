"""The errors of the project: what is wrong, with which value, and what to do about it.

Each class carries the exit code the command ends with. Raise them where the problem is understood;
the command prints ``str(error)`` as one line and keeps the traceback for ``--debug``.
"""

from __future__ import annotations

EXIT_OK = 0
EXIT_INTERNAL = 1
EXIT_USAGE = 2
EXIT_CELLS_FAILED = 3
EXIT_INTEGRITY = 4
# What ends a process by a signal has 128 and its number: SIGHUP 1, SIGINT 2, SIGTERM 15.
EXIT_BY_SIGNAL = 128
EXIT_INTERRUPTED = EXIT_BY_SIGNAL + 2


class CompareError(Exception):
    """A problem that one line describes: ``problem`` (names the value) and ``fix``."""

    exit_code = EXIT_INTERNAL

    def __init__(self, problem: str, *, fix: str = "") -> None:
        self.problem = " ".join(problem.split())
        self.fix = " ".join(fix.split())
        super().__init__(f"{self.problem} ({self.fix})" if self.fix else self.problem)


class UsageError(CompareError):
    """The command, a parameter or a configuration file asks for something impossible."""

    exit_code = EXIT_USAGE


class UnknownNameError(UsageError):
    """No plug-in, parameter, class or column of that name; carries the nearest names."""


class DataError(UsageError):
    """A dataset is missing, malformed or leaks between splits."""


class UnavailableError(CompareError):
    """Something this machine cannot do (a wheel, weights, a download); a normal cell status."""

    exit_code = EXIT_CELLS_FAILED


class CellError(CompareError):
    """One cell of a run failed; the others go on."""

    exit_code = EXIT_CELLS_FAILED


class NoServerError(CompareError):
    """There is no server and no message: what was asked of them does not apply."""

    exit_code = EXIT_CELLS_FAILED


class ServiceError(CellError):
    """The server process refused a request, timed out or died."""


class ServiceTimeoutError(ServiceError):
    """The server process did not answer within its time limit."""


class ServerReplacedError(ServiceError):
    """The process of the server half ended; another one answers from now on.

    What was sent to the one before, beside the public material, is gone.
    """


class MessageError(CellError):
    """Bytes that crossed the trust boundary do not parse as what they should be."""


class MemoryShortError(CellError):
    """The memory of this machine, or a limit on it, was too small for what was asked."""


class IntegrityError(CompareError):
    """Stored bytes are not what was written: a hash, schema or record does not match."""

    exit_code = EXIT_INTEGRITY
