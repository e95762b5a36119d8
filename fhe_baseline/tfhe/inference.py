"""Encrypted inference through Concrete ML's client and server types: two halves, their bytes.

Public material is one packed message: the server's archive and the evaluation keys (empty for a
linear circuit, which needs no bootstrapping). The client's archive with the quantiser never leaves
the client; secret keys exist in the memory of the client's object only.
"""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from he_compare.common.clock import Clock
from he_compare.common.closed_memory import close_memory
from he_compare.common.errors import MessageError
from he_compare.common.service.parsing import parsed_as_hostile
from he_compare.common.service.wire import pack, unpack
from he_compare.common.types import Float64Array, IntArray, Message, Per, Stage, UInt8Array
from he_compare.fhe_baseline.tfhe.archive import read_archive, write_archive
from he_compare.fhe_baseline.tfhe.facts import CircuitFacts, circuit_facts
from he_compare.fhe_baseline.tfhe.frames import ValueFrame, learn_frame
from he_compare.fhe_baseline.tfhe.library import (
    Concrete,
    load_concrete,
    private_folder,
    quiet,
    temporary_files_in,
)
from he_compare.fhe_baseline.tfhe.quantised import QuantisedHead, scores_of

ARCHIVE, KEYS = "server_zip", "evaluation_keys"
ROLE = "tfhe-inference"
BYTES = ("uint8", 1)


class TfheInferenceClient:
    """Quantises, encrypts and decrypts; holds the secret key."""

    def __init__(self, head: QuantisedHead, client: Any, reply_frame: ValueFrame) -> None:
        self._head = head
        self._client = client
        self._reply_frame = reply_frame

    def evaluation_keys(self) -> bytes:
        """Return the serialised evaluation keys."""
        return bytes(self._client.get_serialized_evaluation_keys())

    def fingerprint(self) -> str:
        """Name the key by the hash of one encryption: a linear circuit publishes no key."""
        integers = self._head.quantise(self._head.extremes()[:1])
        return hashlib.sha256(self._client.client.encrypt(integers).serialize()).hexdigest()[:16]

    def protect(self, inputs: Float64Array, clock: Clock) -> list[Message]:
        """Encrypt inputs (n, width): n messages."""
        n = len(inputs)
        with clock.stage(Stage.ENCODE, items=n):
            integers = self._head.quantise(inputs)
        with clock.stage(Stage.ENCRYPT, items=n):
            values = [self._client.client.encrypt(row[None]) for row in integers]
        with clock.stage(Stage.SERIALIZE, items=n):
            return [bytes(value.serialize()) for value in values]

    def reveal(self, replies: list[Message], clock: Clock) -> Float64Array:
        """Decrypt scores, float64 (n, classes). Raises MessageError."""
        n = len(replies)
        fhe = load_concrete().fhe
        with clock.stage(Stage.DESERIALIZE, items=n), parsed_as_hostile("a reply"):
            values = [deserialise(fhe, reply, self._reply_frame, "reply") for reply in replies]
        with clock.stage(Stage.DECRYPT, items=n), parsed_as_hostile("a reply"):
            integers: IntArray = np.vstack([self._client.client.decrypt(value) for value in values])
        with clock.stage(Stage.DECODE, items=n):
            logits = np.asarray(self._client.model.dequantize_output(integers), dtype=np.float64)
            return scores_of(logits.reshape(n, -1))


class TfheInferenceServer:
    """Evaluates the circuit on ciphertexts; built from public material alone."""

    verbs: tuple[str, ...] = ("infer",)

    def __init__(
        self, server: Any, keys: Any, frame: ValueFrame, folder: tempfile.TemporaryDirectory[str]
    ) -> None:
        self._server = server
        self._keys = keys
        self._frame = frame
        self._folder = folder  # the compiled circuit, opened anew by every evaluation

    def infer(self, messages: list[Message], clock: Clock) -> list[Message]:
        """Answer each message. Raises MessageError."""
        n = len(messages)
        fhe = load_concrete().fhe
        with clock.stage(Stage.DESERIALIZE, items=n), parsed_as_hostile("an upload"):
            values = [deserialise(fhe, message, self._frame, "upload") for message in messages]
        with clock.stage(Stage.EVALUATE, items=n), parsed_as_hostile("an upload"):
            replies = [self._server.run(value, self._keys) for value in values]
        with clock.stage(Stage.SERIALIZE, items=n):
            return [bytes(reply.serialize()) for reply in replies]


def deserialise(fhe: Any, message: bytes, frame: ValueFrame, what: str) -> Any:
    """Parse one ciphertext whose structure the receiver knows. Raises MessageError."""
    frame.check(message, what)
    with parsed_as_hostile(what):
        return fhe.Value.deserialize(message)


def save_circuit(model: Any, folder: str) -> bytes:
    """Write Concrete ML's two archives into an empty folder; return the server's."""
    concrete = load_concrete()
    with quiet():
        concrete.dev(folder, model).save()
    return (Path(folder) / "server.zip").read_bytes()


def make_client(head: QuantisedHead, circuit: Any, folder: str) -> TfheInferenceClient:
    """Load the client's archive from ``folder`` and generate a fresh secret key, in the memory of a
    process that is closed to others first.

    The frame of replies is learned from two evaluations under a key that is thrown away.
    """
    close_memory()
    concrete = load_concrete()
    with temporary_files_in(folder):
        frame = _reply_frame(concrete.client(folder), circuit, head)
        client = concrete.client(folder)
        client.generate_private_and_evaluation_keys()
    return TfheInferenceClient(head, client, frame)


def _reply_frame(throwaway: Any, circuit: Any, head: QuantisedHead) -> ValueFrame:
    throwaway.generate_private_and_evaluation_keys()
    integers = head.quantise(head.extremes()[:1])
    first, second = (
        circuit.server.run(
            throwaway.client.encrypt(integers), evaluation_keys=throwaway.client.evaluation_keys
        ).serialize()
        for _ in range(2)
    )
    return learn_frame(first, second, payload_bytes(throwaway.client.specs, "outputs"))


def payload_bytes(specs: Any, side: str) -> int:
    """Return the bytes of numbers in the first value of ``inputs`` or ``outputs``."""
    (circuit,) = json.loads(specs.serialize())["circuits"]
    raw = circuit[side][0]["rawInfo"]
    numbers: int = math.prod(raw["shape"]["dimensions"])
    return numbers * int(raw["integerPrecision"]) // 8


def public_material(archive: bytes, keys: bytes) -> bytes:
    """Return all the server gets."""
    return pack({ARCHIVE: as_array(archive), KEYS: as_array(keys)}, {"role": ROLE})


def as_array(data: bytes) -> UInt8Array:
    """Return bytes as uint8 (n,)."""
    return np.frombuffer(data, dtype=np.uint8)


def load_inference_server(data: bytes) -> TfheInferenceServer:
    """Build the server half from bytes of unknown origin. Raises MessageError."""
    arrays, metadata = unpack(data, expect={ARCHIVE: BYTES, KEYS: BYTES})
    if metadata.get("role") != ROLE:
        raise MessageError(f"public material is not for {ROLE}")
    concrete = load_concrete()
    folder = private_folder()
    with parsed_as_hostile("public material"):
        server = compiled_server(arrays[ARCHIVE].tobytes(), concrete, folder.name)
        frame, expected_keys = _upload_frame(server.server.client_specs, concrete)
        keys = arrays[KEYS].tobytes()
        if keys != expected_keys:
            raise MessageError(
                f"evaluation keys of {len(keys)} bytes are not those of a linear circuit, which "
                f"has none ({len(expected_keys)} bytes)"
            )
        loaded = concrete.fhe.EvaluationKeys.deserialize(keys)
        return TfheInferenceServer(server, loaded, frame, folder)


def compiled_server(archive: bytes, concrete: Concrete, folder: str) -> Any:
    """Check an archive, rebuild it in ``folder`` and compile it. Raises MessageError."""
    program = read_archive(archive, concrete)
    write_archive(program, concrete, Path(folder))
    try:
        with temporary_files_in(folder):
            return concrete.server(folder)
    except Exception as error:
        told = " ".join(str(error).split())[:200]
        raise MessageError(f"server archive does not compile: {told}") from None


def _upload_frame(specs: Any, concrete: Concrete) -> tuple[ValueFrame, bytes]:
    """Learn from a throwaway client what uploads look like, and the empty evaluation keys."""
    described = json.loads(specs.serialize())
    (circuit,) = described["circuits"]
    keyset = described["keyset"]
    if keyset["lweBootstrapKeys"] or keyset["lweKeyswitchKeys"]:
        raise MessageError("public material holds a circuit that is not linear")
    if len(circuit["inputs"]) != 1 or len(circuit["outputs"]) != 1:
        raise MessageError("public material holds a circuit of several inputs or outputs")
    throwaway = concrete.fhe.Client(specs)
    throwaway.keygen()
    shape = circuit["inputs"][0]["typeInfo"]["lweCiphertext"]["abstractShape"]["dimensions"]
    zeros = np.zeros(shape, dtype=np.int64)
    first, second = (throwaway.encrypt(zeros).serialize() for _ in range(2))
    frame = learn_frame(first, second, payload_bytes(specs, "inputs"))
    return frame, bytes(throwaway.evaluation_keys.serialize())


@dataclass(frozen=True)
class DeployedCircuit:
    """The client half, all the server gets, and what there is to say of both."""

    client: TfheInferenceClient
    public_material: bytes
    facts: CircuitFacts
    sizes: dict[str, int]
    key_fingerprint: str


def deploy_head(head: QuantisedHead, clock: Clock) -> DeployedCircuit:
    """Compile the circuit and generate a fresh secret key; both are timed."""
    with private_folder() as work, private_folder() as archives:
        with clock.stage(Stage.COMPILE, per=Per.ONCE):
            circuit = head.compile(work)
            archive = save_circuit(head.model, archives)
        with clock.stage(Stage.KEYGEN, per=Per.KEY):
            client = make_client(head, circuit, archives)
            keys = client.evaluation_keys()
        facts = circuit_facts(circuit.client.specs.serialize(), circuit.statistics)
    material = public_material(archive, keys)
    sizes = {
        "evaluation_key_bytes": len(keys),
        "server_archive_bytes": len(archive),
        "public_material_bytes": len(material),
    }
    return DeployedCircuit(client, material, facts, sizes, client.fingerprint())
