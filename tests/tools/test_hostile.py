"""Hostile messages: made from a seed, of many kinds, and none ends a server half or leaves it odd.

Every target is tried in a child process, so that one that is ended is told instead of ending the
tests. The soak does the same with many more messages.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from he_compare.common.plugins import load
from he_compare.common.service.wire import pack
from tools.soak.attempts import Outcome, Prepared, flips, tries, try_reply
from tools.soak.hostile import CHANGES, flipped, hostile
from tools.soak.target_makers import answered
from tools.soak.targets import _KINDS, Target, make_target, target_names

# Longer than any message should take on a machine that does other things as well.
LONGEST_SECONDS = 20.0
SLOW = {"fhe-tfhe-train"}
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


@pytest.mark.parametrize("name", [name for name in _KINDS if name not in SLOW])
def test_good_messages_of_every_target_are_answered(name: str, folder: str) -> None:
    if name not in target_names():
        pytest.skip("cannot be made here")
    prepared = Prepared(target(name, folder))
    assert prepared.try_at(None, prepared.target.public_material).outcome is Outcome.ANSWERED
    for place, message in zip(prepared.places, prepared.messages, strict=True):
        fate = prepared.try_at(place, message)
        assert fate.outcome is Outcome.ANSWERED, fate


def tried(one: Target, folder: str, seed: int, count: int, *kind: str) -> dict[str, object]:
    path = Path(folder) / "target"
    path.write_bytes(one.to_bytes())
    arguments = [str(path), str(seed), "0", str(count), *kind]
    ended = subprocess.run(
        [sys.executable, "-m", "tools.soak.attempts", *arguments],
        capture_output=True,
        text=True,
        timeout=600,
    )
    lines = ended.stdout.strip().splitlines()
    assert ended.returncode == 0, f"ended by message {lines[-1:]}: {ended.stderr[-800:]}"
    told: dict[str, object] = json.loads(lines[-1])
    return told


@pytest.mark.parametrize("name", [name for name in _KINDS if name not in SLOW])
def test_no_hostile_message_ends_a_server_half(name: str, folder: str) -> None:
    if name not in target_names():
        pytest.skip("cannot be made here")
    one = target(name, folder)
    count = 200 if one.ckks else 40  # networks are read from megabytes, circuits are compiled
    told = tried(one, folder, seed=5, count=count)
    assert told["uncaught"] == []
    assert float(str(told["slowest"])) < LONGEST_SECONDS
    assert told["counts"]["refused"] > count / 4  # type: ignore[index]


@pytest.mark.parametrize("name", ["fhe-head", "fhe-head, tenseal-dot", "fhe-train"])
def test_no_flipped_bit_of_an_upload_ends_a_server_half(name: str, folder: str) -> None:
    told = tried(target(name, folder), folder, 6, 300, "flips")
    assert told["uncaught"] == []


@pytest.mark.parametrize(
    "name",
    ["plaintext", "block-scramble", "fhe-head", "fhe-head, batched", "fhe-train", "fhe-tfhe"],
)
def test_no_hostile_reply_ends_a_client_half(name: str, tmp_path: Path) -> None:
    if name not in target_names():
        pytest.skip("cannot be made here")
    kind = _KINDS[name]
    made = answered(kind.pipeline, kind.make(tmp_path, 1))
    assert made.replies and made.reveal is not None
    assert try_reply(made.reveal, made.replies, 0, made.replies[0]).outcome is Outcome.ANSWERED
    random = np.random.default_rng(7)
    for _ in range(150):
        place = int(random.integers(len(made.replies)))
        what, message = hostile(made.replies[place], random, made.replies)
        fate = try_reply(made.reveal, made.replies, place, message)
        assert fate.outcome is not Outcome.UNCAUGHT, (what, fate)


def test_messages_follow_from_seed_and_number_alone(folder: str) -> None:
    one = target("fhe-head", folder)
    whole = list(tries(one, 9, 20))
    assert list(tries(one, 9, 5, first=10)) == whole[10:15]
    assert [a.message for a in flips(one, 9, 3)] == [a.message for a in flips(one, 9, 3)]


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
