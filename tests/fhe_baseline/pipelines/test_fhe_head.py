"""The fhe-head pipeline, client and server in one process, with a cheap stand-in for the DeiT."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from he_compare.common import plugins
from he_compare.common.clock import Clock
from he_compare.common.contracts import (
    Deployment,
    Parameters,
    RunContext,
    TrainingData,
)
from he_compare.common.errors import MessageError, UnknownNameError, UsageError
from he_compare.common.identity import source_digest
from he_compare.common.types import FheMode, ImageBatch, Per, Side, Stage
from he_compare.fhe_baseline.pipelines.fhe_head import PIPELINE, FheHeadFitted, FheHeadParameters
from tests.support.batches import bright_corner, training_data
from tests.support.extractors import FakeExtractor, replace_backbone
from tests.support.runcontext import MemoryArtefacts, run_context

SIZE = 16


def images_of(classes: int, n: int, seed: int) -> ImageBatch:
    return bright_corner(classes, n, seed, corner=8, step=12, size=SIZE)


def data_of(classes: int) -> TrainingData:
    return training_data(images_of(classes, 90, 1), images_of(classes, 12, 2))


def make_context(folder: Path) -> RunContext:
    return run_context(folder, MemoryArtefacts(), image_size=SIZE, epochs=1)


@dataclass
class Ready:
    """A fitted and deployed pipeline."""

    context: RunContext
    fitted: FheHeadFitted
    deployment: Deployment
    server: Any


@pytest.fixture(autouse=True)
def fake_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_backbone(monkeypatch, width=48)


def ready(folder: Path, classes: int = 2, **parameters: Any) -> Ready:
    context = make_context(folder)
    fitted = PIPELINE.fit(data_of(classes), FheHeadParameters(**parameters), context)
    deployment = fitted.deploy(context)
    return Ready(context, fitted, deployment, PIPELINE.load_server(deployment.public_material))


@pytest.mark.parametrize("packing", ["auto", "replicated", "tenseal-dot", "tenseal-mm"])
@pytest.mark.parametrize("classes", [2, 3])
def test_executed_scores_equal_the_clear_heads(tmp_path: Path, packing: str, classes: int) -> None:
    one = ready(tmp_path, classes, packing=packing)
    test = images_of(classes, 6, 3)
    there, at_server = Clock(Side.CLIENT), Clock(Side.SERVER)
    uploads = one.deployment.client.protect(test.images[:], there)
    scores = one.deployment.client.reveal(one.server.infer(uploads, at_server), there)
    name, clear = one.fitted.clear_reference(test.images[:])
    assert name == "clear head"
    assert scores.shape == (6, classes)
    np.testing.assert_allclose(scores, clear, atol=1e-3)
    assert (scores.argmax(axis=1) == clear.argmax(axis=1)).all()
    assert one.fitted.fhe_mode is FheMode.EXECUTE


def test_the_one_clear_model_before_it_is_the_clear_head(tmp_path: Path) -> None:
    one = ready(tmp_path)
    test = images_of(2, 6, 3)
    extractor = one.fitted.extractor
    assert isinstance(extractor, FakeExtractor)
    before = extractor.seen
    name, clear = one.fitted.clear_reference(test.images[:])
    (twin,) = one.fitted.clear_twins(test.images[:])
    assert (twin.name, twin.cost) == (name, "")
    np.testing.assert_array_equal(twin.scores, clear)
    assert extractor.seen - before == 6
    # Other images are looked at anew.
    other = one.fitted.clear_reference(255 - test.images[:])[1]
    assert extractor.seen - before == 12 and not np.array_equal(other, clear)


def test_every_stage_is_timed_and_the_backbone_runs_on_every_image(tmp_path: Path) -> None:
    one = ready(tmp_path)
    extractor = one.fitted.extractor
    assert isinstance(extractor, FakeExtractor)
    before = extractor.seen
    there, at_server = Clock(Side.CLIENT), Clock(Side.SERVER)
    test = images_of(2, 3, 3)
    for _ in range(2):
        uploads = one.deployment.client.protect(test.images[:], there)
        one.deployment.client.reveal(one.server.infer(uploads, at_server), there)
    assert extractor.seen - before == 6
    client_stages = {stage for stage, *_ in there.samples}
    assert client_stages == {
        Stage.FEATURES,
        Stage.ENCODE,
        Stage.ENCRYPT,
        Stage.SERIALIZE,
        Stage.DESERIALIZE,
        Stage.DECRYPT,
        Stage.DECODE,
    }
    assert {stage for stage, *_ in at_server.samples} == {
        Stage.DESERIALIZE,
        Stage.EVALUATE,
        Stage.SERIALIZE,
    }
    assert all(items == [3, 3] for items in there.items.values())
    assert list(one.context.clock.samples) == [(Stage.KEYGEN, Side.CLIENT, Per.KEY)]


def test_encrypting_an_image_twice_gives_two_ciphertexts_and_one_prediction(
    tmp_path: Path,
) -> None:
    one = ready(tmp_path)
    client, clock = one.deployment.client, Clock(Side.CLIENT)
    image = images_of(2, 1, 3).images[:]
    uploads = [client.protect(image, clock)[0] for _ in range(2)]
    assert uploads[0] != uploads[1]
    scores = client.reveal(one.server.infer(uploads, Clock(Side.SERVER)), clock)
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-3)


def test_every_deployment_has_a_key_of_its_own(tmp_path: Path) -> None:
    one = ready(tmp_path)
    first = one.fitted.claims().key_fingerprint
    again = one.fitted.deploy(one.context)
    assert again.public_material != one.deployment.public_material
    assert one.fitted.claims().key_fingerprint != first


def test_the_head_is_trained_once_for_equal_inputs_and_anew_for_another_strength(
    tmp_path: Path,
) -> None:
    context = make_context(tmp_path)
    artefacts = context.artefacts
    assert isinstance(artefacts, MemoryArtefacts)
    data = data_of(2)
    first = PIPELINE.fit(data, FheHeadParameters(), context)
    second = PIPELINE.fit(data, FheHeadParameters(packing="tenseal-dot"), context)
    assert artefacts.made == ["head"]
    np.testing.assert_array_equal(first.head.linear.weights, second.head.linear.weights)
    PIPELINE.fit(data, FheHeadParameters(C=1.0), context)
    assert artefacts.made == ["head", "head"]


def test_nothing_secret_is_kept_with_the_artefacts(tmp_path: Path) -> None:
    one = ready(tmp_path)
    artefacts = one.context.artefacts
    assert isinstance(artefacts, MemoryArtefacts)
    assert artefacts.made == ["head"]
    assert not one.context.key_file.exists()


def test_claims_state_parameters_verdicts_and_what_is_not_claimed(tmp_path: Path) -> None:
    one = ready(tmp_path)
    claims = one.fitted.claims()
    assert claims.claim_type == "reduction to a hardness assumption"
    assert claims.deterministic is False
    assert "RLWE" in claims.assumption
    assert "SEAL refuses less than 128 bits" in claims.enforced_by
    told = claims.parameters
    assert (told["N"], told["log2_Q"], told["packing"]) == (4096, 106, "replicated")
    assert set(told["verdicts"].values()) == {"128 bits"}
    assert told["secret_distribution"] == "uniform ternary"
    assert told["public_material_bytes"] == len(one.deployment.public_material)
    assert any("weights" in line for line in claims.server_learns)
    assert any("IND-CPA-D" in line for line in told["not_claimed"])
    assert len(claims.key_fingerprint) == 16


def test_parameters_that_miss_the_2024_guidelines_are_told_in_a_warning(tmp_path: Path) -> None:
    assert ready(tmp_path).context.warnings == []
    (warning,) = ready(tmp_path, parameter_set="n4096").context.warnings
    assert "log2 Q = 109" in warning
    assert "106 only" in warning


def test_the_picture_is_the_first_bytes_of_a_ciphertext_and_changes_every_time(
    tmp_path: Path,
) -> None:
    one = ready(tmp_path)
    images = images_of(2, 2, 3).images[:]
    first, second = (one.fitted.protected_picture(images) for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.shape == images.shape
    assert first.dtype == np.uint8
    assert (first[..., 0] == first[..., 2]).all()
    assert first[0].reshape(-1, 3)[:2, 0].tobytes() == b"\x5e\xa1"
    assert (first[0, 8:] != second[0, 8:]).mean() > 0.9
    assert abs(float(first[0, 8:].mean()) - 127.5) < 20


def test_before_a_deployment_there_is_no_picture_and_no_key_to_name(tmp_path: Path) -> None:
    fitted = PIPELINE.fit(data_of(2), FheHeadParameters(), make_context(tmp_path))
    assert fitted.protected_picture(images_of(2, 1, 3).images[:]) is None
    assert fitted.claims().key_fingerprint == ""


def test_no_image_gives_no_message_and_no_score(tmp_path: Path) -> None:
    one = ready(tmp_path)
    clock = Clock(Side.CLIENT)
    empty = np.zeros((0, SIZE, SIZE, 3), np.uint8)
    assert one.deployment.client.protect(empty, clock) == []
    assert one.deployment.client.reveal([], clock).shape == (0, 2)


def test_garbage_from_the_server_is_a_message_error(tmp_path: Path) -> None:
    one = ready(tmp_path)
    with pytest.raises(MessageError, match="reply"):
        one.deployment.client.reveal([b"not a ciphertext"], Clock(Side.CLIENT))


@pytest.mark.parametrize(
    "wrong", [{"C": 0}, {"packing": 7}, {"parameter_set": "n1"}, {"classes": 2}]
)
def test_wrong_parameters_are_refused_before_anything_runs(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        FheHeadParameters(**wrong)


def test_an_unknown_packing_is_refused_with_the_nearest_and_any_spelling_is_one_name() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'replicated'"):
        FheHeadParameters(packing="replicate")
    assert FheHeadParameters(packing="Zero_Sum").packing == "zero-sum"


def test_parameters_the_packing_cannot_use_are_refused_at_fit(tmp_path: Path) -> None:
    parameters = FheHeadParameters(packing="tenseal-dot", parameter_set="n4096")
    with pytest.raises(UsageError, match="choose another parameter_set or packing"):
        PIPELINE.fit(data_of(2), parameters, make_context(tmp_path))


def test_a_missing_tenseal_is_told_with_the_command_that_mends_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert PIPELINE.availability().available
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    told = PIPELINE.availability()
    assert not told.available
    assert "TenSEAL" in told.reason
    assert told.fix.startswith("pip install")


def test_the_pipeline_is_discovered_by_name_and_its_sources_exist() -> None:
    found = plugins.load("pipelines", "fhe_head")
    assert found.name == "fhe-head"
    assert issubclass(found.parameters, Parameters)
    assert len(source_digest(*found.source_modules(found.parameters()))) == 64
