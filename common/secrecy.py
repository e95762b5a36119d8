"""Objects that hold key material stay in the process that made them."""

from __future__ import annotations

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
