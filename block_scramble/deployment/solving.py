"""Ciphertexts that the server solves by itself: no key, no public image; then training is as plain.

Where one key serves all images, correlations between values show the order inside blocks, and the
borders of blocks show where they belong (``common.block_solving``). What is left open, the way up,
the order of colours and the sign, is chosen by the model that was trained on plain images: the view
under which its features tell the labels best, and the server has the labels. The model is then
fine-tuned on the pictures that the ciphertexts show, mirrored at random as plain ones are, and what
was found is folded into its patch embedding, so that it reads ciphertexts as the client sends them.
That a server learns without loss so is an attack on the cipher: it sees the pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np

from he_compare.block_scramble.deployment.public_material import ServerMaterial
from he_compare.block_scramble.engine.blocks import block_positions
from he_compare.block_scramble.engine.shapes import ImageShape
from he_compare.block_scramble.vit.adaptation import adapt_by_key, for_normalised_inputs
from he_compare.block_scramble.vit.patch_key import affine_from_moves
from he_compare.common.block_solving.reconstruct import (
    SMOOTH,
    Reconstruction,
    reconstruct,
)
from he_compare.common.block_solving.solution import (
    SolvedView,
    solved_view,
    ways_up,
)
from he_compare.common.types import Float64Array, IntArray, UInt8Array

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

CHANNELS = 3
# Steps at borders of blocks over those inside: 1.0 to 1.2 where all is right; 2 and more were
# measured where 4-bit halves of values had moved, which this solver does not bring back.
SEAMS = 1.5
# Share of the joints on which two halves of the evidence agree, at least; about 0 by chance.
LEAST_JOINED = 0.6
# Channels that differ by less, in grey levels on average, are copies: a few pictures have a tint.
TINT = 0.5
# Fewer images than these show too little to be solved.
LEAST_SOLVED = 16
# Images by which the way up is chosen, and how they are split; inverse L2 strength of the probe.
PROBED, FOLDS, PROBE_C = 256, 4, 0.01


@dataclass(frozen=True)
class Solution:
    """What the server found. ``placed``: blocks, too; else the inside of blocks alone."""

    view: SolvedView
    placed: bool


@dataclass(frozen=True)
class _Labelled:
    """Images by which views are compared, and what tells how well a view does."""

    ciphertexts: UInt8Array
    labels: IntArray
    model: VisionTransformer
    header: ServerMaterial

    def loss(self, view: SolvedView) -> float:
        """Return the held-out loss of a linear probe of the model's features: (nats)."""
        from he_compare.common.backbones.deit import pixel_statistics, predict_logits

        pictures = view.pictures(self.ciphertexts)
        statistics = pixel_statistics(self.header.backbone)
        features = predict_logits(self.model, pictures, *statistics, self.header.infer_batch)
        return probe_loss(features, self.labels)


def solve_ciphertexts(
    model: VisionTransformer,
    header: ServerMaterial,
    ciphertexts: UInt8Array,
    labels: IntArray,
) -> tuple[Solution | None, dict[str, Any]]:
    """Solve uint8 (n, h, w, 3) with labels (n,); the model of plain images is left as it is.

    Returns what was found, None where the order inside blocks is not, and the solver's figures.
    """
    if len(ciphertexts) < LEAST_SOLVED or header.image_size % header.patch:
        return None, {}
    found = reconstruct(ciphertexts, header.patch)
    facts: dict[str, Any] = {
        "solved_neighbours": round(found.neighbours, 4),
        "solved_agreement": round(found.agreement, 4),
        "solved_seams": round(found.seams, 4),
    }
    placed = found.agreement >= LEAST_JOINED and found.seams <= SEAMS
    # Values that lie in order need no proof; an order that was found has the joints as its proof.
    if found.neighbours < SMOOTH or not (placed or found.order is None):
        return None, facts
    view = solved_view(found, CHANNELS, placed=placed)
    if view is None or (found.turned and not _grey(ciphertexts)):
        return None, facts
    headless = _without_head(model)
    if not placed:
        forget_places(headless, header)
    probed = _probed(ciphertexts, labels)
    by = _Labelled(ciphertexts[probed], labels[probed], headless, header)
    view, facts["solved_ways"] = _likeliest(view, found, by, placed=placed)
    return Solution(view, placed), facts


def _likeliest(
    view: SolvedView, found: Reconstruction, by: _Labelled, *, placed: bool
) -> tuple[SolvedView, int]:
    """Return the view of all that ciphertexts leave open, and how many there were."""
    views = ways_up(view, by.header.patch) if placed else [view]
    if (found.turned and placed) or (found.order is not None and found.order.negated.any()):
        views = [one for way in views for one in (way, way.negative())]
    view, tried = _best(views, by), len(views)
    if found.order is not None and not _grey(view.pictures(by.ciphertexts)):
        coloured = [view.recoloured(order) for order in permutations(range(CHANNELS))]
        view, tried = _best(coloured, by), tried * len(coloured)
    return view, tried


def _best(views: Sequence[SolvedView], by: _Labelled) -> SolvedView:
    if len(views) == 1 or len(np.unique(by.labels)) < 2:
        return views[0]
    return min(views, key=by.loss)


def _grey(pictures: UInt8Array) -> bool:
    """Say whether channels are copies of each other, but for the tint of a few pictures."""
    if not len(pictures):
        return True
    grey = pictures.mean(axis=3, keepdims=True, dtype=np.float32)
    return float(np.abs(pictures - grey).mean()) < TINT


def _probed(ciphertexts: UInt8Array, labels: IntArray) -> IntArray:
    """Return positions of the first images of each class that has enough, as many of each."""
    present, counts = np.unique(labels, return_counts=True)
    present = present[counts >= FOLDS]
    each = PROBED // max(len(present), 1)
    chosen = [np.flatnonzero(labels == label)[:each] for label in present]
    return np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, np.int64)


def probe_loss(features: Float64Array, labels: IntArray) -> float:
    """Return the mean loss in nats of linear probes on features (n, width) they did not see.

    Every class has at least ``FOLDS`` images, there are at least two.
    """
    from he_compare.common.backbones.deit import softmax
    from he_compare.common.backbones.head import train_head

    classes, dense = np.unique(labels, return_inverse=True)
    order = np.argsort(dense, kind="stable")
    fold = np.empty(len(labels), np.int64)
    fold[order] = np.arange(len(labels)) % FOLDS
    total = 0.0
    for one in range(FOLDS):
        out = fold == one
        head = train_head(features[~out], dense[~out], len(classes), PROBE_C)
        likely = softmax(head.scores(features[out]))[np.arange(int(out.sum())), dense[out]]
        total -= float(np.log(np.maximum(likely, 1e-12)).sum())
    return total / len(labels)


def _without_head(model: VisionTransformer) -> VisionTransformer:
    headless = deepcopy(model)
    headless.reset_classifier(0)
    return headless


def forget_places(model: VisionTransformer, header: ServerMaterial) -> None:
    """Give all patches the mean position: where blocks belong is not known."""
    import torch

    blocks = (header.image_size // header.patch) ** 2
    with torch.no_grad():
        places = model.pos_embed[:, -blocks:]
        places.copy_(places.mean(dim=1, keepdim=True).expand_as(places).clone())


def reads_ciphertexts(state: bytes, header: ServerMaterial, view: SolvedView) -> bytes:
    """Return the state of a model that does on ciphertexts what ``state`` does on their pictures.

    ``state``: of a model of plain images. The result takes ciphertexts normalised as the header
    says. Raises UsageError where the view moves values between blocks.
    """
    from he_compare.common.backbones.deit import pixel_statistics

    positions = block_positions(ImageShape(*view.index.shape), header.patch)
    key = affine_from_moves(header.patch, positions, *view.moves(), nibbles=False)
    adapted = adapt_by_key(state, key, *pixel_statistics(header.backbone))
    return for_normalised_inputs(adapted, *header.statistics())
