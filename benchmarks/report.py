"""Seconds to render a run in all four formats, each time in a process of its own.

The run is the folder that ``COMPARE_RUN`` names, else the invented one of the tests, which has the
size of an audited quick run. Processor time of the process and its wall time are both told: on a
busy machine only the former says something. Peer: the target of 5 s.
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
from he_compare.reports import FORMATS

TARGET_SECONDS = 5.0
# Prints wall seconds, processor seconds and whether torch came in, measured from inside.
SCRIPT = """
import time
begun = time.perf_counter()
import json, sys
from pathlib import Path
from typing import Any
from reports import write_report
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
        run = _run(folder)
        count = 1 if quick else 3
        rows = _rows(run, folder, list(FORMATS), count)
        if not quick:
            for one in FORMATS:
                rows += _rows(run, folder, [one], 1)[:2]
    return rows


def _run(folder: Path) -> Path:
    named = os.environ.get("COMPARE_RUN")
    if named:
        return Path(named)
    from tests.support.samplerun import audited

    return audited().write(folder / "run")


def _rows(run: Path, folder: Path, formats: list[str], count: int) -> list[Row]:
    found = [_render(run, folder / "report", formats) for _ in range(count)]
    if any(one["torch"] for one in found):
        raise SystemExit("rendering imported torch")
    name = ", ".join(formats)
    cpu = sorted(one["cpu"] for one in found)[count // 2]
    wall = sorted(one["wall"] for one in found)[count // 2]
    sizes = [Row(f"{file}: size", size / 1e6, "MB", 1) for file, size in found[0]["sizes"].items()]
    return [
        against(f"{name}: processor time", cpu, "s", count, "target", TARGET_SECONDS),
        against(f"{name}: wall time", wall, "s", count, "target", TARGET_SECONDS),
        *sizes,
    ]


def _render(run: Path, out: Path, formats: list[str]) -> dict[str, Any]:
    command = [sys.executable, "-c", SCRIPT, str(run), str(out), ",".join(formats)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


if __name__ == "__main__":
    main(measure)
