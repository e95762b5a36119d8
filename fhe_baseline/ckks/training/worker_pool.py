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
from he_compare.fhe_baseline.ckks.training.shares import Unit, share_of, units, wants
from he_compare.fhe_baseline.ckks.training.worker import receive, send


class Pool:
    """``processes`` in all: this one computes share 0, one worker computes each of the others."""

    def __init__(self, circuit: Circuit, material: bytes, processes: int) -> None:
        self._circuit = circuit
        count = min(processes, len(units(circuit, 0)))
        self.share: list[Unit] = share_of(circuit, 0, count)
        self._others = [(share_of(circuit, number, count), _start()) for number in range(1, count)]
        for number, (_, process) in enumerate(self._others, start=1):
            self._send(process, [material, str(number).encode(), str(count).encode()])

    @property
    def size(self) -> int:
        """Workers beside this process."""
        return len(self._others)

    def add(self, address: Address, message: Message) -> None:
        """Hand an upload to every worker that needs it."""
        for share, process in self._others:
            if wants(share, address, self._circuit):
                self._send(process, [b"add", message])

    def ask(self, step: int, batch: int, ahead: list[Message]) -> None:
        """Have the workers begin with their partial gradients over a batch."""
        header = [b"gradients", str(step).encode(), str(batch).encode()]
        for _, process in self._others:
            self._send(process, [*header, *ahead])

    def answers(self) -> list[list[Message]]:
        """Return each worker's partial gradients, in the order of the workers."""
        found = []
        for _, process in self._others:
            try:
                answer = receive(cast(BinaryIO, process.stdout))
            except MessageError:
                answer = None
            if answer is None:
                raise CellError(f"a worker of the training server ended ({process.poll()})")
            found.append(answer)
        return found

    def _send(self, process: subprocess.Popen[bytes], messages: list[Message]) -> None:
        try:
            send(cast(BinaryIO, process.stdin), messages)
        except OSError:
            raise CellError(f"a worker of the training server ended ({process.poll()})") from None

    def close(self) -> None:
        """End the workers; they end by themselves when this process does."""
        for _, process in self._others:
            for stream in (process.stdin, process.stdout):
                if stream:
                    with contextlib.suppress(OSError):
                        stream.close()
            process.wait()


def _start() -> subprocess.Popen[bytes]:
    search = os.pathsep.join(entry for entry in sys.path if entry)
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "he_compare.fhe_baseline.ckks.training.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": search},
    )
