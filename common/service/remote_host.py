"""A host on another machine as the driver sees it: who it is, its clock, and the way to it.

Everything is asked before a run starts: certificates, the token, version, source code, pipelines,
and whether it serves this driver. What is wrong is said by name. Version and code are asked again
whenever a session is opened.
"""

from __future__ import annotations

import contextlib
import json
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Protocol

import httpx

from he_compare.common.closed_memory import close_memory
from he_compare.common.errors import CompareError, MessageError, ServiceError, UsageError
from he_compare.common.machine import machine_word
from he_compare.common.run.records import ServerHost
from he_compare.common.service.answer import CONNECT_SECONDS, Answer, exchange
from he_compare.common.service.answer_words import error_kind, error_words
from he_compare.common.service.closed_connections import probe_options
from he_compare.common.service.deadlines import EndingTransport, until
from he_compare.common.service.driver_lease import PROCESS_HEADER, SAME_NAME
from he_compare.common.service.first_card import card_of, first_card, told_of
from he_compare.common.service.host_address import HostAddress
from he_compare.common.service.host_card import (
    MOST_CARD_BYTES,
    HostCard,
    card_here,
    what_changed,
    what_host_lacks,
)
from he_compare.common.service.tls_contexts import spelled_fingerprint
from he_compare.common.service.way_to_host import WayToHost

HOST_PATH, DRIVER_PATH = "/v1/host", "/v1/driver"
GREETING_SECONDS = 20.0
GREETINGS, PINGS = 15, 9
# A driver that is heard of once a minute is not taken for one that is gone. While something is
# timed nothing is told unless that becomes urgent: the call under way then takes minutes itself.
STAY_SECONDS, URGENT_SECONDS = 60.0, 100.0
# How long the end of a driver's connections may take to be seen by the host.
PREDECESSOR_SECONDS, LOOK_SECONDS = 4.0, 0.5
JSON = "application/json"


class Staying(Protocol):
    """What tells a host that it is still wanted."""

    def stay(self) -> None:
        """Tell it; raises nothing."""
        ...


class RemoteHost:
    """A host that was greeted: one client of HTTP for all sessions with it.

    ``driver``: how this side names itself to it; ``process``: a random word of this process. From
    its greeting to its closing the host serves no other driver. It has the token, so it is never
    printed, written or sent on, and the memory of this process is closed.
    """

    def __init__(
        self,
        address: HostAddress,
        token: str,
        context: ssl.SSLContext | None,
        *,
        driver: str,
        process: str,
        call_seconds: float,
    ) -> None:
        close_memory()
        self.address = address
        self.driver = driver
        self.process = process
        self.call_seconds = call_seconds
        self.http = httpx.Client(
            base_url=address.text,
            headers={
                "authorization": f"Bearer {token}",
                "accept-encoding": "identity",
                PROCESS_HEADER: process,
            },
            timeout=httpx.Timeout(call_seconds, connect=CONNECT_SECONDS),
            transport=EndingTransport(
                verify=context if context is not None else False,
                # A connection that is closed between two images costs three round trips.
                limits=httpx.Limits(max_connections=16, keepalive_expiry=None),
                socket_options=probe_options(unsent_too=True),
            ),
            follow_redirects=False,
            trust_env=False,
        )
        self._kept: list[Staying] = []
        self._lock = threading.Lock()
        self._closed = threading.Event()
        # Held while the host is told of this driver: its last word must be that it has ended.
        self._word = threading.Lock()
        # Held while the host is told anything that nobody asked for.
        self._telling = threading.Lock()
        self._told = time.monotonic()
        self._timed = 0
        self.card: HostCard | None = None
        self._first: HostCard | None = None
        self._served = False
        self.fingerprint = ""

    def __repr__(self) -> str:
        return f"RemoteHost({self.address.text})"

    @property
    def machine(self) -> str:
        """What stands for the machine, once it was greeted."""
        assert self.card is not None, "greet comes first"
        return self.card.machine

    def greet(self, pipelines: Sequence[str]) -> WayToHost:
        """Ask who is there, and measure the way. ``pipelines``: those that are to be served.

        Raises UsageError, by name, on what is wrong.
        """
        card = first_card(self.address, self._asked_card)
        lacks = what_host_lacks(card, card_here(), pipelines)
        if lacks:
            raise UsageError(
                f"{self.address.text} cannot serve this run: {'; '.join(lacks)}",
                fix="install the same version of he-compare and of its packages on both machines",
            )
        if card.driver and card.driver != self.driver:
            raise UsageError(
                f"{self.address.text} is used by {card.driver!r} and serves one driver at a time",
                fix="wait until it has ended, or use another host; a driver that was killed is let "
                "go after the --silent-minutes of the host (10 unless told otherwise)",
            )
        self.card = self._first = card
        self._begin()
        self.fingerprint = self._shown_certificate()
        return self.measure(GREETINGS)

    def _begin(self) -> None:
        """Have the host serve this driver and no other from now on. Raises UsageError."""
        end = time.monotonic() + PREDECESSOR_SECONDS
        while True:
            try:
                answer = self._ask_to_serve()
            except (httpx.HTTPError, OSError, MessageError) as error:
                raise UsageError(
                    f"{self.address.text} does not serve this driver: {told_of(error)}",
                    fix="see whether it runs, and what listens there",
                ) from None
            if answer.status == httpx.codes.OK:
                break
            # The connections of a process that was killed a moment ago may not have ended there.
            if error_kind(answer) != SAME_NAME or time.monotonic() > end:
                raise UsageError(
                    f"{self.address.text} does not serve this driver: {error_words(answer)}"
                )
            time.sleep(LOOK_SECONDS)
        self._served = True
        threading.Thread(target=self._stay, daemon=True).start()

    def _ask_to_serve(self, seconds: float = GREETING_SECONDS) -> Answer:
        told = json.dumps({"driver": self.driver, "process": self.process}).encode()
        return exchange(self.http, "POST", DRIVER_PATH, told, seconds=seconds, kind=JSON)

    def measure(self, count: int = PINGS) -> WayToHost:
        """Ask for the host's clock ``count`` times, as NTP does (RFC 5905, section 8).

        The offset is that of the shortest round trip, and uncertain by half of it. Raises
        ServiceError.
        """
        trips: list[tuple[float, float]] = []
        for number in range(count + 1):
            sent = time.time()
            answer, card = self._card_again("it did not tell its clock")
            if number:  # the first one may have made the connection
                trips.append((answer.elapsed, card.time - (sent + answer.elapsed / 2)))
        shortest, offset = min(trips)
        return WayToHost(tuple(trip for trip, _ in trips), offset, shortest / 2)

    def require_unchanged(self) -> None:
        """Compare the host with what it was when it was greeted. Raises ServiceError, by name."""
        self._card_again("it did not say what it is")

    def _card_again(self, otherwise: str) -> tuple[Answer, HostCard]:
        """Return and keep what a host says of itself now; ``otherwise``: words for where it does
        not. Raises ServiceError, also where it is another one than was greeted."""
        try:
            answer = self._asked_card()
            card = card_of(answer)
        except (httpx.HTTPError, OSError, MessageError) as error:
            raise self.gone(f"{otherwise} ({told_of(error)})") from None
        changed = what_changed(self._first, card) if self._first else []
        if changed:
            raise ServiceError(
                f"the host {self.address.text} is not what it was when this run began: "
                f"{'; '.join(changed)}",
                fix="run the same command again, once both machines have the same software",
            )
        self.card = card
        return answer, card

    def gone(self, what: str) -> ServiceError:
        """Return the error of a cell whose host is not there any more."""
        return ServiceError(
            f"the host {self.address.text} is lost: {what}",
            fix="see that `compare host` runs there, and run the same command again: finished "
            "cells are kept",
        )

    def keep(self, server: Staying) -> None:
        """Tell the host about once a minute that a session is still wanted."""
        with self._lock:
            self._kept.append(server)

    def leave(self, server: Staying) -> None:
        """Do so no longer."""
        with self._lock:
            self._kept = [one for one in self._kept if one is not server]

    @contextlib.contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Tell the host nothing of its own accord while something is timed, and what is due after.

        What is under way is waited for before.
        """
        with self._telling:
            self._timed += 1
        try:
            yield
        finally:
            with self._telling:
                self._timed -= 1
            self._tell_if_due()

    def _stay(self) -> None:
        while not self._closed.wait(STAY_SECONDS / 4):
            self._tell_if_due()

    def _tell_if_due(self) -> None:
        """Say about once a minute that this driver and its sessions are there, unless timed.

        What goes wrong is told by a call.
        """
        with self._telling:
            since = time.monotonic() - self._told
            if since < (URGENT_SECONDS if self._timed else STAY_SECONDS):
                return
            self._told = time.monotonic()
            with self._word, contextlib.suppress(httpx.HTTPError, OSError, CompareError):
                if not self._closed.is_set() and self._served:
                    self._ask_to_serve(CONNECT_SECONDS)
            with self._lock:
                kept = list(self._kept)
            for server in kept:
                server.stay()

    def place(self, threads: int) -> tuple[str, ServerHost]:
        """Return on which machine servers run, and what a record says of it, measured now.

        Raises ServiceError.
        """
        way, card = self.measure(), self.card
        assert card is not None, "greet comes first"
        where = "same machine" if card.machine == machine_word() else "another machine"
        return where, ServerHost(
            machine=card.machine,
            environment=card.environment.model_copy(update={"threads": threads}),
            certificate=self.fingerprint,
            clock_offset_seconds=way.clock_offset,
            clock_uncertainty_seconds=way.clock_uncertainty,
            round_trip_seconds=list(way.round_trips),
        )

    def _asked_card(self) -> Answer:
        return exchange(
            *(self.http, "GET", HOST_PATH),
            most=MOST_CARD_BYTES,
            seconds=GREETING_SECONDS,
            kind=JSON,
        )

    def _shown_certificate(self) -> str:
        """Return the fingerprint of the certificate that the host shows; '' without TLS.

        Raises UsageError.
        """
        if not self.address.secure:
            return ""
        certificate = b""
        end = time.perf_counter() + GREETING_SECONDS
        with until(end), contextlib.suppress(httpx.HTTPError, OSError):
            request = self.http.build_request("GET", HOST_PATH)
            response = self.http.send(request, stream=True)
            try:
                stream = response.extensions.get("network_stream")
                channel = stream.get_extra_info("ssl_object") if stream is not None else None
                certificate = (channel.getpeercert(True) or b"") if channel else b""
            finally:
                response.close()
        if not certificate:
            raise UsageError(
                f"{self.address.text} did not show its certificate again",
                fix="see whether it still runs, and run the same command again",
            )
        return spelled_fingerprint(certificate)

    def close(self) -> None:
        """Tell the host, where it can be reached, that it may serve others; close connections."""
        self._closed.set()
        if self._served:
            self._served = False
            with self._word, contextlib.suppress(httpx.HTTPError, OSError, CompareError):
                path = f"{DRIVER_PATH}/{self.process}"
                exchange(self.http, "DELETE", path, seconds=CONNECT_SECONDS)
        self.http.close()
