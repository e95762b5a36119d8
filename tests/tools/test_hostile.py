"""Hostile messages: made from a seed, of many kinds, and none ends a server half or leaves it odd.

Every target is tried in a child process, so that one that is ended is told instead of ending the
tests. The soak does the same with many more messages.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from he_compare.common.plugins import load
from he_compare.common.service.wire import pack
from tests.support.bombarded_halves import BombardedHalves
from tools.soak.attempts import Outcome, changed_call, flips, tries, try_reply
from tools.soak.bombarded import FLIPS, FRAMES, PUBLIC, VERBS
from tools.soak.hostile import CHANGES, flipped, hostile
from tools.soak.target_makers import answered
from tools.soak.targets import KINDS, Target, make_target, target_names

# Whose circuit takes minutes to make; the soak has it.
SLOW = {"fhe-tfhe-train"}
FAST = [name for name in KINDS if name not in SLOW]
# Bodies of requests are taken apart by the same code for all.
FRAMED = {"fhe-head", "block-scramble, training"}
GOOD = pack(
    {"a": np.arange(40, dtype=np.uint8), "b": np.ones((3, 4))},
    {"role": "x", "setup": json.dumps({"n": 3, "inner": json.dumps([1.5, None, "t"])})},
)


def test_a_seed_repeats_a_message_and_another_one_makes_another() -> None:
    def made(seed: int) -> list[tuple[str, bytes]]:
        return [hostile(GOOD, np.random.default_rng([seed, n]), [GOOD, b"{}"]) for n in range(300)]

    assert made(1) == made(1)
    assert made(1) != made(2)


def test_every_kind_of_change_is_made_and_most_change_something() -> None:
    random, kinds, same = np.random.default_rng(0), Counter[str](), 0
    for _ in range(3000):
        what, message = hostile(GOOD, random, [GOOD, b"other"])
        kinds[what] += 1
        same += message == GOOD
    assert set(CHANGES) <= set(kinds)
    assert sum(count for what, count in kinds.items() if what.startswith("packed header")) > 200
    assert any(what.startswith("a: ") for what in kinds)
    assert same < 300


@pytest.mark.parametrize("length", [1, 7, 150, 5000])
def test_a_flip_changes_exactly_one_bit_at_any_place(length: int) -> None:
    good, random, places = bytes(length), np.random.default_rng(3), set()
    for _ in range(400):
        changed = flipped(good, random)
        assert sum(byte.bit_count() for byte in changed) == 1 and len(changed) == length
        places.add(next(i for i, byte in enumerate(changed) if byte))
    assert len(places) > min(length, 50) / 2
    assert flipped(b"", random) == b""


def test_empty_messages_are_changed_as_well() -> None:
    random = np.random.default_rng(4)
    assert all(isinstance(hostile(b"", random, [])[1], bytes) for _ in range(300))


@cache
def target(name: str, folder: str) -> Target:
    return make_target(name, Path(folder), seed=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("targets"))


def test_a_target_is_stored_and_read(folder: str) -> None:
    one = target("fhe-head", folder)
    assert Target.from_bytes(one.to_bytes()) == one


@pytest.fixture(scope="module")
def halves() -> Iterator[BombardedHalves]:
    made = BombardedHalves()
    yield made
    made.close()


def stored(name: str, folder: str) -> Path:
    if name not in target_names():
        pytest.skip("cannot be made here")
    path = Path(folder) / f"{name}.target"
    if not path.is_file():
        path.write_bytes(target(name, folder).to_bytes())
    return path


@pytest.mark.parametrize("name", FAST)
def test_no_hostile_message_ends_a_server_half(
    name: str, folder: str, halves: BombardedHalves
) -> None:
    """Its good messages are answered before and after, in a process of its own."""
    path, one = stored(name, folder), target(name, folder)
    verbs, public = (40, 15) if one.ckks else (15, 5)
    uses = {VERBS: verbs, PUBLIC: public} | ({FRAMES: 60} if name in FRAMED else {})
    for use, count in uses.items():
        told = halves.give(path, use, 5, count)
        assert told.ended is None, f"ended by the message after number {told.last} ({use})"
        assert told.uncaught == [] and told.fates.total() == count
        assert told.fates["refused"] > (0 if use == FRAMES else count / 5)
        good = [line.split() for line in told.facts if line.startswith(("#good", "#alive"))]
        assert [words[1] for words in good] == ["1", "1"]
        assert not [line for line in told.facts if line.startswith(("#slow", "#memory"))]
        if use == VERBS:
            assert set(told.places) <= {call.verb for call in one.calls}


@pytest.mark.parametrize("name", ["fhe-head", "fhe-head, tenseal-dot", "fhe-train"])
def test_no_flipped_bit_of_an_upload_ends_a_server_half(
    name: str, folder: str, halves: BombardedHalves
) -> None:
    told = halves.give(stored(name, folder), FLIPS, 6, 80)
    assert told.ended is None and told.uncaught == [] and told.fates.total() == 80


@pytest.mark.parametrize(
    "name",
    ["plaintext", "block-scramble", "fhe-head", "fhe-head, batched", "fhe-train", "fhe-tfhe"],
)
def test_no_hostile_reply_ends_a_client_half(name: str, tmp_path: Path) -> None:
    if name not in target_names():
        pytest.skip("cannot be made here")
    kind = KINDS[name]
    made = answered(kind.pipeline, kind.make(tmp_path, 1))
    assert made.replies and made.reveal is not None
    assert try_reply(made.reveal, made.replies, 0, made.replies[0]).outcome is Outcome.ANSWERED
    random = np.random.default_rng(7)
    for _ in range(40):
        place = int(random.integers(len(made.replies)))
        what, message = hostile(made.replies[place], random, made.replies)
        fate = try_reply(made.reveal, made.replies, place, message)
        assert fate.outcome is not Outcome.UNCAUGHT, (what, fate)


def test_messages_follow_from_the_seed_and_are_sent_once(folder: str) -> None:
    one = target("fhe-head", folder)
    whole = list(tries(one, 9, 300))
    assert list(tries(one, 9, 300)) == whole
    assert len({each.digest for each in whole}) == 300
    assert list(tries(one, 9, 1, first=10)) == whole[10:11]
    bits = [each.digest for each in flips(one, 9, 200)]
    assert len(set(bits)) == 200 and [each.digest for each in flips(one, 9, 200)] == bits
    assert all(each.call is None for each in tries(one, 9, 20, public=True))


def test_one_message_more_and_one_less_are_sent_as_well(folder: str) -> None:
    one = target("fhe-train", folder)
    made = list(tries(one, 3, 2000))
    assert {one.calls[each.call].verb for each in made if each.call is not None} == {
        call.verb for call in one.calls
    }
    more = set()
    for each in made:
        assert each.call is not None
        good = one.calls[each.call].messages
        sent = changed_call(good, each)
        assert sent[: each.position] == list(good[: each.position])
        more.add(len(sent) - len(good))
    assert more == {-1, 0, 1}


@pytest.mark.parametrize("name", ["plaintext", "fhe-head", "fhe-train", "block-scramble"])
@pytest.mark.parametrize("digits", [5000])
def test_numbers_of_thousands_of_digits_are_refused_everywhere(
    name: str, digits: int, folder: str
) -> None:
    """Every number in every text of the public material, one after the other."""
    import re

    from he_compare.common.errors import MessageError
    from he_compare.common.service.wire import unpack

    one = target(name, folder)
    arrays, metadata = unpack(one.public_material)
    changed = 0
    for field, text in metadata.items():
        for found in re.finditer(r"(?<![\w.])\d+(?:\.\d+)?(?:e-?\d+)?(?![\w.])", text):
            new = text[: found.start()] + "9" * digits + text[found.end() :]
            with pytest.raises(MessageError):
                load("pipelines", one.pipeline).load_server(pack(arrays, metadata | {field: new}))
            changed += 1
    assert changed > 0
