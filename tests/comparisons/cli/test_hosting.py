"""`compare host` and `compare run --host`: over TLS on loopback, with all that can be wrong."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from he_compare.common.clock import Clock
from he_compare.common.errors import ServiceError, UsageError
from he_compare.common.run.records import RunRecord
from he_compare.common.run.store import RunFolder, load_arrays
from he_compare.common.run.view import read_run
from he_compare.common.service import remote_host
from he_compare.common.service.host_address import parse_host_address
from he_compare.common.service.remote import RemoteServer
from he_compare.common.service.remote_front import FOLDER
from he_compare.common.service.remote_host import RemoteHost
from he_compare.common.service.secret_files import make_token_file, read_token_file
from he_compare.common.service.tls_contexts import driver_context
from he_compare.common.service.wire import pack
from he_compare.common.temporary_folders import FOLDERS
from he_compare.common.types import Phase, Side, Stage, Status
from he_compare.comparisons.cli import app
from he_compare.comparisons.judging.verify import verify_run
from he_compare.comparisons.measuring import runner
from tests.support.imagefolders import write_chestxray_like
from tests.support.running_host import RunningHost
from tests.support.tls_files import Authority

IMAGE = pack({"image": np.full((8, 8, 3), 100, np.uint8)})
MATERIAL = pack({}, {"behaviour": "answer"})
SMALL = "--image-size 32 --train-limit 8 --val-limit 4 --test-limit 12 --infer-batch 4 "
SMALL += "--latency-images 3 --latency-rounds 2 --pictures 2 --no-audit --quiet"


@pytest.fixture
def host(echo: str, tmp_path: Path) -> Iterator[RunningHost]:
    running = RunningHost(tmp_path / "host")
    yield running
    running.kill()


def driver(host: RunningHost, name: str = "one", process: str = "1", **changed: Any) -> RemoteHost:
    address = parse_host_address(changed.get("address", host.address))
    context = changed.get("context") or (driver_context(host.authority) if address.secure else None)
    token = changed.get("token") or read_token_file(host.token_file)
    return RemoteHost(address, token, context, driver=name, process=process, call_seconds=20)


def begun(there: RemoteHost, material: bytes = MATERIAL) -> RemoteServer:
    there.greet(["echo"])
    return RemoteServer(there, "echo", material, Clock(Side.CLIENT), threads=1)


def test_a_server_on_a_host_answers_over_tls_and_is_timed(host: RunningHost) -> None:
    first = host.lines[0]
    assert host.address.startswith("https://") and "he-compare" in first
    there = driver(host)
    server, clock = begun(there), Clock(Side.CLIENT)
    assert there.fingerprint and there.fingerprint in first
    replies = server.call("infer", [IMAGE, IMAGE], clock)
    assert len(replies) == 2 and server.traffic["infer"].upload > 2 * len(IMAGE)
    stages = {(stage, side) for stage, side, _ in clock.samples}
    assert (Stage.NETWORK, Side.NETWORK) in stages and (Stage.EVALUATE, Side.SERVER) in stages
    assert all(seconds >= 0 for values in clock.samples.values() for seconds in values)
    assert int(server.call("pid", [b""], Clock(Side.CLIENT))[0]) == server.pid
    assert server.pid in {one.pid for one in host.children()}
    assert server.is_separate and server.measure_peak()
    facts = server.place()["server_host"]
    assert facts.certificate == there.fingerprint and facts.environment.logical_cores >= 1
    assert facts.clock_offset_seconds == pytest.approx(0, abs=0.5)
    pid = server.pid
    server.close()
    there.close()
    host.wait_for("a session of echo begins")
    host.wait_for("a session of echo ends")
    token = read_token_file(host.token_file)
    assert not any(token in line for line in host.lines)
    end = time.monotonic() + 10
    while psutil.pid_exists(pid) and time.monotonic() < end:
        time.sleep(0.05)
    assert not psutil.pid_exists(pid)


def test_what_ends_a_server_ends_no_host(host: RunningHost) -> None:
    server = begun(driver(host))
    with pytest.raises(ServiceError, match="another process takes its place"):
        server.call("infer", [b"do: abort"], Clock(Side.CLIENT))
    assert server.call("infer", [IMAGE], Clock(Side.CLIENT))
    server.measure_peak()
    assert server.replaced == 1
    server.close()


def test_one_driver_at_a_time_from_its_first_word_to_its_last(host: RunningHost) -> None:
    there = driver(host, "one")
    begun(there).close()  # between two cells there is no session
    with pytest.raises(UsageError, match="is used by 'one'"):
        driver(host, "two").greet(["echo"])
    # Who did not ask is refused by the host itself.
    late = driver(host, "two")
    late.card = there.card
    with pytest.raises(ServiceError, match="one is served at the moment"):
        RemoteServer(late, "echo", MATERIAL, Clock(Side.CLIENT), threads=1)
    late.close()
    there.close()
    begun(driver(host, "two")).close()


def test_a_copy_of_a_driver_is_refused_and_a_ghost_gives_way(
    host: RunningHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = driver(host, "one")
    first = begun(there)
    with monkeypatch.context() as patched:
        patched.setattr(remote_host, "PREDECESSOR_SECONDS", 1.0)
        with pytest.raises(UsageError, match="calls itself one is served"):
            driver(host, "one", process="2").greet(["echo"])
    assert first.call("infer", [IMAGE], Clock(Side.CLIENT)), "the copy did it no harm"
    there.http._transport.close()  # as the system does for a process that was killed
    again = begun(driver(host, "one", process="2"))
    assert again.call("infer", [IMAGE], Clock(Side.CLIENT))
    host.wait_for("its driver was started again")
    with pytest.raises(ServiceError, match="has ended the session"):
        first.call("infer", [IMAGE], Clock(Side.CLIENT))
    again.close()


KILLED = """
import sys, time
from pathlib import Path
from he_compare.common.clock import Clock
from he_compare.common.service.host_address import parse_host_address
from he_compare.common.service.remote import RemoteServer
from he_compare.common.service.remote_host import RemoteHost
from he_compare.common.service.secret_files import read_token_file
from he_compare.common.service.tls_contexts import driver_context
from he_compare.common.service.wire import pack
from he_compare.common.types import Side
address, folder = sys.argv[1], Path(sys.argv[2])
there = RemoteHost(
    parse_host_address(address),
    read_token_file(folder / "token"),
    driver_context(folder / "authority.pem"),
    driver="one", process="killed", call_seconds=20,
)
there.greet(["echo"])
material = pack({}, {"behaviour": "answer"})
server = RemoteServer(there, "echo", material, Clock(Side.CLIENT), threads=1)
print("ready", flush=True)
time.sleep(60)
"""


def test_a_driver_that_was_killed_is_followed_at_once(host: RunningHost) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    killed = subprocess.Popen(
        [sys.executable, "-c", KILLED, host.address, str(host.folder)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert killed.stdout is not None and killed.stdout.readline() == "ready\n"
    with pytest.raises(UsageError, match="is used by 'one'"):
        driver(host, "two").greet(["echo"])
    killed.kill()
    killed.wait()
    killed.stdout.close()
    again = driver(host, "one", process="after")
    server = begun(again)
    assert server.call("infer", [IMAGE], Clock(Side.CLIENT))
    host.wait_for("its driver was started again")
    server.close()
    again.close()
    begun(driver(host, "two")).close()


def test_a_wrong_token_and_wrong_certificates_are_named(host: RunningHost, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not accept the token"):
        driver(host, token="x" * 40).greet([])
    host.wait_for("Z refused, from 127.0.0.1: missing or wrong bearer token")
    (tmp_path / "other").mkdir()
    other = driver_context(Authority(tmp_path / "other").file)
    with pytest.raises(UsageError, match="not trusted here"):
        driver(host, context=other).greet([])
    with pytest.raises(UsageError, match="for another name"):
        address = host.address.replace("127.0.0.1", "127.0.0.2")
        names = RunningHost(tmp_path / "named", listen="127.0.0.2", names=("elsewhere",))
        try:
            driver(names, address=f"https://127.0.0.2:{names.port}").greet([])
        finally:
            names.kill()
    assert address != host.address
    with pytest.raises(UsageError, match="without an answer to plain HTTP") as told:
        driver(host, address=host.address.replace("https", "http")).greet([])
    assert "pass https://" in told.value.fix
    begun(driver(host)).close()


def test_a_host_that_wants_certificates_of_drivers(echo: str, tmp_path: Path) -> None:
    (tmp_path / "drivers").mkdir()
    drivers = Authority(tmp_path / "drivers", "drivers")
    host = RunningHost(tmp_path / "host", options=("--client-ca", str(drivers.file)))
    try:
        assert "clients need a certificate" in host.lines[0]
        with pytest.raises(UsageError, match="wants a certificate of this side, or"):
            driver(host).greet([])
        context = driver_context(host.authority)
        context.load_cert_chain(*drivers.issue("me", ()))
        begun(driver(host, context=context)).close()
    finally:
        host.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_host_ends_on_a_signal_with_its_servers_and_leaves_nothing(
    host: RunningHost, number: int
) -> None:
    server = begun(driver(host))
    children = host.children()
    assert server.pid in {one.pid for one in children}
    host.end(number)
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive
    left = folders_of(host)
    assert not left
    with pytest.raises(ServiceError) as caught:
        server.call("infer", [IMAGE], Clock(Side.CLIENT))
    assert host.address in str(caught.value) and "run the same command again" in str(caught.value)


def folders_of(host: RunningHost) -> list[Path]:
    """Return the folders of hosts that were made since this one was started."""
    found = Path(tempfile.gettempdir()).glob(f"{FOLDERS}{FOLDER}-*")
    return [one for one in found if one.stat().st_mtime > host.began]


def test_a_killed_host_takes_its_servers_with_it_and_the_next_one_sweeps(
    host: RunningHost,
) -> None:
    server = begun(driver(host))
    children = host.children()
    host.kill()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive
    host.start()
    left = folders_of(host)
    assert len(left) == 1, "that of the one that runs"
    server.close()
    begun(driver(host)).close()


def test_strangers_who_say_nothing_cost_nothing(host: RunningHost) -> None:
    there = driver(host)
    server = begun(there)
    idle = [socket.create_connection(("127.0.0.1", host.port), timeout=5) for _ in range(300)]
    kept, end = psutil.Process(host.process.pid), time.monotonic() + 8
    while (held := len(kept.net_connections("tcp"))) >= 100 and time.monotonic() < end:
        time.sleep(0.1)
    assert held < 100, "a handshake that is waited for has ten seconds"
    assert server.call("infer", [IMAGE], Clock(Side.CLIENT)), "the connection that was there"
    there.http._transport.close()
    assert server.call("infer", [IMAGE], Clock(Side.CLIENT)), "a new one"
    server.close()
    there.close()
    for one in idle:
        one.close()


def test_a_burst_of_silent_strangers_takes_little_memory(host: RunningHost) -> None:
    kept = psutil.Process(host.process.pid)
    before = kept.memory_info().rss
    idle = [socket.create_connection(("127.0.0.1", host.port), timeout=20) for _ in range(600)]
    time.sleep(0.5)
    grown = (kept.memory_info().rss - before) / 2**20
    assert grown < 80, f"{grown:.0f} MB for connections that never said a word"
    assert len(kept.net_connections("tcp")) < 100
    for one in idle:
        one.close()
    driver(host).close()


# The whole command


@pytest.fixture
def compare(echo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run `compare run` in this process and return its exit code."""
    data = tmp_path / "data" / "chestxray"
    write_chestxray_like(data, per_class_train=12, per_class_test=8, size=32)

    def run(*extra: str, out: str = "run", pipelines: tuple[str, ...] = ("echo",)) -> int:
        words = f"--dataset chestxray --data-dir {data} --profile smoke --subset published"
        words += f" --format md --out {tmp_path / out} {SMALL}"
        chosen = [word for one in pipelines for word in ("--pipeline", one)]
        monkeypatch.setattr(sys, "argv", ["compare", "run", *words.split(), *chosen, *extra])
        with pytest.raises(SystemExit) as stop:
            app.main()
        return int(stop.value.code or 0)

    return run


def to(host: RunningHost) -> tuple[str, ...]:
    words = ("--host", host.address, "--token-file", str(host.token_file))
    return (*words, "--tls-ca", str(host.authority))


def records_of(tmp_path: Path, out: str = "run") -> list[RunRecord]:
    return RunFolder(tmp_path / out).records()


def test_a_run_on_a_host_is_the_same_run_with_its_host_in_the_records(
    compare: Callable[..., int], host: RunningHost, tmp_path: Path
) -> None:
    assert compare(*to(host)) == 0
    assert compare(out="local") == 0
    there, here = records_of(tmp_path), records_of(tmp_path, "local")
    assert [one.status for one in there] == [Status.OK] * 3
    predictions = [
        load_arrays(tmp_path / out / records[0].predictions)["scores"]
        for out, records in (("run", there), ("local", here))
    ]
    assert np.array_equal(*predictions)
    assert there[0].identity == here[0].identity, "accuracy does not depend on the host"
    assert all(a.identity != b.identity for a, b in zip(there[1:], here[1:], strict=True))
    for one in there:
        assert one.server_host is not None and one.server_on == "same machine"
        assert one.server_host.certificate and len(one.server_host.round_trip_seconds) == 9
        assert one.server_pid_separate
    stages = {(one.stage, one.side) for one in there[1].measurements}
    assert (Stage.NETWORK, Side.NETWORK) in stages
    assert all(one.server_host is None and one.server_on == "same machine" for one in here)
    assert verify_run(RunFolder(tmp_path / "run")) == []
    manifest = RunFolder(tmp_path / "run").manifest()
    assert "--host https://HOST:PORT" in manifest.command
    secrets = (read_token_file(host.token_file), str(host.token_file), host.address)
    for file in (tmp_path / "run").rglob("*"):
        content = file.read_bytes() if file.is_file() else b""
        assert not any(one.encode() in content for one in secrets), file
    report = next((tmp_path / "run").rglob("report.md")).read_text()
    assert "host on the client's machine" in report
    assert "Network time of one image, measured and modelled" in report
    assert (
        "All servers ran on the client's machine."
        in next((tmp_path / "local").rglob("report.md")).read_text()
    )


def test_a_host_that_vanishes_fails_cells_and_the_same_command_resumes(
    compare: Callable[..., int],
    host: RunningHost,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    two = ("echo", "echo[behaviour=claim]")
    end = runner.CellLog.end

    def end_and_kill(self: Any, cell: Any, measured: Any, title: str = "") -> bool:
        done = end(self, cell, measured, title)
        if cell.phase is Phase.LATENCY and cell.round == 1:
            host.kill()
        return done

    with monkeypatch.context() as patched:
        patched.setattr(runner.CellLog, "end", end_and_kill)
        assert compare(*to(host), pipelines=two) == 3
    before = records_of(tmp_path)
    lost = [one for one in before if one.status is not Status.OK]
    assert len(before) == 6 and len(lost) == 3
    assert any(host.address in one.reason for one in lost)
    assert compare(*to(host), pipelines=two) == 2, "nobody answers: said before anything starts"
    host.start()
    assert compare(*to(host), pipelines=two) == 0
    after = records_of(tmp_path)
    assert [one.status for one in after] == [Status.OK] * 6
    kept = {one.identity: one.started_at for one in before if one.status is Status.OK}
    assert all(one.started_at == kept.get(one.identity, one.started_at) for one in after)
    assert verify_run(RunFolder(tmp_path / "run")) == []


def test_a_run_that_went_on_without_its_host_does_not_pool_two_machines(
    compare: Callable[..., int], host: RunningHost, tmp_path: Path
) -> None:
    assert compare(*to(host)) == 0
    assert compare() == 0, "the same plan: accuracy is kept, latency measured here"
    records = records_of(tmp_path)
    assert sum(one.cell.phase is Phase.ACCURACY for one in records) == 1
    assert sum(one.cell.phase is Phase.LATENCY for one in records) == 4
    (pipeline,) = read_run(RunFolder(tmp_path / "run")).pipelines
    assert [one.server_host for one in pipeline.timed] == [None, None]
    report = next((tmp_path / "run").rglob("report.md")).read_text()
    assert "2 latency cells are left out" in report


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--workers", "2"), "--workers 2 does not go together with --host"),
        (("--scheduler", "tls://node7:8786"), "--host and --scheduler do not go together"),
        (("--tls-cert", "x.pem"), "belong together"),
    ],
)
def test_what_does_not_go_with_a_host_is_refused(
    compare: Callable[..., int],
    tmp_path: Path,
    words: tuple[str, ...],
    told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = ("--host", "https://127.0.0.1:1", "--token-file", "t")
    assert compare(*asked, *words) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


# What the command refuses before it listens


def refused(monkeypatch: pytest.MonkeyPatch, capsys: Any, *words: str) -> str:
    monkeypatch.setattr(sys, "argv", ["compare", "host", *words])
    with pytest.raises(SystemExit) as stop:
        app.main()
    assert stop.value.code == 2
    told: str = capsys.readouterr().err
    assert told.startswith("error: ") and told.count("\n") == 1 and "(" in told
    return told


def test_a_host_refuses_what_would_be_unsafe(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    token = tmp_path / "token"
    make_token_file(token)
    certificate, key = map(str, Authority(tmp_path).issue())
    tls = ("--tls-cert", certificate, "--tls-key", key)
    good = ("--token-file", str(token))

    def said(*words: str) -> str:
        return refused(monkeypatch, capsys, *words)

    assert "no token was given" in said()
    for address in ("0.0.0.0:8700", "[::]:0", "192.0.2.1:0", "node7.example:1"):
        assert "plain HTTP" in said("--listen", address, *good)
    for address in ("8700", "localhost", "localhost:", "a:b", "::1:80", "x:99999", ":80", ""):
        assert "is no address" in said("--listen", address, *good)
    assert "belong together" in said(*good, *tls[:2])
    assert "--client-ca" in said(*good, "--client-ca", certificate)
    assert "does not exist" in said(*good, "--tls-cert", "no.pem", "--tls-key", key)
    token.chmod(0o644)
    assert f"chmod 600 {token}" in said(*good, *tls)
    token.write_text("short")
    token.chmod(0o600)
    assert "5 characters" in said(*good, *tls)
    listening = socket.create_server(("127.0.0.1", 0))
    token.unlink()
    make_token_file(token)
    taken = f"127.0.0.1:{listening.getsockname()[1]}"
    assert taken in said("--listen", taken, *good)
    listening.close()


def test_the_command_makes_a_token(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["compare", "host", "--make-token", str(tmp_path / "token")])
    with pytest.raises(SystemExit) as stop:
        app.main()
    assert not stop.value.code
    token = read_token_file(tmp_path / "token")
    assert token not in capsys.readouterr().out
    assert "never overwritten" in refused(
        monkeypatch, capsys, "--make-token", str(tmp_path / "token")
    )


def test_plain_http_on_this_machine_is_allowed(echo: str, tmp_path: Path) -> None:
    host = RunningHost(tmp_path / "host", tls=False)
    try:
        assert host.address.startswith("http://127.0.0.1:")
        assert "certificate" not in host.lines[0]
        server = begun(driver(host))
        assert server.call("infer", [IMAGE], Clock(Side.CLIENT))
        assert json.loads(server.place()["server_host"].model_dump_json())["certificate"] == ""
        server.close()
    finally:
        host.kill()
