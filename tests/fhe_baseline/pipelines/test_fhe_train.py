"""The fhe-train pipeline, client and servers in one process, with a stand-in for the DeiT."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from he_compare.common.backbones.features import run_extractor
from he_compare.common.backbones.head import train_head
from he_compare.common.clock import Clock
from he_compare.common.contracts import Deployment, RunContext
from he_compare.common.errors import CellError, CompareError, MessageError, ServiceError, UsageError
from he_compare.common.service.wire import pack
from he_compare.common.types import FheMode, Float64Array, Message, Side, UInt8Array
from he_compare.fhe_baseline.ckks.context import import_tenseal
from he_compare.fhe_baseline.ckks.parameters import CkksParameters
from he_compare.fhe_baseline.ckks.serialization import seal_bytes
from he_compare.fhe_baseline.ckks.training import choosing, scales, sets
from he_compare.fhe_baseline.ckks.training.circuit import Circuit
from he_compare.fhe_baseline.ckks.training.messages import weights_shape
from he_compare.fhe_baseline.ckks.training.public_material import load_circuit
from he_compare.fhe_baseline.ckks.training.shares import useful_processes
from he_compare.fhe_baseline.encrypted_training_parameters import FheTrainParameters
from he_compare.fhe_baseline.pipelines.fhe_train import PIPELINE, FheTrainFitted
from tests.support.batches import bright_band, training_data
from tests.support.encrypted_training import THREE_STEPS
from tests.support.extractors import replace_backbone
from tests.support.runcontext import MemoryArtefacts, run_context

SIZE, WIDTH, ROWS = 16, 24, 120
REFRESHED: dict[str, Any] = {
    "parameter_set": "n1024-insecure",
    "allow_insecure": True,
    "components": 11,
    "steps": 4,
    "rounds": 3,
    "C": 0.1,
}
ONE_UPLOAD: dict[str, Any] = {"components": 11, "steps": 1, "C": 0.1}


@dataclass
class PipelineServer:
    """A server of the pipeline without a process."""

    material: bytes
    dies_at: tuple[int, ...] = ()
    pid: int = 0
    calls: list[tuple[str, list[Message]]] = field(default_factory=list)
    closed: bool = False

    def __post_init__(self) -> None:
        self._server = PIPELINE.load_server(self.material)

    def call(self, verb: str, messages: list[Message], clock: Clock) -> list[Message]:
        assert verb in self._server.verbs
        self.calls.append((verb, messages))
        if len(self.calls) in self.dies_at:
            raise ServiceError("server process went away")
        replies: list[Message] = getattr(self._server, verb)(messages, Clock(Side.SERVER))
        return replies

    def bytes_of(self, wanted: str) -> int:
        return sum(len(m) for verb, messages in self.calls if verb == wanted for m in messages)

    def close(self) -> None:
        self.closed = True


class DoublingServer(PipelineServer):
    """Gives back twice the weights: in range, alike in all slots, and wrong."""

    def call(self, verb: str, messages: list[Message], clock: Clock) -> list[Message]:
        replies = super().call(verb, messages, clock)
        if verb != "train":
            return replies
        circuit = load_circuit(self.material)
        weights = weights_shape(circuit, 0).load(replies[0], "weights")
        import_tenseal().sealapi.Evaluator(circuit.context).add_inplace(weights, weights)
        return [seal_bytes(weights)]


@dataclass
class Trained:
    """A fitted and deployed pipeline, and the servers it trained at."""

    context: RunContext
    fitted: FheTrainFitted
    deployment: Deployment
    servers: list[PipelineServer]

    def scores(self, images: UInt8Array) -> Any:
        clock = Clock(Side.CLIENT)
        server = PIPELINE.load_server(self.deployment.public_material)
        uploads = self.deployment.client.protect(images, clock)
        return self.deployment.client.reveal(server.infer(uploads, Clock(Side.SERVER)), clock)


@pytest.fixture(autouse=True)
def fake_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_backbone(monkeypatch, width=WIDTH)


def trained(
    folder: Path,
    classes: int = 2,
    validation: int = 24,
    dies_at: tuple[int, ...] = (),
    kind: type[PipelineServer] = PipelineServer,
    base: dict[str, Any] | None = None,
    **parameters: Any,
) -> Trained:
    servers: list[PipelineServer] = []

    def start(pipeline: str, material: bytes) -> PipelineServer:
        assert pipeline == "fhe-train"
        servers.append(kind(material, () if servers else dies_at))
        return servers[-1]

    context = run_context(folder, MemoryArtefacts(), start, image_size=SIZE, epochs=1)
    data = training_data(bright_band(classes, ROWS, 1), bright_band(classes, validation, 2))
    chosen = FheTrainParameters(**(REFRESHED if base is None else base) | parameters)
    fitted = PIPELINE.fit(data, chosen, context)
    return Trained(context, fitted, fitted.deploy(context), servers)


@pytest.mark.parametrize("use", ["encrypted", "decrypted-by-owner"])
@pytest.mark.parametrize("classes", [2, 3])
def test_it_learns_and_executed_scores_equal_those_of_the_decrypted_head(
    tmp_path: Path, use: str, classes: int
) -> None:
    one = trained(tmp_path, classes, use=use)
    test = bright_band(classes, 30, 3)
    scores = one.scores(test.images[:])
    name, clear = one.fitted.clear_reference(test.images[:])
    assert name == "decrypted head, in the clear"
    assert scores.shape == (30, classes)
    np.testing.assert_allclose(scores, clear, atol=1e-3)
    assert (scores.argmax(axis=1) == test.labels).mean() > 0.85
    assert one.fitted.fhe_mode is FheMode.EXECUTE


def test_by_default_the_head_is_trained_from_one_upload_with_no_client_in_the_loop() -> None:
    parameters = FheTrainParameters()
    assert (parameters.rounds, parameters.steps, parameters.schedule) == (0, 0, "chosen")
    assert (parameters.coordinates, parameters.components) == ("preconditioned", 0)
    assert parameters.parameter_set == "auto"


def test_the_record_of_one_upload_has_no_refreshes_and_three_kinds_of_calls(
    tmp_path: Path,
) -> None:
    one = trained(tmp_path, base=ONE_UPLOAD)
    (server,) = one.servers
    told = one.context.training
    assert [verb for verb, _ in server.calls] == ["key", "add", "train"]
    assert told["refresh_rounds"] == 0
    assert told["parameter_set"] == "n8192-214"
    assert told["bytes"]["refresh_upload"] == told["bytes"]["refresh_download"] == 0
    assert told["bytes"]["weights_download"] > 0
    assert told["levels"] == {"available": 4, "first_step": 1, "later_step": 4, "used": 1}
    assert "no client in the loop" in told["algorithm"]
    assert len(told["history"]) == 1
    claims = one.fitted.claims()
    assert claims.insecure == []
    assert claims.parameters["training"]["client_in_the_loop"].startswith("no: one upload")
    assert not any("refresh" in line for line in claims.server_learns)
    assert one.context.warnings == []


def test_the_record_tells_steps_bytes_memory_twin_and_optimum(tmp_path: Path) -> None:
    one = trained(tmp_path)
    told, (server,) = one.context.training, one.servers
    assert (told["n"], told["columns"], told["iterations"]) == (ROWS, 12, 4)
    assert told["refresh_rounds"] == 3
    assert told["preparation"] == "preconditioned, 11 components"
    assert told["relative_difference_to_twin"] < 1e-4
    assert told["largest_error_of_weights"] < told["predicted_error_of_weights"] < 1e-4
    assert [entry["iteration"] for entry in told["history"]] == [1, 2, 3, 4]
    for entry in told["history"]:
        assert entry["relative_difference_to_twin"] < 1e-4
        assert entry["logits_outside_interval"] == 0
        assert entry["loss"] == pytest.approx(entry["loss_of_twin"], abs=1e-4)
    assert [(step["step"], step["round"]) for step in told["steps"]] == [
        (1, 0), (2, 1), (3, 2), (4, 3),
    ]  # fmt: skip
    assert [step["primes_before"] for step in told["steps"]] == [2, 5, 5, 5]
    assert ["interval" in step for step in told["steps"]] == [False, True, True, True]
    assert told["loss_at_start"] == pytest.approx(np.log(2))
    assert told["scikit_learn"]["loss"] < told["history"][-1]["loss"] < told["loss_at_start"]
    assert told["scikit_learn"]["cosine_of_weights"] > 0.98
    assert told["scikit_learn"]["same_decisions_on_training_rows"] > 0.95
    assert told["bytes"]["circuit"] == len(server.material)
    assert told["bytes"]["keys"] == server.bytes_of("key")
    assert told["bytes"]["data_upload"] == server.bytes_of("add")
    assert told["bytes"]["refresh_upload"] < server.bytes_of("train")
    assert told["seconds"]["client refresh"] > 0
    memory = told["memory"]
    assert memory["client_bytes_measured"] <= memory["client_bytes_stated"]
    assert memory["server_bytes_stated"] > 260_000_000
    assert told["rotation_keys"] == len(one.fitted.circuit.layout.rotations())
    assert server.closed


def test_the_record_has_the_choice_and_the_sets_that_were_not_run(tmp_path: Path) -> None:
    one = trained(tmp_path)
    choice = one.context.training["choice"]
    assert choice["chosen"] in choice["grid"]
    assert choice["chosen"]["components"] == 11
    assert choice["measured_on"] == "the training rows, in the clear"
    assert choice["seconds"] >= 0
    lengths = [choice["chosen"][f"length_{number}"] for number in (1, 2, 3, 4)]
    assert lengths == [step["length"] for step in one.context.training["steps"]]
    space = {entry["parameter_set"]: entry for entry in one.context.training["design_space"]}
    assert space["n16384-309"]["refreshes_for_these_steps"] == 1
    assert space["n32768-724"]["refreshes_for_these_steps"] == 0
    assert not any(entry["chosen"] for entry in space.values())  # an insecure set was


def test_components_are_chosen_on_the_validation_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choosing, "COMPONENTS", (3, 7, 15))
    one = trained(tmp_path, components=0)
    choice = one.context.training["choice"]
    assert [entry["components"] for entry in choice["grid"]] == [3, 7, 15]
    assert all(0 <= entry["validation_auc"] <= 1 for entry in choice["grid"])
    assert one.fitted.preparation.width == choice["chosen"]["components"]
    assert "validation split" in choice["measured_on"]


def test_a_validation_split_of_three_images_is_not_chosen_on_and_that_is_told(
    tmp_path: Path,
) -> None:
    one = trained(tmp_path, components=0, validation=3)
    assert any(
        text == f"{choosing.TOO_FEW}, {WIDTH} components and 4 steps are used"
        for text in one.context.warnings
    )
    assert one.fitted.preparation.width == WIDTH  # all there are of 63
    assert "validation_auc" not in one.context.training["choice"]["chosen"]


def test_steps_and_set_are_chosen_where_none_is_named(tmp_path: Path) -> None:
    one = trained(tmp_path, base={"components": 11, "C": 0.1})
    told = one.context.training
    assert {entry["steps"] for entry in told["choice"]["grid"]} == {3, 4}
    assert told["iterations"] == told["choice"]["chosen"]["steps"]
    assert told["parameter_set"].startswith("n16384-")
    assert told["refresh_rounds"] == 0
    assert told["relative_difference_to_twin"] < 7e-4
    assert one.fitted.claims().insecure == []


def test_as_many_steps_are_taken_as_the_refreshes_need(tmp_path: Path) -> None:
    assert trained(tmp_path, steps=0, rounds=4).context.training["iterations"] == 5


def test_the_most_precise_set_of_the_ring_is_taken_where_none_is_precise_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[CkksParameters] = []

    def error(circuit: Circuit, weights: Float64Array) -> float:
        tried.append(circuit.parameters)
        return 1.0 / len(tried)

    monkeypatch.setattr(Circuit, "relative_error", error)
    one = trained(tmp_path, base={"components": 3, "steps": 1, "C": 0.1})
    assert len(tried) == 2  # both sets of the cheapest ring
    assert one.fitted.circuit.parameters == tried[1] != tried[0]


@pytest.mark.parametrize("coordinates", ["whitened", "standardised"])
def test_other_coordinates_stay_as_options(tmp_path: Path, coordinates: str) -> None:
    one = trained(tmp_path, coordinates=coordinates, components=0, schedule="nesterov")
    told = one.context.training
    whole = {"whitened": f"PCA-whitened to {WIDTH}", "standardised": "standardised"}
    assert told["preparation"] == whole[coordinates]
    assert told["columns"] == WIDTH + 1
    assert told["relative_difference_to_twin"] < 1e-4
    assert told["algorithm"].startswith("full-batch accelerated gradient descent")


def test_the_clear_models_on_the_way_are_in_order_and_end_at_the_executed_head(
    tmp_path: Path,
) -> None:
    test = bright_band(2, 20, 3)
    one = trained(tmp_path)
    twins = one.fitted.clear_twins(test.images[:])
    assert [(twin.name, twin.cost) for twin in twins] == [
        ("clear head", ""),
        ("same preparation, scikit-learn's optimum", "preparation"),
        ("same steps, exact sigmoid", "few steps"),
        ("clear twin: same steps, polynomial sigmoid", "polynomial"),
    ]
    np.testing.assert_allclose(twins[-1].scores, one.scores(test.images[:]), atol=2e-3)
    extractor = run_extractor(one.context)
    train = bright_band(2, ROWS, 1)
    head = train_head(extractor(train.images[:]), train.labels, 2, 0.1)
    np.testing.assert_allclose(twins[0].scores, head.scores(extractor(test.images[:])), atol=1e-6)
    for earlier, later in pairwise(twins):
        assert np.abs(earlier.scores - later.scores).max() > 1e-5


def test_more_than_two_classes_have_one_clear_model_more_on_the_way(tmp_path: Path) -> None:
    test = bright_band(3, 21, 3)
    one = trained(tmp_path, 3)
    twins = one.fitted.clear_twins(test.images[:])
    assert [twin.cost for twin in twins] == [
        "", "one vs rest", "preparation", "few steps", "polynomial",
    ]  # fmt: skip
    assert twins[1].name == "one against the rest, in the clear"
    assert all(twin.scores.shape == (21, 3) for twin in twins)
    np.testing.assert_allclose(twins[-1].scores, one.scores(test.images[:]), atol=2e-3)


def test_with_all_components_the_preparation_costs_nothing(tmp_path: Path) -> None:
    test = bright_band(2, 20, 3)
    head, prepared, *_ = trained(tmp_path, components=WIDTH).fitted.clear_twins(test.images[:])
    np.testing.assert_allclose(prepared.scores, head.scores, atol=5e-3)
    whitened = trained(tmp_path, components=WIDTH, coordinates="whitened").fitted
    other = whitened.clear_twins(test.images[:])[1].scores
    assert np.abs(other - head.scores).max() > 0.01


def test_logits_that_leave_the_interval_are_counted_and_warned_of(tmp_path: Path) -> None:
    one = trained(tmp_path, interval=0.5, schedule="plain")
    (warning,) = [text for text in one.context.warnings if "left the sigmoid" in text]
    outside = sum(step["logits_outside_interval"] for step in one.context.training["steps"])
    assert outside > 0
    assert warning.startswith(f"{outside} logits left the sigmoid polynomial's interval")
    assert not any("left the sigmoid" in text for text in trained(tmp_path).context.warnings)


def test_weights_that_a_server_made_up_are_warned_of(tmp_path: Path) -> None:
    """They pass the client's checks: only the clear twin tells."""
    one = trained(tmp_path, kind=DoublingServer, rounds=0, steps=1)
    assert any("the server computed something else" in text for text in one.context.warnings)
    honest = trained(tmp_path, rounds=0, steps=1)
    assert not any("something else" in text for text in honest.context.warnings)


def test_weights_that_noise_does_not_explain_are_never_released(tmp_path: Path) -> None:
    with pytest.raises(CellError, match="are not released"):
        trained(tmp_path, kind=DoublingServer, rounds=0, steps=1, use="decrypted-by-owner")


def test_auto_goes_on_to_a_set_of_larger_primes_where_the_first_has_no_scales(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty bits hold three steps and leave too little precision; thirty do not."""
    tiny = CkksParameters(1024, (20, *[20] * 9, 30), 19)
    monkeypatch.setattr(scales, "LARGEST_PREDICTED_ERROR", 1e-3)
    monkeypatch.setattr(sets, "sets_to_try", lambda *_: [tiny, THREE_STEPS])
    one = trained(tmp_path, parameter_set="auto", rounds=0, steps=3)
    assert one.fitted.circuit.parameters == THREE_STEPS
    monkeypatch.setattr(sets, "sets_to_try", lambda *_: [tiny])
    with pytest.raises(UsageError, match="primes of 20 bits leave no precision"):
        trained(tmp_path, parameter_set="auto", rounds=0, steps=3)


def test_processes_that_nobody_counted_are_not_in_the_record(tmp_path: Path) -> None:
    one = trained(tmp_path, processes=8, rounds=0, steps=1)
    assert useful_processes(one.fitted.circuit, 8) > 1
    assert one.context.training["server_processes"] is None


def test_a_depth_that_does_not_hold_the_steps_is_refused_before_features_are_extracted(
    tmp_path: Path,
) -> None:
    with pytest.raises(ValueError, match="n1024-insecure has 4 levels, too few") as error:
        trained(tmp_path, rounds=0)
    assert "n32768-724" in str(error.value)
    with pytest.raises(ValueError, match="no parameter set holds 8 steps"):
        trained(tmp_path, base={"steps": 8})
    assert not list(tmp_path.iterdir())  # not even features were extracted


@pytest.mark.parametrize("died", [(2, 3), (3, 4)])
def test_a_server_that_dies_is_replaced_and_the_record_says_so(
    tmp_path: Path, died: tuple[int, ...]
) -> None:
    one = trained(tmp_path, dies_at=died)
    assert len(one.servers) == 2
    assert one.context.training["resumed_after_iterations"] == [0]
    assert one.context.training["relative_difference_to_twin"] < 1e-4


def test_the_ways_of_the_rotation_keys_trade_bytes_for_turns(tmp_path: Path) -> None:
    keys = [
        trained(tmp_path, rotation_keys=way).context.training["rotation_keys"]
        for way in ("fewest", "balanced", "fastest")
    ]
    assert keys[0] < keys[1] < keys[2]


def test_claims_say_who_sees_the_weights(tmp_path: Path) -> None:
    kept = trained(tmp_path, use="encrypted").fitted.claims()
    assert kept.parameters["weights_seen_by"] == "the client, which owns them"
    assert kept.parameters["decryptions_go_to"] == "the client alone"
    assert not any("weights and bias" in line for line in kept.server_learns)
    released = trained(tmp_path, use="decrypted-by-owner").fitted.claims()
    assert "classifying server" in released.parameters["weights_seen_by"]
    assert any("weights and bias" in line for line in released.server_learns)
    assert any("IND-CPA-D" in line for line in released.insecure)
    for claims in (kept, released):
        assert claims.claim_type == "reduction to a hardness assumption"
        assert any("length of every step" in line for line in claims.server_learns)
        assert any("refresh the weights" in line for line in claims.server_learns)
        assert any("IND-CPA-D" in line for line in claims.parameters["not_claimed"])
        assert claims.parameters["N"] == 4096
        assert claims.parameters["training"]["N"] == 1024


def test_an_insecure_ring_is_refused_unless_asked_for_and_flagged_when_it_is(
    tmp_path: Path,
) -> None:
    with pytest.raises(ValueError, match="below 128 bits"):
        trained(tmp_path, allow_insecure=False)
    one = trained(tmp_path)
    (reason,) = one.fitted.claims().insecure
    assert "far below 128 bits" in reason
    assert one.context.warnings == [reason]


def test_released_weights_are_rounded_and_the_clear_reference_is_the_rounded_head(
    tmp_path: Path,
) -> None:
    model = trained(tmp_path, use="decrypted-by-owner").fitted.plan.model
    np.testing.assert_array_equal(model.weights * 2048, np.round(model.weights * 2048))


def test_a_deployment_uses_another_key_every_time_and_never_the_training_key(
    tmp_path: Path,
) -> None:
    one = trained(tmp_path)
    before = one.fitted.claims().key_fingerprint
    again = one.fitted.deploy(one.context)
    assert again.public_material != one.deployment.public_material
    assert one.fitted.claims().key_fingerprint != before
    assert one.deployment.public_material not in [server.material for server in one.servers]


def test_no_image_gives_no_message_and_no_score(tmp_path: Path) -> None:
    client, clock = trained(tmp_path).deployment.client, Clock(Side.CLIENT)
    assert client.protect(np.zeros((0, SIZE, SIZE, 3), np.uint8), clock) == []
    assert client.reveal([], clock).shape == (0, 2)


@pytest.mark.parametrize(
    "material",
    [b"", b"not a message", bytes(1000), pack({}, {"role": "train"}), pack({}, {"role": "x"})],
)
def test_material_of_no_known_role_is_refused(material: bytes) -> None:
    with pytest.raises(MessageError):
        PIPELINE.load_server(material)


@pytest.mark.parametrize(
    "wrong",
    [
        {"rounds": -1}, {"steps": -1}, {"steps": 201}, {"components": 1025}, {"interval": 65},
        {"C": 0}, {"degree": 4}, {"batches": 65}, {"schedule": "adam"}, {"whiten": 3},
        {"C": float("inf")}, {"rotation_keys": "none"}, {"processes": 0}, {"restarts": 11},
    ],
)  # fmt: skip
def test_parameters_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises((CompareError, ValueError)):
        FheTrainParameters(**wrong)


def test_the_contract_is_fulfilled(tmp_path: Path) -> None:
    assert PIPELINE.availability().available
    assert PIPELINE.identity_inputs(FheTrainParameters(), tmp_path) == {}
    from he_compare.common.identity import source_digest

    assert source_digest(*PIPELINE.source_modules(PIPELINE.parameters()))
