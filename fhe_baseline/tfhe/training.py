"""Logistic regression trained on TFHE ciphertexts: Concrete ML's training circuit, cut in two.

``SGDClassifier(fit_encrypted=True)`` compiles one step of stochastic gradient descent into a
circuit whose outputs (weights, bias) fit its inputs. The library's own ``fit(fhe="execute")`` runs
client and server in one process; here the same circuit is saved in its deployment mode
``training``, so that a server process runs the steps on ciphertexts and never holds the secret key.
Bootstrapping keeps the noise down: the weights go from step to step without being decrypted.

The circuit is compiled on synthetic inputs at the ends of their range, so that its text, which the
server gets, says nothing about the data.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from he_compare.common.clock import Clock
from he_compare.common.closed_memory import close_memory
from he_compare.common.errors import MessageError
from he_compare.common.service.parsing import parsed_as_hostile
from he_compare.common.service.wire import pack, unpack
from he_compare.common.types import Float64Array, IntArray, Message, Stage
from he_compare.fhe_baseline.tfhe.archive import configuration
from he_compare.fhe_baseline.tfhe.facts import CircuitFacts, circuit_facts
from he_compare.fhe_baseline.tfhe.inference import ARCHIVE, BYTES, KEYS, as_array, compiled_server
from he_compare.fhe_baseline.tfhe.library import (
    Concrete,
    load_concrete,
    private_folder,
    quiet,
    temporary_files_in,
)
from he_compare.fhe_baseline.tfhe.value_forms import evaluation_key_tree, value_forms
from he_compare.fhe_baseline.tfhe.value_trees import ValueForm, tree_of

ROLE = "tfhe-training"
BATCH = 8
WEIGHT_RANGE = (-1.0, 1.0)
INPUT_BOUND = 1.0
P_ERROR = 0.01
VALUES_PER_STEP = 4  # inputs, labels, weights, bias


@dataclass(frozen=True)
class TrainingShape:
    """What fixes the training circuit besides the library's version."""

    features: int
    bits: int
    rounding: int
    learning_rate: float


class TrainingCircuit:
    """One step of training, compiled: its clear twin, its archives and its facts."""

    def __init__(self, shape: TrainingShape, folder: str) -> None:
        concrete = load_concrete()
        self.shape = shape
        model = concrete.sgd_classifier(
            fit_encrypted=True, parameters_range=WEIGHT_RANGE, max_iter=1, random_state=0
        )
        model.n_bits_training = shape.bits
        model.rounding_training = shape.rounding
        model.learning_rate_value = shape.learning_rate
        model.batch_size = BATCH
        model.training_p_error = P_ERROR
        model.training_fhe_configuration = configuration(concrete)
        signs = np.where(np.arange(2 * BATCH) % 2, INPUT_BOUND, -INPUT_BOUND)
        ends = np.repeat(signs[:, None], shape.features, axis=1)
        with temporary_files_in(folder):
            model.fit(ends, (signs > 0).astype(np.int64), fhe="disable")
        self._model = model
        self._module = model.training_quantized_module

    def save(self, folder: str) -> bytes:
        """Write the archives of client and server into an empty folder; return the server's."""
        concrete = load_concrete()
        with quiet():
            concrete.dev(folder, self._model).save(mode=concrete.training_mode)
        return (Path(folder) / "server.zip").read_bytes()

    def facts(self) -> CircuitFacts:
        """Return keys, noise and failure probability of one step."""
        circuit = self._module.fhe_circuit
        return circuit_facts(circuit.client.specs.serialize(), circuit.statistics)

    def twin(self, batches: list[Batch]) -> Float64Array:
        """Run the same integer steps in the clear: weights and bias (features + 1,)."""
        _, _, weights, bias = self._module.quantize_input(None, None, *_start(self.shape.features))
        for batch in batches:
            inputs, labels, _, _ = self._module.quantize_input(*batch.arrays(), None, None)
            weights, bias = self._module.quantized_forward(
                inputs, labels, weights, bias, fhe="disable"
            )
        return _flat(self._module.dequantize_output(weights, bias))


@dataclass(frozen=True)
class Batch:
    """Inputs within +-INPUT_BOUND, float64 (BATCH, features), and labels 0 or 1, (BATCH,)."""

    inputs: Float64Array
    labels: IntArray

    def arrays(self) -> tuple[Float64Array, Float64Array]:
        """Return inputs (1, BATCH, features) and labels (1, BATCH, 1) as the circuit takes them."""
        return self.inputs[None], self.labels.astype(np.float64)[None, :, None]


class TfheTrainingClient:
    """Encrypts batches, decrypts the result; holds the secret key."""

    def __init__(self, folder: str, features: int) -> None:
        close_memory()
        concrete = load_concrete()
        with temporary_files_in(folder):
            self._client = concrete.client(folder)
            self._client.generate_private_and_evaluation_keys()
        self._returned = value_forms(self._client.client.specs, concrete, "outputs")
        self._features = features

    def public_material(self, archive: bytes) -> bytes:
        """Return all the training server gets: circuit and evaluation keys."""
        keys = bytes(self._client.get_serialized_evaluation_keys())
        return pack({ARCHIVE: as_array(archive), KEYS: as_array(keys)}, {"role": ROLE})

    def start(self) -> list[Message]:
        """Encrypt the weights and the bias that training starts from: zeros."""
        return self._encrypt((None, None, *_start(self._features)))[2:]

    def batch(self, batch: Batch, clock: Clock) -> list[Message]:
        """Encrypt a batch: its inputs and its labels."""
        with clock.stage(Stage.ENCRYPT, items=BATCH):
            return self._encrypt((*batch.arrays(), None, None))[:2]

    def reveal(self, replies: list[Message]) -> Float64Array:
        """Decrypt weights and bias, float64 (features + 1,). Raises MessageError."""
        what = "trained weights"
        with parsed_as_hostile(what):
            values = parse_values(replies, [(form,) for form in self._returned], what)
            integers = self._client.client.decrypt(*values)
            weights = _flat(self._client.model.dequantize_output(*integers))
        if not np.isfinite(weights).all():
            raise MessageError(f"{what} are no finite numbers")
        return weights

    def _encrypt(self, arrays: tuple[Any, ...]) -> list[Message]:
        values = self._client.client.encrypt(*self._client.model.quantize_input(*arrays))
        return [b"" if value is None else bytes(value.serialize()) for value in values]


class TfheTrainingServer:
    """Runs steps on ciphertexts; built from public material alone, keeps no state between calls.

    ``forms``: what each value of a step may look like. Weights and bias are fresh, or those that
    the step before returned.
    """

    verbs: tuple[str, ...] = ("step",)

    def __init__(
        self,
        server: Any,
        keys: Any,
        forms: Sequence[tuple[ValueForm, ...]],
        folder: tempfile.TemporaryDirectory[str],
    ) -> None:
        self._server = server
        self._keys = keys
        self._forms = forms
        self._folder = folder

    def step(self, messages: list[Message], clock: Clock) -> list[Message]:
        """Turn [inputs, labels, weights, bias] into [weights, bias]. Raises MessageError."""
        with clock.stage(Stage.DESERIALIZE, items=BATCH), parsed_as_hostile("a step"):
            values = parse_values(messages, self._forms, "step")
        with clock.stage(Stage.EVALUATE, items=BATCH):
            try:
                replies = self._server.run(tuple(values), self._keys)
            except Exception as error:
                raise MessageError(f"step: {' '.join(str(error).split())[:200]}") from None
        with clock.stage(Stage.SERIALIZE, items=BATCH):
            return [bytes(reply.serialize()) for reply in replies]

    def infer(self, messages: list[Message], clock: Clock) -> list[Message]:
        """Not a verb of a server that trains."""
        raise MessageError("this server trains")


def load_training_server(data: bytes) -> TfheTrainingServer:
    """Build a training server from bytes of unknown origin. Raises MessageError."""
    arrays, metadata = unpack(data, expect={ARCHIVE: BYTES, KEYS: BYTES})
    if metadata.get("role") != ROLE:
        raise MessageError(f"public material is not for {ROLE}")
    concrete = load_concrete()
    folder = private_folder()
    keys = arrays[KEYS].tobytes()
    tree = tree_of(keys, "evaluation keys")  # before anything is compiled
    with parsed_as_hostile("public material"):
        server = compiled_server(arrays[ARCHIVE].tobytes(), concrete, folder.name)
        specs = server.server.client_specs
        forms = _step_forms(specs, concrete)
        if tree != evaluation_key_tree(specs):
            raise MessageError("evaluation keys are not those of this circuit")
        loaded = concrete.fhe.EvaluationKeys.deserialize(keys)
        return TfheTrainingServer(server, loaded, forms, folder)


def _step_forms(specs: Any, concrete: Concrete) -> list[tuple[ValueForm, ...]]:
    """Return what each value of a step may look like. Raises MessageError."""
    fresh = value_forms(specs, concrete, "inputs")
    returned = value_forms(specs, concrete, "outputs")
    if len(fresh) != VALUES_PER_STEP or len(returned) != 2:
        raise MessageError(
            f"public material holds a circuit of {len(fresh)} inputs and {len(returned)} outputs, "
            f"a step has {VALUES_PER_STEP} and 2"
        )
    data = [(form,) for form in fresh[:2]]
    return data + [(one, other) for one, other in zip(fresh[2:], returned, strict=True)]


def parse_values(
    messages: list[Message], forms: Sequence[tuple[ValueForm, ...]], what: str
) -> list[Any]:
    """Parse serialised ciphertexts, each of one of the forms that it may have.

    Raises MessageError.
    """
    if len(messages) != len(forms):
        raise MessageError(f"{what}: {len(messages)} values, expected {len(forms)}")
    fhe = load_concrete().fhe
    for message, allowed in zip(messages, forms, strict=True):
        same = [form for form in allowed if form.length == len(message)]
        (same or list(allowed))[0].check(message, what)
    with parsed_as_hostile(what):
        return [fhe.Value.deserialize(message) for message in messages]


def _start(features: int) -> tuple[Float64Array, Float64Array]:
    return np.zeros((1, features, 1)), np.zeros((1, 1, 1))


def _flat(outputs: tuple[Any, Any]) -> Float64Array:
    weights, bias = outputs
    flat: Float64Array = np.concatenate([np.ravel(weights), np.ravel(bias)]).astype(np.float64)
    return flat
