"""First words with a host: what differs, is refused or lies is said by name before a run begins."""

from __future__ import annotations

import contextlib
import json
import math
import socket
import threading
import time
from typing import Any

import pytest

from he_compare.common.clock import Clock
from he_compare.common.errors import ServiceError, UsageError
from he_compare.common.service import remote_host
from he_compare.common.service.framing import join
from he_compare.common.service.host_address import HostAddress, parse_host_address
from he_compare.common.service.host_card import card_here
from he_compare.common.service.remote import RemoteServer
from he_compare.common.service.remote_host import RemoteHost
from he_compare.common.service.way_to_host import clock_words, way_words
from he_compare.common.types import Side
from tests.support.fake_host import OK_HEADERS, FakeHost, Reply, card_reply

CARD = card_here()


FOREIGN_MACHINES: list[tuple[str, Any]] = [
    ("memory_bytes", 10**400),
    ("memory_bytes", 2**61),
    ("memory_bytes", 0),
    ("logical_cores", -5),
    ("logical_cores", 1e300),
    ("threads", 0),
    ("load_average", math.nan),
    ("load_average", math.inf),
    ("load_average", -1.0),
    ("load_average", 1e7),
    ("cpu", "x\x1b[2J"),
    ("cpu", "y" * 20_000),
    ("source_commit", "\x1b]0;pwn\x07"),
    ("platform", "\ud800"),
    ("packages", {"numpy": "\x00"}),
]


def problem_of(reply: Any, pipelines: tuple[str, ...] = ("plaintext",)) -> UsageError:
    """Return what a driver says of a host that gives this answer to its first words."""
    with FakeHost(lambda method, path: reply) as fake, pytest.raises(UsageError) as caught:
        fake.driver().greet(pipelines)
    assert fake.address in caught.value.problem and caught.value.fix
    assert "t" * 40 not in str(caught.value)
    return caught.value


def test_a_host_of_this_version_is_greeted_and_its_clock_is_read() -> None:
    with FakeHost(lambda method, path: card_reply(time=time.time())) as fake:
        way = fake.driver().greet(["plaintext", "block-scramble"])
    assert abs(way.clock_offset) < 0.5 and not way.clock_is_off and not clock_words(way)
    assert len(way.round_trips) == 15 and 0 < min(way.round_trips) < 5
    assert "round trip" in way_words(way)


@pytest.mark.parametrize("off", [-3600.0, -2.0, 2.0, 86_400.0])
def test_a_clock_that_is_off_is_measured_and_said(off: float) -> None:
    with FakeHost(lambda method, path: card_reply(time=time.time() + off)) as fake:
        way = fake.driver().greet([])
    assert math.isclose(way.clock_offset, off, abs_tol=0.5)
    assert way.clock_is_off and f"{abs(off):.0f}" in clock_words(way)
    assert ("behind" if off < 0 else "ahead") in clock_words(way)


def test_what_differs_is_named() -> None:
    software = CARD.software
    other = software.model_copy(update={"tool_version": "9.9"})
    assert "he-compare 9.9" in problem_of(card_reply(software=other)).problem
    packages = software.model_copy(update={"packages": software.packages | {"tenseal": "0.1"}})
    assert "tenseal 0.1" in problem_of(card_reply(software=packages)).problem
    assert "source code" in problem_of(card_reply(source="0" * 64)).problem
    assert "no pipeline 'plaintext'" in problem_of(card_reply(pipelines=["echo"])).problem
    plugin = card_reply(pipelines=["plaintext"], plugins={"plaintext": "1" * 64})
    assert "another plug-in" in problem_of(plugin).problem
    every = problem_of(card_reply(software=other, source="0" * 64, pipelines=[])).problem
    assert all(one in every for one in ("9.9", "source code", "plaintext"))


def test_a_host_that_has_a_driver_is_named_with_it() -> None:
    assert "used by 'another run'" in problem_of(card_reply(driver="another run")).problem
    with FakeHost(lambda method, path: card_reply(driver="a test", time=time.time())) as fake:
        fake.driver().greet([])  # what this driver left when it was killed is its own


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_is_not_accepted_is_named(status: int) -> None:
    told = problem_of((status, {}, b'{"error": {"kind": "Unauthorized", "message": "no"}}'))
    assert "--token-file" in told.problem


@pytest.mark.parametrize(
    "reply",
    [
        (200, {}, b""),
        (200, {}, b"<html>hello</html>"),
        (200, {}, b"{}"),
        (200, {}, b"[" * 60_000),
        (200, {}, b"\xff" * 100),
        (200, {}, json.dumps({"software": {}}).encode()),
        (200, {"content-length": "99999999"}, b"x"),
        (200, {"content-encoding": "gzip"}, b"x" * 50),
        (200, {}, b"x" * 1_000_000),
        (302, {"location": "https://elsewhere.example/"}, b""),
        (404, {}, b"nothing here"),
        (500, {}, b"x" * 100_000),
        (204, {}, b""),
        None,
    ],
    ids=lambda one: repr(one)[:40],
)
def test_what_is_no_host_is_said_not_to_be_one(reply: Reply | None) -> None:
    told = problem_of(reply)
    assert len(str(told)) < 1200 and str(told).isprintable()


@pytest.mark.parametrize(
    "changed",
    [
        {"time": math.inf},
        {"time": -5},
        {"time": 1e300},
        {"driver": "x" * 10_000},
        {"pipelines": ["x"] * 5000},
        {"sessions": -1},
        {"machine": None},
        {"environment": {}},
        {"software": {"python": "3"}},
        {"sessions": 10**400},
        {"time": 10**399},
        *({"environment": {name: value}} for name, value in FOREIGN_MACHINES),
        {"software": {"tool_version": "\x1b]0;owned\x07"}},
        {"software": {"tool_version": "A" * 5000}},
        {"software": {"packages": {"\x1b[2J": "1"}}},
        {"software": {"packages": {str(one): "1" for one in range(2000)}}},
        {"driver": "\u202eevil"},
        {"machine": "two\nlines"},
        {"pipelines": ["plaintext", "\x9b2J"]},
        {"plugins": {"a\ud800": "1"}},
    ],
    ids=lambda one: repr(one)[:60],
)
def test_a_card_that_cannot_be_is_refused(changed: dict[str, Any]) -> None:
    card = json.loads(CARD.model_dump_json())
    for name, value in changed.items():
        # Of a table only what is given is changed, but for those that are too short on purpose.
        whole = not isinstance(value, dict) or value in ({}, {"python": "3"})
        card[name] = value if whole else card[name] | value
    body = json.dumps(card).replace("Infinity", "1e999").encode()
    told = problem_of((200, {}, body))
    assert "no `compare host`" in told.problem
    assert str(told).isprintable() and len(str(told)) < 1200


def test_nobody_at_the_address_is_said_with_the_reason() -> None:
    with FakeHost(lambda method, path: None) as fake:
        driver = fake.driver()
    with pytest.raises(UsageError, match="cannot be reached") as caught:
        driver.greet([])
    assert "firewall" in caught.value.fix


# Once a session is open


class Misbehaving(FakeHost):
    """Opens sessions and takes public material; answers calls as it is told."""

    def __init__(self, **replies: Reply | None) -> None:
        self.told = {
            "POST": (200, {}, b'{"session": "s"}'),
            "PUT": (200, OK_HEADERS, b'{"verbs": ["infer"]}'),
            "DELETE": (200, {}, b"{}"),
        } | replies
        super().__init__(self._reply)

    def _reply(self, method: str, path: str) -> Reply | None:
        if path == "/v1/host":
            return self.told.get("card", card_reply(time=time.time()))
        if path.startswith("/v1/driver"):
            return self.told.get("driver", (200, {}, b"{}"))
        if "/call/" in path:
            return self.told["call"]
        return self.told.get(method, (404, {}, b""))


def begin(fake: FakeHost) -> RemoteServer:
    host = fake.driver(call_seconds=2.0)
    host.greet([])
    return RemoteServer(host, "plaintext", b"material", Clock(Side.CLIENT), threads=1)


def called(fake: FakeHost) -> str:
    """Return the words of the error of one call."""
    server = begin(fake)
    with pytest.raises(ServiceError) as caught:
        server.call("infer", [b"message"], Clock(Side.CLIENT))
    server.close()
    assert fake.address in str(caught.value) or "plaintext" in str(caught.value)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 1500
    return str(caught.value)


def test_a_session_over_a_fake_host_works_at_all() -> None:
    with Misbehaving(call=(200, OK_HEADERS, join([b"reply"]))) as fake:
        server = begin(fake)
        assert server.call("infer", [b"message"], Clock(Side.CLIENT)) == [b"reply"]
        place = server.place()
        server.close()
    assert place["server_on"] == "same machine" and place["server_host"].machine == CARD.machine
    assert len(place["server_host"].round_trip_seconds) == 9
    assert "DELETE /v1/sessions/s" in fake.asked


@pytest.mark.parametrize(
    "reply",
    [
        (200, OK_HEADERS, b""),
        (200, OK_HEADERS, b"rubbish"),
        (200, OK_HEADERS, join([])),
        (200, OK_HEADERS, join([b"a", b"b"])),
        (200, OK_HEADERS, join([b"a"])[:-1]),
        (200, OK_HEADERS, b"HEC1\xff\xff\xff\xff"),
        (200, {}, join([b"a"])),
        (200, OK_HEADERS | {"compare-seconds": "nan"}, join([b"a"])),
        (200, OK_HEADERS | {"compare-seconds": "1e9"}, join([b"a"])),
        (200, OK_HEADERS | {"compare-seconds": "-1"}, join([b"a"])),
        (200, OK_HEADERS | {"compare-held": "soon"}, join([b"a"])),
        (200, OK_HEADERS | {"compare-held": "1e9"}, join([b"a"])),
        (200, OK_HEADERS | {"compare-timings": "[[]]"}, join([b"a"])),
        (200, OK_HEADERS | {"compare-timings": '[["evaluate","batch",1e9,1]]'}, join([b"a"])),
        (200, OK_HEADERS | {"compare-pid": "me"}, join([b"a"])),
        (200, OK_HEADERS | {"content-encoding": "br"}, join([b"a"])),
        (200, OK_HEADERS | {"content-length": "9" * 12}, b"x"),
        (200, {"x": "y" * 300_000}, b""),
        (307, {"location": "http://127.0.0.1:1/"}, b""),
        (422, {}, b'{"error": {"kind": "\\u001b[2J", "message": "\\n\\n\\u202e"}}'),
        (422, {}, b"\x00" * 50_000),
        (404, {}, b'{"error": {"kind": "UnknownSession", "message": "gone"}}'),
        (503, {}, b"busy"),
        None,
    ],
    ids=lambda one: repr(one)[:60],
)
def test_a_hostile_answer_is_an_error_of_the_cell(reply: Reply | None) -> None:
    with Misbehaving(call=reply) as fake:
        called(fake)


@pytest.mark.parametrize(
    "replies",
    [
        {"POST": (200, {}, b'{"session": "../../v1/host"}')},
        {"POST": (200, {}, b"{}")},
        {"POST": (409, {}, b'{"error": {"kind": "Busy", "message": "another run"}}')},
        {"PUT": (200, OK_HEADERS, b'{"verbs": []}')},
        {"PUT": (200, OK_HEADERS, b'{"verbs": [".."]}')},
        {"PUT": (200, {}, b'{"verbs": ["infer"]}')},
        {"PUT": (413, {}, b'{"error": {"kind": "TooLargeError", "message": "too large"}}')},
        {"PUT": None},
    ],
    ids=lambda one: repr(one)[:60],
)
def test_a_session_that_cannot_be_opened_is_an_error_of_the_cell(replies: Any) -> None:
    with Misbehaving(call=None, **replies) as fake, pytest.raises(ServiceError) as caught:
        begin(fake)
    assert str(caught.value).isprintable()


def test_a_host_whose_clock_lies_later_is_an_error_of_the_cell() -> None:
    fake = Misbehaving(call=(200, OK_HEADERS, join([b"reply"])))
    with fake:
        server = begin(fake)
        fake.told["card"] = (200, {}, b"{}")
        with pytest.raises(ServiceError, match="did not tell its clock"):
            server.place()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"source": "0" * 64}, "source code of server halves"),
        ({"machine": "0" * 16}, "the machine"),
        ({"plugins": {"echo": "1" * 64}}, "the plug-in 'echo'"),
        ({"software": "numpy"}, "numpy 9.9"),
        ({"software": "tool_version"}, "he-compare 9.9"),
    ],
)
def test_a_host_that_changes_during_a_run_is_named_at_the_next_session(
    changed: dict[str, Any], words: str
) -> None:
    software = CARD.software
    if changed.get("software") == "numpy":
        packages = software.packages | {"numpy": "9.9"}
        changed = {"software": software.model_copy(update={"packages": packages})}
    elif changed.get("software") == "tool_version":
        changed = {"software": software.model_copy(update={"tool_version": "9.9"})}
    with Misbehaving(call=(200, OK_HEADERS, join([b"reply"]))) as fake:
        server = begin(fake)
        fake.told["card"] = card_reply(time=time.time(), **changed)
        with pytest.raises(ServiceError, match="not what it was when this run began") as caught:
            RemoteServer(server._host, "plaintext", b"m", Clock(Side.CLIENT), threads=1)
        assert words in caught.value.problem and caught.value.fix
        with pytest.raises(ServiceError, match="not what it was"):
            server.place()
        fake.told["card"] = card_reply(time=time.time())
        RemoteServer(server._host, "plaintext", b"m", Clock(Side.CLIENT), threads=1).close()


def test_a_driver_tells_when_it_begins_and_when_it_ends() -> None:
    with FakeHost(lambda method, path: card_reply(time=time.time())) as fake:
        driver = fake.driver()
        driver.greet([])
        assert "POST /v1/driver" in fake.asked
        driver.close()
        assert fake.asked[-1] == "DELETE /v1/driver/1"


def test_a_host_that_does_not_take_a_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_host, "PREDECESSOR_SECONDS", 0.6)
    monkeypatch.setattr(remote_host, "LOOK_SECONDS", 0.1)
    for kind in ("Busy", "SameDriver"):
        error = {"error": {"kind": kind, "message": "another is served", "fix": "wait"}}
        with Misbehaving(driver=(409, {}, json.dumps(error).encode())) as fake:
            with pytest.raises(UsageError, match=r"another is served \(wait\)"):
                fake.driver().greet([])
            asked = fake.asked.count("POST /v1/driver")
            assert asked > 2 if kind == "SameDriver" else asked == 1


def test_a_predecessor_whose_end_was_not_seen_yet_is_waited_for() -> None:
    error = {"error": {"kind": "SameDriver", "message": "another is served"}}
    with Misbehaving(driver=(409, {}, json.dumps(error).encode())) as fake:
        refused = fake.told["driver"]

        def end() -> None:
            time.sleep(0.3)
            fake.told["driver"] = (200, {}, b"{}")

        threading.Thread(target=end).start()
        assert fake.told["driver"] == refused
        fake.driver().greet([])


def test_a_certificate_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Interim answers are no answer, however often they come."""
    monkeypatch.setattr(remote_host, "GREETING_SECONDS", 1.0)
    listener = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        connection, _ = listener.accept()
        end = time.monotonic() + 12
        with contextlib.suppress(OSError):
            while time.monotonic() < end:
                connection.sendall(b"HTTP/1.1 102 Processing\r\n\r\n")
                time.sleep(0.1)

    threading.Thread(target=drip, daemon=True).start()
    port = listener.getsockname()[1]
    where = HostAddress(f"http://127.0.0.1:{port}", True, "127.0.0.1", port)
    driver = RemoteHost(where, "t" * 40, None, driver="d", process="p", call_seconds=60.0)
    begin = time.monotonic()
    with pytest.raises(UsageError, match="did not show its certificate"):
        driver._shown_certificate()
    assert time.monotonic() - begin < 6
    listener.close()


def test_a_count_of_lost_processes_never_falls() -> None:
    def reply(count: str) -> Reply:
        return 200, OK_HEADERS | {"compare-replaced": count}, join([b"reply"])

    with Misbehaving(call=reply("3")) as fake:
        server = begin(fake)
        for count in ("3", "0", "-5", "2", "999999999999", ""):
            fake.told["call"] = reply(count)
            server.call("infer", [b"message"], Clock(Side.CLIENT))
            assert server.replaced == 3
        status = {"pid": 4, "ready": True, "peak_bytes": 5, "replaced": 1}
        fake.told["GET"] = (200, {}, json.dumps(status).encode())
        server.measure_peak()
        assert server.replaced == 3


# What a command says of a host


@pytest.mark.parametrize(
    "text",
    ["node7", "node7:8700", "https://node7", "https://:8700", "https://node7:port", "ftp://a:1"]
    + ["https://me@node7:8700", "https://node7:8700/path", "https://node7:8700?x", "https://[a:1"],
)
def test_what_is_no_address_is_refused_with_one_that_is(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_host_address(text)
    assert repr(text) in caught.value.problem and "https://HOST:PORT" in caught.value.fix


@pytest.mark.parametrize("name", ["node7", "10.0.0.4", "localhost.evil.org", "[fe80::1]"])
def test_plain_http_beyond_this_machine_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="neither encrypted nor authenticated") as caught:
        parse_host_address(f"http://{name}:8700")
    assert f"https://{name}:8700" in caught.value.fix


def test_addresses_are_read() -> None:
    assert parse_host_address("https://node7:8700/") == HostAddress(
        "https://node7:8700", True, "node7", 8700
    )
    assert parse_host_address("http://[::1]:80").name == "::1"


class Heard:
    """Counts what a host hears of a session by itself."""

    def __init__(self) -> None:
        self.times = 0

    def stay(self) -> None:
        self.times += 1


def _more_than(heard: Heard, times: int) -> bool:
    """Wait for what is told by itself; False where nothing comes."""
    end = time.monotonic() + 20
    while heard.times <= times and time.monotonic() < end:
        time.sleep(0.01)
    return heard.times > times


def test_nothing_is_sent_by_itself_while_something_is_timed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(remote_host, "STAY_SECONDS", 0.05)
    paths: list[str] = []

    def answer(method: str, path: str) -> Reply:
        paths.append(path)
        return card_reply(time=time.time())

    with FakeHost(answer) as fake:
        driver, idle = fake.driver(), Heard()
        driver.greet(["plaintext"])
        driver.keep(idle)
        assert _more_than(idle, 0)
        for _ in range(3):
            with driver.undisturbed():
                before, sent = idle.times, len(paths)
                time.sleep(0.2)
                assert (idle.times, len(paths)) == (before, sent)
            assert idle.times > before  # what was due is told outside
        assert _more_than(idle, idle.times)
        monkeypatch.setattr(remote_host, "URGENT_SECONDS", 0.1)
        with driver.undisturbed():  # a call of minutes costs no other session its host
            assert _more_than(idle, idle.times)
        driver.leave(idle)
        driver.close()
