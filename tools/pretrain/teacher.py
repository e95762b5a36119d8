"""The teacher: a ViT-S/14 of DINOv2 layout read from an ONNX file into timm."""

import hashlib
from pathlib import Path

import timm
from torch import nn

from he_compare.common.backbones.onnx_vit import ARCHITECTURE, read_onnx_vit

PATCH = 14


def sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def unfuse(model: nn.Module) -> nn.Module:
    """Use plain matmul attention: in bfloat16 on a CPU it trains 1.6 times as fast."""
    for block in model.blocks:
        block.attn.fused_attn = False
    return model


def load_teacher(path: Path) -> nn.Module:
    """The teacher in evaluation mode; takes any image whose sides are multiples of 14.

    Raises DataError if the file is not the expected ViT-S/14.
    """
    model = timm.create_model(ARCHITECTURE, num_classes=0, dynamic_img_size=True)
    model.load_state_dict(read_onnx_vit(path), strict=True)
    return unfuse(model.eval().requires_grad_(False))
