"""What the search for data may do: use the network, and make do with a synthetic cohort.

The command sets it (``with source_policy(SourcePolicy(offline=True)):``) and families read it, so
that ``DatasetFamily.open`` needs no flags. Where nobody set a policy nothing is downloaded: a test,
a check of the machine or a notebook never uses the network unasked.

What the user must know at once (a download begins, a fall-back is taken) goes as a warning to the
logger ``LOGGER``, one line each; without any set-up Python prints these on stderr. What a reader of
the record must know is in ``OpenDataset.notes``, which never name a folder of this machine.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from common.contracts import Progress

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
    """Return the policy that holds here; ``UNASKED`` where nobody set one."""
    return _current.get()


def say(line: str) -> None:
    """Tell the user one line at once."""
    LOGGER.warning("%s", " ".join(line.split()))
