"""The kinds of plug-in: where their files lie, what a module assigns, what its object must be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PluginKind:
    """A kind of plug-in: where its files lie and which attribute a module assigns.

    ``dashed``: names are spelled with ``-`` where file names have ``_``. ``base``: what its objects
    are instances of, as ``module:Class``, imported when one is loaded. ``required``: what they must
    have beside the methods of their class; where that has ``name``, it is the name of the plug-in.
    ``rivals``: kinds that share their names with it.
    """

    name: str
    packages: tuple[str, ...]
    attribute: str
    singular: str
    base: str = "builtins:object"
    required: tuple[str, ...] = ()
    rivals: tuple[str, ...] = ()
    dashed: bool = False


KINDS: dict[str, PluginKind] = {
    kind.name: kind
    for kind in (
        PluginKind(
            "datasets",
            ("he_compare.common.datasets",),
            "DATASET",
            "dataset",
            base="he_compare.common.dataset:DatasetFamily",
            required=("name",),
            dashed=True,
        ),
        PluginKind(
            "metrics",
            ("he_compare.common.metrics",),
            "METRICS",
            "metric family",
            base="collections.abc:Sequence",
        ),
        PluginKind(
            "pipelines",
            (
                "he_compare.common.pipelines",
                "he_compare.block_scramble.pipelines",
                "he_compare.fhe_baseline.pipelines",
            ),
            "PIPELINE",
            "pipeline",
            base="he_compare.common.contracts:Pipeline",
            required=("name",),
            dashed=True,
        ),
        PluginKind(
            "ciphers",
            ("he_compare.block_scramble.ciphers",),
            "CIPHER",
            "cipher",
            base="he_compare.block_scramble.cipher:Cipher",
            required=("name", "traits"),
        ),
        PluginKind(
            "attacks",
            ("he_compare.comparisons.attacks",),
            "ATTACK",
            "attack",
            base="he_compare.common.attack:Attack",
            required=("name", "title", "rung", "metric"),
            rivals=("checks",),
        ),
        PluginKind(
            "checks",
            ("he_compare.comparisons.checks", "he_compare.fhe_baseline.checks"),
            "CHECK",
            "check",
            base="he_compare.common.attack:Check",
            required=("name", "title", "rung"),
            rivals=("attacks",),
        ),
        PluginKind(
            "packings",
            ("he_compare.fhe_baseline.ckks.packings",),
            "PACKING",
            "packing",
            base="he_compare.fhe_baseline.ckks.packing:Packing",
            required=("name",),
            dashed=True,
        ),
        PluginKind(
            "sections",
            ("he_compare.reports.sections",),
            "SECTION",
            "report section",
            base="he_compare.reports.section:ReportSection",
        ),
    )
}
