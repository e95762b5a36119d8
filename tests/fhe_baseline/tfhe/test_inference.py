"""Encrypted inference with Concrete ML: exact, secrets at the client, hostile bytes refused."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from he_compare.common.backbones.head import LinearModel
from he_compare.common.clock import Clock
from he_compare.common.errors import MessageError
from he_compare.common.service.wire import pack, unpack
from he_compare.common.types import Message, Per, Side, Stage
from he_compare.fhe_baseline.tfhe.archive import LIMITS
from he_compare.fhe_baseline.tfhe.inference import (
    ARCHIVE,
    KEYS,
    DeployedCircuit,
    TfheInferenceServer,
    as_array,
    deploy_head,
    load_inference_server,
)
from he_compare.fhe_baseline.tfhe.library import PREFIX, availability
from he_compare.fhe_baseline.tfhe.quantised import QuantisedHead, distance, quantise_head

pytestmark = pytest.mark.skipif(not availability().available, reason=availability().reason)

WIDTH = 6


@dataclass(frozen=True)
class Ready:
    """A quantised head, its client, its server and their bytes."""

    linear: LinearModel
    head: QuantisedHead
    deployed: DeployedCircuit
    server: TfheInferenceServer
    clock: Clock
    upload: Message
    reply: Message


def head_of(classes: int, bits: int) -> tuple[LinearModel, QuantisedHead]:
    generator = np.random.default_rng(classes)
    weights = generator.normal(size=(classes, WIDTH))
    if classes == 2:
        weights = np.vstack([-weights[0], weights[0]])
    bias = np.linspace(-1, 1, classes)
    linear = LinearModel(weights, bias)
    return linear, quantise_head(linear, generator.normal(size=(64, WIDTH)), bits)


@cache
def ready(classes: int = 2, bits: int = 8) -> Ready:
    linear, head = head_of(classes, bits)
    clock = Clock(Side.CLIENT)
    deployed = deploy_head(head, clock)
    server = load_inference_server(deployed.public_material)
    (upload,) = deployed.client.protect(np.ones((1, WIDTH)), Clock(Side.CLIENT))
    (reply,) = server.infer([upload], Clock(Side.SERVER))
    return Ready(linear, head, deployed, server, clock, upload, reply)


def through(one: Ready, inputs: np.ndarray) -> np.ndarray:
    uploads = one.deployed.client.protect(inputs, Clock(Side.CLIENT))
    replies = one.server.infer(uploads, Clock(Side.SERVER))
    return one.deployed.client.reveal(replies, Clock(Side.CLIENT))


def assert_still_answers(one: Ready) -> None:
    inputs = np.linspace(-1, 1, WIDTH)[None]
    np.testing.assert_array_equal(through(one, inputs), one.head.clear_scores(inputs))


@pytest.mark.parametrize(("classes", "bits"), [(2, 8), (3, 4), (11, 10)])
def test_decrypted_scores_are_exactly_those_of_the_quantised_clear_head(
    classes: int, bits: int
) -> None:
    one = ready(classes, bits)
    inputs = np.random.default_rng(9).normal(size=(5, WIDTH)) * 2
    scores = through(one, inputs)
    assert scores.dtype == np.float64
    assert scores.shape == (5, classes)
    np.testing.assert_array_equal(scores, one.head.clear_scores(inputs))


def test_the_library_leaves_the_threads_of_the_backbone_as_they_were() -> None:
    import torch

    before = torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            _, head = head_of(3, 4)
            deploy_head(head, Clock(Side.CLIENT))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


EVALUATES_AND_FAILS = """
import sys
from he_compare.fhe_baseline.tfhe.library import load_concrete
fhe = load_concrete().fhe
circuit = fhe.Compiler(lambda x: x + 1, {"x": "encrypted"}).compile(range(8))
circuit.keygen()
assert circuit.encrypt_run_decrypt(3) == 4
sys.exit(3)
"""


def test_a_process_that_evaluated_a_circuit_keeps_its_exit_code() -> None:
    command = [sys.executable, "-c", EVALUATES_AND_FAILS]
    search = os.pathsep.join(entry for entry in sys.path if entry)
    ended = subprocess.run(command, env=os.environ | {"PYTHONPATH": search}, capture_output=True)
    assert ended.returncode == 3, ended.stderr[-500:]


@pytest.mark.parametrize("classes", [2, 3])
def test_the_largest_scores_there_can_be_do_not_overflow(classes: int) -> None:
    """Compiled on training images alone, the circuit would wrap around on others."""
    one = ready(classes, 8 if classes == 2 else 4)
    extremes = one.head.extremes()[[0, 1, -1]]
    np.testing.assert_array_equal(through(one, extremes), one.head.clear_scores(extremes))
    beyond = extremes * 100
    np.testing.assert_array_equal(through(one, beyond), one.head.clear_scores(extremes))


def test_two_classes_get_plus_and_minus_half_of_one_logit() -> None:
    one = ready()
    scores = one.head.clear_scores(np.random.default_rng(1).normal(size=(4, WIDTH)))
    np.testing.assert_array_equal(scores[:, 0], -scores[:, 1])


def test_more_bits_bring_the_quantised_head_closer_to_the_float_head() -> None:
    inputs = np.random.default_rng(3).uniform(-2, 2, size=(200, WIDTH))
    coarse, fine = (
        distance(head, linear, inputs) for linear, head in (head_of(3, 4), head_of(3, 10))
    )
    assert coarse["max_abs_score_difference"] > 8 * fine["max_abs_score_difference"]
    assert fine["max_abs_score_difference"] < 0.02 * fine["max_abs_score"]
    assert fine["same_class"] >= 199
    assert fine["n"] == 200


def test_stages_of_both_sides_are_timed() -> None:
    one = ready()
    assert {key[::2] for key in one.clock.samples} == {
        (Stage.COMPILE, Per.ONCE),
        (Stage.KEYGEN, Per.KEY),
    }
    there, at_server = Clock(Side.CLIENT), Clock(Side.SERVER)
    uploads = one.deployed.client.protect(np.ones((2, WIDTH)), there)
    one.deployed.client.reveal(one.server.infer(uploads, at_server), there)
    assert {stage for stage, *_ in there.samples} == {
        *(Stage.ENCODE, Stage.ENCRYPT, Stage.SERIALIZE),
        *(Stage.DESERIALIZE, Stage.DECRYPT, Stage.DECODE),
    }
    assert {stage for stage, *_ in at_server.samples} == {
        *(Stage.DESERIALIZE, Stage.EVALUATE, Stage.SERIALIZE),
    }
    assert all(items == [2] for items in there.items.values())


def test_encrypting_twice_gives_two_ciphertexts() -> None:
    one = ready()
    first, second = one.deployed.client.protect(np.ones((2, WIDTH)), Clock(Side.CLIENT))
    assert first != second
    assert len(first) == len(second)


def test_every_deployment_has_a_key_of_its_own() -> None:
    one = ready()
    other = deploy_head(one.head, Clock(Side.CLIENT))
    assert other.key_fingerprint != one.deployed.key_fingerprint
    foreign = other.client.reveal([one.reply], Clock(Side.CLIENT))
    own = one.deployed.client.reveal([one.reply], Clock(Side.CLIENT))
    assert (foreign != own).all()


def secret_pieces(one: Ready) -> list[bytes]:
    """Sixteen coefficients at a time of the secret key, as Concrete serialises it."""
    client: Any = one.deployed.client
    data = client._client.client.keys.serialize()
    pieces = [data[start : start + 128] for start in range(512, 512 + 128 * 60, 128)]
    return [piece for piece in pieces if set(piece) == {0, 1}]


def test_no_piece_of_the_secret_key_is_in_anything_that_leaves() -> None:
    one = ready()
    pieces = secret_pieces(one)
    assert len(pieces) > 50
    arrays, _ = unpack(one.deployed.public_material)
    unpacked = b"".join(archive_members(arrays[ARCHIVE].tobytes()).values())
    for data in (one.deployed.public_material, unpacked, one.upload, one.reply):
        assert not any(piece in data for piece in pieces)


def test_nothing_is_left_in_the_temporary_folder_and_no_key_was_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    deployed = deploy_head(ready().head, Clock(Side.CLIENT))
    assert [path.name for path in tmp_path.iterdir() if path.name != "home"] == []
    server: Any = load_inference_server(deployed.public_material)
    (left,) = (path for path in tmp_path.iterdir() if path.name != "home")
    assert left.name.startswith(PREFIX)
    assert left.stat().st_mode & 0o777 == 0o700
    server._folder.cleanup()
    assert not left.exists()


@pytest.mark.parametrize("length", [0, 1, 8, 16, 64, 200, -1, -8])
def test_truncated_messages_are_refused(length: int) -> None:
    one = ready()
    with pytest.raises(MessageError, match="upload of"):
        one.server.infer([one.upload[:length]], Clock(Side.SERVER))
    with pytest.raises(MessageError, match="reply of"):
        one.deployed.client.reveal([one.reply[:length]], Clock(Side.CLIENT))
    assert_still_answers(one)


def test_every_flipped_bit_of_a_messages_structure_is_refused() -> None:
    one = ready()
    start = 64
    stop = start + WIDTH * 24
    for position in [*range(start), *range(stop, len(one.upload))]:
        changed = bytearray(one.upload)
        changed[position] ^= 1 << position % 8
        with pytest.raises(MessageError, match="not a ciphertext of this circuit"):
            one.server.infer([bytes(changed)], Clock(Side.SERVER))
    assert_still_answers(one)


def test_flipped_bits_among_the_numbers_give_another_answer_and_no_crash() -> None:
    one = ready()
    expected = one.deployed.client.reveal([one.reply], Clock(Side.CLIENT))
    generator = np.random.default_rng(5)
    for _ in range(5):
        changed = bytearray(one.upload)
        changed[64 + int(generator.integers(WIDTH)) * 24] ^= 0xFF  # a seed: all the mask changes
        replies = one.server.infer([bytes(changed)], Clock(Side.SERVER))
        assert (one.deployed.client.reveal(replies, Clock(Side.CLIENT)) != expected).all()
    assert_still_answers(one)


def test_a_message_of_another_circuit_is_refused() -> None:
    with pytest.raises(MessageError, match="upload"):
        ready().server.infer([ready(3, 4).upload + b"\0" * 8], Clock(Side.SERVER))
    with pytest.raises(MessageError, match="reply"):
        ready().deployed.client.reveal([ready(3, 4).reply], Clock(Side.CLIENT))


def archive_members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def material_with(change: Callable[[dict[str, bytes]], Any]) -> bytes:
    """Public material whose archive's members were changed."""
    arrays, metadata = unpack(ready().deployed.public_material)
    members = archive_members(arrays[ARCHIVE].tobytes())
    change(members)
    return pack({**arrays, ARCHIVE: as_array(zipped(members))}, metadata)


def configured(**changes: Any) -> Callable[[dict[str, bytes]], Any]:
    def change(members: dict[str, bytes]) -> None:
        told = json.loads(members["configuration.json"])
        members["configuration.json"] = json.dumps({**told, **changes}).encode()

    return change


def test_an_archive_rebuilt_from_the_same_members_is_served() -> None:
    server: Any = load_inference_server(material_with(lambda members: None))
    assert len(server.infer([ready().upload], Clock(Side.SERVER))) == 1
    server._folder.cleanup()


def test_an_archive_packed_in_a_way_that_has_no_limit_is_refused() -> None:
    """bz2 inflates a whole block before anybody can count it."""
    arrays, metadata = unpack(ready().deployed.public_material)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_BZIP2) as archive:
        for name, content in archive_members(arrays[ARCHIVE].tobytes()).items():
            archive.writestr(name, content)
    material = pack({**arrays, ARCHIVE: as_array(stream.getvalue())}, metadata)
    with pytest.raises(MessageError, match="packed with method 12"):
        load_inference_server(material)


def replaced(name: str, content: bytes) -> Callable[[dict[str, bytes]], Any]:
    return lambda members: members.update({name: content})


CALL = b'"llvm.call"() {callee = @system} : () -> () return'
HOSTILE = [
    (replaced("../../outside", b"x"), "server archive holds"),
    (replaced("/etc/outside", b"x"), "server archive holds"),
    (replaced("sharedlib.so", b"\x7fELF"), "server archive holds"),
    (lambda members: members.pop("circuit.mlir"), "server archive holds"),
    (replaced("is_simulated", b"1"), "simulation"),
    (replaced("is_simulated", b"0" * 100), "larger than 1 bytes"),
    (replaced("circuit.mlir", b" " * (LIMITS["circuit.mlir"] + 1)), "larger than"),
    (replaced("versions.json", b"{}"), "was made with concrete-ml None"),
    (replaced("versions.json", b"[" * 4000), "is not JSON"),
    (replaced("configuration.json", b"not json"), "is not JSON"),
    (replaced("composition_rules.json", b'[[["system", 0], ["system", 1]]]'), "composition"),
    (replaced("composition_rules.json", b'{"a": 1}'), "not a list of rules"),
    (configured(p_error=0.9), "p_error of 0.9"),
    (configured(p_error="0.1"), "p_error of '0.1'"),
    (configured(composable=1), "composable is 1"),
    (configured(fhe_simulation=True), "differs from this server's in .*fhe_simulation"),
    (configured(use_insecure_key_cache=True), "use_insecure_key_cache"),
    (configured(security_level=80), "security_level"),
    (
        lambda members: members.update(
            {"circuit.mlir": members["circuit.mlir"].replace(b"return", CALL)}
        ),
        "asks for the operation",
    ),
    (
        lambda members: members.update(
            {"circuit.mlir": members["circuit.mlir"].replace(b"return", b"return %nothing, ")}
        ),
        "before it is made",
    ),
]


@pytest.mark.parametrize(("change", "complaint"), HOSTILE, ids=[told for _, told in HOSTILE])
def test_hostile_server_archives_are_refused(
    change: Callable[[dict[str, bytes]], Any], complaint: str
) -> None:
    with pytest.raises(MessageError, match=complaint):
        load_inference_server(material_with(change))


def test_a_pickle_in_the_configuration_is_never_run(tmp_path: Path) -> None:
    """The library decodes this file with jsonpickle, which calls what ``py/reduce`` names."""
    marker = tmp_path / "it-ran"
    call = {"py/reduce": [{"py/function": "os.mkdir"}, {"py/tuple": [str(marker)]}]}
    with pytest.raises(MessageError, match="configuration differs from this server's in"):
        load_inference_server(material_with(configured(program_forwarding=call)))
    assert not marker.exists()


def test_the_same_pickle_does_run_where_the_library_reads_it(tmp_path: Path) -> None:
    import jsonpickle

    marker = tmp_path / "it-ran"
    call = {"py/reduce": [{"py/function": "os.mkdir"}, {"py/tuple": [str(marker)]}]}
    jsonpickle.loads(json.dumps(call))
    assert marker.exists()


@pytest.mark.parametrize("length", [0, 7, 100, -1])
def test_truncated_public_material_is_refused(length: int) -> None:
    with pytest.raises(MessageError):
        load_inference_server(ready().deployed.public_material[:length])


def test_public_material_with_other_keys_or_role_or_no_zip_is_refused() -> None:
    arrays, metadata = unpack(ready().deployed.public_material)
    for changed, complaint in (
        (pack({**arrays, KEYS: as_array(b"\0" * 64)}, metadata), "not those of a linear circuit"),
        (pack({**arrays, KEYS: as_array(b"")}, metadata), "not those of a linear circuit"),
        (pack(arrays, {"role": "other"}), "is not for tfhe-inference"),
        (pack({**arrays, ARCHIVE: as_array(b"PK\3\4 no zip")}, metadata), "not a server archive"),
        (pack({KEYS: arrays[KEYS]}, metadata), "lacks the array 'server_zip'"),
    ):
        with pytest.raises(MessageError, match=complaint):
            load_inference_server(changed)
