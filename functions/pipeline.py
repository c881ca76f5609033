"""The way of one request, top to bottom: who can serve it, may it pass, ask them in turn, push what they say, settle.

Chunks are pushed outwards. Whatever ends the exchange (the last chunk, a provider's failure, a client that has gone,
the deadline) passes through the one `with` that settles; the very last bytes of an answer leave after that.
"""

from __future__ import annotations

import random
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from shared.core.chat import Chat
from shared.core.errors import UpstreamFailed, UpstreamUnavailable, outcome
from shared.core.routing import candidates
from shared.edge.response import ClientGone
from shared.providers.registry import adapter_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from functions.plane import Call, Gateway
    from functions.reply import Reply
    from shared.core.catalog import Kind
    from shared.core.routing import Candidate
    from shared.edge.http import Answer
    from shared.providers.adapter import Adapter

T = TypeVar("T")

DONE = b"data: [DONE]\n\n"
TRIES = 3
# Of the pause before asking the same target again, doubled each time; the actual one is random below it.
BASE_SECONDS = 1.0
LONGEST_PAUSE = 2.0  # whoever wants us to wait longer has refused
LEAST_SECONDS = 0.5  # with less time left no further try is made
UNAUTHORIZED, FIRST_REFUSAL = 401, 400


def complete(call: Call, gateway: Gateway, reply: Reply) -> None:
    """Serve one chat completion, streamed or whole, or one list of embeddings; settle it exactly once.

    Raises:
        GatewayError: it cannot be served, or not to its end; `reply.fail` says so in the way that is still possible.
        ClientGone: the client does not read any more.
    """
    targets = candidates(call.request.model, _kind(call), gateway.catalog, gateway.providers.configured())
    call.event.model = call.request.model
    reply.headers.update(gateway.admit(call).headers())
    with settled(call, gateway):
        last = _first_success(targets, call, gateway, reply)
    send = reply.push if call.event.stream else reply.whole
    send(last)


@contextmanager
def settled(call: Call, gateway: Gateway) -> Iterator[None]:
    """Settle an admitted call when the block ends, however it ends."""
    call.event.outcome = "aborted"  # what stays if the process is told to end
    try:
        yield
        call.event.outcome = "ok"
    except ClientGone:
        call.event.outcome = "client_gone"
        raise
    except Exception as error:
        call.event.outcome = outcome(error)
        raise
    finally:
        gateway.settle(call)


def _first_success(targets: list[Candidate], call: Call, gateway: Gateway, reply: Reply) -> bytes:
    """Ask the targets in turn, then the same ones again; nothing is repeated once a chunk has left."""
    for number in range(TRIES):
        call.event.tries = number + 1
        try:
            return _exchange(targets[number % len(targets)], call, gateway, reply)
        except UpstreamFailed as error:
            if reply.started or not error.failover or number + 1 == TRIES:
                raise
            _rest_before(number + 1, len(targets), error, call, gateway)
    raise AssertionError  # the last try returns or raises


def _rest_before(number: int, targets: int, error: UpstreamFailed, call: Call, gateway: Gateway) -> None:
    """Go on at once to a target not asked yet, wait with full jitter before asking one again, or give up: `error`."""
    rounds = number // targets
    wanted = error.retry_after if rounds and error.retry_after else 0.0
    pause = max(wanted, random.uniform(0, BASE_SECONDS * 2 ** (rounds - 1))) if rounds else 0.0  # noqa: S311 - jitter
    if wanted > LONGEST_PAUSE or call.left() - pause < LEAST_SECONDS:
        raise error
    if pause:
        _waited(call, partial(gateway.pause, pause))


def _exchange(candidate: Candidate, call: Call, gateway: Gateway, reply: Reply) -> bytes:
    """Have one target answer; returns the bytes that may leave only after the settlement."""
    adapter = adapter_for(candidate.provider.dialect, _kind(call))(call.request, *candidate, call.moment)
    call.event.provider = candidate.provider.name
    with _accepted(adapter, candidate, call, gateway) as answer:
        adapter.check(answer.head)
        if not call.event.stream:
            return adapter.reply(_waited(call, answer.whole))
        while not adapter.done and (data := _waited(call, answer.read)):
            reply.push(adapter.chunk(data))
        return adapter.end() + DONE


def _kind(call: Call) -> Kind:
    return "chat" if isinstance(call.request, Chat) else "embedding"


def _accepted(adapter: Adapter, candidate: Candidate, call: Call, gateway: Gateway) -> Answer:
    """Send the request; an answer outside 2xx is raised as the error it is.

    A secret that is refused may have been rotated: it is read again, and if it is another one now, that is tried, once.
    """
    secret = gateway.providers.secret(candidate.provider)
    answer = _sent(adapter, secret, call, gateway)
    if answer.head.status == UNAUTHORIZED and (secret := gateway.providers.renewed(candidate.provider, secret)):
        answer.close()
        call.billed.pop()
        answer = _sent(adapter, secret, call, gateway)
    if answer.head.status < FIRST_REFUSAL:
        return answer
    call.billed.pop()  # refused
    with answer:
        raise adapter.error(answer.head, answer.start_of())


def _sent(adapter: Adapter, secret: str, call: Call, gateway: Gateway) -> Answer:
    """Send the request and wait for the head of the answer; from the moment it may have arrived, its tokens count."""
    call.billed.append(adapter)
    try:
        return _waited(call, lambda: gateway.http.post(adapter.request(secret), call.left()))
    except UpstreamUnavailable:
        call.billed.pop()  # it did not arrive
        raise


def _waited(call: Call, wait: Callable[[], T]) -> T:
    """Note how long the provider let us wait before the first chunk."""
    began = time.perf_counter()
    try:
        return wait()
    finally:
        if call.event.first_chunk is None:
            call.event.upstream += time.perf_counter() - began
