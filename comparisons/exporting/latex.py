"""A run as tables for papers: booktabs and siunitx, and one macro per number.

``numbers.tex`` defines the macros, ``results.tex`` prints them in two tables, ``example.tex`` is a
document that holds both. A number that was not measured has no macro, so that a text that names it
does not compile.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from he_compare.common.errors import UsageError
from he_compare.common.files import write_atomic
from he_compare.common.run.leading import leading_metrics, leading_titles
from he_compare.common.run.protection import secrecy_of
from he_compare.common.run.records import Interval, MetricValue, PairedDifference
from he_compare.common.run.repeated_trainings import seeds_trained, spread_of
from he_compare.common.run.server_places import wire_words
from he_compare.common.run.spelling import MINUS, fixed, kilobytes, milliseconds
from he_compare.common.run.timing import latency_of
from he_compare.common.run.view import PipelineView, RunView
from he_compare.comparisons.exporting.latex_text import latex_escaped, macro_words

NUMBERS, RESULTS, EXAMPLE = "numbers.tex", "results.tex", "example.tex"
METRIC_WORDS = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "BalancedAccuracy",
    "auc": "Auc",
}
PARAGRAPH = r">{\raggedright\arraybackslash}p"
NO_NUMBER = "{--}"
PREAMBLE = r"""\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage{textcomp}
\IfFileExists{lmodern.sty}{\usepackage{lmodern}}{}
\usepackage[margin=2cm]{geometry}
\usepackage{booktabs}
\usepackage{siunitx}
\begin{document}
"""


@dataclass(frozen=True)
class PipelineMacros:
    """The macros of one pipeline: what each is called, and its number as siunitx reads it."""

    pipeline: PipelineView
    stem: str
    values: Mapping[str, str]

    def cell(self, name: str) -> str:
        """Return a number for a cell of a table; a dash where there is none."""
        return rf"\num{{\{self.stem}{name}}}" if name in self.values else NO_NUMBER

    def with_interval(self, name: str) -> str:
        """Return a number and its interval."""
        if f"{name}Low" not in self.values:
            return self.cell(name)
        return f"{self.cell(name)} [{self.cell(f'{name}Low')}, {self.cell(f'{name}High')}]"


def write_latex(
    view: RunView, pipelines: Sequence[PipelineView], out: Path, prefix: str = "compare"
) -> list[Path]:
    """Write one ``.tex`` file to be input, or three files into the folder ``out``.

    Raises UsageError where the prefix is no name of a macro, or a file cannot be written.
    """
    if not re.fullmatch("[A-Za-z]+", prefix):
        raise UsageError(
            f"{prefix!r} cannot begin the name of a macro", fix="use letters from A to Z only"
        )
    macros = macros_of(view, pipelines, prefix)
    numbers, results = numbers_text(view, macros, prefix), results_text(view, macros, prefix)
    if out.suffix == ".tex":
        files = {out: f"{numbers}\n{results}"}
    else:
        files = {
            out / NUMBERS: numbers,
            out / RESULTS: results,
            out / EXAMPLE: f"{PREAMBLE}\\input{{{NUMBERS}}}\n\\input{{{RESULTS}}}\n"
            "\\end{document}\n",
        }
    for path, text in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, text.encode())
        except OSError as error:
            raise UsageError(
                f"cannot write {path}: {error.strerror}", fix="name another place with --out"
            ) from None
    return list(files)


def macros_of(
    view: RunView, pipelines: Sequence[PipelineView], prefix: str
) -> list[PipelineMacros]:
    """Name the macros of every pipeline; a name that is taken gets the pipeline's number."""
    taken = {f"{prefix}{name}" for name in _run_numbers(view)}
    found = []
    for pipeline in pipelines:
        values = dict(_numbers(view, pipeline))
        stem = prefix + (macro_words(pipeline.label) or "Pipeline")
        while taken & {stem + name for name in values}:
            stem += "No" + macro_words(str(pipeline.number))
        taken |= {stem + name for name in values}
        found.append(PipelineMacros(pipeline, stem, values))
    return found


def numbers_text(view: RunView, macros: Sequence[PipelineMacros], prefix: str) -> str:
    """Return the file of macros."""
    lines = ["% Made by `compare export --latex`; differences are to the unprotected twin, paired."]
    lines += [
        rf"\newcommand{{\{prefix}{name}}}{{{value}}}" for name, value in _run_numbers(view).items()
    ]
    for one in macros:
        # A label may hold what would end the comment.
        lines.append(f"% {one.pipeline.label!a}")
        lines += [rf"\newcommand{{\{one.stem}{name}}}{{{v}}}" for name, v in one.values.items()]
    return "\n".join(lines) + "\n"


def results_text(view: RunView, macros: Sequence[PipelineMacros], prefix: str) -> str:
    """Return the two tables: scores with their differences to the twins, and costs with secrecy."""
    first, second = (METRIC_WORDS[name] for name in leading_metrics(view))
    titles = [latex_escaped(one) for one in leading_titles(view)]
    scores = [
        (
            latex_escaped(one.pipeline.label),
            *(one.with_interval(name) for name in (first, f"MinusTwin{first}")),
            *(one.with_interval(name) for name in (second, f"MinusTwin{second}")),
        )
        for one in macros
    ]
    costs = [
        (
            latex_escaped(one.pipeline.label),
            *(one.cell(name) for name in ("MedianMs", "KbUp", "KbDown")),
            latex_escaped(secrecy_of(view, one.pipeline).words),
        )
        for one in macros
    ]
    dataset = latex_escaped(view.manifest.dataset.card.title)
    heads = ["Set-up", titles[0], "minus twin", titles[1], "minus twin"]
    about = rf"{dataset}, \num{{\{prefix}TestImages}} test images; 95\,\% intervals."
    if seeds := seeds_trained(view):
        about += f" Means over {len(seeds)} trainings; intervals hold patients and trainings."
    return "\n".join(
        [
            *latex_float(
                f"{prefix}-scores",
                f"{about} Twin: the same model, data and training without the protection.",
                f"{PARAGRAPH}{{0.24\\linewidth}}cccc",
                heads,
                scores,
            ),
            "",
            *latex_float(
                f"{prefix}-costs",
                f"{dataset}: median time and traffic of one image, over {wire_words(view)}.",
                f"{PARAGRAPH}{{0.24\\linewidth}}rrr{PARAGRAPH}{{0.26\\linewidth}}",
                ["Set-up", "ms", "kB up", "kB down", "Secret from the server?"],
                costs,
            ),
            "",
        ]
    )


def latex_float(
    label: str, caption: str, columns: str, heads: Sequence[str], rows: Sequence[Sequence[str]]
) -> Iterator[str]:
    """Yield the lines of one table with its caption above it; all but the label is LaTeX."""
    yield r"\begin{table}[htbp]\centering\footnotesize"
    yield rf"\caption{{{caption}}}\label{{tab:{label}}}"
    yield rf"\setlength{{\tabcolsep}}{{4pt}}\begin{{tabular}}{{@{{}}{columns}@{{}}}}"
    yield r"\toprule"
    yield " & ".join(heads) + r" \\"
    yield r"\midrule"
    yield from (" & ".join(row) + r" \\" for row in rows)
    yield r"\bottomrule"
    yield r"\end{tabular}\end{table}"


def _run_numbers(view: RunView) -> dict[str, str]:
    return {"TestImages": str(view.n_test), "Seed": str(view.manifest.seed)}


def _numbers(view: RunView, pipeline: PipelineView) -> Iterator[tuple[str, str]]:
    """Yield what was measured of a pipeline, by the end of its macro's name."""
    for name in dict.fromkeys((*leading_metrics(view), "accuracy")):
        words = METRIC_WORDS[name]
        metric, difference = pipeline.metric(name), pipeline.difference(name)
        if metric is not None:
            yield from _with_ends(words, metric.value, metric.interval)
            yield from _spread_ends(words, metric)
        if difference is not None:
            yield from _with_ends(f"MinusTwin{words}", difference.difference, difference.interval)
            yield from _spread_ends(f"MinusTwin{words}", difference)
    if latency := latency_of(pipeline):
        yield "MedianMs", _plain(milliseconds(latency.total.p50))
        yield "NinetiethMs", _plain(milliseconds(latency.total.p90))
    if moved := pipeline.bytes_per_image:
        yield "KbUp", _plain(kilobytes(moved[0]))
        yield "KbDown", _plain(kilobytes(moved[1]))


def _with_ends(
    name: str, value: float | None, interval: Interval | None
) -> Iterator[tuple[str, str]]:
    if value is None:
        return
    yield name, _plain(fixed(value))
    if interval is not None:
        yield f"{name}Low", _plain(fixed(interval.low))
        yield f"{name}High", _plain(fixed(interval.high))


def _spread_ends(name: str, found: MetricValue | PairedDifference) -> Iterator[tuple[str, str]]:
    """Yield the number of trainings that a value is the mean of, the lowest and the highest."""
    if (spread := spread_of(found)) is not None:
        yield f"{name}Trainings", str(len(spread.values))
        yield f"{name}LowestTraining", _plain(fixed(min(spread.values)))
        yield f"{name}HighestTraining", _plain(fixed(max(spread.values)))


def _plain(number: str) -> str:
    """Return a number as siunitx reads it."""
    return number.replace(",", "").replace(MINUS, "-")
