"""Ctrl-C, SIGTERM and SIGHUP, once and again, wherever the command is."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable

import psutil
import pytest

from tests.support.command import as_started_by_a_shell, environment, only_line

# A command that does not load what a run loads: it says where it is, and does as it is told there.
COMMAND = """
import os, subprocess, sys, threading, time
import typer
from he_compare.comparisons.cli import app, signals

def at(place):
    print(place, flush=True)

@app.app.command("work")
def work():
    nowhere = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    child = subprocess.Popen(["sleep", "60"], start_new_session=True, **nowhere)
    print(child.pid, flush=True)
    {body}

sys.argv = ["compare", "work"]
app.main()
"""
BODIES = {
    "computing": """
    at("here")
    while True: pass
    """,
    "waiting for a child": """
    try:
        at("here")
        child.wait()
    finally:
        child.kill()
    """,
    "waiting for a thread": """
    at("here")
    threading.Event().wait()
    """,
    "in a destructor": """
    class Slow:
        def __del__(self):
            at("here")
            end = time.monotonic() + 5
            while time.monotonic() < end: pass
    one = Slow()
    del one
    at("after")
    time.sleep(60)
    """,
    "where everything is caught once": """
    try:
        at("here")
        time.sleep(60)
    except BaseException:
        pass
    at("here")
    time.sleep(60)
    """,
}
CLOSING = """
    try:
        at("here")
        time.sleep(60)
    finally:
        at("closing")
        child.wait()
        at("closed")
    """
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def working(
    body: str, before: Callable[[], None] = as_started_by_a_shell
) -> tuple[subprocess.Popen[str], int]:
    """Start the command; return it and the pid of its child."""
    code = COMMAND.format(body=textwrap.indent(textwrap.dedent(body), "    ").strip())
    process = started(code, before)
    assert process.stdout
    return process, int(process.stdout.readline())


def started(code: str, before: Callable[[], None] = as_started_by_a_shell) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=before,
    )


def wait_for(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout
    for line in process.stdout:
        if line.strip() == word:
            return
    raise AssertionError(f"ended before {word!r}: {process.communicate()}")


def end_child(pid: int) -> None:
    if psutil.pid_exists(pid):
        psutil.Process(pid).kill()


@pytest.mark.parametrize(
    ("place", "number"),
    [
        *(("computing", number) for number in STOPS),
        ("waiting for a child", signal.SIGTERM),
        ("waiting for a thread", signal.SIGINT),
        ("in a destructor", signal.SIGHUP),
        ("where everything is caught once", signal.SIGTERM),
    ],
)
def test_every_signal_ends_the_command_wherever_it_is(place: str, number: int) -> None:
    process, child = working(BODIES[place])
    try:
        wait_for(process, "here")
        process.send_signal(number)
        if place == "where everything is caught once":
            wait_for(process, "here")
            process.send_signal(number)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
        end_child(child)
    assert process.returncode == 128 + number
    by = "" if number == signal.SIGINT else f" by {signal.Signals(number).name}"
    assert only_line(said) == f"interrupted{by}; run the same command again to resume"


LOADING = """
import sys, time

class Slow:
    def find_spec(self, name, *rest):
        if name == "typer":
            print("here", flush=True)
            time.sleep(60)

sys.meta_path.insert(0, Slow())
from he_compare.comparisons.cli.entry import main
main()
"""


def test_a_signal_while_the_command_is_loaded_ends_it_likewise() -> None:
    number, process = signal.SIGINT, started(LOADING)
    try:
        wait_for(process, "here")
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 128 + number and only_line(said).startswith("interrupted")


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_another_signal_ends_what_closing_waits_for_and_closing_goes_on(second: int) -> None:
    process, child = working(CLOSING)
    try:
        wait_for(process, "here")
        process.send_signal(signal.SIGTERM)
        wait_for(process, "closing")
        for _ in range(3):
            process.send_signal(second)
            time.sleep(0.05)
        out, said = process.communicate(timeout=30)
    finally:
        process.kill()
        end_child(child)
    assert (process.returncode, out.strip()) == (143, "closed")
    assert only_line(said).startswith("interrupted by SIGTERM")
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == "zombie"


SHARING = """
import multiprocessing, time
from he_compare.comparisons.cli.signals import end_children

spawn = multiprocessing.get_context("spawn")
shared, child = spawn.Semaphore(1), spawn.Process(target=time.sleep, args=(60,))
child.start()
end_children()
child.join(30)
print(child.exitcode)
del shared
"""


def test_what_multiprocessing_counts_with_is_left_to_end_by_itself() -> None:
    with started(SHARING) as process:
        assert process.communicate(timeout=60) == ("-9\n", "")


def test_closing_that_never_ends_is_given_up() -> None:
    body = """
    signals.CLOSING_SECONDS = 0.5
    try:
        at("here")
        time.sleep(60)
    finally:
        threading.Event().wait()
    """
    process, child = working(body)
    try:
        wait_for(process, "here")
        process.send_signal(signal.SIGHUP)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
        end_child(child)
    assert process.returncode == 129 and only_line(said).startswith("interrupted by SIGHUP")


def test_a_signal_while_the_process_ends_does_not_change_its_code() -> None:
    body = """
    import atexit
    atexit.register(time.sleep, 1)
    atexit.register(at, "here")
    """
    process, child = working(body)
    try:
        wait_for(process, "here")
        for number in STOPS:
            process.send_signal(number)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
        end_child(child)
    assert (process.returncode, said) == (0, "")


def test_what_was_ignored_when_it_was_started_stays_ignored() -> None:
    """As nohup does for SIGHUP, and a shell script for Ctrl-C of what it starts with &."""

    def ignore() -> None:
        as_started_by_a_shell()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    process, child = working(BODIES["computing"], ignore)
    try:
        wait_for(process, "here")
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert process.poll() is None
        process.terminate()
        process.communicate(timeout=30)
    finally:
        process.kill()
        end_child(child)
    assert process.returncode == 143
