"""What it costs to check messages before SEAL sees them, beside one encrypted inference.

The peer of loading a checked ciphertext is SEAL's own ``load`` of the same bytes, which inflates
and checks against the context but ends the process on some of them. d = 384 features, k = 2
classes, one thread; both ways are interleaved and the median is taken.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.rows import Row, against, main
from he_compare.common.backbones.head import LinearModel
from he_compare.common.clock import Clock
from he_compare.common.service.wire import unpack
from he_compare.common.types import Side
from he_compare.fhe_baseline.ckks.context import galois_elements, import_tenseal, seal_context
from he_compare.fhe_baseline.ckks.inference import load_public_material, make_plan, public_material
from he_compare.fhe_baseline.ckks.layouts.slots import layout_of
from he_compare.fhe_baseline.ckks.seal_packing import GALOIS_KEYS
from he_compare.fhe_baseline.ckks.serialization import load_ciphertext, load_galois_keys

WIDTH, CLASSES = 384, 2
REPEATS = {True: 40, False: 300}


def seals_own(empty: Any, context: Any, data: bytes) -> Any:
    """Load as SEAL does it alone, from a file in memory where there are any."""
    handle = os.memfd_create("seal") if hasattr(os, "memfd_create") else None
    if handle is None:
        raise SystemExit("this benchmark needs files in memory (Linux)")
    try:
        path = Path(f"/proc/self/fd/{handle}")
        path.write_bytes(data)
        empty.load(context, str(path))
        return empty
    finally:
        os.close(handle)


def interleaved(repeats: int, *acts: Callable[[], Any]) -> list[float]:
    """Return the median milliseconds of each act."""
    taken: list[list[float]] = [[] for _ in acts]
    for _ in range(repeats):
        for act, times in zip(acts, taken, strict=True):
            start = time.perf_counter()
            act()
            times.append((time.perf_counter() - start) * 1e3)
    return [median(times) for times in taken]


def measure(quick: bool) -> list[Row]:
    """Measure loads of an upload and of keys, and a whole call they are part of."""
    generator, seal = np.random.default_rng(0), import_tenseal().sealapi
    model = LinearModel(
        generator.normal(scale=0.05, size=(CLASSES, WIDTH)), generator.normal(size=CLASSES)
    )
    plan = make_plan(model, "replicated", "auto")
    client = plan.packing.make_client(plan.parameters, model)
    material = public_material(plan, client.public_arrays())
    server = load_public_material(material)
    (upload,) = client.protect(generator.normal(size=(1, WIDTH)), Clock(Side.CLIENT))
    context = seal_context(plan.parameters)
    keys = unpack(material)[0][GALOIS_KEYS].tobytes()
    elements = galois_elements(layout_of(plan.parameters, model).steps, plan.parameters.degree)
    repeats = REPEATS[quick]
    checked, own, whole = interleaved(
        repeats,
        lambda: load_ciphertext(seal.Ciphertext(), context, upload, "upload", 2),
        lambda: seals_own(seal.Ciphertext(), context, upload),
        lambda: server.infer([upload], Clock(Side.SERVER)),
    )
    keys_checked, keys_own = interleaved(
        max(5, repeats // 10),
        lambda: load_galois_keys(seal.GaloisKeys(), context, keys, "keys", elements),
        lambda: seals_own(seal.GaloisKeys(), context, keys),
    )
    return [
        against("load one upload, checked", checked, "ms", repeats, "SEAL alone", own),
        against(
            "one image at the server, checks included",
            whole,
            "ms",
            repeats,
            "without them",
            whole - (checked - own),
        ),
        against(
            "load Galois keys, checked", keys_checked, "ms", repeats // 10, "SEAL alone", keys_own
        ),
    ]


if __name__ == "__main__":
    main(measure, threads=1)
