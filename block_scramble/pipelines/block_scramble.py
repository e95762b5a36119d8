"""Images scrambled under a client key, classified by a ViT trained on ciphertext or adapted by key.

Sources: Al Amin et al., arXiv 2411.05901 (trained on ciphertext); Qi et al., arXiv 2205.12041, and
Kiya et al., arXiv 2308.07612 (the cipher for ViTs and models that fit its key).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from he_compare.block_scramble.deployment.cipher_instance import CipherInstance, make_instance
from he_compare.block_scramble.deployment.fitted import FittedByKey, FittedOnCiphertext
from he_compare.block_scramble.deployment.parameters import BlockScrambleParameters, Mode
from he_compare.block_scramble.deployment.public_material import ServerMaterial
from he_compare.block_scramble.deployment.scheme import cipher_scheme
from he_compare.block_scramble.vit.adaptation import embedding_parameters
from he_compare.common.backbones.catalog import find_backbone
from he_compare.common.contracts import (
    Fitted,
    Pipeline,
    RunContext,
    Server,
    TrainingData,
    Twin,
    Work,
)
from he_compare.common.costs import Costs, RunSizes, Untrained
from he_compare.common.scheme import PictureShape, Scheme
from he_compare.common.types import Float32Array

NAME = "block-scramble"


class BlockScramblePipeline(Pipeline):
    """Block scrambling with a Vision Transformer."""

    name = NAME
    parameters = BlockScrambleParameters
    all_on_device = True

    def identity_inputs(
        self, parameters: BlockScrambleParameters, key_file: Path
    ) -> dict[str, str]:
        """Name the key, by fingerprint. Raises UsageError."""
        return parameters.identity_inputs(key_file)

    def plugins_used(self, parameters: BlockScrambleParameters) -> tuple[str, ...]:
        """Name the module of the cipher."""
        return parameters.plugins_used()

    def cipher_scheme(
        self, name: str, options: Mapping[str, Any], shape: PictureShape
    ) -> Scheme | None:
        """Return a cipher of ``compare list ciphers``. Raises UnknownNameError, UsageError."""
        return cipher_scheme(name, options, shape)

    def twin(self, parameters: BlockScrambleParameters) -> Twin:
        """The same ViT, fine-tuned on plain images."""
        return Twin("plaintext", differs=_different_patch(parameters))

    def work(self, parameters: BlockScrambleParameters) -> Work:
        """The server runs the network; who trained it is the mode's choice."""
        if parameters.mode is Mode.TRAINED:
            return Work(
                hospital="scrambles the images",
                server="trains and runs the whole network on scrambled images",
                head_trained_by="the server, on scrambled images",
                head_owner="the server, which trained it",
            )
        return Work(
            hospital="scrambles the images, and adapts the network to its key once",
            server="runs the whole network on scrambled images",
            head_trained_by="the key holder, on plain images",
            head_owner="the key holder; the server holds the adapted network",
        )

    def costs(self, parameters: BlockScrambleParameters, sizes: RunSizes) -> Costs:
        """Training on ciphertexts at a server, or that of the plain network by its owner."""
        from he_compare.block_scramble import scrambling_costs
        from he_compare.common.backbones.network_costs import served_network

        patch = scrambling_costs.own_patch(parameters, sizes)

        def make(context: RunContext, data: TrainingData) -> FittedOnCiphertext:
            from he_compare.block_scramble.deployment.training import (
                initial_state,
                training_header,
            )

            instance = make_instance(parameters, data, context)
            header = training_header(instance, context, parameters.embedding)
            return FittedOnCiphertext(instance, header, [initial_state(header, context)])

        untrained = Untrained(served_network(sizes, sizes.classes, patch), make)
        if parameters.mode is Mode.ADAPTED:
            return scrambling_costs.adapted_costs(parameters, sizes, untrained)
        return scrambling_costs.trained_costs(parameters, sizes, untrained, "")

    def fit(
        self, data: TrainingData, parameters: BlockScrambleParameters, context: RunContext
    ) -> Fitted:
        """Have a server train on ciphertext, or fine-tune the plain ViT at the key holder.

        Raises UsageError where parameters, image size and backbone do not fit together.
        """
        instance = make_instance(parameters, data, context)
        if parameters.wrong_key:
            context.warnings.append(
                "wrong_key=true: images to classify are encrypted under another key than the "
                "model's, and accuracy must fall to chance"
            )
        if parameters.mode is Mode.TRAINED:
            return self._fit_on_ciphertext(instance, data, parameters, context)
        return self._fit_by_key(instance, data, context)

    def _fit_on_ciphertext(
        self,
        instance: CipherInstance,
        data: TrainingData,
        parameters: BlockScrambleParameters,
        context: RunContext,
    ) -> FittedOnCiphertext:
        from he_compare.block_scramble.deployment.training import (
            reference_for,
            train_on_ciphertext,
            training_header,
        )

        public = reference_for(parameters.embedding, data)
        header = training_header(instance, context, parameters.embedding, public)
        states = train_on_ciphertext(instance, header, data, context, NAME, parameters.sharing)
        return FittedOnCiphertext(instance, header, states)

    def _fit_by_key(
        self, instance: CipherInstance, data: TrainingData, context: RunContext
    ) -> FittedByKey:
        from he_compare.common.backbones.deit import pixel_statistics
        from he_compare.common.backbones.finetune import fine_tuned_vit

        key = instance.keyed().affine_embedding(instance.patch)
        own_patch = find_backbone(context.settings.backbone).patch
        # The backbone's own patch is spelled None, so that the plain reference is the same model.
        patch = None if instance.patch == own_patch else instance.patch
        state = fine_tuned_vit(data, context, patch)
        mean, std = pixel_statistics(context.settings.backbone)
        plain = ServerMaterial(
            backbone=context.settings.backbone,
            image_size=context.settings.image_size,
            patch=instance.patch,
            classes=instance.classes,
            mean=_triple(mean),
            std=_triple(std),
            infer_batch=context.settings.infer_batch,
        )
        context.training["key_holder"] = (
            "whoever adapts the model: it holds the key and the plain model, and trains the latter "
            "on plain images"
        )
        context.training["adapted"] = "patch embedding and position embeddings, exactly, by key"
        context.training["patch_embeddings"] = key.embeddings
        context.training["patch_embedding_parameters"] = embedding_parameters(
            key, find_backbone(context.settings.backbone).width
        )
        return FittedByKey(instance, plain, state)

    def load_server(self, public_material: bytes) -> Server:
        """Build the server half. Raises MessageError on bytes that do not parse."""
        from he_compare.block_scramble.deployment.server import load_server

        return load_server(public_material)


def _different_patch(parameters: BlockScrambleParameters) -> str:
    if parameters.patch is None:
        return ""
    return f"patches of {parameters.patch} pixels where the twin has its backbone's own"


def _triple(values: Float32Array) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


PIPELINE = BlockScramblePipeline()
