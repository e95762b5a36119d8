"""Targets of hostile messages on disk, so that the processes that are bombarded need not fit them.

``python -m tools.soak.target_files NAME FILE SEED`` makes one. It holds what a server half is given
and good calls to it, in the order of a session; no secret.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from he_compare.common.service.wire import pack, unpack
from tools.soak.targets import Call, Target, make_target

PUBLIC = "public"


def store_target(path: Path, target: Target) -> None:
    """Write a target; the file appears whole or not at all."""
    arrays = {PUBLIC: np.frombuffer(target.public_material, np.uint8)}
    for number, call in enumerate(target.calls):
        for place, message in enumerate(call.messages):
            arrays[f"{number}.{place}"] = np.frombuffer(message, np.uint8)
    calls = [[call.verb, len(call.messages)] for call in target.calls]
    facts = {"name": target.name, "pipeline": target.pipeline, "ckks": target.ckks}
    told = json.dumps({**facts, "share": target.share, "calls": calls})
    beside = path.with_suffix(".new")
    beside.write_bytes(pack(arrays, {"target": told}))
    beside.replace(path)


def read_target(path: Path) -> Target:
    """Read a target. Raises MessageError where the file is none."""
    arrays, metadata = unpack(path.read_bytes())
    told = json.loads(metadata["target"])
    calls = tuple(
        Call(verb, tuple(arrays[f"{number}.{place}"].tobytes() for place in range(count)))
        for number, (verb, count) in enumerate(told.pop("calls"))
    )
    return Target(**told, public_material=arrays[PUBLIC].tobytes(), calls=calls)


def main() -> None:
    """Make one target and store it."""
    name, path, seed = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        store_target(Path(path), make_target(name, Path(folder), int(seed)))


if __name__ == "__main__":
    main()
