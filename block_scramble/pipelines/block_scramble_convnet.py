"""Scrambled images and a convolutional network trained on them: the baseline beside the ViT.

Same cipher, key, messages and budget as ``block-scramble``; the model is timm's ``resnet18``, whose
convolutions look across the borders of blocks that the key has moved.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from he_compare.block_scramble.deployment.cipher_instance import CipherInstance, make_instance
from he_compare.block_scramble.deployment.fitted import FittedOnCiphertext
from he_compare.block_scramble.deployment.parameters import (
    BlockScrambleParameters,
    Embedding,
    Mode,
    Sharing,
)
from he_compare.block_scramble.deployment.public_material import ServerMaterial, TrainingBudget
from he_compare.common.backbones.convnet import ARCHITECTURE, build_convnet, convnet_budget
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
from he_compare.common.identity import array_digest, source_digest
from he_compare.common.service.parsing import parsed_as_hostile
from he_compare.common.service.wire import unpack
from he_compare.common.sources import sources_of

if TYPE_CHECKING:
    import torch

NAME = "block-scramble-convnet"


class ConvnetScrambleParameters(BlockScrambleParameters):
    """Those of ``block-scramble``; a convolutional network has no patch embedding to adapt."""

    mode: Literal[Mode.TRAINED] = Field(
        default=Mode.TRAINED, description="trained: the server trains the network on ciphertext"
    )
    embedding: Literal[Embedding.FRESH] | None = Field(
        default=None, description="A convolutional network has no patch embedding to match"
    )
    clients: Literal[1] = Field(default=1, description="One client, one key")
    sharing: Literal[Sharing.JOINT] = Field(default=Sharing.JOINT, description="One model")
    weights: Literal["untrained", "hub"] = Field(
        default="untrained", description="untrained: random; hub: timm's ImageNet weights"
    )


class ConvnetMaterial(ServerMaterial):
    """The public material of a convolutional network; ``patch`` is the cipher's alone."""

    architecture: Literal["resnet18"]

    def build_model(self, state: bytes) -> torch.nn.Module:
        """Build the network and load its weights. Raises MessageError where they do not fit."""
        from he_compare.common.backbones.deit import load_state_bytes
        from he_compare.common.backbones.state_size import require_convnet_state

        require_convnet_state(state, image_size=self.image_size, outputs=self.classes)
        model = build_convnet(classes=self.classes, weights="untrained", seed=0)
        load_state_bytes(model, state)
        return model


class BlockScrambleConvnetPipeline(Pipeline):
    """Block scrambling with a convolutional network."""

    name = NAME
    parameters = ConvnetScrambleParameters
    all_on_device = True

    def identity_inputs(
        self, parameters: ConvnetScrambleParameters, key_file: Path
    ) -> dict[str, str]:
        """Name the key, by fingerprint. Raises UsageError."""
        return parameters.identity_inputs(key_file)

    def plugins_used(self, parameters: ConvnetScrambleParameters) -> tuple[str, ...]:
        """Name the module of the cipher."""
        return parameters.plugins_used()

    def twin(self, parameters: ConvnetScrambleParameters) -> Twin:
        """The same network, trained on plain images."""
        started = {} if parameters.weights == "untrained" else {"weights": parameters.weights}
        return Twin("convnet", started)

    def work(self, parameters: ConvnetScrambleParameters) -> Work:
        """The server trains and runs the network."""
        return Work(
            hospital="scrambles the images",
            server="trains and runs the whole network on scrambled images",
            head_trained_by="the server, on scrambled images",
            head_owner="the server, which trained it",
        )

    def costs(self, parameters: ConvnetScrambleParameters, sizes: RunSizes) -> Costs:
        """Training on ciphertexts at a server."""
        from he_compare.block_scramble.scrambling_costs import trained_costs

        def make(context: RunContext, data: TrainingData) -> FittedOnCiphertext:
            from he_compare.common.backbones.deit import state_bytes

            model = build_convnet(classes=sizes.classes, weights="untrained", seed=0)
            instance = make_instance(parameters, data, context)
            header = training_header(instance, data, context)
            return FittedOnCiphertext(instance, header, [state_bytes(model)])

        served = f"server with {ARCHITECTURE}, {sizes.image_size} px, {sizes.classes} classes"
        return trained_costs(parameters, sizes, Untrained(served, make), ARCHITECTURE)

    def fit(
        self, data: TrainingData, parameters: ConvnetScrambleParameters, context: RunContext
    ) -> Fitted:
        """Have a server process train on ciphertext. Raises UsageError, ServiceError."""
        instance = make_instance(parameters, data, context)
        header = training_header(instance, data, context)
        state = _trained(instance, header, parameters.weights, data, context)
        return FittedOnCiphertext(instance, header, [state])

    def load_server(self, public_material: bytes) -> Server:
        """Build the server half. Raises MessageError on bytes that do not parse."""
        from he_compare.block_scramble.deployment.server import InferenceServer, TrainingServer

        with parsed_as_hostile("public material"):
            header, states = ConvnetMaterial.from_bytes(public_material)
            load = InferenceServer if header.training is None else TrainingServer
            return load(header, states)


def training_header(
    instance: CipherInstance, data: TrainingData, context: RunContext
) -> ConvnetMaterial:
    """Describe the network and the budget of training on ciphertext: the ViT's, for this model."""
    from he_compare.block_scramble.deployment import training

    budget = convnet_budget(context, len(data.train), "ciphertext", NAME)
    changed = {
        "backbone": ARCHITECTURE,
        "architecture": ARCHITECTURE,
        "training": TrainingBudget(**asdict(budget)),
    }
    header = training.training_header(instance, context, Embedding.FRESH)
    return ConvnetMaterial(**(header.model_dump() | changed))


def _trained(
    instance: CipherInstance,
    header: ConvnetMaterial,
    weights: str,
    data: TrainingData,
    context: RunContext,
) -> bytes:
    """Return the state that a server process trained, from the store where inputs are the same."""
    import torch

    from he_compare.block_scramble.deployment import training
    from he_compare.common.backbones.deit import state_bytes
    from he_compare.common.backbones.device import device_identity
    from he_compare.common.backbones.features import backbone_seed
    from he_compare.common.backbones.finetune import note_memory

    seed = backbone_seed(context.seed)
    start = state_bytes(build_convnet(classes=header.classes, weights=weights, seed=seed))
    inputs: dict[str, Any] = {
        "data": data.fingerprint,
        "pixels": [data.train.images.digest(), data.val.images.digest()],
        "cipher": instance.cipher.name,
        "options": instance.options.model_dump(mode="json"),
        "policy": instance.policy.value,
        "key": instance.key.fingerprint,
        "header": header.model_dump(mode="json"),
        "initial_weights": array_digest(np.frombuffer(start, np.uint8)),
        "threads": context.settings.threads,
        "device": device_identity(context.settings.device),
        "source": source_digest(*sources_of(__name__, type(instance.cipher).__module__)),
        "torch": torch.__version__,
    }

    def make() -> bytes:
        material = header.to_bytes(start)
        server = context.start_server(NAME, material)
        shares: Sequence[training.Share] = training.deal_out(instance, data)
        try:
            return training.train_at_server(server, instance, shares, context, len(material))
        finally:
            server.close()

    stored = context.artefacts.get_or_make("ciphertext-convnet", inputs, make)
    arrays, metadata = unpack(stored, expect={"state": ("uint8", 1)})
    facts = json.loads(metadata["training"])
    # Facts about Vision Transformers: this network's weights are all trained alike.
    for name in ("patch_embedding", "embedding_start"):
        facts.pop(name, None)
    context.training.update(facts | {"model": ARCHITECTURE})
    note_memory(context, facts)
    return arrays["state"].tobytes()


PIPELINE = BlockScrambleConvnetPipeline()
