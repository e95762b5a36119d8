"""The documentation holds: commands parse, cheap ones run, code runs, links lead somewhere."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from he_compare.common import plugins
from he_compare.common.run.store import RunFolder
from he_compare.comparisons.cli import app
from he_compare.comparisons.judging.limits import Policy
from he_compare.comparisons.judging.scoring import score_run
from tests.support.commandline import parse, words_of
from tests.support.repository import ROOT
from tests.support.samplerun import FHE, PLAIN, SCRAMBLE, build
from tools import build_reference

PAGES = sorted((ROOT / "docs").rglob("*.md")) + [ROOT / "README.md"]
# Commands that only read a run, and so are executed on a sample run.
EXECUTED = {"show", "score", "report", "verify", "diff", "export", "list", "schema"}
# Placeholders, what needs pyarrow, and runs that a how-to makes (its own test runs the how-to).
NOT_EXECUTED = ("[", "--parquet", " runs/")


def _commands(page: Path) -> list[str]:
    """Return the lines that begin with ``compare`` in code blocks of a page, comments cut off."""
    fences = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    blocks = [block for language, block in fences if language in ("", "sh")]
    lines = [line for block in blocks for line in block.splitlines()]
    return [line.strip() for line in lines if line.startswith("compare ")]


ALL = sorted({(page.name, line) for page in PAGES for line in _commands(page)})
CHEAP = [
    line
    for _, line in ALL
    if line.split()[1] in EXECUTED and not any(part in line for part in NOT_EXECUTED)
]


def test_there_are_commands_to_check() -> None:
    assert len(ALL) >= 40
    assert {line.split()[1] for line in CHEAP} >= EXECUTED - {"schema", "score"}


@pytest.mark.parametrize(("page", "line"), ALL)
def test_every_command_in_the_documentation_parses(page: str, line: str) -> None:
    parse(words_of(line))


def test_the_check_itself_sees_a_wrong_option() -> None:
    with pytest.raises(Exception, match="No such option"):
        parse(words_of("compare report RUN --fromat md"))


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two scored runs and the policy of the documentation."""
    folder = tmp_path_factory.mktemp("docs")
    for name in ("RUN", "RUN_B"):
        run = build((PLAIN, SCRAMBLE, FHE), classes=("a", "b"), n=60, untrained=False, rounds=1)
        made = RunFolder(run.write(folder / name))
        score_run(made)
        made.write_sums()
    text = (ROOT / "docs" / "how-to" / "verify.md").read_text()
    (block,) = re.findall(r"```toml\n(.*?)```", text, flags=re.DOTALL)
    (folder / "policy.toml").write_text(block)
    return folder


@pytest.mark.parametrize("line", sorted(set(CHEAP)))
def test_commands_that_read_a_run_do_what_they_say(
    line: str, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workplace)
    monkeypatch.setattr("sys.argv", ["compare", *words_of(line)])
    with pytest.raises(SystemExit) as stop:
        app.main()
    # The sample run was not attacked, so the policy of the documentation is not kept.
    assert (stop.value.code or 0) == (4 if "--policy" in line else 0)


def test_the_policy_of_the_documentation_is_one(workplace: Path) -> None:
    import tomllib

    policy = Policy.model_validate(tomllib.loads((workplace / "policy.toml").read_text()))
    assert len(policy.rule) == 2


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_of_the_documentation_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if not re.match(r"[a-z]+:|#", target):
            assert (page.parent / target.partition("#")[0]).exists(), target


@pytest.mark.parametrize("name", ["commands.md", "records.md", "metrics.md"])
def test_the_reference_is_what_the_code_says(name: str) -> None:
    if os.environ.get("UPDATE_GOLDEN") == "1":
        build_reference.main()
    stored = (build_reference.FOLDER / name).read_text(encoding="utf-8")
    assert stored == build_reference.pages()[name], "run python -m tools.build_reference"


def test_the_notebook_runs(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUN", str(workplace / "RUN"))
    notebook = json.loads((ROOT / "docs" / "notebooks" / "first-look.ipynb").read_text())
    names: dict[str, Any] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
    assert list(names["frame"]["label"]) == ["plaintext", "block-scramble[al_amin]", "fhe-head"]
    assert names["figure"].axes


def test_python_in_the_documentation_runs(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(workplace)
    blocks = [
        block
        for page in PAGES
        for block in re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)
    ]
    assert blocks
    for block in blocks:
        code = compile(block, "documentation", "exec")
        if "dask_jobqueue" not in block:  # it starts jobs of a queue
            exec(code, {})
    assert "plaintext" in capsys.readouterr().out


TREE = ("common", "block_scramble", "fhe_baseline", "comparisons", "reports", "tests", "tools")
ALL_PAGES = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_is_in_the_tree(page: Path) -> None:
    text = page.read_text()
    if "**Status:** replaced by" in text:
        return  # a decision of the past names the files of its time
    named = re.findall(rf"`((?:{'|'.join(TREE)})/[\w./]*)`", text)
    assert [one for one in named if not (ROOT / one).exists()] == []


def test_the_table_of_plugin_kinds_is_that_of_the_code() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    rows = re.findall(r"^\| [\w ]+ \| (`[^|]+/`) \| `(\w+)` \|", text, flags=re.MULTILINE)
    stated = {attribute: set(re.findall(r"`([\w/]+)/`", folders)) for folders, attribute in rows}
    found = {
        kind.attribute: {one.removeprefix("he_compare.").replace(".", "/") for one in kind.packages}
        for kind in plugins.KINDS.values()
    }
    assert stated == found


def test_the_readme_is_short_and_its_prose_lines_too() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 110
    prose = [line for line in text.splitlines() if not line.startswith(("|", "!["))]
    assert max(map(len, prose)) <= 100
