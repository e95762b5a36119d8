"""Hostile HTTP at the port of a service: no request, a wrong length, no token, and the like.

``hostile_request`` draws one and ``sent`` sends it over a connection of its own. Whoever has the
token may ask much; what is drawn here never ends the session that is being tried.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable

import numpy as np

from tools.soak.hostile_layers import json_changed

Random = np.random.Generator
ANSWER_SECONDS = 10.0
STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")
METHODS = ("GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get", "G\0T")
PATHS = (
    *("/", "/v1", "/v1/host", "/v1/sessions", "/v1/sessions/", "/v1/sessions/x/status"),
    *("/v1/sessions/../../etc/passwd", "/v1/sessions/%00/public", "/v1/sessions/x/call/__init__"),
    *("*", "http://other/v1/host", "/" + "a" * 9000, "/v1/sessions/\u00e9\u0663/threads"),
)
LENGTHS = ("0", "1", "99999999999999999999", "-1", "1e3", "+5", "0x10", "", "5, 5", "9" * 5000)
SESSION = {"pipeline": "plaintext", "threads": 1, "device": "cpu", "driver": "soak", "process": "x"}


def hostile_request(random: Random, token: str, session: str) -> tuple[str, bytes]:
    """Return what it is, in words, and its bytes. ``session``: the path of the one tried."""
    name = str(random.choice(list(_KINDS)))
    return f"HTTP: {name}", _KINDS[name](random, token, session)


def sent(port: int, request: bytes) -> str:
    """Send a request to a port of loopback; return its fate."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS) as stream:
            stream.sendall(request)
            stream.shutdown(socket.SHUT_WR)
            answer = stream.recv(1 << 16)
    except TimeoutError:
        return "uncaught time-out"
    except OSError:
        return "refused"  # it closed the connection while we sent or waited
    status = STATUS.match(answer)
    if status is None:
        return "refused" if not answer else "uncaught answer that is no HTTP"
    if status[1].startswith(b"5"):
        return f"uncaught {status[1].decode()}"
    return "answered" if status[1].startswith(b"2") else "refused"


def _request(method: str, path: str, token: str, body: bytes = b"", length: str = "") -> bytes:
    words = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
    words += f"Content-Length: {length or len(body)}\r\n\r\n"
    return words.encode("utf-8", "surrogatepass") + body


def _noise(random: Random, token: str, session: str) -> bytes:
    return random.bytes(int(random.integers(1, 5000)))


def _without_token(random: Random, token: str, session: str) -> bytes:
    wrong = ("", "x" * 64, token[:-1], token + "0", token.upper(), "\u00e9" * 10, "\0")
    return _request("POST", f"{session}/call/infer", wrong[int(random.integers(len(wrong)))], b"x")


def _odd_method(random: Random, token: str, session: str) -> bytes:
    method = METHODS[int(random.integers(4, len(METHODS)))]
    return _request(method, f"{session}/status", token)


def _odd_path(random: Random, token: str, session: str) -> bytes:
    method = METHODS[int(random.integers(len(METHODS)))]
    return _request(method, PATHS[int(random.integers(len(PATHS)))], token, b"{}")


def _long_header(random: Random, token: str, session: str) -> bytes:
    many = "".join(f"X-{i}: y\r\n" for i in range(int(random.integers(1, 5000))))
    long = f"X: {'y' * int(random.integers(1, 200_000))}\r\n"
    return f"GET {session}/status HTTP/1.1\r\nHost: a\r\n{many}{long}\r\n".encode()


def _wrong_length(random: Random, token: str, session: str) -> bytes:
    length = LENGTHS[int(random.integers(len(LENGTHS)))]
    return _request("POST", f"{session}/call/infer", token, random.bytes(20), length or " ")


def _chunks(random: Random, token: str, session: str) -> bytes:
    sizes = ("5", "0", "ffffffffffffffffff", "-1", "zz", "", "5;x=y")
    chunks = "".join(f"{sizes[int(random.integers(len(sizes)))]}\r\nhello\r\n" for _ in range(3))
    head = f"POST {session}/call/infer HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n"
    return f"{head}Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n".encode()


def _body_of_nothing(random: Random, token: str, session: str) -> bytes:
    verbs = ("infer", "epoch", "verbs", "__class__", "%2e%2e", "add")
    path = f"{session}/call/{verbs[int(random.integers(len(verbs)))]}"
    return _request("POST", path, token, random.bytes(int(random.integers(0, 200))))


def _odd_json(random: Random, token: str, session: str) -> bytes:
    path = ("/v1/sessions", f"{session}/threads")[int(random.integers(2))]
    _, text = json_changed(json.dumps(SESSION), random)
    return _request("POST", path, token, text.encode("utf-8", "surrogatepass"))


def _one_bit(random: Random, token: str, session: str) -> bytes:
    request = bytearray(_request("GET", f"{session}/status", token))
    request[int(random.integers(len(request)))] ^= 1 << int(random.integers(8))
    return bytes(request)


_KINDS: dict[str, Callable[[Random, str, str], bytes]] = {
    "noise": _noise,
    "without the token": _without_token,
    "another method": _odd_method,
    "another path": _odd_path,
    "long headers": _long_header,
    "a wrong length": _wrong_length,
    "chunks": _chunks,
    "a body that is nothing": _body_of_nothing,
    "JSON that is changed": _odd_json,
    "one bit flipped": _one_bit,
}
