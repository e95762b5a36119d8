"""Training under encryption: the server process never holds the key, and foreign bytes are refused.

The search for the key looks for its raw residues, as SEAL keeps them in memory; that it sees the
server's memory at all is checked with something that must be there.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import psutil
import pytest

from he_compare.common.clock import Clock
from he_compare.common.errors import MessageError
from he_compare.common.service.process import ServerProcess
from he_compare.common.service.wire import pack, unpack
from he_compare.common.types import Message, Side, UInt8Array
from he_compare.fhe_baseline.ckks.training.circuit import Circuit
from he_compare.fhe_baseline.ckks.training.client import CkksTrainingClient
from he_compare.fhe_baseline.ckks.training.messages import Address, Content, pack_round, pack_upload
from he_compare.fhe_baseline.ckks.training.problem import Problem
from he_compare.fhe_baseline.ckks.training.public_material import pack_material
from he_compare.fhe_baseline.ckks.training.server import CkksTrainingServer
from tests.support.encrypted_training import TWO_A_ROUND, small_task

MEMORY = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@dataclass(frozen=True)
class Begun:
    """A training whose data is uploaded, before its first round."""

    circuit: Circuit
    problem: Problem
    client: CkksTrainingClient
    material: bytes
    uploads: list[Message]

    def server(self) -> CkksTrainingServer:
        server = CkksTrainingServer(self.material)
        server.add(self.uploads, Clock(Side.SERVER))
        return server

    def state(self) -> list[Message]:
        zeros = np.zeros((self.circuit.classifiers, self.circuit.columns))
        return self.client.encrypt_state(zeros, zeros)


@cache
def begun() -> Begun:
    circuit, problem = small_task(60, 5)
    client = CkksTrainingClient(circuit)
    material = pack_material(circuit, client.public_arrays())
    return Begun(circuit, problem, client, material, list(client.uploads(problem)))


def iterate(server: CkksTrainingServer, messages: list[Message]) -> list[Message]:
    return server.iterate(messages, Clock(Side.SERVER))


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
        server.call("add", one.uploads, clock)
        replies = server.call("iterate", [pack_round(1, 1), *one.state()], clock)
        one.client.decrypt_state(replies)
        process = psutil.Process(server.pid)
        assert process.cmdline()[-2:] == ["-m", "he_compare.common.service.host"]
        mine = {file.path for file in psutil.Process().open_files()}
        assert not mine & {file.path for file in process.open_files()}
        try:
            in_server = found_in(server.pid, pieces[::8])
        except PermissionError:
            pytest.skip("this process may not read another one's memory")
        assert not in_server
        assert found_in(server.pid, [b"relinearisation_keys"]), "the search must see its memory"


def test_no_piece_of_the_secret_key_is_in_anything_that_leaves_the_client() -> None:
    one = begun()
    pieces = set(secret_pieces(one.client))
    arrays, _ = unpack(one.material)
    for data in (*(array.tobytes() for array in arrays.values()), *one.uploads, *one.state()):
        assert not any(piece in data for piece in pieces)


def test_data_and_labels_leave_as_ciphertexts_that_differ_every_time() -> None:
    one = begun()
    again = list(one.client.uploads(one.problem))
    for first, second in zip(one.uploads, again, strict=True):
        arrays = [unpack(message)[0]["ciphertext"] for message in (first, second)]
        size = min(map(len, arrays))
        same = (arrays[0][200:size] == arrays[1][200:size]).mean()
        assert same < 0.05


def test_the_server_object_has_nothing_that_decrypts() -> None:
    server = begun().server()
    for owner in (server, server._gradients, server._descent, server._pool):
        kinds = {type(value).__name__ for value in vars(owner).values()}
        assert kinds.isdisjoint({"SecretKey", "Decryptor", "Encryptor", "KeyGenerator"})


def test_a_round_before_the_data_is_complete_is_refused_and_says_what_is_missing() -> None:
    one = begun()
    server = CkksTrainingServer(one.material)
    server.add(one.uploads[2:], Clock(Side.SERVER))
    with pytest.raises(MessageError, match="2 ciphertexts of the data"):
        iterate(server, [pack_round(1, 1), *one.state()])
    server.add(one.uploads[:2], Clock(Side.SERVER))
    assert len(iterate(server, [pack_round(1, 1), *one.state()])) == 2


@pytest.mark.parametrize("header", [b"", b"{}", b"[1]", pack_round(0, 1), pack_round(1, 2)])
def test_a_round_with_a_wrong_header_is_refused(header: bytes) -> None:
    one = begun()
    with pytest.raises(MessageError):
        iterate(one.server(), [header, *one.state()])


def test_a_round_without_all_weights_is_refused() -> None:
    one = begun()
    with pytest.raises(MessageError, match="expected a header, V and W"):
        iterate(one.server(), [pack_round(1, 1), one.state()[0]])


@pytest.mark.parametrize("junk", [b"", b"\x00" * 64, b"\xff" * 5000])
def test_bytes_that_are_no_ciphertext_are_refused_by_every_verb(junk: bytes) -> None:
    one, clock = begun(), Clock(Side.SERVER)
    server = one.server()
    with pytest.raises(MessageError):
        server.add([junk], clock)
    with pytest.raises(MessageError):
        server.add([pack_upload(Address(Content.FORWARD, 0, 0), junk)], clock)
    with pytest.raises(MessageError):
        iterate(server, [pack_round(1, 1), junk, one.state()[1]])
    with pytest.raises(MessageError):
        one.client.decrypt_state([junk, junk])


def test_truncated_uploads_are_refused_at_every_length() -> None:
    one = begun()
    arrays, metadata = unpack(one.uploads[0])
    data: UInt8Array = arrays["ciphertext"]
    server = CkksTrainingServer(one.material)
    for length in (0, 1, 15, 16, 100, len(data) // 2, len(data) - 1):
        with pytest.raises(MessageError):
            server.add([pack({"ciphertext": data[:length]}, metadata)], Clock(Side.SERVER))


def test_flipped_bits_in_data_end_in_a_refusal_or_in_weights_the_client_checks() -> None:
    one = begun()
    arrays, metadata = unpack(one.uploads[0])
    generator = np.random.default_rng(0)
    for _ in range(15):
        data = arrays["ciphertext"].copy()
        data[generator.integers(len(data))] ^= 1 << generator.integers(8)
        server = one.server()
        try:
            server.add([pack({"ciphertext": data}, metadata)], Clock(Side.SERVER))
            one.client.decrypt_state(iterate(server, [pack_round(1, 1), *one.state()]))
        except MessageError:
            continue


def test_flipped_bits_in_returned_weights_are_noticed() -> None:
    one = begun()
    replies = iterate(one.server(), [pack_round(1, 1), *one.state()])
    one.client.decrypt_state(replies)
    generator = np.random.default_rng(1)
    for _ in range(30):
        changed = bytearray(replies[1])
        changed[generator.integers(200, len(changed))] ^= 1 << generator.integers(8)
        with pytest.raises(MessageError):
            one.client.decrypt_state([replies[0], bytes(changed)])


def test_weights_of_another_key_are_noticed() -> None:
    one = begun()
    stranger = CkksTrainingClient(one.circuit)
    replies = iterate(one.server(), [pack_round(1, 1), *one.state()])
    with pytest.raises(MessageError, match="another key or tampered with"):
        stranger.decrypt_state(replies)


def test_data_under_another_key_ruins_the_training_and_is_noticed() -> None:
    one = begun()
    stranger = CkksTrainingClient(one.circuit)
    server = one.server()
    server.add(list(stranger.uploads(one.problem))[:1], Clock(Side.SERVER))
    weights = np.ones((1, one.circuit.columns))
    state = one.client.encrypt_state(weights, weights)
    with pytest.raises(MessageError, match="another key or tampered with"):
        one.client.decrypt_state(iterate(server, [pack_round(1, 1), *state]))


def test_an_upload_at_another_place_level_or_scale_is_refused() -> None:
    one, clock = begun(), Clock(Side.SERVER)
    server = CkksTrainingServer(one.material)
    ciphertext = unpack(one.uploads[0])[0]["ciphertext"].tobytes()
    for address in (Address(Content.FORWARD, 7, 0), Address(Content.FORWARD, 0, 4096)):
        with pytest.raises(MessageError, match="there is no"):
            server.add([pack_upload(address, ciphertext)], clock)
    with pytest.raises(MessageError, match=r"longer than|primes"):
        server.add([pack_upload(Address(Content.BACKWARD, 0, 0), ciphertext)], clock)
    circuit, _ = small_task(60, 5, parameters=TWO_A_ROUND)
    foreign = next(CkksTrainingClient(circuit).uploads(one.problem))
    with pytest.raises(MessageError):
        server.add([foreign], clock)


@pytest.mark.parametrize("name", ["galois_keys", "relinearisation_keys"])
def test_material_without_its_keys_or_with_truncated_ones_is_refused(name: str) -> None:
    arrays, metadata = unpack(begun().material)
    keys = arrays[name]
    for changed in (None, keys[:0], keys[: len(keys) // 2], np.zeros(100, np.uint8)):
        kept = {key: array for key, array in arrays.items() if key != name}
        if changed is not None:
            kept[name] = changed
        with pytest.raises(MessageError):
            CkksTrainingServer(pack(kept, metadata))


def test_material_whose_circuit_does_not_fit_its_keys_is_refused() -> None:
    one = begun()
    arrays, metadata = unpack(one.material)
    other, _ = small_task(60, 40)
    for circuit in (other.to_json(), "{}", "not json"):
        with pytest.raises(MessageError):
            CkksTrainingServer(pack(arrays, metadata | {"circuit": circuit}))


def test_a_training_server_classifies_nothing() -> None:
    from he_compare.common.errors import CellError

    with pytest.raises(CellError, match="holds no head"):
        begun().server().infer([b""], Clock(Side.SERVER))
