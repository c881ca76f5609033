"""Puts what functions write where the deployed ones would find it: into the log groups of the template.

As with CloudWatch this takes a moment: lines go in batches, from a thread of their own, so that nobody waits for them.
"""

from __future__ import annotations

import queue
import threading
import time
import uuid
from contextlib import contextmanager, suppress
from itertools import groupby
from typing import TYPE_CHECKING, Final, NamedTuple

from cdk.local.emulator import REGION, ROOT_KEY
from shared.edge.aws import LOGS, Aws, AwsUnavailableError
from shared.edge.settings import AwsSettings
from shared.edge.sigv4 import Credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

DELAY_SECONDS: Final = 0.3  # in which lines gather
MOST_LINES: Final = 1000  # of one call, well within CloudWatch's own bounds


class _Line(NamedTuple):
    group: str
    at: int
    text: str


@contextmanager
def shipping(endpoint: str, groups: Mapping[str, str]) -> Iterator[Callable[[str, str], None]]:
    """Take lines (function, text) for the length of the block; `groups` says where each function's lines belong.

    At the end of the block all have arrived, unless the emulator is gone.
    """
    shipper = _Shipper(endpoint, set(groups.values()))
    thread = threading.Thread(target=shipper.run, name="log groups", daemon=True)
    thread.start()

    def take(function: str, text: str) -> None:
        shipper.lines.put(_Line(groups[function], int(time.time() * 1000), text))

    try:
        yield take
    finally:
        shipper.ending.set()
        shipper.lines.put(None)
        thread.join()


class _Shipper:
    def __init__(self, endpoint: str, groups: set[str]) -> None:
        self.lines: queue.SimpleQueue[_Line | None] = queue.SimpleQueue()
        self.ending = threading.Event()
        self._aws = Aws(LOGS, AwsSettings(REGION, endpoint), lambda: Credentials(ROOT_KEY, ROOT_KEY, None))
        self._groups = groups
        self._stream = uuid.uuid4().hex

    def run(self) -> None:
        """Ship until told to end, and then what is left."""
        with suppress(AwsUnavailableError):  # at the end, where the emulator may be gone
            for group in sorted(self._groups):
                self._write("CreateLogStream", {"logGroupName": group, "logStreamName": self._stream})
            while self._next():
                self.ending.wait(DELAY_SECONDS)
        self._aws.drop()

    def _next(self) -> bool:
        """Ship one batch; returns False when it was the last."""
        batch = [self.lines.get()]
        while len(batch) < MOST_LINES and not self.lines.empty():
            batch.append(self.lines.get())
        lines = sorted((line for line in batch if line), key=lambda line: line.group)
        for group, chosen in groupby(lines, key=lambda line: line.group):
            events = [{"timestamp": line.at, "message": line.text} for line in chosen]
            request = {"logGroupName": group, "logStreamName": self._stream, "logEvents": events}
            self._write("PutLogEvents", request)
        return None not in batch

    def _write(self, action: str, request: Mapping[str, object]) -> None:
        """Call until it works or this run ends; what arrives twice is read like what arrives once."""
        while True:
            try:
                self._aws.write(action, request)
            except AwsUnavailableError:
                if self.ending.wait(DELAY_SECONDS):
                    raise
            else:
                return
