"""Training under encryption: the server process never holds the key, and foreign bytes are refused.

The search for the key looks for its raw residues, as SEAL keeps them in memory; that it sees the
server's memory at all is checked with something that must be there.
"""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from he_compare.common.clock import Clock
from he_compare.common.errors import MessageError, UsageError
from he_compare.common.service.process import ServerProcess
from he_compare.common.service.wire import pack, unpack
from he_compare.common.types import Message, Side, UInt8Array
from he_compare.fhe_baseline.ckks.serialization import seal_bytes
from he_compare.fhe_baseline.ckks.training.circuit import Circuit
from he_compare.fhe_baseline.ckks.training.client import CkksTrainingClient
from he_compare.fhe_baseline.ckks.training.messages import (
    Address,
    Content,
    pack_header,
    pack_upload,
    unpack_header,
)
from he_compare.fhe_baseline.ckks.training.problem import Problem
from he_compare.fhe_baseline.ckks.training.public_material import (
    load_circuit,
    pack_material,
    processes_of,
)
from he_compare.fhe_baseline.ckks.training.server import CkksTrainingServer
from tests.support.encrypted_training import SMALL, small_task

MEMORY = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
CLOCK = Clock(Side.SERVER)
NULL_METADATA = b'{"__metadata__":null,"%s":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'
DEEP_JSON = "[" * 100_000


@dataclass(frozen=True)
class Begun:
    """A training of four steps with a refresh after two, whose keys and data are uploaded."""

    circuit: Circuit
    problem: Problem
    client: CkksTrainingClient
    material: bytes
    keys: list[Message]
    uploads: list[Message]

    def server(self) -> CkksTrainingServer:
        server = CkksTrainingServer(self.material)
        server.key(self.keys, CLOCK)
        server.add(self.uploads, CLOCK)
        return server

    def state(self) -> list[Message]:
        """V and W for the second stretch."""
        weights = np.full((self.circuit.classifiers, self.circuit.columns), 0.1)
        return self.client.encrypt_state(1, weights, weights)


@cache
def begun() -> Begun:
    circuit, problem = small_task(60, 5, steps=4, refreshes=1, momentum=True)
    client = CkksTrainingClient(circuit)
    uploads = list(client.uploads(problem))
    return Begun(circuit, problem, client, pack_material(circuit), list(client.keys()), uploads)


def first(server: CkksTrainingServer) -> list[Message]:
    return server.train([pack_header(0)], CLOCK)


def second(server: CkksTrainingServer, state: list[Message]) -> list[Message]:
    return server.train([pack_header(1), *state], CLOCK)


# Secrets


def secret_pieces(client: CkksTrainingClient) -> list[bytes]:
    """Stretches of four residues of the secret key, as they lie in memory."""
    secret = client._keys.secret_key()  # owns what data() points to
    key = secret.data()
    starts = range(0, key.coeff_count() - 4, 61)
    pieces = [struct.pack("<4Q", *(key.data(start + i) for i in range(4))) for start in starts]
    assert len(set(pieces)) == len(pieces) > 50
    return pieces


def readable_memory(pid: int) -> Iterator[bytes]:
    """Yield every readable mapping of a process."""
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, access, *_ = line.split()
            if "r" not in access or line.endswith("[vvar]"):
                continue
            start, end = (int(number, 16) for number in span.split("-"))
            try:
                memory.seek(start)
                yield memory.read(end - start)
            except (OSError, ValueError, OverflowError):
                continue


def found_in(pid: int, pieces: list[bytes]) -> bool:
    return any(piece in mapping for mapping in readable_memory(pid) for piece in pieces)


@MEMORY
def test_the_server_processes_memory_files_and_command_line_hold_no_secret_key() -> None:
    one = begun()
    pieces = secret_pieces(one.client)
    clock = Clock(Side.CLIENT)
    with ServerProcess("fhe-train", one.material, clock, threads=1) as server:
        server.call("key", one.keys, clock)
        server.call("add", one.uploads, clock)
        one.client.decrypt_state(0, server.call("train", [pack_header(0)], clock))
        process = psutil.Process(server.pid)
        assert process.cmdline()[-2:] == ["-m", "he_compare.common.service.child"]
        mine = {file.path for file in psutil.Process().open_files()}
        assert not mine & {file.path for file in process.open_files()}
        try:
            in_server = found_in(server.pid, pieces[::8])
        except PermissionError:
            pytest.skip("this process may not read another one's memory")
        assert not in_server
        assert found_in(server.pid, [b"evaluation_key"]), "the search must see its memory"


def test_no_piece_of_the_secret_key_is_in_anything_that_leaves_the_client() -> None:
    one = begun()
    pieces = set(secret_pieces(one.client))
    for data in (one.material, *one.keys, *one.uploads, *one.state()):
        assert not any(piece in data for piece in pieces)
    secret = seal_bytes(one.client._keys.secret_key())
    assert not any(secret[200:264] in data for data in (one.material, *one.keys, *one.uploads))


def test_the_server_object_has_nothing_that_decrypts() -> None:
    server = begun().server()
    for owner in (server, server._gradients, server._descent, server._pool, server._keys):
        kinds = {type(value).__name__ for value in vars(owner).values()}
        assert kinds.isdisjoint({"SecretKey", "Decryptor", "Encryptor", "KeyGenerator"})


def test_data_labels_and_penalties_leave_as_ciphertexts_that_differ_every_time() -> None:
    one = begun()
    again = list(one.client.uploads(one.problem))
    kinds = {unpack(message)[1]["kind"] for message in again}
    assert kinds == {"features", "sample weights", "targets", "penalties"}
    for earlier, later in zip(one.uploads, again, strict=True):
        arrays = [unpack(message)[0]["ciphertext"] for message in (earlier, later)]
        size = min(map(len, arrays))
        same = (arrays[0][200:size] == arrays[1][200:size]).mean()
        assert same < 0.05


def test_what_the_server_gets_in_the_clear_is_shapes_steps_and_parameters() -> None:
    """Neither data nor labels, variances, penalties or the strength of the regularisation."""
    one = begun()
    arrays, metadata = unpack(one.material)
    assert arrays == {}
    assert set(metadata) == {"role", "circuit", "processes"}
    told = json.loads(metadata["circuit"])
    assert set(told) == {
        "parameters", "rows", "columns", "classifiers", "refreshes", "batches", "doublings",
        "steps", "allow_insecure",
    }  # fmt: skip
    other, problem = small_task(60, 5, steps=4, refreshes=1, momentum=True, inverse_l2=0.1)
    flipped = Problem(
        -problem.matrix,
        1 - problem.targets,
        problem.sample_weights,
        problem.penalties * 7,
        problem.inverse_l2,
    )
    again = flipped.circuit(other.parameters, other.steps, refreshes=1, allow_insecure=True)
    assert again.to_json() == one.circuit.to_json()
    for _, metadata in map(unpack, one.uploads):
        assert set(metadata) == {"kind", "group", "index"}


# The header and the state of a stretch


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"{}",
        b"[1]",
        b"null",
        b"\xff\xfe\x00",
        b'{"stretch": true}',
        b'{"stretch": "0"}',
        b'{"stretch": 0.0}',
        b'{"stretch": NaN}',
        b'{"stretch": -1}',
        b'{"stretch": 2}',
        b'{"stretch": ' + b"9" * 5000 + b"}",
        DEEP_JSON.encode(),
    ],
)
def test_a_stretch_with_a_wrong_header_is_refused(header: bytes) -> None:
    with pytest.raises(MessageError):
        unpack_header(header, begun().circuit)
    with pytest.raises(MessageError):
        begun().server().train([header, *begun().state()], CLOCK)


def test_a_call_without_a_header_is_refused() -> None:
    with pytest.raises(MessageError, match="needs a header"):
        begun().server().train([], CLOCK)


def test_a_stretch_takes_exactly_the_weights_it_needs() -> None:
    one = begun()
    server, state = one.server(), one.state()
    assert len(state) == 2  # V, and W for the momentum within
    for messages in ([], state[:1], [*state, state[0]]):
        with pytest.raises(MessageError, match=r"of weights for stretch 1 .* expected 2"):
            second(server, messages)
    with pytest.raises(MessageError, match=r"1 ciphertexts of weights for stretch 0 .* expected 0"):
        server.train([pack_header(0), state[0]], CLOCK)
    assert len(second(server, state)) == 1
    replies = first(server)
    assert len(replies) == 2  # the weights of the step before go back for the client's momentum
    with pytest.raises(MessageError, match=r"1 replies for the weights .* expected 2"):
        one.client.decrypt_state(0, replies[:1])
    with pytest.raises(MessageError, match=r"2 replies for the weights .* expected 1"):
        one.client.decrypt_state(1, replies)


# Ciphertexts


@pytest.mark.parametrize("junk", [b"", b"\x00" * 64, b"\xff" * 5000])
def test_bytes_that_are_no_ciphertext_are_refused_by_every_verb(junk: bytes) -> None:
    one = begun()
    server = one.server()
    with pytest.raises(MessageError):
        server.add([junk], CLOCK)
    for kind in Content:
        with pytest.raises(MessageError):
            server.add([pack_upload(Address(kind, 0, 0), junk)], CLOCK)
    with pytest.raises(MessageError):
        second(server, [junk, one.state()[1]])
    with pytest.raises(MessageError):
        one.client.decrypt_state(0, [junk, junk])


def test_truncated_uploads_are_refused_at_every_length() -> None:
    arrays, metadata = unpack(begun().uploads[0])
    data: UInt8Array = arrays["ciphertext"]
    server = CkksTrainingServer(begun().material)
    for length in (0, 1, 15, 16, 100, len(data) // 2, len(data) - 1):
        with pytest.raises(MessageError):
            server.add([pack({"ciphertext": data[:length]}, metadata)], CLOCK)


@pytest.mark.parametrize("place", [0, 3, 4, 5, 6])
def test_flipped_bits_in_data_end_in_a_refusal_or_in_weights_the_client_checks(place: int) -> None:
    one = begun()
    arrays, metadata = unpack(one.uploads[place])
    generator, refused, plausible = np.random.default_rng(place), 0, 0
    for _ in range(4):
        data = arrays["ciphertext"].copy()
        data[generator.integers(len(data))] ^= 1 << generator.integers(8)
        server = one.server()
        try:
            server.add([pack({"ciphertext": data}, metadata)], CLOCK)
            weights, _ = one.client.decrypt_state(0, first(server))
        except MessageError:
            refused += 1
        else:
            plausible += bool(np.isfinite(weights).all())
    assert refused + plausible == 4 and refused > 0


def test_flipped_bits_in_returned_weights_are_noticed() -> None:
    one = begun()
    replies = first(one.server())
    one.client.decrypt_state(0, replies)
    generator = np.random.default_rng(1)
    for _ in range(30):
        place = int(generator.integers(2))
        changed = bytearray(replies[place])
        changed[generator.integers(200, len(changed))] ^= 1 << generator.integers(8)
        tampered = [bytes(changed) if i == place else reply for i, reply in enumerate(replies)]
        with pytest.raises(MessageError):
            one.client.decrypt_state(0, tampered)


def test_weights_of_another_key_or_in_each_others_place_are_noticed() -> None:
    one = begun()
    replies = first(one.server())
    with pytest.raises(MessageError, match="another key or tampered with"):
        CkksTrainingClient(one.circuit).decrypt_state(0, replies)
    with pytest.raises(MessageError, match=r"primes|longer than"):
        one.client.decrypt_state(0, replies[::-1])


@pytest.mark.parametrize("kind", list(Content))
def test_data_under_another_key_ruins_the_training_and_is_noticed(kind: Content) -> None:
    one = begun()
    stranger = CkksTrainingClient(one.circuit)
    server = one.server()
    foreign = [m for m in stranger.uploads(one.problem) if unpack(m)[1]["kind"] == kind.value]
    server.add(foreign[:1], CLOCK)
    with pytest.raises(MessageError, match="another key or tampered with"):
        one.client.decrypt_state(1, second(server, one.state()))


def test_an_upload_at_another_place_level_or_scale_is_refused() -> None:
    one = begun()
    server = CkksTrainingServer(one.material)
    ciphertext = unpack(one.uploads[0])[0]["ciphertext"].tobytes()
    for address in (
        Address(Content.FEATURES, 7, 0),
        Address(Content.FEATURES, -1, 0),
        Address(Content.FEATURES, 0, 4096),
        Address(Content.TARGETS, 0, 1),
        Address(Content.PENALTIES, 1, 0),
        Address(Content.PENALTIES, 0, 2),
    ):
        with pytest.raises(MessageError, match="there is no"):
            server.add([pack_upload(address, ciphertext)], CLOCK)
    two_groups = CkksTrainingServer(pack_material(small_task(700, 5)[0]))
    with pytest.raises(MessageError, match="there is no group 1 of penalties"):
        two_groups.add([pack_upload(Address(Content.PENALTIES, 1, 0), ciphertext)], CLOCK)
    for kind in (Content.SAMPLE_WEIGHTS, Content.TARGETS, Content.PENALTIES):
        with pytest.raises(MessageError, match="has scale"):
            server.add([pack_upload(Address(kind, 0, 0), ciphertext)], CLOCK)
    fewer, _ = small_task(60, 5, steps=4, refreshes=3)
    assert fewer.scales.top < one.circuit.scales.top
    foreign = [
        next(CkksTrainingClient(fewer).uploads(one.problem)),
        next(
            CkksTrainingClient(small_task(60, 5, steps=1, parameters=SMALL)[0]).uploads(one.problem)
        ),
    ]
    for message in foreign:
        with pytest.raises(MessageError):
            server.add([message], CLOCK)
    with pytest.raises(MessageError):
        second(one.server(), [ciphertext, ciphertext])  # features in the place of weights


@pytest.mark.parametrize(
    "changed",
    [
        {"kind": "feature"},
        {"group": "x"},
        {"group": "1e400"},
        {"index": "9" * 5000},
        {"index": ""},
    ],
)
def test_an_upload_whose_address_is_no_address_is_refused(changed: dict[str, str]) -> None:
    arrays, metadata = unpack(begun().uploads[0])
    with pytest.raises(MessageError, match="an upload has no address"):
        CkksTrainingServer(begun().material).add([pack(arrays, metadata | changed)], CLOCK)


def test_messages_whose_metadata_is_null_are_refused() -> None:
    server = CkksTrainingServer(begun().material)
    for verb, name in ((server.key, b"evaluation_key"), (server.add, b"ciphertext")):
        header = NULL_METADATA % name
        with pytest.raises(MessageError):
            verb([struct.pack("<Q", len(header)) + header + b"a"], CLOCK)
    header = b'{"__metadata__":null}'
    with pytest.raises(MessageError):
        CkksTrainingServer(struct.pack("<Q", len(header)) + header)


# The circuit


def material_of(circuit: str, processes: str = "1") -> bytes:
    return pack({}, {"role": "train", "circuit": circuit, "processes": processes})


def test_a_circuit_survives_its_json() -> None:
    for circuit in (begun().circuit, small_task(700, 12, 3, degree=7, steps=2, refreshes=1)[0]):
        assert Circuit.from_json(circuit.to_json()) == circuit
        assert load_circuit(pack_material(circuit)).scales == circuit.scales
    assert processes_of(pack_material(begun().circuit, 3)) == 3


def ring(degree: int, bits: list[Any], scale: int = 30) -> str:
    return json.dumps({"degree": degree, "modulus_bits": bits, "scale_bits": scale})


ONE_STEP = [1.0, 0.0, 12.0, [0.1, -0.1]]


@pytest.mark.parametrize(
    "changed",
    [
        {"rows": 0},
        {"rows": 10**30},
        {"rows": 60.0},
        {"rows": True},
        {"rows": "60"},
        {"rows": None},
        {"columns": 1},
        {"columns": 10**9},
        {"classifiers": 0},
        {"classifiers": 2},
        {"classifiers": 10**20},
        {"refreshes": -1},
        {"refreshes": 4},
        {"refreshes": 10**30},
        {"batches": 0},
        {"batches": 61},
        {"doublings": 0},
        {"doublings": 9},
        {"allow_insecure": 1},
        {"allow_insecure": False},
        {"another": 1},
        {"steps": []},
        {"steps": {}},
        {"steps": None},
        {"steps": [1]},
        {"steps": [ONE_STEP] * 201},
        {"steps": [ONE_STEP] * 9},
        {"steps": [[1.0, 0.0, 12.0]]},
        {"steps": [["1", 0.0, 12.0, [0.1, -0.1]]]},
        {"steps": [[True, 0.0, 12.0, [0.1, -0.1]]]},
        {"steps": [[float("nan"), 0.0, 12.0, [0.1, -0.1]]]},
        {"steps": [[1.0, float("inf"), 12.0, [0.1, -0.1]]]},
        {"steps": [[1.0, 1.0, 12.0, [0.1, -0.1]]]},
        {"steps": [[1.0, 0.0, float("-inf"), [0.1, -0.1]]]},
        {"steps": [[1.0, 0.0, 0.0, [0.1, -0.1]]]},
        {"steps": [[1.0, 0.0, 12.0, [0.1, float("nan")]]]},
        {"steps": [[1.0, 0.0, 12.0, [0.1, 10**400]]]},
        {"steps": [[1.0, 0.0, 12.0, [0.1, 0.0]]]},
        {"steps": [[1.0, 0.0, 12.0, [0.1]]]},
        {"steps": [[1.0, 0.0, 12.0, [0.1] * 5]]},
        {"steps": [[1.0, 0.0, 12.0, "0.1"]]},
        {"steps": [ONE_STEP, [1.0, 0.0, 12.0, [0.1, -0.1, 0.1]]]},
        {"steps": [[1.0, 0.0, 12.0, [1e308, -1e308]]] * 3},
        {"steps": [[1e-310, 0.0, 12.0, [1e-300, -5e-324]]] * 3},
        {"parameters": 5},
        {"parameters": "{}"},
        {"parameters": DEEP_JSON},
        {"parameters": ring(1 << 40, [40, 40, 40])},
        {"parameters": ring(1000, [40, 40, 40])},
        {"parameters": ring(1024, [60] * 3000)},
        {"parameters": ring(1024, ["40", 40, 40])},
        {"parameters": ring(1024, [40, 40])},
        {"parameters": ring(1024, [40, 61, 40])},
        {"parameters": ring(1024, [40, 40, 40], 10**9)},
    ],
)
def test_a_hostile_circuit_is_refused(changed: dict[str, Any]) -> None:
    fields = json.loads(begun().circuit.to_json()) | changed
    with pytest.raises(MessageError, match="public material is invalid"):
        CkksTrainingServer(material_of(json.dumps(fields)))


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", "not json", DEEP_JSON])
def test_what_is_no_circuit_at_all_is_refused(text: str) -> None:
    with pytest.raises(MessageError, match="public material is invalid"):
        load_circuit(material_of(text))
    with pytest.raises((ValueError, UsageError, MessageError)):
        Circuit.from_json(text)


@pytest.mark.parametrize("text", ["", "0", "65", "-1", "1.0", "x", "²", "9" * 5000])
def test_a_number_of_processes_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(MessageError, match="is not a number of processes"):
        CkksTrainingServer(material_of(begun().circuit.to_json(), text))


def test_material_without_a_circuit_is_refused() -> None:
    with pytest.raises(MessageError, match="lacks 'circuit'"):
        CkksTrainingServer(pack({}, {"role": "train"}))


def test_another_circuit_than_the_clients_refuses_its_uploads() -> None:
    one = begun()
    other, _ = small_task(60, 40, steps=4, refreshes=1)
    server = CkksTrainingServer(pack_material(other))
    with pytest.raises(MessageError):
        server.add(one.uploads, CLOCK)
    with pytest.raises(MessageError):
        server.key(one.keys, CLOCK)
