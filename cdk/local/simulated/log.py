"""The call log: what really reached the provider. Load runs and billing tests take it as the truth."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

KEPT = 200_000  # calls; older ones leave the list, never the totals
_SHOWN = (
    "accept",
    "accept-encoding",
    "content-type",
    "traceparent",
    "user-agent",
    "x-client-request-id",
    "x-forwarded-for",
    "x-request-id",
    "x-stainless-retry-count",
)


@dataclass(slots=True)
class Call:
    """One call, written down when it arrives and completed when it ends. Times are epoch seconds."""

    number: int
    path: str
    headers: dict[str, str]
    other_headers: list[str]
    body_sha256: str
    body_bytes: int
    began_at: float
    id: str = ""  # the x-request-id this provider answered with
    tag: str = ""
    model: str = ""
    stream: bool = False
    status: int = 0
    outcome: str = "open"  # then: answered, failed, lied, cut, client_gone
    frames: int = 0  # SSE frames that left
    body: str = ""  # if the knob `keep_body` asks for it
    usage: dict[str, Any] = field(default_factory=dict)  # of the complete answer, whatever was told to the client
    ended_at: float = 0


class Log:
    """All calls since the start or the last `clear`."""

    def __init__(self) -> None:
        self._calls: deque[Call] = deque(maxlen=KEPT)
        self._numbers = 0
        self._count = 0

    def open(self, path: str, headers: Mapping[str, str], body: bytes) -> Call:
        """Write down a call that just arrived; the key is kept as its last four characters."""
        self._numbers += 1
        self._count += 1
        shown = {name: headers[name] for name in _SHOWN if name in headers}
        if "authorization" in headers:
            shown["authorization"] = f"...{headers['authorization'][-4:]}"
        other = sorted(headers.keys() - shown.keys())
        digest = hashlib.sha256(body).hexdigest()
        call = Call(self._numbers, path, shown, other, digest, len(body), time.time())
        call.id = f"req_simulated_{self._numbers:012x}"
        self._calls.append(call)
        return call

    def clear(self) -> None:
        """Forget all calls; numbers go on, so that ids never repeat."""
        self._calls.clear()
        self._count = 0

    def report(self, tag: str = "") -> dict[str, Any]:
        """Return the calls (all, or those with `tag`) and their sums."""
        calls = [call for call in self._calls if not tag or call.tag == tag]
        return {
            "count": len(calls) if tag else self._count,
            "open": sum(call.outcome == "open" for call in calls),
            "prompt_tokens": sum(call.usage.get("prompt_tokens", 0) for call in calls),
            "completion_tokens": sum(call.usage.get("completion_tokens", 0) for call in calls),
            "calls": [asdict(call) for call in calls],
        }
