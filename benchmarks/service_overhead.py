"""What front and child add to one encrypted inference, beside a service of one process.

fhe-head on 192 features of a 112 px image, 2 classes, parameters as ``auto`` resolves them, one
thread. Three servers are asked in turns: front and child as a run starts them; the same front with
the server half in its own process, as it was before there were children; and the server half in
this process, without HTTP. One inference is features, encryption, the call, decryption.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import numpy as np
import psutil

from benchmarks.rows import Row, against, main
from he_compare.common.backbones.features import FeatureExtractor
from he_compare.common.backbones.head import CLIP, LinearModel
from he_compare.common.clock import Clock
from he_compare.common.service.child import ServerHalf
from he_compare.common.service.child_process import ChildEndedError, ChildOptions, clean_environment
from he_compare.common.service.pipe import PipeFrame
from he_compare.common.service.process import ServerProcess
from he_compare.common.service.session_client import SessionClient
from he_compare.common.types import Message, Side
from he_compare.fhe_baseline.ckks.inference import load_public_material, make_plan, public_material

WIDTH, SIZE, CLASSES = 192, 112, 2
BACKBONE = "deit_tiny_patch16_224"
PIPELINE = "fhe-head"
REPEATS = {True: 60, False: 400}
WARM_UP = 5
ONE_PROCESS = "--one-process"
CHILD, WITHOUT, DIRECT = "front and child", "one process", "no service"


@dataclass
class Contender:
    """A server, and what was measured of it in seconds: of the call, and of all of an inference.

    ``pids``: its processes; none where that is this one. ``client``: processor time of this one.
    """

    infer: Callable[[list[Message]], list[Message]]
    pids: tuple[int, ...] = ()
    call: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    client: float = 0.0

    def processor_seconds(self) -> float:
        """Return the processor time of its processes so far."""
        found = [psutil.Process(pid).cpu_times() for pid in self.pids]
        return sum(one.user + one.system for one in found)


def measure(quick: bool) -> list[Row]:
    """Ask all three in turns, so that all see the same machine."""
    generator = np.random.default_rng(0)
    weights = generator.normal(scale=0.05, size=(CLASSES, WIDTH))
    model = LinearModel(weights, generator.normal(size=CLASSES))
    plan = make_plan(model, "auto", "auto")
    client = plan.packing.make_client(plan.parameters, model)
    material = public_material(plan, client.public_arrays())
    half = load_public_material(material)
    extract = FeatureExtractor(BACKBONE, SIZE, "untrained", 0, 1)
    images = generator.integers(0, 256, (1, SIZE, SIZE, 3), dtype=np.uint8)
    clock = Clock(Side.CLIENT)
    with (
        ServerProcess(PIPELINE, material, clock, threads=1) as server,
        OneProcessServer(PIPELINE, material, clock) as former,
    ):
        contenders = {
            CHILD: Contender(
                lambda sent: server.call("infer", sent, clock), (server.front_pid, server.pid)
            ),
            WITHOUT: Contender(lambda sent: former.call("infer", sent, clock), (former.front_pid,)),
            DIRECT: Contender(lambda sent: half.infer(sent, Clock(Side.SERVER))),
        }
        for number in range(WARM_UP + REPEATS[quick]):
            if number == WARM_UP:
                begun = {name: one.processor_seconds() for name, one in contenders.items()}
            for one in contenders.values():
                worked_here, start = time.process_time(), time.perf_counter()
                features = np.clip(extract(images).astype(np.float64), -CLIP, CLIP)
                sent = client.protect(features, clock)
                before = time.perf_counter()
                replies = one.infer(sent)
                after = time.perf_counter()
                client.reveal(replies, clock)
                if number >= WARM_UP:
                    one.call.append(after - before)
                    one.whole.append(time.perf_counter() - start)
                    one.client += time.process_time() - worked_here
        worked = {name: one.processor_seconds() - begun[name] for name, one in contenders.items()}
    whole = {name: worked[name] + one.client for name, one in contenders.items()}
    return [
        *rows_of(contenders),
        processor_row("of one inference", whole, REPEATS[quick], DIRECT),
        processor_row("of one inference", whole, REPEATS[quick], WITHOUT),
        processor_row("of the server's side", worked, REPEATS[quick], WITHOUT),
    ]


def processor_row(what: str, worked: Mapping[str, float], count: int, peer: str) -> Row:
    """Return the processor time that one inference takes: other load changes it little."""
    mine, its = (worked[name] / count * 1e3 for name in (CHILD, peer))
    return against(f"{CHILD}: processor time {what}", mine, "ms", count, peer, its)


def rows_of(contenders: Mapping[str, Contender]) -> list[Row]:
    """Return rows of medians and of the fastest; front and child beside the two others."""
    ours, rows = contenders[CHILD], []
    for peer in (WITHOUT, DIRECT):
        beside = contenders[peer]
        for what, mine, its in (
            ("one inference", ours.whole, beside.whole),
            ("the call alone", ours.call, beside.call),
        ):
            for of, pick in (("", median), (", the fastest", min)):
                value, peer_value = pick(mine) * 1e3, pick(its) * 1e3
                name = f"{CHILD}: {what}{of}"
                rows.append(against(name, value, "ms", len(mine), peer, peer_value))
    return rows


class OneProcessServer(SessionClient):
    """A front whose server half lives in the front's own process."""

    def __init__(self, pipeline: str, material: bytes, clock: Clock) -> None:
        token = secrets.token_hex(32)
        http = httpx.Client(headers={"authorization": f"Bearer {token}"}, trust_env=False)
        super().__init__(http, pipeline, call_seconds=120)
        self._home = tempfile.TemporaryDirectory()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.service_overhead", ONE_PROCESS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=clean_environment(1, Path(self._home.name), "cpu"),
            text=True,
        )
        assert self._process.stdin and self._process.stdout
        print(json.dumps([token, self._home.name]), file=self._process.stdin, flush=True)
        http.base_url = httpx.URL(f"http://127.0.0.1:{int(self._process.stdout.readline())}")
        self.open(threads=1, device="cpu")
        self.give_public(material, clock)

    @property
    def front_pid(self) -> int:
        """The number of its process."""
        return self._process.pid

    def close(self) -> None:
        """Stop it."""
        super().close()
        self._process.kill()
        self._process.communicate()
        self._home.cleanup()


class HalfInFront:
    """What a front takes for a child: the server half in the same process."""

    alive = True
    pid = 0

    def __init__(self, options: ChildOptions, home: Path, max_body: int) -> None:
        self._half = ServerHalf(options.pipeline, options.device)

    def ask(
        self, order: Mapping[str, Any], pieces: Iterable[bytes] = (), size: int = 0
    ) -> PipeFrame:
        """Answer in this process."""
        return PipeFrame(*self._half.answer(PipeFrame(dict(order), b"".join(pieces))))

    def end(self, why: str, *, late: bool = False) -> None:
        """Nothing can be ended."""

    def ending(self) -> ChildEndedError:
        """Not asked for: it does not end."""
        return ChildEndedError("it ended")

    def memory_words(self) -> str:
        """It has no limit."""
        return "no limit"

    def close(self) -> None:
        """Nothing was started."""


def serve_in_one_process() -> None:
    """Serve until the process is killed."""
    from he_compare.common.service.application import ServiceApplication
    from he_compare.common.service.serving import listen, serve
    from he_compare.common.service.sessions import FrontLimits, SessionTable

    token, home = json.loads(sys.stdin.readline())
    table = SessionTable(Path(home), FrontLimits(), start=HalfInFront)  # type: ignore[arg-type]
    listener = listen("127.0.0.1", 0)
    print(listener.getsockname()[1], flush=True)
    serve(ServiceApplication(table, token=token).asgi(), listener)


if __name__ == "__main__":
    if sys.argv[1:2] == [ONE_PROCESS]:
        serve_in_one_process()
    else:
        main(measure, threads=1)
