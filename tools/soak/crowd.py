"""Many `compare run` that start at the same moment: ``python -m tools.soak.crowd COUNT -- WORDS``.

The command is loaded once and the process then forks, so that so many of them fit into memory and
really begin together. Each is a process of its own from there on. Standard output gets one line of
JSON per process: its exit code and its last line. The one that has the folder is held (SIGSTOP) as
soon as another one names it, until all others have ended: on few cores the run might end before the
last of them has come so far, which would then find a finished run.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

# What the command loads before it claims the folder; it would load it in every process else.
LOADED = (
    "torch",
    "he_compare.comparisons.run",
    "he_compare.comparisons.cli.app",
    "he_compare.comparisons.measuring.planning",
    "he_compare.comparisons.measuring.measurer",
    "he_compare.comparisons.measuring.resuming",
    "he_compare.comparisons.estimating.announcing",
    "he_compare.comparisons.auditing.audit",
    "he_compare.reports",
)
MOST_SECONDS = 3000.0
OWNER = re.compile(r"process (\d+)")


def start_together(count: int, words: Sequence[str], folder: Path) -> dict[int, Path]:
    """Fork ``count`` processes that run the command at the same moment; return their outputs."""
    for name in LOADED:
        importlib.import_module(name)
    ready, go = os.pipe()
    outputs = {}
    for number in range(count):
        output = folder / f"{number}.txt"
        pid = os.fork()
        if pid == 0:
            os.close(go)
            _be_the_command(words, output, ready)
        outputs[pid] = output
    os.close(ready)
    os.close(go)  # all that wait read the end of the file now
    return outputs


def _be_the_command(words: Sequence[str], output: Path, ready: int) -> None:
    """Wait for the start, run the command and end. Never returns."""
    code = 1
    try:
        os.setsid()
        stream = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (stream, 1), (stream, 2)):
            os.dup2(source, target)
        from he_compare.comparisons.cli import app

        os.read(ready, 1)
        sys.argv = ["compare", *words]
        app.main()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def wait_for_all(outputs: dict[int, Path]) -> list[tuple[int, str]]:
    """Wait; hold the process that others name as the owner until they have all ended."""
    running, ended, held = set(outputs), [], 0
    end = time.monotonic() + MOST_SECONDS
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            if time.monotonic() > end:
                for one in running:
                    os.kill(one, signal.SIGKILL)
            time.sleep(0.02)
            continue
        if pid not in running:
            continue
        running.discard(pid)
        last = _last_line(outputs[pid])
        ended.append((os.waitstatus_to_exitcode(status), last))
        owner = OWNER.search(last)
        if not held and owner and int(owner[1]) in running and len(running) > 1:
            held = int(owner[1])
            os.kill(held, signal.SIGSTOP)
        if held and running == {held}:
            os.kill(held, signal.SIGCONT)
    return ended


def _last_line(path: Path) -> str:
    lines = [one for one in path.read_text(errors="replace").splitlines() if one.strip()]
    return lines[-1] if lines else ""


def main() -> None:
    """Start them, wait for them, and print what became of each."""
    count, words = int(sys.argv[1]), sys.argv[3:]
    with tempfile.TemporaryDirectory() as folder:
        for code, last in wait_for_all(start_together(count, words, Path(folder))):
            print(json.dumps({"code": code, "last": last}), flush=True)


if __name__ == "__main__":
    main()
