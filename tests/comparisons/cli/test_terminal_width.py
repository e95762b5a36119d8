"""Commands on finished runs at 100 and at 60 columns: no line is wider, and the answer is there."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len

from he_compare.common.run.store import RunFolder
from he_compare.comparisons.cli import app
from he_compare.comparisons.judging.scoring import score_run
from tests.support.samplerun import FHE, PLAIN, SCRAMBLE, SampleRun, audited, build, ten_pipelines

Command = Callable[..., tuple[int, str, str]]
WIDE_NAME = "胸部X線画像のブロック暗号化" * 8
RIGHT_TO_LEFT = "سجل\u202eتجربة طويل جدا " * 12
SIGNS = "evil\x1b[2J\x07" + "[name=" + "y" * 150 + "]"


def _hostile() -> SampleRun:
    """An audited run whose pipelines, targets and titles have long names of other scripts."""
    kinds = (
        replace(PLAIN, label=WIDE_NAME),
        replace(SCRAMBLE, label=RIGHT_TO_LEFT),
        replace(FHE, label=SIGNS),
    )
    run = build(kinds, classes=("a", "b"), n=60, untrained=True, rounds=2)
    source = audited().outcomes
    names = dict.fromkeys(one.target for one in source)
    targets = dict(zip(names, (kind.label for kind in kinds), strict=False))
    outcomes = tuple(
        one.model_copy(
            update={
                "target": targets.get(one.target, one.target),
                "title": one.title + " " + "とても長い攻撃の名前" * 5,
                "reproduce": f"compare audit run --pipeline '{WIDE_NAME}' --attack {one.attack}",
            }
        )
        for one in source
    )
    return replace(run, outcomes=outcomes)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {}
    runs = {"audited": audited(), "ten": ten_pipelines(), "hostile": _hostile()}
    for name, run in runs.items():
        folder = RunFolder(run.write(tmp_path_factory.mktemp("runs") / name))
        score_run(folder)
        folder.write_sums()
        made[name] = folder.path
    changed = replace(audited(), manifest=audited().manifest.model_copy(update={"profile": "full"}))
    folder = RunFolder(changed.write(tmp_path_factory.mktemp("runs") / "repeated"))
    score_run(folder)
    made["repeated"] = folder.path
    return made


@pytest.fixture
def compare(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    def run(*arguments: object, columns: int = 100) -> tuple[int, str, str]:
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setattr(sys, "argv", ["compare", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            app.main()
        printed = capsys.readouterr()
        return int(stop.value.code or 0), printed.out, printed.err

    return run


def _first_cell(path: Path) -> str:
    return RunFolder(path).outcomes()[0].identity


@pytest.mark.parametrize("columns", [100, 60])
@pytest.mark.parametrize("name", ["audited", "ten", "hostile"])
def test_no_line_is_wider_than_the_terminal(
    name: str, columns: int, folders: dict[str, Path], compare: Command
) -> None:
    run = folders[name]
    records = [one.identity for one in RunFolder(run).records()[:3]]
    commands: list[tuple[object, ...]] = [
        ("show", run),
        ("score", run),
        *(("show", run, one) for one in records),
        ("diff", run, run),
        ("diff", run, folders["repeated"], "--allow-other-environment"),
    ]
    if name != "ten":
        commands += [("audit", "matrix", run), ("audit", "explain", run, _first_cell(run))]
    for command in commands:
        code, out, err = compare(*command, columns=columns)
        assert code in (0, 3), err
        widest = max(out.splitlines(), key=cell_len)
        assert cell_len(widest) <= columns, (command, widest)
        assert "\x1b" not in out and "\u202e" not in out


@pytest.mark.parametrize("columns", [100, 60])
def test_show_has_the_answer_at_every_width(
    columns: int, folders: dict[str, Path], compare: Command
) -> None:
    _, out, _ = compare("show", folders["audited"], columns=columns)
    squeezed = " ".join(out.split())
    assert "minus twin: accuracy" in squeezed or "minus twin:" in squeezed
    assert "is the twin of" in squeezed
    assert "[" in out and "kB" in out
    if columns == 60:
        assert "  secret from the server?" in out and "\nfhe-head\n" in out
    _, wide, _ = compare("show", folders["audited"], "--wide", columns=columns)
    assert max(map(len, wide.splitlines())) > 150


def test_a_record_is_a_summary_and_json_is_the_record(
    folders: dict[str, Path], compare: Command
) -> None:
    identity = RunFolder(folders["audited"]).records()[0].identity
    _, out, _ = compare("show", folders["audited"], identity[:8])
    assert f"(record {identity[:8]})" in out and "{" not in out
    assert "metric        accuracy: 0." in out
    _, text, _ = compare("show", folders["audited"], identity[:8], "--json")
    assert f'"identity": "{identity}"' in text


def test_a_run_and_itself_are_the_same_run_in_one_sentence(
    folders: dict[str, Path], compare: Command
) -> None:
    _, out, _ = compare("diff", folders["audited"], folders["audited"])
    assert out.startswith("A and B are the same run: ") and "B - A" not in out
    _, again, _ = compare("diff", folders["audited"], folders["repeated"])
    assert "No difference in results" in again and "B - A" not in again
    assert "bytes per image: " in again
    _, other, _ = compare("diff", folders["audited"], folders["hostile"])
    assert "the same run" not in other and "No difference in results" not in other


def test_no_number_has_an_exponent(folders: dict[str, Path], compare: Command) -> None:
    import re

    for command in (
        ("show", folders["audited"]),
        ("diff", folders["audited"], folders["repeated"]),
        ("audit", "explain", folders["audited"], _first_cell(folders["audited"])),
    ):
        assert not re.search(r"\d[eE][+-]\d", compare(*command)[1])


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("audit", "explain", "RUN", "fhe-head/atack_3"), "'fhe-head/attack_3'"),
        (("audit", "explain", "RUN", "fhe-hed/attack_3"), "'fhe-head/attack_3'"),
        (("audit", "matrix", "RUN", "--target", "fhe-hed"), "'fhe-head'"),
        (("audit", "matrix", "RUN", "--attack", "atack_3"), "'attack_3'"),
        (("show", "RUN", "fhe-hed"), "'fhe-head'"),
        (("export", "RUN", "--csv", "--out", "x.csv", "--pipeline", "fhe-hed"), "'fhe-head'"),
        (("report", "RUN", "--format", "pfd"), "'pdf'"),
    ],
)
def test_an_unknown_name_gets_the_nearest_in_two_lines(
    arguments: tuple[str, ...], named: str, folders: dict[str, Path], compare: Command
) -> None:
    words = [str(folders["audited"]) if word == "RUN" else word for word in arguments]
    code, out, err = compare(*words)
    assert (code, out) == (2, "")
    problem, fix = err.splitlines()
    assert problem.startswith("error: ") and named in fix and len(fix) < 300


def test_the_matrix_can_be_of_one_target_and_one_attack(
    folders: dict[str, Path], compare: Command
) -> None:
    _, out, _ = compare(
        "audit", "matrix", folders["audited"], "--target", "fhe-head", "--attack", "attack_3"
    )
    assert out.splitlines()[0].split() == ["fhe-head"]
    assert out.splitlines()[3].startswith("strongest attack")
