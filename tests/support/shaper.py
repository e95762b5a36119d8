"""A slow link in user space: ``python -m tests.support.shaper A B BITS ROUND_TRIP MTU``.

Joins two network namespaces by two TUN devices, and hands each packet from one to the other after
the time that a link of that speed and length takes: packets leave one after the other at BITS a
second in each direction, and arrive half of ROUND_TRIP seconds later. Nothing is lost, as long as
less than QUEUE_BYTES wait. It prints a line when the link is up, and ends with its standard input.
For machines without netem(8) in their kernel.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import fcntl
import os
import select
import struct
import subprocess
import sys
import time

DEVICE = "shaped0"
ADDRESSES = ("10.77.0.1", "10.77.0.2")
QUEUE_BYTES = 64_000_000
LARGEST = 65_536
# Of a wait for the next packet that is due, the end is spent looking: a sleep is not that exact.
EXACT_SECONDS = 0.0003
_NEW_NETWORK = 0x40000000
_SET_INTERFACE, _TUN, _NO_HEADER = 0x400454CA, 0x0001, 0x1000


def enter(namespace: str) -> None:
    """Move this thread into a network namespace (setns(2)). Raises OSError."""
    handle = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(handle, _NEW_NETWORK) != 0:
            raise OSError(ctypes.get_errno(), f"setns {namespace}")
    finally:
        os.close(handle)


def open_device(namespace: str, address: str, mtu: int) -> int:
    """Make a TUN device with an address in a namespace; return its descriptor. Raises OSError."""
    enter(namespace)
    handle = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(handle, _SET_INTERFACE, struct.pack("16sH", DEVICE.encode(), _TUN | _NO_HEADER))
    for words in (
        f"link set dev {DEVICE} mtu {mtu} txqueuelen 10000",
        f"addr add {address}/24 dev {DEVICE}",
        f"link set dev {DEVICE} up",
        "link set dev lo up",
    ):
        subprocess.run(["ip", *words.split()], check=True, capture_output=True)
    return handle


class OneWay:
    """Packets on their way from one device to the other."""

    def __init__(self, source: int, target: int, bits: float, delay: float) -> None:
        self._source, self._target = source, target
        self._bits, self._delay = bits, delay
        self._free = 0.0
        self._waiting: collections.deque[tuple[float, bytes]] = collections.deque()
        self._bytes = 0

    def take(self) -> None:
        """Take in what the source has sent."""
        while True:
            try:
                packet = os.read(self._source, LARGEST)
            except BlockingIOError:
                return
            now = time.perf_counter()
            if self._bytes + len(packet) > QUEUE_BYTES:
                continue
            self._free = max(self._free, now) + 8 * len(packet) / self._bits
            self._waiting.append((self._free + self._delay, packet))
            self._bytes += len(packet)

    def hand_on(self) -> None:
        """Hand on what is due."""
        while self._waiting and self._waiting[0][0] <= time.perf_counter():
            _, packet = self._waiting.popleft()
            self._bytes -= len(packet)
            try:
                os.write(self._target, packet)
            except OSError:
                continue

    @property
    def due(self) -> float:
        """When the next packet is due, by the performance counter; infinity for none."""
        return self._waiting[0][0] if self._waiting else float("inf")


def shape(first: int, second: int, bits: float, round_trip: float) -> None:
    """Join two devices until standard input ends."""
    ways = (
        OneWay(first, second, bits, round_trip / 2),
        OneWay(second, first, bits, round_trip / 2),
    )
    while True:
        left = min(way.due for way in ways) - time.perf_counter()
        wait = min(max(left - EXACT_SECONDS, 0.0), 1.0)
        readable, _, _ = select.select([first, second, sys.stdin], [], [], wait)
        if sys.stdin in readable:
            return
        for way in ways:
            way.take()
            way.hand_on()


def main() -> None:
    """Make the link and keep it."""
    names, (bits, round_trip, mtu) = sys.argv[1:3], map(float, sys.argv[3:6])
    devices = [
        open_device(name, address, int(mtu)) for name, address in zip(names, ADDRESSES, strict=True)
    ]
    # A wire does not wait for a processor: neither does this, on a machine that does other work.
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    print("up", flush=True)
    shape(devices[0], devices[1], bits, round_trip)


if __name__ == "__main__":
    main()
