"""What scrambling pipelines take, in units that an estimate of a run prices."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from he_compare.common.backbones import network_costs
from he_compare.common.backbones.catalog import find_backbone
from he_compare.common.contracts import RunContext, TrainingData
from he_compare.common.costs import Costs, RunSizes, Untrained, WorkStep, WorkUnit
from he_compare.common.service.wire import pack

if TYPE_CHECKING:
    from he_compare.block_scramble.cipher import Cipher
    from he_compare.block_scramble.deployment.parameters import BlockScrambleParameters

# Matching a patch embedding: seconds grow with ciphertexts, with public images at 0.6 of that, and
# begin as if there were 640 of them (measured on 200 to 1,600 ciphertexts of 112 px, 200 and 800
# public images).
PUBLIC_SHARE, BEGIN = 0.6, 640
PROBED_IMAGES = 60
# Solving ciphertexts: seconds grow with their number, and begin as if there were so many more
# (measured on 60 to 1,200 ciphertexts of 112 px). Then the network looks at some in eight ways up.
SOLVING_BEGINS, WAYS_UP = 150, 8
# How many numbers of a byte a ciphertext has: rotated ones are of four bytes.
BYTES = {"uint8": 1, "float32": 4}


def trained_costs(
    parameters: BlockScrambleParameters, sizes: RunSizes, untrained: Untrained, architecture: str
) -> Costs:
    """Encrypting and uploading all images, matching, and training at a server process.

    ``architecture``: of a convolutional network; '' for the DeiT, whose embedding is matched.
    """
    images = sizes.train + sizes.val
    scrambling = scrambling_unit(parameters)
    models = parameters.clients if parameters.sharing.value == "apart" else 1
    steps = [WorkStep(scrambling, images)]
    if not architecture and sizes.weights != "untrained":
        steps += _fitting_an_embedding(parameters, sizes)
    patch = own_patch(parameters, sizes)
    steps += network_costs.training_steps(sizes, patch=patch, architecture=architecture)
    message = sizes.pixels * BYTES[parameters.load_cipher().traits.ciphertext]
    return Costs(
        tuple(steps) * models,
        untrained,
        image=(scrambling,),
        trains_at_server=True,
        training_up=images * message,
    )


def adapted_costs(
    parameters: BlockScrambleParameters, sizes: RunSizes, untrained: Untrained
) -> Costs:
    """The plain network's training, which the plain reference has done where it runs, too."""
    patch = own_patch(parameters, sizes)
    shared = "plain-vit" if patch is None else f"plain-vit, patch {patch}"
    steps = network_costs.training_steps(sizes, shared=shared, patch=patch)
    return Costs(steps, untrained, image=(scrambling_unit(parameters),))


def own_patch(parameters: BlockScrambleParameters, sizes: RunSizes) -> int | None:
    """Return the patch that the parameters ask for; None where it is the backbone's own."""
    return (
        None
        if parameters.patch in (None, find_backbone(sizes.backbone).patch)
        else parameters.patch
    )


def scrambling_unit(parameters: BlockScrambleParameters) -> WorkUnit:
    """One image scrambled and packed."""
    cipher = parameters.load_cipher()
    asked = cipher_words(cipher, parameters)

    def measure(context: RunContext, data: TrainingData) -> float:
        from he_compare.block_scramble.deployment.cipher_instance import (
            TRAINING,
            make_instance,
        )

        encryptor = make_instance(parameters, data, context).encryptor(TRAINING)
        images = data.train.images[:]
        encryptor.encrypt(images[:2])
        start = time.perf_counter()
        for ciphertext in encryptor.encrypt(images)[0]:
            pack({"ciphertext": ciphertext})
        return (time.perf_counter() - start) / len(images)

    return WorkUnit(f"scrambling an image: {asked}", measure)


def cipher_words(cipher: Cipher, parameters: BlockScrambleParameters) -> str:
    """Return cipher, options and policy of keys in words."""
    options = parameters.cipher_options(cipher, parameters.patch)
    told = ", ".join(f"{name}={value}" for name, value in sorted(options.items()))
    return f"{cipher.name}[{told}], {parameters.key_policy.value}"


def _fitting_an_embedding(
    parameters: BlockScrambleParameters, sizes: RunSizes
) -> tuple[WorkStep, ...]:
    """What the server does before it trains; what it falls back on is not foreseen."""
    start = None if parameters.embedding is None else parameters.embedding.value
    if start in (None, "solved"):
        return _solving(parameters, sizes)
    return () if start == "fresh" else (_matching(parameters, sizes),)


def _solving(parameters: BlockScrambleParameters, sizes: RunSizes) -> tuple[WorkStep, ...]:
    from he_compare.block_scramble.deployment.solving import PROBED
    from he_compare.common.block_moments import most_images

    patch = parameters.patch or find_backbone(sizes.backbone).patch

    def measure(context: RunContext, data: TrainingData) -> float:
        from he_compare.common.block_solving.reconstruct import reconstruct
        from he_compare.common.block_solving.tiles import cut, join
        from he_compare.common.references.natural import NaturalPhotographs

        size = context.settings.image_size
        blocks = cut(NaturalPhotographs().images(PROBED_IMAGES, size, 3, 0), patch)
        random = np.random.default_rng(0)
        moved = blocks[:, random.permutation(blocks.shape[1])]
        moved = moved[:, :, random.permutation(blocks.shape[2])]
        scrambled = join(moved, size // patch, size // patch, 3)
        start = time.perf_counter()
        reconstruct(scrambled, patch)
        return (time.perf_counter() - start) / (SOLVING_BEGINS + PROBED_IMAGES)

    unit = WorkUnit(f"solving ciphertexts: {sizes.image_size} px, patch {patch}", measure)
    used = min(sizes.train, most_images(sizes.pixels))
    probed = WAYS_UP * min(sizes.train, PROBED)
    return WorkStep(unit, SOLVING_BEGINS + used), WorkStep(
        network_costs.forward_unit(sizes), probed
    )


def _matching(parameters: BlockScrambleParameters, sizes: RunSizes) -> WorkStep:
    patch = parameters.patch or find_backbone(sizes.backbone).patch

    def measure(context: RunContext, data: TrainingData) -> float:
        from he_compare.common.block_moments import align_blocks

        size = context.settings.image_size
        random = np.random.default_rng(0)
        images = random.integers(0, 256, (2, PROBED_IMAGES, size, size, 3), dtype=np.uint8)
        start = time.perf_counter()
        align_blocks(images[0], images[1], patch)
        return (time.perf_counter() - start) / _equivalents(PROBED_IMAGES, PROBED_IMAGES)

    public = max(200, min(800, 800 * 112 * 112 // sizes.image_size**2))
    return WorkStep(
        WorkUnit(f"matching a patch embedding: {sizes.image_size} px, patch {patch}", measure),
        _equivalents(sizes.train, public),
    )


def _equivalents(ciphertexts: int, public: int) -> float:
    return BEGIN + ciphertexts + PUBLIC_SHARE * public
