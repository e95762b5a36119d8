"""The audit's figures on the homomorphic side, on real TenSEAL ciphertexts under fresh keys.

IND-CPA-D key recovery on TenSEAL's own vectors (N = 8192, [60, 40, 40, 60], scale 2^40, and
N = 4096, [36, 36, 37], scale 2^30), each figure the worst over the keys; extraction of a head
through the packing that ``auto`` takes; an update of one sample; pictures from leaked features
where the chest X-rays are on this machine (COMPARE_DATA).
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.rows import Row, main
from he_compare.common.backbones.head import LinearModel
from he_compare.common.clock import Clock
from he_compare.common.types import Float64Array, Side, Split
from he_compare.fhe_baseline.checks.head_extraction import extract, fidelity
from he_compare.fhe_baseline.checks.sample_gradient import (
    features_from_update,
    similarity_to_nearest,
)
from he_compare.fhe_baseline.checks.tools import defences
from he_compare.fhe_baseline.checks.tools.key_recovery import (
    RealDecode,
    key_from_complex,
    key_from_real,
    recovered_share,
    secret_coefficients,
)
from he_compare.fhe_baseline.ckks.context import import_tenseal
from he_compare.fhe_baseline.ckks.inference import load_public_material, make_plan, public_material
from he_compare.fhe_baseline.ckks.modular import Int64Array

SETTINGS = ((8192, [60, 40, 40, 60], 40), (4096, [36, 36, 37], 30))
DECIMALS = range(4, 14)
WIDTH = 192
# Seconds and steps that the convolutional decoder may learn for.
LEARNT_FOR = {True: (10.0, 80), False: (120.0, 1200)}
OWN, VICTIMS, SIZE = {True: 200, False: 1200}, 200, 112


@dataclass(frozen=True)
class Published:
    """Two TenSEAL ciphertexts under one key, what they decode to, and the key."""

    context: Any
    ciphertexts: list[Any]
    values: list[Float64Array]
    complex_slots: np.ndarray
    truth: Int64Array

    def share(self, values: list[Float64Array]) -> float:
        """Attack with these values published."""
        pairs = zip(self.ciphertexts, values, strict=True)
        decodes = [RealDecode(ciphertext, one) for ciphertext, one in pairs]
        return recovered_share(key_from_real(self.context, decodes), self.truth)


def measure(quick: bool) -> list[Row]:
    """Measure all figures."""
    rows: list[Row] = []
    for degree, bits, scale in SETTINGS:
        rows += _key_recovery(degree, bits, scale, 2 if quick else 5)
    rows += _extraction()
    rows.append(_one_sample())
    return rows + _inversion(quick)


def _key_recovery(degree: int, bits: list[int], scale: int, keys: int) -> list[Row]:
    kinds = {"fresh": False, "after a plain product and rescale": True}
    found: dict[str, list[float]] = {}
    seconds: list[float] = []
    random = np.random.default_rng(0)
    for _ in range(keys):
        for kind, evaluated in kinds.items():
            one = _publish(degree, bits, scale, evaluated, random)
            start = time.perf_counter()
            full = one.share(one.values)
            seconds.append(time.perf_counter() - start)
            found.setdefault(f"two real decodes, {kind}", []).append(full)
        slots, ciphertext = one.complex_slots, one.ciphertexts[0]
        key = key_from_complex(one.context, ciphertext, slots)
        found.setdefault("one complex decode", []).append(recovered_share(key, one.truth))
        for decimals in DECIMALS:
            rounded = [defences.to_decimals(v, decimals) for v in one.values]
            name = f"two real decodes of {decimals} decimals"
            found.setdefault(name, []).append(one.share(rounded))
        labels = [defences.label_only(v, 2) for v in one.values]
        found.setdefault("two labels", []).append(one.share(labels))
    what = f"IND-CPA-D, N = {degree}, scale 2^{scale}"
    return [
        Row(f"{what}: time of a recovery, median", median(seconds), "s", len(seconds)),
        *(Row(f"{what}: key from {n}", min(v), "share", keys) for n, v in found.items()),
    ]


def _publish(
    degree: int, bits: list[int], scale: int, evaluated: bool, random: np.random.Generator
) -> Published:
    """Encrypt two vectors under a fresh key and decode them in full."""
    tenseal = import_tenseal()
    context = tenseal.context(
        tenseal.SCHEME_TYPE.CKKS, degree, coeff_mod_bit_sizes=bits, n_threads=1
    )
    context.global_scale = 2.0**scale
    slots = degree // 2
    vectors = [tenseal.ckks_vector(context, random.normal(size=slots).tolist()) for _ in range(2)]
    if evaluated:
        vectors = [vector * random.normal(size=slots).tolist() for vector in vectors]
    seal, inner = tenseal.sealapi, context.seal_context().data
    ciphertexts = [vector.ciphertext()[0] for vector in vectors]
    plaintext = seal.Plaintext()
    secret = context.secret_key().data
    seal.Decryptor(inner, secret).decrypt(ciphertexts[0], plaintext)
    complex_slots = np.array(seal.CKKSEncoder(inner).decode_complex(plaintext))
    values = [np.array(vector.decrypt()) for vector in vectors]
    return Published(inner, ciphertexts, values, complex_slots, secret_coefficients(secret, inner))


def _extraction() -> list[Row]:
    random = np.random.default_rng(0)
    model = LinearModel(random.normal(scale=0.1, size=(2, WIDTH)), random.normal(size=2))
    plan = make_plan(model, "auto", "auto")
    client = plan.packing.make_client(plan.parameters, model)
    server = load_public_material(public_material(plan, client.public_arrays()))

    def ask(inputs: Float64Array) -> Float64Array:
        replies = server.infer(client.protect(inputs, Clock(Side.CLIENT)), Clock(Side.SERVER))
        return client.reveal(replies, Clock(Side.CLIENT))

    start = time.perf_counter()
    copy = extract(ask, WIDTH, 8.0)
    seconds = time.perf_counter() - start
    told = fidelity(copy, model, np.clip(random.normal(size=(1000, WIDTH)), -8, 8))
    what = f"head extraction, {WIDTH} features"
    return [
        Row(f"{what}: encrypted queries", told.queries, "queries", 1),
        Row(f"{what}: time", seconds, "s", 1),
        Row(f"{what}: inputs classified alike", told.same_class, "share", 1000),
        Row(f"{what}: variance of scores explained", told.explained, "share", 1000),
    ]


def _one_sample() -> Row:
    """The logistic gradient of one sample, as whoever decrypts an update sees it."""
    random = np.random.default_rng(0)
    features = random.normal(size=(1, WIDTH))
    probability = 1 / (1 + np.exp(-features @ random.normal(size=WIDTH)))
    update = (probability - 1)[:, None] * np.hstack([features, [[1.0]]])
    cosine = similarity_to_nearest(features_from_update(update), features)
    return Row("features from the gradient of one sample", cosine, "cosine", 1)


def _inversion(quick: bool) -> list[Row]:
    """Learn a decoder on training images, invert features of test images."""
    folder = os.environ.get("COMPARE_DATA")
    if not folder:
        print("pictures from leaked features: left out, COMPARE_DATA is not set")
        return []
    from he_compare.common import plugins
    from he_compare.common.backbones.features import FeatureExtractor
    from he_compare.fhe_baseline.checks.feature_inversion import judge, small_grey
    from he_compare.fhe_baseline.checks.tools.picture_decoder import (
        learn_convolutional,
        learn_linear,
    )

    dataset = plugins.load("datasets", "chestxray").open("", Path(folder), "published", 0)
    extractor = FeatureExtractor("deit_tiny_distilled_patch16_224", SIZE, "shipped", 0, 1)

    def read(split: Split, count: int) -> tuple[Float64Array, Any]:
        total = len(dataset.index(split).ids)
        chosen = np.linspace(0, total - 1, min(count, total)).astype(np.int64)
        images = dataset.read(split, chosen, SIZE)
        return extractor(images).astype(np.float64), small_grey(images)

    features, pictures = read(Split.TRAIN, OWN[quick])
    seen, originals = read(Split.TEST, VICTIMS)
    random = np.random.default_rng(0)
    seconds, steps = LEARNT_FOR[quick]
    decoders = {
        "linear": learn_linear(features, pictures),
        "convolutional": learn_convolutional(features, pictures, seconds, steps, random),
    }
    mean = np.rint(pictures.mean(axis=0)).astype(np.uint8)
    floor = judge(np.stack([mean] * len(originals)), originals)
    what = f"pictures from leaked features, {len(features)} images learnt from"
    n = len(originals)
    rows = [Row(f"{what}: SSIM of the mean picture", float(floor.similarity.mean()), "SSIM", n)]
    for name, decoder in decoders.items():
        leaked = judge(decoder(seen), originals)
        rows += [
            Row(f"{what}, {name} decoder: SSIM", float(leaked.similarity.mean()), "SSIM", n),
            Row(f"{what}, {name} decoder: re-identified among {n}", leaked.found, "share", n),
        ]
    return rows


if __name__ == "__main__":
    main(measure, threads=1)
