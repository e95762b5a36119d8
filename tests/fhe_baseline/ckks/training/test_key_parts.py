"""Keys and data in parts: missing, doubled, disordered, foreign, and resumed after a failure."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, replace
from functools import cache

import pytest

from he_compare.common.clock import Clock
from he_compare.common.errors import MessageError
from he_compare.common.service.process import DEFAULT_MAX_BODY
from he_compare.common.service.wire import pack, unpack
from he_compare.common.types import Message, Side
from he_compare.fhe_baseline.ckks.parameters import CkksParameters
from he_compare.fhe_baseline.ckks.training import rounds
from he_compare.fhe_baseline.ckks.training.circuit import Circuit
from he_compare.fhe_baseline.ckks.training.clear_references import relative_difference
from he_compare.fhe_baseline.ckks.training.client import CkksTrainingClient
from he_compare.fhe_baseline.ckks.training.key_parts import (
    RELINEARISATION,
    KeyRing,
    describe_key,
    key_elements,
    pack_key,
    unpack_key,
)
from he_compare.fhe_baseline.ckks.training.memory import BODY_BYTES, key_bytes
from he_compare.fhe_baseline.ckks.training.messages import (
    addresses,
    pack_header,
    unpack_missing,
    unpack_upload,
)
from he_compare.fhe_baseline.ckks.training.problem import Problem
from he_compare.fhe_baseline.ckks.training.public_material import pack_material
from he_compare.fhe_baseline.ckks.training.server import CkksTrainingServer
from he_compare.fhe_baseline.ckks.training.sets import choose_set
from he_compare.fhe_baseline.ckks.training.sigmoid import fit_sigmoid
from he_compare.fhe_baseline.ckks.training.steps import plain_steps
from tests.support.encrypted_training import (
    dying_servers,
    small_task,
    train,
    twin_of,
)

CLOCK = Clock(Side.SERVER)


@dataclass(frozen=True)
class Made:
    """Everything a client would upload, made once."""

    circuit: Circuit
    problem: Problem
    client: CkksTrainingClient
    keys: list[Message]
    data: list[Message]

    def server(self) -> CkksTrainingServer:
        return CkksTrainingServer(pack_material(self.circuit))


@cache
def made() -> Made:
    circuit, problem = small_task(300, 12)
    client = CkksTrainingClient(circuit)
    return Made(circuit, problem, client, list(client.keys()), list(client.uploads(problem)))


def trained(server: CkksTrainingServer) -> float:
    """Return how far what the server learns is from the twin."""
    one = made()
    replies = server.train([pack_header(0)], CLOCK)
    weights, _ = one.client.decrypt_state(0, replies)
    return relative_difference(weights, twin_of(one.circuit, one.problem)[-1].weights)


def element_of(message: Message) -> int:
    return unpack_key(message, made().circuit)[0]


def key_of(message: Message) -> bytes:
    return unpack_key(message, made().circuit)[1]


# Keys


def test_there_is_a_key_for_every_rotation_conjugation_and_products_and_no_other() -> None:
    one = made()
    rotations = one.circuit.layout.rotations()
    assert [element_of(key) for key in one.keys] == key_elements(one.circuit)
    assert len(one.keys) == len(rotations) + 2
    told = [describe_key(one.circuit, element) for element in key_elements(one.circuit)]
    assert told[:2] == ["the relinearisation key", "the key for conjugation"]
    assert told[2:] == [f"the key for rotations by {step}" for step in rotations]


@pytest.mark.parametrize("seed", [0, 1])
def test_parts_may_come_in_any_order(seed: int) -> None:
    server, order = made().server(), random.Random(seed)
    everything = [("key", key) for key in made().keys] + [("add", part) for part in made().data]
    order.shuffle(everything)
    for verb, message in everything:
        getattr(server, verb)([message], CLOCK)
    assert trained(server) < 1e-4


@pytest.mark.parametrize("place", [0, 1, 2, -1])
def test_a_missing_key_is_named_and_nothing_is_computed_without_it(place: int) -> None:
    one, server = made(), made().server()
    left_out = one.keys[place]
    server.key([key for key in one.keys if key != left_out], CLOCK)
    server.add(one.data, CLOCK)
    name = describe_key(one.circuit, element_of(left_out))
    with pytest.raises(MessageError, match=f"1 evaluation keys have not .* first is {name}"):
        server.train([pack_header(0)], CLOCK)
    assert unpack_missing(server.missing([], CLOCK)[0]) == ({element_of(left_out)}, set())
    server.key([left_out], CLOCK)
    assert trained(server) < 1e-4


def test_a_key_that_comes_twice_is_fine_unless_its_bytes_differ() -> None:
    one, server = made(), made().server()
    server.key(one.keys, CLOCK)
    server.key([*one.keys, one.keys[2]], CLOCK)
    for element in key_elements(one.circuit):
        (again,) = one.client.keys({element})
        with pytest.raises(MessageError, match="came twice, with different bytes"):
            server.key([again], CLOCK)
    server.add(one.data, CLOCK)
    assert trained(server) < 1e-4


def test_a_key_of_another_context_is_refused() -> None:
    one = made()
    others = [
        small_task(300, 12, parameters=CkksParameters(1024, (44, *[30] * 10, 50), 30)),
        small_task(300, 12, parameters=CkksParameters(1024, (43, *[30] * 9, 50), 30)),
    ]
    for circuit, _ in others:
        assert circuit.layout == one.circuit.layout  # the same elements
        server = one.server()
        for key in list(CkksTrainingClient(circuit).keys()):
            with pytest.raises(
                MessageError, match=r"another context|does not inflate|at most|places for keys"
            ):
                server.key([key], CLOCK)
        assert len(unpack_missing(server.missing([], CLOCK)[0])[0]) == len(one.keys)


def test_a_key_under_the_name_of_another_is_refused() -> None:
    one = made()
    elements = key_elements(one.circuit)
    for element, wrong in [(elements[2], 3), (elements[2], 0), (RELINEARISATION, 2)]:
        server = one.server()
        with pytest.raises(MessageError, match=r"not asked for|places for keys"):
            server.key([pack_key(element, key_of(one.keys[wrong]))], CLOCK)


@pytest.mark.parametrize("element", ["5", "-1", "x", "", "1" * 5000, "²", "1.0"])
def test_a_key_that_the_circuit_does_not_use_is_refused(element: str) -> None:
    arrays, _ = unpack(made().keys[2])
    assert "5" not in map(str, key_elements(made().circuit))
    with pytest.raises(MessageError, match="is no evaluation key of this circuit"):
        made().server().key([pack(arrays, {"element": element})], CLOCK)


def test_truncated_keys_and_junk_are_refused_at_every_length() -> None:
    one = made()
    for key in one.keys[:3]:
        data, element = key_of(key), element_of(key)
        server = one.server()
        for length in (0, 1, 15, 16, 100, len(data) // 2, len(data) - 1):
            with pytest.raises(MessageError):
                server.key([pack_key(element, data[:length])], CLOCK)
        for junk in (b"\xff" * 500, bytes(64), data + b"\x00", data[16:]):
            with pytest.raises(MessageError):
                server.key([pack_key(element, junk)], CLOCK)
        assert element in unpack_missing(server.missing([], CLOCK)[0])[0]
    for junk in (b"", b"junk", bytes(100), one.data[0]):
        with pytest.raises(MessageError):
            one.server().key([junk], CLOCK)


def test_a_part_that_was_refused_may_come_again_as_it_should_be() -> None:
    one = made()
    ring = KeyRing(one.circuit)
    with pytest.raises(MessageError):
        ring.add(pack_key(element_of(one.keys[2]), key_of(one.keys[2])[:-1]))
    ring.add(one.keys[2])
    assert element_of(one.keys[2]) not in ring.missing()


# Data


def test_data_that_is_missing_is_counted_and_listed() -> None:
    one, server = made(), made().server()
    server.key(one.keys, CLOCK)
    server.add(one.data[2:], CLOCK)
    with pytest.raises(MessageError, match="2 ciphertexts of the data have not been uploaded"):
        server.train([pack_header(0)], CLOCK)
    listed = unpack_missing(server.missing([], CLOCK)[0])[1]
    assert listed == set(list(addresses(one.circuit))[:2])
    server.add(one.data[:2], CLOCK)
    assert trained(server) < 1e-4


def test_of_data_that_comes_twice_the_last_counts() -> None:
    one, server = made(), made().server()
    server.key(one.keys, CLOCK)
    server.add(one.data, CLOCK)
    again = list(one.client.uploads(one.problem))
    server.add(again[::2], CLOCK)
    assert trained(server) < 1e-4
    halved = replace(one.problem, matrix=one.problem.matrix / 2)
    server.add(list(one.client.uploads(halved)), CLOCK)
    assert trained(server) > 0.1


def test_every_address_is_uploaded_once_and_the_client_makes_one_at_a_time() -> None:
    one = made()
    found = [unpack_upload(message, one.circuit)[0] for message in one.data]
    assert found == list(addresses(one.circuit))
    assert len(set(found)) == len(found)
    stream = one.client.uploads(one.problem)
    assert next(stream) and next(stream)  # a generator, not a list
    wanted = {found[3], found[-1]}
    some = [unpack_upload(m, one.circuit)[0] for m in one.client.uploads(one.problem, wanted)]
    assert set(some) == wanted


# Bodies


def test_bodies_stay_below_the_limit_plus_one_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "BODY_BYTES", 300_000)
    circuit, problem = small_task(300, 30)
    servers, start = dying_servers()
    outcome = train(circuit, problem, start)
    (server,) = servers
    assert server.verbs.count("key") > 2
    assert server.verbs.count("add") > 1
    for call in server.calls:
        assert sum(map(len, call[:-1])) < 300_000
    assert outcome.keys.bytes + outcome.data.bytes == sum(
        len(m) for m in server.sent if not m.startswith(b"{")
    )


def test_the_largest_body_of_a_published_set_is_below_the_services_limit() -> None:
    for steps in (1, 3, 6, 7):
        parameters = choose_set("auto", steps, 0, 3)
        chain = plain_steps(steps, 4.0, fit_sigmoid(3, 10))
        circuit = Circuit(parameters, 5216, 64, 1, chain)
        assert BODY_BYTES + key_bytes(parameters.degree, circuit.levels + 1) < DEFAULT_MAX_BODY


def test_the_list_of_what_is_missing_survives_its_json() -> None:
    one = made()
    server = one.server()
    (answer,) = server.missing([], CLOCK)
    keys, data = unpack_missing(answer)
    assert keys == set(key_elements(one.circuit))
    assert data == set(addresses(one.circuit))
    assert set(json.loads(answer)) == {"keys", "data"}
