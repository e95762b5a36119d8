"""Opens an audit without a run: images, targets and what all its attacks share.

Every process that opens the same request on the same data has the same cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from pydantic import BaseModel

from he_compare.common import plugins
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.backbones.device import resolve_device
from he_compare.common.contracts import Pipeline
from he_compare.common.errors import CellError, UsageError
from he_compare.common.plugins import BrokenPluginError
from he_compare.common.references.opening import (
    UnderTest,
    open_references,
    reference_to_match,
    require_known,
    same_kind,
)
from he_compare.common.run.kept_artefacts import ArtefactFolder
from he_compare.common.scheme import CONTROLS
from he_compare.comparisons.auditing.audit import find_budget
from he_compare.comparisons.auditing.audit_cells import Setup
from he_compare.comparisons.auditing.audit_request import AuditRequest
from he_compare.comparisons.auditing.deployments import DeployedAlone, ground_of_audit
from he_compare.comparisons.auditing.foreign_errors import why_failed
from he_compare.comparisons.auditing.pool import DatasetPool
from he_compare.comparisons.auditing.targets import Target, cipher_target, faulty_cipher_target
from he_compare.comparisons.measuring.dataset_opening import open_dataset
from he_compare.comparisons.measuring.pipeline_spec import (
    PipelineSpec,
    parse_spec,
    resolve_parameters,
)
from he_compare.comparisons.progress import ProgressReporter

MOST_ATTACKED = 624
BACKBONE, WEIGHTS = "deit_tiny_distilled_patch16_224", "shipped"
Named: TypeAlias = tuple[PipelineSpec, Pipeline, BaseModel]


@dataclass(frozen=True)
class StandaloneAudit:
    """A request with its images and what it names; nothing is deployed."""

    request: AuditRequest
    setup: Setup
    pool: DatasetPool
    ciphers: Sequence[Target]
    pipelines: Sequence[Named]

    def targets(
        self, artefacts: ArtefactFolder, private: Path, progress: ProgressReporter, threads: int = 0
    ) -> list[Target]:
        """Return what is attacked. A pipeline is deployed when the first attack asks for one.

        ``private``: an empty folder that is removed after the audit; the client's key lies there.
        ``threads``: of a pipeline that is trained; 0: all cores.
        """
        request, setup = self.request, self.setup
        matched = setup.references if request.public else ()
        alone = DeployedAlone(
            request.image_size,
            lambda: ground_of_audit(
                *(self.pool, request.image_size, request.seed, BACKBONE, WEIGHTS),
                *(artefacts, private, progress),
                reference_to_match(matched, self.pool.dataset.card),
                setup.budget.device,
                threads,
                same_kind(_under_test(request, self.pool)),
            ),
        )
        return [*self.ciphers, *(alone.target(*one) for one in self.pipelines)]


def open_audit(request: AuditRequest, progress: ProgressReporter) -> StandaloneAudit:
    """Find what is asked for, before anything is written. Raises UsageError or DataError."""
    device = resolve_device(request.device)
    budget = replace(find_budget(request.budget), device=device.name)
    require_known(request.public)
    ciphers, pipelines = cipher_targets(request), _pipelines(request)
    pool = _pool(request, budget, progress)
    setup = Setup(
        pool=pool,
        budget=budget,
        seed=request.seed,
        command=request.command(),
        run={"backbone": BACKBONE, "weights": WEIGHTS},
        key_seed=request.key_seed,
        references=open_references(request.public, _under_test(request, pool)),
    )
    return StandaloneAudit(request, setup, pool, ciphers, pipelines)


def cipher_targets(request: AuditRequest) -> list[Target]:
    """Make a target of every cipher that is asked for; of all there are, where nothing is.

    Raises UsageError.
    """
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


def _pipelines(request: AuditRequest) -> list[Named]:
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
