"""Asks the lines of a batch: each is served by the gateway's own code, as a request of the key that made the batch.

So whatever holds for requests holds for lines. Several are asked at once, each by a gateway of its own, for a gateway
serves one request at a time.
"""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from functions.gateway import serve
from shared.core import batches
from shared.core.batches import Heard
from shared.core.wire import decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from functions.plane import Gateway
    from shared.core.batches import Row

AT_ONCE: Final = 8
LINE_SECONDS: Final = 300.0  # that one may take
SHORT_SECONDS: Final = 5.0  # a wait that is not worth a message
_SHORT_WAITS: Final = 20  # of one line, then it takes a message after all


class Job(NamedTuple):
    """Whose lines they are; of each `turn` of work the ids of requests differ, and within one they never do."""

    id: str
    caller: Mapping[str, str]
    address: str
    turn: int

    def request_id(self, number: int, asked: int) -> str:
        """Name the request of a line, which was asked so often before: the same again if the process has died."""
        return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self.id} {number} {self.turn} {asked}"))


class Said(NamedTuple):
    """What lines were answered, by their numbers, and for how many seconds to wait before the others are asked."""

    heard: dict[int, Heard]
    wait: float | None


@dataclass
class _Context:
    """What the gateway knows of an invocation."""

    aws_request_id: str
    until: float  # monotonic seconds

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds that the line may take."""
        return int((self.until - time.monotonic()) * 1000)


class _Kept:
    """An `Out` that keeps what it gets."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = bytearray()

    def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Keep status and headers."""
        self.status, self.headers = status, dict(headers)

    def write(self, chunk: bytes) -> None:
        """Keep a chunk."""
        self.body += chunk


class Asking:
    """Asks lines with `gateways`, as many at once as there are of those."""

    def __init__(self, gateways: Sequence[Gateway], pause: Callable[[float], None] = time.sleep) -> None:
        self._free: SimpleQueue[Gateway] = SimpleQueue()
        for gateway in gateways:
            self._free.put(gateway)
        self._count = len(gateways)
        self._pause = pause

    def ask(self, job: Job, rows: Sequence[Row]) -> Said:
        """Ask all; when one of them has to wait for long, those are left out that were not begun."""
        waits: list[float] = []
        with ThreadPoolExecutor(self._count) as pool:
            found = list(pool.map(lambda row: self._line(job, row, waits), rows))
        heard = {row.number: one for row, one in zip(rows, found, strict=True) if one is not None}
        return Said(heard, max(waits) if waits else None)

    def _line(self, job: Job, row: Row, waits: list[float]) -> Heard | None:
        """Ask one line until it has an answer, or must wait for long: then `waits` says so to the others."""
        gateway, asked = self._free.get(), 0
        try:
            for _ in range(_SHORT_WAITS):
                if waits:
                    return None
                heard = _heard(job, row, job.request_id(row.number, asked), gateway)
                pause = batches.wait(heard)
                if pause is None:
                    return heard
                if pause > SHORT_SECONDS:
                    waits.append(pause)
                    return None
                asked += batches.is_settled(heard)
                self._pause(pause)
            waits.append(SHORT_SECONDS)
            return None
        finally:
            self._free.put(gateway)


def _heard(job: Job, row: Row, request_id: str, gateway: Gateway) -> Heard:
    event: dict[str, Any] = {
        "resource": row.url,
        "path": row.url,
        "httpMethod": "POST",
        "headers": {},
        "requestContext": {"authorizer": dict(job.caller), "identity": {"sourceIp": job.address}},
        "body": encode(row.body).decode(),
        "isBase64Encoded": False,
    }
    kept = _Kept()
    serve(event, _Context(request_id, time.monotonic() + LINE_SECONDS), kept, gateway)
    return Heard(kept.status, kept.headers, decode(bytes(kept.body)), request_id)
