"""Images scrambled under a client key, classified by a ViT trained on ciphertext or adapted by key.

Sources: Al Amin et al., arXiv 2411.05901 (trained on ciphertext); Qi et al., arXiv 2205.12041, and
Kiya et al., arXiv 2308.07612 (the cipher for ViTs and models that fit its key).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from he_compare.block_scramble.deployment.client import BlockScrambleClient
from he_compare.block_scramble.deployment.keyed_cipher import PICTURE, CipherInstance, make_instance
from he_compare.block_scramble.deployment.parameters import BlockScrambleParameters, Mode
from he_compare.block_scramble.deployment.public_material import ServerMaterial
from he_compare.block_scramble.keyed_cipher import as_pictures
from he_compare.block_scramble.keys.key_files import obtain_key
from he_compare.block_scramble.vit.adaptation import adapt_by_key, embedding_parameters
from he_compare.common.backbones.catalog import find_backbone
from he_compare.common.contracts import (
    Availability,
    Deployment,
    Fitted,
    RunContext,
    Server,
    TrainingData,
)
from he_compare.common.run.records import SecurityClaims
from he_compare.common.types import FheMode, Float32Array, Float64Array, Per, Stage, UInt8Array

NAME = "block-scramble"


class FittedCipher:
    """What both ways to a model share: the claims, and the pictures of ciphertexts."""

    fhe_mode: FheMode = FheMode.NOT_APPLICABLE

    def __init__(self, instance: CipherInstance) -> None:
        self.instance = instance

    def claims(self) -> SecurityClaims:
        """Return what this instance claims and gives away."""
        return self.instance.claims()

    def protected_picture(self, images: UInt8Array) -> UInt8Array | None:
        """Return ciphertexts of uint8 (n, h, w, 3) as pictures."""
        return as_pictures(self.instance.encryptor(PICTURE).encrypt(images)[0])

    def _client(self, context: RunContext) -> BlockScrambleClient:
        with context.clock.stage(Stage.KEYGEN, per=Per.KEY):
            encryptors = self.instance.inference_encryptors()
        return BlockScrambleClient(encryptors, self.instance.classes, self.instance.owner_of_image)


class FittedOnCiphertext(FittedCipher):
    """A model that a server process trained on ciphertexts, or one for each client."""

    def __init__(
        self, instance: CipherInstance, header: ServerMaterial, states: Sequence[bytes]
    ) -> None:
        super().__init__(instance)
        self._header = header.model_copy(update={"training": None, "models": len(states)})
        self._states = states

    def deploy(self, context: RunContext) -> Deployment:
        """Derive the key and hand the trained weights to the server."""
        return Deployment(self._client(context), self._header.to_bytes(*self._states))

    def clear_reference(self, images: UInt8Array) -> tuple[str, Float64Array] | None:
        """None: the model exists for ciphertext only."""
        return None


class FittedByKey(FittedCipher):
    """The plain ViT of the run, to be adapted to the client's key.

    ``plain``, ``state``: header and weights of the plain model; neither leaves the key holder.
    """

    def __init__(self, instance: CipherInstance, plain: ServerMaterial, state: bytes) -> None:
        super().__init__(instance)
        self._plain = plain
        self._state = state

    def deploy(self, context: RunContext) -> Deployment:
        """Derive the key, adapt the model to it and hand the adapted weights to the server."""
        client = self._client(context)
        with context.clock.stage(Stage.COMPILE, per=Per.KEY):
            key = self.instance.keyed().affine_embedding(self.instance.patch)
            adapted = adapt_by_key(self._state, key, *self._plain.statistics())
        changed = {
            "mean": (0.0, 0.0, 0.0),
            "std": (1.0, 1.0, 1.0),
            "ciphertext": self.instance.cipher.traits.ciphertext,
            "embeddings": key.embeddings,
            "nibbles": key.nibbles,
        }
        header = self._plain.model_copy(update=changed)
        return Deployment(client, header.to_bytes(adapted))

    def clear_reference(self, images: UInt8Array) -> tuple[str, Float64Array] | None:
        """Return the scores of the plain ViT, which the adapted one must reproduce.

        None under a wrong key, where it must not.
        """
        from he_compare.common.backbones.deit import predict_logits

        if self.instance.wrong_key:
            return None

        mean, std = self._plain.statistics()
        model = self._plain.build_model(self._state)
        return "plain ViT", predict_logits(model, images, mean, std, self._plain.infer_batch)


class BlockScramblePipeline:
    """Block scrambling with a Vision Transformer."""

    name = NAME
    parameters = BlockScrambleParameters

    def availability(self) -> Availability:
        """Torch, timm and cryptography are requirements of the package: always available."""
        return Availability(True)

    def source_modules(self) -> tuple[str, ...]:
        """Name the packages whose source can change a result."""
        return (
            "block_scramble",
            "he_compare.common.backbones",
            "he_compare.common.block_moments",
            "he_compare.common.datasets.embedded.atlas",
        )

    def identity_inputs(
        self, parameters: BlockScrambleParameters, key_file: Path
    ) -> dict[str, str]:
        """Name what keys a cell besides parameters, data and source: the key, by fingerprint.

        The key file is made at first use. Raises UsageError where it is no usable one.
        """
        return {"client key": obtain_key(parameters.key, key_file).fingerprint}

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
            train_on_ciphertext,
            training_header,
        )

        header = training_header(instance, context, parameters.embedding)
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


def _triple(values: Float32Array) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


PIPELINE = BlockScramblePipeline()
