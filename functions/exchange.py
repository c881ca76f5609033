"""One try: one target is asked, and what it says is pushed on to the client as it comes."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from functions.hearing import Hearing
from functions.hedging import hedged
from functions.sending import on_its_turn, sent, waited
from shared.core.breakers import Result
from shared.core.errors import (
    UpstreamFailed,
    UpstreamKeyRefused,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnreadable,
)
from shared.dialects.dialect import speaks
from shared.edge.answer import HungUpError
from shared.edge.asking import MAX_TOKENS
from shared.edge.race import first_of
from shared.edge.response import ClientGone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from functions.call import Call
    from functions.plane import Gateway
    from functions.reply import Reply
    from functions.sending import Asked
    from shared.core.routing import Candidate
    from shared.dialects.dialect import Writer
    from shared.edge.answer import Answer
    from shared.providers.adapter import Adapter

FIRST_REFUSAL = 400


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
        asked, begun = on_its_turn(position, call, gateway), None
        if spare is not None and not any(call.targets[at].provider.storage for at in (position, spare)):
            asked, begun = hedged(asked, spare, call, gateway)
        return _exchange(asked, begun, call, gateway, reply)


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


def _exchange(asked: Asked, begun: Hearing | None, call: Call, gateway: Gateway, reply: Reply) -> bytes:
    adapter, (_, provider, model, _) = asked.adapter, asked.candidate
    call.event.provider, call.event.served = provider.name, model.name
    reply.headers.pop(MAX_TOKENS, None)
    reply.headers.update(call.granted(model.name).headers())
    writer = reply.writer_for(call.request)
    with _accepted(asked, begun, call, gateway) as answer:
        if begun is None or begun.answer is not answer:
            begun = Hearing(adapter, answer, call, gateway.hold)
        adapter.check(answer.head)
        if not call.event.stream:
            body = waited(call, begun.body)
            call.hear()
            found = begun.found or adapter.reply(body)
            _bill(call, reply, writer)
            return writer.whole(found, adapter.usage)
        with _heard_out(call, asked.candidate):
            held = _passed_on(begun, adapter, writer, call, reply)
            last = held + b"".join(map(writer.chunk, begun.ending()))
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


def _passed_on(begun: Hearing, adapter: Adapter, writer: Writer, call: Call, reply: Reply) -> bytes:
    """Push what a stream says as it comes; returns what is held back of one that has ended without a word.

    The start of an answer (a role, an empty block, a ping) is held back until there is a word, so that what fails
    between the two can still be served by another target; in time it leaves, before a client gives up.
    """
    answer, spoken, chunks, held = begun.answer, begun.spoken, begun.chunks, b""
    while True:
        if chunks:
            if spoken := spoken or any(map(speaks, chunks)):
                call.hear()
            held += b"".join(map(writer.chunk, chunks))
        if spoken:
            reply.push(held)
            held = b""
        if adapter.done or begun.last is not None:
            return held
        if held and not _comes(answer, begun.leaves, call) and time.monotonic() >= begun.leaves:
            reply.push(held)
            held, spoken = b"", True
        if not (data := waited(call, answer.read)):
            return held
        chunks = adapter.chunk(data)
        begun.begin()


def _comes(answer: Answer, until: float, call: Call) -> bool:
    """Tell whether more comes before `until`, in monotonic seconds, or before the target's time is over."""
    end = min(until, answer.until)
    return time.monotonic() < end and waited(call, lambda: first_of([answer], end)) is not None


def _bill(call: Call, reply: Reply, writer: Writer) -> None:
    """Tell a writer that asks for it what will be settled."""
    if reply.dialect.bills:
        writer.bill(call.event.provider, call.event.served, call.cost())


def _accepted(asked: Asked, begun: Hearing | None, call: Call, gateway: Gateway) -> Answer:
    """Send the request, unless it has `begun`; an answer outside 2xx is raised as the error it is.

    What is held against a key (it is refused, perhaps rotated by now, or limited) is no reason to try no other.
    """
    provider, tried = asked.candidate.provider, [asked.key]
    answer = _opened(begun.answer, asked, call, gateway) if begun else sent(asked, call, gateway)
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
        answer = sent(asked._replace(key=key), call, gateway)
    return answer


def _opened(begun: Answer, asked: Asked, call: Call, gateway: Gateway) -> Answer:
    """Wait for the head; what has not arrived, for the peer had closed the idle connection, is sent again."""
    try:
        return waited(call, begun.opened)
    except HungUpError:
        call.tries.pop()
        if not begun.reused:
            raise
        return sent(asked, call, gateway)
