"""What a kept result is keyed by of the source: what its module imports, and no wording."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from he_compare.common import identity, plugins, sources
from he_compare.common.identity import source_digest
from he_compare.common.sources import libraries_of, sources_of
from he_compare.comparisons.auditing import audit_cells

Write = Callable[[str, str], None]
ATTACKS = [one.module for one in plugins.discover("attacks").values()]
PIPELINES = [one.module for one in plugins.discover("pipelines").values()]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes modules of a package ``mine``; every digest is then computed anew."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(name: str, text: str) -> None:
        file = tmp_path / "mine" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        for cached in (
            source_digest,
            identity._code_digest,
            sources_of,
            sources._imported_by,
            sources._read,
        ):
            cached.cache_clear()

    write("__init__.py", "import mine.aside\n")
    write("aside.py", "x = 1\n")
    write("attack.py", "def f():\n    from mine.tools import solve\n    return solve.g()\n")
    write("tools/__init__.py", "")
    write("tools/solve.py", "def g():\n    return 1\n")
    return write


def digest() -> str:
    return source_digest(*sources_of("mine.attack"))


def test_a_module_counts_with_what_it_imports_in_functions_too(write: Write) -> None:
    assert sources_of("mine.attack") == ("mine.attack", "mine.tools.solve")
    assert "mine" not in sys.modules
    before = digest()
    write("tools/solve.py", "def g():\n    return 2\n")
    assert digest() != before


def test_a_neighbour_that_is_not_imported_does_not_count(write: Write) -> None:
    before = digest()
    write("aside.py", "x = 2\n")
    write("__init__.py", "import mine.aside as other\n")
    assert digest() == before


@pytest.mark.parametrize(
    "reworded",
    [
        '"""What it is for."""\n\ndef g():\n    return 1\n',
        'def g():\n    """Say one."""\n    return 1\n',
        "# why\ndef g():\n\n    return (1)  # one\n",
    ],
)
def test_wording_and_layout_do_not_count(write: Write, reworded: str) -> None:
    before = digest()
    write("tools/solve.py", reworded)
    assert digest() == before


def test_the_description_of_a_field_is_wording_and_its_default_is_not(write: Write) -> None:
    found = []
    for field in ("1, description='one'", "1, description='the first'", "2, description='one'"):
        write("tools/solve.py", f"x = Field({field})\n")
        found.append(digest())
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("from .tools.solve import g\n", ["mine.tools.solve"]),
        ("from . import aside\n", ["mine.aside"]),
        ("from mine import x\n", ["mine.__init__", "mine.aside"]),
        ("import mine.tools\n", ["mine.tools.__init__"]),
        ("import json, numpy\n", []),
        ("run([python, '-m', 'mine.aside'])\n", ["mine.aside"]),
        ("if TYPE_CHECKING:\n    import mine.aside\nelse:\n    import mine.tools.solve\n",)
        + (["mine.tools.solve"],),
        ("if typing.TYPE_CHECKING:\n    import mine.aside\n", []),
    ],
)
def test_every_kind_of_import_is_followed(write: Write, text: str, found: list[str]) -> None:
    write("attack.py", text)
    assert sources_of("mine.attack") == tuple(sorted(["mine.attack", *found]))


def test_a_module_without_source_is_refused(write: Write) -> None:
    with pytest.raises(ValueError, match=r"'mine\.nowhere' has no source"):
        sources_of("mine.nowhere")


@pytest.mark.parametrize("module", [*ATTACKS, *PIPELINES])
def test_no_command_report_or_folder_encryption_changes_a_result(module: str) -> None:
    wording = ("comparisons.cli", "comparisons.judging", "block_scramble.folder", "reports")
    found = sources_of(module)
    assert module in found
    assert not [one for one in found if one.startswith(tuple(f"he_compare.{w}" for w in wording))]


def test_an_attack_counts_with_its_own_tools_only() -> None:
    jigsaw = sources_of("he_compare.comparisons.attacks.jigsaw")
    blind = sources_of("he_compare.comparisons.attacks.blind_rotation")
    placement = "he_compare.common.block_solving.placement"
    rotation = "he_compare.comparisons.attacks.tools.rotation"
    assert placement in jigsaw and placement not in blind
    assert rotation in blind and rotation not in jigsaw
    assert source_digest(*jigsaw) != source_digest(*blind)


def test_what_is_inert_is_left_out_unless_it_is_asked_for() -> None:
    for module in sources.INERT:
        assert module in sources_of(module)
        for other in (*ATTACKS, *PIPELINES):
            assert module not in sources_of(other)


def test_what_is_inert_computes_nothing() -> None:
    """It imports no library that computes, and of the house names and types only."""
    allowed = sources.INERT | {"he_compare.common.types"}
    for module in sources.INERT:
        ((_, file),) = sources.source_files(module)
        imported = {name.partition(".")[0] for name, _, level in sources._read(file)[0]}
        assert imported <= {"he_compare", *sys.stdlib_module_names}
        assert set(sources_of(module)) <= allowed


def test_no_outcome_is_redone_for_how_it_is_shown_or_stored() -> None:
    found = {one.removeprefix("he_compare.") for one in sources_of(*audit_cells.JUDGES)}
    assert {"comparisons.auditing.verdicts", "comparisons.auditing.adversary_view"} <= found
    assert found.isdisjoint(
        {
            "comparisons.progress",
            "comparisons.auditing.harness",
            "comparisons.auditing.lanes",
            "comparisons.auditing.artefacts",
            "comparisons.auditing.suite",
            "common.plugins",
            "common.run.old_records",
        }
    )


@pytest.mark.parametrize("module", ["features", "finetune"])
def test_what_a_backbone_gives_does_not_hang_on_the_others(module: str) -> None:
    found = sources_of(f"he_compare.common.backbones.{module}")
    assert "he_compare.common.backbones.deit" in found
    assert "he_compare.common.backbones.convnet" not in found


def test_libraries_are_what_is_imported_from_elsewhere_also_inside_functions(write: Write) -> None:
    write(
        "work.py",
        """
import json
from typing import TYPE_CHECKING
from he_compare.common import seeds
from . import aside
if TYPE_CHECKING:
    import pandas

def later():
    from sklearn.linear_model import LogisticRegression
""",
    )
    assert libraries_of("mine.work") == ("json", "sklearn.linear_model", "typing")
