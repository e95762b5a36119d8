"""The teacher: a ViT-S/14 of DINOv2 layout read from an ONNX file into timm.

The ONNX graph stores every attention and MLP matrix as an anonymous, transposed MatMul constant;
the name of the node that uses it tells the layer. Tokens agree with onnxruntime to 3e-5.
"""

import hashlib
from pathlib import Path

import numpy as np
import onnx
import timm
import torch
from onnx import numpy_helper
from torch import Tensor, nn

ARCHITECTURE = "vit_small_patch14_dinov2"
PATCH = 14
WIDTH = 384
_LAYER = "backbone/encoder/layer."
_RENAMED = {
    "norm1": "norm1", "norm2": "norm2", "mlp.fc1": "mlp.fc1", "mlp.fc2": "mlp.fc2",
    "attention.output.dense": "attn.proj",
}  # fmt: skip


def sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def unfuse(model: nn.Module) -> nn.Module:
    """Use plain matmul attention: in bfloat16 on a CPU it trains 1.6 times as fast."""
    for block in model.blocks:
        block.attn.fused_attn = False
    return model


def _arrays(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    """Weights by dotted name; the anonymous constants are named after the node that uses them."""
    stored = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    named = {name: value for name, value in stored.items() if name.startswith("backbone.")}
    for node in graph.node:
        if node.op_type == "MatMul" and _LAYER in node.name:
            for source in node.input:
                if source in stored:
                    key = node.name.strip("/").removesuffix("/MatMul").replace("/", ".")
                    named[f"{key}.weight"] = stored[source].T
    positions = [v for v in stored.values() if v.ndim == 3 and v.shape[1:] == (37 * 37, WIDTH)]
    first = [v for n, v in stored.items() if v.shape == (1, 1, WIDTH) and "cls_token" not in n]
    if len(positions) != 1 or len(first) != 1:
        raise ValueError("the ONNX file does not hold one 37 x 37 position grid of width 384")
    named["class_position"], named["grid_position"] = first[0], positions[0].reshape(37 * 37, WIDTH)
    return named


def _timm_state(source: dict[str, np.ndarray], depth: int) -> dict[str, Tensor]:
    """The ONNX arrays under timm's parameter names."""
    state: dict[str, np.ndarray] = {
        "cls_token": source["backbone.embeddings.cls_token"],
        "patch_embed.proj.weight": source["backbone.embeddings.patch_embeddings.projection.weight"],
        "patch_embed.proj.bias": source["backbone.embeddings.patch_embeddings.projection.bias"],
        "norm.weight": source["backbone.layernorm.weight"],
        "norm.bias": source["backbone.layernorm.bias"],
    }
    for layer in range(depth):
        old, new = f"backbone.encoder.layer.{layer}", f"blocks.{layer}"
        for part in ("weight", "bias"):
            for before, after in _RENAMED.items():
                state[f"{new}.{after}.{part}"] = source[f"{old}.{before}.{part}"]
            state[f"{new}.attn.qkv.{part}"] = np.concatenate(
                [source[f"{old}.attention.attention.{n}.{part}"] for n in ("query", "key", "value")]
            )
        for scale in (1, 2):
            state[f"{new}.ls{scale}.gamma"] = source[f"{old}.layer_scale{scale}.lambda1"]
    tensors = {name: torch.from_numpy(np.array(value)) for name, value in state.items()}
    positions = [source["class_position"].reshape(1, WIDTH), source["grid_position"]]
    tensors["pos_embed"] = torch.from_numpy(np.concatenate(positions)[None])
    return tensors


def load_teacher(path: Path) -> nn.Module:
    """The teacher in evaluation mode; takes any image whose sides are multiples of 14.

    Raises ValueError if the file is not the expected ViT-S/14.
    """
    model = timm.create_model(ARCHITECTURE, num_classes=0, dynamic_img_size=True)
    state = _timm_state(_arrays(onnx.load(str(path)).graph), len(model.blocks))
    model.load_state_dict(state, strict=True)
    return unfuse(model.eval().requires_grad_(False))
