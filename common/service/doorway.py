"""Who may keep a connection: those who have shown the token, and a few who have not yet.

Whoever reaches the port may connect. A connection is a stranger's until a whole header on it has
held the token, so that all who never say a word are strangers, those in a handshake of TLS
included. Strangers have a small number of places of their own. Where they are all taken, the one
goes that has waited longest, of the address with most of them. Connections that have shown the
token have places that no stranger can take.

A connection that was shown out has memory until it is closed, so that only a few may be on their
way out: until then nobody is let in, and who comes waits in the queue of the system.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

# What the application finds in the state of a request: the connection that it came over.
VISIT = "visit"
MOST_KNOWN, MOST_STRANGERS, MOST_LEAVING = 64, 32, 32
# One that is not closed by then is waited for no longer: nobody may keep the door shut.
LEAVING_SECONDS = 1.0
# The part of an address of IPv6 that one network has for itself.
OWN_BITS = 64


@dataclass(eq=False)
class Visit:
    """One connection, for the application. ``open``: it has not been lost.

    ``shown``: to be called at every request that holds the token. ``process``: the word of the
    process at its other end, as that process says it; '' where it says none.
    """

    shown: Callable[[], None]
    open: bool = True
    process: str = ""


@dataclass(eq=False)
class _Guest:
    """``end``: closes the connection at once; None as long as nobody serves it."""

    connection: socket.socket
    origin: str
    end: Callable[[], None] | None = None

    @property
    def descriptor(self) -> int:
        return self.connection.fileno()

    @property
    def is_there(self) -> bool:
        return self.descriptor >= 0


class Doorway:
    """The connections of one listener; for one event loop."""

    def __init__(self, most_known: int = MOST_KNOWN, most_strangers: int = MOST_STRANGERS) -> None:
        self._most_known, self._most_strangers = most_known, most_strangers
        self._strangers: list[_Guest] = []  # in the order in which they came
        self._known: list[_Guest] = []  # the one that said nothing for longest first
        self._leaving: list[tuple[_Guest, float]] = []  # and when each is waited for no longer
        self.shown_out = 0

    @property
    def is_clear(self) -> bool:
        """Whether another connection may come in now: few of those shown out are still there."""
        now = time.monotonic()
        self._leaving = [(one, end) for one, end in self._leaving if one.is_there and now < end]
        return len(self._leaving) < MOST_LEAVING

    def enter(self, connection: socket.socket, address: str) -> None:
        """Let a stranger in; another one goes where there are too many."""
        self._strangers = [one for one in self._strangers if one.is_there]
        self._strangers.append(_Guest(connection, _origin(address)))
        if len(self._strangers) > self._most_strangers:
            self._show_out(self._strangers, self._least_welcome())

    def serve(self, descriptor: int, end: Callable[[], None]) -> None:
        """Note that a connection is served; ``end`` closes it without waiting for the other end."""
        for one in self._strangers:
            if descriptor == one.descriptor:
                one.end = end

    def know(self, descriptor: int) -> None:
        """Take a connection, by its descriptor, for one that has just shown the token."""
        found = [one for one in self._strangers + self._known if descriptor == one.descriptor]
        for one in found:
            self._strangers = [other for other in self._strangers if other is not one]
            self._known = [other for other in self._known if other.is_there and other is not one]
            self._known.append(one)
        if len(self._known) > self._most_known:
            self._show_out(self._known, self._known[0])

    def _least_welcome(self) -> _Guest:
        crowd = Counter(one.origin for one in self._strangers).most_common(1)[0][0]
        return next(one for one in self._strangers if one.origin == crowd)

    def _show_out(self, guests: list[_Guest], one: _Guest) -> None:
        """Shut a connection down: whoever serves it sees its end, and closes it."""
        guests.remove(one)
        self.shown_out += 1
        self._leaving.append((one, time.monotonic() + LEAVING_SECONDS))
        with contextlib.suppress(OSError):
            one.connection.shutdown(socket.SHUT_RDWR)
        if one.end is not None:
            one.end()


def _origin(address: str) -> str:
    """Return an address without the part that its owner chooses freely."""
    try:
        number = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(number, ipaddress.IPv4Address):
        return address
    network = ipaddress.IPv6Network((int(number), OWN_BITS), strict=False)
    return str(number.ipv4_mapped or network)
