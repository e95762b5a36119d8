"""Runs every benchmark and prints one table: ``python -m benchmarks [--quick] [--only NAME]``.

Results are written to ``benchmarks/results/NAME.json``, with the environment they were taken in.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
SUPPORT = {"__init__", "__main__", "rows", "scale"}


def names() -> list[str]:
    """Return the benchmarks there are, one per file."""
    return sorted(file.stem for file in FOLDER.glob("*.py") if file.stem not in SUPPORT)


def main() -> None:
    """Run them one after the other, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("--only", choices=names(), help="run this one only")
    arguments = parser.parse_args()
    failed = []
    for name in [arguments.only] if arguments.only else names():
        print(f"\n== {name}", flush=True)
        target = FOLDER / "results" / f"{name}.json"
        command = [sys.executable, "-m", f"benchmarks.{name}", "--json", str(target)]
        if arguments.quick:
            command.append("--quick")
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    if failed:
        sys.exit("failed: " + ", ".join(failed))


if __name__ == "__main__":
    main()
