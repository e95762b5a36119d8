"""Training on ciphertext: the client encrypts and uploads, a server process fine-tunes.

Al Amin et al. (arXiv 2411.05901): no key leaves the client. The layers above the patch embedding
start from the given weights. For the embedding the server first solves the ciphertexts by itself
(``deployment.solving``); where that finds nothing it matches their moments to those of public
images (``deployment.matching``); where that finds nothing either, or is not wanted, it starts from
random weights, since ciphertext patches are nothing it knows. Mirroring does not commute with the
ciphers: only what was solved is mirrored while training.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from he_compare.block_scramble.cipher import Cipher
from he_compare.block_scramble.deployment.cipher_instance import TRAINING, CipherInstance
from he_compare.block_scramble.deployment.client import labelled_message
from he_compare.block_scramble.deployment.parameters import Embedding, Sharing
from he_compare.block_scramble.deployment.public_material import (
    ServerMaterial,
    Start,
    TrainingBudget,
    Triple,
)
from he_compare.block_scramble.encryptor import Encryptor
from he_compare.block_scramble.vit.adaptation import forget_patch_embedding, pooled
from he_compare.common.contracts import RunContext, ServerHandle, TrainingData
from he_compare.common.errors import MessageError, UsageError
from he_compare.common.identity import array_digest, source_digest
from he_compare.common.references.held_images import TRAIN
from he_compare.common.references.reference import Domain, Public
from he_compare.common.references.shipped import MATCHED_TO, SHIPPED_REFERENCES
from he_compare.common.seeds import seed_for
from he_compare.common.service.parsing import MOST_FOREIGN_JSON_BYTES, parsed_as_hostile
from he_compare.common.service.wire import pack, unpack
from he_compare.common.sources import sources_of
from he_compare.common.types import Float32Array, ImageBatch, Message, Split, Stage, UInt8Array

CHUNK = 128
# What the server reports with every epoch and is a fact of the whole training.
OF_THE_WHOLE = ("best_epoch", "embedding", "device")
OF_WORDS = ("embedding", "device")
# Of each choice, what the header of the public material says.
STARTS: dict[Embedding, Start] = {
    Embedding.SOLVED: "solved",
    Embedding.MATCHED: "matched",
    Embedding.MATCHED_IN_DOMAIN: "matched",
    Embedding.FRESH: "given",
}
GIVEN_TRAINING_IMAGES = (
    "embedding=matched_in_domain: no images of this kind ship, so that the server was given "
    "training images in the clear to match its patch embedding to; this is an upper bound, not a "
    "deployment"
)
# What the server process runs, besides what is imported here.
SERVER = "he_compare.block_scramble.deployment.server"


def train_on_ciphertext(
    instance: CipherInstance,
    header: ServerMaterial,
    data: TrainingData,
    context: RunContext,
    pipeline: str,
    sharing: Sharing = Sharing.JOINT,
) -> list[bytes]:
    """Return the states of ViTs that a server trained on ciphertexts: one, or one per client.

    ``header``: see ``training_header``. ``pipeline``: the name under which the server process finds
    its code. Facts about the training go into ``context.training``. Raises ServiceError, and
    UsageError where a client has no images.
    """
    from he_compare.common.backbones.finetune import note_memory

    shares = deal_out(instance, data)
    together = [shares] if sharing is Sharing.JOINT else [[share] for share in shares]
    trained = [_trained_once(instance, header, part, data, context, pipeline) for part in together]
    facts = [part for _, part in trained]
    context.training.update(facts[0] | _reference_facts(facts[0], header, data))
    if header.embedding == "matched" and _is_training_split(data, header):
        context.warnings.append(GIVEN_TRAINING_IMAGES)
    for part in facts:
        note_memory(context, part)
    if len(facts) > 1:
        context.training["seconds"] = sum(part["seconds"] for part in facts)
        context.training["by_client"] = facts
    if instance.clients > 1:
        context.training["images_by_client"] = [
            {split.value: len(batch) for split, batch in share.batches} for share in shares
        ]
    return [state for state, _ in trained]


@dataclass(frozen=True)
class Share:
    """One client's part of the data."""

    client: int
    batches: tuple[tuple[Split, ImageBatch], ...]


def deal_out(instance: CipherInstance, data: TrainingData) -> list[Share]:
    """Give every group of images to one client. Raises UsageError where one gets none."""
    splits = ((Split.TRAIN, data.train), (Split.VAL, data.val))
    if instance.clients == 1:
        return [Share(0, splits)]
    shares = []
    for client in range(instance.clients):
        batches = []
        for split, batch in splits:
            mine = np.flatnonzero(instance.owners_of_groups(batch.groups) == client)
            if not len(mine):
                raise UsageError(
                    f"client {client + 1} of {instance.clients} gets no {split.value} images",
                    fix="pass clients=1 or take more data",
                )
            batches.append((split, batch.take(mine)))
        shares.append(Share(client, tuple(batches)))
    return shares


def _trained_once(
    instance: CipherInstance,
    header: ServerMaterial,
    shares: Sequence[Share],
    data: TrainingData,
    context: RunContext,
    pipeline: str,
) -> tuple[bytes, dict[str, Any]]:
    """Return a state and facts about its training, from the store where inputs are the same."""
    import torch

    from he_compare.common.backbones.device import device_identity

    state = initial_state(header, context)
    inputs = {
        "data": data.fingerprint,
        "pixels": [data.train.images.digest(), data.val.images.digest()],
        "cipher": instance.cipher.name,
        "options": instance.options.model_dump(mode="json"),
        "policy": instance.policy.value,
        "key": instance.key.fingerprint,
        "clients": [instance.clients, [share.client for share in shares]],
        "header": header.model_dump(mode="json"),
        "initial_weights": array_digest(np.frombuffer(state, np.uint8)),
        "threads": context.settings.threads,
        "device": device_identity(context.settings.device),
        "source": source_digest(*sources_of(__name__, SERVER, type(instance.cipher).__module__)),
        "torch": torch.__version__,
    }

    def make() -> bytes:
        material = header.to_bytes(state, sent=images_to_send(header, data))
        server = context.start_server(pipeline, material)
        try:
            return train_at_server(server, instance, shares, context, len(material))
        finally:
            server.close()

    stored = context.artefacts.get_or_make("ciphertext-vit", inputs, make)
    arrays, metadata = unpack(stored, expect={"state": ("uint8", 1)})
    return arrays["state"].tobytes(), json.loads(metadata["training"])


def training_header(
    instance: CipherInstance,
    context: RunContext,
    embedding: Embedding | None = None,
    public: Public | None = None,
) -> ServerMaterial:
    """Describe the model and the budget of training on ciphertext.

    ``embedding``: None is solved, where there are weights of plain images to read what is solved.
    ``public``: what it is matched to; None for the default. Raises UsageError where images of the
    same kind are asked for and None are given.
    """
    from he_compare.common.backbones.deit import pixel_statistics
    from he_compare.common.backbones.finetune import Budget, fresh_parameters
    from he_compare.common.backbones.weights import UNTRAINED

    settings = context.settings
    budget = Budget(
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        seed=seed_for(context.seed, "fine-tune", "ciphertext"),
        fresh=fresh_parameters(settings.weights, scrambled=True),
    )
    mean, std = ciphertext_statistics(instance.cipher, *pixel_statistics(settings.backbone))
    start = STARTS[embedding or Embedding.SOLVED] if settings.weights != UNTRAINED else "given"
    reference = SHIPPED_REFERENCES[MATCHED_TO]() if public is None else public.reference
    return ServerMaterial(
        reference=reference.name,
        reference_sent=start != "given" and not reference.ships,
        reference_digest=reference.digest,
        backbone=settings.backbone,
        image_size=settings.image_size,
        patch=instance.patch,
        classes=instance.classes,
        mean=mean,
        std=std,
        ciphertext=instance.cipher.traits.ciphertext,
        infer_batch=settings.infer_batch,
        embedding=start,
        training=TrainingBudget(**asdict(budget)),
    )


def reference_for(embedding: Embedding | None, data: TrainingData) -> Public | None:
    """Return the public images of a kind of start: foreign ones, unless asked for those of a kind.

    Raises UsageError where images of the same kind are asked for and there are none.
    """
    if embedding is not Embedding.MATCHED_IN_DOMAIN:
        return data.public
    if data.same_kind is None:
        raise UsageError(
            "embedding=matched_in_domain needs images of the same kind, and none are known here",
            fix="pass embedding=matched",
        )
    return data.same_kind


def images_to_send(header: ServerMaterial, data: TrainingData) -> UInt8Array | None:
    """Return the public images that the server has not got by itself; None where it has."""
    public = _used(header, data)
    if not header.reference_sent or public is None:
        return None
    from he_compare.block_scramble.deployment.matching import public_images

    return public_images(public.reference, header.image_size)


def _used(header: ServerMaterial, data: TrainingData) -> Public | None:
    """Return the public images that a header names."""
    for public in (data.public, data.same_kind):
        if public is not None and public.reference.digest == header.reference_digest:
            return public
    return None


def _is_training_split(data: TrainingData, header: ServerMaterial) -> bool:
    return header.reference == TRAIN and _used(header, data) is not None


def _reference_facts(
    facts: Mapping[str, Any], header: ServerMaterial, data: TrainingData
) -> dict[str, Any]:
    """Say what public images the patch embedding was matched to, and how near they are."""
    if "matching_reference" not in facts:
        return {}
    public = _used(header, data)
    domain = Domain.UNKNOWN if public is None else public.domain
    return {
        "matching_reference_domain": domain.value,
        "matching_reference_digest": header.reference_digest,
    }


def ciphertext_statistics(
    cipher: Cipher, mean: Float32Array, std: Float32Array
) -> tuple[Triple, Triple]:
    """Return mean and deviation of ciphertext values / 255, the same for all channels.

    Bytes keep the pooled statistics of pixels; rotated values spread around zero with the same
    mean square.
    """
    if cipher.traits.ciphertext == "uint8":
        return pooled(mean), pooled(std)
    return pooled(np.zeros_like(mean)), pooled(np.sqrt(mean**2 + std**2))


def initial_state(header: ServerMaterial, context: RunContext) -> bytes:
    """Return the weights training starts from: the run's.

    The patch embedding is a random one unless the server is to match it.
    """
    from he_compare.common.backbones.deit import build_vit, state_bytes
    from he_compare.common.backbones.features import backbone_seed

    model = build_vit(
        header.backbone,
        image_size=header.image_size,
        classes=header.classes,
        weights=context.settings.weights,
        seed=backbone_seed(context.seed),
        patch=header.patch,
    )
    if header.embedding == "given":
        forget_patch_embedding(model, seed_for(context.seed, "patch embedding"))
    return state_bytes(model)


def train_at_server(
    server: ServerHandle,
    instance: CipherInstance,
    shares: Sequence[Share],
    context: RunContext,
    material_bytes: int,
) -> bytes:
    """Upload everything, run the epochs, fetch the best state; pack it with the facts."""
    uploaded = material_bytes
    for share in shares:
        encryptor = instance.encryptor(TRAINING, share.client)
        for split, batch in share.batches:
            uploaded += _upload(server, encryptor, split, batch, context)
    history = _run_epochs(server, context)
    exported = server.call("export", [], context.clock)
    if len(exported) != 1:
        raise MessageError(f"the server exported {len(exported)} states, expected one")
    (state,) = exported
    best = history[-1].pop("best_epoch")
    fitted = history[-1].pop("embedding")
    device = history[-1].pop("device")
    training = {
        "trained_on": "ciphertexts, by a server process that has no key",
        "key_holder": "the client alone: encrypts training images and every image to classify",
        "augmentation": "none",
        **fitted,
        "epochs": len(history),
        "best_epoch": best,
        "history": [{k: v for k, v in entry.items() if k not in OF_THE_WHOLE} for entry in history],
        "seconds": sum(entry["seconds"] for entry in history),
        "payload_upload_bytes": uploaded,
        "payload_download_bytes": len(state),
        **device,
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
            ciphertexts, nonces = encryptor.encrypt(part.images[:])
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
    what = "the server's report of an epoch"
    if len(replies) != 1 or len(replies[0]) > MOST_FOREIGN_JSON_BYTES:
        raise MessageError(f"{what} does not parse: {len(replies)} replies, or one too long")
    with parsed_as_hostile(what):
        report = dict(json.loads(replies[0]))  # losses of a training that diverged are NaN
    missing = {"finished", "seconds", *OF_THE_WHOLE} - set(report)
    if missing:
        raise MessageError(f"{what} lacks {sorted(missing)}")
    numbers = {name: value for name, value in report.items() if name not in ("finished", *OF_WORDS)}
    if not all(value is None or type(value) in (int, float, bool) for value in numbers.values()):
        raise MessageError(f"{what} does not parse: a figure in it is no number")
    if type(report["finished"]) is not bool or not math.isfinite(report["seconds"] or 0.0):
        raise MessageError(f"{what} does not parse")
    if not isinstance(report["embedding"], dict) or not _is_of_a_device(report["device"]):
        raise MessageError(f"{what} does not parse")
    return report


def _is_of_a_device(facts: Any) -> bool:
    """Say whether a server's facts are of the kind that ``VitTrainer.device_facts`` returns."""
    kinds: dict[str, type] = {"precision": str, "images_at_once": int, "batch_size": int}
    kinds["normalised_over"] = int
    if not isinstance(facts, dict) or not set(facts) <= set(kinds):
        return False
    return ("images_at_once" in facts) is ("batch_size" in facts) and all(
        type(value) is kinds[name] for name, value in facts.items()
    )
