"""A server process is told its device, and finds a GPU only where it is to use one."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from he_compare.common.backbones import device
from he_compare.common.service import process
from he_compare.common.service.child_process import clean_environment


@pytest.mark.parametrize(("name", "kept"), [("cpu", False), ("cuda:0", True)])
def test_variables_of_a_gpu_are_kept_where_one_is_used(
    name: str, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: dict[str, Any] = {}
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **options: found.update(options))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not for a server")
    process._spawn(1, "/nowhere", name)
    assert found["env"] == clean_environment(1, Path("/nowhere"), name)
    assert ("CUDA_VISIBLE_DEVICES" in found["env"]) is kept
    assert "AWS_SECRET_ACCESS_KEY" not in found["env"]


def test_the_server_half_is_on_the_cpu_until_it_is_told() -> None:
    assert device.server_device() == "cpu"
    try:
        device.use_for_server("cuda:1")
        assert device.server_device() == "cuda:1"
    finally:
        device.use_for_server("cpu")
