"""From a configuration to a plan: data found and validated, pipelines resolved, cells named.

Everything that can be refused is refused here, before any long work.
"""

from __future__ import annotations

import dataclasses
import datetime
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from he_compare.common import plugins
from he_compare.common.backbones.catalog import find_backbone
from he_compare.common.backbones.device import CPU, described, resolve_device
from he_compare.common.backbones.features import backbone_seed
from he_compare.common.contracts import (
    LocalPipeline,
    Progress,
    RunSettings,
    TrainingData,
)
from he_compare.common.environment import tool_version
from he_compare.common.errors import UsageError
from he_compare.common.identity import key_of, source_digest
from he_compare.common.references.opening import (
    UnderTest,
    open_references,
    reference_to_match,
    shown_spec,
)
from he_compare.common.references.reference import Public
from he_compare.common.run.kept_artefacts import ArtefactFolder
from he_compare.common.run.positive import note_none_named
from he_compare.common.run.records import (
    BackboneSummary,
    Cell,
    DatasetSummary,
    DeviceFacts,
    Manifest,
    PlannedPipeline,
    WorkFacts,
)
from he_compare.common.service.host_address import HOW
from he_compare.common.service.remote_host import RemoteHost
from he_compare.common.software import keying_packages
from he_compare.common.types import ImageBatch, Phase, Split
from he_compare.comparisons.measuring.class_counts import (
    image_limits,
    require_all_classes,
    too_many_classes,
)
from he_compare.comparisons.measuring.config import RunConfig, load_config, profile_values
from he_compare.comparisons.measuring.dataset_opening import find_family, open_dataset
from he_compare.comparisons.measuring.dataset_spec import shown_dataset
from he_compare.comparisons.measuring.fitting import Ground
from he_compare.comparisons.measuring.pipeline_spec import (
    PipelineSpec,
    parse_spec,
    resolve_parameters,
)
from he_compare.comparisons.measuring.planned import Planned, twin_facts
from he_compare.comparisons.measuring.threads import ThreadShare, share_threads
from he_compare.comparisons.user_folders import default_cache_dir

if TYPE_CHECKING:
    from he_compare.common.datasets.opened.screening import ScreenedImages
    from he_compare.common.datasets.stored.image_store import StoreWish

# Modules whose source can change any cell, beside those of its pipeline.
CORE_MODULES = (
    "he_compare.common.contracts",
    "he_compare.common.seeds",
    "he_compare.common.service.wire",
    "he_compare.comparisons.measuring.clear_models",
    "he_compare.comparisons.measuring.fitting",
    "he_compare.comparisons.measuring.session",
)

# Settings that pipelines read and that key a cell by their content, or by its phase only.
KEYED_APART = {"weights", "infer_batch", "device"}

PHASE_MODULES = {
    Phase.ROBUSTNESS: (
        "he_compare.comparisons.measuring.disturbances",
        "he_compare.comparisons.measuring.robustness",
    ),
}

# Settings that change no cell: the same run goes on with others.
OUTSIDE_PLAN = {"pipelines", "call_seconds", "audit", "seeds", "repeats"}

# Settings that key a plan by what they came to, not by what was asked.
THREADS = {"threads", "latency_threads"}
SETTLED = {"public", "device"} | THREADS


@dataclass(frozen=True)
class PlannedCell:
    """One thing to measure, and the key under which its record is kept.

    ``seed``: of the training and what follows it. ``again``: it is not the first of the run.
    """

    planned: Planned
    phase: Phase
    round: int
    identity: str
    seed: int
    again: bool = False


@dataclass(frozen=True)
class RunPlan:
    """A run that can start: validated, with its images decoded in the store.

    ``dataset_spec``: the dataset as it may be written down, without a path of this machine.
    ``public``: images that the attacks are given. ``copies``: a table of the copies across splits.
    ``not_run``: by label, why a pipeline is not. ``latency_threads``: while latency is measured; 0
    for as many as at other times. ``host``: where server halves run, None for this machine: it
    changes no accuracy, and what one image takes.
    """

    config: RunConfig
    dataset_spec: str
    summary: DatasetSummary
    backbone: BackboneSummary
    pipelines: list[Planned]
    data: TrainingData
    test: ImageBatch
    settings: RunSettings
    key_file: Path
    public: tuple[Public, ...] = ()
    copies: bytes = b""
    not_run: Mapping[str, str] = field(default_factory=dict)
    latency_threads: int = 0
    host: RemoteHost | None = None

    def threads_of(self, phase: Phase) -> int:
        """Return the threads of client and server in a phase."""
        own = self.settings.threads
        return self.latency_threads or own if phase is Phase.LATENCY else own

    def ground(
        self,
        artefacts: ArtefactFolder,
        cache_dir: Path,
        progress: Progress,
        *,
        seed: int | None = None,
    ) -> Ground:
        """Return what every pipeline of the run is fitted on, and where.

        ``seed``: one of the run's; None for the first. The data are the same for all of them.
        """
        own = self.config.seed if seed is None else seed
        return Ground(
            data=self.data,
            settings=self.settings,
            seed=own,
            call_seconds=self.config.call_seconds,
            key_file=self.key_file_of(own),
            artefacts=artefacts,
            cache_dir=cache_dir,
            progress=progress,
            measured_on=self.measured_on,
            host=self.host,
        )

    def key_file_of(self, seed: int) -> Path:
        """Return the client's key file of a seed: further seeds have one each, beside the first's.

        It is made at first use, as the first is, and found again by its name.
        """
        if seed == self.config.seed:
            return self.key_file
        return key_file_of_seed(self.key_file, seed)

    @property
    def measured_on(self) -> str:
        """The device of networks while they are measured: that of training where every pipeline
        of the run computes all on it, else the CPU. No pipeline is timed on another device than
        the pipelines beside it."""
        alike = all(planned.pipeline.all_on_device for planned in self.pipelines)
        return self.settings.device if alike else CPU

    def device_facts(self) -> tuple[DeviceFacts, DeviceFacts]:
        """Return the devices of training and of measuring, as records hold them."""
        return described(self.settings.device).facts(), described(self.measured_on).facts()

    def _device_keys(self) -> list[str]:
        return [described(name).identity for name in (self.settings.device, self.measured_on)]

    def cells(self) -> list[PlannedCell]:
        """All cells in their order: accuracy, interleaved latency rounds, disturbed messages.

        Accuracy is measured for every seed, the first one first; the rest for the first alone.
        """
        accuracy = [
            self._cell(planned, Phase.ACCURACY, 0, seed)
            for seed in self.config.all_seeds
            for planned in self.pipelines
            if seed == self.config.seed or planned.label not in self.not_run
        ]
        rounds = range(1, self.config.latency_rounds + 1) if self.config.latency_images else ()
        latency = [
            self._cell(planned, Phase.LATENCY, number)
            for number in rounds
            for planned in self.pipelines
        ]
        robustness = [
            self._cell(planned, Phase.ROBUSTNESS, 0)
            for planned in self.pipelines
            if self.config.robustness_images
        ]
        return accuracy + latency + robustness

    def _cell(
        self, planned: Planned, phase: Phase, number: int, seed: int | None = None
    ) -> PlannedCell:
        own = self.config.seed if seed is None else seed
        identity = key_of(**self.identity_inputs(planned, phase, number, own))
        return PlannedCell(planned, phase, number, identity, own, again=own != self.config.seed)

    def identity_inputs(
        self, planned: Planned, phase: Phase, number: int, seed: int
    ) -> dict[str, Any]:
        """Return every input that can change the cell's result, by name.

        Which other seeds the run has changes none.
        """
        config = self.config
        inputs: dict[str, Any] = {
            "data": self.summary.fingerprint,
            "pipeline": planned.pipeline.name,
            "parameters": planned.resolved(),
            "settings": {
                name: value
                for name, value in dataclasses.asdict(self.settings).items()
                if name not in KEYED_APART
            },
            "weights": self.backbone.weights_sha256,
            "devices": self._device_keys(),
            "matched_to": self.data.public.reference.digest if self.data.public else "",
            "seed": seed,
            "source": source_digest(
                *CORE_MODULES,
                *PHASE_MODULES.get(phase, ()),
                *planned.pipeline.source_modules(planned.parameters),
            ),
            "machine": dict(
                planned.pipeline.identity_inputs(planned.parameters, self.key_file_of(seed))
            ),
            "packages": keying_packages(),
            "phase": phase.value,
            "round": number,
        }
        if phase is Phase.LATENCY:
            inputs["latency_images"] = config.latency_images
            if self.host is not None and not isinstance(planned.pipeline, LocalPipeline):
                inputs["server_machine"] = self.host.machine
            if self.threads_of(phase) != self.settings.threads:
                inputs["latency_threads"] = self.threads_of(phase)
        else:
            inputs["infer_batch"] = config.infer_batch
        if phase is Phase.ROBUSTNESS:
            inputs["robustness_images"] = config.robustness_images
        return inputs

    def cell_record(self, cell: PlannedCell) -> Cell:
        """Describe a cell for its record."""
        return Cell(
            dataset=self.summary.card.name,
            pipeline=cell.planned.pipeline.name,
            label=cell.planned.label,
            parameters=cell.planned.spec.parameters,
            resolved=cell.planned.resolved(),
            seed=cell.seed,
            phase=cell.phase,
            round=cell.round,
        )

    def plan_key(self) -> str:
        """Return the key of what was asked: equal for the same command on the same data."""
        return key_of(
            data=self.summary.fingerprint,
            weights=self.backbone.weights_sha256,
            pipelines=[[p.label, p.pipeline.name, p.resolved()] for p in self.pipelines],
            public=[one.reference.digest for one in self.public],
            devices=self._device_keys(),
            threads=[self.settings.threads, self.threads_of(Phase.LATENCY)],
            config=self.config.model_dump(mode="json", exclude=OUTSIDE_PLAN | SETTLED),
        )

    def manifest(self) -> Manifest:
        """Return the manifest of a new run of this plan."""
        return Manifest(
            plan=self.plan_key(),
            created_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            tool_version=tool_version(),
            command=self._command(),
            dataset=self.summary,
            backbone=self.backbone,
            pipelines=[
                PlannedPipeline(
                    name=p.pipeline.name,
                    label=p.label,
                    parameters=p.spec.parameters,
                    resolved=p.resolved(),
                    meanings=p.pipeline.parameters.meanings(p.resolved()),
                    reference_rank=p.pipeline.reference_rank(p.parameters),
                    no_server=isinstance(p.pipeline, LocalPipeline),
                    **twin_facts(p, self.pipelines),
                    work=WorkFacts(**dataclasses.asdict(p.pipeline.work(p.parameters))),
                )
                for p in self.pipelines
            ],
            seed=self.config.seed,
            seeds=list(self.config.all_seeds),
            profile=self.config.profile,
            settings=self.config.model_dump(mode="json", exclude={"pipelines", "repeats"})
            | {
                "threads": self.settings.threads,
                "device": self.settings.device,
                "latency_threads": self.threads_of(Phase.LATENCY),
                "public": [one.argument for one in self.public],
            },
            meanings={k: v.description or "" for k, v in RunConfig.model_fields.items()},
            sums_cover_all=True,
        )

    def _command(self) -> str:
        """The command that reproduces the run, without paths of this machine."""
        base = load_config(self.config.profile, {})
        words = [f"compare run --dataset {self.dataset_spec}", f"--profile {self.config.profile}"]
        for name in RunConfig.model_fields:
            value = getattr(self.config, name)
            if name in {"profile", "pipelines", *THREADS} or value == getattr(base, name):
                continue
            if name == "seed" and self.config.seeds:
                continue
            if name == "seeds":
                words.append(f"--seeds {','.join(map(str, value))}")
                continue
            if name == "public":
                words += [f"--public {shown_spec(one)}" for one in value]
                continue
            if name == "audit":
                words.append("--no-audit" if value == "none" else "--audit")
                continue
            shown = "FILE" if name == "weights" and "/" in str(value) else value
            words.append(f"--{name.replace('_', '-')} {shlex.quote(str(shown))}")
        # As settled: on another day the default may come to others, and these key the cells.
        words.append(f"--threads {self.settings.threads}")
        if self.threads_of(Phase.LATENCY) != self.settings.threads:
            words.append(f"--latency-threads {self.threads_of(Phase.LATENCY)}")
        if self.host is not None:
            words.append(f"--host {HOW} --token-file FILE")
        if self.config.pipelines != base.pipelines:
            words += [f"--pipeline '{p.spec.text}'" for p in self.pipelines]
        return " ".join(words)


def key_file_of_seed(first: Path, seed: int) -> Path:
    """Return where the client's key of a further seed lies: beside that of the first."""
    return first.with_name(f"{first.stem}-seed-{seed}{first.suffix}")


def make_plan(
    config: RunConfig,
    dataset_spec: str,
    data_dir: Path | None,
    key_file: Path,
    cache_dir: Path | None = None,
    threads: ThreadShare | None = None,
    host: RemoteHost | None = None,
) -> RunPlan:
    """Find the data, resolve the pipelines and decode the images into the store of ``cache_dir``.

    ``cache_dir``: None for the user's. ``threads``: None for all cores. ``host``: where server
    halves run, None for this machine. Raises UsageError or DataError.
    """
    from he_compare.common.datasets.stored.image_store import StoreWish

    resolve_device(config.device)
    pipelines = resolve_pipelines(config)
    _require_patch_that_fits(config, pipelines)
    subset = _subset_of(config, dataset_spec)
    wish = StoreWish(cache_dir or default_cache_dir(), config.image_size)
    dataset = open_dataset(dataset_spec, data_dir, subset, config.seed, config.data_options(), wish)
    if note := note_none_named(dataset.card):
        dataset.notes.append(note)
    backbone = _summarise_backbone(config)
    shown = shown_dataset(dataset_spec, data_dir)
    share = threads or share_threads(config.threads, 1, latency=config.latency_threads)
    plan = _load(config, shown, dataset, backbone, pipelines, key_file, wish, share)
    return dataclasses.replace(plan, host=host)


def _require_patch_that_fits(config: RunConfig, pipelines: list[Planned]) -> None:
    """Refuse a size that no patch divides: neither the backbone's own nor any pipeline's."""
    own, size = find_backbone(config.backbone).patch, config.image_size
    brought = [getattr(planned.parameters, "patch", None) or own for planned in pipelines]
    if all(size % patch for patch in (own, *brought)):
        raise UsageError(
            f"patch {own} does not divide the image size {size}",
            fix=f"pass --image-size {max(1, round(size / own)) * own}, or give a pipeline a patch "
            f"that divides {size}",
        )


def resolve_pipelines(config: RunConfig) -> list[Planned]:
    """Find and validate the pipelines a configuration names."""
    planned = []
    for text in config.pipelines:
        spec = parse_spec(text)
        pipeline = plugins.load("pipelines", spec.name)
        planned.append(
            Planned(
                PipelineSpec(pipeline.name, spec.parameters),
                pipeline,
                resolve_parameters(pipeline, spec),
            )
        )
    seen: set[str] = set()
    for item in planned:
        if item.label in seen:
            raise UsageError(f"pipeline {item.label!r} is given twice", fix="remove one of them")
        seen.add(item.label)
    return planned


def pipelines_left_out(classes: int, profile: str = "quick") -> str:
    """Say which pipelines of a profile would not run for the number of classes; '' for none."""
    config = load_config(profile, {})
    width = _summarise_backbone(config).feature_width
    try:
        reasons = too_many_classes(resolve_pipelines(config), classes, width)
    except UsageError as error:
        return error.problem
    return "; ".join(f"{label} would not run: {reason}" for label, reason in reasons.items())


def _subset_of(config: RunConfig, dataset_spec: str) -> str:
    """Return the subset of a run: what a profile wishes is taken only where the dataset has it."""
    wished = profile_values()[config.profile].get("subset", "")
    if config.subset == wished and wished not in find_family(dataset_spec)[0].subsets:
        return ""
    return config.subset


def _summarise_backbone(config: RunConfig) -> BackboneSummary:
    from he_compare.common.backbones.deit import summarise_backbone

    return summarise_backbone(
        config.backbone,
        image_size=config.image_size,
        weights=config.weights,
        seed=backbone_seed(config.seed),
    )


def _load(
    config: RunConfig,
    dataset_spec: str,
    dataset: ScreenedImages,
    backbone: BackboneSummary,
    pipelines: list[Planned],
    key_file: Path,
    wish: StoreWish,
    threads: ThreadShare,
) -> RunPlan:
    from he_compare.common.datasets.opened import choice
    from he_compare.common.datasets.reading.source_policy import current_policy

    classes = tuple(dataset.card.classes)
    asked = image_limits(config, len(classes))
    dataset.notes.extend(asked.notes)
    limits = asked.by_split
    positions = {
        split: choice.limit(dataset.index(split), most, config.seed, split)
        for split, most in limits.items()
    }
    require_all_classes(dataset, positions)
    not_run = too_many_classes(pipelines, len(classes), backbone.feature_width)
    batches, digest = choice.stored_batches(dataset, positions, wish, current_policy().progress)
    return put_together(
        config,
        dataset_spec,
        choice.summary(
            dataset,
            positions,
            fingerprint=digest,
            image_size=config.image_size,
            default_subset=find_family(dataset_spec)[0].subsets[0],
            limits=limits,
        ),
        backbone,
        pipelines,
        batches,
        key_file,
        threads,
        not_run=not_run,
        copies=dataset.copies_table(),
    )


def put_together(
    config: RunConfig,
    dataset_spec: str,
    summary: DatasetSummary,
    backbone: BackboneSummary,
    pipelines: list[Planned],
    batches: Mapping[Split, ImageBatch],
    key_file: Path,
    threads: ThreadShare,
    *,
    not_run: Mapping[str, str],
    copies: bytes = b"",
) -> RunPlan:
    """Make the plan of a run whose images are chosen: the same in the driver and on a worker."""
    under_test = UnderTest(
        card=summary.card,
        fingerprint=summary.fingerprint,
        size=config.image_size,
        seed=config.seed,
        attacked=lambda _: batches[Split.TEST],
        training=lambda _: batches[Split.TRAIN],
    )
    public = open_references(config.public, under_test)
    return RunPlan(
        config=config,
        dataset_spec=dataset_spec,
        summary=summary,
        backbone=backbone,
        pipelines=pipelines,
        data=TrainingData(
            batches[Split.TRAIN],
            batches[Split.VAL],
            tuple(summary.card.classes),
            summary.fingerprint,
            reference_to_match(public if config.public else (), summary.card),
        ),
        test=batches[Split.TEST],
        settings=shared_settings(config, threads),
        key_file=key_file,
        public=public,
        copies=copies,
        not_run=not_run,
        latency_threads=threads.latency,
    )


def shared_settings(config: RunConfig, threads: ThreadShare) -> RunSettings:
    """Return the settings that pipelines read: the fields of ``RunSettings``, by their names."""
    shared = {one.name: getattr(config, one.name) for one in dataclasses.fields(RunSettings)}
    resolved = {"threads": threads.training, "device": resolve_device(config.device).name}
    return RunSettings(**shared | resolved)
