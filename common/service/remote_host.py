"""A host on another machine as the driver sees it: who it is, its clock, and the way to it.

Everything is asked before a run starts: certificates, the token, version, source code, pipelines.
What is wrong is said by name.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import statistics
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

import httpx

from he_compare.common.errors import CompareError, MessageError, ServiceError, UsageError
from he_compare.common.machine import is_clock_off, machine_word
from he_compare.common.run.records import ServerHost
from he_compare.common.service.answer import (
    CONNECT_SECONDS,
    Answer,
    error_words,
    exchange,
)
from he_compare.common.service.deadlines import EndingTransport
from he_compare.common.service.host_card import (
    MOST_CARD_BYTES,
    HostCard,
    card_here,
    read_card,
    what_host_lacks,
)
from he_compare.common.service.tls_contexts import (
    CLIENT_FILES,
    is_loopback,
    spelled_fingerprint,
    tls_problem,
)

HOW = "https://HOST:PORT"
HOST_PATH = "/v1/host"
GREETING_SECONDS = 20.0
GREETINGS, PINGS = 15, 9
# A connection whose other end vanished without a word is given up after about a minute.
PROBE_AFTER, PROBE_EVERY, PROBES = 30, 10, 3
# A session that is heard of once a minute is not taken for one whose driver is gone.
STAY_SECONDS = 60.0
JSON = "application/json"


class Staying(Protocol):
    """What tells a host that it is still wanted."""

    def stay(self) -> None:
        """Tell it; raises nothing."""
        ...


@dataclass(frozen=True)
class HostAddress:
    """Where a host is. ``text``: as it was given."""

    text: str
    secure: bool
    name: str
    port: int


@dataclass(frozen=True)
class WayToHost:
    """Round trips in seconds, and how far the host's clock is ahead, in seconds, give or take."""

    round_trips: tuple[float, ...]
    clock_offset: float
    clock_uncertainty: float

    @property
    def clock_is_off(self) -> bool:
        """Whether the clocks differ by more than can be explained."""
        return is_clock_off(self.clock_offset, self.clock_uncertainty)


def parse_host_address(text: str) -> HostAddress:
    """Read ``https://HOST:PORT``; plain HTTP is for this machine alone. Raises UsageError."""
    try:
        parts = urlsplit(text)
        name, port = parts.hostname, parts.port
    except ValueError:
        raise UsageError(f"--host {text!r} is no address", fix=f"pass --host {HOW}") from None
    rest = parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc
    if parts.scheme not in ("http", "https") or not name or not port or rest:
        raise UsageError(f"--host {text!r} is no address of a host", fix=f"pass --host {HOW}")
    if parts.scheme == "http" and not is_loopback(name):
        raise UsageError(
            f"--host {text} is neither encrypted nor authenticated",
            fix=f"start `compare host` with a certificate, and pass --host https://{parts.netloc}",
        )
    return HostAddress(text.rstrip("/"), parts.scheme == "https", name, port)


class RemoteHost:
    """A host that was greeted: one client of HTTP for all sessions with it.

    ``driver``: how this side names itself to it; ``process``: a word of this process. It has the
    token, so it is never printed, written or sent on.
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
        self.address = address
        self.driver = driver
        self.process = process
        self.call_seconds = call_seconds
        self.http = httpx.Client(
            base_url=address.text,
            headers={"authorization": f"Bearer {token}", "accept-encoding": "identity"},
            timeout=httpx.Timeout(call_seconds, connect=CONNECT_SECONDS),
            transport=EndingTransport(
                verify=context if context is not None else False,
                # A connection that is closed between two images costs three round trips.
                limits=httpx.Limits(max_connections=16, keepalive_expiry=None),
                socket_options=_patience(),
            ),
            follow_redirects=False,
            trust_env=False,
        )
        self._kept: list[Staying] = []
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._keeper: threading.Thread | None = None
        self.card: HostCard | None = None
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
        self.card = card = self._asked()
        lacks = what_host_lacks(card, card_here(), pipelines)
        if lacks:
            raise UsageError(
                f"{self.address.text} cannot serve this run: {'; '.join(lacks)}",
                fix="install the same version of he-compare and of its packages on both machines",
            )
        if card.driver and card.driver != self.driver:
            raise UsageError(
                f"{self.address.text} is used by {card.driver!r} and serves one driver at a time",
                fix="wait until it has ended, or use another host",
            )
        self.fingerprint = self._shown_certificate()
        return self.measure(GREETINGS)

    def _asked(self) -> HostCard:
        """Return what the host says of itself. Raises UsageError."""
        where = self.address.text
        try:
            answer = self._get(HOST_PATH, GREETING_SECONDS)
        except httpx.TimeoutException:
            raise UsageError(
                f"{where} does not answer in time", fix="see whether it runs, and the firewall"
            ) from None
        except (httpx.HTTPError, OSError) as error:
            problem = tls_problem(error, where)
            if problem is not None:
                raise problem from None
            if self.address.secure and isinstance(
                error, httpx.RemoteProtocolError | httpx.ReadError
            ):
                raise UsageError(
                    f"{where} ends the connection without a word: it wants a certificate of this "
                    "side, or does not accept the one that it was shown",
                    fix=f"pass {CLIENT_FILES} of the authority that the host was given as "
                    "--client-ca, in their time; or see what runs there",
                ) from None
            raise UsageError(
                f"{where} cannot be reached: {_short_reason(error)}",
                fix="start `compare host` there, and see whether address and firewall are right",
            ) from None
        except MessageError as error:
            raise UsageError(
                f"what answers at {where} is no `compare host`: {error.problem}",
                fix="see what listens there",
            ) from None
        if answer.status in (401, 403):
            raise UsageError(
                f"{where} does not accept the token of --token-file",
                fix="copy the token file of the host to this machine again",
            )
        try:
            if answer.status != httpx.codes.OK:
                raise MessageError(f"status {answer.status}, {error_words(answer)}")
            return read_card(answer.body)
        except MessageError as error:
            raise UsageError(
                f"what answers at {where} is no `compare host` of this version: {error.problem}",
                fix="install the same version of he-compare on both machines",
            ) from None

    def measure(self, count: int = PINGS) -> WayToHost:
        """Ask for the host's clock ``count`` times, as NTP does (RFC 5905, section 8).

        The offset is that of the shortest round trip, and uncertain by half of it. Raises
        ServiceError.
        """
        trips: list[tuple[float, float]] = []
        for number in range(count + 1):
            sent = time.time()
            try:
                answer = self._get(HOST_PATH, GREETING_SECONDS)
                if answer.status != httpx.codes.OK:
                    raise MessageError(f"status {answer.status}, {error_words(answer)}")
                card = read_card(answer.body)
            except (httpx.HTTPError, OSError, MessageError) as error:
                told = error.problem if isinstance(error, CompareError) else _short_reason(error)
                raise self.gone(f"it did not tell its clock ({told})") from None
            if self.card and (card.machine, card.source) != (self.card.machine, self.card.source):
                raise self.gone("another machine or other code answers there now")
            self.card = card
            if number:  # the first one may have made the connection
                trips.append((answer.elapsed, card.time - (sent + answer.elapsed / 2)))
        shortest, offset = min(trips)
        return WayToHost(tuple(trip for trip, _ in trips), offset, shortest / 2)

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
            if self._keeper is None:
                self._keeper = threading.Thread(target=self._stay, daemon=True)
                self._keeper.start()

    def leave(self, server: Staying) -> None:
        """Do so no longer."""
        with self._lock:
            self._kept = [one for one in self._kept if one is not server]

    def _stay(self) -> None:
        while not self._closed.wait(STAY_SECONDS):
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

    def _get(self, path: str, seconds: float) -> Answer:
        return exchange(self.http, "GET", path, most=MOST_CARD_BYTES, seconds=seconds, kind=JSON)

    def _shown_certificate(self) -> str:
        """Return the fingerprint of the certificate that the host shows; '' without TLS."""
        if not self.address.secure:
            return ""
        certificate = b""
        with contextlib.suppress(httpx.HTTPError, OSError):
            request = self.http.build_request("GET", HOST_PATH)
            response = self.http.send(request, stream=True)
            try:
                stream = response.extensions.get("network_stream")
                channel = stream.get_extra_info("ssl_object") if stream is not None else None
                certificate = (channel.getpeercert(True) or b"") if channel else b""
            finally:
                response.close()
        return spelled_fingerprint(certificate) if certificate else ""

    def close(self) -> None:
        """Close the connections."""
        self._closed.set()
        self.http.close()


def way_words(way: WayToHost) -> str:
    """Say on one line how far away a host is."""
    typical = 1e3 * statistics.median(way.round_trips)
    return (
        f"round trip {typical:.1f} ms (median of {len(way.round_trips)}, "
        f"least {1e3 * min(way.round_trips):.1f} ms)"
    )


def clock_words(way: WayToHost) -> str:
    """Say that the clock of a host is off; '' where it is not."""
    if not way.clock_is_off:
        return ""
    side = "ahead of" if way.clock_offset > 0 else "behind"
    return (
        f"the clock of the host is {abs(way.clock_offset):.1f} s {side} this machine's: times of "
        "day differ, durations do not; certificates may seem expired or not valid yet"
    )


def _patience() -> list[tuple[int, int, int]]:
    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    wanted = (
        ("TCP_KEEPIDLE", PROBE_AFTER),
        ("TCP_KEEPINTVL", PROBE_EVERY),
        ("TCP_KEEPCNT", PROBES),
        ("TCP_USER_TIMEOUT", 1000 * (PROBE_AFTER + PROBE_EVERY * PROBES)),
    )
    for name, value in wanted:
        if hasattr(socket, name):
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    return options


def _short_reason(error: BaseException) -> str:
    words = " ".join(str(error).split())[:200]
    return words or type(error).__name__
