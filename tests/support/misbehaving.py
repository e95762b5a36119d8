"""In the place of a bombarded process: it answers, dies, hangs and fails at known messages."""

from __future__ import annotations

import json
import os
import signal
import sys
import time

DIES, HANGS, FAILS, LEAKS = 3, 5, 7, 9


def main() -> None:
    """Send the lines of a bombarded process; see ``tools.soak.bombarded``."""
    order = json.loads(sys.stdin.readline())
    print("#wait\n#good 1 0.0 0.0\n#go", flush=True)
    for number in range(order["start"], order["count"]):
        if number == DIES:
            os.kill(os.getpid(), signal.SIGABRT)
        if number == HANGS:
            time.sleep(600)
        fate = "uncaught ZeroDivisionError" if number == FAILS else "refused"
        print(f"{number}\t{fate}\tinfer\t{number // 2:016x}\tcut", flush=True)
        print(f"#rss {number} {(1000 if number == LEAKS else 100) << 20}", flush=True)
    print(f"#wait\n#alive {order['seed']}", flush=True)


if __name__ == "__main__":
    main()
