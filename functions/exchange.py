"""One try: one target is asked, and what it says is pushed on to the client as it comes."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from functions.call import Try, price_of
from shared.core.breakers import Result
from shared.core.errors import UpstreamFailed, UpstreamKeyRefused, UpstreamRateLimited, UpstreamUnavailable
from shared.edge.response import ClientGone
from shared.providers.registry import adapter_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from functions.call import Call
    from functions.plane import Gateway
    from functions.reply import Reply
    from shared.core.routing import Candidate
    from shared.dialects.dialect import Writer
    from shared.edge.answer import Answer
    from shared.providers.adapter import Adapter

T = TypeVar("T")

FIRST_REFUSAL = 400


def exchange(position: int, call: Call, gateway: Gateway, reply: Reply) -> bytes:
    """Have the target at `position` answer; returns the bytes that may leave only after the settlement.

    Raises:
        UpstreamFailed: it did not, or not to its end.
        BadRequest: its dialect cannot say what the client wants.
        ClientGone: the client does not read any more.
    """
    with _judged(position, call):
        return _exchange(call.targets[position], call, gateway, reply)


@contextmanager
def _judged(position: int, call: Call) -> Iterator[None]:
    """Note what the try says of its target: a failure, or how fast it was; nothing if it was not asked at all."""
    call.sent = call.latency = 0.0
    try:
        yield
    except UpstreamFailed as error:
        if call.sent and error.breaks and not call.given_up:
            call.results.append(Result(position, good=False))
        raise
    except ClientGone:
        call.results.append(Result(position, True, call.latency))
        raise
    else:
        call.results.append(Result(position, True, call.latency))


def _exchange(candidate: Candidate, call: Call, gateway: Gateway, reply: Reply) -> bytes:
    target, provider, model, _ = candidate
    adapter = adapter_for(provider.dialect, call.kind)(call.request_for(model), target, provider, call.moment)
    call.event.provider, call.event.served = provider.name, model.name
    writer = reply.writer_for(call.request)
    with _accepted(adapter, candidate, call, gateway) as answer:
        adapter.check(answer.head)
        if not call.event.stream:
            body = waited(call, answer.whole)
            call.hear()
            found = adapter.reply(body)
            _bill(call, reply, writer)
            return writer.whole(found, adapter.usage)
        while not adapter.done and (data := waited(call, answer.read)):
            call.hear()
            reply.push(b"".join(map(writer.chunk, adapter.chunk(data))))
        last = b"".join(map(writer.chunk, adapter.end()))
        _bill(call, reply, writer)
        return last + writer.end(adapter.usage)


def _bill(call: Call, reply: Reply, writer: Writer) -> None:
    """Tell a writer that asks for it what will be settled."""
    if reply.dialect.bills:
        writer.bill(call.event.provider, call.cost())


def _accepted(adapter: Adapter, candidate: Candidate, call: Call, gateway: Gateway) -> Answer:
    """Send the request; an answer outside 2xx is raised as the error it is.

    What is held against a key (it is refused, perhaps rotated by now, or limited) is no reason to try no other.
    """
    keys, tried = gateway.providers, [gateway.providers.key(candidate.provider)]
    while (answer := _sent(adapter, tried[-1], candidate, call, gateway)).head.status >= FIRST_REFUSAL:
        call.tries.pop()  # refused, so not billed
        with answer:
            error = adapter.error(answer.head, answer.start_of())
        refused = isinstance(error, UpstreamKeyRefused)
        if not (refused or isinstance(error, UpstreamRateLimited)):
            raise error
        if not (key := keys.another(candidate.provider, tried, refused=refused)):
            raise error
        tried.append(key)
    return answer


def _sent(adapter: Adapter, secret: str, candidate: Candidate, call: Call, gateway: Gateway) -> Answer:
    """Send the request and wait for the head of the answer; from the moment it may have arrived, its tokens count."""
    request = gateway.signer.complete(adapter.request(secret))
    call.tries.append(Try(adapter, price_of(candidate, gateway.catalog), candidate.target.model))
    call.sent = time.perf_counter()
    try:
        return waited(call, lambda: gateway.http.post(request, *call.patience(candidate.target)))
    except UpstreamUnavailable:
        call.tries.pop()  # it did not arrive
        raise


def waited(call: Call, wait: Callable[[], T]) -> T:
    """Note how long the provider let us wait before the first chunk."""
    began = time.perf_counter()
    try:
        return wait()
    finally:
        if call.event.first_chunk is None:
            call.event.upstream += time.perf_counter() - began
