"""The pipelines fhe-tfhe and fhe-tfhe-train, with a cheap stand-in for the DeiT."""

from __future__ import annotations

import sys
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
from he_compare.common.errors import MessageError, UnavailableError, UsageError
from he_compare.common.identity import source_digest
from he_compare.common.types import FheMode, ImageBatch, Side, Stage
from he_compare.fhe_baseline.pipelines.fhe_tfhe import PIPELINE, FheTfheFitted, FheTfheParameters
from he_compare.fhe_baseline.pipelines.fhe_tfhe_train import PIPELINE as TRAINING
from he_compare.fhe_baseline.pipelines.fhe_tfhe_train import FheTfheTrainParameters
from he_compare.fhe_baseline.tfhe import library
from tests.support.batches import bright_corner, training_data
from tests.support.extractors import replace_backbone
from tests.support.runcontext import MemoryArtefacts, run_context

needs_concrete = pytest.mark.skipif(
    not library.availability().available, reason=library.availability().reason
)


SIZE = 12


def images_of(classes: int, n: int, seed: int) -> ImageBatch:
    return bright_corner(classes, n, seed, corner=6, step=25, size=SIZE)


def data_of(classes: int) -> TrainingData:
    return training_data(images_of(classes, 60, 1), images_of(classes, 12, 2))


def make_context(folder: Path) -> RunContext:
    return run_context(folder, MemoryArtefacts(), image_size=SIZE, epochs=1)


@dataclass
class Ready:
    """A fitted and deployed pipeline."""

    context: RunContext
    fitted: FheTfheFitted
    deployment: Deployment
    server: Any


@pytest.fixture(autouse=True)
def fake_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_backbone(monkeypatch, width=20)


def ready(folder: Path, classes: int = 2, **parameters: Any) -> Ready:
    context = make_context(folder)
    fitted = PIPELINE.fit(data_of(classes), FheTfheParameters(**parameters), context)
    deployment = fitted.deploy(context)
    return Ready(context, fitted, deployment, PIPELINE.load_server(deployment.public_material))


@needs_concrete
@pytest.mark.parametrize("classes", [2, 3])
def test_executed_scores_equal_the_quantised_clear_heads(
    tmp_path: Path, classes: int, capsys: pytest.CaptureFixture[str]
) -> None:
    one = ready(tmp_path, classes)
    test = images_of(classes, 6, 3)
    there, at_server = Clock(Side.CLIENT), Clock(Side.SERVER)
    uploads = one.deployment.client.protect(test.images[:], there)
    scores = one.deployment.client.reveal(one.server.infer(uploads, at_server), there)
    name, clear = one.fitted.clear_reference(test.images[:])
    assert name == "quantised clear head"
    np.testing.assert_array_equal(scores, clear)
    assert one.fitted.fhe_mode is FheMode.EXECUTE
    assert there.items[(Stage.FEATURES, Side.CLIENT, next(iter(there.samples))[2])] == [6]
    assert capsys.readouterr().out == ""


@needs_concrete
@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("components", "standardised, 5 principal components, stretched for quantisation"),
        ("whiten", "PCA-whitened to 5"),
    ],
)
def test_on_fewer_components_uploads_shrink_and_scores_stay_exact(
    tmp_path: Path, option: str, told: str
) -> None:
    whole, short = ready(tmp_path), ready(tmp_path, **{option: 5})
    test = images_of(2, 3, 3)
    sizes = []
    for one in (whole, short):
        uploads = one.deployment.client.protect(test.images[:], Clock(Side.CLIENT))
        replies = one.server.infer(uploads, Clock(Side.SERVER))
        scores = one.deployment.client.reveal(replies, Clock(Side.CLIENT))
        np.testing.assert_array_equal(scores, one.fitted.clear_reference(test.images[:])[1])
        sizes.append(len(uploads[0]))
    assert sizes[1] < sizes[0] - 15 * 20  # a seeded ciphertext a feature
    assert short.context.training["preparation"] == told
    assert short.context.training["features"] == 5


@needs_concrete
@pytest.mark.parametrize("classes", [2, 3])
def test_the_record_says_what_preparation_and_what_quantisation_cost(
    tmp_path: Path, classes: int
) -> None:
    context = make_context(tmp_path)
    fitted = PIPELINE.fit(data_of(classes), FheTfheParameters(components=5, n_bits=4), context)
    told = context.training["costs"]
    assert (told["measured_on"], told["n"]) == ("validation images", 12)
    twins = fitted.clear_twins(data_of(classes).val.images[:])
    assert [twin.cost for twin in twins] == ["", "preparation", "quantisation"]
    assert list(told["heads"]) == [twin.name for twin in twins]
    heads = list(told["heads"].values())
    for place, cost in enumerate(("preparation", "quantisation")):
        assert told[cost]["auc"] == heads[place]["auc"] - heads[place + 1]["auc"]
        assert np.abs(twins[place].scores - twins[place + 1].scores).max() > 0
    reference = fitted.clear_reference(data_of(classes).val.images[:])[1]
    np.testing.assert_array_equal(twins[-1].scores, reference)


@needs_concrete
def test_with_all_features_the_clear_head_is_the_one_that_is_quantised(tmp_path: Path) -> None:
    context = make_context(tmp_path)
    fitted = PIPELINE.fit(data_of(2), FheTfheParameters(), context)
    twins = fitted.clear_twins(data_of(2).val.images[:])
    assert [twin.cost for twin in twins] == ["", "quantisation"]
    assert "preparation" not in context.training["costs"]


def test_two_preparations_at_once_are_refused() -> None:
    with pytest.raises(UsageError, match="components and whiten are two preparations"):
        FheTfheParameters(components=5, whiten=5)


@needs_concrete
def test_the_record_gets_the_distance_to_the_float_head_and_the_licence(tmp_path: Path) -> None:
    one = ready(tmp_path)
    told = one.context.training["quantised_against_float"]
    assert told["n"] == 60
    assert 0 < told["max_abs_score_difference"] < 0.2 * told["max_abs_score"]
    assert any("no patent rights" in line for line in one.context.warnings)
    stages = {stage for stage, *_ in one.context.clock.samples}
    assert stages == {Stage.COMPILE, Stage.KEYGEN}


@needs_concrete
def test_claims_carry_circuit_sizes_and_a_fingerprint_once_deployed(tmp_path: Path) -> None:
    one = ready(tmp_path)
    claims = one.fitted.claims()
    told = claims.parameters
    assert told["public_material_bytes"] == len(one.deployment.public_material)
    assert told["evaluation_key_bytes"] == 64
    assert told["failure_probability"] < 1e-11
    assert min(told["security_bits"].values()) > 80
    assert len(claims.key_fingerprint) == 16
    again = one.fitted.deploy(one.context)
    assert again.public_material != b""
    assert one.fitted.claims().key_fingerprint != claims.key_fingerprint


@needs_concrete
def test_before_a_deployment_claims_name_no_key_and_there_is_no_picture(tmp_path: Path) -> None:
    fitted = PIPELINE.fit(data_of(2), FheTfheParameters(), make_context(tmp_path))
    assert fitted.claims().key_fingerprint == ""
    assert fitted.protected_picture(images_of(2, 1, 3).images[:]) is None


@needs_concrete
def test_no_image_gives_no_message_and_no_score_and_garbage_is_a_message_error(
    tmp_path: Path,
) -> None:
    one = ready(tmp_path)
    client, clock = one.deployment.client, Clock(Side.CLIENT)
    assert client.protect(np.zeros((0, SIZE, SIZE, 3), np.uint8), clock) == []
    assert client.reveal([], clock).shape == (0, 2)
    with pytest.raises(MessageError, match="reply"):
        client.reveal([b"not a ciphertext"], clock)


@needs_concrete
def test_nothing_secret_is_kept_with_the_artefacts(tmp_path: Path) -> None:
    one = ready(tmp_path)
    artefacts = one.context.artefacts
    assert isinstance(artefacts, MemoryArtefacts)
    assert artefacts.made == ["head"]
    assert not one.context.key_file.exists()


@needs_concrete
def test_training_on_more_than_two_classes_is_unavailable_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"two classes.*has 3.*fhe-train"):
        TRAINING.fit(data_of(3), FheTfheTrainParameters(), make_context(tmp_path))


@needs_concrete
@pytest.mark.parametrize("pipeline", [PIPELINE, TRAINING])
def test_bytes_that_are_no_public_material_are_refused(pipeline: Any) -> None:
    with pytest.raises(MessageError):
        pipeline.load_server(b"nothing")


@pytest.mark.parametrize(
    ("parameters", "wrong"),
    [
        (FheTfheParameters, {"n_bits": 3}),
        (FheTfheParameters, {"n_bits": 11}),
        (FheTfheParameters, {"C": 0}),
        (FheTfheParameters, {"components": -1}),
        (FheTfheParameters, {"train": "encrypted"}),
        (FheTfheTrainParameters, {"train_images": 12}),
        (FheTfheTrainParameters, {"train_features": 0}),
        (FheTfheTrainParameters, {"bits": 2}),
    ],
)
def test_wrong_parameters_are_refused_before_anything_runs(
    parameters: type[Parameters], wrong: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        parameters(**wrong)


def test_python_3_13_and_other_platforms_are_unavailable_with_a_reason_and_a_fix(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for pipeline in (PIPELINE, TRAINING):
        with monkeypatch.context() as patch:
            patch.setattr(library.sys, "version_info", _Version(3, 13))
            told = pipeline.availability()
        assert not told.available
        assert "3.13" in told.reason
        assert "3.11" in told.fix
    monkeypatch.setattr(library.sys, "version_info", _Version(3, 11))
    monkeypatch.setattr(library.platform, "machine", lambda: "aarch64")
    told = PIPELINE.availability()
    assert not told.available
    assert "aarch64" in told.reason


class _Version(tuple[int, ...]):
    """Looks enough like ``sys.version_info``."""

    def __new__(cls, major: int, minor: int) -> _Version:
        return super().__new__(cls, (major, minor, 0))

    @property
    def major(self) -> int:
        return self[0]

    @property
    def minor(self) -> int:
        return self[1]


def test_a_missing_concrete_ml_is_told_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if (sys.platform, library.platform.machine()) not in library.SUPPORTED:
        pytest.skip("Concrete ML does not exist here at all")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    told = PIPELINE.availability()
    assert not told.available
    assert told.fix.startswith("pip install concrete-ml==")


def test_availability_imports_nothing_heavy() -> None:
    import subprocess

    code = (
        "import sys\n"
        "from he_compare.common import plugins\n"
        "for name in ('fhe-tfhe', 'fhe-tfhe-train'):\n"
        "    plugins.load('pipelines', name).availability()\n"
        "assert not {'torch', 'concrete.ml', 'concrete.fhe', 'sklearn'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", ["fhe-tfhe", "fhe_tfhe_train"])
def test_the_pipelines_are_discovered_by_name_and_their_sources_exist(name: str) -> None:
    found = plugins.load("pipelines", name)
    assert found.name == name.replace("_", "-")
    assert issubclass(found.parameters, Parameters)
    assert len(source_digest(*found.source_modules(found.parameters()))) == 64
    assert found.identity_inputs(found.parameters(), Path("key")) == {}
