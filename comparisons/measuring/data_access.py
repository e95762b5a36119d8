"""What the search for a dataset may do, and where its notes are shown."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from he_compare.common.datasets.reading.source_policy import LOGGER, SourcePolicy, source_policy
from he_compare.comparisons.progress import NotesHandler, ProgressReporter


@contextmanager
def data_policy(offline: bool, require_real: bool, progress: ProgressReporter) -> Iterator[None]:
    """Let datasets be opened under the options of the command."""
    handler = NotesHandler(progress)
    LOGGER.addHandler(handler)
    LOGGER.propagate = False
    try:
        with source_policy(SourcePolicy(offline, require_real, progress=progress)):
            yield
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.propagate = True
