"""What the parts tell one another: the names of the events, with their version, and the shape of a booked request.

A field is added under the same name; one that changes its meaning makes a new version.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, NamedTuple

from shared.core import periods, shares

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from shared.core.shares import Share

USAGE: Final = "usage.v1"
RESERVED: Final = "reserved.v1"
BUDGET: Final = "budget.v1"
BREAKER: Final = "breaker.v1"
CATALOG: Final = "catalog.v1"
SECURITY: Final = "security.v1"
BOOKS: Final = "books"  # of our own log alone: what the books did
BEHIND: Final = "behind"  # true in such a line if time was up before all was done
FAULT: Final = "fault"  # an unforeseen error, of whatever part

_LONGEST: Final = 256  # characters of a text, so that it fits into a key of the ledger
_PSEUDONYM: Final = 16  # hexadecimal digits
_MOST: Final = 2**62  # no number of ours is larger
MOST_MODELS: Final = 16  # that may come to serve one request; the ledger books all sums of a charge in one transaction

FIRST: Final = 1  # `seq` of what a request was charged at first
CORRECTION: Final = 2  # and of what corrects that afterwards
EXPIRED: Final = "expired"  # outcome of a request that nobody settled
_NO_FAULT: Final = frozenset({"ok", "client_gone", "cancelled"})  # outcomes: nothing failed, whoever left early


def pseudonym(name: str) -> str:
    """Return what stands for a user's id, or a key's, where everybody may look: the same for the same one."""
    return hashlib.sha256(name.encode()).hexdigest()[:_PSEUDONYM]


def is_error(outcome: str) -> bool:
    """Tell whether a request of this outcome counts as failed."""
    return outcome not in _NO_FAULT


class BrokenEventError(ValueError):
    """The fields are not those of an event; the message names the one that is wrong."""


def breaker(org: str, target: str, state: str, **more: str | float) -> dict[str, str | float]:
    """Say what became of a target (`provider:model`), `breaker.v1`: `open`, `half_open` or `closed` again.

    With the state `none_left` the target is a model's name: of all that could serve a request, nobody did.
    """
    level = "ERROR" if state in {"open", "none_left"} else "INFO"
    return {"level": level, "event": BREAKER, "org": org, "target": target, "state": state, **more}


class Usage(NamedTuple):
    """One charge, `usage.v1`: what a request cost, whose scopes pay for it, and the day that it belongs to.

    `cost` and `held` are nano-dollars. A second charge (`seq` 2) corrects the first, so its cost may be below zero: its
    `held` is what the first one took.
    `alias` is the name that was asked for, where it is no model's own; `served` is the model that was asked last, at
    `provider`; `models` says what each model took: together
    they have cost `cost`, but of a request that nobody settled each is charged all that it might have cost.
    """

    request_id: str
    seq: int
    org: str
    day: str
    key: str
    user: str = ""
    team: str = ""
    alias: str = ""
    provider: str = ""
    target: str = ""
    served: str = ""
    outcome: str = ""
    cost: int = 0
    held: int = 0
    prompt: int = 0
    completion: int = 0
    cached: int = 0
    estimated: int = 0
    ms: int = 0
    models: tuple[Share, ...] = ()

    @property
    def scopes(self) -> Iterator[tuple[str, str]]:
        """Who pays for all of it: kind and id of each scope."""
        paying = {"key": self.key, "user": self.user, "team": self.team, "org": self.org, "alias": self.alias}
        return ((kind, name) for kind, name in paying.items() if name)


_NUMBERS: Final = ("cost", "held", "prompt", "completion", "cached", "estimated", "ms")
_TEXTS: Final = ("user", "team", "alias", "provider", "target", "served", "outcome")


def usage(fields: Mapping[str, str], *, org: str, at: int) -> Usage:
    """Read an event of the stream of `org` that was written at `at`, in epoch milliseconds.

    Raises:
        BrokenEventError: a field is missing, or is not what it must be.
    """
    try:
        day = fields.get("day") or periods.day_at(at)
        periods.number_of(day)
        request_id, key = fields["request_id"], fields["key"]
        numbers = {name: int(fields.get(name) or 0) for name in _NUMBERS}
        seq = int(fields.get("seq") or FIRST)
        models = shares.read(str(fields.get("models") or ""))
    except (KeyError, ValueError) as error:
        raise BrokenEventError(f"The usage event has a field that is missing or wrong: {error}") from error
    texts = {name: fields.get(name, "") for name in _TEXTS}
    if not (request_id and key and seq >= FIRST):
        raise BrokenEventError("The usage event names no request, no key, or no charge.")
    named = [request_id, key, *texts.values(), *(share.model for share in models)]
    counted = [seq, *numbers.values(), *(number for share in models for number in share[:-1])]
    if max(map(len, named)) > _LONGEST or max(map(abs, counted)) > _MOST or len(models) > MOST_MODELS:
        raise BrokenEventError("The usage event has a text, a number or a list beyond all measure.")
    known = {"models": models, **texts, **numbers}
    return Usage(request_id=request_id, seq=seq, org=org, day=day, key=key, **known)  # type: ignore[arg-type]
