"""From a configuration to a plan: data found and validated, pipelines resolved, cells named.

Everything that can be refused is refused here, before any long work.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from he_compare.common import plugins
from he_compare.common.backbones.catalog import find_backbone
from he_compare.common.backbones.device import resolve_device
from he_compare.common.backbones.features import backbone_seed
from he_compare.common.contracts import RunSettings, TrainingData
from he_compare.common.errors import UsageError
from he_compare.common.references.opening import (
    UnderTest,
    open_references,
    reference_to_match,
    same_kind,
)
from he_compare.common.run.positive import note_none_named
from he_compare.common.run.records import BackboneSummary, DatasetSummary
from he_compare.common.service.remote_host import RemoteHost
from he_compare.common.types import ImageBatch, Split
from he_compare.comparisons.measuring.class_counts import (
    image_limits,
    require_all_classes,
    too_many_classes,
)
from he_compare.comparisons.measuring.config import RunConfig, load_config, profile_values
from he_compare.comparisons.measuring.dataset_opening import find_family, open_dataset
from he_compare.comparisons.measuring.dataset_spec import shown_dataset
from he_compare.comparisons.measuring.pipeline_spec import (
    PipelineSpec,
    parse_spec,
    resolve_parameters,
)
from he_compare.comparisons.measuring.plan import RunPlan
from he_compare.comparisons.measuring.planned import Planned
from he_compare.comparisons.measuring.threads import ThreadShare, share_threads
from he_compare.comparisons.user_folders import default_cache_dir

if TYPE_CHECKING:
    from he_compare.common.datasets.opened.screening import ScreenedImages
    from he_compare.common.datasets.stored.image_store import StoreWish


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
    """Refuse a size that no patch divides: neither the backbone's own nor any pipeline's.

    One that needs no patch fits every size.
    """
    own, size = find_backbone(config.backbone).patch, config.image_size
    if not all(planned.pipeline.takes_patches for planned in pipelines):
        return
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
            same_kind(under_test),
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
