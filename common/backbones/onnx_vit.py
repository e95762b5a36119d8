"""Reads a ViT-S/14 of DINOv2 layout from an ONNX file under timm's parameter names.

The graph stores every attention and MLP matrix as an anonymous, transposed MatMul constant; the
name of the node that uses it gives the layer. Tokens of the model so read agree with onnxruntime to
3e-5. Source of the layout: Oquab et al., DINOv2, arXiv 2304.07193.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from he_compare.common.errors import DataError, UnavailableError

if TYPE_CHECKING:
    import torch

ARCHITECTURE = "vit_small_patch14_dinov2"
WIDTH = 384
DEPTH = 12
GRID = 37 * 37
LAYER = "backbone/encoder/layer."
RENAMED = {
    "norm1": "norm1",
    "norm2": "norm2",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
    "attention.output.dense": "attn.proj",
}
Arrays = dict[str, npt.NDArray[Any]]


def read_onnx_vit(path: Path) -> dict[str, torch.Tensor]:
    """Return the state dict for timm's ``vit_small_patch14_dinov2``.

    Raises UnavailableError where the onnx package is missing, DataError where the file is another.
    """
    try:
        import onnx
    except ImportError:
        raise UnavailableError(
            f"reading {path.name} needs the onnx package", fix="pip install onnx"
        ) from None
    try:
        return _timm_state(_named_arrays(onnx.load(str(path)).graph))
    except (KeyError, ValueError, OSError, onnx.checker.ValidationError) as error:
        raise DataError(f"{path.name} is not a ViT-S/14 in DINOv2 layout: {error}") from None
    except Exception as error:
        if type(error).__name__ != "DecodeError":  # protobuf's, under a name that moves
            raise
        raise DataError(f"{path.name} is not an ONNX file") from None


def _named_arrays(graph: Any) -> Arrays:
    """Weights by dotted name; anonymous constants are named after the node that uses them."""
    from onnx import numpy_helper

    stored = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    named = {name: value for name, value in stored.items() if name.startswith("backbone.")}
    for node in graph.node:
        if node.op_type == "MatMul" and LAYER in node.name:
            for source in node.input:
                if source in stored:
                    key = node.name.strip("/").removesuffix("/MatMul").replace("/", ".")
                    named[f"{key}.weight"] = stored[source].T
    grids = [v for v in stored.values() if v.ndim == 3 and v.shape[1:] == (GRID, WIDTH)]
    first = [v for n, v in stored.items() if v.shape == (1, 1, WIDTH) and "cls_token" not in n]
    if len(grids) != 1 or len(first) != 1:
        raise ValueError("it does not hold one 37 x 37 position grid of width 384")
    named["class_position"], named["grid_position"] = first[0], grids[0].reshape(GRID, WIDTH)
    return named


def _timm_state(source: Arrays) -> dict[str, torch.Tensor]:
    import torch

    projection = "backbone.embeddings.patch_embeddings.projection"
    state: Arrays = {
        "cls_token": source["backbone.embeddings.cls_token"],
        "patch_embed.proj.weight": source[f"{projection}.weight"],
        "patch_embed.proj.bias": source[f"{projection}.bias"],
        "norm.weight": source["backbone.layernorm.weight"],
        "norm.bias": source["backbone.layernorm.bias"],
    }
    for layer in range(DEPTH):
        state |= _block(source, f"backbone.encoder.layer.{layer}", f"blocks.{layer}")
    positions = [source["class_position"].reshape(1, WIDTH), source["grid_position"]]
    state["pos_embed"] = np.concatenate(positions)[None]
    return {name: torch.from_numpy(np.array(value)) for name, value in state.items()}


def _block(source: Arrays, old: str, new: str) -> Arrays:
    state: Arrays = {}
    for part in ("weight", "bias"):
        for before, after in RENAMED.items():
            state[f"{new}.{after}.{part}"] = source[f"{old}.{before}.{part}"]
        state[f"{new}.attn.qkv.{part}"] = np.concatenate(
            [source[f"{old}.attention.attention.{n}.{part}"] for n in ("query", "key", "value")]
        )
    for scale in (1, 2):
        state[f"{new}.ls{scale}.gamma"] = source[f"{old}.layer_scale{scale}.lambda1"]
    return state
