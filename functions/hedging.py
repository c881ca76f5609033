"""Two targets asked at once: another one beside the first, where that says no word for too long."""

from __future__ import annotations

import math
import time
from functools import partial
from typing import TYPE_CHECKING

from functions.hearing import first_heard
from functions.sending import begun, on_its_turn, waited
from shared.core.breakers import Result
from shared.core.errors import BadRequest, StoreUnavailable, UpstreamFailed, UpstreamUnavailable, UpstreamUnreadable

if TYPE_CHECKING:
    from functions.call import Call
    from functions.hearing import Hearing
    from functions.plane import Gateway
    from functions.sending import Asked

_OF_THE_REQUEST = range(400, 500)  # what is found wrong with it says nothing of the target


def hedged(first: Asked, spare: int, call: Call, gateway: Gateway) -> tuple[Asked, Hearing]:
    """Ask, and another one as well where no word comes for too long; returns who was first to speak, and what was said.

    The other one is cut off. If it is the one that was asked first, that counts as a failure: to be overtaken is rare,
    and never so often in a row. One that was asked later and is cut off before the first has had less time: it is not.
    One that fails is no reason to give up the other: that is waited for, and after as long again one more asked beside.
    """
    runners = {begun(first, call, gateway): first}
    tries, other = gateway.catalog.resilience.tries, {first.position: spare, spare: first.position}
    while True:
        waits = len(runners) == 1 and call.event.tries < tries
        end = time.monotonic() + call.hedge if waits else math.inf
        heard = waited(call, partial(first_heard, list(runners), end))
        if heard and heard.failed and len(runners) > 1:
            failed = runners.pop(heard)
            _give_up(failed, heard, call, overtaken=False)
            if heard.answer.refused in _OF_THE_REQUEST:  # it would say so again
                tries = 0
                call.unfit |= {failed.position} - {one.position for one in runners.values()}
            continue
        if heard or not waits or not _joined(other[next(iter(runners.values())).position], runners, call, gateway):
            break
    winner = heard or next(iter(runners))
    won = runners.pop(winner)
    for slower, asked in runners.items():
        _give_up(asked, slower, call, overtaken=asked is first)
    call.sent, call.position = winner.sent, won.position
    return won, winner


def _joined(position: int, runners: dict[Hearing, Asked], call: Call, gateway: Gateway) -> bool:
    """Ask one more beside those that run; tell whether that could be done."""
    if not _affordable(position, call, gateway):
        return False
    call.event.tries += 1
    try:
        asked = on_its_turn(position, call, gateway)
        runners[begun(asked, call, gateway, beside=True)] = asked
    except (UpstreamFailed, BadRequest):
        return False
    return True


def _give_up(asked: Asked, heard: Hearing, call: Call, *, overtaken: bool) -> None:
    """Cut off the slower one of two; what was tried last, and may be billed, is then the other."""
    answer = heard.answer
    [given_up] = [one for one in call.tries if one.adapter is asked.adapter]
    call.tries.remove(given_up)
    if not (answer.refused or isinstance(answer.failure, UpstreamUnavailable)):
        silent = call.event.stream and not isinstance(heard.failure, UpstreamUnreadable)
        call.tries.insert(0, given_up._replace(over=silent))
    failure = heard.failure
    fault = overtaken or (failure and failure.breaks) or (answer.refused and answer.refused not in _OF_THE_REQUEST)
    if fault and not call.given_up:
        call.results.append(Result(asked.position, good=False))
    answer.close()


def _affordable(spare: int, call: Call, gateway: Gateway) -> bool:
    try:
        return gateway.afford_again(call, spare)
    except StoreUnavailable:
        return False
