"""The members of an ensemble: chats that run at the same time, each admitted and settled as a request of its own.

What they share is guarded by one lock: the store's connection, the providers' secrets, the log. Each has connections to
providers of its own, which can be cut while it waits on them.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
from functools import partial, wraps
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec

from functions.pipeline import answered, prepared
from functions.reply import Reply
from shared.core import chat, errors
from shared.core.errors import GatewayError
from shared.core.pricing import usd
from shared.core.usage import to_openai
from shared.dialects.dialect import Dialect, Writer
from shared.edge.http import Http
from shared.edge.telemetry import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from functions.call import Call
    from functions.plane import Gateway
    from shared.core.chat import Chat
    from shared.core.usage import Usage

T = TypeVar("T")


class _Text(Writer):
    """Writes nothing but what the model says."""

    def __init__(self, _request: Chat) -> None:
        pass

    def whole(self, found: dict[str, Any], _usage: Usage) -> bytes:
        """Return the text of a whole answer."""
        return _said(found["choices"][0]["message"])

    def chunk(self, found: dict[str, Any]) -> bytes:
        """Return the text of a chunk."""
        return b"".join(_said(choice.get("delta") or {}) for choice in found.get("choices") or [])

    def end(self, _usage: Usage) -> bytes:
        """Return nothing."""
        return b""

    def failed(self, _error: Exception) -> bytes:
        """Return nothing: failures are told of the member."""
        return b""


_PLAIN = Dialect(chat.parse, _Text, errors.envelope)


class _Kept:
    """An `Out` that keeps what it gets."""

    def __init__(self) -> None:
        self.body = b""

    def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Take note of nothing: the headers are those of the whole."""

    def write(self, chunk: bytes) -> None:
        """Keep it."""
        self.body += chunk


@dataclass
class Member:
    """One chat on its way. Its thread alone writes here until it is in the line of those that have finished."""

    number: int
    call: Call
    gateway: Gateway
    text: str | None = None
    error: Exception | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None
    seconds: float = 0.0

    def prepare(self) -> None:
        """Find who can serve it, and what it may cost; raises as `pipeline.prepared` does."""
        prepared(self.call, self.gateway)

    def admit(self) -> None:
        """Reserve what it may cost; raises as `Gateway.admit` does."""
        self.gateway.admit(self.call)

    def ask(self, request: Chat) -> str:
        """Ask `request`, no longer than what was admitted, and wait for the answer; raises what went wrong."""
        self.call.request = streamed(request)
        finished: SimpleQueue[Member] = SimpleQueue()
        self.begin(finished)
        self.join()
        if self.text is None:
            raise self.error or AssertionError
        return self.text

    def begin(self, finished: SimpleQueue[Member]) -> None:
        """Ask, on a thread of its own; it joins `finished` in the end, settled."""
        self.thread = threading.Thread(target=self._run, args=(finished,), daemon=True)
        self.thread.start()

    def withdraw(self) -> None:
        """Settle what was admitted and will not be asked."""
        self.call.event.outcome = "cancelled"
        self.gateway.settle(self.call)
        self.gateway.telemetry.emit(self.call.event)

    def join(self) -> None:
        """Wait until it has ended and is settled."""
        if self.thread:
            self.thread.join()

    def cancel(self) -> None:
        """Cut the connection of one that has not finished, and let it make no further try."""
        if self.text is not None or self.error:
            return
        self.cancelled.set()
        self.call.given_up = True
        self.call.deadline = 0.0
        self.gateway.http.abort()

    def _run(self, finished: SimpleQueue[Member]) -> None:
        began = time.perf_counter()
        out = _Kept()
        reply = Reply(out, self.call.event)
        reply.dialect = _PLAIN
        try:
            answered(self.call, self.gateway, reply)
            self.text = out.body.decode()
        except Exception as error:  # noqa: BLE001 - told in the member's own part of the answer
            self.error = error
            if not isinstance(error, GatewayError):
                self.gateway.telemetry.fault(error, self.call.event.request_id)
        finally:
            self.seconds = time.perf_counter() - began
            self.gateway.telemetry.emit(self.call.event)
            self.gateway.http.drop()
            finished.put(self)

    def told(self) -> dict[str, Any]:
        """Return its part of the answer."""
        event = self.call.event
        status = "answered" if self.text is not None else "cancelled" if self.cancelled.is_set() else "failed"
        failure = errors.body(self.error) if self.error and status == "failed" else None
        return {
            "model": self.call.request.model,
            "provider": event.provider or None,
            "status": status,
            "answer": self.text,
            "error": failure,
            "latency_ms": round(self.seconds * 1000, 1),
            "usage": to_openai(event.usage, None),
            "cost_usd": None if event.cost is None else usd(event.cost),
        }


def enlist(number: int, request: Chat, parent: Call, gateway: Gateway, lock: threading.RLock) -> Member:
    """Make a member out of its request: a call with an id, a line in the log and connections of its own.

    It is streamed, so that what a member had said until it was cut off is known, and no more than that is charged.
    """
    told = parent.event
    event = Event(f"{told.request_id}.{number}", route=told.route, key_id=told.key_id, stream=True)
    endpoint = "" if number else parent.endpoint  # one request, however many members it has
    call = replace(parent, event=event, tries=[], results=[], endpoint=endpoint)
    call.request = streamed(request)
    cancelled = threading.Event()
    own = gateway._replace(
        http=Http(),
        admission=_guarded(gateway.admission, lock),
        directory=_guarded(gateway.directory, lock),
        providers=_guarded(gateway.providers, lock),
        telemetry=_guarded(gateway.telemetry, lock),
        pause=partial(_rest, cancelled),
    )
    return Member(number, call, own, cancelled=cancelled)


def streamed(request: Chat) -> Chat:
    """Return the same request for an answer in pieces."""
    return msgspec.structs.replace(request, raw={**request.raw, "stream": True}, stream=True)


def _rest(cancelled: threading.Event, seconds: float) -> None:
    cancelled.wait(seconds)


def _guarded(inner: T, lock: threading.RLock) -> T:
    return cast("T", _Guarded(inner, lock))


class _Guarded:
    """Stands for `inner`, of which no two threads may use a method at once, but a method may call another."""

    def __init__(self, inner: object, lock: threading.RLock) -> None:
        self._inner = inner
        self._lock = lock

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._inner, name)

        @wraps(method)
        def guarded(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - the method's own
            with self._lock:
                return method(*arguments, **options)

        return guarded


def _said(message: Mapping[str, Any]) -> bytes:
    return str(message.get("content") or message.get("refusal") or "").encode()
