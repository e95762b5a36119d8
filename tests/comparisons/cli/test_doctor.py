"""`compare doctor` names what does not work on this machine, and how to fix it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from he_compare.common.backbones import device
from he_compare.common.backbones.device import Device
from he_compare.comparisons.cli import doctor
from he_compare.comparisons.cli.app import app
from he_compare.comparisons.cli.doctor import Diagnosis, examine, render
from he_compare.comparisons.cluster.capacity import capacity_here


def check_named(name: str, data: Path, key: Path, cache: Path) -> Diagnosis:
    return {one.name: one for one in examine(data, key, cache)}[name]


def test_a_key_that_others_can_read_is_a_problem_with_a_fix(tmp_path: Path) -> None:
    key = tmp_path / "client.key"
    missing = check_named("client key", tmp_path, key, tmp_path)
    assert missing.level == "note" and "creates it" in missing.fix
    key.write_text("secret")
    key.chmod(0o644)
    found = check_named("client key", tmp_path, key, tmp_path)
    assert (found.level, found.fix) == ("problem", "chmod 600 the file")
    key.chmod(0o600)
    assert check_named("client key", tmp_path, key, tmp_path).level == "ok"


def test_a_fix_is_printed_below_its_check() -> None:
    shown = render(
        [Diagnosis("python", "ok", "3.11"), Diagnosis("key", "problem", "open", "chmod 600")]
    )
    assert shown.splitlines() == [
        "ok       python  3.11",
        "problem  key     open",
        "                 -> chmod 600",
    ]


def test_a_problem_ends_with_code_three(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = [Diagnosis("python", "ok", "3.11")]
    monkeypatch.setattr(doctor, "examine", lambda *_: checks)
    fine = CliRunner().invoke(app, ["doctor", "--json"])
    assert fine.exit_code == 0
    assert json.loads(fine.output)[0] == {
        "name": "python",
        "level": "ok",
        "found": "3.11",
        "fix": "",
    }
    checks.append(Diagnosis("key", "problem", "open", "chmod 600 the file"))
    assert CliRunner().invoke(app, ["doctor"]).exit_code == 3


def test_every_device_is_listed_with_its_memory_and_what_auto_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    processor = Device("cpu", "Some CPU", 8 << 30)
    gpu = Device("cuda:0", "Some GPU", 139 << 30, "bfloat16")
    monkeypatch.setattr(device, "devices", lambda: (processor, gpu))
    found = {one.name: one.found for one in doctor._devices()}
    assert found == {
        "device cpu": "Some CPU, 8 GiB, trains in float32",
        "device cuda:0": "Some GPU, 139 GiB, trains in bfloat16",
        "--device auto": "trains on cuda:0",
    }
    monkeypatch.setattr(device, "devices", lambda: (processor,))
    assert {one.name: one.found for one in doctor._devices()}["--device auto"] == "trains on cpu"


def test_the_number_of_workers_is_told_with_what_bounds_it(tmp_path: Path) -> None:
    (found,) = [
        one for one in examine(None, tmp_path / "client.key", tmp_path) if one.name == "workers"
    ]
    assert found.level == "ok"
    assert found.found.startswith(f"{capacity_here().workers} (")
    assert "bounded by its" in found.found
