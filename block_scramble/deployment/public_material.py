"""What the server process is started with: an architecture, a role and weights, as bytes.

This is all the server ever gets besides messages. There is no field for a key, and unknown fields
are refused on both sides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from he_compare.common.backbones.state_size import MAX_IMAGE_SIDE, MAX_PATCHES
from he_compare.common.errors import CompareError, MessageError
from he_compare.common.references.shipped import MATCHED_TO
from he_compare.common.service.parsing import strict_json
from he_compare.common.service.wire import pack, unpack
from he_compare.common.types import MAX_CLASSES, Float32Array, UInt8Array

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

Triple = tuple[float, float, float]
Start = Literal["given", "matched", "solved"]
SENT = "public images"
# Epochs, images of a batch and the like; and public images to match an embedding to.
MOST_STEPS, MOST_SENT = 1_000_000, 4096


class TrainingBudget(BaseModel):
    """What training at the server may spend: the fields of ``common.backbones.finetune.Budget``."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    epochs: int = Field(ge=1, le=MOST_STEPS)
    batch_size: int = Field(ge=1, le=MOST_STEPS)
    learning_rate: float = Field(gt=0, le=1e6)
    seed: int = Field(ge=0, lt=1 << 64)
    patience: int = Field(ge=1, le=MOST_STEPS)
    fresh: tuple[str, ...] = Field(default=("",), max_length=64)


class ServerMaterial(BaseModel):
    """Header of the public material. ``mean``, ``std``: of ciphertext values divided by 255."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    format: Literal["block-scramble server"] = "block-scramble server"
    version: Literal[1] = 1
    backbone: str = Field(max_length=100)
    image_size: int = Field(ge=8, le=MAX_IMAGE_SIDE)
    patch: int = Field(ge=1, le=MAX_IMAGE_SIDE)
    classes: int = Field(ge=1, le=MAX_CLASSES)
    mean: Triple = (0.0, 0.0, 0.0)
    std: Triple = (1.0, 1.0, 1.0)
    infer_batch: int = Field(default=64, ge=1, le=MOST_STEPS)
    ciphertext: Literal["uint8", "float32"] = "uint8"
    embeddings: int = Field(
        default=1, ge=1, le=MAX_PATCHES, description="Patch embeddings: one, or one for each patch"
    )
    nibbles: bool = Field(default=False, description="The patch embedding takes 4-bit halves")
    models: int = Field(default=1, ge=1, le=16, description="One, or one per client")
    embedding: Start = Field(
        default="given",
        description="Training starts from the patch embedding as it is, or has it matched to "
        "public images first, or solves the ciphertexts first",
    )
    reference: str = Field(
        default=MATCHED_TO,
        max_length=100,
        description="Public images that a patch embedding is matched to, by name",
    )
    reference_sent: bool = Field(
        default=False, description="They come with the material; else they ship with the package"
    )
    reference_digest: str = Field(
        default="", max_length=100, description="SHA-256 of what they are drawn from"
    )
    training: TrainingBudget | None = Field(
        default=None, description="Set: the server trains; none: it classifies"
    )

    def to_bytes(self, *states: bytes, sent: UInt8Array | None = None) -> bytes:
        """Serialise with the safetensors ``states`` of the models, one unless ``models`` says.

        ``sent``: public images, uint8 (n, image_size, image_size, 3), if ``reference_sent``.
        """
        arrays = {f"state {i}": np.frombuffer(state, np.uint8) for i, state in enumerate(states)}
        if sent is not None:
            grey = bool((sent == sent[..., :1]).all())
            arrays[SENT] = sent[..., :1] if grey else sent
        return pack(arrays, {"header": self.model_dump_json()})

    @classmethod
    def from_bytes(cls, data: bytes) -> tuple[ServerMaterial, tuple[bytes, ...]]:
        """Parse what ``to_bytes`` wrote. Raises MessageError."""
        arrays, metadata = unpack(data, expect={"state 0": ("uint8", 1)})
        told = strict_json(metadata.get("header", ""), "header of the public material")
        try:
            header = cls.model_validate(told)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "the whole"
            raise MessageError(f"header of the public material: {where}: {first['msg']}") from None
        names = [f"state {i}" for i in range(header.models)]
        arrays.pop(SENT, None)
        if set(arrays) != set(names) or any(arrays[name].dtype != np.uint8 for name in names):
            raise MessageError(f"public material for {header.models} models has {sorted(arrays)}")
        if min(header.std) <= 0:
            raise MessageError(f"header of the public material: deviations of {header.std}")
        return header, tuple(arrays[name].tobytes() for name in names)

    def sent_images(self, data: bytes) -> UInt8Array | None:
        """Return the public images of what ``to_bytes`` wrote; None where none were sent.

        Raises MessageError.
        """
        if not self.reference_sent:
            return None
        arrays, _ = unpack(data, expect={SENT: ("uint8", 4)})
        sent: UInt8Array = arrays[SENT]
        if len(sent) > MOST_SENT:
            raise MessageError(f"{len(sent)} public images are more than {MOST_SENT}")
        count, *shape = sent.shape
        side = self.image_size
        if not count or shape not in ([side, side, 1], [side, side, 3]):
            raise MessageError(f"public images of shape {sent.shape} for images of {side} pixels")
        return np.repeat(sent, 3, axis=3) if shape[2] == 1 else sent

    def build_model(self, state: bytes) -> VisionTransformer:
        """Build the model and load its weights. Raises MessageError where they do not fit."""
        from he_compare.common.backbones.deit import build_vit, load_state_bytes
        from he_compare.common.backbones.state_size import require_vit_state

        try:
            require_vit_state(
                state,
                self.backbone,
                image_size=self.image_size,
                patch=self.patch,
                outputs=self.classes,
                embeddings=self.embeddings,
            )
            model = build_vit(
                self.backbone,
                image_size=self.image_size,
                classes=self.classes,
                weights="untrained",
                seed=0,
                patch=self.patch,
            )
        except MessageError:
            raise
        except CompareError as error:
            raise MessageError(f"public material names no model: {error}") from None
        self.replace_patch_embedding(model)
        load_state_bytes(model, state)
        return model

    def replace_patch_embedding(self, model: VisionTransformer) -> None:
        """Give the model the patch embedding that its key needs. Raises MessageError."""
        from he_compare.block_scramble.vit.patch_embedding import KeyedPatchEmbed

        if not self.nibbles and self.embeddings == 1:
            return
        patches = (self.image_size // self.patch) ** 2
        if self.embeddings not in (1, patches):
            raise MessageError(f"{self.embeddings} patch embeddings for {patches} patches")
        model.patch_embed = KeyedPatchEmbed(
            self.patch, 3, model.embed_dim, embeddings=self.embeddings, nibbles=self.nibbles
        )

    def statistics(self) -> tuple[Float32Array, Float32Array]:
        """Return mean and deviation, float32 (3,)."""
        return np.asarray(self.mean, np.float32), np.asarray(self.std, np.float32)
