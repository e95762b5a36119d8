"""The further processes of a training server: started, fed with their data, asked, and ended."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from typing import BinaryIO, cast

from he_compare.common.errors import CellError, MessageError
from he_compare.common.types import Message
from he_compare.fhe_baseline.ckks.training.circuit import Circuit
from he_compare.fhe_baseline.ckks.training.messages import Address
from he_compare.fhe_baseline.ckks.training.shares import ProcessShare, useful_processes
from he_compare.fhe_baseline.ckks.training.worker import receive, send


class Pool:
    """``processes`` in all: this one computes share 0, one worker computes each of the others."""

    def __init__(self, circuit: Circuit, material: bytes, processes: int) -> None:
        self._count = useful_processes(circuit, processes)
        self._circuit, self._material = circuit, material
        self.share = ProcessShare(circuit, 0, self._count)
        self._others: list[tuple[ProcessShare, subprocess.Popen[bytes]]] = []
        self._asked = False

    @property
    def size(self) -> int:
        """Workers beside this process."""
        return self._count - 1

    def _begun(self) -> list[tuple[ProcessShare, subprocess.Popen[bytes]]]:
        """Return the workers, which start when there is something for them: public material alone,
        of a few hundred bytes, starts no process."""
        if len(self._others) < self.size:
            count = str(self._count).encode()
            for number in range(len(self._others) + 1, self._count):
                share, process = ProcessShare(self._circuit, number, self._count), _start()
                self._others.append((share, process))
                self._send(process, [self._material, str(number).encode(), count])
        return self._others

    def key(self, message: Message) -> None:
        """Hand an evaluation key to every worker."""
        for _, process in self._begun():
            self._send(process, [b"key", message])

    def add(self, address: Address, message: Message) -> None:
        """Hand an upload to every worker that needs it."""
        for share, process in self._begun():
            if share.wants(address):
                self._send(process, [b"add", message])

    def require_sound(self) -> None:
        """Refuse where a worker has ended, or still holds answers to a step that failed.

        Raises CellError.
        """
        for _, process in self._others:
            if process.poll() is not None:
                raise _ended(process)
        if self._asked:
            raise CellError("a step failed half way: its workers still hold answers to it")

    def ask(self, verb: str, where: tuple[int, int, int], messages: list[Message]) -> None:
        """Have the workers begin; ``where``: stretch, step and batch."""
        self.require_sound()
        self._asked = True
        header = [verb.encode(), *(str(number).encode() for number in where)]
        for _, process in self._others:
            self._send(process, [*header, *messages])

    def answers(self) -> list[list[Message]]:
        """Return what each worker computed, in the order of the workers."""
        found = []
        for _, process in self._others:
            try:
                answer = receive(cast(BinaryIO, process.stdout))
            except MessageError:
                answer = None
            if answer is None:
                raise _ended(process)
            found.append(answer)
        self._asked = False
        return found

    def _send(self, process: subprocess.Popen[bytes], messages: list[Message]) -> None:
        try:
            send(cast(BinaryIO, process.stdin), messages)
        except OSError:
            raise _ended(process) from None

    def close(self) -> None:
        """End the workers; they end by themselves when this process does."""
        for _, process in self._others:
            for stream in (process.stdin, process.stdout):
                if stream:
                    with contextlib.suppress(OSError):
                        stream.close()
            process.wait()


def _ended(process: subprocess.Popen[bytes]) -> CellError:
    return CellError(f"a worker of the training server ended ({process.poll()})")


def _start() -> subprocess.Popen[bytes]:
    search = os.pathsep.join(entry for entry in sys.path if entry)
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "he_compare.fhe_baseline.ckks.training.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": search},
    )
