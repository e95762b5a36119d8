"""What a driver that is broken, or bad, cannot do to a front: fill its memory, live for ever."""

from __future__ import annotations

import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from he_compare.common.service import service_session
from he_compare.common.service.application import ServiceApplication
from he_compare.common.service.bodies import HeldBytes
from he_compare.common.service.framing import join, split
from he_compare.common.service.pipe import PipeFrame
from he_compare.common.service.refusals import RefusedRequest
from he_compare.common.service.sessions import FrontLimits, SessionTable
from tests.support.fake_child import ENDS, FakeChild
from tests.support.served_front import served_front

ASKED: dict[str, Any] = {"pipeline": "plaintext", "threads": 1, "driver": "a run", "process": "p1"}
MIB = 1 << 20


class Front:
    """A front in this process with fake children."""

    def __init__(self, port: int, table: SessionTable) -> None:
        self.port, self.table = port, table
        headers = {"authorization": "Bearer right", "compare-process": "p1"}
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=20)

    def open(self, **changes: Any) -> str:
        answer = self.http.post("/v1/sessions", json=ASKED | changes)
        assert answer.status_code == 200, answer.text
        return f"/v1/sessions/{answer.json()['session']}"

    def ready(self, **changes: Any) -> str:
        session = self.open(**changes)
        assert self.http.put(f"{session}/public", content=b"material").status_code == 200
        return session

    def begin(self, method: str, path: str, size: int, sent: bytes = b"") -> socket.socket:
        """Begin a request whose body is longer than what is sent of it."""
        head = f"{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer right\r\n"
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        connection.sendall(f"{head}content-length: {size}\r\n\r\n".encode() + sent)
        return connection


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Callable[..., Front]]:
    FakeChild.made.clear()
    stacks = []

    def begin(start: Any = FakeChild, **limits: Any) -> Front:
        allowed = FrontLimits(**{"most_sessions": 4} | limits)
        table = SessionTable(tmp_path, allowed, start=start)
        stack = served_front(ServiceApplication(table, token="right").asgi())
        stacks.append(stack)
        return Front(stack.__enter__(), table)

    yield begin
    for one in stacks:
        one.__exit__(None, None, None)


def kind_of(answer: httpx.Response | bytes) -> str:
    body = (
        answer.content if isinstance(answer, httpx.Response) else answer.partition(b"\r\n\r\n")[2]
    )
    return str(json.loads(body)["error"]["kind"])


def read_answer(connection: socket.socket) -> bytes:
    """Read one answer with its body, which may come after its header."""
    connection.settimeout(20)
    answer = b""
    while not _is_whole(answer):
        piece = connection.recv(65_536)
        assert piece, f"closed after {answer!r}"
        answer += piece
    return answer


def _is_whole(answer: bytes) -> bool:
    header, end, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", header)
    return bool(end) and (length is None or len(body) >= int(length[1]))


def nobody_is_served(there: Front) -> bool:
    end = time.monotonic() + 2
    while there.table.driver and time.monotonic() < end:
        time.sleep(0.02)
    return there.table.driver == ""


# Memory


def test_bodies_that_are_held_have_a_limit_together() -> None:
    together = HeldBytes(100)
    first, second = together.share(), together.share()
    first.hold(60)
    with pytest.raises(RefusedRequest) as caught:
        second.hold(41)
    assert caught.value.status == 503 and caught.value.fix
    second.hold(40)
    first.hold(10)
    second.hold(90)
    first.close()
    first.close()
    second.close()
    assert together.held == 0


def test_calls_that_never_end_do_not_fill_the_memory(front: Callable[..., Front]) -> None:
    there = front(max_body=8 * MIB, most_held=16 * MIB)
    session = there.ready()
    path = f"{session}/call/infer"
    held = [there.begin("POST", path, 8 * MIB, bytes(MIB)) for _ in range(2)]
    time.sleep(0.3)
    refused = there.http.post(path, content=join([b"x"]))
    assert (refused.status_code, kind_of(refused)) == (503, "TooMuchAtOnce")
    held[0].close()
    time.sleep(0.3)
    answer = there.http.post(path, content=join([b"x"]))
    assert split(answer.content) == [b"x"], "what was given back can be used"
    held[1].close()


def test_a_body_of_unsaid_length_is_counted_as_it_comes(front: Callable[..., Front]) -> None:
    there = front(max_body=8 * MIB, most_held=MIB)
    path = f"{there.ready()}/call/infer"

    def unannounced() -> Iterator[bytes]:
        yield from (bytes(MIB // 4) for _ in range(8))

    answer = there.http.post(path, content=unannounced())
    assert (answer.status_code, kind_of(answer)) == (503, "TooMuchAtOnce")
    assert there.http.post(path, content=join([b"x"])).status_code == 200


def test_a_large_answer_comes_whole_and_is_given_back(front: Callable[..., Front]) -> None:
    there = front(max_body=8 * MIB, most_held=8 * MIB)
    session = there.ready()
    message = os.urandom(5 * MIB + 7)
    for _ in range(3):
        answer = there.http.post(f"{session}/call/infer", content=join([message]))
        assert split(answer.content) == [message]
        assert int(answer.headers["content-length"]) == len(join([message]))
    empty = PipeFrame({"seconds": 0.0, "verbs": [], "timings": []}, b"")
    FakeChild.made[-1].answers["call"] = empty
    assert there.http.post(f"{session}/call/infer", content=b"x").content == b""


def test_an_answer_over_what_may_be_held_is_refused_and_no_more(
    front: Callable[..., Front],
) -> None:
    there = front(max_body=8 * MIB, most_held=2 * MIB)
    session = there.ready()
    long = PipeFrame({"seconds": 0.0, "verbs": [], "timings": []}, bytes(3 * MIB))
    FakeChild.made[-1].answers["call"] = long
    answer = there.http.post(f"{session}/call/infer", content=b"x")
    assert (answer.status_code, kind_of(answer)) == (503, "TooMuchAtOnce")
    del FakeChild.made[-1].answers["call"]
    assert there.http.post(f"{session}/call/infer", content=b"x").status_code == 200


# Time


@pytest.mark.parametrize("what", ["public", "call/infer"])
def test_a_body_that_drips_has_an_end(
    front: Callable[..., Front], what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_session, "longest_exchange", lambda seconds: 1.0)
    there = front()
    session = there.open() if what == "public" else there.ready()
    method = "PUT" if what == "public" else "POST"
    connection = there.begin(method, f"{session}/{what}", 1000, b"x")
    begin = time.monotonic()
    connection.settimeout(0.2)
    answer = b""
    while not answer.endswith(b"}") and time.monotonic() - begin < 10:
        if not answer:
            connection.sendall(b"x")
        try:
            answer += connection.recv(4096)  # head and body may come one after the other
        except TimeoutError:
            continue
    assert 0.5 < time.monotonic() - begin < 8
    assert b"408" in answer and kind_of(answer) == "TooSlow"


@pytest.mark.parametrize("what", ["public", "call/infer"])
def test_an_upload_ends_with_its_session(
    front: Callable[..., Front], what: str, tmp_path: Path
) -> None:
    there = front()
    session = there.open() if what == "public" else there.ready()
    method = "PUT" if what == "public" else "POST"
    connection = there.begin(method, f"{session}/{what}", 10 * MIB, bytes(MIB))
    time.sleep(0.3)
    assert there.http.delete(session).status_code == 200
    begin = time.monotonic()
    answer = read_answer(connection)
    assert time.monotonic() - begin < 5
    assert b"410" in answer and kind_of(answer) == "SessionEnded"
    held = [one.resolve() for one in Path("/proc/self/fd").iterdir()]
    assert not [one for one in held if one.is_relative_to(tmp_path)]
    assert not list(tmp_path.rglob("public"))
    connection.close()


def test_bytes_that_drip_in_are_no_word_of_a_driver(front: Callable[..., Front]) -> None:
    there = front(silent_seconds=1.0)
    session = there.ready()
    name = session.rpartition("/")[2]
    connection = there.begin("POST", f"{session}/call/infer", 1000, b"x")
    begin = time.monotonic()
    while name in there.table._sessions and time.monotonic() - begin < 8:
        try:
            connection.sendall(b"x")
        except OSError:
            break
        time.sleep(0.1)
    assert 0.5 < time.monotonic() - begin < 5
    assert nobody_is_served(there)
    connection.close()


class Computing(FakeChild):
    """A child that computes until it is ended."""

    def ask(self, order: Any, pieces: Any = (), size: int = 0) -> PipeFrame:
        while order["order"] == "call" and self.alive:
            time.sleep(0.02)
        return super().ask(order, pieces, size)


def test_a_child_that_computes_is_no_word_of_a_driver(front: Callable[..., Front]) -> None:
    there = front(Computing, silent_seconds=1.0)
    session = there.ready()
    begin = time.monotonic()
    answer = there.http.post(f"{session}/call/infer", content=join([b"x"]))
    assert 0.5 < time.monotonic() - begin < 6
    assert (answer.status_code, kind_of(answer)) == (410, "SessionEnded")
    assert nobody_is_served(there) and FakeChild.made[-1].closed


def test_a_driver_that_says_it_is_there_keeps_a_child_that_computes(
    front: Callable[..., Front],
) -> None:
    there = front(Computing, silent_seconds=1.0)
    session = there.ready()
    found: list[int] = []
    path = f"{session}/call/infer"
    call = threading.Thread(
        target=lambda: found.append(there.http.post(path, content=join([b"x"])).status_code)
    )
    call.start()
    for _ in range(8):
        time.sleep(0.4)
        assert there.http.get(f"{session}/status").status_code == 200
    assert call.is_alive()
    FakeChild.made[-1].alive = False
    call.join(10)
    assert found == [422]


# The others go on


class SlowToEnd(FakeChild):
    """A child that takes its time to end."""

    def close(self) -> None:
        time.sleep(2.0)
        super().close()


def test_the_end_of_one_session_stops_no_other(front: Callable[..., Front]) -> None:
    there = front(SlowToEnd)
    first, second = there.ready(), there.ready()
    ended = threading.Thread(target=lambda: there.http.delete(first))
    ended.start()
    time.sleep(0.2)
    begin = time.monotonic()
    assert there.http.get("/v1/host").json()["sessions"] == 1
    assert there.http.post(f"{second}/call/infer", content=join([b"x"])).status_code == 200
    assert time.monotonic() - begin < 1.0
    ended.join(10)
    assert FakeChild.made[0].closed and not FakeChild.made[1].closed


def test_a_child_that_is_lost_stops_no_other_session(front: Callable[..., Front]) -> None:
    there = front(SlowToEnd)
    first, second = there.ready(), there.ready()
    lost = threading.Thread(
        target=lambda: there.http.post(f"{first}/call/infer", content=join([ENDS]))
    )
    lost.start()
    time.sleep(0.2)
    begin = time.monotonic()
    assert there.http.post(f"{second}/call/infer", content=join([b"x"])).status_code == 200
    assert time.monotonic() - begin < 1.0
    lost.join(10)


def test_a_front_that_ends_waits_for_sessions_that_are_ending(front: Callable[..., Front]) -> None:
    there = front(SlowToEnd, silent_seconds=0.3)
    there.ready()
    time.sleep(0.8)
    assert not FakeChild.made[0].closed
    there.table.end_all("the test ends")
    assert FakeChild.made[0].closed


# What a child says


def test_words_of_a_child_that_no_utf8_holds_are_told(front: Callable[..., Front]) -> None:
    there = front()
    session = there.ready()
    child = FakeChild.made[-1]
    hostile = "lost \ud800 \x1b[2J\u202e words"
    error = {"status": 400, "kind": "Message\ud800Error", "message": hostile}
    child.answers["call"] = PipeFrame({"error": error})
    answer = there.http.post(f"{session}/call/infer", content=b"x")
    told = answer.json()["error"]
    assert (
        answer.status_code == 400 and told["message"].isprintable() and "words" in told["message"]
    )
    child.answers["call"] = PipeFrame({"error": error, "ends": True})
    answer = there.http.post(f"{session}/call/infer", content=b"x")
    assert kind_of(answer) == "ServerReplacedError"
    status = there.http.get(f"{session}/status")
    assert status.status_code == 200 and status.json()["last_replaced"].isprintable()


@pytest.mark.parametrize("verbs", [["\ud800"], ["a b"], [""], ["x" * 300], ["\x1b[2J"]])
def test_verbs_that_are_no_names_are_no_answer(front: Callable[..., Front], verbs: Any) -> None:
    there = front()
    session = there.open()
    FakeChild.made[-1].answers["load"] = PipeFrame({"seconds": 0.0, "verbs": verbs})
    answer = there.http.put(f"{session}/public", content=b"material")
    assert kind_of(answer) == "ServerReplacedError"


def test_absurd_numbers_of_a_child_are_not_passed_on(front: Callable[..., Front]) -> None:
    there = front()
    session = there.ready()
    huge = {"peak_bytes": 10**400, "processes": 10**30, "batch_limit": -(10**40)}
    FakeChild.made[-1].answers["status"] = PipeFrame(huge)
    told = there.http.get(f"{session}/status").json()
    assert (told["peak_bytes"], told["processes"], told["batch_limit"]) == (0, None, None)


# Software that changes while a host runs


def test_software_that_was_changed_is_named_at_the_next_session(tmp_path: Path) -> None:
    FakeChild.made.clear()
    table = SessionTable(tmp_path, FrontLimits(most_sessions=4), start=FakeChild)  # type: ignore[arg-type]
    changes = [""]
    application = ServiceApplication(table, token="right", changed=lambda: changes[0])
    with served_front(application.asgi()) as port:
        there = Front(port, table)
        there.ready()
        changes[0] = "numpy 9.9, was 2.0 before"
        answer = there.http.post("/v1/sessions", json=ASKED)
        assert (answer.status_code, kind_of(answer)) == (409, "SoftwareChanged")
        assert "numpy 9.9" in answer.text and "start the host again" in answer.text
        changes[0] = ""
        there.ready()
