"""Learnability against secrecy: what ``restricted`` costs a classifier and what it costs an attack.

For shares 0 to 1 of moved values and blocks, chest X-rays at 112 px (real ones: ``COMPARE_DATA``):
the AUC of a linear head on features of ciphertexts (frozen shipped DeiT-Tiny, which knows no key;
trained and tested under the same key, published test images), and SSIM to the original of the
ciphertext as it is and of attacks from 50 ciphertexts; public images come from the training split.
Peers: share 0, the image itself. Also the least and the most over the keys. A model adapted by key
has the AUC of plain images at every share.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from benchmarks.backbone import SHIPPED, probe, read
from benchmarks.rows import Row, main
from he_compare.common import plugins
from he_compare.common.audit_budget import BUDGETS
from he_compare.common.backbones.features import FeatureExtractor
from he_compare.common.datasets.reading.source_policy import SourcePolicy, source_policy
from he_compare.common.scheme import encrypted, seen
from he_compare.common.seeds import generator_for
from he_compare.common.similarity import ssim
from he_compare.common.types import Float32Array, UInt8Array
from he_compare.comparisons.auditing.adversary_view import Attacked, set_up
from he_compare.comparisons.auditing.pool import DatasetPool, training_images
from he_compare.comparisons.auditing.standalone import MOST_ATTACKED
from he_compare.comparisons.auditing.targets import Target, cipher_target

SIZE = 112
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
KEYS, QUICK_KEYS = 3, 1
TRAIN = 900
ATTACKS = ("jigsaw", "moment_matching")
NOTHING = "ciphertext as it is"
PEER = "share 0"


class Bench:
    """The images and the model that every share and key is measured with."""

    def __init__(self) -> None:
        self.budget = BUDGETS["full"]
        with source_policy(SourcePolicy(offline=True, require_real=True)):
            dataset = plugins.load("datasets", "chestxray").open("", None, "published", 0)
        self.pool = DatasetPool(dataset, "benchmark", (MOST_ATTACKED, self.budget.auxiliary), 0)
        self.train, self.test = read(SIZE, TRAIN)
        self.extract = FeatureExtractor(SHIPPED, SIZE, "shipped", 0, 1)

    def auc(self, target: Target, key: int) -> float:
        """Return the AUC of a head trained and tested on ciphertexts of one key."""
        keyed = target.key(key)

        def features(images: UInt8Array) -> Float32Array:
            ciphertexts = seen(target.scheme, encrypted(keyed, images))
            return self.extract(ciphertexts.astype(np.uint8))

        found, _ = probe(lambda batch: features(batch.images), self.train, self.test)
        return found

    def attack(self, name: str, target: Target, key: int) -> dict[str, float]:
        """Return the SSIM of an attack, and of doing nothing on the same images."""
        attack = plugins.load("attacks", name)
        attacked = Attacked(target.scheme, target.key(key))
        view, truth = set_up(
            attack,
            target.scheme,
            target.facts,
            attacked,
            self.pool,
            self.budget,
            0,
            key,
            public=training_images(self.pool),
        )
        random = generator_for(0, "attack", name, key)
        score = attack.score(attack.run(view, self.budget, random), truth)
        still = ssim(view.ciphertexts.astype(np.uint8), truth.originals).mean()
        return {name: score.value, NOTHING: float(still)}


def measure(quick: bool) -> list[Row]:
    """Measure every share under ``KEYS`` keys (``QUICK_KEYS`` with ``quick``)."""
    bench = Bench()
    found: dict[tuple[str, float], list[float]] = defaultdict(list)
    for share in SHARES:
        target = cipher_target(f"restricted[fraction={share}]", SIZE)
        for key in range(QUICK_KEYS if quick else KEYS):
            measured = {"AUC": bench.auc(target, key)}
            for name in ATTACKS:
                measured |= bench.attack(name, target, key)
            for what, value in measured.items():
                found[what, share].append(value)
            print(f"# share {share}, key {key}: {measured}", flush=True)
    return [row for what, share in found for row in _rows(what, share, found)]


def _rows(what: str, share: float, found: dict[tuple[str, float], list[float]]) -> list[Row]:
    values, n = found[what, share], len(found[what, share])
    title = f"{share:.0%} moved: " + (what if what == "AUC" else f"SSIM, {what}")
    peer = float(np.mean(found[what, 0.0]))
    return [
        Row(title, float(np.mean(values)), "", n, PEER, peer),
        Row(f"{title}, least", min(values), "", n),
        Row(f"{title}, most", max(values), "", n),
    ]


if __name__ == "__main__":
    main(measure)
