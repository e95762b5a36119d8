"""What the sub-commands do, apart from parsing the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from he_compare.common.errors import EXIT_CELLS_FAILED, EXIT_OK, UsageError
from he_compare.common.run.records import AttackOutcome
from he_compare.common.run.store import RunFolder
from he_compare.common.run.view import read_run
from he_compare.common.types import Status
from he_compare.comparisons.judging import scoring, show
from he_compare.comparisons.measuring.config import RunConfig, load_config
from he_compare.comparisons.measuring.dataset_spec import default_folder_name
from he_compare.comparisons.progress import ProgressReporter


def default_cache_dir() -> Path:
    """Return the user's cache folder."""
    from platformdirs import user_cache_path

    return user_cache_path("he-compare")


def default_key_file() -> Path:
    """Return the file of the client's key in the user's configuration folder."""
    from platformdirs import user_config_path

    return user_config_path("he-compare") / "client.key"


def run_command(
    *,
    dataset: str,
    data_dir: Path | None,
    profile: str,
    overrides: dict[str, Any],
    out: Path | None,
    key: Path | None,
    offline: bool,
    require_real: bool,
    render: Callable[[Path], list[Path]],
    explain: bool,
    quiet: bool,
) -> int:
    """Plan, run, score and render. Return the exit code."""
    config = load_config(profile, overrides)
    folder = RunFolder(out or Path("runs") / f"{default_folder_name(dataset, data_dir)}-{profile}")
    with ProgressReporter(quiet=quiet) as progress:
        progress.line(f"planning {dataset}, profile {profile}")
        from he_compare.comparisons.measuring.data import data_policy
        from he_compare.comparisons.measuring.plan import make_plan

        config = _settled(config, offline, progress)
        with data_policy(offline, require_real, progress):
            plan = make_plan(config, dataset, data_dir, key or default_key_file())
        if explain:
            print(explain_plan(plan, folder))
            return EXIT_OK
        _announce(plan, progress)
        if folder.exists():
            _require_same_plan(folder, plan)
        elif folder.path.exists():
            folder.create(plan.manifest())
        folder.lock()
        try:
            if not folder.exists():
                folder.create(plan.manifest())
            if folder.recover():
                progress.line("a record torn by a crash was set aside; its cell runs again")
            outcome = _execute(plan, folder, progress)
            scoring.score_run(folder)
            attacks = _audit(plan, folder, progress)
            folder.write_sums()
        finally:
            folder.unlock()
        progress.line("writing the report")
        paths = render(folder.path)
    print(show.table(read_run(folder)))
    print()
    if attacks:
        print(_matrix(attacks))
        print()
    print(f"run:    {folder.path}")
    for path in paths:
        print(f"report: {path}")
    unfinished = [r for r in folder.records() if r.status not in (Status.OK, Status.UNAVAILABLE)]
    failed = unfinished or outcome.failed or _controls_failed(attacks)
    return EXIT_CELLS_FAILED if failed else EXIT_OK


def _settled(config: RunConfig, offline: bool, progress: ProgressReporter) -> RunConfig:
    """Settle which weights are used, so that every cell of the run has the same."""
    from he_compare.common.backbones.weights import settle_weights

    weights, why = settle_weights(config.backbone, config.weights, offline=offline)
    if why:
        progress.say(f"note: {why}")
    return config.model_copy(update={"weights": weights})


def _execute(plan: Any, folder: RunFolder, progress: ProgressReporter) -> Any:
    from he_compare.comparisons.measuring.runner import Runner

    return Runner(
        plan,
        folder,
        cache_dir=default_cache_dir(),
        progress=progress,
    ).execute()


def _audit(plan: Any, folder: RunFolder, progress: ProgressReporter) -> list[AttackOutcome]:
    """Attack the run's own pipelines, unless the configuration says not to."""
    if plan.config.audit == "none":
        return []
    from he_compare.comparisons.auditing.audit import audit_run

    return audit_run(plan, folder, progress)


def _matrix(outcomes: list[AttackOutcome]) -> str:
    from he_compare.comparisons.auditing import matrix

    return matrix.render(outcomes)


def _controls_failed(outcomes: list[AttackOutcome]) -> bool:
    from he_compare.common.run.capability_matrix import controls_failed

    return bool(controls_failed(outcomes))


def _announce(plan: Any, progress: ProgressReporter) -> None:
    counts = ", ".join(f"{split.n} {name}" for name, split in plan.summary.splits.items())
    progress.line(
        f"{plan.summary.card.title}: {counts}; fingerprint {plan.summary.fingerprint[:12]}"
    )
    if plan.backbone.untrained:
        progress.line("note: the backbone is untrained (random weights); every page will say so")
    if plan.summary.card.synthetic:
        progress.line("note: synthetic cohort: says nothing about patients")


def _require_same_plan(folder: RunFolder, plan: Any) -> None:
    manifest = folder.manifest()
    if manifest.plan != plan.plan_key():
        raise UsageError(
            f"{folder.path} holds another plan ({_what_differs(manifest, plan.manifest())})",
            fix="name another folder with --out, or repeat the command it was made with: "
            + manifest.command,
        )


def _what_differs(old: Any, new: Any) -> str:
    if old.dataset.fingerprint != new.dataset.fingerprint:
        return f"its data were {old.dataset.card.name} {old.dataset.fingerprint[:12]}"
    if [p.label for p in old.pipelines] != [p.label for p in new.pipelines]:
        return "its pipelines were " + ", ".join(p.label for p in old.pipelines)
    for name, value in old.settings.items():
        if name not in ("call_seconds", "audit") and new.settings.get(name) != value:
            return f"its {name} was {value}, now {new.settings.get(name)}"
    if old.backbone.weights_sha256 != new.backbone.weights_sha256:
        return f"its weights were {old.backbone.weights_sha256[:12]}"
    return "its settings were others"


def explain_plan(plan: Any, folder: RunFolder) -> str:
    """Say for each cell whether it would run or be kept, and why."""
    from he_compare.comparisons.measuring.runner import describe_cell

    known = {r.identity: r for r in folder.records()} if folder.exists() else {}
    labels = {(r.cell.label, r.cell.phase, r.cell.round) for r in known.values()}
    lines = []
    for cell in plan.cells():
        record = known.get(cell.identity)
        if record is not None and record.status is Status.OK:
            verdict = f"kept: finished {record.started_at}"
        elif record is not None:
            verdict = f"run again: it ended {record.status.value}"
        elif (cell.planned.label, cell.phase, cell.round) in labels:
            verdict = "run again: source, packages, weights or settings changed since"
        else:
            verdict = "run: no record of it"
        lines.append(f"{cell.identity}  {describe_cell(cell)}: {verdict}")
    return "\n".join(lines)
