"""Talking to providers: keep-alive HTTP/1.1, and nothing waited for past the request's deadline.

Sockets and TLS are the standard library's; what comes back is taken apart by llhttp (through httptools), the parser to
which Node.js trusts the open internet. One deadline holds for a whole exchange: urllib3's timeouts are per `recv`, and
an upstream that trickles a byte a second never meets them. Nothing is unpacked, no redirect followed, and neither a
proxy nor anything else in the environment heeded.
"""

from __future__ import annotations

import math
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from shared.core.errors import UpstreamTimeout, UpstreamUnavailable
from shared.edge.answer import SEND_SECONDS, Answer, HungUpError
from shared.edge.wire import Wire, verifying

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from shared.edge.resolver import Resolver
    from shared.providers.adapter import HttpRequest

CONNECT_SECONDS = 2.0  # a target that is not there is told from a slow one by that
IDLE_SECONDS = 50.0  # of wall time: NAT forgets a connection after 350 s, many servers after 60 s

_TARGET_SPACES = 2  # in a request line


class _Origin(NamedTuple):
    host: str
    port: int
    tls: bool


class Http:
    """Sends requests and keeps connections. Not for two threads."""

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        *,
        tls: Callable[[], ssl.SSLContext] | None = None,
        names: Resolver | None = None,
    ) -> None:
        """`clock` is wall time: a monotonic one stands still while Lambda has frozen the process.

        `tls` makes a context that trusts others than the system's authorities; `names` says where hosts are, instead
        of the process's own resolver.
        """
        self._clock = clock
        self._names = names
        self._tls = tls or verifying
        self._idle: dict[_Origin, list[Wire]] = {}
        self._used = 0.0
        self._wires: list[Wire] = []  # of the exchange that is under way, or was the last one
        self._over = False

    def post(
        self, request: HttpRequest, patience: float, connect: float = CONNECT_SECONDS, first: float = math.inf
    ) -> Answer:
        """Send `request` and return once the head of the answer is here; the whole of it may take `patience` seconds.

        Of these, at most `connect` seconds may pass until there is a connection, and `first` until the first bytes of
        the answer's body are here.

        An idle connection that its peer closes while the request is on its way is replaced, once; not where the peer
        may have had all of the request, for then it may have acted upon it, and bill it. That is a failure like others.

        Raises:
            UpstreamUnavailable: nothing was sent, or not all of it has arrived, so nothing was billed.
            UpstreamTimeout: the head did not come in time.
            UpstreamError: the connection broke, or what came is no HTTP answer, or a redirect, or compressed.
        """
        self._begin_exchange()
        ends = _ends(patience, first)
        origin, data = _rendered(request)
        idle = self._idle.setdefault(origin, [])
        answer = None
        if wire := _sound(idle):
            with suppress(HungUpError):
                answer = _sent(self._watched(wire), data, ends, idle).opened()
        if answer is None:
            wire = self._opened(origin, min(connect, patience))
            answer = _sent(self._watched(wire), data, ends, idle).opened()
        self._used = self._clock()
        return answer

    def begin(
        self,
        request: HttpRequest,
        patience: float,
        connect: float = CONNECT_SECONDS,
        first: float = math.inf,
        *,
        beside: bool = False,
    ) -> Answer:
        """Send `request` as `post` does, and wait for nothing; perhaps `beside` another one that is under way.

        Raises:
            UpstreamUnavailable: nothing was sent, so nothing was billed.
            UpstreamTimeout: it was not taken in time.
        """
        if not beside:
            self._begin_exchange()
        ends = _ends(patience, first)
        origin, data = _rendered(request)
        idle = self._idle.setdefault(origin, [])
        known = _sound(idle)
        wire = known or self._opened(origin, min(connect, patience))
        self._used = self._clock()
        answer = _sent(self._watched(wire), data, ends, idle)
        answer.reused = known is not None
        return answer

    def _begin_exchange(self) -> None:
        if self._clock() - self._used > IDLE_SECONDS:
            self.drop()
        self._wires.clear()

    def drop(self) -> None:
        """Close every idle connection."""
        for idle in self._idle.values():
            while idle:
                idle.pop().close()

    def abort(self) -> None:
        """Break off what is under way, from another thread, and let nothing follow."""
        self._over = True
        for wire in list(self._wires):
            wire.cut()

    @property
    def given_up(self) -> bool:
        """Whether `abort` was called."""
        return self._over

    def _watched(self, wire: Wire) -> Wire:
        """Have `abort` find the wire, whichever of the two comes first."""
        self._wires.append(wire)
        if self._over:
            wire.close()
            raise UpstreamUnavailable("The request was given up before it was sent.")
        return wire

    def _opened(self, origin: _Origin, seconds: float) -> Wire:
        host, port, secure = origin
        try:
            return Wire.open(host, port, seconds, self._tls() if secure else None, self._names)
        except (OSError, ValueError) as error:  # a name that can be none is a ValueError
            raise UpstreamUnavailable("The provider could not be reached.") from error


def _sound(idle: list[Wire]) -> Wire | None:
    """Take an idle connection on which nothing has come since: that could only be its end."""
    while idle:
        wire = idle.pop()
        if not wire.readable():
            return wire
        wire.close()
    return None


def _ends(patience: float, first: float) -> tuple[float, float]:
    now = time.monotonic()
    return now + patience, now + min(first, patience)


def _sent(wire: Wire, data: bytes, ends: tuple[float, float], idle: list[Wire]) -> Answer:
    answer = Answer(wire, *ends, idle)
    try:
        wire.send(data, min(*ends, time.monotonic() + SEND_SECONDS))
    except TimeoutError as error:
        if not wire.readable():
            wire.close()
            raise UpstreamTimeout("The provider did not take the request in time.") from error
        answer.partial = True
    except OSError:
        answer.partial = True  # it takes no more, perhaps with an answer that says why: reading tells
    return answer


def _rendered(request: HttpRequest) -> tuple[_Origin, bytes]:
    """Return whom to ask, and what, in one piece: two would be two packets, and would wake the other side twice.

    Raises:
        UpstreamUnavailable: something in it would break out of its line.
    """
    url = urlsplit(request.url)
    tls = url.scheme == "https"
    query = f"?{url.query}" if url.query else ""
    lines = [f"{request.method} {url.path or '/'}{query} HTTP/1.1", f"host: {url.netloc}"]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    lines += [f"content-length: {len(request.body)}", "accept-encoding: identity", "", ""]
    try:
        head = "\r\n".join(lines).encode("ascii")
        origin = _Origin(url.hostname or "", url.port or (443 if tls else 80), tls)
    except ValueError as error:
        raise UpstreamUnavailable("The provider's address or key holds what HTTP cannot carry.") from error
    breaks = len(lines) - 1
    if head.count(b"\n") != breaks or head.count(b"\r") != breaks or lines[0].count(" ") != _TARGET_SPACES:
        raise UpstreamUnavailable("The provider's address or key holds what HTTP cannot carry.")
    return origin, head + request.body
