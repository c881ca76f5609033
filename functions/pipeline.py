"""The way of one request, top to bottom: who can serve it, may it pass, ask them in turn, push what they say, settle.

Chunks are pushed outwards. Whatever ends the exchange (the last chunk, a provider's failure, a client that has gone,
the deadline) passes through the one `with` that settles; the very last bytes of an answer leave after that.
"""

from __future__ import annotations

import random
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from functions.exchange import exchange
from functions.sending import waited
from shared.core import degraded, events, offering
from shared.core.errors import (
    BadRequest,
    StoreUnavailable,
    UpstreamFailed,
    UpstreamKeyRefused,
    UpstreamRefused,
    UpstreamUnsuited,
    outcome,
)
from shared.core.usage import Usage
from shared.edge.response import ClientGone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from functions.call import Call
    from functions.plane import Gateway
    from functions.reply import Reply
    from shared.core.errors import GatewayError

_NOT_THERE = BadRequest, UpstreamKeyRefused, UpstreamUnsuited  # what asking the same target again cannot mend
LEAST_SECONDS = 0.5  # with less time left no further try is made


def complete(call: Call, gateway: Gateway, reply: Reply, *, fit: bool = False) -> None:
    """Serve one answer, streamed or whole, in the client's dialect; settle it exactly once.

    `fit` lets its answers be shortened to what the caller's budgets afford.

    Raises:
        GatewayError: it cannot be served, or not to its end; `reply.fail` says so in the way that is still possible.
        ClientGone: the client does not read any more.
    """
    try:
        prepared(call, gateway, fit=fit)
        reply.headers.update(gateway.admit(call).headers())
        answered(call, gateway, reply)
    except UpstreamFailed as error:
        if reply.started or isinstance(error, UpstreamRefused):
            raise
        gateway.telemetry.note(events.breaker(call.principal.org, call.request.model, "none_left", error=error.code))
        _send(_degraded(error, call, gateway, reply), call, reply)


def prepared(call: Call, gateway: Gateway, *, fit: bool = False) -> None:
    """Find out who can serve `call`, in order, and what it may cost; raises as `complete` does."""
    gateway.renew(call.principal.org)
    call.plan(gateway.catalog, gateway.providers.configured(), random.random, fit=fit)
    call.event.model = call.request.model


def answered(call: Call, gateway: Gateway, reply: Reply) -> None:
    """Have an admitted call answered by one of its targets, and settle it; raises as `complete` does."""
    with settled(call, gateway):
        last = _first_success(call, gateway, reply)
    _send(last, call, reply)


def _send(last: bytes, call: Call, reply: Reply) -> None:
    send = reply.push if call.event.stream else reply.whole
    send(last)


def _degraded(error: UpstreamFailed, call: Call, gateway: Gateway, reply: Reply) -> bytes:
    """Return the answer that the catalog has for the case that nobody can serve the model; or raise `error`."""
    model = gateway.catalog.named(call.request.model)
    if model is None or not model.serving.degraded:
        raise error
    reply.headers["x-nexus-degraded"] = "true"
    call.event.outcome = "degraded"
    said = degraded.answer(model.serving.degraded, model.name, call.moment.request_id, call.moment.now)
    writer = reply.writer_for(call.request)
    if not call.event.stream:
        return writer.whole(said, Usage())
    return b"".join(map(writer.chunk, degraded.chunks(said))) + writer.end(Usage())


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


def _first_success(call: Call, gateway: Gateway, reply: Reply) -> bytes:
    """Ask the targets in turn, then the same ones again; nothing is repeated once a chunk has left.

    One that cannot say in its dialect what is asked for has cost no try: nobody was asked.
    """
    turn = offering.turn(call.ask.choice, call.grant.first, call.grant.seen)
    asked = dict.fromkeys(turn, 0)
    position, rules = turn[0], gateway.catalog.resilience
    ready: dict[int, float] = {}  # from when on they may be asked again, in monotonic seconds
    while True:
        asked[position] += 1
        call.event.tries += 1
        try:
            return exchange(position, call, gateway, reply, _spare(turn, call))
        except (UpstreamFailed, BadRequest) as error:
            failed, wait = call.position, error.retry_after or 0.0
            asked[failed] += failed != position  # it was asked beside that one
            ready[failed] = time.monotonic() + wait
            call.event.tries -= isinstance(error, BadRequest)
            if reply.started or call.event.tries >= rules.tries or _is_final(error):
                raise
            if isinstance(error, _NOT_THERE) or call.grant.seen[failed].state == "probe" or wait > rules.longest_pause:
                call.unfit.add(failed)
            turn = [at for at in turn if at not in call.unfit]
            if not turn:
                raise
            position = min(turn, key=asked.__getitem__)
            _rest_before(asked[position], ready.get(position, 0.0), error, call, gateway)
            _afford_again(position, error, call, gateway)


def _spare(turn: list[int], call: Call) -> int | None:
    """Return whom to ask beside the first one, should that be slow and the catalog want it; itself if it is alone."""
    first_try = call.event.tries == 1
    if not (call.hedge and first_try) or call.grant.seen[turn[0]].state == "probe":
        return None
    return turn[1 % len(turn)]


def _is_final(error: GatewayError) -> bool:
    """Tell whether no other target can do better: what one dialect cannot say, another perhaps can."""
    return isinstance(error, UpstreamFailed) and not error.failover


def _rest_before(rounds: int, ready: float, error: GatewayError, call: Call, gateway: Gateway) -> None:
    """Go on at once to a target not asked yet, wait with full jitter before asking one again, or give up: `error`.

    `ready` is when it wants to be asked again, in monotonic seconds; what others want is no matter of it.
    """
    longest = gateway.catalog.resilience.pause * 2 ** (rounds - 1)
    pause = max(ready - time.monotonic(), random.uniform(0, longest)) if rounds else 0.0  # noqa: S311 - jitter
    if call.left() - pause < LEAST_SECONDS:
        raise error
    if pause:
        waited(call, partial(gateway.pause, pause))


def _afford_again(position: int, error: GatewayError, call: Call, gateway: Gateway) -> None:
    """Go on if budgets and limits can bear that all tries are billed, a further one included; or give up: `error`."""
    try:
        affordable = gateway.afford_again(call, position)
    except StoreUnavailable:
        affordable = False
    if not affordable:
        raise error
