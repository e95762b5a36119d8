"""The real command in a process of its own, with closed streams, limits and odd environments."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

# What the tests themselves need; everything else of the environment is a test's own.
KEPT = ("PATH", "OMP_NUM_THREADS", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "COMPARE_WORKERS")


def environment(**more: str) -> dict[str, str]:
    """Return a small environment with the folders of this test."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    search = os.pathsep.join(str(Path(one).absolute()) for one in sys.path if one)
    # Under a limit on the size of files Python would cut the code that it keeps.
    own = {"PYTHONPATH": search, "PYTHONDONTWRITEBYTECODE": "1"}
    return kept | own | {"HOME": os.environ.get("HOME", "/")} | more


def as_started_by_a_shell() -> None:
    """Listen to signals that whoever runs the tests may ignore."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def start(
    *arguments: str | bytes,
    env: Mapping[str, str] | None = None,
    before: Callable[[], None] = as_started_by_a_shell,
    **options: Any,
) -> subprocess.Popen[bytes]:
    """Start ``compare`` with arguments. ``before``: done in the new process."""
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(
        [sys.executable, "-m", "comparisons", *arguments],
        env=environment() if env is None else dict(env),
        preexec_fn=before,
        **streams | options,
    )


def ended(
    *arguments: str | bytes, timeout: float = 120, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run ``compare`` with arguments to its end."""
    with start(*arguments, **options) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    text = [(one or b"").decode(errors="surrogateescape") for one in (out, err)]
    return subprocess.CompletedProcess(process.args, process.returncode, *text)


def in_shell(line: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a line of bash in which ``$compare`` is the command."""
    words = f"{sys.executable} -m comparisons"
    return subprocess.run(
        ["bash", "-c", line],
        env=environment(compare=words) | options.pop("env", {}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **options,
    )


def only_line(text: str) -> str:
    """Return the one line of a text; fails where there are more, or a trace."""
    lines = text.splitlines()
    assert len(lines) == 1, text
    return lines[0]


def limited(name: str, most: int) -> Callable[[], None]:
    """Return what sets a limit of setrlimit(2) in a new process."""

    def set_limit() -> None:
        import resource

        as_started_by_a_shell()
        resource.setrlimit(getattr(resource, name), (most, most))

    return set_limit
