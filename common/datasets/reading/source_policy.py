"""What opening a dataset may do: use the network, fall back on synthetic images, print messages.

Nothing is allowed unless a policy was set for the code that runs.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from he_compare.common.contracts import Progress

LOGGER = logging.getLogger("he_compare.data")


@dataclass(frozen=True)
class SourcePolicy:
    """What the search for data may do.

    ``offline``: never use the network. ``require_real``: refuse a synthetic cohort instead of
    falling back on it. ``download_seconds``: longest wait for a connection, and for the next bytes
    of it. ``progress``: where the progress of a download is reported, in MiB.
    """

    offline: bool = False
    require_real: bool = False
    download_seconds: float = 10.0
    progress: Progress | None = None


UNASKED = SourcePolicy(offline=True)
_current: ContextVar[SourcePolicy] = ContextVar("source_policy", default=UNASKED)


@contextmanager
def source_policy(policy: SourcePolicy) -> Iterator[SourcePolicy]:
    """Let ``policy`` hold for what is opened inside the ``with`` block."""
    token = _current.set(policy)
    try:
        yield policy
    finally:
        _current.reset(token)


def current_policy() -> SourcePolicy:
    """Return the policy that holds here; ``UNASKED`` where none was set."""
    return _current.get()


def say(line: str) -> None:
    """Print one line for the user at once."""
    LOGGER.warning("%s", " ".join(line.split()))
