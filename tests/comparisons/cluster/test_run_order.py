"""A worker that has other software, data, weights or sources is refused, and what differs named."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from he_compare.common.errors import UsageError
from he_compare.common.software import Software, software_here
from he_compare.comparisons.cluster.run_order import (
    RunOrder,
    read_order,
    what_differs,
)

HERE = Software(
    python="3.11", tool_version="1.0", commit="aaaa", packages={"torch": "2.2", "numpy": "2.0"}
)


def order(files: Path, **changed: Any) -> RunOrder:
    known: dict[str, Any] = {
        "token": "t" * 64,
        "software": HERE,
        "config": {},
        "dataset": "chestxray",
        "fingerprint": "f" * 64,
        "weights_sha256": "w" * 64,
        "devices": ["NVIDIA H200", "cpu"],
        "threads": 1,
        "latency_threads": 2,
        "files": str(files),
        "run_folder": "run",
        "cache_dir": "cache",
        "key_file": "client.key",
        "cells": ["one", "two"],
    }
    return RunOrder.model_validate(known | changed)


def plan(
    fingerprint: str = "f" * 64,
    weights: str = "w" * 64,
    *cells: str,
    devices: tuple[str, str] = ("NVIDIA H200", "cpu"),
) -> Any:
    return SimpleNamespace(
        device_keys=lambda: [*devices],
        summary=SimpleNamespace(fingerprint=fingerprint),
        backbone=SimpleNamespace(weights_sha256=weights),
        cells=lambda: [
            SimpleNamespace(identity=one, planned=SimpleNamespace(label=f"pipeline {one}"))
            for one in cells or ("one", "two")
        ],
    )


def test_equal_software_differs_in_nothing() -> None:
    assert HERE.differences(HERE) == []
    assert software_here().differences(software_here()) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"python": "3.12"}, "Python 3.12, wanted 3.11"),
        ({"tool_version": "0.9"}, "he-compare 0.9, wanted 1.0"),
        ({"commit": ""}, "commit none, wanted aaaa"),
        ({"packages": {"numpy": "2.0"}}, "torch none, wanted 2.2"),
    ],
)
def test_other_software_is_named(change: dict[str, Any], words: str) -> None:
    assert HERE.model_copy(update=change).differences(HERE) == [words]


def test_other_data_weights_and_cells_are_named(tmp_path: Path) -> None:
    wanted = order(tmp_path)
    assert what_differs(plan(), wanted) == []
    (data,) = what_differs(plan("0" * 64), wanted)
    assert data.startswith("other data: fingerprint 000000000000, wanted ffffffffffff")
    assert "set COMPARE_DATA there" in data
    (weights,) = what_differs(plan("f" * 64, "1" * 64), wanted)
    assert weights == "other weights: 111111111111, wanted wwwwwwwwwwww"
    (device,) = what_differs(plan(devices=("cpu", "cpu")), wanted)
    assert device.startswith("other devices: cpu, wanted NVIDIA H200 and cpu (start the driver")
    (cells,) = what_differs(plan("f" * 64, "w" * 64, "one", "other"), wanted)
    assert "(pipeline other)" in cells
    (fewer,) = what_differs(plan("f" * 64, "w" * 64, "one"), wanted)
    assert "the number of cells" in fewer


def test_a_worker_sees_the_files_of_this_very_run_or_does_not(tmp_path: Path) -> None:
    mine = order(tmp_path)
    assert not mine.sees_files()
    (tmp_path / "token").write_text("of another run")
    assert not mine.sees_files()
    (tmp_path / "token").write_text(mine.token)
    assert mine.sees_files()


def test_an_order_survives_its_json_and_others_are_refused(tmp_path: Path) -> None:
    mine = order(tmp_path)
    assert read_order(mine.model_dump_json()) == mine
    for text in ("", "[]", "{}", mine.model_dump_json().replace('"threads":1', '"threads":0')):
        with pytest.raises(UsageError, match="the order of the run is not valid"):
            read_order(text)
