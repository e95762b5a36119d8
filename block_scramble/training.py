"""Training on ciphertext: the client encrypts and uploads, a server process fine-tunes.

Al Amin et al. (arXiv 2411.05901): no key leaves the client. The patch embedding is fitted from
random weights, since ciphertext patches are nothing it knows; the layers above start from the
given weights. No augmentation: flips and crops do not commute with the ciphers.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np

from block_scramble.client import labelled_message
from block_scramble.instance import TRAINING, CipherInstance
from block_scramble.material import ServerMaterial, TrainingBudget
from block_scramble.policy import Encryptor
from block_scramble.vit import forget_patch_embedding, pooled
from common.contracts import RunContext, ServerHandle, TrainingData
from common.errors import MessageError
from common.identity import array_digest, source_digest
from common.seeds import seed_for
from common.types import ImageBatch, Message, Split, Stage
from common.wire import pack, unpack

CHUNK = 128
SOURCES = ("block_scramble", "common.backbones", "common.wire")


def train_on_ciphertext(
    instance: CipherInstance,
    header: ServerMaterial,
    data: TrainingData,
    context: RunContext,
    pipeline: str,
) -> bytes:
    """Return the state of a ViT that a server process trained on ciphertexts of this key.

    ``header``: see ``training_header``. ``pipeline``: the name under which the server process finds
    its code. Facts about the training go into ``context.training``. Raises ServiceError.
    """
    import torch

    state = initial_state(header, context)
    inputs = {
        "data": data.fingerprint,
        "pixels": array_digest(data.train.images, data.val.images),
        "cipher": instance.cipher.name,
        "options": instance.options.model_dump(mode="json"),
        "policy": instance.policy.value,
        "key": instance.key.fingerprint,
        "header": header.model_dump(mode="json"),
        "initial_weights": array_digest(np.frombuffer(state, np.uint8)),
        "threads": context.settings.threads,
        "source": source_digest(*SOURCES),
        "torch": torch.__version__,
    }

    def make() -> bytes:
        material = header.to_bytes(state)
        server = context.start_server(pipeline, material)
        try:
            return _train(server, instance.encryptor(TRAINING), data, context, len(material))
        finally:
            server.close()

    stored = context.artefacts.get_or_make("ciphertext-vit", inputs, make)
    arrays, metadata = unpack(stored, expect={"state": ("uint8", 1)})
    context.training.update(json.loads(metadata["training"]))
    return arrays["state"].tobytes()


def training_header(instance: CipherInstance, context: RunContext) -> ServerMaterial:
    """Describe the model and the budget of training on ciphertext."""
    from common.backbones.deit import pixel_statistics
    from common.backbones.finetune import Budget

    settings = context.settings
    budget = Budget(
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        seed=seed_for(context.seed, "fine-tune", "ciphertext"),
    )
    mean, std = pixel_statistics(settings.backbone)
    return ServerMaterial(
        backbone=settings.backbone,
        image_size=settings.image_size,
        patch=instance.patch,
        classes=instance.classes,
        mean=pooled(mean),
        std=pooled(std),
        infer_batch=settings.infer_batch,
        training=TrainingBudget(**asdict(budget)),
    )


def initial_state(header: ServerMaterial, context: RunContext) -> bytes:
    """Return the weights training starts from: the run's, with a random patch embedding."""
    from common.backbones.deit import build_vit, state_bytes
    from common.backbones.features import backbone_seed

    model = build_vit(
        header.backbone,
        image_size=header.image_size,
        classes=header.classes,
        weights=context.settings.weights,
        seed=backbone_seed(context.seed),
        patch=header.patch,
    )
    forget_patch_embedding(model, seed_for(context.seed, "patch embedding"))
    return state_bytes(model)


def _train(
    server: ServerHandle,
    encryptor: Encryptor,
    data: TrainingData,
    context: RunContext,
    material_bytes: int,
) -> bytes:
    """Upload everything, run the epochs, fetch the best state; pack it with the facts."""
    uploaded = material_bytes
    for split, batch in ((Split.TRAIN, data.train), (Split.VAL, data.val)):
        uploaded += _upload(server, encryptor, split, batch, context)
    history = _run_epochs(server, context)
    (state,) = server.call("export", [], context.clock)
    best = history[-1].pop("best_epoch")
    training = {
        "trained_on": "ciphertexts, by a server process that has no key",
        "key_holder": "the client alone: encrypts training images and every image to classify",
        "patch_embedding": "fitted from random weights",
        "augmentation": "none",
        "epochs": len(history),
        "best_epoch": best,
        "history": [{k: v for k, v in entry.items() if k != "best_epoch"} for entry in history],
        "seconds": sum(entry["seconds"] for entry in history),
        "payload_upload_bytes": uploaded,
        "payload_download_bytes": len(state),
    }
    return pack({"state": np.frombuffer(state, np.uint8)}, {"training": json.dumps(training)})


def _upload(
    server: ServerHandle,
    encryptor: Encryptor,
    split: Split,
    batch: ImageBatch,
    context: RunContext,
) -> int:
    """Encrypt one split chunk by chunk and send it; return the bytes of the messages."""
    sent = 0
    for start in range(0, len(batch), CHUNK):
        part = batch.take(slice(start, start + CHUNK))
        with context.clock.stage(Stage.ENCRYPT, items=len(part)):
            ciphertexts, nonces = encryptor.encrypt(part.images)
        with context.clock.stage(Stage.SERIALIZE, items=len(part)):
            message = labelled_message(split, ciphertexts, nonces, part.labels)
        server.call("add", [message], context.clock)
        sent += len(message)
        context.progress(f"encrypting {split.value} images", start + len(part), len(batch))
    return sent


def _run_epochs(server: ServerHandle, context: RunContext) -> list[dict[str, Any]]:
    """Have the server train until its budget is spent or validation stops improving."""
    epochs = context.settings.epochs
    history: list[dict[str, Any]] = []
    finished = False
    while not finished and len(history) < epochs:
        report = _read_report(server.call("epoch", [], context.clock))
        finished = bool(report.pop("finished"))
        history.append(report)
        context.progress("training on ciphertexts", len(history), epochs)
    return history


def _read_report(replies: list[Message]) -> dict[str, Any]:
    try:
        (reply,) = replies
        report = json.loads(reply)
        missing = {"finished", "best_epoch", "seconds"} - set(report)
    except (ValueError, TypeError):
        raise MessageError("the server's report of an epoch does not parse") from None
    if missing:
        raise MessageError(f"the server's report of an epoch lacks {sorted(missing)}")
    return dict(report)
