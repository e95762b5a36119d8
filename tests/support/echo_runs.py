"""Commands in this process with the echo pipeline installed, for runs that several tests share."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from he_compare.common import plugins
from he_compare.comparisons.cli import app

ENTRY_POINTS = "[he_compare.pipelines]\necho = tests.support.echo_pipeline\n"
HOMES = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")


@contextmanager
def echo_installed(folder: Path) -> Iterator[str]:
    """Install the echo pipeline the way a third party would: a distribution with an entry point."""
    info = folder / "site" / "echo_pipeline-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: echo-pipeline\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(info.parent))
        plugins.survey.cache_clear()
        yield "echo"
    plugins.survey.cache_clear()


@contextmanager
def own_signals_kept() -> Iterator[None]:
    """Listen again to the signals that a command ignores when it is over: its process is this."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        if signal.getsignal(number) != handler:
            signal.signal(number, handler)


def done_here(words: Sequence[str]) -> int:
    """Run ``compare`` with words in this process; return its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["compare", *words])
        with pytest.raises(SystemExit) as stop:
            app.main()
    return int(stop.value.code or 0)


def finished_run(folder: Path, words: Sequence[str]) -> Path:
    """Run ``compare run`` with words and the echo pipeline; return the run folder.

    For fixtures of a module: with a home of its own, in one process. Tests get copies.
    """
    with echo_installed(folder), own_signals_kept(), pytest.MonkeyPatch.context() as patch:
        for name in HOMES:
            patch.setenv(name, str(folder / "home" / name.lower()))
        patch.setenv("COMPARE_WORKERS", "1")
        assert done_here(["run", *words, "--out", str(folder / "run")]) == 0
    return folder / "run"
