"""Makes a target of hostile messages and stores it: ``... tools.soak.target_files NAME FILE SEED``.

In a process of its own, so that the soak itself stays small and what a fit leaves behind ends with
it; those that are bombarded read the file.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tools.soak.targets import make_target


def main() -> None:
    """Make one target; the file appears whole or not at all."""
    name, file, seed = sys.argv[1:]
    path = Path(file)
    with tempfile.TemporaryDirectory() as folder:
        content = make_target(name, Path(folder), int(seed)).to_bytes()
    beside = path.with_suffix(".new")
    beside.write_bytes(content)
    beside.replace(path)


if __name__ == "__main__":
    main()
