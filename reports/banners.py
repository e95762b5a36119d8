"""The warnings on every page: what no reader may miss, from flags in the records."""

from __future__ import annotations

from he_compare.common.run.view import RunView
from he_compare.reports.document.nodes import Callout, inline
from he_compare.reports.naming import short_title


def banners(view: RunView) -> tuple[Callout, ...]:
    """Return the banners of a run, the gravest first; empty where none is due.

    Controls claim nothing, so that they are no insecure protection.
    """
    found = []
    insecure = [
        pipeline
        for pipeline in view.pipelines
        if pipeline.protected and pipeline.claims and pipeline.claims.insecure
    ]
    if insecure:
        names = ", ".join(short_title(view, pipeline) for pipeline in insecure)
        found.append(
            Callout(
                "danger",
                "Insecure keys or parameters",
                inline(f"must not protect real data: {names}. For the reasons see Deviations."),
            )
        )
    if view.manifest.backbone.untrained:
        found.append(
            Callout(
                "warning",
                "Untrained backbone",
                inline("random weights: accuracy says nothing about DeiT."),
            )
        )
    if view.manifest.dataset.card.synthetic:
        found.append(
            Callout(
                "warning",
                "Synthetic data",
                inline(
                    "the images are computer-generated: nothing here says anything about patients."
                ),
            )
        )
    return tuple(found)
