"""How one target is asked: what is sent, and what is noted of that."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, TypeVar, cast

from functions.call import Try, price_of
from functions.hearing import Hearing
from shared.core import needs
from shared.core.errors import UpstreamUnavailable
from shared.providers.registry import adapter_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from functions.call import Call
    from functions.plane import Gateway
    from shared.core.routing import Candidate
    from shared.edge.answer import Answer
    from shared.providers.adapter import Adapter, HttpRequest

T = TypeVar("T")


class Asked(NamedTuple):
    """One target on its turn: its position among the targets, how to speak with it, and with which key."""

    position: int
    candidate: Candidate
    adapter: Adapter
    key: str


def on_its_turn(position: int, call: Call, gateway: Gateway) -> Asked:
    """Find out how to speak with the target at `position`; raises as `Gateway.key` does."""
    target, provider, model, _ = candidate = call.targets[position]
    adapter = adapter_for(provider.dialect, call.kind)(call.request_for(model), target, provider, call.moment)
    return Asked(position, candidate, adapter, gateway.key(provider, call.left()))


def sent(asked: Asked, call: Call, gateway: Gateway) -> Answer:
    """Send the request and wait for the head of the answer."""
    with _noted(asked, call, gateway) as request:
        patience = call.patience(asked.candidate.target)
        if not request.deferred:
            return waited(call, lambda: gateway.http.post(request, *patience))
        from shared.edge.deferred import Later  # noqa: PLC0415 - few have such targets

        later = Later(gateway.http, gateway.signer, gateway.pause)
        return cast("Answer", waited(call, lambda: later.post(request, patience[0], patience[1])))


def begun(asked: Asked, call: Call, gateway: Gateway, *, beside: bool = False) -> Hearing:
    """Send the request and wait for nothing but the connection."""
    with _noted(asked, call, gateway) as request:
        patience = call.patience(asked.candidate.target)
        answer = waited(call, lambda: gateway.http.begin(request, *patience, beside=beside))
    return Hearing(asked.adapter, answer, call, gateway.hold)


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
