"""The fhe-train pipeline, client and servers in one process, with a stand-in for the DeiT."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from he_compare.common.clock import Clock
from he_compare.common.contracts import Deployment, RunContext
from he_compare.common.errors import MessageError, UsageError
from he_compare.common.types import FheMode, Message, Side, UInt8Array
from he_compare.fhe_baseline.pipelines.fhe_train import PIPELINE, FheTrainFitted, FheTrainParameters
from tests.support.batches import bright_band, training_data
from tests.support.extractors import replace_backbone
from tests.support.runcontext import NoArtefacts, run_context

SIZE, WIDTH = 16, 24
FAST: dict[str, Any] = {
    "parameter_set": "n1024-insecure",
    "allow_insecure": True,
    "whiten": 12,
    "iterations": 4,
    "C": 0.1,
}


@dataclass
class PipelineServer:
    """A server of the pipeline without a process."""

    material: bytes
    pid: int = 0
    sent: list[Message] = field(default_factory=list)
    closed: bool = False

    def __post_init__(self) -> None:
        self._server = PIPELINE.load_server(self.material)

    def call(self, verb: str, messages: list[Message], clock: Clock) -> list[Message]:
        assert verb in self._server.verbs
        self.sent += messages
        replies: list[Message] = getattr(self._server, verb)(messages, Clock(Side.SERVER))
        return replies

    def close(self) -> None:
        self.closed = True


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


def trained(folder: Path, classes: int = 2, **parameters: Any) -> Trained:
    servers: list[PipelineServer] = []

    def start(pipeline: str, material: bytes) -> PipelineServer:
        assert pipeline == "fhe-train"
        servers.append(PipelineServer(material))
        return servers[-1]

    context = run_context(folder, NoArtefacts(), start, image_size=SIZE, epochs=1)
    data = training_data(bright_band(classes, 120, 1), bright_band(classes, 12, 2))
    fitted = PIPELINE.fit(data, FheTrainParameters(**FAST | parameters), context)
    return Trained(context, fitted, fitted.deploy(context), servers)


@pytest.mark.parametrize("use", ["encrypted", "decrypted-by-owner"])
@pytest.mark.parametrize("classes", [2, 3])
def test_it_learns_and_executed_scores_equal_those_of_the_decrypted_head(
    tmp_path: Path, use: str, classes: int
) -> None:
    one = trained(tmp_path, classes, use=use)
    test = bright_band(classes, 30, 3)
    scores = one.scores(test.images)
    name, clear = one.fitted.clear_reference(test.images)
    assert name == "decrypted head, in the clear"
    assert scores.shape == (30, classes)
    np.testing.assert_allclose(scores, clear, atol=1e-3)
    assert (scores.argmax(axis=1) == test.labels).mean() > 0.85
    assert one.fitted.fhe_mode is FheMode.EXECUTE


def test_the_record_tells_rounds_bytes_twin_and_optimum(tmp_path: Path) -> None:
    one = trained(tmp_path)
    told = one.context.training
    assert (told["n"], told["columns"], told["iterations"], told["rounds"]) == (120, 12, 4, 4)
    assert told["preparation"] == "PCA-whitened to 11"
    assert told["relative_difference_to_twin"] < 1e-3
    assert [entry["iteration"] for entry in told["history"]] == [1, 2, 3, 4]
    for entry in told["history"]:
        assert entry["relative_difference_to_twin"] < 1e-3
        assert entry["logits_outside_interval"] == 0
        assert entry["loss"] == pytest.approx(entry["loss_of_twin"], abs=1e-3)
    assert told["scikit_learn"]["cosine_of_weights"] > 0.98
    assert told["scikit_learn"]["same_decisions_on_training_rows"] > 0.95
    assert told["bytes"]["keys_and_circuit"] == len(one.servers[0].material)
    sent = sum(map(len, one.servers[0].sent))
    assert told["bytes"]["data_upload"] + told["bytes"]["refresh_upload"] == sent
    assert told["seconds"]["client refresh"] > 0
    assert one.servers[0].closed


def test_all_features_are_kept_where_they_are_standardised_only(tmp_path: Path) -> None:
    one = trained(tmp_path, whiten=0, iterations=6)
    assert one.context.training["preparation"] == "standardised"
    assert one.context.training["columns"] == WIDTH + 1
    assert one.context.training["relative_difference_to_twin"] < 1e-3


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
        assert any("learning rate" in line for line in claims.server_learns)
        assert any("IND-CPA-D" in line for line in claims.parameters["not_claimed"])
        assert claims.parameters["N"] == 4096
        assert claims.parameters["training"]["N"] == 1024


def test_an_insecure_ring_is_refused_unless_asked_for_and_flagged_when_it_is(
    tmp_path: Path,
) -> None:
    with pytest.raises(UsageError, match="below 128 bits"):
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
    first = one.fitted.claims().key_fingerprint
    again = one.fitted.deploy(one.context)
    assert again.public_material != one.deployment.public_material
    assert one.fitted.claims().key_fingerprint != first
    assert one.deployment.public_material not in [server.material for server in one.servers]


def test_no_image_gives_no_message_and_no_score(tmp_path: Path) -> None:
    client, clock = trained(tmp_path).deployment.client, Clock(Side.CLIENT)
    assert client.protect(np.zeros((0, SIZE, SIZE, 3), np.uint8), clock) == []
    assert client.reveal([], clock).shape == (0, 2)


@pytest.mark.parametrize("material", [b"", b"not a message", bytes(1000)])
def test_material_of_no_known_role_is_refused(material: bytes) -> None:
    with pytest.raises(MessageError):
        PIPELINE.load_server(material)


def test_the_contract_is_fulfilled(tmp_path: Path) -> None:
    assert PIPELINE.availability().available
    assert PIPELINE.identity_inputs(FheTrainParameters(), tmp_path) == {}
    from he_compare.common.identity import source_digest

    assert source_digest(*PIPELINE.source_modules(PIPELINE.parameters()))
