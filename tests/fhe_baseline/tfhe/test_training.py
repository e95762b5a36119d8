"""Training on TFHE ciphertexts: the slice, the clear twin, one executed step, hostile bytes."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from he_compare.common.clock import Clock
from he_compare.common.errors import DataError, MessageError
from he_compare.common.service.wire import pack, unpack
from he_compare.common.types import Message, Side, Stage
from he_compare.fhe_baseline.tfhe.inference import ARCHIVE, KEYS, as_array
from he_compare.fhe_baseline.tfhe.library import availability
from he_compare.fhe_baseline.tfhe.training import (
    BATCH,
    ROLE,
    Batch,
    TfheTrainingServer,
    TrainingCircuit,
    TrainingShape,
    load_training_server,
    parse_values,
)
from he_compare.fhe_baseline.tfhe.training_run import (
    TfheTrainingOutcome,
    batches_of,
    choose_slice,
    linear_model,
    scaled,
    train,
    training_facts,
)
from he_compare.fhe_baseline.tfhe.value_trees import tree_of

needs_concrete = pytest.mark.skipif(not availability().available, reason=availability().reason)

# The cheapest circuit that still bootstraps: seconds to make keys for and to run.
SMALL = TrainingShape(features=1, bits=4, rounding=4, learning_rate=1.0)


def separable(n: int, features: int) -> tuple[np.ndarray, np.ndarray]:
    inputs = scaled(np.random.default_rng(0).normal(size=(n, features)))
    return inputs, (inputs[:, 0] > 0).astype(np.int64)


def test_the_slice_is_balanced_reproducible_and_shuffled() -> None:
    labels = np.array([0] * 90 + [1] * 20, dtype=np.int64)
    chosen = choose_slice(labels, 32, seed=7)
    np.testing.assert_array_equal(chosen, choose_slice(labels, 32, seed=7))
    assert len(set(chosen.tolist())) == 32
    assert labels[chosen].sum() == 16
    assert 0 < labels[chosen][:BATCH].sum() < BATCH
    assert set(chosen.tolist()) != set(choose_slice(labels, 32, seed=8).tolist())


def test_a_slice_larger_than_a_class_is_refused_with_what_to_do() -> None:
    labels = np.array([0] * 90 + [1] * 3, dtype=np.int64)
    with pytest.raises(DataError, match=r"3 training images of class number 1.*train_images"):
        choose_slice(labels, 16, seed=0)


def test_whitened_features_are_brought_within_the_circuits_range() -> None:
    np.testing.assert_array_equal(scaled(np.array([[-9.0, -1.0, 0.0, 2.0]])), [[-1, -0.5, 0, 1]])


def test_batches_cover_the_slice_once_in_order() -> None:
    inputs, labels = separable(24, 3)
    batches = batches_of(inputs, labels)
    assert [len(batch.inputs) for batch in batches] == [BATCH] * 3
    np.testing.assert_array_equal(np.vstack([batch.inputs for batch in batches]), inputs)
    shapes = [array.shape for array in batches[0].arrays()]
    assert shapes == [(1, BATCH, 3), (1, BATCH, 1)]


def test_trained_weights_become_a_head_of_plus_and_minus_half_the_logit() -> None:
    model = linear_model(np.array([2.0, -4.0, 1.0]))
    np.testing.assert_array_equal(model.weights, [[-1, 2], [1, -2]])
    np.testing.assert_array_equal(model.bias, [-0.5, 0.5])


@needs_concrete
def test_the_clear_twin_learns_and_the_circuit_bootstraps_at_128_bits(tmp_path: Path) -> None:
    circuit = TrainingCircuit(TrainingShape(2, 5, 6, 1.0), str(tmp_path))
    inputs, labels = separable(32, 2)
    weights = circuit.twin(batches_of(inputs, labels))
    assert weights.shape == (3,)
    predicted = inputs @ weights[:2] + weights[2] > 0
    assert (predicted == labels).mean() > 0.8
    flipped = circuit.twin(batches_of(inputs, 1 - labels))
    assert weights[0] > 0.1 > -0.1 > flipped[0]
    facts = circuit.facts()
    assert facts.statistics["programmable_bootstrap_count"] > 0
    assert {one.use for one in facts.lwe} == {"inputs", "bootstrapping key", "key-switching key"}
    assert facts.weakest().estimates()[0].bits > 120


class ServerHere:
    """Stands in for a server process: the same server half, in this one."""

    pid = 0

    def __init__(self, material: bytes) -> None:
        self.material = material
        self.server: Any = load_training_server(material)
        self.calls: list[list[Message]] = []
        self.replies: list[list[Message]] = []
        self.clock = Clock(Side.SERVER)

    def call(self, verb: str, messages: list[Message], clock: Clock) -> list[Message]:
        assert verb in self.server.verbs
        self.calls.append(messages)
        self.replies.append(self.server.step(messages, self.clock))
        return self.replies[-1]

    def close(self) -> None:
        self.server._folder.cleanup()


@cache
def trained() -> tuple[TfheTrainingOutcome, ServerHere]:
    """One step of one feature, executed."""
    inputs, labels = separable(BATCH, SMALL.features)
    servers: list[ServerHere] = []

    def start(material: bytes) -> ServerHere:
        servers.append(ServerHere(material))
        return servers[0]

    outcome = train(
        SMALL,
        batches_of(inputs, labels),
        start,
        Clock(Side.CLIENT),
        lambda what, done, total: None,
    )
    return outcome, servers[0]


@needs_concrete
def test_an_executed_step_gives_the_weights_of_the_clear_twin() -> None:
    """A look-up fails once in a hundred; then a weight is off by one unit of its grid."""
    outcome, server = trained()
    assert outcome.weights.shape == (SMALL.features + 1,)
    assert np.abs(outcome.weights - outcome.twin).max() < 0.3
    assert len(outcome.step_seconds) == len(server.calls) == 1
    assert [len(server.calls[0]), len(server.replies[0])] == [4, 2]
    assert Stage.EVALUATE in {stage for stage, *_ in server.clock.samples}


@needs_concrete
def test_the_record_states_slice_cost_mode_and_distance_to_the_twin() -> None:
    outcome, server = trained()
    told = training_facts(outcome, SMALL, BATCH)
    assert told["fhe_mode"] == "execute"
    assert told["seconds_per_sample_and_feature"] == pytest.approx(outcome.step_seconds[0] / BATCH)
    assert told["public_material_bytes"] == len(server.material)
    assert told["refresh_rounds"] == 0
    assert set(told["seconds"]) >= {"compile", "keygen", "upload_and_load", "steps"}
    assert "server process" in told["trained_on"]


@needs_concrete
def test_malformed_steps_are_refused() -> None:
    _, server = trained()
    step, clock = server.server.step, Clock(Side.SERVER)
    good = server.calls[0]
    for bad, complaint in (
        ([], "0 values, expected 4"),
        (good[:3], "3 values"),
        ([b"", *good[1:]], "0 bytes, expected"),
        ([good[0][:-8], *good[1:]], "bytes, expected"),
        ([b"\xff" * len(good[0]), *good[1:]], "not a serialised value"),
        ([bytes(len(good[0])), *good[1:]], "header says otherwise"),
        ([b"\0\0\0\0\x01\0\0\0" + b"\xff" * 8, *good[1:]], "step"),
        ([good[1], good[0], *good[2:]], "not a ciphertext of this circuit|bytes, expected"),
        ([*good[:2], good[3], good[2]], "step"),
    ):
        with pytest.raises(MessageError, match=complaint):
            step(bad, clock)
    with pytest.raises(MessageError, match="this server trains"):
        server.server.infer(good, clock)


def changed_key(keys: bytes) -> bytes:
    """Evaluation keys that are whole, with one number of their description changed."""
    tree = tree_of(keys, "keys")
    for place in range(8, len(keys)):
        changed = bytearray(keys)
        changed[place] ^= 1
        try:
            if tree_of(bytes(changed), "keys") != tree:
                return bytes(changed)
        except MessageError:
            continue
    raise AssertionError("no number of the description was found")


@needs_concrete
def test_no_flipped_bit_of_a_values_structure_reaches_the_library() -> None:
    """Concrete's own parser does not survive all of them."""
    _, server = trained()
    good, forms = server.calls[0], server.server._forms
    for place, message in enumerate([*good, *server.replies[0]]):
        form = next(
            one for one in forms[place if place < 4 else place - 2] if one.length == len(message)
        )
        form.check(message, "value")
        refused = 0
        for bit in range(0, 8 * min(len(message), 400)):
            changed = bytearray(message)
            changed[bit // 8] ^= 1 << bit % 8
            try:
                form.check(bytes(changed), "value")
            except MessageError:
                refused += 1
        assert refused > 200


@needs_concrete
def test_weights_that_a_step_returned_are_taken_by_the_next_one() -> None:
    _, server = trained()
    parse_values([*server.calls[0][:2], *server.replies[0]], server.server._forms, "step")
    with pytest.raises(MessageError, match="expected"):
        parse_values([*server.replies[0], *server.replies[0]], server.server._forms, "step")


@needs_concrete
def test_malformed_training_material_is_refused_and_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _, server = trained()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    arrays, metadata = unpack(server.material)
    keys = arrays[KEYS].tobytes()
    for changed, complaint in (
        (pack(arrays, {"role": "other"}), "is not for tfhe-training"),
        (pack({**arrays, KEYS: as_array(keys[:-8])}, metadata), "header says otherwise"),
        (
            pack({**arrays, KEYS: as_array(changed_key(keys))}, metadata),
            "not those of this circuit",
        ),
        (pack({**arrays, KEYS: as_array(b"")}, metadata), "not a serialised value"),
        (pack({**arrays, ARCHIVE: as_array(b"PK")}, {"role": ROLE}), "not a server archive"),
        (pack({ARCHIVE: arrays[ARCHIVE]}, metadata), "lacks the array"),
        (server.material[: len(server.material) // 2], "not a packed message"),
    ):
        with pytest.raises(MessageError, match=complaint):
            load_training_server(changed)
    assert [path.name for path in tmp_path.iterdir() if path.name != "home"] == []


def test_a_batch_is_taken_as_the_circuit_wants_it() -> None:
    batch = Batch(np.zeros((BATCH, 2)), np.ones(BATCH, dtype=np.int64))
    inputs, labels = batch.arrays()
    assert inputs.dtype == labels.dtype == np.float64
    assert TfheTrainingServer.verbs == ("step",)
