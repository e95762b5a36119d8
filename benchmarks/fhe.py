"""Encrypted inference at the server: one image by every packing beside TenSEAL's own two ways,
and full batches by the packing made for throughput.

d = 384 features, k = 2 classes, parameters as ``auto`` resolves them, one thread. Server time is
deserialise + evaluate + serialise, median over the repetitions, which are interleaved so that all
packings see the same machine; errors are against float64.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median

import numpy as np

from benchmarks.rows import Row, against, main
from he_compare.common.backbones.head import CLIP, LinearModel
from he_compare.common.clock import Clock
from he_compare.common.plugins import discover
from he_compare.common.types import Float64Array, Per, Side, Stage
from he_compare.fhe_baseline.ckks.inference import load_public_material, make_plan, public_material
from he_compare.fhe_baseline.ckks.packing import PackingClient, PackingServer, Purpose, packing_for
from he_compare.fhe_baseline.ckks.parameters import parameter_set

WIDTH, CLASSES = 384, 2
PEERS = ("tenseal-dot", "tenseal-mm")
# One ``mm`` takes seconds, so it is repeated less.
REPEATS = {True: {"tenseal-mm": 2}, False: {"tenseal-mm": 5}}
DEFAULT_REPEATS = {True: 15, False: 60}
BATCH_REPEATS = {True: 2, False: 7}


@dataclass
class Bench:
    """One packing, deployed, and what was measured of it."""

    client: PackingClient
    server: PackingServer
    public_bytes: int
    keygen_ms: float
    client_ms: list[float] = field(default_factory=list)
    server_ms: list[float] = field(default_factory=list)
    evaluate_ms: list[float] = field(default_factory=list)
    upload: int = 0
    download: int = 0
    error: float = 0.0

    def once(self, features: Float64Array, expected: Float64Array) -> None:
        """Run one image through client, server and client."""
        there, at_server = Clock(Side.CLIENT), Clock(Side.SERVER)
        uploads = self.client.protect(features[None], there)
        replies = self.server.infer(uploads, at_server)
        scores = self.client.reveal(replies, there)
        self.upload, self.download = len(uploads[0]), len(replies[0])
        self.error = max(self.error, float(np.abs(scores[0] - expected).max()))
        self.client_ms.append(there.total() * 1e3)
        self.server_ms.append(at_server.total() * 1e3)
        (evaluate,) = at_server.samples[Stage.EVALUATE, Side.SERVER, Per.BATCH]
        self.evaluate_ms.append(evaluate * 1e3)


def measure(quick: bool) -> list[Row]:
    """Measure all packings in one interleaved run."""
    generator = np.random.default_rng(0)
    weights = generator.normal(scale=0.05, size=(CLASSES, WIDTH))
    model = LinearModel(weights, generator.normal(size=CLASSES))
    benches = {name: _deploy(name, model) for name in discover("packings")}
    repeats = {name: REPEATS[quick].get(name, DEFAULT_REPEATS[quick]) for name in benches}
    for number in range(max(repeats.values())):
        features = np.clip(generator.normal(size=WIDTH), -CLIP, CLIP)
        expected = model.scores(features[None])[0]
        for name, bench in benches.items():
            if number < repeats[name]:
                bench.once(features, expected)
    latency = packing_for(Purpose.LATENCY)
    batches = batch_rows(model, packing_for(Purpose.THROUGHPUT), benches[latency], quick)
    return [*(row for name in benches for row in _rows(name, benches)), *batches]


def batch_rows(model: LinearModel, packing: str, single: Bench, quick: bool) -> list[Row]:
    """A batch that fills every slot: server time and bytes shared among its images."""
    bench = _deploy(packing, model)
    n = parameter_set(make_plan(model, packing, "auto").parameter_name).degree
    generator = np.random.default_rng(1)
    features = np.clip(generator.normal(size=(n, WIDTH)), -CLIP, CLIP)
    expected = model.scores(features)
    seconds, client_seconds, error = [], [], 0.0
    for _ in range(BATCH_REPEATS[quick]):
        there, at_server = Clock(Side.CLIENT), Clock(Side.SERVER)
        uploads = bench.client.protect(features, there)
        replies = bench.server.infer(uploads, at_server)
        scores = bench.client.reveal(replies, there)
        error = max(error, float(np.abs(scores - expected).max()))
        seconds.append(at_server.total())
        client_seconds.append(there.total())
    what, peer = f"{packing}, {n} images", packing_for(Purpose.LATENCY)
    beside = median(single.server_ms) * 1e3
    up, down = (sum(map(len, part)) / n for part in (uploads, replies))
    return [
        against(f"{what}: server time per image", median(seconds) / n * 1e6, "us", n, peer, beside),
        against(f"{what}: upload per image", up, "bytes", n, peer, single.upload),
        against(f"{what}: download per image", down, "bytes", n, peer, single.download),
        Row(
            f"{what}: client per image, without features", median(client_seconds) / n * 1e6, "us", n
        ),
        Row(f"{what}: server time of the batch", median(seconds) * 1e3, "ms", len(seconds)),
        Row(f"{what}: largest error against clear", error, "score", n * CLASSES),
    ]


def _deploy(name: str, model: LinearModel) -> Bench:
    plan = make_plan(model, name, "auto")
    clock = Clock(Side.CLIENT)
    with clock.stage(Stage.KEYGEN):
        client = plan.packing.make_client(plan.parameters, model)
        keys = client.public_arrays()
    material = public_material(plan, keys)
    return Bench(client, load_public_material(material), len(material), clock.total() * 1e3)


def _rows(name: str, benches: dict[str, Bench]) -> list[Row]:
    """Rows of one packing; the compared ones once per peer."""
    bench = benches[name]
    n = len(bench.server_ms)
    rows = []
    peers = [peer for peer in PEERS if peer != name]
    for peer in peers:
        value, beside = median(bench.server_ms), median(benches[peer].server_ms)
        rows.append(against(f"{name}: server time per inference", value, "ms", n, peer, beside))
    first = benches[peers[0]]
    for what, size, peer_size in (
        ("upload per image", bench.upload, first.upload),
        ("download per image", bench.download, first.download),
        ("public material", bench.public_bytes, first.public_bytes),
    ):
        rows.append(against(f"{name}: {what}", size, "bytes", n, peers[0], peer_size))
    return [
        *rows,
        Row(f"{name}: server evaluate only", median(bench.evaluate_ms), "ms", n),
        Row(f"{name}: client per inference, without features", median(bench.client_ms), "ms", n),
        Row(f"{name}: key generation", bench.keygen_ms, "ms", 1),
        Row(f"{name}: largest error against clear", bench.error, "score", n * CLASSES),
    ]


if __name__ == "__main__":
    main(measure, threads=1)
