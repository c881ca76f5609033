"""The log as a journal of money: a line before a request may cost something, and one when it has, ahead of the store.

Valkey forgets when it is flushed; a line that has left the process does not. Line and store tell the same by request
id, so the books may hear either first, or both, or one of them twice. Only what identifies a charge is in a line: a
user's id may be a person's name, so it is a pseudonym there, which the books know how to read and nobody else needs to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from shared.core import events, limits, shares
from shared.core.principals import is_token, masked
from shared.core.wire import decode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

EVENTS: Final = (events.RESERVED, events.USAGE)
UNSTORED: Final = {"stored": "no"}  # in a line: the store has not heard of the request before it was served
_PAYING: Final = ("key", "user", "team", "alias")


class Reservation(NamedTuple):
    """Money that a request may cost at most, `reserved.v1`: nano-dollars, and who would pay them.

    `ends` is the epoch millisecond at which nobody can settle it any more. `models` says what is held of the money of
    each model that may come to serve it. A request that is tried again reserves more, in a further line; the largest
    counts.
    """

    request_id: str
    org: str
    day: str
    held: int
    ends: int
    key: str
    user: str = ""
    team: str = ""
    alias: str = ""
    models: Mapping[str, int] = {}
    endpoint: str = ""

    @property
    def scopes(self) -> tuple[str, ...]:
        """Who pays, in the order of the admission: models last."""
        owners = limits.scopes(self.org, self.key, self.user, self.team, self.alias, endpoint=self.endpoint)
        return (*owners, *map(limits.of_model, self.models))

    @property
    def shared(self) -> int:
        """How many of them are no models."""
        return len(self.scopes) - len(self.models)


Line = TypeVar("Line", Reservation, events.Usage)


def reserved(
    paying: Mapping[str, str],
    request_id: str,
    day: str,
    *,
    held: int,
    models: Mapping[str, int],
    ends: int,
    stored: bool = True,
) -> dict[str, Any]:
    """Return the line of a reservation; `paying` names organization, key, user, team and alias, and an endpoint."""
    money = {"request_id": request_id, "day": day, "held": held, "models": models, "ends": ends}
    marked = {} if stored else UNSTORED
    return {"level": "INFO", "event": events.RESERVED, **money, **paying, **marked, **_masked(paying)}


def used(booked: Mapping[str, Any], request_id: str, day: str, cost: int, *, stored: bool = True) -> dict[str, Any]:
    """Return the line of a settlement; `booked` are the fields of its `usage.v1`.

    One that is not `stored` is of a request that was served without the store, and is marked, so that it is found.
    """
    money = {"request_id": request_id, "day": day, "cost": cost, **({} if stored else UNSTORED)}
    models = shares.written(booked["models"])
    return {"level": "INFO", "event": events.USAGE, **money, **booked, "models": models, **_masked(booked)}


def read(text: str, org: str) -> Reservation | events.Usage | None:
    """Read a line of the log; None for one that is none of the journal's, or of another organization.

    Raises:
        BrokenEventError: it is one, and a field is not what it must be.
    """
    try:
        found = decode(text.encode())
    except ValueError:
        return None
    if not isinstance(found, dict) or found.get("event") not in EVENTS or found.get("org") != org:
        return None
    if found["event"] == events.USAGE:
        return events.usage(found, org=org, at=0)
    try:
        return Reservation(
            **{name: str(found[name]) for name in ("request_id", "org", "day", *_PAYING)},
            held=int(found["held"]),
            models={str(model): int(held) for model, held in found["models"].items()},
            ends=int(found["ends"]),
            endpoint=str(found.get("endpoint") or ""),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise events.BrokenEventError(f"The line has a field that is missing or wrong: {error}") from error


class Names:
    """Reads pseudonyms of users: those of `users`, whom the Directory or the ledger knows, and no others.

    Whoever it cannot read has never been charged and is not in the Directory, so has no budget: the money is then
    booked to the pseudonym, and to key, team, organization and models as ever.
    """

    def __init__(self, users: Iterable[str]) -> None:
        self._users = {events.pseudonym(user): user for user in users}

    def knows(self, user: str) -> bool:
        """Tell whether this is nobody, or somebody who can be named."""
        return not user or user in self._users

    def named(self, line: Line) -> Line:
        """Return the line with the user's own id, also in the id of the user's token, where it is known."""
        user = self._users.get(line.user)
        if user is None:
            return line
        key = line.key.removesuffix(line.user) + user if is_token(line.key) else line.key
        return line._replace(user=user, key=key)


def _masked(fields: Mapping[str, Any]) -> dict[str, str]:
    """Return pseudonyms for what may be a person's name."""
    user, key = str(fields["user"]), str(fields["key"])
    if not user:
        return {}
    return {"user": events.pseudonym(user), "key": masked(key, user)}
