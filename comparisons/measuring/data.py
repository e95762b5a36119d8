"""Opening datasets on behalf of the command: what the search may do, and who hears of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from he_compare.common.datasets.opened.inspection import DatasetCheck, check
from he_compare.common.datasets.reading.source_policy import LOGGER, SourcePolicy, source_policy
from he_compare.comparisons.progress import ProgressReporter


class _ToProgress(logging.Handler):
    """Shows what the search for data says among the lines of the run."""

    def __init__(self, progress: ProgressReporter) -> None:
        super().__init__()
        self._progress = progress

    def emit(self, record: logging.LogRecord) -> None:
        self._progress.say(f"note: {record.getMessage()}")


@contextmanager
def data_policy(offline: bool, require_real: bool, progress: ProgressReporter) -> Iterator[None]:
    """Let datasets be opened under the options of the command."""
    handler = _ToProgress(progress)
    LOGGER.addHandler(handler)
    LOGGER.propagate = False
    try:
        with source_policy(SourcePolicy(offline, require_real, progress=progress)):
            yield
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.propagate = True


def check_command(
    dataset_spec: str,
    data_dir: Path | None,
    subset: str,
    seed: int,
    sheet: Path | None,
    offline: bool,
    require_real: bool,
) -> DatasetCheck:
    """Open a dataset, look at every image, and draw a contact sheet where one is asked for."""
    from he_compare.common.datasets.opened.contact_sheet import contact_sheet
    from he_compare.comparisons.measuring.plan import open_dataset

    with ProgressReporter() as progress, data_policy(offline, require_real, progress):
        dataset = open_dataset(dataset_spec, data_dir, subset, seed)
        found = check(dataset, progress)
        if sheet is not None:
            contact_sheet(dataset, sheet, seed)
    return found
