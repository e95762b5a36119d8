"""Plug-ins: what is found, how the good ones load, and that a bad one is named and loses no other.

Third parties are distributions written into a temporary folder, as ``pip`` would leave them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from he_compare.common import plugins
from he_compare.common.errors import UnknownNameError, UsageError
from he_compare.comparisons.auditing import suite
from he_compare.comparisons.cli import listing

Install = Callable[..., Path]


def cipher(name: str) -> str:
    """Return the source of a cipher of that name."""
    return (
        '"""A cipher of somebody else."""\n'
        "from he_compare.block_scramble.ciphers.vit_block import VitBlock\n"
        f"class Mine(VitBlock):\n    name = {name!r}\n"
        "CIPHER = Mine()\n"
    )


CIPHER = cipher("mine")


def listed(section: str) -> dict[str, dict[str, str]]:
    return {row["name"]: row for row in listing.collect(section)[section]}


def broken_reason(kind: str, name: str) -> str:
    """Return why a plug-in is broken, having seen that it is listed so and cannot be used."""
    row = listed(kind)[name]
    assert f"BROKEN: {row['broken']}" in listing.render(listing.collect(kind))
    with pytest.raises(UsageError) as refused:
        plugins.load(kind, name)
    assert row["broken"] in str(refused.value) and refused.value.fix
    assert not isinstance(refused.value, UnknownNameError)
    return row["broken"]


def assert_the_built_in_ciphers_are_there() -> None:
    found = plugins.discover("ciphers")
    assert {"al_amin", "vit_block", "identity", "noise"} <= set(found)
    assert plugins.load("ciphers", "vit_block").name == "vit_block"
    assert not listed("ciphers")["vit_block"].get("broken")
    assert "identity" in plugins.load_all("ciphers")


def test_plugins_are_found_by_file_name_with_their_summary() -> None:
    assert_the_built_in_ciphers_are_there()
    assert all(plugin.summary for plugin in plugins.discover("ciphers").values())


@pytest.mark.parametrize("kind", sorted(plugins.KINDS))
def test_every_file_of_a_plugin_folder_is_a_plugin_that_loads(kind: str) -> None:
    found = plugins.survey(kind)
    assert [plugin for plugin in found.broken if plugin.origin == plugins.BUILT_IN] == []
    assert found.usable
    for plugin in found.usable.values():
        assert plugin.load() is not None


@pytest.mark.parametrize(
    ("kind", "name", "hint"),
    [
        ("datasets", "chestxrya", "'chestxray'"),
        ("pipelines", "block-scrambel", "'block-scramble'"),
        ("ciphers", "vitblock", "'vit_block'"),
        ("ciphers", "zzzz", "known: "),
    ],
)
def test_an_unknown_name_gives_the_nearest(kind: str, name: str, hint: str) -> None:
    with pytest.raises(UnknownNameError, match=hint):
        plugins.find(kind, name)


def test_an_unknown_kind_gives_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="'ciphers'"):
        plugins.discover("cyphers")


def test_hyphen_and_underscore_are_one_letter() -> None:
    assert plugins.find("pipelines", "Block_Scramble").name == "block-scramble"


def test_a_third_party_pipeline_is_found_by_its_entry_point(echo: str) -> None:
    plugin = plugins.find("pipelines", echo)
    assert plugin.origin == "echo-pipeline"
    assert plugin.load().name == "echo"


def test_a_summary_is_read_without_importing_the_module(install: Install) -> None:
    install("theirs", {"ciphers/mine": "their_cipher"}, their_cipher=CIPHER)
    assert plugins.find("ciphers", "mine").summary == "A cipher of somebody else."
    assert "their_cipher" not in sys.modules
    assert listed("ciphers")["mine"]["origin"] == "theirs"


def test_an_entry_point_may_name_an_attribute(install: Install) -> None:
    source = '"""Two families."""\nclass Box:\n    one = ["first"]\nOTHER = ["second"]\n'
    entries = {"metrics/one": "two_families:Box.one", "metrics/two": "two_families:OTHER"}
    install("theirs", entries, two_families=source)
    assert plugins.load("metrics", "one") == ["first"]
    assert plugins.load("metrics", "two") == ["second"]


def test_a_module_may_serve_several_names(install: Install) -> None:
    source = (
        '"""A family."""\n'
        'NAMES = {"alpha": "The first.", "beta": "The second.", "gamma": "Not there."}\n'
        "from he_compare.block_scramble.ciphers.vit_block import VitBlock\n"
        'CIPHER = {name: type(name, (VitBlock,), {"name": name})() for name in ("alpha", "beta")}\n'
    )
    install("theirs", {"ciphers/family": "family"}, family=source)
    assert plugins.load("ciphers", "alpha").name == "alpha"
    assert plugins.load("ciphers", "beta").name == "beta"
    assert plugins.find("ciphers", "beta").summary == "The second."
    assert "family" not in plugins.discover("ciphers")
    assert "no entry 'gamma'" in broken_reason("ciphers", "gamma")


def test_names_that_must_be_computed_are_refused(install: Install) -> None:
    source = '"""A family."""\nNAMES = dict(a="b")\nCIPHER = {}\n'
    install("theirs", {"ciphers/family": "family"}, family=source)
    assert "line 2: NAMES is no literal" in broken_reason("ciphers", "family")


def test_a_misspelt_attribute_names_the_file_the_attribute_and_the_misspelling(
    install: Install,
) -> None:
    source = '"""Misspelt."""\nfrom pathlib import Path\nCIHPER = object()\n'
    install("theirs", {"ciphers/mine": "misspelt"}, misspelt=source)
    reason = broken_reason("ciphers", "mine")
    assert reason == "misspelt.py has no attribute CIPHER; it has CIHPER, which may be misspelt"
    assert_the_built_in_ciphers_are_there()


def test_a_misspelt_attribute_in_a_folder_of_the_house_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "house" / "attacks"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "good.py").write_text('"""Good."""\nATTACK = 1\n')
    (package / "support.py").write_text('"""No plug-in."""\nATACK = 1\n')
    (package / "_private.py").write_text('"""No plug-in either."""\nATTACK: int\n')
    (package / "torn.py").write_text("ATTACK = (\n")
    monkeypatch.syspath_prepend(str(package.parent))
    kind = plugins.PluginKind("rooms", ("attacks",), "ATTACK", "room")
    monkeypatch.setitem(plugins.KINDS, "rooms", kind)
    found = plugins.survey("rooms")
    assert list(found.usable) == ["good"]
    assert [(one.name, one.reason) for one in found.broken] == [
        ("_private", "_private.py has no attribute ATTACK"),
        ("support", "support.py has no attribute ATTACK; it has ATACK, which may be misspelt"),
        ("torn", "torn.py cannot be read: line 1: '(' was never closed"),
    ]
    with pytest.raises(UsageError, match=r"room 'support' cannot be used: support\.py has no"):
        plugins.find("rooms", "support")


@pytest.mark.parametrize(
    "source",
    [
        "from elsewhere import CIPHER\n",
        "import elsewhere as CIPHER\n",
        "try:\n    CIPHER = 1\nexcept ImportError:\n    CIPHER = 2\n",
        "CIPHER: int = 1\n",
        "class CIPHER: ...\n",
        "from elsewhere import *\n",
        "def __getattr__(name): ...\n",
        "if (CIPHER := 1):\n    pass\n",
    ],
)
def test_whatever_may_bind_the_attribute_is_not_called_misspelt(
    source: str, install: Install
) -> None:
    install("theirs", {"ciphers/mine": "bound"}, bound=source)
    assert "mine" in plugins.discover("ciphers")


def test_a_plugin_that_raises_on_import_is_broken_alone(install: Install) -> None:
    good = {"ciphers/good": "good_cipher"}
    install("good", good, good_cipher=cipher("good"))
    install("theirs", {"ciphers/mine": "raising"}, raising='CIPHER = 1\nraise OSError("no disk")\n')
    install("others", {"ciphers/ends": "ending"}, ending="CIPHER = 1\nraise SystemExit(3)\n")
    assert broken_reason("ciphers", "mine") == "importing raising raised OSError: no disk"
    assert broken_reason("ciphers", "ends") == "importing ending raised SystemExit: 3"
    assert plugins.load("ciphers", "good") is not None
    assert not listed("ciphers")["good"].get("broken")
    assert_the_built_in_ciphers_are_there()


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("no_such_module", "names module no_such_module, which does not exist"),
        ("json.no_such_part", "names module json.no_such_part, which does not exist"),
        ("json.decoder.deeper", "names module json.decoder.deeper, which does not exist"),
        ("json:CIPHER", "__init__.py has no attribute CIPHER"),
        ("math", "math has no attribute CIPHER"),
        ("!!", "does not parse"),
    ],
)
def test_an_entry_point_that_does_not_resolve_is_named(
    value: str, reason: str, install: Install
) -> None:
    install("theirs", {"ciphers/mine": value})
    assert reason in broken_reason("ciphers", "mine")
    assert_the_built_in_ciphers_are_there()


def test_finding_a_module_does_not_import_its_package(install: Install, tmp_path: Path) -> None:
    install("theirs", {"ciphers/mine": "package.cipher"})
    package = tmp_path / "theirs" / "package"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (package / "cipher.py").write_text(CIPHER)
    plugins.survey.cache_clear()
    assert plugins.find("ciphers", "mine").summary == "A cipher of somebody else."
    assert "raised RuntimeError: imported" in broken_reason("ciphers", "mine")


def test_a_built_in_plugin_keeps_its_name_and_the_other_is_named(
    install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    install("theirs", {"ciphers/vit-block": "their_cipher"}, their_cipher=CIPHER)
    assert_the_built_in_ciphers_are_there()
    assert "cipher 'vit-block' of theirs cannot be used" in caplog.text
    assert "the built-in one is used" in caplog.text
    row = listed("ciphers")["vit-block"]
    assert row["origin"] == "theirs"
    assert row["broken"] == (
        "he_compare.block_scramble.ciphers.vit_block (built in) and their_cipher (theirs) have the "
        "same name"
    )


def test_of_two_third_parties_with_one_name_neither_is_used(install: Install) -> None:
    install("theirs", {"ciphers/mine": "cipher_a"}, cipher_a=CIPHER)
    install("others", {"ciphers/Mine": "cipher_b"}, cipher_b=CIPHER)
    for name in ("mine", "Mine"):
        reason = broken_reason("ciphers", name)
        assert "cipher_a" in reason and "cipher_b" in reason
    assert_the_built_in_ciphers_are_there()


def test_a_broken_metric_or_attack_takes_no_other_with_it(
    install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    from he_compare.common.statistics.evaluation import all_metrics

    raising = 'METRICS = ATTACK = CHECK = 1\nraise ValueError("bad")\n'
    before = [metric.name for metric in all_metrics()], suite.names()
    install("theirs", {"metrics/m": "bad", "attacks/a": "bad", "checks/c": "bad"}, bad=raising)
    all_metrics.cache_clear()
    assert ([metric.name for metric in all_metrics()], suite.names()) == before
    for what in ("metric family 'm'", "attack 'a'", "check 'c'"):
        assert f"{what} of theirs cannot be used: importing bad raised ValueError" in caplog.text
    all_metrics.cache_clear()


def test_an_attack_and_a_check_are_found_by_one_option(install: Install) -> None:
    assert suite.find("jigsaw").kind == "attacks"
    assert suite.find("key-space").name == "key_space"
    assert suite.find("ind_cpa_d").kind == "checks"
    with pytest.raises(UnknownNameError, match="'jigsaw'"):
        suite.find("jigsav")
    install("theirs", {"checks/jigsaw": "theirs_check"}, theirs_check="CHECK = 1\n")
    assert suite.find("jigsaw").origin == plugins.BUILT_IN
    assert "theirs_check (theirs) have the same name" in broken_reason("checks", "jigsaw")


def test_of_an_attack_and_a_check_of_one_name_neither_is_used(
    install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    before = suite.names()
    install("theirs", {"attacks/clash": "attack_c"}, attack_c="ATTACK = 1\n")
    install("others", {"checks/clash": "check_c"}, check_c="CHECK = 1\n")
    assert suite.names() == before
    for kind in ("attacks", "checks"):
        reason = broken_reason(kind, "clash")
        assert reason == "attack_c (theirs) and check_c (others) have the same name"
    assert "attack 'clash' of theirs cannot be used" in caplog.text
    with pytest.raises(plugins.BrokenPluginError, match="have the same name"):
        suite.find("clash")


@pytest.mark.parametrize(
    ("kind", "source", "reason", "fix"),
    [
        ("ciphers", "{C}CIPHER = Mine\n", "CIPHER is the class Mine", "CIPHER = Mine()"),
        ("ciphers", "CIPHER = 7\n", "type int, but must be a Cipher", "block_scramble.cipher.Cip"),
        ("attacks", "{A}", "ATTACK has no attribute title", "set title in the class Mine"),
        ("ciphers", "{C}Mine.name = 'x'\n", "the name 'x', but is registered as 'mine'", "'x'"),
        ("datasets", "DATASET = 1\n", "must be a DatasetFamily", "assign an instance"),
        ("pipelines", "PIPELINE = 1\n", "must be a Pipeline", "assign an instance"),
        ("packings", "PACKING = 1\n", "must be a Packing", "assign an instance"),
        ("checks", "CHECK = 1\n", "must be a Check", "assign an instance"),
        ("sections", "SECTION = 1\n", "must be a ReportSection", "assign an instance"),
        ("metrics", "METRICS = 1\n", "must be a Sequence", "assign"),
    ],
)
def test_an_object_of_the_wrong_kind_is_broken(
    kind: str, source: str, reason: str, fix: str, install: Install
) -> None:
    attack = (
        "from he_compare.common.attack import Attack\n"
        "class Mine(Attack):\n    name = 'mine'\n"
        "    def run(self, *_): ...\n    def score(self, *_): ...\n"
        "ATTACK = Mine()\n"
    )
    written = source.replace("{C}", CIPHER).replace("{A}", attack)
    install("theirs", {f"{kind}/mine": "wrong_kind"}, wrong_kind=written)
    found = broken_reason(kind, "mine")
    assert reason in found and "wrong_kind" in found
    with pytest.raises(plugins.BrokenPluginError) as refused:
        plugins.load(kind, "mine")
    assert fix in refused.value.fix


def test_a_dataset_whose_card_raises_is_shown_as_broken(install: Install) -> None:
    source = (
        "from he_compare.common.datasets.folder import Folder\n"
        "class Bad(Folder):\n    name = 'bad'\n"
        "    def card(self): raise RuntimeError('no card')\nDATASET = Bad()\n"
    )
    install("theirs", {"datasets/bad": "bad_dataset"}, bad_dataset=source)
    rows = {row["name"]: row for row in listing.collect("datasets", details=True)["datasets"]}
    assert rows["bad"]["broken"] == "its card raised RuntimeError: no card"
    assert json.dumps(rows["chestxray"]["card"])


def test_the_list_names_who_brought_a_plug_in_and_has_no_markup() -> None:
    row = {"name": "mine", "summary": "Packing ``mine``: of ours.", "origin": "my-package"}
    ours = {"name": "theirs", "summary": "Theirs.", "origin": plugins.BUILT_IN}
    text = listing.render({"packings": [row, ours]})
    assert "mine    Packing mine: of ours. [my-package]" in text
    assert text.endswith("Theirs.")
