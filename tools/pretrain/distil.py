"""The training itself: a resumable run over cached views, one checkpoint an epoch.

A checkpoint is one safetensors file (student, moving average, readouts, Adam's moments, targets)
whose header carries the counters as JSON, replaced atomically: a run that is killed goes on from
the last finished epoch when the same command is given again.
"""

import json
import sys
import time
from collections.abc import Callable
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

ARCHITECTURE = "deit_tiny_distilled_patch16_224"


@dataclass(frozen=True)
class Plan:
    """The schedule: epochs at 112 px, of which the last `finish` see 224 px as well."""

    epochs: int = 40
    finish: int = 6
    batch: int = 32
    rate: float = 4e-4
    decay: float = 0.05
    warmup: int = 300
    cooldown: float = 0.3
    average: float = 0.998
    reuse: int = 4
    seed: int = 0

    def rate_at(self, step: int, epoch: float) -> float:
        """Learning rate: linear warm-up, flat, linear to a fiftieth over the last epochs."""
        left = (self.epochs - epoch) / max(1e-9, self.cooldown * self.epochs)
        return self.rate * min(1.0, (step + 1) / self.warmup) * min(1.0, max(0.02, left))

    def sizes(self, epoch: int) -> tuple[int, ...]:
        """Image sizes this epoch alternates between."""
        return (112, 224) if epoch >= self.epochs - self.finish else (112,)

    def view_set(self, epoch: int) -> int:
        """Number of the view set of an epoch: new ones first, then one new in `reuse` epochs."""
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
    """Everything that changes during training, and its checkpoint."""

    def __init__(self, targets: dict[str, Target], plan: Plan):
        self.student, self.average = new_student(), new_student().requires_grad_(False)
        self.targets, self.plan, self.progress = targets, plan, Progress()
        self.readouts = make_readouts(targets, self.student.embed_dim)
        self.average_readouts = make_readouts(targets, self.student.embed_dim)
        self.average_readouts.requires_grad_(False)
        named = [*self.student.named_parameters(), *self.readouts.named_parameters()]
        self.named = dict(named)
        matrices = [p for n, p in named if p.ndim > 1 and "token" not in n and "pos" not in n]
        kept = {id(p) for p in matrices}
        others = [p for _, p in named if id(p) not in kept]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": plan.decay},
                {"params": others, "weight_decay": 0},
            ],
            lr=plan.rate,
            betas=(0.9, 0.98),
        )

    def _modules(self) -> dict[str, nn.Module]:
        return {
            "student": self.student,
            "average": self.average,
            "readouts": self.readouts,
            "average_readouts": self.average_readouts,
        }

    def tensors(self) -> dict[str, Tensor]:
        """The whole state as named tensors."""
        out = {
            f"{name}.{key}": value
            for name, module in self._modules().items()
            for key, value in module.state_dict().items()
        }
        for name, target in self.targets.items():
            for key in ("mean", "basis", "spread"):
                out[f"targets.{name}.{key}"] = getattr(target, key)
        for name, parameter in self.named.items():
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
        names = {name.split(".")[1] for name in stored if name.startswith("targets.")}
        order = [name for name in ("patch", "class", "mean", "head") if name in names]
        parts = ("mean", "basis", "spread")
        run = cls({n: Target(*(stored[f"targets.{n}.{k}"] for k in parts)) for n in order}, plan)
        run.progress = progress
        for name, module in run._modules().items():
            prefix = f"{name}."
            module.load_state_dict(
                {k.removeprefix(prefix): v for k, v in stored.items() if k.startswith(prefix)}
            )
        for name, parameter in run.named.items():
            if f"adam.step.{name}" in stored:
                run.optimizer.state[parameter] = {
                    key: stored[f"adam.{key}.{name}"] for key in ("step", "exp_avg", "exp_avg_sq")
                }
        return run

    @torch.no_grad()
    def follow(self, decay: float) -> None:
        """Move the average towards the student."""
        pairs = ((self.average, self.student), (self.average_readouts, self.readouts))
        for average, module in pairs:
            torch._foreach_lerp_(
                list(average.parameters()), list(module.parameters()), 1.0 - decay
            )


@torch.no_grad()
def _fit_readouts(run: Run, student: Tensor, teacher: Tensor) -> None:
    """Start every readout at its least-squares solution."""
    seen, wanted = student_parts(student), teacher_parts(teacher)
    for name, target in run.targets.items():
        regression = Regression()
        regression.add(seen[name], target.encode(wanted[name]))
        weight, bias = regression.solve(ridge=1e-2)
        run.readouts[name].weight.copy_(weight)
        run.readouts[name].bias.copy_(bias)


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
    teacher_tokens = tokens_of(teacher, grey[112][1])
    run = Run(fit_targets(teacher_tokens), plan)
    pairs = [(normalise(s), normalise(t)) for s, t in grey.values()]
    right = inherit(run.student, teacher, pairs)
    say("residual stream inherited, block by block: " + " ".join(f"{r:.3f}" for r in right))
    _fit_readouts(run, tokens_of(run.student, grey[112][0]), teacher_tokens)
    run.follow(0.0)
    return run


def train_epoch(run: Run, cache: ViewCache) -> dict[str, float]:
    """One pass over a view set of each size of this epoch; returns mean losses by size."""
    plan, epoch, begun = run.plan, run.progress.epoch, time.monotonic()
    sizes = plan.sizes(epoch)
    sets = {size: cache.get(size, plan.view_set(epoch)) for size in sizes}
    streams = {s: v.batches(plan.batch, [plan.seed, epoch, s]) for s, v in sets.items()}
    steps = len(sets[112].pixels) // plan.batch
    losses: dict[int, list[float]] = {size: [] for size in sizes}
    run.student.train()
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
        group["lr"] = rate
    with torch.autocast("cpu", torch.bfloat16):
        tokens = run.student.forward_features(images)
    loss = loss_of(run.readouts, run.targets, tokens.float(), wanted)
    run.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(list(run.named.values()), 1.0)
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
        run.average.eval()
        return {
            f"explained_{size}": explained(
                run.average_readouts, run.targets, tokens_of(run.average, grey), self.wanted[size]
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
