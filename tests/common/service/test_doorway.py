"""Strangers at the port: whatever they do, who has shown the token is served."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from he_compare.common.service import doorway as doorways
from he_compare.common.service.application import ServiceApplication
from he_compare.common.service.doorway import Doorway
from he_compare.common.service.serving import listen
from he_compare.common.service.sessions import FrontLimits, SessionTable
from he_compare.common.service.tls_contexts import OwnCertificate, driver_context, host_context
from tests.support.fake_child import FakeChild
from tests.support.served_front import served_front
from tests.support.tls_files import Authority

ASKED = b"GET /v1/host HTTP/1.1\r\nhost: x\r\nauthorization: Bearer right\r\n\r\n"
FLOOD = 200


class Guests:
    """Pairs of sockets, of which one end comes to a doorway."""

    def __init__(self, door: Doorway) -> None:
        self.door = door
        self.ours: list[socket.socket] = []
        self.theirs: list[socket.socket] = []

    def come(self, address: str) -> int:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        self.ours.append(ours)
        self.theirs.append(theirs)
        self.door.enter(ours, address)
        return len(self.ours) - 1

    def know(self, number: int) -> None:
        self.door.know(self.ours[number].fileno())

    def gone(self) -> list[int]:
        """Return who was shown out: the other end of such a connection reads its end."""
        found = []
        for number, one in enumerate(self.theirs):
            with contextlib.suppress(BlockingIOError):
                if one.recv(1) == b"":
                    found.append(number)
        return found

    def close(self) -> None:
        for one in self.ours + self.theirs:
            one.close()


@pytest.fixture
def guests() -> Iterator[Guests]:
    found = Guests(Doorway(most_known=3, most_strangers=4))
    yield found
    found.close()


def test_the_stranger_that_waited_longest_goes_first(guests: Guests) -> None:
    for _ in range(6):
        guests.come("192.0.2.1")
    assert guests.gone() == [0, 1]


def test_who_has_shown_the_token_stays_whatever_strangers_do(guests: Guests) -> None:
    known = guests.come("192.0.2.1")
    guests.know(known)
    for _ in range(50):
        guests.come("192.0.2.1")
    assert known not in guests.gone() and len(guests.gone()) == 46


def test_a_crowd_of_one_address_pushes_nobody_else_out(guests: Guests) -> None:
    alone = guests.come("198.51.100.7")
    for _ in range(50):
        guests.come("192.0.2.1")
    assert alone not in guests.gone()


@pytest.mark.parametrize("spelled", ["2001:db8::{:x}", "2001:db8:0:0:{:x}::1", "fe80::{:x}%eth0"])
def test_addresses_of_one_network_are_one_crowd(guests: Guests, spelled: str) -> None:
    alone = guests.come("2001:db8:1::1")
    for number in range(1, 20):
        guests.come(spelled.format(number))
    assert alone not in guests.gone()


def test_of_known_connections_the_longest_silent_one_goes(guests: Guests) -> None:
    for _ in range(3):
        guests.know(guests.come("192.0.2.1"))
    guests.know(0)  # another request of the first
    guests.know(guests.come("192.0.2.1"))
    assert guests.gone() == [1]


def test_a_closed_connection_takes_no_place(guests: Guests) -> None:
    for _ in range(4):
        guests.ours[guests.come("192.0.2.1")].close()
    guests.come("192.0.2.1")
    assert guests.gone() == [0, 1, 2, 3], "closed by themselves"
    for _ in range(3):
        guests.come("192.0.2.1")
    assert guests.gone() == [0, 1, 2, 3]


def test_nobody_is_let_in_until_those_shown_out_are_closed(guests: Guests) -> None:
    for _ in range(4 + doorways.MOST_LEAVING - 1):
        guests.come("192.0.2.1")
    assert guests.door.is_clear
    last = guests.come("192.0.2.1")
    assert not guests.door.is_clear
    guests.ours[last - 4].close()  # the last one that was shown out
    assert guests.door.is_clear


def test_one_that_is_never_closed_keeps_the_door_shut_for_a_moment_only(
    guests: Guests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doorways, "LEAVING_SECONDS", 0.05)
    for _ in range(4 + doorways.MOST_LEAVING):
        guests.come("192.0.2.1")
    time.sleep(0.06)
    assert guests.door.is_clear


def test_a_served_connection_is_ended_at_once_when_it_is_shown_out(guests: Guests) -> None:
    ended: list[int] = []
    first = guests.come("192.0.2.1")
    guests.door.serve(guests.ours[first].fileno(), lambda: ended.append(first))
    for _ in range(4):
        guests.come("192.0.2.1")
    assert ended == [first]


def test_a_listener_lets_connections_wait_in_the_system_while_the_door_is_shut() -> None:
    door = Doorway(most_strangers=1)
    with contextlib.closing(listen("127.0.0.1", 0, doorway=door)) as listener:
        held = []
        for _ in range(1 + doorways.MOST_LEAVING):
            held += [socket.create_connection(listener.getsockname()), listener.accept()[0]]
        held.append(socket.create_connection(listener.getsockname()))
        with pytest.raises(BlockingIOError):
            listener.accept()
        held[1].close()
        held.append(listener.accept()[0])
        for one in held:
            one.close()


# Over a server


@pytest.fixture
def application(tmp_path: Path) -> object:
    table = SessionTable(tmp_path, FrontLimits(), start=FakeChild)  # type: ignore[arg-type]
    return ServiceApplication(table, token="right").asgi()


@pytest.fixture
def crowd() -> Iterator[list[socket.socket]]:
    found: list[socket.socket] = []
    yield found
    for one in found:
        one.close()


def status(connection: socket.socket) -> bytes:
    connection.settimeout(10)
    connection.sendall(ASKED)
    answer = b""
    while b"\r\n\r\n" not in answer:
        some = connection.recv(65_536)
        if not some:
            break
        answer += some
    head, _, body = answer.partition(b"\r\n\r\n")
    length = next((line for line in head.lower().split(b"\r\n") if b"content-length" in line), b"0")
    while len(body) < int(length.split(b":")[-1]):
        body += connection.recv(65_536)
    return answer.split(b"\r\n")[0]


def test_silent_strangers_keep_nobody_out(application: object, crowd: list[socket.socket]) -> None:
    with served_front(application) as port:
        driver = socket.create_connection(("127.0.0.1", port))
        assert status(driver) == b"HTTP/1.1 200 OK"
        for _ in range(FLOOD):
            crowd.append(socket.create_connection(("127.0.0.1", port)))
        time.sleep(0.3)
        assert status(driver) == b"HTTP/1.1 200 OK", "the connection that was there"
        with socket.create_connection(("127.0.0.1", port)) as another:
            assert status(another) == b"HTTP/1.1 200 OK", "a new one"
        driver.close()


@pytest.mark.parametrize("sent", [b"GET /v1/host HT", b"\x16\x03\x01\xff", ASKED[:-2]])
def test_strangers_that_send_a_part_keep_nobody_out(
    application: object, crowd: list[socket.socket], sent: bytes
) -> None:
    with served_front(application) as port:
        for _ in range(FLOOD):
            crowd.append(socket.create_connection(("127.0.0.1", port)))
            with contextlib.suppress(OSError):
                crowd[-1].sendall(sent)
        with socket.create_connection(("127.0.0.1", port)) as driver:
            assert status(driver) == b"HTTP/1.1 200 OK"


def test_strangers_in_a_handshake_keep_nobody_out(
    application: object, crowd: list[socket.socket], tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue()
    there = host_context(OwnCertificate(certificate, key))
    here = driver_context(authority.file)

    def reach(port: int) -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", port))
        plain.settimeout(10)
        return here.wrap_socket(plain, server_hostname="127.0.0.1")

    with served_front(application, context=there) as port:
        driver = reach(port)
        assert status(driver) == b"HTTP/1.1 200 OK"
        for number in range(FLOOD):
            crowd.append(socket.create_connection(("127.0.0.1", port)))
            with contextlib.suppress(OSError):
                crowd[-1].sendall(b"\x16\x03\x01" if number % 2 else b"")
        time.sleep(0.3)
        assert status(driver) == b"HTTP/1.1 200 OK"
        with reach(port) as another:
            assert status(another) == b"HTTP/1.1 200 OK"
        driver.close()


def test_strangers_have_few_places(application: object, crowd: list[socket.socket]) -> None:
    with served_front(application) as port:
        for _ in range(FLOOD):
            crowd.append(socket.create_connection(("127.0.0.1", port)))
        time.sleep(0.5)
        left = 0
        for one in crowd:
            one.setblocking(False)
            try:
                one.recv(1)
            except BlockingIOError:
                left += 1
            except OSError:
                continue
        assert 0 < left <= doorways.MOST_STRANGERS
