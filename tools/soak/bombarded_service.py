"""Sends hostile messages through the real service: a server process as a run starts it.

Orders and lines are those of ``bombarded``. What a message ends is the service's child, which the
service replaces and counts; where the service itself has ended, that is told and another one is
started.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil

from he_compare.common.clock import Clock
from he_compare.common.errors import CellError, ServerReplacedError, ServiceTimeoutError
from he_compare.common.service.process import ServerProcess
from he_compare.common.types import Side
from tools.soak import attempts
from tools.soak.bombarded import RSS_EVERY, SERVICE_FLIPS, Order, line_of, serve
from tools.soak.hostile_requests import hostile_request, sent
from tools.soak.places import is_alive
from tools.soak.targets import Target

CALL_SECONDS, LOAD_SECONDS = 300.0, 60.0
STATUS = re.compile(r"\((\d{3})\)")
# Of so many requests one is no message but hostile HTTP.
HTTP, HTTP_EVERY = "HTTP", 4
REFUSALS = ("400", "404", "409", "413", "422")


class Bombarded:
    """A running server process, and what happened to it. ``ends``: how often the front ended."""

    def __init__(self, target: Target) -> None:
        self.target, self.ends, self.replaced = target, 0, 0
        self.server = self._started()

    def _started(self) -> ServerProcess:
        material, clock = self.target.public_material, Clock(Side.CLIENT)
        return ServerProcess(
            self.target.pipeline, material, clock, threads=1, call_seconds=CALL_SECONDS
        )

    def send(self, verb: str, messages: list[bytes]) -> str:
        """Send messages; return their fate."""
        try:
            self.server.call(verb, messages, Clock(Side.CLIENT))
        except ServerReplacedError:
            return "ended its child"
        except ServiceTimeoutError:
            return "uncaught time-out"
        except CellError as error:
            status = STATUS.search(str(error))
            if status is not None:
                return "refused" if status[1] in REFUSALS else f"uncaught {status[1]}"
            self._start_again_where_it_ended()
            return "uncaught loss of the connection"
        return "answered"

    def asked_hostilely(self, random: np.random.Generator) -> tuple[str, str, bytes]:
        """Send hostile HTTP to the port; return its fate, and what it was."""
        http = self.server._http
        token = http.headers["authorization"].removeprefix("Bearer ")
        kind, request = hostile_request(random, token, f"/v1/sessions/{self.server._session}")
        fate = sent(http.base_url.port or 0, request)
        self._start_again_where_it_ended()
        return fate, kind, request

    def _start_again_where_it_ended(self) -> None:
        with suppress(psutil.NoSuchProcess):
            if is_alive(psutil.Process(self.server.front_pid)):
                return
        self.ends += 1
        self.close()
        self.server = self._started()

    def answers(self) -> bool:
        """Send a good session to a new server half of a new service, or to this one's infer."""
        if any(one.verb != "infer" for one in self.target.calls):
            self.close()
            self.server = self._started()
        return all(
            self.send(one.verb, list(one.messages)) == "answered" for one in self.target.calls
        )

    def close(self) -> None:
        """End it; what it counted is kept."""
        with suppress(CellError):
            self.server.measure_peak()
        self.replaced += self.server.replaced
        self.server.close()

    @property
    def memory(self) -> int:
        """Resident bytes of the service without its child."""
        try:
            return int(psutil.Process(self.server.front_pid).memory_info().rss)
        except psutil.Error:
            return 0


def lines_of(order: Order, say: Callable[[str], None]) -> Iterator[str]:
    """Send all messages of an order through a service; yield a line each."""
    say("#wait")
    target = Target.from_bytes(Path(order.target).read_bytes())
    victim = Bombarded(target)
    # A child that was replaced loads its public material before it answers: that is no hang.
    start = time.perf_counter()
    well = victim.answers()
    longest = max(LOAD_SECONDS / 3, time.perf_counter() - start)
    say(f"#good {int(well)} {longest:.1f} 0.0")
    say("#go")
    flips, count = order.use == SERVICE_FLIPS, order.count - order.start
    make = attempts.flips if flips else attempts.tries
    begun = time.perf_counter()
    try:
        for number, one in enumerate(
            make(target, order.seed + 1, count, first=order.start), order.start
        ):
            if number % HTTP_EVERY == HTTP_EVERY - 1 and not flips:
                random = np.random.default_rng([order.seed, 3, number])
                fate, kind, request = victim.asked_hostilely(random)
                yield line_of(number, fate, HTTP, attempts.Try(kind, request).digest, kind)
                continue
            assert one.call is not None
            call = target.calls[one.call]
            fate = victim.send(call.verb, attempts.changed_call(call.messages, one))
            yield line_of(number, fate, call.verb, one.digest, one.what)
            if number % RSS_EVERY == 0 or number == order.count - 1:
                say(f"#rss {number} {victim.memory}")
        say(f"#seconds {time.perf_counter() - begun:.3f}")
        say("#wait")
        say(f"#alive {int(victim.answers())}")
    finally:
        victim.close()
        say(f"#ends {victim.ends}")
        say(f"#replaced {victim.replaced}")


if __name__ == "__main__":
    serve(lines_of)
