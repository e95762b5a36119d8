"""Commands that are killed before each of their file operations, and what the same command heals.

``CrashPlace.count`` runs a command once and says how many file operations it has; ``crash`` kills
it before one of them, runs the same command again until it ends, and says what is not as if nothing
had happened. Everything lies below one folder, caches and keys included.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from he_compare.common.files import EARLIER, TEMPORARY
from he_compare.common.run.folder_claim import LOCK, SHARED_FILES
from he_compare.common.temporary_folders import FOLDERS
from tools.soak.aftermath import finished_lines
from tools.soak.crash_commands import CRASHING, RUN, invent
from tools.soak.warm import Warm, WarmOrder

# How often the same command may be needed until it ends, and how long its processes may outlive it.
TRIES, ORPHAN_SECONDS = 2, 5.0


@dataclass(frozen=True)
class Crashed:
    """What came of a kill. ``reached``: whether there was one; else the command had ended before.

    ``problems``: lines that begin with "lost: ", "redone: ", "doubled: ", "left: " or "blocked: ".
    """

    reached: bool
    problems: tuple[str, ...]


class CrashPlace:
    """A folder in which commands are killed. ``starts``: where the states lie that they start from.

    Several places may share those once they are made (``prepare``).
    """

    def __init__(self, folder: Path, starts: Path, environment: Mapping[str, str]) -> None:
        """``environment``: of the commands, besides their own folders."""
        self._folder, self._starts = folder, starts
        self._more = dict(environment)
        self._warm = Warm(environment)
        for place in (folder, starts):
            place.mkdir(parents=True, exist_ok=True)

    def close(self) -> None:
        """End the process that forks commands."""
        self._warm.close()

    def count(self, command: str) -> int:
        """Return how many file operations a command has that is not disturbed.

        Raises RuntimeError where it does not end well.
        """
        log = self._folder / f"{command}.operations"
        log.unlink(missing_ok=True)
        state = self._fresh(command)
        self._must(CRASHING[command].words, state, log)
        shutil.rmtree(state)
        return len(log.read_text().splitlines())

    def crash(self, command: str, point: int) -> Crashed:
        """Kill a command before an operation, and run it again until it ends."""
        words, state = CRASHING[command].words, self._fresh(command)
        code, said = self._try(words, state, at=point)
        told = [f"left: running: {one}" for one in self._warm.left_after(ORPHAN_SECONDS)]
        if code != -signal.SIGKILL:
            told += [f"blocked: exit code {code} without a kill: {said}"] if code else []
            return Crashed(False, _named(told, command, point))
        kept = finished_lines(state / RUN)
        for _ in range(TRIES):
            code, said = self._try(words, state)
            if code == 0:
                break
        else:
            told.append(f"blocked: exit code {code}: {said}")
            return Crashed(True, _named(told, command, point))
        told += CRASHING[command].judge(state, lambda more: self._wrong(more, state))
        counts = finished_lines(state / RUN)
        told += [f"lost: cell {one}" for one in sorted(kept.keys() - counts.keys())]
        told += [f"redone: cell {one}" for one in sorted(kept) if counts[one] > kept[one]]
        told += [f"left: {one}" for one in _left(state)]
        told += [f"left: running: {one}" for one in self._warm.left_after(ORPHAN_SECONDS)]
        shutil.rmtree(state)
        return Crashed(True, _named(told, command, point))

    def prepare(self, command: str) -> None:
        """Make the state that a command starts from, once."""
        start = self._starts / command
        if start.is_dir():
            return
        making = self._starts / f"{command}-making"
        shutil.rmtree(making, ignore_errors=True)
        invent(making)
        for words in CRASHING[command].before:
            self._must(words, making)
        making.rename(start)

    def _fresh(self, command: str) -> Path:
        """Return a copy of the state that a command starts from."""
        self.prepare(command)
        state = self._folder / "state"
        shutil.rmtree(state, ignore_errors=True)
        shutil.copytree(self._starts / command, state)
        return state

    def _try(
        self, words: str, state: Path, *, at: int = 0, log: Path | None = None
    ) -> tuple[int, str]:
        """Run a command; return its exit code and its last words."""
        output = self._folder / "output.txt"
        code = self._warm.run(
            WarmOrder(
                words.split(),
                str(state),
                self._environment(state),
                str(output),
                [str(state)] if at or log else [],
                at,
                str(log or ""),
            )
        )
        return code, _last_words(output.read_bytes())

    def _must(self, words: str, state: Path, log: Path | None = None) -> None:
        code, said = self._try(words, state, log=log)
        if code:
            raise RuntimeError(f"compare {words}: exit code {code}: {said}")

    def _wrong(self, words: str, state: Path) -> str:
        code, said = self._try(words, state)
        return f"exit code {code}: {said}" if code else ""

    def _environment(self, state: Path) -> dict[str, str]:
        return self._more | {
            "XDG_CACHE_HOME": str(state / "cache"),
            "XDG_CONFIG_HOME": str(state / "config"),
            "TMPDIR": str(state / "temporary"),
        }


def _named(lines: list[str], command: str, point: int) -> tuple[str, ...]:
    return tuple(f"{line} ({command} killed at {point})" for line in lines)


def _last_words(error: bytes) -> str:
    lines = error.decode(errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else "no words"


def _left(state: Path) -> list[str]:
    """Name what a killed command left and the next one did not remove."""
    found = []
    for path in state.rglob("*"):
        name = path.name
        ours = TEMPORARY.fullmatch(name) or EARLIER.fullmatch(name) or name.startswith(FOLDERS)
        locks = name in (LOCK, SHARED_FILES) or (name.startswith(".") and name.endswith("lock"))
        if ours or (locks and "images" not in path.parent.name):
            found.append(path.relative_to(state).as_posix())
    return sorted(found)
