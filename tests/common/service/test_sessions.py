"""Sessions of a front over HTTP: opened, refused, silent, taken over, ended; no process here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from he_compare.common.service import service_session
from he_compare.common.service.application import ServiceApplication
from he_compare.common.service.framing import join, split
from he_compare.common.service.pipe import PipeFrame
from he_compare.common.service.sessions import FrontLimits, SessionTable
from tests.support.fake_child import ENDS, FakeChild
from tests.support.served_front import served_front

ASKED: dict[str, Any] = {"pipeline": "plaintext", "threads": 1, "driver": "a run", "process": "p1"}
Serve = Callable[..., httpx.Client]


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def serve(tmp_path: Path, told: list[str]) -> Iterator[Serve]:
    FakeChild.made.clear()
    ended: list[Callable[[], None]] = []

    def begin(changed: Callable[[], str] | None = None, **limits: Any) -> httpx.Client:
        allowed = FrontLimits(**{"most_sessions": 3} | limits)
        table = SessionTable(tmp_path, allowed, told=told.append, start=FakeChild)  # type: ignore[arg-type]
        application = ServiceApplication(table, token="right", changed=changed)
        stack = served_front(application.asgi())
        port = stack.__enter__()
        ended.append(lambda: stack.__exit__(None, None, None))
        headers = {"authorization": "Bearer right"}
        return httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers)

    yield begin
    for end in ended:
        end()


def opened(http: httpx.Client, **changes: Any) -> str:
    answer = http.post("/v1/sessions", json=ASKED | changes)
    assert answer.status_code == 200, answer.text
    return f"/v1/sessions/{answer.json()['session']}"


def refusal(answer: httpx.Response) -> tuple[int, str, str]:
    error = answer.json()["error"]
    return answer.status_code, error["kind"], error["message"]


def test_a_session_from_its_opening_to_its_end(serve: Serve, told: list[str]) -> None:
    http = serve()
    facts = http.get("/v1/host").json()
    assert facts["sessions"] == 0 and facts["driver"] == "" and "plaintext" in facts["pipelines"]
    session = opened(http)
    assert http.get("/v1/host").json()["driver"] == "a run"
    assert refusal(http.post(f"{session}/call/infer", content=b""))[:2] == (409, "Conflict")
    given = http.put(f"{session}/public", content=b"material")
    assert given.json() == {"verbs": ["infer", "train"]}
    assert int(given.headers["compare-pid"]) == FakeChild.made[0].pid
    body = join([b"one", b"two"])
    answer = http.post(f"{session}/call/infer", content=body)
    assert split(answer.content) == [b"one", b"two"] and answer.headers["compare-timings"] == "[]"
    assert refusal(http.post(f"{session}/call/dance", content=body))[:2] == (404, "UnknownVerb")
    status = http.get(f"{session}/status").json()
    assert status["ready"] and status["peak_bytes"] == 5 and status["replaced"] == 0
    assert http.delete(session).status_code == 200
    assert refusal(http.get(f"{session}/status"))[:2] == (404, "UnknownSession")
    assert FakeChild.made[0].closed and len(told) == 2


@pytest.mark.parametrize(
    "asked",
    [
        b"",
        b"[]",
        b"nonsense",
        b"[" * 20_000,
        b'{"pipeline": "plaintext"}',
        b'{"pipeline": "plaintext", "threads": 0}',
        b'{"pipeline": "plaintext", "threads": 1.5}',
        b'{"pipeline": "plaintext", "threads": true}',
        b'{"pipeline": null, "threads": 1}',
        b'{"pipeline": "plaintext", "threads": 1, "device": 3}',
        b'{"pipeline": "plaintext", "threads": 1, "driver": "\\u001b[2J"}',
        b'{"pipeline": "plaintext", "threads": 1, "more": 1}',
        b'{"pipeline": "plaintext", "threads": 1, "call_seconds": NaN}',
        b'{"pipeline": "plaintext", "threads": 1, "call_seconds": -1}',
        b'{"pipeline": "plaintext", "threads": 1, "call_seconds": 1' + b"0" * 5000 + b"}",
    ],
)
def test_a_request_that_makes_no_sense_is_refused(serve: Serve, asked: bytes) -> None:
    answer = serve().post("/v1/sessions", content=asked)
    assert refusal(answer)[:2] == (400, "MessageError") and not FakeChild.made


def test_an_unknown_pipeline_is_refused_by_name(serve: Serve) -> None:
    answer = serve().post("/v1/sessions", json=ASKED | {"pipeline": "plaintexts"})
    status, kind, message = refusal(answer)
    assert (status, kind) == (404, "UnknownPipeline") and "'plaintexts'" in message
    assert "plaintext" in answer.json()["error"]["fix"] and not FakeChild.made


def test_another_driver_is_refused_and_too_many_sessions_are(serve: Serve) -> None:
    http = serve(most_sessions=2)
    sessions = [opened(http), opened(http)]
    answer = http.post("/v1/sessions", json=ASKED | {"driver": "another run"})
    assert refusal(answer)[:2] == (409, "Busy") and "a run is served" in answer.text
    assert refusal(http.post("/v1/sessions", json=ASKED))[:2] == (409, "TooManySessions")
    for session in sessions:
        http.delete(session)
    # Between two sessions nobody slips in: the driver has not ended.
    answer = http.post("/v1/sessions", json=ASKED | {"driver": "another run"})
    assert refusal(answer)[:2] == (409, "Busy")
    assert http.delete("/v1/driver/p1").status_code == 200
    opened(http, driver="another run")


def test_a_driver_that_was_started_again_takes_over_from_itself(
    serve: Serve, told: list[str]
) -> None:
    http = serve(most_sessions=1)
    first = opened(http)
    opened(http, process="p2")
    assert refusal(http.get(f"{first}/status"))[:2] == (404, "UnknownSession")
    end = time.monotonic() + 5
    while "its driver was started again" not in " ".join(told) and time.monotonic() < end:
        time.sleep(0.02)
    assert FakeChild.made[0].closed and "its driver was started again" in " ".join(told)


def test_a_silent_session_ends_and_one_that_asks_stays(serve: Serve, told: list[str]) -> None:
    http = serve(silent_seconds=0.6)
    session = opened(http)
    for _ in range(4):
        time.sleep(0.3)
        assert http.get(f"{session}/status").status_code == 200
    time.sleep(1.5)
    assert refusal(http.get(f"{session}/status"))[:2] == (404, "UnknownSession")
    assert "its driver was silent for 0.6 s" in told[-1]


def test_a_body_over_the_limit_is_refused_before_it_is_kept(serve: Serve, tmp_path: Path) -> None:
    http = serve(max_body=1000)
    session = opened(http)

    def unannounced() -> Iterator[bytes]:
        yield from (bytes(400) for _ in range(4))

    for content in (bytes(1001), unannounced()):
        answer = http.put(f"{session}/public", content=content)
        assert refusal(answer)[:2] == (413, "TooLargeError")
    assert not [path for path in tmp_path.rglob("public") if path.is_file()]
    assert http.put(f"{session}/public", content=bytes(1000)).status_code == 200


def test_material_that_was_refused_may_be_given_anew(serve: Serve) -> None:
    http = serve()
    session = opened(http)
    refused = {"error": {"status": 400, "kind": "MessageError", "message": "no sense"}}
    FakeChild.made[0].answers["load"] = PipeFrame(refused)
    answer = http.put(f"{session}/public", content=b"1")
    assert refusal(answer) == (400, "MessageError", "no sense")
    del FakeChild.made[0].answers["load"]
    assert http.put(f"{session}/public", content=b"2").status_code == 200
    assert refusal(http.put(f"{session}/public", content=b"3"))[:2] == (409, "Conflict")


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"seconds": "1"},
        {"seconds": float("nan")},
        {"seconds": -1.0},
        {"seconds": True},
        {"seconds": 0.0, "verbs": 5},
        {"seconds": 0.0, "verbs": [None]},
        {"seconds": 0.0, "timings": "x"},
        {"seconds": 0.0, "timings": ["x" * (1 << 16)]},
        {"error": None},
        {"error": {"status": "no", "kind": {}, "message": []}},
        {"error": {"status": 200}},
    ],
)
def test_a_child_may_say_anything_and_its_client_gets_an_error(
    serve: Serve, header: dict[str, Any]
) -> None:
    http = serve()
    session = opened(http)
    http.put(f"{session}/public", content=b"material")
    FakeChild.made[0].answers["call"] = PipeFrame(header)
    answer = http.post(f"{session}/call/infer", content=join([b"x"]))
    assert 400 <= answer.status_code < 600 and answer.json()["error"]["kind"]
    assert http.post(f"{session}/call/infer", content=join([b"x"])).status_code in (200, 500)
    assert http.get("/v1/host").status_code == 200


def test_a_child_that_ends_is_counted_and_what_it_held_is_said_once(serve: Serve) -> None:
    http = serve()
    session = opened(http)
    http.put(f"{session}/public", content=b"material")
    call = f"{session}/call"
    assert http.post(f"{call}/train", content=b"some").status_code == 200
    lost = http.post(f"{call}/infer", content=ENDS)
    assert refusal(lost)[:2] == (422, "ServerReplacedError") and "it fell asleep" in lost.text
    assert lost.headers["compare-replaced"] == "1"
    assert http.post(f"{call}/train", content=b"some").status_code == 200  # it was told
    FakeChild.made[-1].alive = False
    assert http.post(f"{call}/infer", content=b"x").status_code == 200  # needs nothing of it
    forgot = http.post(f"{call}/train", content=b"rest")
    assert refusal(forgot)[:2] == (422, "ServerReplacedError") and "what it was sent" in forgot.text
    assert http.post(f"{call}/train", content=b"rest").status_code == 200
    assert http.get(f"{session}/status").json()["replaced"] == 2


def test_a_child_that_status_finds_ended_is_said_to_the_next_call(serve: Serve) -> None:
    http = serve()
    session = opened(http)
    http.put(f"{session}/public", content=b"material")
    assert http.post(f"{session}/call/train", content=b"some").status_code == 200
    FakeChild.made[-1].alive = False
    assert http.get(f"{session}/status").json()["replaced"] == 1
    forgot = http.post(f"{session}/call/train", content=b"rest")
    assert refusal(forgot)[:2] == (422, "ServerReplacedError")


def test_threads_are_changed_in_the_child_or_another_one_is_started(serve: Serve) -> None:
    http = serve()
    session = opened(http)
    threads = f"{session}/threads"
    assert refusal(http.post(threads, json={"threads": 2}))[:2] == (409, "Conflict")
    http.put(f"{session}/public", content=b"material")
    (child,) = FakeChild.made
    child.answers["threads"] = PipeFrame({"changed": True})
    assert http.post(threads, json={"threads": 2}).json() == {"threads": 2, "kept": True}
    assert http.post(threads, json={"threads": 2}).json() == {"threads": 2, "kept": True}
    child.answers["threads"] = PipeFrame({"changed": False})
    assert http.post(threads, json={"threads": 3}).json() == {"threads": 3, "kept": False}
    assert child.closed and FakeChild.made[-1].options.threads == 3
    assert http.post(f"{session}/call/infer", content=b"x").status_code == 200
    assert http.get(f"{session}/status").json()["replaced"] == 0
    assert http.post(f"{session}/call/train", content=b"x").status_code == 200
    assert refusal(http.post(threads, json={"threads": 1}))[:2] == (409, "Conflict")
    for wrong in ({}, {"threads": 0}, {"threads": "2"}, []):
        assert refusal(http.post(threads, json=wrong))[:2] == (400, "MessageError")


def test_a_full_disk_is_told(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    http = serve()
    session = opened(http)

    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(service_session.os, "open", full)
        answer = http.put(f"{session}/public", content=b"material")
    status, kind, message = refusal(answer)
    assert (status, kind) == (507, "OSError") and "No space left" in message
    assert http.put(f"{session}/public", content=b"material").status_code == 200


def test_a_stranger_gets_nothing(serve: Serve) -> None:
    http = serve()
    session = opened(http)
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Bearer rîght"}):
        for method, path in (
            ("GET", "/v1/host"),
            ("POST", "/v1/sessions"),
            ("PUT", f"{session}/public"),
            ("GET", f"{session}/status"),
            ("DELETE", session),
        ):
            encoded = {name: text.encode("latin-1") for name, text in headers.items()}
            answer = httpx.request(method, f"{http.base_url}".rstrip("/") + path, headers=encoded)
            assert answer.status_code == 401
    assert len(FakeChild.made) == 1 and not FakeChild.made[0].closed
