"""``python -m tools.soak``: kill, crash, bombard, edit, start and flip, and print what held.

Every part is tried as often as is asked for, with everything drawn from the seed. Outcomes are kept
in the folder: the same command goes on where it was stopped, and more of the same can be asked for.
Outcomes of other code are not counted, unless --carry-over is given and says how many those are.
Exit code 0 where all figures are reached, 1 where one is missed or the time was over before.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from he_compare.common.environment import fingerprint_environment, usable_cores
from tools.soak.cache_flips import CacheFlips
from tools.soak.campaign import Conditions, Part, Tried, go_through
from tools.soak.edits import Added, Edits
from tools.soak.figures import Report, printed
from tools.soak.kills import Kills, Signals
from tools.soak.ledger import SHORT, STATE, Stopped, code_digest
from tools.soak.room import adopt_orphans
from tools.soak.starts import Starts

ALL = "all"
EXIT_REACHED, EXIT_MISSED, EXIT_STOPPED = 0, 1, 2


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(prog="python -m tools.soak", description=__doc__)
    counts = (
        ("kills", 6, "SIGKILL of driver, server, child, worker, scheduler, host; runs are resumed"),
        ("signals", 3, "SIGTERM, SIGINT and SIGHUP to the driver; runs are resumed"),
        ("messages", 20_000, "hostile messages to all server halves, public material included"),
        ("flips", 2000, "one-bit flips of CKKS uploads"),
        ("edits", 100, "single-byte edits of a fresh and an audited run"),
        ("added", 20, "files removed from these runs or added to them"),
        ("starts", 10, "simultaneous starts in one folder; some more while it changes hands"),
        ("cache-flips", 500, "bit flips of cached features; images and artefacts on top"),
    )
    for name, default, text in counts:
        help_text = f"{text} (default: {default:,})"
        made.add_argument(f"--{name}", type=_count, default=default, metavar="N", help=help_text)
    made.add_argument(
        "--crash-points",
        type=_points,
        default=10,
        metavar="N",
        help="crashes before file operations of run, encrypt, decrypt, rotate, report, score; a "
        "number, or all (default: 10)",
    )
    made.add_argument("--seed", type=_count, default=1, help="of everything drawn (default: 1)")
    made.add_argument(
        "--only", nargs="+", choices=sorted(PARTS), metavar="PART", help=_parts_help()
    )
    made.add_argument(
        "--targets", nargs="+", metavar="NAME", help="only these server halves (default: all)"
    )
    made.add_argument("--run", type=Path, metavar="RUN", help="finished run to edit a copy of")
    made.add_argument(
        "--carry-over", action="store_true", help="count outcomes of other code as well, and say so"
    )
    made.add_argument("--json", type=Path, metavar="FILE", help="write all figures and faults")
    made.add_argument("--out", type=Path, default=Path("soak"), help="folder (default: soak)")
    made.add_argument(
        "--jobs",
        type=int,
        default=min(usable_cores(), 4),
        help="units beside each other, where they do not disturb each other (default: the cores)",
    )
    made.add_argument(
        "--minutes", type=float, default=math.inf, help="begin nothing new after so many"
    )
    return made


def _parts_help() -> str:
    return f"only these: {', '.join(PARTS)}"


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is less than 0")
    return value


def _points(text: str) -> int | None:
    return None if text == ALL else _count(text)


def _kills(asked: argparse.Namespace, place: Path) -> Part:
    return Kills(place, asked.seed, asked.kills)


def _signals(asked: argparse.Namespace, place: Path) -> Part:
    return Signals(place, asked.seed, asked.signals)


def _crashes(asked: argparse.Namespace, place: Path) -> Part:
    from tools.soak.crashes import Crashes

    return Crashes(place, asked.seed, asked.crash_points)


def _messages(asked: argparse.Namespace, place: Path) -> Part:
    from tools.soak.messages import Messages

    return Messages(place, asked.seed, asked.messages, asked.targets)


def _flips(asked: argparse.Namespace, place: Path) -> Part:
    from tools.soak.messages import Flips

    return Flips(place, asked.seed, asked.flips, asked.targets)


def _edits(asked: argparse.Namespace, place: Path) -> Part:
    return Edits(place, asked.seed, asked.edits, asked.run)


def _added(asked: argparse.Namespace, place: Path) -> Part:
    return Added(place, asked.seed, asked.added, asked.run)


def _starts(asked: argparse.Namespace, place: Path) -> Part:
    return Starts(place, asked.seed, asked.starts)


def _cache(asked: argparse.Namespace, place: Path) -> Part:
    return CacheFlips(place, asked.seed, asked.cache_flips)


# By the name of --only: how often it is asked for, and how it is made.
PARTS: dict[str, tuple[str, Callable[[argparse.Namespace, Path], Part]]] = {
    "kills": ("kills", _kills),
    "signals": ("signals", _signals),
    "crashes": ("crash_points", _crashes),
    "messages": ("messages", _messages),
    "flips": ("flips", _flips),
    "edits": ("edits", _edits),
    "added": ("added", _added),
    "starts": ("starts", _starts),
    "cache": ("cache_flips", _cache),
}


def wanted(asked: argparse.Namespace) -> list[Part]:
    """Return the parts that are asked for, at least once each."""
    return [
        make(asked, asked.out / name)
        for name, (count, make) in PARTS.items()
        if (asked.only is None or name in asked.only) and getattr(asked, count) != 0
    ]


def soak(parts: Sequence[Part], asked: argparse.Namespace) -> list[Tried]:
    """Go through the parts one after the other. Raises Stopped where one cannot be tried."""
    under = Conditions(
        state=asked.out / STATE,
        code=code_digest(),
        deadline=time.monotonic() + 60 * asked.minutes,
        jobs=max(1, asked.jobs),
        carry_over=asked.carry_over,
    )
    return [go_through(part, under) for part in parts]


def reached(tried: Sequence[Tried]) -> bool:
    """Say whether everything was tried and every figure is reached."""
    return all(not one.left and all(f.held for f in one.report.figures) for one in tried)


def as_json(tried: Sequence[Tried], asked: argparse.Namespace) -> str:
    """Return what came of it, with the environment it was found in."""
    reports: list[Report] = [one.report for one in tried]
    content = {
        "seed": asked.seed,
        "code": code_digest(),
        "environment": fingerprint_environment(1).model_dump(mode="json"),
        "tried": [asdict(line) for one in reports for line in one.lines],
        "figures": [asdict(figure) for one in reports for figure in one.figures],
        "faults": [line for one in reports for line in one.faults],
        "units_left": sum(one.left for one in tried),
        "units_of_other_code": {one.name: one.carried for one in tried if one.carried},
        "reached": reached(tried),
    }
    return json.dumps(content, indent=2) + "\n"


def main() -> int:
    """Soak, print the tables, and return the exit code."""
    asked = parser().parse_args()
    asked.out = asked.out.resolve()
    asked.out.mkdir(parents=True, exist_ok=True)
    adopt_orphans()
    try:
        tried = soak(wanted(asked), asked)
    except Stopped as reason:
        print(f"stopped: {reason}", file=sys.stderr)
        return EXIT_STOPPED
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        return 130
    print(printed([one.report for one in tried]))
    print(f"\nOf code {code_digest()[:SHORT]}, seed {asked.seed}.")
    for one in tried:
        if one.carried:
            print(f"Of {one.name}, {one.carried:,} units were done by other code and are counted.")
    left = sum(one.left for one in tried)
    if left:
        print(f"\nThe time was over: {left:,} units are left. The same command goes on.")
    if asked.json:
        asked.json.write_text(as_json(tried, asked))
    return EXIT_REACHED if reached(tried) else EXIT_MISSED


if __name__ == "__main__":
    sys.exit(main())
