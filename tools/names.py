"""Names that mean two things: public classes, and modules, that share one name in the house.

``python -m tools.names`` prints them.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from tools.imports import modules


def shared_classes(files: Mapping[str, Path]) -> dict[str, list[str]]:
    """Return the modules that define a public class at top level, where there are several."""
    found = defaultdict(list)
    for name, file in files.items():
        for node in ast.parse(file.read_text(encoding="utf-8"), filename=str(file)).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].append(name)
    return _several(found)


def shared_stems(files: Mapping[str, Path]) -> dict[str, list[str]]:
    """Return the modules whose names end in the same word, where there are several."""
    found = defaultdict(list)
    for name, file in files.items():
        if not file.stem.startswith("__"):
            found[file.stem].append(name)
    return _several(found)


def _several(found: Mapping[str, list[str]]) -> dict[str, list[str]]:
    return {word: sorted(names) for word, names in sorted(found.items()) if len(names) > 1}


def main() -> None:
    """Print the names of this checkout that mean two things."""
    files = modules(Path(__file__).resolve().parents[1])
    for what, found in (("class", shared_classes(files)), ("module", shared_stems(files))):
        for word, names in found.items():
            print(f"{what} {word}: {', '.join(names)}")


if __name__ == "__main__":
    main()
