"""Fills Valkey with callers who are active, and finds out how much of all this one server can do and hold."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from hiredis import pack_command

from shared.core.catalog import Tier
from shared.core.policies import policy
from shared.core.pricing import Worst
from shared.core.shares import Share
from shared.edge.admission import Admission, Ask, Bound, connect
from shared.edge.store import Store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cdk.local.valkey import Valkey
    from shared.edge.store import Script

    Command = tuple[str | int, ...]

BATCH: Final = 10_000
FIRST: Final = "key:default-first"
PIPELINED: Final = 200  # commands on their way at once
ROUNDS: Final = 20
_COPY: Final = """
for number = ARGV[2], ARGV[3] do
  for _, kind in ipairs({"policy", "rate", "spend"}) do
    redis.call("COPY", "{default}:" .. kind .. ":" .. ARGV[1], "{default}:" .. kind .. ":key:default-other" .. number)
  end
end
"""
_pack: Any = pack_command
MODELS: Final = (Bound("m", Worst(10, 1, 5)),)
SHARES: Final = (Share(9, 1, 3, 4, 0, "m"),)


class Crowd:
    """Callers with the limits of the pro tier: one that has asked, and copies of all that the store holds of it."""

    REQUESTS: Final = 10

    def __init__(self, valkey: Valkey) -> None:
        self._client: Any = valkey.client()
        self._client.set("{default}:open", 1)
        self._present = 1
        self.bytes_each = 0.0
        admission = Admission(connect(valkey.host, valkey.port))
        admission.tell("default", FIRST, 1, policy({}, Tier(600, 0, 0, 50)))
        for number in range(self.REQUESTS):
            grant = admission.admit(asked := Ask("default", (FIRST,), f"fill-{number}", 60, MODELS))
            admission.settle(asked, grant, 9, {"outcome": "ok", "prompt": 3, "completion": 4, "models": SHARES})
        admission.drop()

    def grow(self, present: int) -> None:
        """Make it so many callers."""
        before, added = self._bytes(), present - self._present
        while self._present < present:
            last = min(present, self._present + BATCH)
            self._client.eval(_COPY, 0, FIRST, self._present, last - 1)
            self._present = last
        if added:
            self.bytes_each = (self._bytes() - before) / added

    def _bytes(self) -> int:
        return int(self._client.info("memory")["used_memory"])


class Kept(Store):
    """Keeps what would be run instead of running it, once it has been run."""

    kept: list[Command]

    def run(self, script: Script, keys: Sequence[str], arguments: Sequence[str | int], *, again: bool = False) -> Any:
        """Run it, and keep it."""
        self.kept.append(("EVALSHA", script.digest, len(keys), *keys, *arguments))
        return super().run(script, keys, arguments, again=again)


def throughput(valkey: Valkey, asked: Ask, used: Mapping[str, str | int]) -> tuple[float, float]:
    """Return how many admissions a second one server makes, and how many with their settlements, always being busy."""
    connection = connect(valkey.host, valkey.port)
    connection.socket_timeout = 30
    admission = Admission(connection)
    admission._store = store = Kept(connection)
    store.kept = []
    model = asked._replace(request_id="MODEL")
    admission.settle(model, admission.admit(model), 9, used)
    admit, settle = store.kept
    alone = _rate(connection, [_numbered([admit], number) for number in range(PIPELINED * ROUNDS)])
    both = _rate(connection, [_numbered([admit, settle], -number - 1) for number in range(PIPELINED * ROUNDS)])
    admission.drop()
    return alone, both


def _numbered(commands: Sequence[Command], number: int) -> bytes:
    """Return the commands of one request with an id of its own."""
    return b"".join(
        _pack(tuple(part.replace("MODEL", f"m{number}") if isinstance(part, str) else part for part in command))
        for command in commands
    )


def _rate(connection: Any, requests: list[bytes]) -> float:
    """Send them, so many at once that the server never waits for us; return the best requests per second of a batch."""
    each = requests[0].count(b"EVALSHA")
    rates = []
    for start in range(0, len(requests), PIPELINED):
        batch = requests[start : start + PIPELINED]
        began = time.perf_counter()
        connection.send_packed_command([b"".join(batch)])
        for _ in range(len(batch) * each):
            connection.read_response()
        rates.append(len(batch) / (time.perf_counter() - began))
    return max(rates)
