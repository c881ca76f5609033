"""What the admission script says where it does not admit, as the errors that clients get."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from shared.core import budgets
from shared.core.errors import Forbidden, StoreRebuilding, TargetsResting, Unauthorized
from shared.core.limits import kind_of, refusal
from shared.core.principals import VOID
from shared.edge.asking import Stale, Unprojected

if TYPE_CHECKING:
    from shared.edge.asking import Ask

REBUILT_SECONDS = 5.0  # until a client should ask again while the books are being rebuilt

_MICRO = 1_000_000


def refuse(verdict: bytes, facts: list[Any], ask: Ask, now: float) -> NoReturn:
    """Raise what the script has said; `now` is wall time, for telling when a window begins anew."""
    match verdict:
        case b"refused":
            _refuse_amount(facts, ask, now)
        case b"unprojected":
            raise Unprojected([ask.everybody[number - 1] for number in facts])
        case b"stale":
            raise Stale
        case b"address":
            raise Forbidden("Requests from this address are blocked for some time.")
        case b"closed":
            raise StoreRebuilding(
                "What was spent so far is being counted anew, and nothing is spent until that is done.",
                retry_after=REBUILT_SECONDS,
            )
        case b"resting":
            raise TargetsResting(
                "Every provider of this model has failed repeatedly and is left alone for a moment.",
                retry_after=facts[0] / _MICRO,
            )
        case b"unpriced":
            raise budgets.unpriced(_name(ask.everybody[facts[0] - 1]), ask.unbounded)
        case _:
            _turn_away(verdict, ask.everybody[facts[0] - 1])


def _refuse_amount(facts: list[Any], ask: Ask, now: float) -> NoReturn:
    number, name, limit, used, reserved, microseconds = facts
    scope, rule = ask.everybody[number - 1], name.decode()
    kind, wait = kind_of(scope), None if microseconds < 0 else microseconds / _MICRO
    model = _name(scope) if kind == "model" else ""
    if rule in budgets.RULES:
        raise budgets.exhausted(kind, rule, model, limit=limit, used=used, reserved=reserved, wait=wait, now=now)
    raise refusal(kind, rule, model, limit=limit, used=used, wait=wait, now=now)


def _name(scope: str) -> str:
    return scope.partition(":")[2]


def _turn_away(verdict: bytes, scope: str) -> NoReturn:
    """Say why nobody may pass for now: `verdict` is void, revoked, blocked or expired."""
    if verdict == b"void":
        raise Unauthorized(VOID)
    kind = kind_of(scope)
    said = {b"revoked": "is revoked", b"expired": "has expired", b"blocked": "is blocked for some time"}[verdict]
    if kind == "key" and verdict != b"blocked":
        raise Unauthorized(f"This API key {said}.")
    raise Forbidden(f"The {kind} of this request {said}." if kind != "key" else f"This API key {said}.")
