"""Two network namespaces with a link between them, of a speed and a length that a test chooses."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.repository import ROOT
from tests.support.shaper import ADDRESSES

# Few packets a second are enough for the fastest link, so that a process can hand them on.
USUAL_MTU, LARGE_MTU, FAST = 1500, 60_000, 200e6


@dataclass(frozen=True)
class ShapedLink:
    """``driver``, ``host``: the namespaces; ``host_address``: of the host as the driver sees it."""

    driver: str
    host: str
    host_address: str = ADDRESSES[1]

    def inside(self, namespace: str) -> tuple[str, ...]:
        """Return the words that run a command in a namespace."""
        return ("ip", "netns", "exec", namespace)


def why_no_link() -> str:
    """Return why no such link can be made here; '' where it can."""
    if sys.platform != "linux":
        return "network namespaces are of Linux"
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "ip (iproute2) is not installed"
    if not Path("/dev/net/tun").exists():
        return "there is no /dev/net/tun"
    try:
        with shaped_link(1e9, 0.0):
            return ""
    except (OSError, subprocess.SubprocessError, RuntimeError) as error:
        told = getattr(error, "stderr", "") or error
        return f"no namespaces or TUN devices here: {str(told).strip()[:200]}"


@contextlib.contextmanager
def shaped_link(bits_per_second: float, round_trip: float) -> Iterator[ShapedLink]:
    """Make namespaces and a link, and remove them again. Raises OSError, RuntimeError."""
    names = [f"compare-{side}-{os.getpid()}" for side in ("driver", "host")]
    mtu = LARGE_MTU if bits_per_second > FAST else USUAL_MTU
    with contextlib.ExitStack() as stack:
        for name in names:
            subprocess.run(["ip", "netns", "add", name], check=True, capture_output=True, text=True)
            stack.callback(_remove, name)
        shaper = subprocess.Popen(
            [sys.executable, "-m", "tests.support.shaper", *names]
            + [str(bits_per_second), str(round_trip), str(mtu)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        stack.callback(_end, shaper)
        assert shaper.stdout is not None and shaper.stderr is not None
        if shaper.stdout.readline().strip() != "up":
            raise RuntimeError(shaper.stderr.read().strip().splitlines()[-1:] or "no link")
        yield ShapedLink(*names)


def _remove(namespace: str) -> None:
    subprocess.run(["ip", "netns", "del", namespace], check=False, capture_output=True)


def _end(shaper: subprocess.Popen[str]) -> None:
    assert shaper.stdin is not None
    shaper.stdin.close()
    try:
        shaper.wait(5)
    except subprocess.TimeoutExpired:
        shaper.kill()
        shaper.wait(5)
