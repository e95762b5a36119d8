"""The server half: classifies ciphertexts, or trains on them; built from public material alone."""

from __future__ import annotations

import json

import numpy as np

from block_scramble.material import ServerMaterial
from block_scramble.policy import NONCE_BYTES
from common.clock import Clock
from common.contracts import Server
from common.errors import MessageError
from common.types import IntArray, Message, Per, Split, Stage, UInt8Array
from common.wire import pack, unpack


def load_server(public_material: bytes) -> Server:
    """Build the server that the material asks for. Raises MessageError."""
    header, state = ServerMaterial.from_bytes(public_material)
    if header.training is None:
        return InferenceServer(header, state)
    return TrainingServer(header, state)


class InferenceServer:
    """Answers each ciphertext with the logits of the model."""

    verbs: tuple[str, ...] = ("infer",)

    def __init__(self, header: ServerMaterial, state: bytes) -> None:
        self._header = header
        self._mean, self._std = header.statistics()
        self._model = header.build_model(state)

    def infer(self, messages: list[Message], clock: Clock) -> list[Message]:
        """Return float32 logits (classes,) for each ciphertext. Raises MessageError."""
        from common.backbones.deit import predict_logits

        if not messages:
            return []
        with clock.stage(Stage.DESERIALIZE, items=len(messages)):
            ciphertexts = np.stack([self._read(message) for message in messages])
        with clock.stage(Stage.EVALUATE, items=len(messages)):
            logits = predict_logits(
                self._model, ciphertexts, self._mean, self._std, self._header.infer_batch
            )
        with clock.stage(Stage.SERIALIZE, items=len(messages)):
            return [pack({"logits": row}) for row in logits.astype(np.float32)]

    def _read(self, message: Message) -> UInt8Array:
        arrays, _ = unpack(message, expect={"ciphertext": ("uint8", 3)})
        return _check_size(arrays["ciphertext"], self._header)


class TrainingServer:
    """Collects ciphertexts with their labels and fine-tunes the model on them, epoch by epoch."""

    verbs: tuple[str, ...] = ("add", "epoch", "export")

    def __init__(self, header: ServerMaterial, state: bytes) -> None:
        from common.backbones.finetune import Budget, VitTrainer

        if header.training is None:
            raise MessageError("public material has no training budget")
        mean, std = header.statistics()
        self._header = header
        self._trainer = VitTrainer(
            header.build_model(state), mean, std, Budget(**header.training.model_dump()), flip=False
        )
        self._images = {Split.TRAIN: 0, Split.VAL: 0}

    def add(self, messages: list[Message], clock: Clock) -> list[Message]:
        """Take labelled ciphertexts of one split per message. Raises MessageError."""
        for message in messages:
            with clock.stage(Stage.DESERIALIZE):
                split, ciphertexts, labels = self._read(message)
            self._trainer.add(split, ciphertexts, labels)
            self._images[split] += len(labels)
        return []

    def epoch(self, messages: list[Message], clock: Clock) -> list[Message]:
        """Train one epoch and report losses as JSON, with ``finished`` and ``best_epoch``."""
        if not all(self._images.values()):
            counts = {split.value: count for split, count in self._images.items()}
            raise MessageError(f"training needs images of both splits, there are {counts}")
        if self._trainer.finished:
            raise MessageError("the training budget is spent")
        with clock.stage(Stage.FIT, per=Per.ONCE, items=self._images[Split.TRAIN]):
            report = dict(self._trainer.run_epoch())
        report |= {"finished": self._trainer.finished, "best_epoch": self._trainer.best_epoch}
        return [json.dumps(report).encode()]

    def export(self, messages: list[Message], clock: Clock) -> list[Message]:
        """Return the safetensors state of the best epoch."""
        return [self._trainer.best_state()]

    def infer(self, messages: list[Message], clock: Clock) -> list[Message]:
        """Raise MessageError: this process trains, another one classifies."""
        raise MessageError("this server trains: it answers add, epoch and export")

    def _read(self, message: Message) -> tuple[Split, UInt8Array, IntArray]:
        expected = {"ciphertexts": ("uint8", 4), "labels": ("int64", 1), "nonces": ("uint8", 2)}
        arrays, metadata = unpack(message, expect=expected)
        ciphertexts, labels, nonces = (arrays[name] for name in expected)
        try:
            split = Split(metadata.get("split", ""))
        except ValueError:
            raise MessageError(f"unknown split {metadata.get('split')!r}") from None
        if split not in self._images:
            raise MessageError(f"split {split.value!r} is not for training")
        if len(labels) != len(ciphertexts) or not len(labels):
            raise MessageError(f"{len(ciphertexts)} ciphertexts came with {len(labels)} labels")
        if labels.min() < 0 or labels.max() >= self._header.classes:
            raise MessageError(f"a label is not one of the {self._header.classes} classes")
        if nonces.shape[1] != NONCE_BYTES or len(nonces) not in (0, len(labels)):
            raise MessageError(f"nonces are {nonces.shape} for {len(labels)} ciphertexts")
        _check_size(ciphertexts[0], self._header)
        return split, ciphertexts, labels


def _check_size(ciphertext: UInt8Array, header: ServerMaterial) -> UInt8Array:
    expected = (header.image_size, header.image_size, 3)
    if ciphertext.shape != expected:
        raise MessageError(f"a ciphertext has shape {ciphertext.shape}, the model takes {expected}")
    return ciphertext
