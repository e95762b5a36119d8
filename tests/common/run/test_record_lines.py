"""Lines of records: each with its digest; what is damaged is set aside, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from he_compare.common.errors import IntegrityError
from he_compare.common.run.record_lines import (
    append_line,
    line_of,
    read_record_lines,
    sealed_line,
    set_aside,
)
from he_compare.common.run.records import RunRecord
from tests.support.samplerun import three_pipelines

RECORDS = three_pipelines().records[:4]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    for one in RECORDS:
        append_line(tmp_path / "records.jsonl", one)
    return tmp_path / "records.jsonl"


def _read(path: Path) -> list[RunRecord]:
    return read_record_lines(path, RunRecord, "its cell")


def test_records_come_back_and_their_lines_are_json_of_the_schema(path: Path) -> None:
    assert _read(path) == list(RECORDS)
    for line in path.read_bytes().splitlines():
        record = RunRecord.model_validate_json(line)
        assert len(record.line_sha256) == 64
        assert list(json.loads(line))[-1] == "line_sha256"


def test_lines_of_earlier_versions_are_read_without_a_digest(path: Path) -> None:
    lines = [one.model_dump_json(exclude={"line_sha256"}) + "\n" for one in RECORDS]
    path.write_text("".join(lines))
    assert _read(path) == list(RECORDS)
    assert set_aside(path) == []


@pytest.mark.parametrize("seed", range(3))
def test_an_edited_byte_is_refused_by_readers_and_its_line_set_aside(path: Path, seed: int) -> None:
    whole = path.read_bytes()
    ends = np.cumsum([len(line) + 1 for line in whole.split(b"\n")])
    random = np.random.default_rng(seed)
    for place in random.integers(0, len(whole) - 1, 25):
        edited = bytearray(whole)
        edited[place] ^= 1 << int(random.integers(7))
        if b"\n" in (whole[place : place + 1], bytes(edited[place : place + 1])):
            continue
        path.write_bytes(edited)
        number = int(np.searchsorted(ends, place, side="right")) + 1
        with pytest.raises(IntegrityError, match=rf"line {number} of records\.jsonl"):
            _read(path)
        (told,) = set_aside(path)
        assert told.startswith(f"line {number} of records.jsonl ")
        assert _read(path) == [*RECORDS[: number - 1], *RECORDS[number:]]
        assert set_aside(path) == []


def test_a_broken_line_break_costs_the_lines_beside_it_and_no_others(path: Path) -> None:
    whole = path.read_bytes()
    place = whole.index(b"\n", whole.index(b"\n") + 1)
    path.write_bytes(whole[:place] + b" " + whole[place + 1 :])
    assert len(set_aside(path)) == 1
    assert _read(path) == [RECORDS[0], RECORDS[3]]
    assert path.with_suffix(".torn").read_bytes().count(b"\n") == 1


def test_a_line_that_another_version_wrote_is_not_set_aside(path: Path) -> None:
    """It is not damaged: whoever has that version can read it."""
    newer = json.loads(RECORDS[0].model_dump_json(exclude={"line_sha256"})) | {"colour": "blue"}
    with path.open("ab") as stream:
        stream.write(sealed_line(json.dumps(newer).encode()))
    append_line(path, RECORDS[0])
    assert set_aside(path) == []
    with pytest.raises(IntegrityError, match=r"line 5 of records\.jsonl .* is not valid: colour"):
        _read(path)


@pytest.mark.parametrize("number", [1, 2, 4])
def test_a_line_that_lost_its_digest_is_found_in_a_run_of_this_version(
    path: Path, number: int
) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    bare = json.loads(lines[number - 1]) | {"seconds": 1000.0}
    del bare["line_sha256"]
    lines[number - 1] = json.dumps(bare).encode() + b"\n"
    path.write_bytes(b"".join(lines))
    lost = f"line {number} of records.jsonl has lost its digest"
    with pytest.raises(IntegrityError, match="has lost its digest"):
        read_record_lines(path, RunRecord, "its cell", sealed=True)
    if number > 1:  # one before it has its own: so this one had one too
        with pytest.raises(IntegrityError, match="has lost its digest"):
            _read(path)
    assert set_aside(path, sealed=True) == [lost]
    assert read_record_lines(path, RunRecord, "its cell", sealed=True) == [
        *RECORDS[: number - 1],
        *RECORDS[number:],
    ]


def test_empty_lines_go(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(b"\n" + whole.replace(b"\n", b"\n \n", 1))
    assert set_aside(path) == []
    assert path.read_bytes() == whole


def test_a_torn_last_line_is_passed_over_and_set_aside_whole(path: Path) -> None:
    whole = path.read_bytes()
    line = line_of(RECORDS[0])
    for end in (1, 10, len(line) - 2):
        path.write_bytes(whole + line[:end])
        assert _read(path) == list(RECORDS)
        assert set_aside(path) == ["the last line of records.jsonl is not whole"]
        assert path.read_bytes() == whole
    path.write_bytes(whole[:-1])  # nothing of a record is missing
    assert set_aside(path) == []
    assert path.read_bytes() == whole
