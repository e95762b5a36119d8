"""What the targets of hostile messages are made of: each server half, fitted on invented data.

Nothing is trained to be good: weights are random, images are noise, rings are the smallest that the
pipeline's own code takes. ``replies`` are what the server half answers to the good calls, and
``reveal`` is the client half that reads them, where there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from he_compare.common import plugins
from he_compare.common.clock import Clock
from he_compare.common.contracts import Deployment, RunContext, RunSettings, TrainingData
from he_compare.common.run.kept_artefacts import ArtefactFolder
from he_compare.common.types import Float64Array, ImageBatch, Message, Side, Split, UInt8Array

SIZE, CLASSES, IMAGES = 32, 2, 4
BACKBONE = "deit_tiny_patch16_224"
WIDTH, FEATURES = 16, 6
Reveal = Callable[[list[Message]], Any]


@dataclass
class Made:
    """Public material, good calls in order, and the client half that reads the last replies."""

    public_material: bytes
    calls: list[tuple[str, list[Message]]]
    reveal: Reveal | None = None
    replies: list[Message] = field(default_factory=list)


def answered(pipeline: str, made: Made) -> Made:
    """Have the server half answer the good calls in this process, and keep what it says last."""
    server = plugins.load("pipelines", pipeline).load_server(made.public_material)
    for verb, messages in made.calls:
        made.replies = getattr(server, verb)(list(messages), Clock(Side.SERVER))
    return made


def _images(seed: int) -> UInt8Array:
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (IMAGES, SIZE, SIZE, 3), dtype=np.uint8)


def _data(seed: int) -> TrainingData:
    ids = tuple(str(i) for i in range(IMAGES))
    labels = np.arange(IMAGES, dtype=np.int64) % CLASSES
    batch = ImageBatch(ids=ids, images=_images(seed), labels=labels, groups=ids)
    return TrainingData(batch, batch, ("a", "b"), "invented")


def _context(folder: Path, seed: int) -> RunContext:
    settings = RunSettings(
        image_size=SIZE,
        backbone=BACKBONE,
        weights="untrained",
        epochs=1,
        batch_size=2,
        learning_rate=1e-4,
        threads=1,
        infer_batch=8,
    )

    def no_server(pipeline: str, public_material: bytes) -> Any:
        raise AssertionError(f"{pipeline} wants a server process")

    return RunContext(
        seed=seed,
        settings=settings,
        clock=Clock(Side.CLIENT),
        artefacts=ArtefactFolder(folder / "artefacts"),
        cache_dir=folder / "cache",
        key_file=folder / "client.key",
        start_server=no_server,
        progress=lambda what, done, total: None,
    )


def _of(deployment: Deployment, seed: int) -> Made:
    """Return a deployed half with images for its client."""
    client = deployment.client
    uploads = client.protect(_images(seed), Clock(Side.CLIENT))
    calls = [("infer", uploads[:1]), ("infer", uploads)]
    return Made(
        deployment.public_material,
        calls,
        lambda replies: client.reveal(replies, Clock(Side.CLIENT)),
    )


def plain_vit(folder: Path, seed: int) -> Made:
    """A fine-tuned DeiT: here, an untrained one."""
    from he_compare.common.backbones.deit import build_vit, state_bytes
    from he_compare.common.pipelines.plaintext import PlaintextFitted

    model = build_vit(BACKBONE, image_size=SIZE, classes=CLASSES, weights="untrained", seed=seed)
    fitted = PlaintextFitted(BACKBONE, SIZE, CLASSES, state_bytes(model), None)
    return _of(fitted.deploy(_context(folder, seed)), seed)


def plain_head(folder: Path, seed: int) -> Made:
    """A DeiT without a head, and a regression on its features."""
    from he_compare.common.backbones.catalog import find_backbone
    from he_compare.common.backbones.deit import build_vit, state_bytes
    from he_compare.common.backbones.head import train_head
    from he_compare.common.pipelines.plaintext import PlaintextFitted

    random, width = np.random.default_rng(seed), find_backbone(BACKBONE).width
    features = random.normal(size=(2 * width, width))
    head = train_head(features, np.arange(len(features)) % CLASSES, CLASSES, 0.01)
    model = build_vit(BACKBONE, image_size=SIZE, classes=0, weights="untrained", seed=seed)
    fitted = PlaintextFitted(BACKBONE, SIZE, 0, state_bytes(model), head)
    return _of(fitted.deploy(_context(folder, seed)), seed)


def convnet(folder: Path, seed: int) -> Made:
    """A ResNet-18."""
    from he_compare.common.backbones.convnet import build_convnet
    from he_compare.common.backbones.deit import state_bytes
    from he_compare.common.pipelines.convnet import ConvnetFitted

    model = build_convnet(classes=CLASSES, weights="untrained", seed=seed)
    fitted = ConvnetFitted(BACKBONE, SIZE, CLASSES, state_bytes(model))
    return _of(fitted.deploy(_context(folder, seed)), seed)


def scrambled(folder: Path, seed: int) -> Made:
    """A ViT that classifies scrambled images."""
    from he_compare.block_scramble.deployment.fitted import FittedOnCiphertext

    instance, header, state, context = _scrambling("block-scramble", folder, seed)
    return _of(FittedOnCiphertext(instance, header, [state]).deploy(context), seed)


def scrambled_training(folder: Path, seed: int) -> Made:
    """A ViT that trains on scrambled images."""
    return _trained_on_ciphertext("block-scramble", folder, seed)


def scrambled_convnet(folder: Path, seed: int) -> Made:
    """A ResNet-18 that classifies scrambled images."""
    from he_compare.block_scramble.deployment.fitted import FittedOnCiphertext

    instance, header, state, context = _scrambling("block-scramble-convnet", folder, seed)
    return _of(FittedOnCiphertext(instance, header, [state]).deploy(context), seed)


def scrambled_convnet_training(folder: Path, seed: int) -> Made:
    """A ResNet-18 that trains on scrambled images."""
    return _trained_on_ciphertext("block-scramble-convnet", folder, seed)


def _scrambling(pipeline: str, folder: Path, seed: int) -> tuple[Any, Any, bytes, RunContext]:
    """Return a cipher, the header of a network that trains on it, its weights and a context."""
    from he_compare.block_scramble.deployment import training
    from he_compare.block_scramble.deployment.cipher_instance import make_instance
    from he_compare.block_scramble.deployment.parameters import Embedding
    from he_compare.block_scramble.pipelines import block_scramble_convnet as convnets
    from he_compare.common.backbones.convnet import build_convnet
    from he_compare.common.backbones.deit import state_bytes

    context, data = _context(folder, seed), _data(seed)
    parameters = plugins.load("pipelines", pipeline).parameters()
    instance = make_instance(parameters, data, context)
    if pipeline == convnets.NAME:
        of_convnet = convnets.training_header(instance, data, context)
        state = state_bytes(build_convnet(classes=CLASSES, weights="untrained", seed=seed))
        return instance, of_convnet, state, context
    header = training.training_header(instance, context, Embedding.FRESH)
    return instance, header, training.initial_state(header, context), context


def _trained_on_ciphertext(pipeline: str, folder: Path, seed: int) -> Made:
    from he_compare.block_scramble.deployment.cipher_instance import TRAINING
    from he_compare.block_scramble.deployment.client import labelled_message

    instance, header, state, _ = _scrambling(pipeline, folder, seed)
    encryptor, data = instance.encryptor(TRAINING), _data(seed)
    calls: list[tuple[str, list[Message]]] = []
    for split, batch in ((Split.TRAIN, data.train), (Split.VAL, data.val)):
        ciphertexts, nonces = encryptor.encrypt(batch.images[:])
        calls.append(("add", [labelled_message(split, ciphertexts, nonces, batch.labels)]))
    return Made(header.to_bytes(state), [*calls, ("epoch", []), ("export", [])])


def head_by(packing: str) -> Callable[[Path, int], Made]:
    """Return what makes an encrypted head of that packing."""

    def make(folder: Path, seed: int) -> Made:
        from he_compare.common.backbones.head import LinearModel
        from he_compare.fhe_baseline.ckks.inference import make_plan, public_material

        random = np.random.default_rng(seed)
        model = LinearModel(random.normal(size=(CLASSES, WIDTH)), random.normal(size=CLASSES))
        plan = make_plan(model, packing, "auto")
        client = plan.packing.make_client(plan.parameters, model)
        material = public_material(plan, client.public_arrays())
        return _encrypting(client, material, random.normal(size=(2, WIDTH)))

    return make


def _encrypting(client: Any, material: bytes, features: Float64Array) -> Made:
    clock = Clock(Side.CLIENT)
    uploads = client.protect(features, clock)
    calls: list[tuple[str, list[Message]]] = [("infer", uploads)]
    if len(client.protect(features[:1], clock)) == 1:
        calls.insert(0, ("infer", client.protect(features[:1], clock)))
    return Made(material, calls, lambda replies: client.reveal(replies, clock))


def encrypted_head(folder: Path, seed: int) -> Made:
    """A head that the server holds encrypted."""
    from he_compare.common.backbones.head import LinearModel
    from he_compare.fhe_baseline.ckks.encrypted_head import EncryptedHeadClient
    from he_compare.fhe_baseline.ckks.parameters import parameter_set

    random = np.random.default_rng(seed)
    model = LinearModel(random.normal(size=(CLASSES, FEATURES)), random.normal(size=CLASSES))
    client = EncryptedHeadClient(parameter_set("n4096-106"), model)
    return _encrypting(client, client.public_material(), random.normal(size=(2, FEATURES)))


def encrypted_training(folder: Path, seed: int) -> Made:
    """A head that is trained on ciphertexts, in a ring too small for security."""
    from he_compare.fhe_baseline.ckks.parameters import training_set
    from he_compare.fhe_baseline.ckks.training.client import CkksTrainingClient
    from he_compare.fhe_baseline.ckks.training.messages import pack_header
    from he_compare.fhe_baseline.ckks.training.problem import make_problem
    from he_compare.fhe_baseline.ckks.training.public_material import pack_material
    from he_compare.fhe_baseline.ckks.training.sigmoid import fit_sigmoid
    from he_compare.fhe_baseline.ckks.training.steps import plain_steps

    random = np.random.default_rng(seed)
    features = np.clip(random.normal(size=(60, 5)), -8, 8)
    problem = make_problem(features, np.arange(60) % CLASSES, CLASSES, 0.1, balanced=True)
    steps = plain_steps(2, problem.safe_length(), fit_sigmoid(3, 12))
    circuit = problem.circuit(
        training_set("n1024-insecure"), steps, refreshes=1, allow_insecure=True
    )
    client = CkksTrainingClient(circuit)
    calls: list[tuple[str, list[Message]]] = [("key", [key]) for key in client.keys()]  # noqa: SIM118 (a method)
    calls += [("add", [upload]) for upload in client.uploads(problem)]
    calls += [("missing", []), ("train", [pack_header(0)])]
    weights = np.full((circuit.classifiers, circuit.columns), 0.1)
    state = client.encrypt_state(1, weights, weights)
    calls.append(("train", [pack_header(1), *state]))
    return Made(pack_material(circuit), calls, lambda replies: client.decrypt_state(1, replies))


def tfhe_head(folder: Path, seed: int) -> Made:
    """A quantised head under TFHE."""
    from he_compare.common.backbones.head import LinearModel
    from he_compare.fhe_baseline.tfhe.inference import deploy_head
    from he_compare.fhe_baseline.tfhe.quantised import quantise_head

    random = np.random.default_rng(seed)
    weights = random.normal(size=FEATURES)
    linear = LinearModel(np.vstack([-weights, weights]), np.array([-0.5, 0.5]))
    inputs = random.normal(size=(64, FEATURES))
    deployed = deploy_head(quantise_head(linear, inputs, 8), Clock(Side.CLIENT))
    return _encrypting(deployed.client, deployed.public_material, inputs[:2])


def tfhe_training(folder: Path, seed: int) -> Made:
    """A step of training under TFHE, of one feature."""
    from he_compare.fhe_baseline.tfhe.library import private_folder
    from he_compare.fhe_baseline.tfhe.training import (
        BATCH,
        Batch,
        TfheTrainingClient,
        TrainingCircuit,
        TrainingShape,
    )

    random = np.random.default_rng(seed)
    with private_folder() as work, private_folder() as archives:
        archive = TrainingCircuit(TrainingShape(1, 5, 6, 1.0), work).save(archives)
        client = TfheTrainingClient(archives, 1)
        material = client.public_material(archive)
    inputs = np.clip(random.normal(size=(BATCH, 1)), -1, 1)
    batch = Batch(inputs, np.arange(BATCH, dtype=np.int64) % CLASSES)
    step: Sequence[Message] = client.batch(batch, Clock(Side.CLIENT)) + client.start()
    return Made(material, [("step", list(step))], client.reveal)
