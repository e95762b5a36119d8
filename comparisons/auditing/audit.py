"""What `compare audit` does, and the audit that `compare run` ends with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from he_compare.common import plugins
from he_compare.common.audit_budget import BUDGETS, AttackBudget
from he_compare.common.backbones.device import AUTOMATIC, CPU, resolve_device
from he_compare.common.contracts import Pipeline
from he_compare.common.environment import tool_version
from he_compare.common.errors import (
    EXIT_CELLS_FAILED,
    EXIT_OK,
    CellError,
    IntegrityError,
    UnknownNameError,
    UsageError,
)
from he_compare.common.files import write_atomic
from he_compare.common.numeric_threads import use_threads
from he_compare.common.plugins import BrokenPluginError, nearest
from he_compare.common.references.opening import (
    UnderTest,
    open_references,
    reference_to_match,
    require_known,
    shown_spec,
)
from he_compare.common.run.capability_matrix import controls_failed
from he_compare.common.run.device_words import device_shown
from he_compare.common.run.records import AttackOutcome
from he_compare.common.run.store import ATTACKS, AUDIT, RunFolder
from he_compare.common.scheme import CONTROLS
from he_compare.common.temporary_folders import swept_folder
from he_compare.common.types import IntArray, NotRun
from he_compare.comparisons.auditing import matrix, suite
from he_compare.comparisons.auditing.adversary_view import positions_read
from he_compare.comparisons.auditing.audit_cells import Setup
from he_compare.comparisons.auditing.deployments import (
    DeployedAlone,
    RunDeployments,
    deployed_cells,
    ground_of_audit,
)
from he_compare.comparisons.auditing.foreign_errors import why_failed
from he_compare.comparisons.auditing.harness import Harness
from he_compare.comparisons.auditing.lanes import LaneSource
from he_compare.comparisons.auditing.pool import DatasetPool, PlainPool, RunPool
from he_compare.comparisons.auditing.targets import (
    Target,
    cipher_target,
    faulty_cipher_target,
)
from he_compare.comparisons.measuring.dataset_opening import open_dataset
from he_compare.comparisons.measuring.dataset_spec import default_folder_name, shown_dataset
from he_compare.comparisons.measuring.measurer import CellMeasurer
from he_compare.comparisons.measuring.opening_options import DataOptions, option_words
from he_compare.comparisons.measuring.pipeline_spec import (
    PipelineSpec,
    parse_spec,
    resolve_parameters,
)
from he_compare.comparisons.measuring.plan import RunPlan
from he_compare.comparisons.progress import ProgressReporter
from he_compare.comparisons.terminal import terminal_columns

MOST_ATTACKED = 624
# What the audit at the end of a run may take.
QUICK_SECONDS = 300.0
BACKBONE, WEIGHTS = "deit_tiny_distilled_patch16_224", "shipped"


@dataclass(frozen=True)
class AuditRequest:
    """An audit as requested on the command line."""

    dataset: str
    data_dir: Path | None
    ciphers: tuple[str, ...]
    pipelines: tuple[str, ...]
    attacks: tuple[str, ...]
    budget: str
    seed: int
    image_size: int
    subset: str
    test_limit: int | None
    out: Path | None
    offline: bool
    require_real: bool
    quiet: bool
    key_seed: int | None = None
    public: tuple[str, ...] = ()
    options: DataOptions = field(default_factory=DataOptions)
    device: str = AUTOMATIC


def audit_command(request: AuditRequest) -> int:
    """Attack, print the matrix, return the exit code: 3 where a control or an attack failed."""
    device = resolve_device(request.device)
    budget = replace(find_budget(request.budget), device=device.name)
    attacks = attack_names(request.attacks)
    require_known(request.public)
    with ProgressReporter(quiet=request.quiet) as progress:
        ciphers, pipelines = _cipher_targets(request), _pipelines(request)
        pool = _pool(request, budget, progress)
        references = open_references(request.public, _under_test(request, pool))
        card = pool.dataset.card
        folder = RunFolder(request.out or _default_folder(request))
        if device.name != CPU:
            progress.line(f"learned attacks and training run on {device_shown(device.facts())}")
        # Nothing is deployed until an attack asks for it.
        with folder.claimed("holds no audit"):
            _begin(folder, request, pool)
            for line in folder.recover():
                progress.say(f"note: {line}: set aside, its attack runs again")
            folder.remove_orphans()
            setup = Setup(
                pool=pool,
                budget=budget,
                seed=request.seed,
                command=_command(request),
                run={"backbone": BACKBONE, "weights": WEIGHTS},
                key_seed=request.key_seed,
                references=references,
            )
            with swept_folder("audit") as private:
                alone = DeployedAlone(
                    request.image_size,
                    lambda: ground_of_audit(
                        *(pool, request.image_size, request.seed, BACKBONE, WEIGHTS),
                        *(folder.path / "artefacts", private, progress),
                        reference_to_match(references if request.public else (), card),
                        device.name,
                    ),
                )
                targets = [*ciphers, *(alone.target(*one) for one in pipelines)]
                outcomes = Harness(setup, folder, progress).run(targets, attacks)
            folder.write_sums()
    print(matrix.render(outcomes, terminal_columns()))
    print()
    print(f"audit: {folder.path}")
    return exit_code(outcomes, attacks if request.attacks else ())


def messages_to_keep(plan: RunPlan) -> IntArray | None:
    """Return the test images whose messages the audit of a run reads; None without an audit."""
    if plan.config.audit == "none":
        return None
    budget, seed = find_budget(plan.config.audit), plan.config.seed
    return positions_read(plan.test.labels, budget, seed, suite.images_wanted())


def audit_run(
    plan: RunPlan,
    folder: RunFolder,
    measurer: CellMeasurer,
    progress: ProgressReporter,
    lanes: LaneSource | None = None,
) -> list[AttackOutcome]:
    """Attack every pipeline of a run as it was deployed, into the run's folder.

    ``lanes``: the workers of the run, where it has some. The quick audit ends after five minutes;
    what was left is recorded as not run.
    """
    setup = setup_of_run(plan)
    beside = f" on {lanes.count} workers" if lanes is not None else ""
    progress.line(f"audit with the {setup.budget.name} budget{beside}")
    records = deployed_cells(plan, folder)
    deployments = RunDeployments(plan, records, folder.path, measurer)
    use_threads(plan.settings.threads)  # latency may have been measured last, with others
    targets = [deployments.target(planned) for planned in plan.pipelines]
    return Harness(setup, folder, progress, lanes).run(targets, attack_names(()))


def setup_of_run(plan: RunPlan) -> Setup:
    """Return what all attacks on a run share: the same in every process that has its plan."""
    budget = replace(find_budget(plan.config.audit), device=plan.settings.device)
    config = plan.config
    command = ["compare audit run", f"--dataset {plan.dataset_spec}"]
    if config.subset:
        command.append(f"--subset {config.subset}")
    command += option_words(config.data_options())
    if config.test_limit is not None:
        command.append(f"--test-limit {config.test_limit}")
    command.append(f"--image-size {config.image_size} --budget {budget.name} --seed {config.seed}")
    return Setup(
        pool=RunPool(plan.summary.fingerprint, plan.data.classes, plan.test, plan.data.train),
        budget=budget,
        seed=config.seed,
        command=" ".join(command),
        run={"backbone": config.backbone, "weights": plan.backbone.weights_sha256},
        pictures=config.pictures > 0,
        seconds=QUICK_SECONDS if budget.name == "quick" else None,
        references=plan.public,
    )


def exit_code(outcomes: Sequence[AttackOutcome], asked: Sequence[str] = ()) -> int:
    """Return 3 where a control misbehaves or an attack did not run, else 0.

    That the budget is too small for an attack, or that it cannot read the messages, is no failure,
    unless it was asked for by name. That it does not apply, or won what nobody promised, is none.
    """
    open_ends = any(
        outcome.not_run not in (None, NotRun.BUDGET)
        or (outcome.attack in asked and outcome.verdict in ("not run", "unreadable"))
        for outcome in outcomes
    )
    return EXIT_CELLS_FAILED if open_ends or controls_failed(outcomes) else EXIT_OK


def find_budget(name: str) -> AttackBudget:
    """Return a budget by name. Raises UnknownNameError."""
    if name not in BUDGETS:
        raise UnknownNameError(f"unknown budget {name!r}", fix=nearest(name, list(BUDGETS)))
    return BUDGETS[name]


def attack_names(asked: Sequence[str]) -> list[str]:
    """Return the attacks and checks asked for, or all there are.

    Raises UnknownNameError, BrokenPluginError where one that is asked for cannot be used.
    """
    found = [suite.find(name) for name in asked]
    for plugin in found:
        plugin.load()
    return [plugin.name for plugin in found] or suite.names()


def audited(path: Path) -> list[AttackOutcome]:
    """Read the outcomes of a run or an audit. Raises UsageError where there are none."""
    outcomes = RunFolder(path).outcomes()
    if not outcomes:
        raise UsageError(
            f"{path} holds no outcome of an attack (no {ATTACKS})",
            fix="pass the folder of `compare audit run`, or of `compare run` without --no-audit",
        )
    return outcomes


def _cipher_targets(request: AuditRequest) -> list[Target]:
    ciphers = request.ciphers
    if not ciphers and not request.pipelines:
        ciphers = tuple(name for name in plugins.discover("ciphers") if name not in CONTROLS)
    targets = [_cipher_or_why_not(text, request) for text in ciphers]
    _refuse_twice([target.label for target in targets])
    return targets


def _cipher_or_why_not(text: str, request: AuditRequest) -> Target:
    """Make a target of a cipher; of one that is faulty, a column that says so.

    Raises UsageError where what was asked for is wrong, so that nothing is written.
    """
    try:
        return cipher_target(text, request.image_size)
    except (CellError, BrokenPluginError) as error:
        return faulty_cipher_target(text, request.image_size, error)
    except UsageError as error:
        if request.ciphers:
            raise
        return faulty_cipher_target(text, request.image_size, error)
    except Exception as error:  # a cipher from elsewhere must not take the others with it
        reason = CellError(why_failed(error, repr(text)))
        return faulty_cipher_target(text, request.image_size, reason)


def _pipelines(request: AuditRequest) -> list[tuple[PipelineSpec, Pipeline, BaseModel]]:
    """Resolve the pipelines that are asked for. Raises UsageError before anything is written."""
    found = []
    for text in request.pipelines:
        spec = parse_spec(text)
        pipeline = plugins.load("pipelines", spec.name)
        parameters = resolve_parameters(pipeline, spec)
        found.append((PipelineSpec(pipeline.name, spec.parameters), pipeline, parameters))
    _refuse_twice([spec.label for spec, _, _ in found])
    return found


def _refuse_twice(labels: Sequence[str]) -> None:
    for label in labels:
        if labels.count(label) > 1:
            raise UsageError(f"{label!r} is named twice", fix="drop one of them")


def _pool(request: AuditRequest, budget: AttackBudget, progress: ProgressReporter) -> DatasetPool:
    from he_compare.common.datasets.opened import choice
    from he_compare.common.datasets.opened.fingerprint import fingerprint
    from he_compare.common.types import Split
    from he_compare.comparisons.measuring.data_access import data_policy

    with data_policy(request.offline, request.require_real, progress):
        dataset = open_dataset(
            request.dataset, request.data_dir, request.subset, request.seed, request.options
        )
        most = {
            Split.TEST: min(request.test_limit or MOST_ATTACKED, MOST_ATTACKED),
            Split.TRAIN: budget.auxiliary,
        }
        positions = {
            split: choice.limit(dataset.index(split), limit, request.seed, split)
            for split, limit in most.items()
        }
        digest = fingerprint(dataset, positions)
    return DatasetPool(dataset, digest, (most[Split.TEST], most[Split.TRAIN]), request.seed)


def _under_test(request: AuditRequest, pool: DatasetPool) -> UnderTest:
    return UnderTest(
        card=pool.dataset.card,
        fingerprint=pool.fingerprint,
        size=request.image_size,
        seed=request.seed,
        attacked=pool.attacked,
        training=pool.auxiliary,
    )


def _default_folder(request: AuditRequest) -> Path:
    name = default_folder_name(request.dataset, request.data_dir)
    return Path("runs") / f"audit-{name}-{request.budget}"


def _begin(folder: RunFolder, request: AuditRequest, pool: PlainPool) -> None:
    """Begin an audit in an empty folder, or see that the one there is the same."""
    path = folder.path / AUDIT
    facts = {
        "command": _command(request) + _public_options(request) + _device_option(request),
        "data": pool.fingerprint,
        "tool_version": tool_version(),
    }
    if path.is_file():
        try:
            known: Any = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise IntegrityError(
                f"{AUDIT} in {folder.path} does not parse: {error}", fix="restore the file"
            ) from None
        if [known.get(name) for name in ("command", "data")] != [facts["command"], facts["data"]]:
            raise UsageError(
                f"{folder.path} holds another audit ({known.get('command')})",
                fix="name another folder with --out",
            )
        return
    folder.require_empty("holds no audit")
    write_atomic(path, (json.dumps(facts, indent=2) + "\n").encode())


def _command(request: AuditRequest) -> str:
    """The command up to targets and attacks, without paths of this machine."""
    words = [f"compare audit run --dataset {shown_dataset(request.dataset, request.data_dir)}"]
    if request.subset:
        words.append(f"--subset {request.subset}")
    words += option_words(request.options)
    if request.test_limit is not None:
        words.append(f"--test-limit {request.test_limit}")
    words.append(f"--image-size {request.image_size} --budget {request.budget}")
    words.append(f"--seed {request.seed}")
    if request.key_seed is not None:
        words.append(f"--key-seed {request.key_seed}")
    return " ".join(words)


def _device_option(request: AuditRequest) -> str:
    """Name the GPU that learned attacks run on: an audit goes on with the same one."""
    device = resolve_device(request.device)
    return "" if device.name == CPU else f" --device {device.name}"


def _public_options(request: AuditRequest) -> str:
    return "".join(f" --public {shown_spec(spec)}" for spec in request.public)
