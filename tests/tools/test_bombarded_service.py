"""A service that ends is seen, and another one is started; one whose child ends is not an end."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tools.soak.bombarded_service import Bombarded
from tools.soak.targets import make_target


@pytest.mark.slow
def test_ends_of_the_service_are_told_from_ends_of_its_child(tmp_path: Path) -> None:
    victim = Bombarded(make_target("fhe-head", tmp_path, 1))
    try:
        assert victim.answers() and victim.memory > 0
        os.kill(victim.server.pid, signal.SIGKILL)
        victim.answers()  # this one may be told that the child is gone, or be answered by another
        assert victim.answers()
        assert victim.server.measure_peak() and (victim.ends, victim.server.replaced) == (0, 1)
        os.kill(victim.server.front_pid, signal.SIGKILL)
        assert victim.send("infer", [b"x"]) == "uncaught loss of the connection"
        assert victim.ends == 1 and victim.answers()
    finally:
        victim.close()
