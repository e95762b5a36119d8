"""The server process: its own process, public material only, sturdy against bad requests."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest

from he_compare.common.clock import Clock
from he_compare.common.errors import ServiceError, ServiceTimeoutError
from he_compare.common.service import framing
from he_compare.common.service.process import ServerProcess
from he_compare.common.service.wire import pack
from he_compare.common.types import Side, Stage

IMAGE = pack({"image": np.full((8, 8, 3), 100, np.uint8)})


@pytest.fixture
def start(echo: str) -> Callable[..., ServerProcess]:
    def begin(behaviour: str = "answer", **options: float) -> ServerProcess:
        public = pack({}, {"behaviour": behaviour})
        return ServerProcess(echo, public, Clock(Side.CLIENT), threads=1, **options)  # type: ignore[arg-type]

    return begin


def test_server_is_another_process_and_ends_with_close(start: Callable[..., ServerProcess]) -> None:
    server = start()
    told = int(server.call("pid", [b""], Clock(Side.CLIENT))[0])
    assert told == server.pid != os.getpid()
    server.close()
    assert not psutil.pid_exists(told)


def test_answers_and_counts_bytes_and_stages(start: Callable[..., ServerProcess]) -> None:
    clock = Clock(Side.CLIENT)
    with start() as server:
        replies = server.call("infer", [IMAGE, IMAGE], clock)
        count = server.traffic["infer"]
        assert len(replies) == 2
        assert count.payload_upload == 2 * len(IMAGE)
        assert count.upload > count.payload_upload + 16
        assert count.payload_download == sum(map(len, replies))
        assert server.measure_peak() and server.measure_peak() > 1 << 20  # type: ignore[operator]
    sides = {(stage, side) for stage, side, _ in clock.samples}
    assert (Stage.EVALUATE, Side.SERVER) in sides
    assert (Stage.TRANSPORT, Side.NETWORK) in sides


def test_malformed_messages_are_refused_and_the_server_lives_on(
    start: Callable[..., ServerProcess],
) -> None:
    with start() as server:
        for bad in (b"", b"nonsense", IMAGE[:-1], pack({"other": np.zeros(3)})):
            with pytest.raises(ServiceError, match="400"):
                server.call("infer", [bad], Clock(Side.CLIENT))
        assert server.call("infer", [IMAGE], Clock(Side.CLIENT))


def test_unknown_verb_and_a_raising_server_are_told(start: Callable[..., ServerProcess]) -> None:
    with start("raise") as server:
        with pytest.raises(ServiceError, match=r"'train' is not one of"):
            server.call("train", [IMAGE], Clock(Side.CLIENT))
        with pytest.raises(ServiceError, match="told to raise"):
            server.call("infer", [IMAGE], Clock(Side.CLIENT))


def test_a_server_that_dies_is_told_with_its_exit_code(start: Callable[..., ServerProcess]) -> None:
    with start("die") as server, pytest.raises(ServiceError, match="exit code 9"):
        server.call("infer", [IMAGE], Clock(Side.CLIENT))


def test_a_server_that_hangs_times_out(start: Callable[..., ServerProcess]) -> None:
    with start("hang", call_seconds=0.5) as server, pytest.raises(ServiceTimeoutError):
        server.call("infer", [IMAGE], Clock(Side.CLIENT))


def test_a_body_over_the_limit_is_refused(start: Callable[..., ServerProcess]) -> None:
    with start(max_body_bytes=1000) as server:
        with pytest.raises(ServiceError, match="413"):
            server.call("infer", [bytes(2000)], Clock(Side.CLIENT))
        assert server.call("infer", [IMAGE], Clock(Side.CLIENT))


def test_requests_without_the_token_are_refused(start: Callable[..., ServerProcess]) -> None:
    with start() as server:
        base = str(server._http.base_url).rstrip("/")
        body = framing.join([IMAGE])
        for headers in ({}, {"authorization": "Bearer wrong"}):
            answer = httpx.post(
                f"{base}{server._path('call/infer')}", content=body, headers=headers
            )
            assert answer.status_code == 401


def test_whether_the_service_is_a_process_of_its_own_is_measured(
    start: Callable[..., ServerProcess],
) -> None:
    with start() as server:
        assert int(server.call("pid", [b""], Clock(Side.CLIENT))[0]) == server.pid
        assert server.pid != server.front_pid
        assert server.is_separate is True
        server.pid = os.getpid()
        assert server.is_separate is False


def test_public_material_is_given_once(start: Callable[..., ServerProcess]) -> None:
    with start() as server, pytest.raises(ServiceError, match="409"):
        server._send("PUT", server._path("public"), b"other", "public")


def test_public_material_that_does_not_parse_stops_the_start(echo: str) -> None:
    with pytest.raises(ServiceError, match="400"):
        ServerProcess(echo, b"", Clock(Side.CLIENT), threads=1)


def test_the_command_line_and_environment_of_the_server_hold_no_material(
    start: Callable[..., ServerProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_SECRET_OF_THE_CLIENT", "do not pass on")
    homes = []
    with start() as server:
        for pid, module in ((server.pid, "child"), (server.front_pid, "front")):
            process = psutil.Process(pid)
            assert process.cmdline()[-2:] == ["-m", f"he_compare.common.service.{module}"]
            environment = process.environ()
            assert "A_SECRET_OF_THE_CLIENT" not in environment
            home = Path(environment["HOME"])
            assert home != Path.home()
            assert home.is_dir() and home.stat().st_mode & 0o077 == 0
            homes.append(home)
        assert not list(homes[0].iterdir())
    assert len(set(homes)) == 2 and not any(home.exists() for home in homes)


@pytest.mark.skipif(sys.platform != "linux", reason="limits and capabilities as Linux shows them")
def test_the_server_leaves_no_core_and_traces_nobody(start: Callable[..., ServerProcess]) -> None:
    with start() as server:
        for pid in (server.pid, server.front_pid):
            status = Path(f"/proc/{pid}/status").read_text()
            assert int(status.split("CapEff:")[1].split()[0], 16) >> 19 & 1 == 0
            assert "NoNewPrivs:\t1" in status
            assert psutil.Process(pid).rlimit(psutil.RLIMIT_CORE) == (0, 0)
        assert 0 < psutil.Process(server.pid).rlimit(psutil.RLIMIT_DATA)[0] < 1 << 62


def test_no_orphan_is_left_when_the_driver_is_killed(echo: str, tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "from he_compare.common.clock import Clock\n"
        "from he_compare.common.service.process import ServerProcess\n"
        "from he_compare.common.types import Side\n"
        "from he_compare.common.service.wire import pack\n"
        "server = ServerProcess('echo', pack({}, {'behaviour': 'answer'}), "
        "Clock(Side.CLIENT), threads=1)\n"
        "print(server.pid, server.front_pid, server._home.name, flush=True)\n"
        "time.sleep(60)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    driver = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert driver.stdout
    *numbers, home = driver.stdout.readline().split()
    pids = {int(number) for number in numbers}
    assert len(pids) == 2 and all(map(psutil.pid_exists, pids)) and Path(home).is_dir()
    driver.kill()
    driver.wait()
    driver.stdout.close()
    deadline = time.monotonic() + 5
    while any(map(psutil.pid_exists, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(psutil.pid_exists, pids))
    assert not Path(home).exists()


def test_a_small_round_trip_does_not_wait_for_a_delayed_acknowledgement(
    start: Callable[..., ServerProcess],
) -> None:
    """Nagle's algorithm would add 40 ms to each; the best of many is far below that."""
    with start() as server:
        clock = Clock(Side.CLIENT)
        for _ in range(20):
            server.call("infer", [IMAGE], clock)
    (samples,) = [v for (stage, _, _), v in clock.samples.items() if stage is Stage.TRANSPORT]
    assert min(samples) < 0.02


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGPIPE")
def test_a_thread_that_writes_to_a_closed_connection_survives_what_a_compiler_set() -> None:
    code = (
        "import os, signal, threading\n"
        "from he_compare.common.service.closed_connections import survive_closed_connections\n"
        "signal.signal(signal.SIGPIPE, signal.SIG_DFL)\n"
        "def task():\n"
        "    survive_closed_connections()\n"
        "    reading, writing = os.pipe()\n"
        "    os.close(reading)\n"
        "    try:\n"
        "        os.write(writing, b'.')\n"
        "    except BrokenPipeError:\n"
        "        print('raised', flush=True)\n"
        "worker = threading.Thread(target=task)\n"
        "worker.start()\n"
        "worker.join()\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    assert (done.returncode, done.stdout) == (0, "raised\n")
