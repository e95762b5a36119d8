"""What the simple attacks get from every cipher on chest X-rays, next to the same on noise.

Runs the harness of ``compare audit run`` with the full budget (5 keys) on the published test set
at 112 px; ``--quick`` takes 3 keys and fewer ciphers. Peers: the same attack on noise. Needs
real images (``COMPARE_DATA``).
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.rows import Row, main
from he_compare.common import plugins
from he_compare.common.audit_budget import BUDGETS
from he_compare.common.datasets.reading.source_policy import SourcePolicy, source_policy
from he_compare.common.run.records import AttackOutcome
from he_compare.common.run.store import RunFolder
from he_compare.common.scheme import CONTROLS
from he_compare.comparisons.auditing.audit_cells import Setup
from he_compare.comparisons.auditing.harness import Harness
from he_compare.comparisons.auditing.pool import DatasetPool
from he_compare.comparisons.auditing.standalone import MOST_ATTACKED
from he_compare.comparisons.auditing.targets import cipher_target
from he_compare.comparisons.progress import ProgressReporter

SIZE = 112
# The solvers of pixel and block order have a benchmark of their own.
ATTACKS = (
    "key_space",
    "leading_bit",
    "minimum_difference",
    "chosen_plaintext",
    "known_plaintext",
    "reidentification",
    "property_inference",
    "model_to_key",
)
EXTRA = ("vit_block[negative_positive=true]", "vit_block[key_policy=per_image]")
QUICK_CIPHERS = ("vit_block[negative_positive=true]", "np", "tanaka_le")


def measure(quick: bool) -> list[Row]:
    """Run every attack on every cipher it applies to; unreliable outcomes are left out."""
    budget = BUDGETS["quick" if quick else "full"]
    with source_policy(SourcePolicy(offline=True, require_real=True)):
        dataset = plugins.load("datasets", "chestxray").open("", None, "published", 0)
    pool = DatasetPool(dataset, "benchmark", (MOST_ATTACKED, budget.auxiliary), 0)
    every = [name for name in plugins.discover("ciphers") if name not in CONTROLS]
    ciphers = QUICK_CIPHERS if quick else (*every, *EXTRA)
    with tempfile.TemporaryDirectory() as folder, ProgressReporter() as progress:
        setup = Setup(pool, budget, 0, "compare audit run --dataset chestxray")
        harness = Harness(setup, RunFolder(Path(folder)), progress)
        targets = [cipher_target(text, SIZE) for text in ciphers]
        outcomes = harness.run(targets, ATTACKS)
    return [row for outcome in outcomes for row in _rows(outcome)]


def _rows(outcome: AttackOutcome) -> list[Row]:
    name = f"{outcome.attack} on {outcome.target}"
    metric = outcome.metric
    if outcome.target_kind == "control" or metric is None or metric.value is None:
        return []
    if outcome.unreliable:
        return []
    n, unit = metric.n, metric.unit or "share"
    floor = outcome.floor
    peer = "" if floor is None else "noise"
    rows = [Row(f"{name}: {metric.name}", metric.value, unit, n, peer, floor)]
    if metric.interval is not None:
        rows.append(Row(f"{name}: lower end, 95%", metric.interval.low, unit, n))
        rows.append(Row(f"{name}: upper end, 95%", metric.interval.high, unit, n))
    rows += [
        Row(f"{name}: {detail.name}", detail.value, detail.unit or "share", detail.n)
        for detail in outcome.details
        if detail.value is not None
    ]
    rows.append(Row(f"{name}: time", outcome.seconds / n, "s per key", n))
    return rows


if __name__ == "__main__":
    main(measure)
