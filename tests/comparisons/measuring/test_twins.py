"""Which pipeline of a plan is another one without its protection."""

from __future__ import annotations

import pytest

from he_compare.common import plugins
from he_compare.common.run.old_records import with_twins
from he_compare.comparisons.measuring.pipeline_spec import parse_spec, resolve_parameters
from he_compare.comparisons.measuring.planned import Planned, twin_facts


def planned(*specs: str) -> list[Planned]:
    found = []
    for text in specs:
        spec = parse_spec(text)
        pipeline = plugins.load("pipelines", spec.name)
        found.append(Planned(spec, pipeline, resolve_parameters(pipeline, spec)))
    return found


PLAIN = ("plaintext", "plaintext[model=logistic]", "plaintext[model=logistic,C=1.0]", "convnet")


@pytest.mark.parametrize(
    ("spec", "twin"),
    [
        ("block-scramble[cipher=al_amin]", "plaintext"),
        ("block-scramble[cipher=vit_block,mode=adapted]", "plaintext"),
        ("block-scramble[cipher=noise]", "plaintext"),
        ("block-scramble-convnet[cipher=al_amin]", "convnet"),
        ("fhe-head", "plaintext[logistic]"),
        ("fhe-head[C=0.01]", "plaintext[logistic]"),
        ("fhe-head[C=1]", "plaintext[logistic,C=1.0]"),
        ("fhe-train", "plaintext[logistic]"),
        ("fhe-tfhe[components=63]", "plaintext[logistic]"),
        ("fhe-tfhe-train", "plaintext[logistic]"),
        ("local", ""),
        ("plaintext[model=logistic]", ""),
    ],
)
def test_a_protected_pipeline_has_the_plain_model_of_its_own_as_twin(spec: str, twin: str) -> None:
    one, *others = planned(spec, *PLAIN)
    assert twin_facts(one, others)["twin"] == twin


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ("fhe-head[C=0.5]", "plaintext[model=logistic,C=0.5]"),
        ("fhe-train", "plaintext[model=logistic]"),
        ("block-scramble[cipher=al_amin]", "plaintext"),
        ("block-scramble-convnet[weights=hub]", "convnet[weights=hub]"),
    ],
)
def test_a_twin_that_is_missing_is_named_as_it_is_asked_for(spec: str, wanted: str) -> None:
    facts = twin_facts(planned(spec)[0], planned(spec, "local"))
    assert facts["twin"] == "" and facts["twin_wanted"] == wanted
    text, twins = facts["twin_wanted"], planned(facts["twin_wanted"], spec)
    assert twin_facts(twins[1], twins)["twin"] == parse_spec(text).label


def test_what_else_differs_from_a_twin_is_said() -> None:
    small = twin_facts(planned("fhe-tfhe-train[train_images=64]")[0], ())
    assert "64 training images" in small["twin_differs"]
    assert "patches of 8" in twin_facts(planned("block-scramble[patch=8]")[0], ())["twin_differs"]
    assert twin_facts(planned("fhe-head")[0], ())["twin_differs"] == ""


def test_who_does_the_work_is_said_by_every_pipeline_of_the_project() -> None:
    for name in plugins.survey("pipelines").usable:
        (one,) = planned(name)
        work = one.pipeline.work(one.parameters)
        assert all((work.hospital, work.server, work.head_trained_by, work.head_owner)), name


def test_plans_of_before_have_their_twins_by_the_names_of_that_time() -> None:
    older = {
        "pipelines": [
            {"name": "plaintext", "label": "p", "resolved": {"model": "finetune"}},
            {"name": "plaintext", "label": "l", "resolved": {"model": "logistic", "C": 0.01}},
            {"name": "fhe-head", "label": "h", "resolved": {}},
            {"name": "block-scramble", "label": "s", "resolved": {}},
            {"name": "theirs", "label": "t", "resolved": {}},
        ]
    }
    found = {one["label"]: one for one in with_twins(older)["pipelines"]}
    assert (found["h"]["twin"], found["s"]["twin"]) == ("l", "p")
    assert found["h"]["twin_wanted"] == "plaintext[model=logistic]"
    assert "twin" not in found["p"] and "twin" not in found["t"]
