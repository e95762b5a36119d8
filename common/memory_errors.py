"""What says that memory was too small, in the words of the libraries, and how it is told.

Python raises MemoryError; torch a RuntimeError; the loader of libraries an ImportError; the system
an OSError; and what the kernel kills says nothing at all.
"""

from __future__ import annotations

import errno
import signal

from he_compare.common.errors import MemoryShortError
from he_compare.common.memory_limits import MACHINE, free_memory, oom_kills
from he_compare.common.run.spelling import size

FIX = (
    "pass fewer --workers, a smaller --infer-batch or --image-size or fewer images, or allow more "
    "memory; finished cells are kept"
)
# Of torch (CPU and accelerators), of C++, of the loader (dlopen(3)), of the start of a thread.
_WORDS = (
    "not enough memory",
    "can't allocate memory",
    "cannot allocate memory",
    "out of memory",
    "bad_alloc",
    "failed to map segment",
    "can't start new thread",
    "unable to allocate",
)
# Of OpenBLAS and of the interpreter, which end the process and only print.
_PRINTED = ("memory allocation still failed", "memoryerror", "failed to allocate")
# The room of a library's thread-local variables (dlopen(3)), which more memory does not make.
_NOT_OF_MEMORY = ("static tls block",)
_KINDS = (RuntimeError, ImportError, OSError, SystemError)


def lacks_memory(error: BaseException) -> bool:
    """Say whether an error means that there was too little memory, of the machine or a device."""
    if isinstance(error, MemoryError | MemoryShortError):
        return True
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno == errno.ENOMEM
    if not isinstance(error, _KINDS):
        return False
    return _names_memory(str(error), _WORDS)


def printed_lack_of_memory(text: str) -> bool:
    """Say whether the last words of a process that ended mean that it had too little memory."""
    return _names_memory(text, (*_WORDS, *_PRINTED))


def _names_memory(text: str, words: tuple[str, ...]) -> bool:
    said = text.lower()
    return any(one in said for one in words) and not any(one in said for one in _NOT_OF_MEMORY)


def is_of_loading(error: BaseException) -> bool:
    """Say whether an error is one of loading a library: what it was loaded for has not begun."""
    return isinstance(error, ImportError) or (isinstance(error, OSError) and error.errno is None)


def memory_error(error: BaseException, what: str) -> MemoryShortError:
    """Return the error as one line that names memory and what needed it."""
    if isinstance(error, MemoryShortError):
        return error
    words = " ".join(str(error).split())[:200]
    return MemoryShortError(
        f"memory was too small for {what}{free_words()}" + (f": {words}" if words else ""), fix=FIX
    )


def free_words() -> str:
    """Say how much is free where something else than the machine bounds it; '' where not."""
    free = free_memory()
    return "" if free.bound == MACHINE else f" ({size(free.bytes)} free {free.bound})"


def ending_words(code: int | None, kills_before: int) -> str:
    """Say how a process ended. ``code``: as subprocess has it, None: it is still running.

    ``kills_before``: what ``oom_kills`` gave when it was started.
    """
    if code is None:
        return "is still running"
    if killed_for_memory(code, kills_before):
        return f"killed by the system for lack of memory, exit code {code}"
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"exit code {code}, {signal.Signals(-code).name}"
    except ValueError:
        return f"exit code {code}"


def killed_for_memory(code: int | None, kills_before: int) -> bool:
    """Say whether the kernel killed a process for lack of memory, as far as its counters tell."""
    return code == -9 and oom_kills() > kills_before
