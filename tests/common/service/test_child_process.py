"""A child that is closed while it is asked: nothing is written where its pipe has been."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from he_compare.common.service.child_process import ChildEndedError, ChildOptions, ChildProcess

WORDS = b"BYTES OF ANOTHER SESSION"


@pytest.fixture
def child(echo: str, tmp_path: Path) -> Iterator[ChildProcess]:
    made = ChildProcess(ChildOptions(echo, 1), tmp_path / "child", 1 << 20)
    yield made
    made.close()


def test_a_pipe_that_was_closed_is_not_written_to(child: ChildProcess, tmp_path: Path) -> None:
    begun, closed = threading.Event(), threading.Event()
    told: list[str] = []

    def pieces() -> Iterator[bytes]:
        yield b"a" * 10
        begun.set()
        closed.wait(20)  # as where the next part is read from a slow disk
        yield WORDS

    def ask() -> None:
        try:
            child.ask({"order": "load"}, pieces(), 10 + len(WORDS))
        except ChildEndedError as error:
            told.append(error.problem)

    asking = threading.Thread(target=ask)
    asking.start()
    assert begun.wait(30)
    number = child._orders
    child.close()
    # Take the numbers that are free up to that of the pipe, as other sessions do.
    taken = [os.open(tmp_path / "other", os.O_RDWR | os.O_CREAT)]
    while taken[-1] < number:
        taken.append(os.dup(taken[0]))
    closed.set()
    asking.join(20)
    assert not asking.is_alive() and told == ["it was stopped"]
    assert (tmp_path / "other").read_bytes() == b""
    for one in taken:
        os.close(one)


def test_a_child_that_was_closed_is_asked_no_more(child: ChildProcess) -> None:
    child.close()
    child.close()
    with pytest.raises(ChildEndedError, match="it was stopped"):
        child.ask({"order": "status"})


def test_closing_from_many_threads_while_asking_leaves_no_descriptor(
    echo: str, tmp_path: Path
) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(4):
        made = ChildProcess(ChildOptions(echo, 1), tmp_path / f"{number}", 1 << 20)

        def ask(one: ChildProcess = made) -> None:
            with pytest.raises(ChildEndedError):
                while True:
                    one.ask({"order": "status"})

        threads = [threading.Thread(target=ask), threading.Thread(target=made.close)]
        for one in threads:
            one.start()
        made.close()
        for one in threads:
            one.join(30)
        assert not any(one.is_alive() for one in threads)
        made._listener.join(10)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
