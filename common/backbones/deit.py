"""DeiT from timm: build, load weights at any image and patch size, features, logits.

Inputs are uint8 (n, height, width, 3); normalisation happens here. Source: timm; DeiT, arXiv
2012.12877.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt
import torch

from he_compare.common.backbones.catalog import PIXEL_MEAN, PIXEL_STD, find_backbone
from he_compare.common.backbones.device import (
    batch_limit,
    device_of,
    limit_batches,
    with_smaller_batches,
)
from he_compare.common.backbones.weights import WeightsSource, locate_weights, read_state
from he_compare.common.environment import keep_free_memory
from he_compare.common.errors import DataError, MessageError
from he_compare.common.run.records import BackboneSummary
from he_compare.common.types import Float32Array, Float64Array, PixelArray, PixelSource

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

HEAD_PREFIXES = ("head.", "head_dist.", "fc_norm.")


def build_vit(
    name: str,
    *,
    image_size: int,
    classes: int,
    weights: str,
    seed: int,
    patch: int | None = None,
) -> VisionTransformer:
    """Build a DeiT for images of ``image_size`` pixels and ``classes`` outputs (0: features only).

    Random parts (everything for ``untrained``, the head otherwise) follow ``seed``. Position
    embeddings and, for another ``patch``, the patch embedding are resampled. Raises DataError where
    the patch does not divide the image or the weights do not fit.
    """
    import timm

    keep_free_memory()
    info = find_backbone(name)
    side = patch or info.patch
    if image_size % side:
        raise DataError(
            f"patch {side} does not divide the image size {image_size}",
            fix=f"pass --image-size {max(1, round(image_size / side)) * side}, or a patch that "
            f"divides {image_size} to a pipeline with that parameter",
        )
    source = locate_weights(name, weights)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = timm.create_model(
            name, pretrained=False, img_size=image_size, patch_size=side, num_classes=classes
        )
    if source.path is not None:
        _load_resampled(model, source)
    model.eval()
    return cast("VisionTransformer", model)


def _resample(
    state: dict[str, torch.Tensor], own: dict[str, torch.Tensor], model: torch.nn.Module
) -> None:
    """Bring position and patch embedding of a state to the model's image and patch size."""
    from timm.layers import resample_abs_pos_embed, resample_patch_embed

    if "pos_embed" in state and state["pos_embed"].shape != own["pos_embed"].shape:
        state["pos_embed"] = resample_abs_pos_embed(
            state["pos_embed"],
            new_size=list(model.patch_embed.grid_size),
            num_prefix_tokens=model.num_prefix_tokens,
        )
    kernel = "patch_embed.proj.weight"
    if kernel in state and state[kernel].shape != own[kernel].shape:
        state[kernel] = resample_patch_embed(state[kernel], list(own[kernel].shape[-2:]))


def _load_resampled(model: torch.nn.Module, source: WeightsSource) -> None:
    assert source.path is not None
    state = read_state(source.path)
    own = model.state_dict()
    state = {
        name: value
        for name, value in state.items()
        if not name.startswith(HEAD_PREFIXES) or _same_shape(own.get(name), value)
    }
    try:
        _resample(state, own, model)
        report = model.load_state_dict(state, strict=False)
    except (RuntimeError, IndexError, AssertionError) as error:
        problem = " ".join(str(error).split())[:200]
        raise DataError(
            f"weights {source.path.name} do not fit the model: {problem}",
            fix="pass weights of the model named by --backbone",
        ) from None
    missing = [key for key in report.missing_keys if not key.startswith(HEAD_PREFIXES)]
    if missing or report.unexpected_keys:
        odd = (missing + list(report.unexpected_keys))[0]
        raise DataError(
            f"weights {source.path.name} do not fit the model: {len(missing)} parameters missing, "
            f"{len(report.unexpected_keys)} unexpected, for instance {odd!r}",
            fix="pass weights of the model named by --backbone",
        )


def _same_shape(own: torch.Tensor | None, value: torch.Tensor) -> bool:
    return own is not None and own.shape == value.shape


def pixel_statistics(name: str) -> tuple[Float32Array, Float32Array]:
    """Return mean and standard deviation per channel, float32 (3,), in units of 0..1."""
    find_backbone(name)
    return np.asarray(PIXEL_MEAN, np.float32), np.asarray(PIXEL_STD, np.float32)


def to_input(
    images: PixelArray,
    mean: Float32Array,
    std: Float32Array,
    device: torch.device | str = "cpu",
) -> torch.Tensor:
    """Turn uint8 (n, h, w, 3) into the network's float32 (n, 3, h, w), on a device."""
    there = torch.from_numpy(np.ascontiguousarray(images)).to(device)
    scaled = there.permute(0, 3, 1, 2).float() / 255.0
    shift = torch.from_numpy(np.asarray(mean, np.float32)).to(device).view(1, 3, 1, 1)
    scale = torch.from_numpy(np.asarray(std, np.float32)).to(device).view(1, 3, 1, 1)
    return (scaled - shift) / scale


def predict_logits(
    model: torch.nn.Module,
    images: PixelSource,
    mean: Float32Array,
    std: Float32Array,
    batch: int = 64,
) -> Float64Array:
    """Run the model on uint8 (n, h, w, 3): float64 (n, outputs); features where it has no head.

    It runs on the device that the model is on, ``batch`` images at a time, or fewer where its
    memory is full (see ``device.batch_limit``). Raises CellError where it does not hold one image.
    """
    model.eval()
    device = device_of(model)
    parts: list[npt.NDArray[np.float64]] = []
    at_once = min(batch, batch_limit(model) or batch)
    done = 0

    def some(count: int) -> npt.NDArray[np.float64]:
        output = model(to_input(images[done : done + count], mean, std, device))
        values: npt.NDArray[np.float64] = output.cpu().numpy().astype(np.float64)
        return values

    with torch.inference_mode():
        while done < len(images):
            part, held = with_smaller_batches(some, at_once)
            if held < at_once:
                limit_batches(model, held)
                at_once = held
            parts.append(part)
            done += len(part)
    return np.concatenate(parts)


def softmax(logits: Float64Array) -> Float64Array:
    """Return probabilities, float64 (n, k), rows summing to one."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return cast(Float64Array, shifted / shifted.sum(axis=1, keepdims=True))


def predict_probabilities(
    model: torch.nn.Module,
    images: PixelSource,
    mean: Float32Array,
    std: Float32Array,
    batch: int = 64,
) -> Float64Array:
    """Return class probabilities of uint8 (n, h, w, 3): float64 (n, k)."""
    return softmax(predict_logits(model, images, mean, std, batch))


def state_bytes(model: torch.nn.Module) -> bytes:
    """Serialise all parameters and buffers as safetensors."""
    from safetensors.torch import save

    return save({name: value.contiguous().cpu() for name, value in model.state_dict().items()})


def load_state_bytes(model: torch.nn.Module, data: bytes) -> None:
    """Load what ``state_bytes`` wrote. Raises MessageError where it does not fit."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        model.load_state_dict(load(data), strict=True)
    except (SafetensorError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise MessageError(
            f"model state does not fit: {' '.join(str(error).split())[:200]}"
        ) from None


def state_digest(model: torch.nn.Module) -> str:
    """Return the SHA-256 over names and values of all parameters and buffers."""
    hasher = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        hasher.update(name.encode())
        hasher.update(value.contiguous().cpu().numpy().tobytes())
    return hasher.hexdigest()


def summarise_backbone(name: str, *, image_size: int, weights: str, seed: int) -> BackboneSummary:
    """Describe the feature extractor and its weights for the record. Raises DataError.

    Where its own patch does not divide the image, it is described at the nearest size that it
    does: a pipeline may bring a patch that fits (25 pixels on images of 200), and one that does
    not says so itself.
    """
    source = locate_weights(name, weights)
    patch = find_backbone(name).patch
    nearest = max(1, round(image_size / patch)) * patch
    model = build_vit(name, image_size=nearest, classes=0, weights=weights, seed=seed)
    return BackboneSummary(
        name=name,
        weights=source.origin,
        weights_sha256=state_digest(model),
        provenance=source.provenance,
        licence=source.licence,
        untrained=source.origin == "untrained",
        pretrained_on=list(source.pretrained_on),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        feature_width=find_backbone(name).width,
    )
