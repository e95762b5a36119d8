"""Objects that hold key material stay in the process that made them, and out of its core dumps."""

from __future__ import annotations

from functools import cache
from typing import NoReturn


class KeptInProcess:
    """Base of what holds key material: refuses to be pickled and copied, whatever it inherits.

    A pickle is a file or a message with the key in it; a copy is one more place to forget.
    """

    __slots__ = ()

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Raise TypeError: ``pickle`` and ``copy`` both ask here."""
        raise TypeError(
            f"{type(self).__name__} holds key material: it is not pickled and not copied; another "
            "process reads the key file itself"
        )


@cache
def forbid_core_dumps() -> None:
    """Set the soft core limit of this process and of its children to 0, once.

    A core dump would write the keys in memory to disk. Nothing happens where there are no such
    limits (Windows). A crash handler that the kernel pipes dumps to is told the limit and may
    ignore it.
    """
    try:
        import resource
    except ImportError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
