"""One question with two answers, made of many findings: a named finding, or any of them.

An image with several findings has one label here: whether it has what was asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from he_compare.common.errors import DataError, UnknownNameError
from he_compare.common.plugin_names import canonical_name
from he_compare.common.plugins import nearest
from he_compare.common.types import IntArray


@dataclass(frozen=True)
class AnyOrOne:
    """The question: ``finding`` of ``findings`` against its absence, or any of them where ''."""

    findings: tuple[str, ...]
    finding: str

    @property
    def classes(self) -> tuple[str, str]:
        """Return the negative and the positive class."""
        return (f"no {self.finding or 'finding'}", self.finding or "finding")

    def labels(self, table: IntArray) -> IntArray:
        """Return int64 (n,) of 0 and 1 for a table (n, findings) of 0 and 1."""
        if self.finding:
            return table[:, self.findings.index(self.finding)].astype(np.int64)
        return (table.sum(axis=1) > 0).astype(np.int64)

    def note(self) -> str:
        """Say what the labels mean."""
        if self.finding:
            return f"label: {self.finding!r} or not; images without it may have other findings"
        return f"label: any of {len(self.findings)} findings, or none"


def choose_finding(dataset: str, text: str, findings: Sequence[str]) -> str:
    """Return the finding as the dataset spells it, '' for ''. Raises UsageError."""
    if any(mark in text for mark in "|+;"):
        raise refuse_multi_label(dataset, text)
    if not text:
        return ""
    spelled = {canonical_name(name).replace(" ", "-"): name for name in findings}
    asked = canonical_name(text).replace(" ", "-")
    if asked in ("multi-label", "multilabel", "all"):
        raise refuse_multi_label(dataset, text)
    if asked not in spelled:
        raise UnknownNameError(
            f"dataset {dataset!r} has no finding {text!r}", fix=nearest(text, list(findings))
        )
    return spelled[asked]


def refuse_multi_label(dataset: str, text: str) -> DataError:
    """Return the error that says why several findings at once are not offered."""
    return DataError(
        f"{dataset}:{text} asks for several findings at once; every image has one label here",
        fix=f"ask for one finding ({dataset}:NAME), or for any of them ({dataset})",
    )
