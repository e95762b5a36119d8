"""Study files: what ships parses, and everything wrong is refused by its line, before any work."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_compare.common.errors import UnknownNameError, UsageError
from he_compare.comparisons.studying.study_file import (
    AskedStudy,
    parse_study,
    read_study_file,
    shipped_studies,
)
from he_compare.comparisons.studying.toml_lines import line_of_key

GOOD = """title = "Mine"
seeds = [4, 5]
profile = "smoke"
pipelines = [
    "plaintext",
    "block-scramble[cipher=vit_block]",
]

[margins]
accuracy = 0.04

[settings]
image_size = 64
epochs = 2

[data.chest]
dataset = "chestxray"
title = "Chest X-rays"
epochs = 3
more = ["local"]
without = ["plaintext"]

[data.small]
dataset = "pneumoniamnist"
"""


def parsed(text: str) -> AskedStudy:
    return parse_study(text.encode(), "mine.toml")


def test_a_study_file_gives_a_configuration_for_each_data_set() -> None:
    study = parsed(GOOD)
    chest, small = study.sets
    assert (study.title, study.seeds) == ("Mine", (4, 5))
    assert study.margins == {"accuracy": 0.04, "auc": 0.03}
    assert chest.config.pipelines == ["block-scramble[cipher=vit_block]", "local"]
    assert small.config.pipelines == ["plaintext", "block-scramble[cipher=vit_block]"]
    assert (chest.config.epochs, small.config.epochs) == (3, 2)
    assert {one.config.image_size for one in study.sets} == {64}
    assert {one.config.seed for one in study.sets} == {4}
    assert (chest.title, small.title) == ("Chest X-rays", "small")


def test_the_digest_is_of_what_is_asked_and_not_of_how_it_is_written() -> None:
    digest = parsed(GOOD).digest
    assert parsed(f"# words\n{GOOD}\n").digest == digest
    moved = GOOD.replace("image_size = 64\nepochs = 2", "epochs = 2\nimage_size = 64")
    assert parsed(moved).digest == digest
    for old, new in (("0.04", "0.05"), ("[4, 5]", "[4, 6]"), ("epochs = 3", "epochs = 4")):
        assert parsed(GOOD.replace(old, new)).digest != digest


@pytest.mark.parametrize("name", shipped_studies())
def test_studies_that_ship_parse(name: str) -> None:
    study = read_study_file(name)
    assert study.folder is None and study.digest == read_study_file(name).digest
    for one in study.sets:
        protected = [text for text in one.config.pipelines if text.startswith(("block", "fhe"))]
        twins = {"plaintext", "plaintext[model=logistic]"}
        assert not protected or twins <= set(one.config.pipelines)


PUBLISHED = f"""{GOOD}
[published.somebody-2024]
work = "Somebody et al., 2024"
says = "0.94 or so"
data = "chest"
pipeline = "block-scramble[cipher=vit_block]"
metric = "accuracy"
minus_twin = true
checked = "abstract"
"""


def test_published_figures_name_a_row_a_pipeline_and_a_metric() -> None:
    study = parsed(PUBLISHED)
    (figure,) = study.published
    assert (figure.work, figure.says, figure.checked) == (
        "Somebody et al., 2024",
        "0.94 or so",
        "abstract",
    )
    assert (figure.data, figure.pipeline) == ("chest", "block-scramble[vit_block]")
    assert figure.minus_twin and figure.differs == ""
    assert study.digest == parsed(GOOD).digest, "a figure of others asks for nothing"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('data = "chest"', 'data = "chess"', r"line 29: unknown data 'chess'.*chest"),
        ('"block-scramble[cipher=vit_block]"\nm', '"plaintext"\nm', "unknown pipeline 'plaintext'"),
        ('metric = "accuracy"', 'metric = "acuracy"', r"unknown metric 'acuracy'.*accuracy"),
        ('metric = "accuracy"\n', "", "metric is missing"),
        ('metric = "accuracy"', 'metric = "secrecy"', "secrecy has no difference to the twin"),
        ("minus_twin = true", "minus_twin = 1", "neither true nor false"),
        ("[published.somebody-2024]", "[published.Somebody]", "lower-case letters"),
        ('checked = "abstract"', 'cheked = "abstract"', "unknown key 'cheked'"),
        ('says = "0.94 or so"', "says = 0.94", "says = 0.94 is no text"),
    ],
)
def test_a_published_figure_that_does_not_hold_is_refused(old: str, new: str, words: str) -> None:
    assert old in PUBLISHED.removeprefix(GOOD)
    with pytest.raises(UsageError) as caught:
        parsed(GOOD + PUBLISHED.removeprefix(GOOD).replace(old, new))
    assert re.search(words, str(caught.value))


def test_a_row_may_have_pipelines_of_its_own_only() -> None:
    own = GOOD.replace('more = ["local"]\nwithout = ["plaintext"]', 'only = ["convnet"]')
    assert next(one.config.pipelines for one in parsed(own).sets) == ["convnet"]
    both = GOOD.replace('more = ["local"]', 'only = ["convnet"]')
    with pytest.raises(UsageError, match="only and without do not go together"):
        parsed(both)
    with pytest.raises(UsageError, match="0 pipelines"):
        parsed(own.replace('["convnet"]', "[]"))


def test_papers_has_what_the_field_compares() -> None:
    study = read_study_file("papers")
    assert len(study.sets) == 4 and len(study.seeds) == 3
    for one in study.sets:
        text = " ".join(one.config.pipelines)
        for wanted in ("convnet", "local", "vit_block", "al_amin", "np", "tanaka_le", "madono_ele"):
            assert wanted in text
        for cipher in ("vit_block", "al_amin"):
            for way in ("matched", "matched_in_domain", "fresh"):
                assert f"block-scramble[cipher={cipher},embedding={way}]" in one.config.pipelines
        for wanted in ("restricted", "patch_shuffle", "fhe-head", "fhe-train", "fhe-tfhe"):
            assert wanted in text
        assert one.config.image_size == 112


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ('"chestxray"', '"chestxrays"', 17, "did you mean 'chestxray'"),
        ('"plaintext",', '"plaintxt",', 5, "did you mean 'plaintext'"),
        ("cipher=vit_block", "cipher=vit_blok", 6, "did you mean 'vit_block'"),
        ("cipher=vit_block", "cypher=vit_block", 6, "did you mean 'cipher'"),
        ("image_size = 64", "image_siez = 64", 13, "did you mean 'image_size'"),
        ("image_size = 64", "image_size = 5", 13, "allowed: 16 to 1024"),
        ("epochs = 3", "epochs = 0", 19, "epochs"),
        ("epochs = 3", "epoch = 3", 19, "did you mean 'epochs'"),
        ("epochs = 3", "seeds = [1]", 19, "said once, at the top"),
        ("epochs = 3", 'profile = "full"', 19, "said once, at the top"),
        ('without = ["plaintext"]', 'without = ["fhe-head"]', 21, "no pipeline of the study"),
        ('more = ["local"]', 'more = ["plaintext"]', 20, "a pipeline of the study already"),
        ('more = ["local"]', 'more = ["local", "local"]', 20, "given twice"),
        ('more = ["local"]', "more = 3", 20, "no list of texts"),
        ('title = "Mine"', "title = 3", 1, "is no text"),
        ('profile = "smoke"', 'profile = "smok"', 3, "did you mean 'smoke'"),
        ("seeds = [4, 5]", "seeds = [4, 4]", 2, "has 4 twice"),
        ("seeds = [4, 5]", "seed = [4, 5]", 2, "did you mean 'seeds'"),
        ("accuracy = 0.04", "accuracy = 1.5", 10, "between 0 and 1"),
        ("accuracy = 0.04", "accuracy = nan", 10, "between 0 and 1"),
        ("accuracy = 0.04", "acuracy = 0.04", 10, "did you mean 'accuracy'"),
        ("[data.chest]", "[data.Chest]", 16, "cannot name a data set"),
        ("[data.chest]", '[data."../x"]', 16, "cannot name a data set"),
        ('dataset = "pneumoniamnist"', "train_limit = 8", 23, "dataset is missing"),
        ("[settings]", "[setings]", 12, "did you mean 'settings'"),
        ("epochs = 3", 'subset = "al"', 19, "dataset 'chestxray' has no subset 'al'"),
        ("epochs = 2", 'subset = "balanced"', 14, "'pneumoniamnist' has no subset 'balanced'"),
    ],
)
def test_what_is_wrong_is_named_with_its_line_and_the_way_out(
    old: str, new: str, line: int, words: str
) -> None:
    assert old in GOOD
    with pytest.raises(UsageError) as refused:
        parsed(GOOD.replace(old, new, 1))
    assert f"mine.toml, line {line}: " in str(refused.value)
    assert words in str(refused.value)


def test_an_unknown_subset_is_refused_however_it_is_written() -> None:
    row = '{dataset = "pneumoniamnist", subset = "x"}'
    inlined = f'pipelines = ["plaintext"]\ndata = {{small = {row}}}'
    with pytest.raises(UnknownNameError, match="'pneumoniamnist' has no subset 'x'"):
        parsed(inlined)


def test_unknown_names_are_of_their_own_kind() -> None:
    for old, new in (("chestxray", "chestxrays"), ("image_size", "image_siez")):
        with pytest.raises(UnknownNameError):
            parsed(
                GOOD.replace(
                    f'"{old}"' if old == "chestxray" else old,
                    f'"{new}"' if old == "chestxray" else new,
                    1,
                )
            )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"title = ",
        b"a = " + b"[" * 10_000,
        b"data = 3",
        b"[data]\nx = 3",
        b"title = '''\nx",
        b"\x00",
        b"seeds = [" + b"9" * 5000 + b"]\n[data.a]\ndataset = 'chestxray'",
        b"pipelines = ['plaintext']\n[data.a]\ndataset = 'chestxray'\n[data.a.b]\nc = 1",
    ],
)
def test_any_bytes_are_refused_in_one_line(content: bytes) -> None:
    with pytest.raises(UsageError) as refused:
        parse_study(content, "mine.toml")
    assert "\n" not in str(refused.value) and "mine.toml" in str(refused.value)


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_parser(content: bytes) -> None:
    with pytest.raises(UsageError):
        parse_study(content, "mine.toml")


@given(st.integers(0, len(GOOD) - 1), st.characters())
def test_a_changed_letter_is_refused_or_understood(place: int, letter: str) -> None:
    text = GOOD[:place] + letter + GOOD[place + 1 :]
    with contextlib.suppress(UsageError):
        parse_study(text.encode("utf-8", "surrogatepass"), "mine.toml")


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'papers'"):
        read_study_file("paperz")
    with pytest.raises(UsageError, match="is no file of a study"):
        read_study_file(str(tmp_path / "gone.toml"))
    with pytest.raises(UsageError, match="is no file of a study"):
        read_study_file(str(tmp_path))
    pipe = tmp_path / "pipe.toml"
    os.mkfifo(pipe)
    with pytest.raises(UsageError, match="is no file of a study"):
        read_study_file(str(pipe))
    large = tmp_path / "large.toml"
    large.write_bytes(b"#" * (1 << 21))
    with pytest.raises(UsageError, match="more than"):
        read_study_file(str(large))


def test_lines_are_found_by_table_and_key() -> None:
    assert line_of_key(GOOD, ("settings", "epochs")) == 14
    assert line_of_key(GOOD, ("data", "chest", "epochs")) == 19
    assert line_of_key(GOOD, ("pipelines",), "block-scramble[cipher=vit_block]") == 6
    assert line_of_key(GOOD, ("data", "small", "epochs")) == 0


def test_a_study_without_any_seed_is_refused() -> None:
    text = "seeds = []\npipelines = ['plaintext']\n[data.a]\ndataset = 'chestxray'\n"
    with pytest.raises(UsageError, match=r"line 1: seeds = \[\] names no training"):
        parse_study(text.encode(), "mine.toml")
