"""The encrypted boundary: no secret leaves the client, and foreign bytes are refused alive.

Bit flips inside a ciphertext's body cannot be noticed (nothing is authenticated): the answer is
then garbage or a refusal, and the server goes on.
"""

from __future__ import annotations

import json
import os
import struct
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest

from he_compare.common.backbones.head import LinearModel
from he_compare.common.clock import Clock
from he_compare.common.errors import MessageError
from he_compare.common.service.wire import pack, unpack
from he_compare.common.types import Message, Side
from he_compare.fhe_baseline.ckks.context import (
    seal_context,
    tenseal_context,
    tenseal_public_bytes,
)
from he_compare.fhe_baseline.ckks.inference import (
    Plan,
    load_public_material,
    make_plan,
    public_material,
)
from he_compare.fhe_baseline.ckks.packing import PackingClient, PackingServer
from he_compare.fhe_baseline.ckks.parameters import CkksParameters, parameter_set
from he_compare.fhe_baseline.ckks.seal_headers import framed, inflated
from he_compare.fhe_baseline.ckks.serialization import load_ciphertext, seal_bytes
from he_compare.fhe_baseline.ckks.tenseal_messages import load_tenseal_public

PACKINGS = ("replicated", "batched", "zero-sum", "tenseal-dot")
WIDTH, CLASSES = 5, 2
FEATURES = np.linspace(-1, 1, WIDTH)[None]


@dataclass(frozen=True)
class Deployed:
    """A client, its server and their bytes."""

    plan: Plan
    client: PackingClient
    server: PackingServer
    material: bytes
    upload: Message
    reply: Message


@cache
def deployed(packing: str, parameters: str = "auto") -> Deployed:
    generator = np.random.default_rng(0)
    model = LinearModel(generator.normal(size=(CLASSES, WIDTH)), generator.normal(size=CLASSES))
    plan = make_plan(model, packing, parameters)
    client = plan.packing.make_client(plan.parameters, model)
    material = public_material(plan, client.public_arrays())
    server = load_public_material(material)
    (upload,) = client.protect(FEATURES, Clock(Side.CLIENT))
    (reply,) = server.infer([upload], Clock(Side.SERVER))
    return Deployed(plan, client, server, material, upload, reply)


def infer(one: Deployed, message: Message) -> Message:
    (reply,) = one.server.infer([message], Clock(Side.SERVER))
    return reply


def reveal(one: Deployed, reply: Message) -> np.ndarray:
    return one.client.reveal([reply], Clock(Side.CLIENT))


def assert_still_answers(one: Deployed) -> None:
    expected = one.plan.model.scores(FEATURES)
    np.testing.assert_allclose(reveal(one, infer(one, one.upload)), expected, atol=1e-3)


def secret_key_of(client: Any) -> bytes:
    """The client's secret key, serialised by SEAL."""
    if hasattr(client, "_context") and hasattr(client._context, "secret_key"):
        return seal_bytes(client._context.secret_key().data)
    return seal_bytes(client._keys.secret_key())


def holds_any_piece_of(secret: bytes, data: bytes, size: int = 24) -> bool:
    """Say whether any of two hundred pieces of the secret, past its header, occurs."""
    step = max(1, len(secret) // 200)
    return any(secret[i : i + size] in data for i in range(64, len(secret) - size, step))


@pytest.mark.parametrize("packing", PACKINGS)
def test_no_piece_of_the_secret_key_is_in_anything_that_leaves(packing: str) -> None:
    one = deployed(packing)
    secret = secret_key_of(one.client)
    for data in (one.material, one.upload, one.reply):
        assert not holds_any_piece_of(secret, data)


def test_the_search_finds_a_secret_key_where_there_is_one() -> None:
    client: Any = deployed("tenseal-dot").client
    with_secret = client._context.serialize(save_secret_key=True, save_galois_keys=False)
    assert holds_any_piece_of(secret_key_of(client), with_secret)


def test_a_context_with_a_secret_key_is_refused_by_the_server() -> None:
    parameters = parameter_set("n8192-160")
    leaking = tenseal_context(parameters).serialize(save_secret_key=True)
    with pytest.raises(MessageError, match="holds a secret key"):
        load_tenseal_public(leaking, parameters)


def test_the_reloaded_context_is_public_and_cannot_decrypt() -> None:
    one = deployed("tenseal-dot")
    arrays, _ = unpack(one.material)
    context = load_tenseal_public(arrays["tenseal_context"].tobytes(), one.plan.parameters)
    assert context.is_public()
    assert not context.has_secret_key()
    assert not context.has_public_key()
    assert not context.has_relin_keys()
    import tenseal

    with pytest.raises(ValueError, match="doesn't hold a secret_key"):
        tenseal.ckks_vector_from(context, one.upload).decrypt()


@pytest.mark.parametrize("packing", PACKINGS)
def test_the_server_object_has_nothing_that_decrypts(packing: str) -> None:
    server = deployed(packing).server
    kinds = {type(value).__name__ for value in vars(server).values()}
    assert kinds.isdisjoint({"SecretKey", "Decryptor", "KeyGenerator"})
    # A public key encrypts the zeros of one packing; it was all that packing's client published.
    assert ("Encryptor" in kinds) == (packing == "zero-sum")


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_truncated_upload_is_refused_at_every_length(packing: str) -> None:
    one = deployed(packing)
    whole = len(one.upload)
    for length in {0, 1, 7, 8, 15, 16, 17, 40, 100, 1000, whole // 2, whole - 1}:
        with pytest.raises(MessageError):
            infer(one, one.upload[:length])
    assert_still_answers(one)


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_truncated_reply_is_refused_at_every_length(packing: str) -> None:
    one = deployed(packing)
    for length in {0, 1, 8, 16, 17, 100, 1000, len(one.reply) // 2, len(one.reply) - 1}:
        with pytest.raises(MessageError):
            reveal(one, one.reply[:length])
    assert_still_answers(one)


@pytest.mark.parametrize("packing", PACKINGS)
def test_flipped_bits_in_an_upload_give_garbage_or_a_refusal_and_no_crash(packing: str) -> None:
    one = deployed(packing)
    refused = sum(survives_flip(one, i) for i in range(150))
    assert refused > 30
    assert_still_answers(one)


def survives_flip(one: Deployed, seed: int) -> bool:
    """Flip one bit (of the first 200 bytes in two of three tries); say whether it was refused."""
    generator = np.random.default_rng(seed)
    changed = bytearray(one.upload)
    reach = 200 if seed % 3 else len(changed)
    changed[generator.integers(reach)] ^= 1 << int(generator.integers(8))
    try:
        reveal(one, infer(one, bytes(changed)))
    except MessageError:
        return True
    return False


@pytest.mark.parametrize("packing", PACKINGS)
def test_flipped_bits_in_a_reply_give_garbage_or_a_refusal_and_no_crash(packing: str) -> None:
    one = deployed(packing)
    generator = np.random.default_rng(1)
    for number in range(80):
        changed = bytearray(one.reply)
        reach = 400 if number % 2 else len(changed)
        changed[generator.integers(reach)] ^= 1 << int(generator.integers(8))
        try:
            scores = reveal(one, bytes(changed))
        except MessageError:
            continue
        assert np.isfinite(scores).all()
    assert_still_answers(one)


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("junk", [b"", b"\x00" * 64, b"\xff" * 5000, os.urandom(50_000)])
def test_bytes_that_are_no_ciphertext_are_refused_on_both_sides(packing: str, junk: bytes) -> None:
    one = deployed(packing)
    with pytest.raises(MessageError):
        infer(one, junk)
    with pytest.raises(MessageError):
        reveal(one, junk)


@pytest.mark.parametrize(
    ("packing", "parameters"), [("replicated", "n4096"), ("tenseal-dot", "n8192-144")]
)
def test_a_ciphertext_of_other_parameters_is_refused(packing: str, parameters: str) -> None:
    one, other = deployed(packing), deployed(packing, parameters)
    with pytest.raises(MessageError):
        infer(one, other.upload)
    with pytest.raises(MessageError):
        reveal(one, other.reply)


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_reply_is_no_upload_and_an_upload_no_reply(packing: str) -> None:
    one = deployed(packing)
    with pytest.raises(MessageError):
        infer(one, one.reply)
    with pytest.raises(MessageError):
        reveal(one, one.upload)


@pytest.mark.parametrize("packing", PACKINGS)
def test_another_clients_ciphertext_decrypts_to_nothing_of_its_content(packing: str) -> None:
    one = deployed(packing)
    stranger = one.plan.packing.make_client(one.plan.parameters, one.plan.model)
    (foreign,) = stranger.protect(FEATURES, Clock(Side.CLIENT))
    expected = one.plan.model.scores(FEATURES)
    try:
        scores = reveal(one, infer(one, foreign))
    except MessageError:
        return
    assert np.abs(scores - expected).min() > 1


def test_a_vector_of_another_length_is_refused() -> None:
    one = deployed("tenseal-dot")
    for width in (WIDTH - 1, WIDTH + 1):
        (upload,) = one.client.protect(np.ones((1, width)), Clock(Side.CLIENT))
        with pytest.raises(MessageError, match=f"has {width} numbers"):
            infer(one, upload)


def test_bytes_after_a_ciphertext_are_refused() -> None:
    one = deployed("replicated")
    with pytest.raises(MessageError, match="its header says"):
        infer(one, one.upload + b"tail")


def changed_ciphertext(one: Deployed, change: Any) -> bytes:
    """Parse the upload with SEAL, change the object and serialise it again."""
    from tenseal import sealapi

    context = seal_context(one.plan.parameters)
    ciphertext = load_ciphertext(sealapi.Ciphertext(), context, one.upload, "upload")
    change(sealapi, context, ciphertext)
    return seal_bytes(ciphertext)


def test_an_upload_at_another_scale_level_or_length_is_refused() -> None:
    one = deployed("replicated")

    def rescaled(sealapi: Any, context: Any, ciphertext: Any) -> None:
        ciphertext.scale = ciphertext.scale * 2

    def lowered(sealapi: Any, context: Any, ciphertext: Any) -> None:
        sealapi.Evaluator(context).mod_switch_to_next_inplace(ciphertext)

    def squared(sealapi: Any, context: Any, ciphertext: Any) -> None:
        scale = ciphertext.scale
        sealapi.Evaluator(context).square_inplace(ciphertext)
        ciphertext.scale = scale

    for change, complaint in (
        (rescaled, "has scale"),
        (lowered, "under 2 primes"),
        (squared, "longer than|not two polynomials"),
    ):
        with pytest.raises(MessageError, match=complaint):
            infer(one, changed_ciphertext(one, change))


def transparent(one: Deployed) -> bytes:
    """A ciphertext of the upload's shape whose polynomials are zero, serialised by SEAL."""
    from tenseal import sealapi

    context = seal_context(one.plan.parameters)
    level = context.first_parms_id()
    ciphertext = sealapi.Ciphertext(context, level, 2)
    ciphertext.resize(context, level, 2)
    ciphertext.scale = 2.0**one.plan.parameters.scale_bits
    content = bytearray(inflated(seal_bytes(ciphertext), 1 << 24, "ciphertext"))
    content[32] = 1  # transformed, as every ciphertext of CKKS is
    return framed(bytes(content))


def varint(number: int) -> bytes:
    """A length as Protocol Buffers write it."""
    low = number & 0x7F
    return bytes([low]) if number < 0x80 else bytes([low | 0x80]) + varint(number >> 7)


def test_a_transparent_ciphertext_is_refused() -> None:
    """Without its second polynomial a "ciphertext" is the plaintext itself."""
    one = deployed("replicated")
    with pytest.raises(MessageError, match="transparent"):
        infer(one, transparent(one))


def test_a_transparent_ciphertext_inside_a_tenseal_vector_is_refused() -> None:
    one = deployed("tenseal-dot")
    start = one.upload.index(struct.pack("<HB", 0xA15E, 16))
    size = int.from_bytes(one.upload[start + 8 : start + 16], "little")
    head, tail = one.upload[: start - len(varint(size))], one.upload[start + size :]
    assert head + varint(size) + one.upload[start : start + size] + tail == one.upload
    swapped = transparent(one)
    with pytest.raises(MessageError, match="transparent"):
        infer(one, head + varint(len(swapped)) + swapped + tail)


@pytest.mark.parametrize("packing", PACKINGS)
def test_truncated_public_material_is_refused(packing: str) -> None:
    material = deployed(packing).material
    for length in (0, 7, 8, 100, len(material) // 3, len(material) - 1):
        with pytest.raises(MessageError):
            load_public_material(material[:length])


@pytest.mark.parametrize("packing", [name for name in PACKINGS if name != "batched"])
def test_flipped_bits_in_evaluation_keys_never_crash_the_server(packing: str) -> None:
    one = deployed(packing)
    arrays, metadata = unpack(one.material)
    (name,) = set(arrays) - {"weights", "bias"}
    generator, refused, answered = np.random.default_rng(2), 0, 0
    count = 6 if packing == "tenseal-dot" else 40
    for number in range(count):
        keys = arrays[name].copy()
        keys[generator.integers(300 if number % 2 else len(keys))] ^= 1 << generator.integers(8)
        try:
            server = load_public_material(pack({**arrays, name: keys}, metadata))
            replies = server.infer([one.upload], Clock(Side.SERVER))
        except MessageError:
            refused += 1
        else:
            answered += bool(replies) and all(replies)
    assert refused + answered == count and refused > 0


def rewritten(one: Deployed, **changes: Any) -> bytes:
    """Public material with arrays or metadata replaced (None: left out)."""
    arrays, metadata = unpack(one.material)
    fields: dict[str, Any] = {**arrays, **metadata, **changes}
    kept = {name: value for name, value in fields.items() if value is not None}
    return pack(
        {name: value for name, value in kept.items() if not isinstance(value, str)},
        {name: value for name, value in kept.items() if isinstance(value, str)},
    )


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"packing": None}, "lacks 'packing'"),
        ({"packing": "tenseal-dott"}, "unknown packing"),
        ({"parameters": None}, "lacks 'parameters'"),
        ({"parameters": "not json"}, "is not JSON"),
        ({"parameters": CkksParameters(4096, (40, 36, 37), 30).to_json()}, "below 128 bits"),
        ({"parameters": parameter_set("n8192").to_json()}, "Galois keys"),
        ({"galois_keys": None}, "lacks 'galois_keys'"),
        ({"galois_keys": np.zeros(0, np.uint8)}, "Galois keys"),
        ({"weights": None}, "lacks the array 'weights'"),
        ({"weights": np.full((CLASSES, WIDTH), np.nan)}, "finite"),
        ({"weights": np.ones((CLASSES, WIDTH + 1)), "bias": np.ones(3)}, "do not fit"),
        ({"weights": np.full((CLASSES, WIDTH), 1e9)}, "scores would be off"),
        ({"weights": np.ones((CLASSES, 384))}, "lack the one for rotations"),
    ],
)
def test_public_material_that_does_not_hold_together_is_refused(
    changes: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(MessageError, match=complaint):
        load_public_material(rewritten(deployed("replicated"), **changes))


def test_a_context_without_galois_keys_or_of_other_parameters_is_refused() -> None:
    parameters = parameter_set("n8192-160")
    context = tenseal_context(parameters)
    bare = context.serialize(save_secret_key=False, save_galois_keys=False)
    with pytest.raises(MessageError, match="lacks Galois keys"):
        load_tenseal_public(bare, parameters)
    whole = tenseal_public_bytes(context, with_public_key=False)
    with pytest.raises(MessageError, match="is not one of"):
        load_tenseal_public(whole, parameter_set("n8192-144"))


def test_a_decompression_bomb_is_refused_without_inflating_it() -> None:
    """40 KB of Zstandard run-length blocks that would unfold to 1.3 GB (RFC 8878, 3.1.1.2)."""
    import resource

    one = deployed("replicated")
    count, block = 10_000, 128 * 1024
    frame = bytes.fromhex("28b52ffd0038") + b"".join(
        struct.pack("<I", block << 3 | 1 << 1 | (number == count - 1))[:3] + b"\x00"
        for number in range(count)
    )
    header = struct.pack("<HBBBBHQ", 0xA15E, 16, 4, 3, 2, 0, 16 + len(frame))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(MessageError):
        infer(one, header + frame)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_nothing_that_is_serialised_touches_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(os, "memfd_create"):
        pytest.skip("anonymous memory files exist on Linux only")
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", "/nonexistent")
    assert_still_answers(deployed("replicated"))


def test_where_there_is_no_memory_file_a_private_file_is_used_and_removed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    import tempfile

    monkeypatch.delattr(os, "memfd_create", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert_still_answers(deployed("replicated"))
    assert [path.name for path in tmp_path.iterdir() if path.name != "home"] == []


def test_metadata_names_no_path_and_no_secret() -> None:
    _, metadata = unpack(deployed("replicated").material)
    assert sorted(metadata) == ["packing", "parameters"]
    assert sorted(json.loads(metadata["parameters"])) == ["degree", "modulus_bits", "scale_bits"]


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_fresh_process_serves_from_the_bytes_alone_and_loads_no_backbone(packing: str) -> None:
    import subprocess
    import sys

    one = deployed(packing)
    code = (
        "import sys\n"
        "from he_compare.common.clock import Clock\n"
        "from he_compare.common.types import Side\n"
        "from he_compare.fhe_baseline.pipelines.fhe_head import PIPELINE\n"
        f"material = sys.stdin.buffer.read({len(one.material)})\n"
        "upload = sys.stdin.buffer.read()\n"
        "server = PIPELINE.load_server(material)\n"
        "(reply,) = server.infer([upload], Clock(Side.SERVER))\n"
        "assert not {'torch', 'timm', 'sklearn'} & set(sys.modules)\n"
        "sys.stdout.buffer.write(reply)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=one.material + one.upload, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
    np.testing.assert_allclose(reveal(one, done.stdout), one.plan.model.scores(FEATURES), atol=1e-3)
