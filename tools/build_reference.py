"""Writes docs/reference from the code: commands, records, metrics. A test says when it is stale.

python -m tools.build_reference
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer.main

from he_compare.common import plugins
from he_compare.common.run import quantiles, records, timing
from he_compare.common.statistics.metric import Metric
from he_compare.common.study import study_records
from he_compare.comparisons.cli.app import app

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "reference"
NOTICE = "<!-- Made by tools/build_reference.py; change the code, not this file. -->"
EXIT_CODES = (
    ("0", "everything requested was done"),
    ("1", "internal error; the line names the file with the trace, and `--debug` prints it"),
    (
        "2",
        "the command, a parameter or a file is wrong, a disk is full or closed, or there is too "
        "little memory to begin; one line says which and how to fix it",
    ),
    (
        "3",
        "some cells or attacks failed, or this machine lacks something; the others are kept; "
        "`audit attack-file` could not tell what the images show",
    ),
    ("4", "stored bytes or metrics are not what was written, or a limit is not kept"),
    ("130", "interrupted by Ctrl-C; run the same command again to resume"),
    ("129, 143", "the same by SIGHUP (the terminal is gone) and by SIGTERM"),
)

# Modules of records, as a reader meets them.
RECORD_ORDER = (
    "plan_record",
    "dataset_facts",
    "cell_record",
    "measured_facts",
    "machine_facts",
    "claimed_facts",
    "attack_record",
    "score_record",
    "record_base",
)

MACHINE_READABLE = (
    (
        "`compare show RUN --json`",
        "one object: `manifest`, `records`, `scores` ([records](records.md))",
    ),
    ("`compare show RUN RECORD --json`", "one record, as in `records.jsonl`"),
    (
        "`compare diff RUN_A RUN_B --json`",
        "`same` is `run` (both folders hold one run), `results` (the same scores for every image) "
        "or empty; `pipelines` has a difference with its interval and n for each metric",
    ),
    (
        "`compare audit matrix RUN --json`",
        "`targets`, and `rows` with a cell per target: verdict, if promised, advantage, identity",
    ),
    ("`compare audit explain RUN CELL --json`", "one outcome, as in `attacks.jsonl`"),
    (
        "`compare export RUN --csv`, `--parquet`",
        "one row per pipeline, full precision, no rounding",
    ),
    (
        "`compare export RUN --fhe-bench`",
        "the JSON of the FHE benchmarking suite, a file per pipeline that computed on ciphertexts",
    ),
    ("`compare export RUN --latex`", "tables and a macro per number, rounded as they are printed"),
    ("`compare list --json`, `compare doctor --json`", "plug-ins by section; one object per check"),
    ("`compare schema`", "the JSON schema of all records, those of studies too"),
)


def pages() -> dict[str, str]:
    """Return every page of the reference by file name."""
    return {"commands.md": commands(), "records.md": records_page(), "metrics.md": metrics()}


def _page(title: str, *parts: str) -> str:
    return "\n\n".join([f"# {title}", NOTICE, *parts]) + "\n"


def _cell(text: str) -> str:
    """Return text for a table cell of Markdown."""
    plain = " ".join(str(text).split())
    return re.sub(r"([|<>*_\[\]`])", r"\\\1", plain).replace("\\`", "`")


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def commands() -> str:
    """Return every command with its arguments and options, and the exit codes."""
    root = typer.main.get_command(app)
    parts = [_command(name, command) for name, command in _leaves("compare", root)]
    codes = _table(("code", "meaning"), [(code, meaning) for code, meaning in EXIT_CODES])
    outputs = _table(("command", "what it prints or writes"), list(MACHINE_READABLE))
    return _page(
        "Commands",
        *parts,
        "## Exit codes",
        codes,
        "Errors are one line on stderr; where a name is unknown, a second has the nearest names. "
        "A reader that leaves (`| head -1`) changes no code: what is left to print is dropped, and "
        "what was to be done is done. A signal that the command was started to ignore (`nohup`) is "
        "ignored.",
        "## Output for programs",
        "Tables on the terminal are for people: they change with its width. Programs read these:",
        outputs,
    )


def _leaves(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    """Walk the tree of commands, groups left out."""
    below = getattr(command, "commands", None)
    if below is None:
        yield name, command
        return
    for key, one in below.items():
        yield from _leaves(f"{name} {key}", one)


def _command(name: str, command: Any) -> str:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    usage = " ".join([*(one.metavar or one.name.upper() for one in arguments), "[OPTIONS]"])
    summary = " ".join((command.help or "").split())
    parts = [f"## {name}", summary, f"```text\n{name} {usage}\n```"]
    rows = [
        (_names(one), _cell(getattr(one, "help", None) or ""), _cell(_default(one)))
        for one in command.params
        if one.name != "help"
    ]
    if rows:
        parts.append(_table(("argument or option", "meaning", "default"), rows))
    return "\n\n".join(parts)


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.metavar or parameter.name.upper()}`"
    return ", ".join(f"`{one}`" for one in (*parameter.opts, *parameter.secondary_opts))


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    if isinstance(shown := getattr(parameter, "show_default", None), str):
        return shown
    value = parameter.default
    if value is None or value is False or callable(value) or value == ():
        return ""
    return "empty" if value == "" else f"`{value}`"


def records_page() -> str:
    """Return every record with its fields, types and meanings."""
    models = [one for name in RECORD_ORDER for one in _records_of(f"{records.__name__}.{name}")]
    if missing := {*_records_in(vars(records))} - {*models}:
        raise ValueError(f"records of a module that RECORD_ORDER lacks: {missing}")
    words = (
        f"Schema version {records.SCHEMA_VERSION}. `compare schema` prints the same as JSON "
        "Schema. A run folder holds `manifest.json` (Manifest), `records.jsonl` (RunRecord, one "
        "per line), `attacks.jsonl` (AttackOutcome, one per line), `scores.json` (ScoreSheet), "
        "`predictions/` and `SHA256SUMS`. A study folder holds `study.json` (StudyRecord) and its "
        "runs in `runs/`."
    )
    of_studies = _records_of(study_records.__name__)
    return _page("Records", words, *[_record(model) for model in (*models, *of_studies)])


def _records_of(module: str) -> list[Any]:
    """Return the records that a module defines, in its order."""
    found = _records_in(vars(importlib.import_module(module)))
    return [one for one in found if one.__module__ == module]


def _records_in(names: Mapping[str, Any]) -> list[Any]:
    classes = [one for one in names.values() if isinstance(one, type)]
    return [one for one in classes if issubclass(one, records.Record) and one is not records.Record]


def _record(model: Any) -> str:
    summary = " ".join((model.__doc__ or "").split())
    rows = [
        (f"`{name}`", _cell(_type(field.annotation)), _cell(field.description or ""))
        for name, field in model.model_fields.items()
    ]
    table = _table(("field", "type", "meaning"), rows)
    return f"## {model.__name__}\n\n{summary}\n\n{table}"


def _type(annotation: Any) -> str:
    text = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    if getattr(annotation, "__args__", None):
        text = str(annotation)
    text = re.sub(r"\b(?:typing\.|collections\.abc\.|he_compare\.(?:[a-z_]+\.)*)", "", text)
    return re.sub(r"<enum '(\w+)'>|<class '([\w.]+)'>", r"\1\2", text)


def metrics() -> str:
    """Return every metric with formula, source and the kind of its interval."""
    parts = []
    for plugin in plugins.discover("metrics").values():
        rows = [_metric(one) for one in plugin.load()]
        heads = ("metric", "formula", "interval", "better", "source")
        parts.append(f"## {plugin.name}\n\n{plugin.summary}\n\n{_table(heads, rows)}")
    words = (
        "Computed from stored predictions by `compare score`. TP, FP, FN: true positives, "
        "false positives, false negatives. Bootstrap: 2,000 draws of patient groups, percentiles. "
        "Wilson: with the design effect of patient groups where a group has several images."
    )
    return _page("Metrics", words, *parts, _timings())


def _timings() -> str:
    """Return what a quantile and a median are, as their module says it."""
    paragraphs = [
        paragraph
        for module in (quantiles, timing)
        for paragraph in (module.__doc__ or "").strip().split("\n\n")[1:]
    ]
    said = "\n\n".join(" ".join(one.split()) for one in paragraphs).replace("``", "`")
    return f"## Timings: p50, p90, p99\n\n{said}"


def _metric(metric: Metric) -> tuple[str, ...]:
    interval = "Wilson" if metric.outcomes is not None else "bootstrap by group"
    better = "higher" if metric.higher_is_better else "lower"
    return f"`{metric.name}`", _cell(metric.formula), interval, better, _cell(metric.source)


def main() -> int:
    """Write every page."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
