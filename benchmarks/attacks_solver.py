"""What ciphertext-only attacks find on scrambled radiographs and photographs, key by key.

Grey radiographs of the test split (real ones where COMPARE_DATA names them, else the synthetic
cohort: the row says which), other images for every key; colour crops of scikit-image's photographs
where that package is installed, else of scikit-learn's. Rows give the mean over keys and both ends
of Student's 95% interval; ``n`` is the number of keys.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from itertools import permutations

import numpy as np

from benchmarks.rows import Row, main
from he_compare.block_scramble.cipher import cipher_parameters
from he_compare.block_scramble.engine.shapes import ImageShape
from he_compare.block_scramble.keys.client_key import ClientKey
from he_compare.common import plugins
from he_compare.common.block_solving.correlation import find_block_order
from he_compare.common.block_solving.reconstruct import Sureness, reconstruct
from he_compare.common.block_solving.tiles import cut
from he_compare.common.scheme import KeyMoves
from he_compare.common.similarity import ssim
from he_compare.common.types import IntArray, Split, UInt8Array
from he_compare.comparisons.attacks.shared_key_correlation import true_inside
from he_compare.comparisons.attacks.tools.alignment import aligned_together
from he_compare.comparisons.attacks.tools.scores import mask_found, positions_found
from he_compare.comparisons.auditing.intervals import interval_over_keys
from he_compare.comparisons.measuring.dataset_opening import open_dataset

KEYS, QUICK_KEYS = 5, 1
COLOUR_COUNTS = (5, 20)
INSIDE = (
    ("vit_block", 224, 16, 1, True),
    ("vit_block", 224, 16, 5, True),
    ("vit_block", 224, 14, 1, True),
    ("al_amin", 200, 25, 1, False),
    ("al_amin", 200, 25, 5, False),
)
WHOLE = (
    ("vit_block", 224, 16, 20, {"negative_positive": True}),
    ("al_amin", 200, 25, 50, {}),
    ("etc", 224, 16, 20, {}),
    ("madono_ele", 224, 16, 20, {}),
    ("noise", 224, 16, 20, None),
    ("aes_ctr", 224, 16, 20, None),
)
Figures = dict[tuple[str, str], list[float]]


def measure(quick: bool) -> list[Row]:
    """Attack under ``KEYS`` keys (``QUICK_KEYS`` with ``quick``)."""
    keys = QUICK_KEYS if quick else KEYS
    found: Figures = defaultdict(list)
    images, kind = radiographs()
    for key in range(keys):
        for setting in INSIDE:
            _inside(found, images, kind, key, *setting)
        for whole in WHOLE:
            _whole(found, images, kind, key, *whole)
        _colour(found, key)
    return [row for (name, unit), values in found.items() for row in _rows(name, unit, values)]


def _rows(name: str, unit: str, values: list[float]) -> list[Row]:
    rows = [Row(name, float(np.mean(values)), unit, len(values))]
    interval = interval_over_keys(values, 0.0, 1.0)
    if interval is not None and unit != "s CPU":
        rows.append(Row(f"{name}, 95% low", interval.low, unit, len(values)))
        rows.append(Row(f"{name}, 95% high", interval.high, unit, len(values)))
    return rows


def radiographs() -> tuple[Callable[[int, int, int], UInt8Array], str]:
    """Return what reads (size, count, key) grey images, and which dataset they are of."""
    dataset = open_dataset("chestxray", None, "", 0)
    total = len(dataset.index(Split.TEST).ids)

    def read(size: int, count: int, key: int) -> UInt8Array:
        chosen = np.random.default_rng([7, key]).permutation(total)[:count]
        return np.ascontiguousarray(dataset.read(Split.TEST, chosen, size)[..., :1])

    return read, dataset.card.name + (" (synthetic)" if dataset.card.synthetic else "")


def encrypted(
    cipher: str, options: dict[str, object], images: UInt8Array, key: int
) -> tuple[UInt8Array, KeyMoves | None]:
    loaded = plugins.load("ciphers", cipher)
    shape = ImageShape(*images.shape[1:])
    keyed = loaded.prepare(ClientKey.from_seed(key), cipher_parameters(loaded, options), shape)
    if loaded.traits.fresh_nonces:
        nonces = [bytes([key, number]) * 8 for number in range(len(images))]
        return keyed.encrypt_under(images, nonces), None
    ciphertexts = keyed.encrypt(images)
    if "patch" not in options:
        return ciphertexts, None
    embedding = keyed.affine_embedding(options["patch"])
    return ciphertexts, _moves(embedding, shape)


def _moves(embedding: object, shape: ImageShape) -> KeyMoves | None:
    """Return the key inside the first block as moves of the image's values."""
    order = getattr(embedding, "value_order", None)
    if order is None or getattr(embedding, "nibbles", False):
        return None
    patch = embedding.patch  # type: ignore[attr-defined]
    flat = np.arange(np.prod(shape)).reshape(shape)
    positions = flat[:patch, :patch].ravel()
    index, negated = flat.ravel().copy(), np.zeros(flat.size, dtype=bool)
    index[positions] = positions[order[0]]
    negated[positions] = embedding.negated[0]  # type: ignore[attr-defined]
    return KeyMoves(index, negated)


def _inside(
    found: Figures,
    images: Callable[[int, int, int], UInt8Array],
    kind: str,
    key: int,
    cipher: str,
    size: int,
    patch: int,
    count: int,
    negate: bool,
) -> None:
    """Find the order inside blocks and count what is right."""
    options = {"patch": patch, "negative_positive": negate}
    ciphertexts, moves = encrypted(cipher, options, images(size, count, key), key)
    start = time.process_time()
    blocks = cut(ciphertexts, patch)
    order = find_block_order(blocks.reshape(-1, blocks.shape[2]))
    seconds = time.process_time() - start
    assert order is not None
    pixel, negated = true_inside(moves, ciphertexts.shape[1:], patch)  # type: ignore[arg-type]
    share = positions_found(pixel[order.position[:, 0]].reshape(patch, patch))
    name = f"{cipher} {patch} px, {count} ciphertexts of {kind}: "
    found[name + "positions exact", "share"].append(share.exact)
    found[name + "positions within one", "share"].append(share.near)
    if negate:
        right = mask_found(order.negated, negated)
        found[name + "negation mask", "share"].append(right)
    found[name + "correlation", "s CPU"].append(seconds)


def _whole(
    found: Figures,
    images: Callable[[int, int, int], UInt8Array],
    kind: str,
    key: int,
    cipher: str,
    size: int,
    patch: int,
    count: int,
    options: dict[str, object] | None,
) -> None:
    """Reconstruct whole pictures; ``options`` None for a cipher without blocks."""
    originals = images(size, count, key)
    given = {} if options is None else {"patch": patch, **options}
    ciphertexts, _ = encrypted(cipher, given, originals, key)
    start = time.process_time()
    result = reconstruct(ciphertexts, patch)
    seconds = time.process_time() - start
    alike = ssim(aligned_together(result.pictures, originals)[..., None], originals)
    name = f"{cipher} {patch} px, {count} ciphertexts of {kind}: "
    found[name + "SSIM of reconstructions", ""].append(float(alike.mean()))
    found[name + "said to show structure", "share"].append(
        float(result.sureness is not Sureness.NOTHING)
    )
    found[name + "reconstruction", "s CPU"].append(seconds)


def _colour(found: Figures, key: int) -> None:
    """Colour photographs, channels mixed: the negation mask, pixels and channels."""
    photographs, source = _photographs(224)
    chosen = np.random.default_rng([8, key]).permutation(len(photographs))
    options: dict[str, object] = {"patch": 16, "negative_positive": True}
    for count in COLOUR_COUNTS:
        ciphertexts, moves = encrypted("vit_block", options, photographs[chosen[:count]], key)
        blocks = cut(ciphertexts, 16)
        start = time.process_time()
        order = find_block_order(blocks.reshape(-1, blocks.shape[2]))
        seconds = time.process_time() - start
        pixel, negated = true_inside(moves, ciphertexts.shape[1:], 16)  # type: ignore[arg-type]
        if order is None:  # the channels did not come apart
            laid, guess = np.zeros((256, 3), np.int64), np.zeros(768, np.int64)
        else:
            laid, guess = order.position, order.negated
        shares = [positions_found(pixel[laid[:, seat]].reshape(16, 16)) for seat in range(3)]
        exact, near = (float(np.mean(part)) for part in zip(*shares, strict=True))
        number = min(count, len(photographs))
        name = f"vit_block 16 px, {number} ciphertexts of colour crops ({source}): "
        found[name + "negation mask", "share"].append(mask_found(guess, negated))
        found[name + "positions exact", "share"].append(exact)
        found[name + "positions within one", "share"].append(near)
        found[name + "channel right", "share"].append(_channel_found(moves, laid))
        found[name + "correlation", "s CPU"].append(seconds)


def _channel_found(moves: KeyMoves | None, order: IntArray) -> float:
    """Share of values said to be of the right channel, up to the order of the channels."""
    assert moves is not None
    flat = np.arange(moves.index.size).reshape(-1, 224, 3)
    channel = moves.index[flat[:16, :16].ravel()] % 3
    said = channel[order]
    return max(float((said == np.array(names)).mean()) for names in permutations(range(3)))


def _photographs(size: int) -> tuple[UInt8Array, str]:
    try:
        from skimage import data
    except ImportError:
        from sklearn.datasets import load_sample_images

        whole, source = load_sample_images().images, "scikit-learn"
    else:
        names = ("astronaut", "coffee", "chelsea", "rocket", "retina", "immunohistochemistry")
        whole, source = [getattr(data, name)() for name in names], "scikit-image"
    crops = [
        image[top : top + size, left : left + size]
        for image in whole
        for top in range(0, image.shape[0] - size + 1, size)
        for left in range(0, image.shape[1] - size + 1, size)
    ]
    return np.stack(crops), source


if __name__ == "__main__":
    main(measure, threads=1)
