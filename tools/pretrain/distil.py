"""The training itself: a resumable run over cached views, one checkpoint per epoch.

A checkpoint is one safetensors file (student, moving average, readouts, Adam's moments, targets)
whose header carries the counters as JSON, replaced atomically: a run that is killed goes on from
the last finished epoch when the same command is given again.
"""

import json
import sys
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import timm
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from tools.pretrain.inherit import Regression, inherit
from tools.pretrain.targets import (
    WEIGHTS,
    Target,
    explained,
    fit_targets,
    loss_of,
    make_readouts,
    student_parts,
    teacher_parts,
)
from tools.pretrain.teacher import unfuse
from tools.pretrain.views import (
    TEACHER_PX,
    Images,
    ViewCache,
    draw_view,
    normalise,
    resize,
    tokens_of,
)
from tools.pretrain.whiten import folded_state, prepare, whiten

_TARGET_PARTS = ("mean", "basis", "spread")
ARCHITECTURE = "deit_tiny_distilled_patch16_224"


@dataclass(frozen=True)
class Plan:
    """The schedule: epochs at 112 px, of which the last `finish` see 224 px as well."""

    epochs: int = 40
    finish: int = 6
    batch: int = 32
    rate: float = 3e-3
    warmup: int = 100
    cooldown: float = 0.4
    average: float = 0.998
    reuse: int = 4
    seed: int = 0

    def rate_at(self, step: int, epoch: float) -> float:
        """Learning rate relative to a layer's weights: warm-up, flat, down to a fiftieth."""
        left = (self.epochs - epoch) / max(1e-9, self.cooldown * self.epochs)
        return self.rate * min(1.0, (step + 1) / self.warmup) * min(1.0, max(0.02, left))

    def sizes(self, epoch: int) -> tuple[int, ...]:
        """Image sizes this epoch alternates between."""
        return (112, 224) if epoch >= self.epochs - self.finish else (112,)

    def view_set(self, epoch: int, size: int) -> int:
        """Number of the view set of an epoch: new ones first, then one new in `reuse` epochs.

        At 224 px, where the teacher is dear, one set serves `reuse` epochs in a row.
        """
        if size == 224:
            return epoch // self.reuse
        if epoch < self.reuse:
            return epoch
        return epoch // self.reuse + self.reuse - 1 - epoch % self.reuse


@dataclass(frozen=True)
class Progress:
    """Counters that travel in the checkpoint."""

    epoch: int = 0
    step: int = 0
    images_112: int = 0
    images_224: int = 0
    seconds: float = 0.0


def say(text: str) -> None:
    """One line of progress on stderr."""
    print(text, file=sys.stderr, flush=True)


def new_student() -> nn.Module:
    """An untrained student without classifier; takes any sides that are multiples of 16."""
    return unfuse(timm.create_model(ARCHITECTURE, num_classes=0, dynamic_img_size=True))


class Run:
    """Everything that changes during training, and its checkpoint.

    `trained` and `average` hold a student and its readouts; their linear layers are whitened.
    """

    def __init__(self, targets: dict[str, Target], plan: Plan, trained: nn.ModuleDict):
        self.targets, self.plan, self.progress = targets, plan, Progress()
        self.trained = trained
        self.trained["student"].patch_embed.requires_grad_(False)
        self.average = deepcopy(trained).requires_grad_(False).eval()
        self.named = {n: p for n, p in trained.named_parameters() if p.requires_grad}
        self.scales = {name: _scale(name, self.named) for name in self.named}
        self.optimizer = torch.optim.AdamW(
            [{"params": [p], "name": n} for n, p in self.named.items()],
            betas=(0.9, 0.98),
            weight_decay=0.0,
        )

    def tensors(self) -> dict[str, Tensor]:
        """The whole state as named tensors."""
        out = {f"trained.{key}": value for key, value in self.trained.state_dict().items()}
        out |= {f"average.{key}": value for key, value in self.average.state_dict().items()}
        for name, target in self.targets.items():
            out |= {f"targets.{name}.{key}": getattr(target, key) for key in _TARGET_PARTS}
        for name, parameter in self.named.items():
            out[f"scale.{name}"] = torch.tensor(self.scales[name])
            for key, value in self.optimizer.state.get(parameter, {}).items():
                out[f"adam.{key}.{name}"] = value
        return {name: value.detach().clone().contiguous() for name, value in out.items()}

    def save(self, path: Path) -> None:
        """Write the checkpoint atomically."""
        partial = path.with_suffix(".partial")
        header = {"progress": json.dumps(self.progress.__dict__)}
        save_file(self.tensors(), partial, metadata=header)
        partial.replace(path)

    @classmethod
    def load(cls, path: Path, plan: Plan) -> "Run":
        """A run continued from its checkpoint."""
        with safe_open(path, "pt") as handle:
            stored = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
            progress = Progress(**json.loads(handle.metadata()["progress"]))
        targets = {
            name: Target(*(stored[f"targets.{name}.{key}"] for key in _TARGET_PARTS))
            for name in WEIGHTS
        }
        student = new_student()
        readouts = make_readouts(targets, student.embed_dim)
        trained = nn.ModuleDict({"student": student, "readouts": readouts})
        run = cls(targets, plan, prepare(trained))
        run.progress = progress
        for name, module in (("trained.", run.trained), ("average.", run.average)):
            own = {k.removeprefix(name): v for k, v in stored.items() if k.startswith(name)}
            module.load_state_dict(own)
        for name, parameter in run.named.items():
            run.scales[name] = float(stored[f"scale.{name}"])
            if f"adam.step.{name}" in stored:
                run.optimizer.state[parameter] = {
                    key: stored[f"adam.{key}.{name}"] for key in ("step", "exp_avg", "exp_avg_sq")
                }
        return run

    @torch.no_grad()
    def follow(self, decay: float) -> None:
        """Move the average towards the student."""
        average = dict(self.average.named_parameters())
        for name, value in self.named.items():
            average[name].lerp_(value, 1.0 - decay)

    def export_state(self) -> dict[str, Tensor]:
        """The average's student as plain timm parameters."""
        return folded_state(self.average["student"])


def _scale(name: str, named: dict[str, nn.Parameter]) -> float:
    """Size of a parameter's layer at the start (root mean square of its matrix); 0.03 for norms."""
    matrix = named.get(f"{name.rpartition('.')[0]}.core", named[name])
    return float(matrix.detach().square().mean().sqrt()) if matrix.ndim > 1 else 0.03


@torch.no_grad()
def _fit_readouts(
    readouts: nn.ModuleDict, targets: dict[str, Target], student: Tensor, teacher: Tensor
) -> None:
    """Start every readout at its least-squares solution."""
    seen, wanted = student_parts(student), teacher_parts(teacher)
    for name, target in targets.items():
        regression = Regression()
        regression.add(seen[name], target.encode(wanted[name]))
        weight, bias = regression.solve(ridge=1e-2)
        readouts[name].weight.copy_(weight)
        readouts[name].bias.copy_(bias)


def start(images: Images, teacher: nn.Module, plan: Plan, small: int, large: int) -> Run:
    """A run at epoch 0: the student inherits from the teacher, refitted on views of both sizes."""
    torch.manual_seed(plan.seed)
    order = np.random.default_rng(plan.seed).permutation(len(images.pixels))
    drawn = {
        size: [draw_view(images.pixels[i], size, [plan.seed, size, 9999, int(i)]) for i in chosen]
        for size, chosen in ((112, order[:small]), (224, order[:large]))
    }
    grey = {
        size: tuple(np.stack(part) for part in zip(*views, strict=True))
        for size, views in drawn.items()
    }
    wanted = tokens_of(teacher, grey[112][1])
    targets, student = fit_targets(wanted), new_student()
    readouts = make_readouts(targets, student.embed_dim)
    right = inherit(student, teacher, [(normalise(s), normalise(t)) for s, t in grey.values()])
    say("residual stream inherited, block by block: " + " ".join(f"{r:.3f}" for r in right))
    _fit_readouts(readouts, targets, tokens_of(student, grey[112][0]), wanted)
    trained = nn.ModuleDict({"student": student, "readouts": readouts})

    def forward() -> None:
        loss_of(readouts, targets, tokens_of(student, grey[112][0]), wanted)
        tokens_of(student, grey[224][0])

    whiten(trained, forward)
    return Run(targets, plan, trained)


def train_epoch(run: Run, cache: ViewCache) -> dict[str, float]:
    """One pass over a view set of each size of this epoch; returns mean losses by size."""
    plan, epoch, begun = run.plan, run.progress.epoch, time.monotonic()
    sizes = plan.sizes(epoch)
    sets = {size: cache.get(size, plan.view_set(epoch, size)) for size in sizes}
    streams = {s: v.batches(plan.batch, [plan.seed, epoch, s]) for s, v in sets.items()}
    steps = len(sets[112].pixels) // plan.batch
    losses: dict[int, list[float]] = {size: [] for size in sizes}
    run.trained.train()
    for number in range(steps):
        for size in sizes:
            grey, wanted = next(streams[size])
            rate = plan.rate_at(run.progress.step, epoch + number / steps)
            losses[size].append(_step(run, grey, wanted, rate))
            counted = {f"images_{size}": getattr(run.progress, f"images_{size}") + len(grey)}
            run.progress = replace(run.progress, step=run.progress.step + 1, **counted)
    spent = run.progress.seconds + time.monotonic() - begun
    run.progress = replace(run.progress, epoch=epoch + 1, seconds=round(spent, 1))
    return {f"loss_{size}": round(float(np.mean(values)), 4) for size, values in losses.items()}


def _step(run: Run, images: Tensor, wanted: Tensor, rate: float) -> float:
    for group in run.optimizer.param_groups:
        group["lr"] = rate * run.scales[group["name"]]
    with torch.autocast("cpu", torch.bfloat16):
        tokens = run.trained["student"].forward_features(images)
    loss = loss_of(run.trained["readouts"], run.targets, tokens.float(), wanted)
    run.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(list(run.named.values()), 10.0)
    run.optimizer.step()
    run.follow(min(run.plan.average, (1 + run.progress.step) / (10 + run.progress.step)))
    return float(loss)


class Referee:
    """Variance explained on whole held-out images, at both sizes; no labels involved."""

    def __init__(self, held: Images, teacher: nn.Module, large: int = 160):
        self.grey = {112: resize(held.pixels, 112), 224: resize(held.pixels[:large], 224)}
        self.wanted = {
            size: tokens_of(teacher, resize(held.pixels[: len(grey)], TEACHER_PX[size]))
            for size, grey in self.grey.items()
        }

    def judge(self, run: Run) -> dict[str, dict[str, float]]:
        """Figures of the moving average, by size and target."""
        student, readouts = run.average["student"], run.average["readouts"]
        return {
            f"explained_{size}": explained(
                readouts, run.targets, tokens_of(student, grey), self.wanted[size]
            )
            for size, grey in self.grey.items()
        }


def train(
    run: Run,
    cache: ViewCache,
    work: Path,
    judge: Callable[[Run], dict],
    minutes: float,
    judge_every: int,
) -> None:
    """Train until the plan or the minutes are used up; checkpoint and curve go to `work`."""
    begun = time.monotonic()
    if run.progress.epoch == 0:
        _note(work, {**run.progress.__dict__, **judge(run)})
    while run.progress.epoch < run.plan.epochs:
        if time.monotonic() - begun > 60 * minutes:
            say(f"the {minutes:g} minutes are over; the same command goes on from here")
            return
        losses = train_epoch(run, cache)
        run.save(work / "checkpoint.safetensors")
        line = {**run.progress.__dict__, **losses}
        if run.progress.epoch in (run.plan.epochs, 1) or run.progress.epoch % judge_every == 0:
            line |= judge(run)
        _note(work, line)


def _note(work: Path, line: dict) -> None:
    """Add a line to the learning curve and show it."""
    with (work / "curve.jsonl").open("a") as handle:
        handle.write(json.dumps(line) + "\n")
    say(json.dumps(line))
