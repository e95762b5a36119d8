"""The server half: classifies ciphertexts, or trains on them; built from public material alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from he_compare.block_scramble.deployment.public_material import ServerMaterial
from he_compare.block_scramble.deployment.spool import SpooledCiphertexts
from he_compare.block_scramble.keyed_cipher import NONCE_BYTES, CiphertextArray
from he_compare.block_scramble.vit.adaptation import forget_patch_embedding
from he_compare.common.block_solving.solution import SolvedPictures, SolvedView
from he_compare.common.clock import Clock
from he_compare.common.contracts import Server
from he_compare.common.errors import MessageError
from he_compare.common.seeds import seed_for
from he_compare.common.service.parsing import parsed_as_hostile
from he_compare.common.service.wire import pack, unpack
from he_compare.common.types import Float64Array, IntArray, Message, Per, Split, Stage, UInt8Array

if TYPE_CHECKING:
    from he_compare.common.backbones.finetune import Budget, VitTrainer

FRESH = "fitted from random weights"
MATCHED = "matched to public images by moments, without a key, then trained"
SOLVED = (
    "solved from the ciphertexts alone, without a key or public images, then trained on the "
    "pictures that they show"
)
INSIDE_SOLVED = (
    "solved inside blocks from the ciphertexts alone, without a key or public images; places of "
    "blocks were not found and start alike; then trained"
)
NOT_SOLVED = "the ciphertexts were not solved"
UNMATCHED = "did not match the reference"
FLIPPED = "random horizontal flips of what was solved"


def load_server(public_material: bytes) -> Server:
    """Build the server that the material asks for. Raises MessageError."""
    with parsed_as_hostile("public material"):
        header, states = ServerMaterial.from_bytes(public_material)
        if header.training is None:
            return InferenceServer(header, states)
        return TrainingServer(header, states, header.sent_images(public_material))


class InferenceServer:
    """Answers each ciphertext with the logits of the model, or of its client's model."""

    verbs: tuple[str, ...] = ("infer",)

    def __init__(self, header: ServerMaterial, states: Sequence[bytes]) -> None:
        from he_compare.common.backbones.device import moved, server_device

        self._header = header
        self._mean, self._std = header.statistics()
        self._models = [moved(header.build_model(state), server_device()) for state in states]

    def infer(self, messages: list[Message], clock: Clock) -> list[Message]:
        """Return float32 logits (classes,) for each ciphertext. Raises MessageError."""
        if not messages:
            return []
        with (
            clock.stage(Stage.DESERIALIZE, items=len(messages)),
            parsed_as_hostile("a ciphertext"),
        ):
            read = [self._read(message) for message in messages]
            ciphertexts = np.stack([ciphertext for ciphertext, _ in read])
            models = np.array([model for _, model in read])
        with clock.stage(Stage.EVALUATE, items=len(messages)):
            logits = self._logits(ciphertexts, models)
        with clock.stage(Stage.SERIALIZE, items=len(messages)):
            return [pack({"logits": row}) for row in logits.astype(np.float32)]

    def _logits(self, ciphertexts: CiphertextArray, models: IntArray) -> Float64Array:
        """Run every ciphertext through the model of its number: float64 (n, classes)."""
        from he_compare.common.backbones.deit import predict_logits

        batch = self._header.infer_batch
        logits = np.empty((len(ciphertexts), self._header.classes))
        for number in np.unique(models):
            mine = models == number
            logits[mine] = predict_logits(
                self._models[number], ciphertexts[mine], self._mean, self._std, batch
            )
        return logits

    def _read(self, message: Message) -> tuple[CiphertextArray, int]:
        arrays, metadata = unpack(message, expect={"ciphertext": (self._header.ciphertext, 3)})
        ciphertext = _checked(arrays["ciphertext"], self._header)
        if len(self._models) == 1:
            return ciphertext, 0
        named = metadata.get("client", "")
        if named not in map(str, range(len(self._models))):
            raise MessageError(f"there is no model for client {named!r}")
        return ciphertext, int(named)


class TrainingServer:
    """Collects ciphertexts with their labels and fine-tunes the model on them, epoch by epoch.

    The ciphertexts lie in a file: memory does not grow with their number.
    """

    verbs: tuple[str, ...] = ("add", "epoch", "export")

    def __init__(
        self,
        header: ServerMaterial,
        states: Sequence[bytes],
        public: UInt8Array | None = None,
    ) -> None:
        """``public``: images that the patch embedding is matched to, where they were sent."""
        from he_compare.common.backbones.finetune import Budget

        if header.training is None or len(states) != 1:
            raise MessageError("training takes a budget and one model")
        self._header = header
        self._model = header.build_model(states[0])
        self._budget = Budget(**header.training.model_dump())
        shape = (header.image_size, header.image_size, 3)
        self._images = {
            split: SpooledCiphertexts(shape, header.ciphertext)
            for split in (Split.TRAIN, Split.VAL)
        }
        self._labels: dict[Split, list[IntArray]] = {split: [] for split in self._images}
        self._public = public
        self._embedding: dict[str, Any] = {}
        self._view: SolvedView | None = None
        self._trainer: VitTrainer | None = None

    def add(self, messages: list[Message], clock: Clock) -> list[Message]:
        """Take labelled ciphertexts of one split per message.

        Raises MessageError, and CellError where the disk is full.
        """
        for message in messages:
            with clock.stage(Stage.DESERIALIZE), parsed_as_hostile("labelled ciphertexts"):
                split, ciphertexts, labels = self._read(message)
            if self._trainer is not None:
                raise MessageError("training has begun: no more images are accepted")
            self._images[split].append(ciphertexts)
            self._labels[split].append(labels)
        return []

    def epoch(self, messages: list[Message], clock: Clock) -> list[Message]:
        """Train one epoch and report losses as JSON, with ``finished`` and ``best_epoch``."""
        counts = {split.value: len(images) for split, images in self._images.items()}
        if not all(counts.values()):
            raise MessageError(f"training needs images of both splits, there are {counts}")
        if self._trainer is not None and self._trainer.finished:
            raise MessageError("the training budget is spent")
        with clock.stage(Stage.FIT, per=Per.ONCE, items=counts[Split.TRAIN]):
            if self._trainer is None:
                self._trainer = self._begin()
            report = dict(self._trainer.run_epoch())
        report |= {
            "finished": self._trainer.finished,
            "best_epoch": self._trainer.best_epoch,
            "embedding": self._embedding,
            "device": self._trainer.device_facts,
        }
        return [json.dumps(report).encode()]

    def export(self, messages: list[Message], clock: Clock) -> list[Message]:
        """Return the safetensors state of the best epoch. Raises MessageError before the first."""
        if self._trainer is None:
            raise MessageError("no epoch has been run yet")
        state = self._trainer.best_state()
        if self._view is not None:
            from he_compare.block_scramble.deployment.solving import reads_ciphertexts

            state = reads_ciphertexts(state, self._header, self._view)
        return [state]

    def infer(self, messages: list[Message], clock: Clock) -> list[Message]:
        """Raise MessageError: this process trains, another one classifies."""
        raise MessageError("this server trains: it answers add, epoch and export")

    def _begin(self) -> VitTrainer:
        """Fit the patch embedding, and hand model and examples to the training loop."""
        from he_compare.common.backbones.deit import pixel_statistics
        from he_compare.common.backbones.device import moved, server_device
        from he_compare.common.backbones.finetune import VitTrainer

        budget = self._fitted(self._budget)
        model = moved(self._model, server_device())
        statistics = self._header.statistics()
        if self._view is not None:
            statistics = pixel_statistics(self._header.backbone)
        trainer = VitTrainer(model, *statistics, budget, flip=self._view is not None)
        for split, images in self._images.items():
            shown = images if self._view is None else SolvedPictures(images, self._view)
            trainer.add(split, shown, np.concatenate(self._labels[split]))
        return trainer

    def _fitted(self, budget: Budget) -> Budget:
        """Fit the patch embedding as the header asks, or by what comes after it; note which it was.

        A fitted one moves as slowly as all that was learnt before.
        """
        from he_compare.common.backbones.finetune import EMBEDDING

        start, why = self._header.embedding, ""
        if start == "given":
            self._embedding = {"embedding_start": "fresh", "patch_embedding": FRESH}
            return budget
        if start == "solved":
            why = f": {NOT_SOLVED}"
        if not (start == "solved" and self._solved()) and not self._matched(why):
            forget_patch_embedding(self._model, seed_for(budget.seed, "patch embedding"))
            return budget
        return replace(budget, fresh=tuple(n for n in budget.fresh if n not in EMBEDDING))

    def _solved(self) -> bool:
        """Solve the ciphertexts; say whether that found at least the inside of blocks."""
        from he_compare.block_scramble.deployment.matching import images_used
        from he_compare.block_scramble.deployment.solving import forget_places, solve_ciphertexts

        if self._header.ciphertext != "uint8":
            return False
        count = images_used(self._header.image_size)
        some = cast(UInt8Array, self._images[Split.TRAIN][:count])
        labels = np.concatenate(self._labels[Split.TRAIN])[:count]
        solved, figures = solve_ciphertexts(self._model, self._header, some, labels)
        self._embedding |= figures
        if solved is None:
            return False
        self._view = solved.view
        if not solved.placed:
            forget_places(self._model, self._header)
        self._embedding |= {
            "embedding_start": "solved" if solved.placed else "inside_solved",
            "patch_embedding": SOLVED if solved.placed else INSIDE_SOLVED,
            "augmentation": FLIPPED,
        }
        return True

    def _matched(self, why: str) -> bool:
        """Match the patch embedding to the ciphertexts; say whether they match the reference.

        ``why``: the reason that this was tried, for the record.
        """
        from he_compare.block_scramble.deployment.matching import (
            images_used,
            match_patch_embedding,
        )

        some = self._images[Split.TRAIN][: images_used(self._header.image_size)]
        alignment = match_patch_embedding(self._model, self._header, some, self._public)
        found = alignment is not None and alignment.found
        unmatched = (
            f"{FRESH}{why}, and they {UNMATCHED}" if why else f"{FRESH}: ciphertexts {UNMATCHED}"
        )
        self._embedding |= {
            "embedding_start": "matched" if found else "fresh",
            "patch_embedding": f"{MATCHED}{why}" if found else unmatched,
            "matching_reference": self._header.reference,
            "matching_agreement": None if alignment is None else round(alignment.agreement, 4),
        }
        return found

    def _read(self, message: Message) -> tuple[Split, CiphertextArray, IntArray]:
        kind = self._header.ciphertext
        expected = {"ciphertexts": (kind, 4), "labels": ("int64", 1), "nonces": ("uint8", 2)}
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
        return split, _checked(ciphertexts, self._header), labels


def _checked(ciphertexts: CiphertextArray, header: ServerMaterial) -> CiphertextArray:
    """Return one ciphertext or a batch of them. Raises MessageError where they do not fit."""
    expected, found = (header.image_size, header.image_size, 3), ciphertexts.shape[-3:]
    if found != expected:
        raise MessageError(f"a ciphertext has shape {found}, the model takes {expected}")
    if ciphertexts.dtype != np.uint8 and not np.isfinite(ciphertexts).all():
        raise MessageError("a ciphertext has values that are no finite numbers")
    return ciphertexts
