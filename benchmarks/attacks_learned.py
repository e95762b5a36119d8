"""What learned inversion wins from each cipher: linear, and a small U-Net in both variants.

Chest X-rays of the test split at 112 px (real ones: ``COMPARE_DATA``) under the full budget: 64
pairs of the key, or 256 pictures of other people under 64 keys of the adversary's own. Peers: the
same attack on noise. Rows: mean over keys, both ends of Student's 95% interval, the advantage
between noise and identity, and what a recogniser of plain images makes of the reconstructions.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from benchmarks.rows import Row, main
from he_compare.common import plugins
from he_compare.common.audit_budget import BUDGETS
from he_compare.common.datasets.reading.source_policy import SourcePolicy, source_policy
from he_compare.common.scheme import CLOSED_CONTROLS, OPEN_CONTROL
from he_compare.common.seeds import generator_for
from he_compare.comparisons.attacks.tools.recogniser import fit_recogniser
from he_compare.comparisons.auditing.adversary_view import Attacked, set_up
from he_compare.comparisons.auditing.intervals import interval_over_keys
from he_compare.comparisons.auditing.pool import DatasetPool, training_images
from he_compare.comparisons.auditing.standalone import MOST_ATTACKED
from he_compare.comparisons.auditing.targets import cipher_target
from he_compare.comparisons.auditing.verdicts import advantage

SIZE = 112
KEYS, QUICK_KEYS = 5, 1
ATTACKS = ("learned_linear", "learned_unet", "learned_unet_other_keys")
CIPHERS = (
    OPEN_CONTROL,
    *CLOSED_CONTROLS,
    "vit_block",
    "np",
    "pixel_np",
    "tanaka_le",
    "madono_ele",
    "al_amin[patch=16]",
)
Values = dict[tuple[str, str, str], list[float]]


def measure(quick: bool) -> list[Row]:
    """Attack every cipher under ``KEYS`` keys (``QUICK_KEYS`` with ``quick``)."""
    budget = BUDGETS["full"]
    with source_policy(SourcePolicy(offline=True, require_real=True)):
        dataset = plugins.load("datasets", "chestxray").open("", None, "published", 0)
    pool = DatasetPool(dataset, "benchmark", (MOST_ATTACKED, budget.auxiliary), 0)
    recognise = fit_recogniser(pool.auxiliary(SIZE))
    targets = [cipher_target(text, SIZE) for text in CIPHERS]
    found: Values = defaultdict(list)
    for key in range(QUICK_KEYS if quick else KEYS):
        for name in ATTACKS:
            attack = plugins.load("attacks", name)
            for target in targets:
                attacked = Attacked(target.scheme, target.key(key))
                view, truth = set_up(
                    *(attack, target.scheme, target.facts, attacked, pool, budget, 0, key),
                    recognise,
                    training_images(pool),
                )
                random = generator_for(0, "attack", name, key)
                score = attack.score(attack.run(view, budget, random), truth)
                found[name, target.label, attack.metric.name].append(score.value)
                for detail in score.details:
                    found[name, target.label, detail.name].append(detail.value)
                print(f"# key {key}: {name} on {target.label}: {score.value:.3f}", flush=True)
    return [row for name in ATTACKS for row in _rows(name, found)]


def _rows(attack: str, found: Values) -> list[Row]:
    metric = plugins.load("attacks", attack).metric.name
    floor = float(np.mean(found[attack, CLOSED_CONTROLS[0], metric]))
    ceiling = float(np.mean(found[attack, OPEN_CONTROL, metric]))
    rows = []
    for (name, target, what), values in found.items():
        if name != attack:
            continue
        title, n = f"{attack} on {target}: {what}", len(values)
        unit = "dB" if what == "PSNR" else ""
        noise = float(np.mean(found[attack, CLOSED_CONTROLS[0], what]))
        rows.append(Row(title, float(np.mean(values)), unit, n, "noise", noise))
        if what != metric:
            continue
        shares = [advantage(value, floor, ceiling) for value in values]
        rows.append(Row(f"{attack} on {target}: advantage", float(np.mean(shares)), "", n))
        for spelt, series, low in ((what, values, -1.0), ("advantage", shares, 0.0)):
            interval = interval_over_keys(series, low, 1.0)
            if interval is not None:
                begin = f"{attack} on {target}: {spelt}"
                rows.append(Row(f"{begin}, 95% low", interval.low, "", n))
                rows.append(Row(f"{begin}, 95% high", interval.high, "", n))
    return rows


if __name__ == "__main__":
    main(measure)
