"""A process is asked to end: by Ctrl-C, by SIGTERM, or because its terminal is gone."""

from __future__ import annotations

import signal

from he_compare.common.errors import EXIT_BY_SIGNAL


class StopSignal(KeyboardInterrupt):
    """One of the signals that ask a process to end. What handles Ctrl-C handles all of them."""

    def __init__(self, signum: int = signal.SIGINT) -> None:
        self.signum = signum
        super().__init__(self.name)

    @property
    def name(self) -> str:
        """Name it for a person."""
        return "Ctrl-C" if self.signum == signal.SIGINT else signal.Signals(self.signum).name

    @property
    def exit_code(self) -> int:
        """Return the code that the command ends with: 130, 143 for SIGTERM, 129 for SIGHUP."""
        return EXIT_BY_SIGNAL + self.signum


def as_stop_signal(error: KeyboardInterrupt) -> StopSignal:
    """Return what asked to end; Python's own KeyboardInterrupt is Ctrl-C."""
    return error if isinstance(error, StopSignal) else StopSignal()
