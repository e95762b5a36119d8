"""Answers of a server that lies, floods or is broken: an error that says what was wrong."""

from __future__ import annotations

import contextlib
import gc
import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from he_compare.common.errors import MessageError
from he_compare.common.service import answer as answers
from he_compare.common.service.answer import (
    Answer,
    exchange,
    read_object,
    read_pid,
    read_seconds,
    read_session_id,
    read_status,
    read_timings,
    read_verbs,
)
from he_compare.common.service.answer_words import broken_words, error_kind, error_words
from he_compare.common.service.deadlines import EndingTransport
from he_compare.common.types import Per, Stage

GOOD_STATUS = {"pid": 12, "ready": True, "peak_bytes": 5, "batch_limit": None}


def answer(body: bytes = b"{}", elapsed: float = 1.0, **headers: str) -> Answer:
    named = httpx.Headers({name.replace("_", "-"): text for name, text in headers.items()})
    return Answer(200, named, body, 10, 10, elapsed)


def as_bytes(value: Any) -> bytes:
    return json.dumps(value).encode()


def test_good_answers_are_read() -> None:
    timings = json.dumps([["evaluate", "batch", 0.25, 3], ["deserialize", "batch", 0, 1]])
    one = answer(compare_seconds="0.5", compare_pid="77", compare_timings=timings)
    assert read_seconds(one) == 0.5
    assert read_pid(one) == 77
    assert read_timings(one) == [
        (Stage.EVALUATE, Per.BATCH, 0.25, 3),
        (Stage.DESERIALIZE, Per.BATCH, 0.0, 1),
    ]
    assert read_verbs(answer(as_bytes({"verbs": ["infer", "step_2"]}))) == ("infer", "step_2")
    assert read_session_id(answer(as_bytes({"session": "aB_-9"}))) == "aB_-9"
    assert read_status(answer(as_bytes(GOOD_STATUS))).pid == 12


def test_a_clock_that_differs_in_the_last_digits_is_no_lie() -> None:
    assert read_seconds(answer(elapsed=1.0, compare_seconds="1.004")) == 1.0


@pytest.mark.parametrize(
    "text",
    ["", "nan", "inf", "-inf", "-1", "1e400", "0x1", "9" * 41, "5 s", "1.2", "2", "1e9", "None"],
)
def test_seconds_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(MessageError):
        read_seconds(answer(elapsed=1.0, compare_seconds=text))


@pytest.mark.parametrize("text", ["", "-1", "1.5", "12345678901", "٣", "0x10", "twelve"])
def test_a_process_number_that_is_none_is_refused(text: str) -> None:
    headers = httpx.Headers([(b"compare-pid", text.encode())])
    with pytest.raises(MessageError):
        read_pid(Answer(200, headers, b"", 1, 1, 1.0))


@pytest.mark.parametrize(
    "entries",
    [
        "",
        "null",
        "{}",
        "[1]",
        "[[]]",
        '[["evaluate", "batch", 0.1]]',
        '[["evaluate", "batch", 0.1, 1, 2]]',
        '[["no stage", "batch", 0.1, 1]]',
        '[["evaluate", "fortnight", 0.1, 1]]',
        '[[["evaluate"], "batch", 0.1, 1]]',
        '[["evaluate", null, 0.1, 1]]',
        '[["evaluate", "batch", -0.1, 1]]',
        '[["evaluate", "batch", NaN, 1]]',
        '[["evaluate", "batch", Infinity, 1]]',
        '[["evaluate", "batch", true, 1]]',
        '[["evaluate", "batch", "0.1", 1]]',
        '[["evaluate", "batch", 99.0, 1]]',
        '[["evaluate", "batch", 1e999, 1]]',
        '[["evaluate", "batch", 0.1, -1]]',
        '[["evaluate", "batch", 0.1, 0]]',
        # Each is no longer than the call, and all of them together are.
        json.dumps([["evaluate", "batch", 0.9, 1]] * 2),
        json.dumps([["evaluate", "batch", 0.01, 1], ["decrypt", "batch", 0.01, 1]] * 60),
        '[["evaluate", "batch", 0.1, 1.5]]',
        '[["evaluate", "batch", 0.1, true]]',
        # What the driver times itself: a host would set the latency of an image.
        '[["total", "sample", 0.0001, 1]]',
        '[["transport (loopback)", "batch", 0.1, 1]]',
        '[["network (measured)", "batch", 0.1, 1]]',
        f'[["evaluate", "batch", 0.1, {"9" * 5000}]]',
        f'[["evaluate", "batch", {"9" * 400}, 1]]',
        "[" * 30_000,
        json.dumps([["evaluate", "batch", 0.0, 1]] * (answers.MOST_TIMINGS + 1)),
    ],
)
def test_timings_that_cannot_be_are_refused_in_a_few_words(entries: str) -> None:
    with pytest.raises(MessageError) as caught:
        read_timings(answer(compare_timings=entries))
    assert len(str(caught.value)) < 500 and str(caught.value).isprintable()


@pytest.mark.parametrize(
    "verbs",
    [None, [], "infer", {"infer": 1}, ["infer"] * 65, [1], ["../x"], ["In fer"], ["a" * 65], [""]],
)
def test_verbs_that_are_none_are_refused(verbs: Any) -> None:
    with pytest.raises(MessageError):
        read_verbs(answer(as_bytes({"verbs": verbs})))


@pytest.mark.parametrize(
    "name", [None, "", 5, "../../x", "a/b", "a?b", "a b", "é", "x" * 129, ["a"]]
)
def test_a_session_that_is_no_name_is_refused(name: Any) -> None:
    with pytest.raises(MessageError):
        read_session_id(answer(as_bytes({"session": name})))


@pytest.mark.parametrize(
    "changed",
    [
        {"pid": -1},
        {"pid": "1"},
        {"pid": True},
        {"pid": 2**40},
        {"ready": 1},
        {"peak_bytes": None},
        {"peak_bytes": -5},
        {"peak_bytes": 2**60},
        {"peak_bytes": 1.5},
        {"batch_limit": "2"},
        {"batch_limit": -1},
        {"processes": -1},
        {"processes": 10**20},
        {"processes": "4"},
        {"replaced": -1},
        {"replaced": None},
        {"last_replaced": 5},
        {"last_replaced": ["x"]},
    ],
)
def test_a_status_that_cannot_be_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(MessageError):
        read_status(answer(as_bytes(GOOD_STATUS | changed)))


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"5", b"null", b"\xff\xfe", b"{" * 40_000, b'{"a": NaN}', b"<html>"]
)
def test_what_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(MessageError):
        read_object(body)


def test_a_refusal_is_one_line_without_control_characters() -> None:
    hostile = "first\nsecond \x1b[31mred\u202e" + "x" * 5000
    for body in (
        as_bytes({"error": {"kind": "K", "message": hostile, "fix": "do"}}),
        as_bytes({"error": {"message": hostile}}),
        as_bytes({"error": hostile}),
        hostile.encode(),
    ):
        words = error_words(answer(body))
        assert words.isprintable() and 0 < len(words) <= answers.MOST_LINE
    assert error_words(answer(b"")) == "without a reason"
    told = as_bytes({"error": {"kind": "K", "message": "m", "fix": "f"}})
    assert error_words(answer(told)) == "m (f)" and error_kind(answer(told)) == "K"
    unforeseen = Answer(500, httpx.Headers(), told, 1, 1, 1.0)
    assert error_words(unforeseen) == "K: m (f)"
    assert error_kind(answer(b"")) == error_kind(answer(as_bytes({"error": {"kind": 5}}))) == ""


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (httpx.ReadTimeout("x"), "nothing came in time"),
        (httpx.ConnectError("[Errno 111] Connection refused"), "no connection could be made"),
        (httpx.RemoteProtocolError("illegal status line: bytearray(b'\x1b[2J')"), "no HTTP"),
        (httpx.ReadError(""), "before an answer came"),
        (httpx.WriteError(""), "while something was sent"),
        (httpx.CloseError(""), "the connection failed"),
        (OSError(113, "No route to host"), "no route to host"),
    ],
)
def test_a_connection_that_broke_is_told_in_plain_words(error: Exception, words: str) -> None:
    told = broken_words(error)
    assert words in told and told.isprintable()
    assert "Error" not in told and "bytearray" not in told and "Errno" not in told


# A real server that misbehaves on the wire


@pytest.fixture
def served() -> Iterator[Callable[[Callable[[Any], None]], httpx.Client]]:
    """Return what starts a server on loopback whose GET is a function of its handler."""
    running: list[Any] = []

    def start(reply: Callable[[Any], None]) -> httpx.Client:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                reply(self)

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        client = httpx.Client(
            base_url=f"http://127.0.0.1:{server.server_port}",
            transport=EndingTransport(),
            trust_env=False,
        )
        running.extend([client, server])
        return client

    yield start
    for one in running:
        one.close() if isinstance(one, httpx.Client) else one.shutdown()


def send(handler: Any, status: int, headers: dict[str, str], body: bytes) -> None:
    handler.send_response(status)
    for name, text in headers.items():
        handler.send_header(name, text)
    handler.end_headers()
    handler.wfile.write(body)


def chunks(handler: Any, piece: bytes, count: int, wait: float = 0.0) -> None:
    handler.send_response(200)
    handler.send_header("transfer-encoding", "chunked")
    handler.end_headers()
    for _ in range(count):
        try:
            handler.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        except OSError:
            return
        time.sleep(wait)
    handler.wfile.write(b"0\r\n\r\n")


def test_an_answer_is_whole_and_counted(served: Any) -> None:
    client = served(lambda one: send(one, 200, {"content-length": "5", "compare-x": "y"}, b"hello"))
    found = exchange(client, "GET", "/", seconds=5)
    assert (found.status, found.body) == (200, b"hello")
    assert found.download > 5 and 0 < found.elapsed < 5


def test_what_was_sent_is_let_go_of_at_once(served: Any) -> None:
    """Bodies stayed in circles of objects: all uploads of 5,000 test images, 750 MB."""
    gone: list[int] = []

    class Body(bytes):
        def __del__(self) -> None:
            gone.append(len(self))

    client = served(lambda one: send(one, 200, {"content-length": "2"}, b"ok"))
    gc.collect()
    gc.disable()
    try:
        exchange(client, "GET", "/", Body(b"x" * 1000), seconds=5)
        assert gone == [1000]
    finally:
        gc.enable()


def test_a_body_larger_than_allowed_is_not_read_to_its_end(served: Any) -> None:
    client = served(lambda one: chunks(one, b"x" * 65_536, 100_000))
    begin = time.perf_counter()
    with pytest.raises(MessageError, match="more than 1000000 bytes"):
        exchange(client, "GET", "/", most=1_000_000, seconds=60)
    assert time.perf_counter() - begin < 20


@pytest.mark.parametrize("announced", ["2000000", "9" * 30])
def test_a_body_that_is_announced_as_too_large_is_not_read(served: Any, announced: str) -> None:
    client = served(lambda one: send(one, 200, {"content-length": announced}, b"x"))
    with pytest.raises((MessageError, httpx.HTTPError)):
        exchange(client, "GET", "/", most=1_000_000, seconds=5)


def test_a_body_that_drips_ends_at_the_time_limit(served: Any) -> None:
    client = served(lambda one: chunks(one, b"x", 10_000, wait=0.05))
    begin = time.perf_counter()
    with pytest.raises(httpx.TimeoutException):
        exchange(client, "GET", "/", seconds=1.0)
    assert time.perf_counter() - begin < 10


def test_a_server_that_says_nothing_ends_at_the_time_limit(served: Any) -> None:
    client = served(lambda one: time.sleep(30))
    with pytest.raises(httpx.TimeoutException):
        exchange(client, "GET", "/", seconds=0.5)


def test_interim_answers_without_end_end_at_the_time_limit(served: Any) -> None:
    def reply(handler: Any) -> None:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                handler.wfile.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100)
            except OSError:
                return

    client = served(reply)
    begin = time.perf_counter()
    with pytest.raises(httpx.TimeoutException):
        exchange(client, "GET", "/", seconds=1.0)
    assert time.perf_counter() - begin < 10


def test_a_host_that_takes_in_a_byte_at_a_time_ends_at_the_time_limit() -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        connection, _ = listener.accept()
        with contextlib.suppress(OSError):
            while connection.recv(1000):
                time.sleep(0.05)

    threading.Thread(target=drip, daemon=True).start()
    client = httpx.Client(
        base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", transport=EndingTransport()
    )
    begin = time.perf_counter()
    with pytest.raises(httpx.TimeoutException):
        exchange(client, "PUT", "/", bytes(50_000_000), seconds=1.5)
    assert time.perf_counter() - begin < 10
    listener.close()


def test_a_host_that_takes_in_a_part_now_and_then_ends_at_the_time_limit() -> None:
    """Each part alone is taken in within the limit: all of them together are not."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    listener.bind(("127.0.0.1", 0))
    listener.listen(1)

    def take() -> None:
        connection, _ = listener.accept()
        end = time.monotonic() + 9
        with contextlib.suppress(OSError):
            while time.monotonic() < end:
                for _ in range(12):
                    connection.recv(65_536)
                time.sleep(0.2)

    threading.Thread(target=take, daemon=True).start()
    client = httpx.Client(
        base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", transport=EndingTransport()
    )
    begin = time.perf_counter()
    with pytest.raises(httpx.TimeoutException):
        exchange(client, "POST", "/", bytes(30 << 20), seconds=1.0)
    assert time.perf_counter() - begin < 3
    listener.close()


@pytest.mark.parametrize("status", [301, 302, 307, 308, 304])
def test_no_redirect_is_followed(served: Any, status: int) -> None:
    asked = []

    def reply(handler: Any) -> None:
        asked.append(handler.path)
        send(handler, status, {"location": "/elsewhere", "content-length": "0"}, b"")

    client = served(reply)
    with pytest.raises(MessageError, match="another address"):
        exchange(client, "GET", "/here", seconds=5)
    assert asked == ["/here"]


def test_a_compressed_answer_is_refused_before_it_unfolds(served: Any) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    headers = {"content-encoding": "gzip", "content-length": str(len(bomb))}
    client = served(lambda one: send(one, 200, headers, bomb))
    with pytest.raises(MessageError, match="encoding"):
        exchange(client, "GET", "/", seconds=5)


def test_absurd_headers_are_an_error_of_the_connection(served: Any) -> None:
    client = served(lambda one: send(one, 200, {"x": "y" * 500_000, "content-length": "0"}, b""))
    with pytest.raises(httpx.HTTPError):
        exchange(client, "GET", "/", seconds=5)


def test_an_error_has_a_smaller_limit_than_an_answer(served: Any) -> None:
    size = answers.MOST_ERROR_BYTES + 1
    client = served(lambda one: send(one, 500, {"content-length": str(size)}, b"x" * size))
    with pytest.raises(MessageError):
        exchange(client, "GET", "/", most=1 << 30, seconds=5)
