"""What the server process is started with: an architecture, a role and weights, as bytes.

This is all the server ever gets besides messages. There is no field for a key, and unknown fields
are refused on both sides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from common.errors import CompareError, MessageError
from common.types import Float32Array
from common.wire import pack, unpack

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

Triple = tuple[float, float, float]


class TrainingBudget(BaseModel):
    """What training at the server may spend: the fields of ``common.backbones.finetune.Budget``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    learning_rate: float = Field(gt=0, allow_inf_nan=False)
    seed: int = Field(ge=0)
    patience: int = Field(ge=1)


class ServerMaterial(BaseModel):
    """Header of the public material. ``mean``, ``std``: of ciphertext values divided by 255."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["block-scramble server"] = "block-scramble server"
    version: Literal[1] = 1
    backbone: str
    image_size: int = Field(ge=8, le=2048)
    patch: int = Field(ge=1, le=2048)
    classes: int = Field(ge=1, le=100_000)
    mean: Triple = (0.0, 0.0, 0.0)
    std: Triple = (1.0, 1.0, 1.0)
    infer_batch: int = Field(default=64, ge=1)
    training: TrainingBudget | None = Field(
        default=None, description="Set: the server trains; none: it classifies"
    )

    def to_bytes(self, state: bytes) -> bytes:
        """Serialise with the safetensors ``state`` of the model."""
        header = self.model_dump_json()
        return pack({"state": np.frombuffer(state, np.uint8)}, {"header": header})

    @classmethod
    def from_bytes(cls, data: bytes) -> tuple[ServerMaterial, bytes]:
        """Parse what ``to_bytes`` wrote. Raises MessageError."""
        arrays, metadata = unpack(data, expect={"state": ("uint8", 1)})
        try:
            header = cls.model_validate_json(metadata.get("header", ""))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "the whole"
            raise MessageError(f"header of the public material: {where}: {first['msg']}") from None
        return header, arrays["state"].tobytes()

    def build_model(self, state: bytes) -> VisionTransformer:
        """Build the model and load its weights. Raises MessageError where they do not fit."""
        from common.backbones.deit import build_vit, load_state_bytes

        try:
            model = build_vit(
                self.backbone,
                image_size=self.image_size,
                classes=self.classes,
                weights="untrained",
                seed=0,
                patch=self.patch,
            )
        except CompareError as error:
            raise MessageError(f"public material names no model: {error}") from None
        load_state_bytes(model, state)
        return model

    def statistics(self) -> tuple[Float32Array, Float32Array]:
        """Return mean and deviation, float32 (3,)."""
        return np.asarray(self.mean, np.float32), np.asarray(self.std, np.float32)
