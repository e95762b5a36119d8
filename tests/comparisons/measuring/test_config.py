"""Profiles, pipeline specifications and what is said of values that do not fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_compare.common.errors import UnknownNameError, UsageError
from he_compare.comparisons.measuring.config import audit_budget, load_config, profile_names
from he_compare.comparisons.measuring.pipeline_spec import PipelineSpec, parse_spec


@pytest.mark.parametrize(
    ("text", "name", "parameters"),
    [
        ("plaintext", "plaintext", {}),
        ("fhe-head[]", "fhe-head", {}),
        (
            "block-scramble[cipher=vit_block, patch=16,negative-positive=true]",
            "block-scramble",
            {"cipher": "vit_block", "patch": 16, "negative_positive": True},
        ),
        ("fhe-head[C=1e-3]", "fhe-head", {"C": 0.001}),
        ("p[a='x']", "p", {"a": "x"}),
        ("p[a=2026-01-01]", "p", {"a": "2026-01-01"}),
    ],
)
def test_a_specification_parses(text: str, name: str, parameters: dict[str, object]) -> None:
    assert parse_spec(text) == PipelineSpec(name, parameters)


@pytest.mark.parametrize("text", ["", "[a=1]", "p[a=1", "p]a", "p[a]", "p[=1]", "p[a=1,a=2]", "1p"])
def test_what_does_not_parse_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        parse_spec(text)


NAMES = st.from_regex(r"[a-z][a-z_]{0,8}", fullmatch=True)
VALUES = st.one_of(
    st.booleans(),
    st.integers(-(10**9), 10**9),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    NAMES.filter(lambda word: word not in {"true", "false", "inf", "nan"}),
)


@given(NAMES, st.dictionaries(NAMES, VALUES, max_size=4))
def test_the_spelling_of_a_specification_parses_back(
    name: str, parameters: dict[str, object]
) -> None:
    spec = PipelineSpec(name, parameters)
    assert parse_spec(spec.text) == spec


@given(st.text(max_size=40))
def test_arbitrary_text_parses_or_is_a_usage_error(text: str) -> None:
    try:
        spec = parse_spec(text)
    except UsageError:
        return
    assert spec.name


def test_every_profile_is_valid_and_names_known_pipelines() -> None:
    from he_compare.common.plugins import find

    assert profile_names() == ["smoke", "quick", "full"]
    for name in profile_names():
        for text in load_config(name, {}).pipelines:
            assert find("pipelines", parse_spec(text).name)


def test_options_override_the_profile_and_none_does_not() -> None:
    config = load_config("smoke", {"epochs": 7, "seed": None})
    assert config.epochs == 7 and config.seed == 0


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"epochs": 0}, "epochs=0"),
        ({"image_size": 8}, "image_size=8"),
        ({"learning_rate": 2.0}, "learning_rate=2.0"),
        ({"pipelines": []}, r"pipelines=\[\]"),
        ({"backbone": "resnet50"}, "unknown backbone 'resnet50'"),
        ({"speed": 9}, "speed=9"),
    ],
)
def test_a_value_out_of_range_is_named(overrides: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        load_config("smoke", overrides)


def test_an_unknown_profile_gives_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="'smoke'"):
        load_config("smok", {})


@pytest.mark.parametrize(
    ("profile", "budget"),
    [("smoke", "quick"), ("quick", "quick"), ("full", "full"), ("no such", "quick")],
)
def test_an_audit_that_is_asked_for_has_the_budget_of_the_profile(
    profile: str, budget: str
) -> None:
    assert audit_budget(profile, wanted=True) == budget
    assert audit_budget(profile, wanted=False) == "none"
