"""Imports go down the floors, in no circle, by one name; a name means one thing in the house."""

from __future__ import annotations

from pathlib import Path

import pytest

from he_compare.common.plugin_kinds import KINDS
from tests.support.repository import ROOT
from tools import imports, names

FILES = imports.modules(ROOT)

# Words that name modules in several folders, and why one word is right. The list only shrinks.
SHARED_STEMS = {
    "accuracy": "the metrics, their section and their figure",
    "audit": "what is done, and the commands that start it",
    "claims": "of a CKKS set, of a TFHE circuit, and the section that prints claims",
    "client": "the client's half of a protocol, one per protocol",
    "convnet": "the network, and the pipeline that is called after it",
    "encrypted_training": "what a record says, and the section that prints it",
    "facts": "what anybody finds out about a scheme, and the worth of a CKKS set or TFHE circuit",
    "fitted": "what a fit leaves behind, one per side",
    "identity": "the key of a result, and the cipher that does nothing",
    "inference": "classification under CKKS and under TFHE",
    "library": "how TenSEAL and how Concrete are loaded",
    "parameters": "of the block-scramble pipelines, and of CKKS",
    "photographs": "pictures as nodes of a document, and their rendering",
    "public_material": "what a server is given, one per protocol",
    "robustness": "what is measured, its section and its figure",
    "scales": "of an inference and of a training",
    "scheme": "the contract, and one per side",
    "security": "the section, and its figures",
    "server": "the server's half of a protocol, one per protocol",
    "training": "under block scrambling and under TFHE",
}

# Functions of one name, and why one word is right: one meaning in several rooms, or the command of
# that name. The list only shrinks.
SHARED_FUNCTIONS = {
    "as_array": "bytes as an array that a message carries",
    "as_bytes": "rounded and cut to bytes: of a ciphertext, and of a reconstruction",
    "as_json": "what a command prints, as JSON values",
    "as_pictures": "a ciphertext to look at, for who knows its cipher and for who does not",
    "availability": "whether a library can be used here, one per library",
    "check": "what is done, and its command",
    "decrypt": "with the key that was recovered, and the command",
    "describe": "what was found, as text",
    "export": "what is done, and its command",
    "find": "a plug-in by name, of one kind and of the two that an audit knows",
    "inference_claims": "under CKKS and under TFHE",
    "join": "what was cut: a body into messages, a picture into blocks",
    "judge": "the outcome of an attack, and pictures that came back",
    "judged": "a search as a finding, one per check",
    "load": "a plug-in of one kind or of two, and a key",
    "main": "of a process",
    "make_card": "of a folder of pictures, and of one of DICOM files",
    "make_plan": "of a run, and of an inference",
    "parameters": "their spelling, and the command that audits them",
    "plan": "scales of a packing, one per packing",
    "public_material": "what a server is given, one per protocol",
    "render": "what is printed or written, as text",
    "rendered_files": "of a report, one per format",
    "rotate": "a key, and its command",
    "run": "the door, and three commands",
    "score": "stored predictions, and its command",
    "show": "two commands: of a run, and of a key",
    "shown": "what is seen: of a ciphertext, and of a picture on a page",
    "spans": "of a document, one per format",
    "train": "a network in the clear, and a head under TFHE",
    "training_claims": "under CKKS and under TFHE",
    "training_facts": "under CKKS and under TFHE",
    "training_header": "of a transformer, and of a network",
}

# Constants of one name of which another module imports one. The list only shrinks.
SHARED_CONSTANTS = {
    "ARCHITECTURE": "of a network, one per network",
    "ARCHIVE": "where data sets are published, and the part of a message that holds a circuit",
    "BATCH": "images or rows in a step of training",
    "BYTES": "that values are bytes: moved by a kernel, asked of a target, carried in a message",
    "CHANNELS": "three, of a picture",
    "COMPARED": "what is compared: metrics, blocks, pixels",
    "ENFORCED_BY": "who enforces parameters, one per scheme",
    "GREY": "a colour, and how DICOM names grey pictures",
    "INK": "a colour, of a contact sheet and of figures",
    "LARGEST": "allowed: of a file, of a block, of a picture",
    "LEVEL": "of confidence",
    "LEVELS": "of CKKS that a packing uses, and of security",
    "LOGGER": "of a module",
    "MANIFEST": "of an encrypted folder, and of a run",
    "NOT_CLAIMED": "under CKKS and under TFHE, and how old records marked it",
    "POLICY_OPTION": "the option of a cipher that says whose key it is",
    "ROLE": "of a server, one per protocol",
    "RULE": "how a DICOM image becomes grey levels, and the colour of a line",
    "SEED_BITS": "width of a seed for tests, and entropy of the seed of Concrete",
    "SIZES": "of the cohort's splits, and of the pictures of MedMNIST",
    "SMALLEST": "allowed: of a block, of a picture",
    "SUFFIXES": "of files that are read, one per kind of file",
    "TRAINING": "the phase of a deployment, the share of pairs, the heading in the help",
    "WORDS": "of a verdict, and of a section",
}


@pytest.fixture(scope="module")
def graph() -> imports.Graph:
    return imports.graph_of(FILES)


def test_no_modules_import_each_other_in_a_circle(graph: imports.Graph) -> None:
    assert imports.circles(graph) == []


def test_imports_go_down_the_floors_and_nothing_imports_a_door(graph: imports.Graph) -> None:
    assert imports.upward(graph) == []


def test_everything_is_imported_by_its_one_name() -> None:
    outside = [
        (file.relative_to(ROOT).as_posix(), file)
        for folder in imports.OUTSIDE
        for file in sorted((ROOT / folder).rglob("*.py"))
    ]
    assert imports.foreign([*FILES.items(), *outside]) == []


def test_no_plugin_imports_another_of_its_kind(graph: imports.Graph) -> None:
    assert imports.siblings(graph, {name: kind.packages for name, kind in KINDS.items()}) == []


def test_no_two_public_classes_share_a_name() -> None:
    assert names.shared_classes(FILES) == {}


def test_no_two_public_functions_share_a_name_without_a_reason() -> None:
    assert set(names.shared_functions(FILES)) == set(SHARED_FUNCTIONS)


def test_no_two_constants_share_a_name_without_a_reason() -> None:
    assert set(names.shared_constants(FILES)) == set(SHARED_CONSTANTS)


def test_no_two_modules_share_a_name_without_a_reason() -> None:
    assert set(names.shared_stems(FILES)) == set(SHARED_STEMS)


# The checks themselves, on small houses with something wrong in them -----------------------------


def house(folder: Path, modules: dict[str, str]) -> dict[str, Path]:
    """Write modules by path (``common/a``) and source; return their files by name."""
    for path, source in modules.items():
        file = folder / f"{path}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source)
    return imports.modules(folder)


@pytest.mark.parametrize(
    "back",
    [
        "from he_compare.common import a",
        "from he_compare.common.a import thing",
        "import he_compare.common.a",
        "from . import a",
        "from .a import thing",
        "def later():\n    from he_compare.common.a import thing",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import he_compare.common.a",
    ],
)
def test_a_planted_circle_is_found(tmp_path: Path, back: str) -> None:
    files = house(
        tmp_path,
        {
            "common/a": "from he_compare.common.b import thing",
            "common/b": "from he_compare.common.c import thing",
            "common/c": back,
            "common/d": "from he_compare.common.a import thing",
        },
    )
    (circle,) = imports.circles(imports.graph_of(files))
    assert circle == ["he_compare.common.a", "he_compare.common.b", "he_compare.common.c"]


def test_a_house_without_a_circle_has_none(tmp_path: Path) -> None:
    files = house(
        tmp_path,
        {
            "common/a": "from he_compare.common import b, c",
            "common/b": "from he_compare.common.c import thing",
            "common/c": "import os",
        },
    )
    assert imports.circles(imports.graph_of(files)) == []


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("common/a", "he_compare.reports.b"),
        ("block_scramble/a", "he_compare.fhe_baseline.b"),
        ("reports/a", "he_compare.comparisons.b"),
        ("comparisons/judging/a", "he_compare.reports.b"),
        ("comparisons/judging/a", "he_compare.comparisons.cli.b"),
        ("comparisons/api", "he_compare.reports.b"),
        ("comparisons/api", "he_compare.block_scramble.b"),
    ],
)
def test_a_planted_upward_import_is_found(tmp_path: Path, importer: str, imported: str) -> None:
    path = imported.removeprefix("he_compare.").replace(".", "/")
    files = house(tmp_path, {importer: f"def f():\n    import {imported}", path: ""})
    (line,) = imports.upward(imports.graph_of(files))
    assert line == f"he_compare.{importer.replace('/', '.')} imports {imported}"


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("reports/a", "he_compare.common.b"),
        ("comparisons/cli/app", "he_compare.reports.b"),
        ("comparisons/run", "he_compare.comparisons.api"),
        ("comparisons/__main__", "he_compare.comparisons.cli.app"),
    ],
)
def test_imports_that_go_down_or_through_a_door_are_no_offence(
    tmp_path: Path, importer: str, imported: str
) -> None:
    path = imported.removeprefix("he_compare.").replace(".", "/")
    files = house(tmp_path, {importer: f"import {imported}", path: ""})
    assert imports.upward(imports.graph_of(files)) == []


def test_an_import_of_what_does_not_exist_is_named(tmp_path: Path) -> None:
    files = house(tmp_path, {"common/a": "from he_compare.common.gone import thing"})
    with pytest.raises(ValueError, match=r"he_compare\.common\.a imports .*gone.*not exist"):
        imports.graph_of(files)


@pytest.mark.parametrize(
    ("name", "source", "offends"),
    [
        ("he_compare.common.a", "import common", True),
        ("tests/a.py", "from common.errors import UsageError", True),
        ("tests/a.py", "from comparisons.cli import app", True),
        ("tests/a.py", "from comparisons import run, load_run", False),
        ("tests/a.py", "from he_compare.common.errors import UsageError", False),
        ("he_compare.reports.a", "from comparisons import load_run", True),
        ("he_compare.reports.a", "from tests.support import batches", True),
        ("he_compare.reports.a", "import benchmarks.rows", True),
        ("benchmarks/a.py", "import benchmarks.rows", False),
    ],
)
def test_names_that_bypass_the_one_name_are_found(
    tmp_path: Path, name: str, source: str, offends: bool
) -> None:
    file = tmp_path / "a.py"
    file.write_text(source)
    assert bool(imports.foreign([(name, file)])) is offends


def test_a_plugin_that_imports_its_neighbour_is_found(tmp_path: Path) -> None:
    files = house(
        tmp_path,
        {
            "comparisons/attacks/a": "from he_compare.comparisons.attacks.tools.t import thing",
            "comparisons/attacks/b": "from he_compare.comparisons.attacks.a import thing",
            "comparisons/attacks/tools/t": "",
        },
    )
    graph = imports.graph_of(files)
    (line,) = imports.siblings(graph, {"attacks": ("he_compare.comparisons.attacks",)})
    assert (
        line
        == "he_compare.comparisons.attacks.b imports he_compare.comparisons.attacks.a (attacks)"
    )


def test_classes_and_modules_of_one_name_are_found(tmp_path: Path) -> None:
    files = house(
        tmp_path,
        {
            "common/a": "class Frame: ...\nclass _Own: ...",
            "reports/a": "class Frame: ...\nclass _Own: ...\nclass Other: ...",
        },
    )
    both = ["he_compare.common.a", "he_compare.reports.a"]
    assert names.shared_classes(files) == {"Frame": both}
    assert names.shared_stems(files) == {"a": both}


def test_functions_and_imported_constants_of_one_name_are_found(tmp_path: Path) -> None:
    files = house(
        tmp_path,
        {
            "common/a": "def read(): ...\ndef _own(): ...\nMOST, OWN = 1, 2\nLEAST: int = 3",
            "reports/b": "async def read(): ...\ndef _own(): ...\nMOST = OWN = LEAST = 4",
            "reports/c": "def f():\n    from he_compare.common.a import MOST, LEAST",
        },
    )
    both = ["he_compare.common.a", "he_compare.reports.b"]
    assert names.shared_functions(files) == {"read": both}
    assert names.shared_constants(files) == {"LEAST": both, "MOST": both}
