"""One try: one target is asked, and what it says is pushed on to the client as it comes."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, TypeVar, cast

from functions.call import Try, price_of
from shared.core import needs
from shared.core.breakers import Result
from shared.core.errors import (
    BadRequest,
    StoreUnavailable,
    UpstreamFailed,
    UpstreamKeyRefused,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnavailable,
    UpstreamUnreadable,
)
from shared.dialects.dialect import speaks
from shared.edge.answer import HungUpError
from shared.edge.asking import MAX_TOKENS
from shared.edge.race import first_of
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
    from shared.providers.adapter import Adapter, HttpRequest

T = TypeVar("T")

FIRST_REFUSAL = 400
_OF_THE_REQUEST = range(400, 500)  # what is found wrong with it says nothing of the target


class Asked(NamedTuple):
    """One target on its turn: its position among the targets, how to speak with it, and with which key."""

    position: int
    candidate: Candidate
    adapter: Adapter
    key: str


def exchange(position: int, call: Call, gateway: Gateway, reply: Reply, spare: int | None = None) -> bytes:
    """Have the target at `position` answer; returns the bytes that may leave only after the settlement.

    If it says nothing for as long as the catalog allows, the one at `spare` is asked beside it.

    Raises:
        UpstreamFailed: it did not, or not to its end.
        BadRequest: its dialect cannot say what the client wants.
        ClientGone: the client does not read any more.
    """
    call.position = position
    with _judged(call):
        asked, answer = _on_its_turn(position, call, gateway), None
        if spare is not None and not any(call.targets[at].provider.storage for at in (position, spare)):
            asked, answer = _hedged(asked, spare, call, gateway)
        return _exchange(asked, answer, call, gateway, reply)


@contextmanager
def _judged(call: Call) -> Iterator[None]:
    """Note what the try says of its target: a failure, or how fast it was; nothing if it was not asked at all."""
    call.sent = call.latency = 0.0
    try:
        yield
    except UpstreamFailed as error:
        if call.sent and error.breaks and not call.given_up:
            call.results.append(Result(call.position, good=False))
        raise
    except ClientGone:
        call.results.append(Result(call.position, True, call.latency))
        raise
    else:
        call.results.append(Result(call.position, True, call.latency))


def _on_its_turn(position: int, call: Call, gateway: Gateway) -> Asked:
    target, provider, model, _ = candidate = call.targets[position]
    adapter = adapter_for(provider.dialect, call.kind)(call.request_for(model), target, provider, call.moment)
    return Asked(position, candidate, adapter, gateway.key(provider, call.left()))


def _hedged(first: Asked, spare: int, call: Call, gateway: Gateway) -> tuple[Asked, Answer]:
    """Ask, and another one as well where nothing comes for too long; returns who was faster, and what it says.

    The other one is cut off. It counts as failed: that a good one is overtaken is rare, and never so often in a row.
    """
    answer = _begun(first, call, gateway)
    if waited(call, lambda: first_of([answer], time.monotonic() + call.hedge)) or not _affordable(spare, call, gateway):
        return first, answer
    sent, call.event.tries = call.sent, call.event.tries + 1
    try:
        second = _on_its_turn(spare, call, gateway)
        other = _begun(second, call, gateway, beside=True)
    except (UpstreamFailed, BadRequest):
        call.sent = sent
        return first, answer
    runners = {answer: (first, sent), other: (second, call.sent)}
    faster = waited(call, lambda: first_of(list(runners), max(answer.until, other.until))) or answer
    slower = other if faster is answer else answer
    if faster.failure or faster.refused:
        faster, slower = slower, faster
    winner, call.sent = runners[faster]
    _give_up(runners[slower][0], slower, call)
    call.position = winner.position
    return winner, faster


def _give_up(asked: Asked, answer: Answer, call: Call) -> None:
    """Cut off the slower one of two; what was tried last, and may be billed, is then the other."""
    [given_up] = [one for one in call.tries if one.adapter is asked.adapter]
    call.tries.remove(given_up)
    if not (answer.refused or isinstance(answer.failure, UpstreamUnavailable)):
        call.tries.insert(0, given_up._replace(over=call.event.stream))
    if answer.refused not in _OF_THE_REQUEST:
        call.results.append(Result(asked.position, good=False))
    answer.close()


def _affordable(spare: int, call: Call, gateway: Gateway) -> bool:
    try:
        return gateway.afford_again(call, spare)
    except StoreUnavailable:
        return False


def _exchange(asked: Asked, begun: Answer | None, call: Call, gateway: Gateway, reply: Reply) -> bytes:
    adapter, (_, provider, model, _) = asked.adapter, asked.candidate
    call.event.provider, call.event.served = provider.name, model.name
    reply.headers.pop(MAX_TOKENS, None)
    reply.headers.update(call.granted(model.name).headers())
    writer = reply.writer_for(call.request)
    with _accepted(asked, begun, call, gateway) as answer:
        adapter.check(answer.head)
        if not call.event.stream:
            body = waited(call, answer.whole)
            call.hear()
            found = adapter.reply(body)
            _bill(call, reply, writer)
            return writer.whole(found, adapter.usage)
        with _heard_out(call, asked.candidate):
            held = _passed_on(adapter, answer, writer, call, reply, hold=gateway.hold)
            last = held + b"".join(map(writer.chunk, adapter.end()))
        call.hear()
        _bill(call, reply, writer)
        return last + writer.end(adapter.usage)


@contextmanager
def _heard_out(call: Call, candidate: Candidate) -> Iterator[None]:
    """Note of a stream that its provider is done with it: what it has not said by then, it cannot charge.

    One that we leave may go on, one that cannot be read may have said anything, and one that only looks like a stream
    is written before its first byte comes.
    """
    try:
        yield
    except (UpstreamTimeout, UpstreamUnreadable):
        raise
    except UpstreamFailed:
        _mark_over(call, candidate)
        raise
    _mark_over(call, candidate)


def _mark_over(call: Call, candidate: Candidate) -> None:
    if not (call.given_up or candidate.provider.storage):
        call.tries[-1] = call.tries[-1]._replace(over=True)


def _passed_on(adapter: Adapter, answer: Answer, writer: Writer, call: Call, reply: Reply, *, hold: float) -> bytes:
    """Push what a stream says as it comes; returns what is held back of one that has ended without a word.

    The start of an answer (a role, an empty block, a ping) is held back until there is a word, so that what fails
    between the two can still be served by another target; after `hold` seconds it leaves, before a client gives up.
    """
    held, spoken, until = b"", False, 0.0
    while not adapter.done:
        if held and not _comes(answer, until, call) and time.monotonic() >= until:
            reply.push(held)
            held, spoken = b"", True
        if not (data := waited(call, answer.read)):
            break
        chunks = adapter.chunk(data)
        if spoken := spoken or any(map(speaks, chunks)):
            call.hear()
        until = until or time.monotonic() + hold
        held += b"".join(map(writer.chunk, chunks))
        if spoken:
            reply.push(held)
            held = b""
    return held


def _comes(answer: Answer, until: float, call: Call) -> bool:
    """Tell whether more comes before `until`, in monotonic seconds, or before the target's time is over."""
    end = min(until, answer.until)
    return time.monotonic() < end and waited(call, lambda: first_of([answer], end)) is not None


def _bill(call: Call, reply: Reply, writer: Writer) -> None:
    """Tell a writer that asks for it what will be settled."""
    if reply.dialect.bills:
        writer.bill(call.event.provider, call.event.served, call.cost())


def _accepted(asked: Asked, begun: Answer | None, call: Call, gateway: Gateway) -> Answer:
    """Send the request, unless it has `begun`; an answer outside 2xx is raised as the error it is.

    What is held against a key (it is refused, perhaps rotated by now, or limited) is no reason to try no other.
    """
    provider, tried = asked.candidate.provider, [asked.key]
    answer = _opened(begun, asked, call, gateway) if begun else _sent(asked, call, gateway)
    while answer.head.status >= FIRST_REFUSAL:
        call.tries.pop()  # refused, so not billed
        with answer:
            error = asked.adapter.error(answer.head, answer.start_of())
        refused = isinstance(error, UpstreamKeyRefused)
        if not (refused or isinstance(error, UpstreamRateLimited)):
            raise error
        if not (key := gateway.another(provider, tried, call.left(), refused=refused)):
            raise error
        tried.append(key)
        answer = _sent(asked._replace(key=key), call, gateway)
    return answer


def _opened(begun: Answer, asked: Asked, call: Call, gateway: Gateway) -> Answer:
    """Wait for the head; what has not arrived, for the peer had closed the idle connection, is sent again."""
    try:
        return waited(call, begun.opened)
    except HungUpError:
        call.tries.pop()
        if not begun.reused:
            raise
        return _sent(asked, call, gateway)


def _sent(asked: Asked, call: Call, gateway: Gateway) -> Answer:
    """Send the request and wait for the head of the answer."""
    with _noted(asked, call, gateway) as request:
        patience = call.patience(asked.candidate.target)
        if not request.deferred:
            return waited(call, lambda: gateway.http.post(request, *patience))
        from shared.edge.deferred import Later  # noqa: PLC0415 - few have such targets

        later = Later(gateway.http, gateway.signer, gateway.pause)
        return cast("Answer", waited(call, lambda: later.post(request, patience[0], patience[1])))


def _begun(asked: Asked, call: Call, gateway: Gateway, *, beside: bool = False) -> Answer:
    """Send the request and wait for nothing but the connection."""
    with _noted(asked, call, gateway) as request:
        patience = call.patience(asked.candidate.target)
        return waited(call, lambda: gateway.http.begin(request, *patience, beside=beside))


@contextmanager
def _noted(asked: Asked, call: Call, gateway: Gateway) -> Iterator[HttpRequest]:
    """Make the request; from the moment it may have arrived, its tokens count."""
    request = asked.adapter.request(asked.key)
    request = request if request.deferred else gateway.signer.complete(request)
    target, provider, model, _ = asked.candidate
    price, thinks = price_of(asked.candidate, gateway.catalog), needs.thinks(call.request, model, provider.dialect)
    call.tries.append(Try(asked.adapter, price, target.model, model.name, thinks))
    call.asked.append(model.name)
    call.sent = time.perf_counter()
    try:
        yield request
    except UpstreamUnavailable:
        call.tries.pop()  # it did not arrive
        call.asked.pop()
        raise


def waited(call: Call, wait: Callable[[], T]) -> T:
    """Note how long the provider let us wait before the first chunk."""
    began = time.perf_counter()
    try:
        return wait()
    finally:
        if call.event.first_chunk is None:
            call.event.upstream += time.perf_counter() - began
