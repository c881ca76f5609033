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

from functions.call import Try, price_of
from shared.core import needs, routing
from shared.core.errors import StoreUnavailable, UpstreamFailed, UpstreamUnavailable, outcome
from shared.edge.response import ClientGone
from shared.providers.registry import adapter_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from functions.call import Call
    from functions.plane import Gateway
    from functions.reply import Reply
    from shared.core.routing import Candidate
    from shared.edge.answer import Answer
    from shared.providers.adapter import Adapter

T = TypeVar("T")

LEAST_SECONDS = 0.5  # with less time left no further try is made
UNAUTHORIZED, FIRST_REFUSAL = 401, 400


def complete(call: Call, gateway: Gateway, reply: Reply, *, fit: bool = False) -> None:
    """Serve one answer, streamed or whole, in the client's dialect; settle it exactly once.

    `fit` lets its answers be shortened to what the caller's budgets afford.

    Raises:
        GatewayError: it cannot be served, or not to its end; `reply.fail` says so in the way that is still possible.
        ClientGone: the client does not read any more.
    """
    targets = prepared(call, gateway, fit=fit)
    reply.headers.update(gateway.admit(call).headers())
    answered(targets, call, gateway, reply)


def prepared(call: Call, gateway: Gateway, *, fit: bool = False) -> list[Candidate]:
    """List who can serve `call`, in order, and find out what it may cost; raises as `complete` does."""
    targets = _plan(call, gateway)
    call.event.model = call.request.model
    call.weigh(targets, gateway.catalog, fit=fit)
    return targets


def answered(targets: list[Candidate], call: Call, gateway: Gateway, reply: Reply) -> None:
    """Have an admitted call answered by one of `targets`, and settle it; raises as `complete` does."""
    call.keep_to_grant()
    with settled(call, gateway):
        last = _first_success(targets, call, gateway, reply)
    send = reply.push if call.event.stream else reply.whole
    send(last)


def _plan(call: Call, gateway: Gateway) -> list[Candidate]:
    """List the targets that can serve the request, in the order in which they are to be asked."""
    catalog, wanted = gateway.catalog, needs.of(call.request)
    groups = routing.candidates(
        call.request.model, call.kind, catalog, gateway.providers.configured(), call.principal.may_use
    )
    return list(routing.arranged(routing.fitting(groups, wanted), wanted, catalog, random.random))


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
    tries = gateway.catalog.resilience.tries
    for number in range(tries):
        call.event.tries = number + 1
        try:
            return _exchange(targets[number % len(targets)], call, gateway, reply)
        except UpstreamFailed as error:
            if reply.started or not error.failover or number + 1 == tries:
                raise
            _rest_before(number + 1, len(targets), error, call, gateway)
            _afford_again(error, call, gateway)
    raise AssertionError  # the last try returns or raises


def _rest_before(number: int, targets: int, error: UpstreamFailed, call: Call, gateway: Gateway) -> None:
    """Go on at once to a target not asked yet, wait with full jitter before asking one again, or give up: `error`."""
    rounds, rules = number // targets, gateway.catalog.resilience
    wanted = error.retry_after if rounds and error.retry_after else 0.0
    pause = max(wanted, random.uniform(0, rules.pause * 2 ** (rounds - 1))) if rounds else 0.0  # noqa: S311 - jitter
    if wanted > rules.longest_pause or call.left() - pause < LEAST_SECONDS:
        raise error
    if pause:
        _waited(call, partial(gateway.pause, pause))


def _afford_again(error: UpstreamFailed, call: Call, gateway: Gateway) -> None:
    """Go on if the budgets can bear that all tries are billed, this further one included; or give up: `error`."""
    try:
        affordable = gateway.afford_again(call)
    except StoreUnavailable:
        affordable = False
    if not affordable:
        raise error


def _exchange(candidate: Candidate, call: Call, gateway: Gateway, reply: Reply) -> bytes:
    """Have one target answer; returns the bytes that may leave only after the settlement."""
    target, provider, model, _ = candidate
    adapter = adapter_for(provider.dialect, call.kind)(call.request_for(model), target, provider, call.moment)
    call.event.provider, call.event.served = provider.name, model.name
    writer = reply.writer_for(call.request)
    with _accepted(adapter, candidate, call, gateway) as answer:
        adapter.check(answer.head)
        if not call.event.stream:
            return writer.whole(adapter.reply(_waited(call, answer.whole)), adapter.usage)
        while not adapter.done and (data := _waited(call, answer.read)):
            reply.push(b"".join(map(writer.chunk, adapter.chunk(data))))
        return b"".join(map(writer.chunk, adapter.end())) + writer.end(adapter.usage)


def _accepted(adapter: Adapter, candidate: Candidate, call: Call, gateway: Gateway) -> Answer:
    """Send the request; an answer outside 2xx is raised as the error it is.

    A secret that is refused may have been rotated: it is read again, and if it is another one now, that is tried, once.
    """
    secret = gateway.providers.secret(candidate.provider)
    answer = _sent(adapter, secret, candidate, call, gateway)
    if answer.head.status == UNAUTHORIZED and (secret := gateway.providers.renewed(candidate.provider, secret)):
        answer.close()
        call.tries.pop()
        answer = _sent(adapter, secret, candidate, call, gateway)
    if answer.head.status < FIRST_REFUSAL:
        return answer
    call.tries.pop()  # refused, so not billed
    with answer:
        raise adapter.error(answer.head, answer.start_of())


def _sent(adapter: Adapter, secret: str, candidate: Candidate, call: Call, gateway: Gateway) -> Answer:
    """Send the request and wait for the head of the answer; from the moment it may have arrived, its tokens count."""
    call.tries.append(Try(adapter, price_of(candidate, gateway.catalog), candidate.target.model))
    try:
        return _waited(call, lambda: gateway.http.post(adapter.request(secret), *call.patience(candidate.target)))
    except UpstreamUnavailable:
        call.tries.pop()  # it did not arrive
        raise


def _waited(call: Call, wait: Callable[[], T]) -> T:
    """Note how long the provider let us wait before the first chunk."""
    began = time.perf_counter()
    try:
        return wait()
    finally:
        if call.event.first_chunk is None:
            call.event.upstream += time.perf_counter() - began
