"""What ends the process of a server half ends nothing else: told, counted, and replaced."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest

from he_compare.common.clock import Clock
from he_compare.common.errors import (
    ServerReplacedError,
    ServiceError,
    ServiceTimeoutError,
)
from he_compare.common.service.process import ServerProcess
from he_compare.common.service.wire import pack
from he_compare.common.types import Side

IMAGE = pack({"image": np.full((8, 8, 3), 100, np.uint8)})
CLOCK = Clock(Side.CLIENT)
Start = Callable[..., ServerProcess]


@pytest.fixture
def start(echo: str) -> Iterator[Start]:
    started: list[ServerProcess] = []

    def begin(behaviour: str = "answer", **options: float) -> ServerProcess:
        public = pack({}, {"behaviour": behaviour})
        started.append(ServerProcess(echo, public, CLOCK, threads=1, **options))  # type: ignore[arg-type]
        return started[-1]

    yield begin
    for server in started:
        server.close()


def answers(server: ServerProcess) -> bool:
    return len(server.call("infer", [IMAGE], CLOCK)) == 1


def ended(pid: int, seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


def kill(server: ServerProcess) -> None:
    os.kill(server.pid, signal.SIGKILL)
    assert ended(server.pid)


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("abort", "SIGABRT"),
        ("crash", "SIGSEGV"),
        ("exit", "exit code 0"),
        ("leave", "exit code 9"),
        ("close everything", "server was lost"),
    ],
)
@pytest.mark.parametrize("verb", ["infer", "do"])
def test_a_message_that_ends_the_process_gets_an_error_and_the_next_one_an_answer(
    start: Start, what: str, told: str, verb: str
) -> None:
    server = start()
    front, first = server.front_pid, server.pid
    message = f"do: {what}" if verb == "infer" else what
    with pytest.raises(ServerReplacedError, match=told) as error:
        server.call(verb, [message.encode()], CLOCK)
    assert "422" in str(error.value)
    assert ended(first)
    assert answers(server)
    assert server.front_pid == front and psutil.pid_exists(front)
    assert server.pid != first and server.replaced == 1
    assert told in server.last_replaced
    server.measure_peak()
    assert server.replaced == 1 and server.peak_bytes


def test_what_a_process_prints_or_reads_never_gets_into_its_answers(start: Start) -> None:
    server = start()
    for what in (b"print", b"read stdin", b"close stdout", b"print after all"):
        assert server.call("do", [what], CLOCK) == [b"done"]
    assert answers(server) and server.replaced == 0


def test_a_process_that_takes_all_memory_is_told_with_its_limit(start: Start) -> None:
    server = start(memory_bytes=1 << 30)
    with pytest.raises(ServerReplacedError, match=r"memory was too small \(limit: 1\.1 GB\)"):
        server.call("do", [b"take memory"], CLOCK)
    assert answers(server) and server.replaced == 1


def test_a_call_that_takes_too_long_is_ended_and_the_next_one_is_answered(start: Start) -> None:
    server = start(call_seconds=3)
    first, begun = server.pid, time.monotonic()
    with pytest.raises(ServiceTimeoutError):
        server.call("do", [b"sleep"], CLOCK)
    assert time.monotonic() - begun < 10
    assert ended(first) and answers(server) and server.replaced == 1


def test_a_stopped_process_is_one_that_takes_too_long(start: Start) -> None:
    server = start(call_seconds=3)
    os.kill(server.pid, signal.SIGSTOP)
    with pytest.raises(ServiceTimeoutError):
        server.call("infer", [IMAGE], CLOCK)
    assert answers(server)


def test_a_process_that_was_killed_between_two_calls_is_replaced_without_a_word(
    start: Start,
) -> None:
    server = start()
    kill(server)
    assert answers(server) and server.replaced == 1


def test_what_a_lost_process_was_sent_is_never_taken_to_be_there(start: Start) -> None:
    server = start()
    server.call("do", [b"keep one"], CLOCK)
    assert server.call("do", [b"kept"], CLOCK) == [b"keep one"]
    kill(server)
    assert answers(server)  # needs none of it
    with pytest.raises(ServerReplacedError, match=r"with what it was sent.*SIGKILL"):
        server.call("do", [b"keep two"], CLOCK)
    assert server.call("do", [b"kept"], CLOCK) == [b""]


def test_a_process_that_ends_while_it_loads_is_told_and_leaves_nothing(start: Start) -> None:
    before = {one.pid for one in psutil.Process().children(recursive=True)}
    with pytest.raises(ServerReplacedError, match=r"while it loaded.*SIGABRT"):
        start("abort while loading")
    assert {one.pid for one in psutil.Process().children(recursive=True)} <= before


def test_one_that_cannot_be_started_again_is_given_up(start: Start, tmp_path: Path) -> None:
    server = start(f"abort at the second load: {tmp_path / 'loaded'}")
    assert answers(server)
    kill(server)
    for _ in range(2):
        with pytest.raises(ServerReplacedError, match="while it loaded"):
            server.call("infer", [IMAGE], CLOCK)
    for _ in range(2):
        with pytest.raises(ServiceError, match=r"\(410\).*could be started again"):
            server.call("infer", [IMAGE], CLOCK)
    assert server.replaced == 3


def test_what_a_process_started_ends_with_it(start: Start) -> None:
    server = start()
    (other,) = server.call("do", [b"start another"], CLOCK)
    with pytest.raises(ServerReplacedError):
        server.call("do", [b"abort"], CLOCK)
    assert ended(int(other))


def test_the_threads_of_a_server_are_changed_in_its_process(start: Start) -> None:
    server = start()
    first = server.pid
    server.set_threads(2)
    assert server.call("do", [b"threads"], CLOCK) == [b"2 {2}"]
    assert server.pid == first and server.replaced == 0


def test_two_threads_that_call_at_once_are_both_answered(start: Start) -> None:
    server = start()
    found: list[int] = []

    def work() -> None:
        for _ in range(20):
            found.append(len(server.call("infer", [IMAGE, IMAGE], Clock(Side.CLIENT))))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [2] * 40


def test_a_front_that_is_killed_takes_its_child_with_it(start: Start) -> None:
    server = start()
    os.kill(server.front_pid, signal.SIGKILL)
    assert ended(server.pid)
    with pytest.raises(ServiceError, match=r"server process of echo ended.*-9"):
        answers(server)


def test_a_child_that_computes_ends_with_its_front(start: Start) -> None:
    server = start()
    pid = server.pid

    def call() -> None:
        with pytest.raises(ServiceError):
            server.call("do", [b"sleep"], Clock(Side.CLIENT))

    thread = threading.Thread(target=call)
    thread.start()
    time.sleep(0.5)
    os.kill(server.front_pid, signal.SIGKILL)
    assert ended(pid)
    thread.join(timeout=10)
    assert not thread.is_alive()


def test_a_child_that_computes_ends_with_the_driver(echo: str) -> None:
    code = (
        "from he_compare.common.clock import Clock\n"
        "from he_compare.common.service.process import ServerProcess\n"
        "from he_compare.common.service.wire import pack\n"
        "from he_compare.common.types import Side\n"
        "clock = Clock(Side.CLIENT)\n"
        "server = ServerProcess('echo', pack({}, {'behaviour': 'answer'}), clock, threads=1)\n"
        "print(server.pid, server.front_pid, server._home.name, flush=True)\n"
        "server.call('do', [b'sleep'], clock)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment
    ) as driver:
        assert driver.stdout
        *pids, home = driver.stdout.readline().split()
        time.sleep(0.5)
        driver.kill()
    assert all(ended(int(pid)) for pid in pids)
    deadline = time.monotonic() + 5
    while Path(home).exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(home).exists()


def test_the_public_material_lies_in_a_file_of_the_front_alone(start: Start) -> None:
    server = start()
    home = Path(server._home.name)
    (file,) = [path for path in home.rglob("public") if path.is_file()]
    assert file.read_bytes() == pack({}, {"behaviour": "answer"})
    assert file.stat().st_mode & 0o777 == 0o600
    assert all(folder.stat().st_mode & 0o077 == 0 for folder in file.parents if folder >= home)
    server.close()
    assert not home.exists()


def test_of_requests_with_public_material_exactly_one_is_taken(echo: str, start: Start) -> None:
    server = start()
    base, headers = str(server._http.base_url), dict(server._http.headers)
    body = pack({}, {"behaviour": "answer"})
    with httpx.Client(base_url=base, headers=headers, timeout=60) as http:
        http.delete(f"/v1/sessions/{server._session}")
        asked = {"pipeline": echo, "threads": 1}
        name = http.post("/v1/sessions", json=asked).json()["session"]
        path = f"/v1/sessions/{name}/public"
        codes: list[int] = []

        def put() -> None:
            with httpx.Client(base_url=base, headers=headers, timeout=60) as mine:
                codes.append(mine.put(path, content=body).status_code)

        threads = [threading.Thread(target=put) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(codes) == [200] + [409] * 7


def test_a_client_that_hangs_up_prints_nothing_and_stops_nothing(start: Start) -> None:
    server = start()
    token = server._http.headers["authorization"]
    port = server._http.base_url.port
    for path, method in (("call/infer", "POST"), ("public", "PUT")):
        head = (
            f"{method} /v1/sessions/{server._session}/{path} HTTP/1.1\r\nhost: x\r\n"
            f"authorization: {token}\r\ncontent-length: 1000000\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(head.encode() + b"x" * 1000)
            time.sleep(0.1)
    assert answers(server)
    time.sleep(0.2)
    assert not list(server._last_words)
