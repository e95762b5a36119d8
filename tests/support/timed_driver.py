"""Times messages to a host: ``python -m tests.support.timed_driver ADDRESS FOLDER SIDE COUNT``.

``FOLDER`` holds the host's token and authority. Sends COUNT images of SIDE x SIDE pixels one by one
to an echo server there, and prints the network seconds, bytes and round trips as JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from he_compare.common.clock import Clock
from he_compare.common.service.host_address import parse_host_address
from he_compare.common.service.remote import RemoteServer
from he_compare.common.service.remote_host import RemoteHost
from he_compare.common.service.secret_files import read_token_file
from he_compare.common.service.tls_contexts import driver_context
from he_compare.common.service.wire import pack
from he_compare.common.types import Per, Side, Stage

WARM_UP = 4


def main() -> None:
    """Send, and print what it took."""
    address, folder, side, count = sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:5])
    host = RemoteHost(
        parse_host_address(address),
        read_token_file(folder / "token"),
        driver_context(folder / "authority.pem"),
        driver="timed",
        process="1",
        call_seconds=120,
    )
    way = host.greet(["echo"])
    material = pack({}, {"behaviour": "answer"})
    server = RemoteServer(host, "echo", material, Clock(Side.CLIENT), threads=1)
    message = pack({"image": np.zeros((side, side, 3), np.uint8)})
    for _ in range(WARM_UP):
        server.call("infer", [message], Clock(Side.CLIENT))
    before = server.traffic["infer"].upload + server.traffic["infer"].download
    clock = Clock(Side.CLIENT)
    for _ in range(count):
        server.call("infer", [message], clock)
    after = server.traffic["infer"].upload + server.traffic["infer"].download
    told = {
        "network": clock.samples[Stage.NETWORK, Side.NETWORK, Per.BATCH],
        "bytes": (after - before) / count,
        "round_trips": way.round_trips,
        "clock_offset": way.clock_offset,
    }
    print(json.dumps(told))
    server.close()
    host.close()


if __name__ == "__main__":
    main()
