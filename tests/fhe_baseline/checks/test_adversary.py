"""What an adversary does to the homomorphic side, and that every look at it can fail."""

from __future__ import annotations

import os
import sys
from collections import Counter
from functools import cache

import numpy as np
import pytest

from he_compare.common.backbones.head import LinearModel, train_head
from he_compare.common.clock import Clock
from he_compare.common.errors import MessageError, UnavailableError
from he_compare.common.scheme import folded
from he_compare.common.types import Side
from he_compare.fhe_baseline.checks import (
    freshness,
    malformed_messages,
    server_state,
)
from he_compare.fhe_baseline.checks import server_state as server_state_check
from he_compare.fhe_baseline.checks.freshness import body_of
from he_compare.fhe_baseline.checks.head_extraction import extract, fidelity
from he_compare.fhe_baseline.checks.sample_gradient import (
    features_from_update,
    similarity_to_nearest,
)
from he_compare.fhe_baseline.checks.tools.hostile_messages import (
    Bombardment,
    Fate,
    bombard,
    shifted_reply,
)
from he_compare.fhe_baseline.checks.tools.recording import clear_copies, encryption_noise, trace
from he_compare.fhe_baseline.checks.tools.victim import (
    Victim,
    secret_key_of,
)
from he_compare.fhe_baseline.ckks.context import data_primes, seal_context
from he_compare.fhe_baseline.ckks.inference import load_public_material, make_plan, public_material
from he_compare.fhe_baseline.ckks.serialization import load_ciphertext


@cache
def victim() -> Victim:
    random = np.random.default_rng(1)
    labels = np.arange(60) % 2
    features = (random.normal(size=(60, 12)) + labels[:, None]).astype(np.float32)
    head = train_head(features, labels, 2, 0.01)
    plan = make_plan(head.linear, "auto", "auto")
    client = plan.packing.make_client(plan.parameters, plan.model)
    material = public_material(plan, client.public_arrays())
    return Victim("fhe-head", head.standardise(features), head.linear, client, material, plan)


# Where decryptions go


def test_decrypted_values_are_found_in_whatever_form_they_are_sent() -> None:
    values = np.array([0.123456789012345, -7.25e-3, 1.0])
    assert clear_copies(values, [b"x", values.tobytes()]) == 2
    assert clear_copies(values, [repr(0.123456789012345).encode()]) == 1
    assert clear_copies(values, [values.astype(">f8").tobytes()]) == 2
    assert clear_copies(values, victim().uploads(2)) == 0


def test_replies_sent_back_and_ciphertexts_sent_twice_are_noticed() -> None:
    uploads = victim().uploads(2)
    replies = [b"r" * 2000]
    assert trace(uploads, replies, np.array([0.5])).clean
    assert trace([*uploads, *replies], replies, np.array([0.5])).sent_back == 1
    assert trace([*uploads, uploads[0]], replies, np.array([0.5])).repeated == 1


def test_a_fresh_encryption_carries_noise_of_a_deviation_of_three() -> None:
    from tenseal import sealapi

    one = victim()
    assert one.plan is not None
    context = seal_context(one.plan.parameters)
    ciphertext = load_ciphertext(sealapi.Ciphertext(), context, one.uploads(1)[0], "upload")
    slots = one.client._layout.place_features(one.inputs[0])
    noise = encryption_noise(context, secret_key_of(one.client), ciphertext, slots)
    assert 2.8 < noise.std() < 3.7
    wrong = one.client._layout.place_features(one.inputs[1])
    assert encryption_noise(context, secret_key_of(one.client), ciphertext, wrong).std() > 100


# Server state


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_secret_in_a_process_is_found_and_one_that_is_not_there_is_not() -> None:
    secret, absent = os.urandom(64), os.urandom(64)
    kept = bytearray(secret)
    searched = server_state.search_process(os.getpid(), [bytes(kept)], bytes(kept))
    assert searched.marker_found
    assert searched.in_memory == 1
    code = "import sys; sys.stdin.buffer.read(64); print('ready', flush=True); sys.stdin.read()"
    import subprocess

    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdin and other.stdout
        try:
            other.stdin.write(absent)
            other.stdin.flush()
            other.stdout.readline()
            found = server_state.search_process(other.pid, [secret], b"sys.stdin.buffer")
        except UnavailableError as error:
            pytest.skip(str(error))
        finally:
            other.kill()
    assert found.marker_found
    assert found.found == 0


def test_the_pieces_are_those_of_the_saved_and_the_live_key() -> None:
    pieces = server_state_check.key_pieces(victim())
    assert len(pieces) == len(set(pieces)) == 24
    saved = server_state_check.seal_bytes(secret_key_of(victim().client))
    assert server_state.occurrences(pieces, saved) == 8
    sent = victim().public_material + victim().uploads(1)[0]
    assert server_state.occurrences(pieces, sent) == 0


def test_a_key_that_is_found_is_a_break_and_a_blind_search_is_unreliable() -> None:
    def searched(in_memory: int, marker: bool) -> server_state.Searched:
        return server_state.Searched(100, in_memory, 0, 0, 0, marker)

    assert server_state_check.judged(searched(0, True), 0, 24).verdict == "resists within budget"
    assert server_state_check.judged(searched(1, True), 0, 24).verdict == "broken"
    assert server_state_check.judged(searched(0, True), 1, 24).verdict == "broken"
    assert server_state_check.judged(searched(0, False), 0, 24).verdict == "unreliable"


# Freshness


def test_two_encryptions_of_one_image_share_nothing_and_do_not_compress() -> None:
    one, two = body_of(victim().uploads(1)[0], victim().uploads(1)[0])
    assert freshness.agreement(one, two) < 0.02
    assert freshness.longest_common_run(one, two) < 8
    assert freshness.randomness(one).deflated > 0.97
    assert freshness.randomness(b"abcd" * 5000).deflated < 0.1
    assert freshness.longest_common_run(b"abcdefgh", b"xbcdefgy") == 6


def test_a_few_equal_bytes_of_short_messages_are_chance_and_a_shared_part_is_not() -> None:
    random = np.random.default_rng(1)
    drawn = random.integers(0, 256, (2, 5000, 142), dtype=np.uint8)
    equal = (drawn[0] == drawn[1]).mean(axis=1)
    assert equal.max() > freshness.MOST_AGREEMENT  # the plain limit would call some of them broken
    assert equal.max() < freshness.most_agreement(142) < 0.1
    assert freshness.most_agreement(50_000) == freshness.MOST_AGREEMENT


def test_equal_encryptions_are_refused() -> None:
    upload = victim().uploads(1)[0]
    with pytest.raises(MessageError, match="are equal"):
        body_of(upload, upload)


def test_residues_fill_their_primes_evenly_and_a_transparent_ones_do_not() -> None:
    from tenseal import sealapi

    one = victim()
    assert one.plan is not None
    context = seal_context(one.plan.parameters)
    ciphertext = load_ciphertext(sealapi.Ciphertext(), context, one.uploads(1)[0], "upload")
    primes = data_primes(context)
    assert abs(freshness.residue_deviation(ciphertext, primes)) < 6
    assert freshness.residue_deviation(ciphertext, [2 * p for p in primes]) > 100


def test_bytes_of_any_length_become_pictures() -> None:
    pictures = folded([b"\x01\x02\x03", bytes(range(200))], (4, 4, 3))
    assert pictures.shape == (2, 4, 4, 3)
    assert pictures[0].ravel()[:3].tolist() == [1, 2, 3]
    assert pictures[1].ravel()[0] == (200 - 48) // 2


# Hostile messages


@pytest.mark.slow
def test_every_malformed_message_is_refused_and_the_server_process_lives() -> None:
    result = bombard(victim(), np.random.default_rng(0))
    assert result.alive
    assert result.count(Fate.DIED) == result.count(Fate.INTERNAL_ERROR) == 0
    for kind in ("truncated", "bytes appended", "no ciphertext", "transparent"):
        assert set(result.fates[kind]) == {Fate.REFUSED}
    assert set(result.fates["of other parameters"]) == {Fate.REFUSED}
    assert set(result.fates["replayed"]) == {Fate.ANSWERED_SAME}
    assert result.fates["one bit flipped"][Fate.ANSWERED_GARBAGE] > 0
    finding = malformed_messages.judged(result)
    assert finding.verdict == "partial"
    assert finding.value == 0


@pytest.mark.parametrize("fate", [Fate.DIED, Fate.INTERNAL_ERROR, Fate.ANSWERED_GARBAGE])
def test_a_malformed_message_that_is_not_refused_is_a_break(fate: Fate) -> None:
    finding = malformed_messages.judged(Bombardment({"truncated": Counter({fate: 1})}))
    assert finding.verdict == "broken"


def test_a_reply_is_moved_without_a_key_and_the_client_takes_it() -> None:
    one = victim()
    assert one.plan is not None
    server = load_public_material(one.public_material)
    (reply,) = server.infer(one.uploads(1), Clock(Side.SERVER))
    moved = one.reveal([shifted_reply(reply, one.plan.parameters, [0.0, 2.5])])
    np.testing.assert_allclose(moved - one.reveal([reply]), [[0.0, 2.5]], atol=1e-3)


# The head and the samples


def test_width_plus_one_encrypted_queries_give_the_head() -> None:
    one = victim()
    server = load_public_material(one.public_material)
    asked: list[int] = []

    def ask(inputs: np.ndarray) -> np.ndarray:
        asked.append(len(inputs))
        uploads = one.client.protect(inputs, Clock(Side.CLIENT))
        return one.reveal(server.infer(uploads, Clock(Side.SERVER)))

    copy = extract(ask, one.model.width, 4.0)
    assert sum(asked) == one.model.width + 1
    told = fidelity(copy, one.model, one.inputs)
    assert told.explained > 0.9999
    assert told.same_class == 1.0
    other = LinearModel(-one.model.weights, one.model.bias)
    assert fidelity(other, one.model, one.inputs).explained < 0.5


def test_the_update_of_one_sample_is_its_features_and_of_many_a_mixture() -> None:
    random = np.random.default_rng(4)
    features = random.normal(size=(50, 20))
    residuals = random.uniform(0.1, 0.9, size=(50, 1)) * random.choice([-1, 1], size=(50, 1))
    updates = residuals * np.hstack([features, np.ones((50, 1))])
    np.testing.assert_allclose(features_from_update(updates[:1]), features[0], atol=1e-12)
    mixed = features_from_update(updates.sum(axis=0, keepdims=True))
    assert similarity_to_nearest(mixed, features) < 0.9
