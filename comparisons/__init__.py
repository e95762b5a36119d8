"""Plans, runs, judges and attacks comparisons; ``run`` and ``load_run`` are the Python interface.

Both are looked up when first asked for, so that importing the package stays light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from he_compare.comparisons.api import load_run as load_run
    from he_compare.comparisons.api import run as run

__all__ = ["load_run", "run"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from he_compare.comparisons import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
