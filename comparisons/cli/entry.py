"""Where the process of the command begins: signals are heard before anything else is loaded."""

from __future__ import annotations

import sys
from typing import NoReturn

from he_compare.comparisons.cli.signals import StopListener, stop_in, stopped


def main() -> NoReturn:
    """Load and run the command. Ends the process."""
    try:
        with StopListener():
            from he_compare.comparisons.cli.app import main as run

            run()
    except BaseException as error:
        stop = stop_in(error)
        if stop is None or isinstance(error, SystemExit):
            raise
        # While it was loaded: nothing has begun.
        sys.exit(stopped(stop))
