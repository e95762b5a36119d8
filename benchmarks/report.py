"""Seconds to render a run in all four formats, each time in a process of its own.

The run is the folder that ``COMPARE_RUN`` names; name one of the size that matters, for instance
an audited quick run. Else a smoke run on the synthetic cohort is made first, in about a minute.
Processor time and wall time are both measured: on a busy machine only the former means something.
Peers: the targets of 4 s and, for the HTML page, 1.5 MB.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.rows import Row, against, main
from he_compare.comparisons import run
from he_compare.reports import FORMATS

TARGET_SECONDS = 4.0
TARGET_HTML_MEGABYTES = 1.5
# Prints wall seconds, processor seconds and whether torch came in, measured from inside.
SCRIPT = """
import time
begun = time.perf_counter()
import json, sys
from pathlib import Path
from typing import Any
from he_compare.reports import write_report
paths = write_report(Path(sys.argv[1]), sys.argv[3].split(","), Path(sys.argv[2]))
sizes = {path.name: path.stat().st_size for path in paths}
spent = time.perf_counter() - begun, time.process_time()
found = {"wall": spent[0], "cpu": spent[1], "sizes": sizes, "torch": "torch" in sys.modules}
print(json.dumps(found))
"""


def measure(quick: bool) -> list[Row]:
    """Render all formats together, then (without ``--quick``) each format alone."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        finished = _run(folder)
        count = 1 if quick else 3
        rows = _rows(finished, folder, list(FORMATS), count)
        if not quick:
            for one in FORMATS:
                rows += _rows(finished, folder, [one], 1)[:2]
    return rows


def _run(folder: Path) -> Path:
    named = os.environ.get("COMPARE_RUN")
    if named:
        return Path(named)
    run("chestxray", out=folder / "run", profile="smoke", offline=True)
    return folder / "run"


def _rows(finished: Path, folder: Path, formats: list[str], count: int) -> list[Row]:
    found = [_render(finished, folder / "report", formats) for _ in range(count)]
    if any(one["torch"] for one in found):
        raise SystemExit("rendering imported torch")
    name = ", ".join(formats)
    cpu = sorted(one["cpu"] for one in found)[count // 2]
    wall = sorted(one["wall"] for one in found)[count // 2]
    sizes = [_size(file, size / 1e6) for file, size in found[0]["sizes"].items()]
    return [
        against(f"{name}: processor time", cpu, "s", count, "target", TARGET_SECONDS),
        against(f"{name}: wall time", wall, "s", count, "target", TARGET_SECONDS),
        *sizes,
    ]


def _size(file: str, megabytes: float) -> Row:
    if file.endswith(".html"):
        return against(f"{file}: size", megabytes, "MB", 1, "target", TARGET_HTML_MEGABYTES)
    return Row(f"{file}: size", megabytes, "MB", 1)


def _render(finished: Path, out: Path, formats: list[str]) -> dict[str, Any]:
    command = [sys.executable, "-c", SCRIPT, str(finished), str(out), ",".join(formats)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


if __name__ == "__main__":
    main(measure)
