"""Connections that never become a request: ended, and nobody else waits for them."""

from __future__ import annotations

import contextlib
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from he_compare.common.service import impatient
from he_compare.common.service.application import ServiceApplication
from he_compare.common.service.closed_connections import survive_closed_connections
from he_compare.common.service.doorway import Doorway
from he_compare.common.service.serving import listen, server_of
from he_compare.common.service.sessions import FrontLimits, SessionTable
from tests.support.fake_child import FakeChild
from tests.support.served_front import served_front


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[int]:
    monkeypatch.setattr(impatient, "HEADER_SECONDS", 0.5)
    monkeypatch.setattr(impatient, "BODY_IDLE_SECONDS", 0.5)
    limits = FrontLimits(max_body=1 << 20)
    table = SessionTable(tmp_path, limits, start=FakeChild)  # type: ignore[arg-type]
    application = ServiceApplication(table, token="right")
    with served_front(application.asgi(), Doorway(most_strangers=8)) as port:
        yield port


def half(port: int, sent: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=5)
    connection.sendall(sent)
    return connection


def ended_after(connection: socket.socket) -> float:
    start = time.monotonic()
    try:
        while connection.recv(4096):
            pass
    except ConnectionError:
        pass
    return time.monotonic() - start


def status(port: int) -> int:
    headers = {"authorization": "Bearer right"}
    return httpx.get(f"http://127.0.0.1:{port}/v1/host", headers=headers).status_code


def test_half_a_header_is_not_waited_for(port: int) -> None:
    for sent in (b"", b"PUT /v1/public HT"):
        with half(port, sent) as connection:
            assert 0.2 < ended_after(connection) < 4


def test_a_header_in_small_pieces_gets_no_more_time(port: int) -> None:
    with half(port, b"GET /v1/host HTTP/1.1\r\n") as connection:
        start = time.monotonic()
        with pytest.raises(OSError):
            while time.monotonic() - start < 4:
                connection.send(b"x: y\r\n", getattr(socket, "MSG_NOSIGNAL", 0))
                time.sleep(0.1)
        assert time.monotonic() - start < 4


def test_a_body_that_stalls_is_not_waited_for(port: int) -> None:
    asked = {"pipeline": "plaintext", "threads": 1}
    headers = {"authorization": "Bearer right"}
    opened = httpx.post(f"http://127.0.0.1:{port}/v1/sessions", json=asked, headers=headers)
    path = f"/v1/sessions/{opened.json()['session']}/public"
    head = f"PUT {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer right\r\n".encode()
    head += b"content-length: 1000\r\n\r\n"
    with half(port, head + b"abc") as connection:
        assert 0.2 < ended_after(connection) < 4


def test_the_body_of_a_stranger_is_not_read(port: int) -> None:
    head = b"PUT /v1/public HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n"
    with half(port, head) as connection:
        answer = connection.recv(4096)
        assert b"401" in answer
        assert b"connection: close" in answer.lower()
        assert ended_after(connection) < 0.4


def test_many_half_open_connections_do_not_keep_the_client_out(port: int) -> None:
    crowd = [half(port, b"GET / HT") for _ in range(30)]
    time.sleep(0.8)
    assert status(port) == 200
    for connection in crowd:
        connection.close()


def test_a_client_may_pause_between_two_requests(port: int) -> None:
    headers = {"authorization": "Bearer right"}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers) as client:
        assert client.get("/v1/host").status_code == 200
        time.sleep(0.8)
        assert client.get("/v1/host").status_code == 200


@pytest.mark.skipif(not hasattr(signal, "SIGPIPE"), reason="no SIGPIPE on this system")
def test_a_write_to_a_closed_connection_raises_whatever_a_library_set() -> None:
    before = signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        survive_closed_connections()
        ours, theirs = socket.socketpair()
        theirs.close()
        with ours, pytest.raises(BrokenPipeError):
            ours.sendall(b"x")
    finally:
        signal.signal(signal.SIGPIPE, before)


def test_a_signal_that_was_ignored_at_the_start_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with (
            contextlib.closing(listen("127.0.0.1", 0)) as listener,
            server_of(None, listener).capture_signals(),
        ):
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    finally:
        signal.signal(signal.SIGINT, before)
