"""Users and teams: who they are, and that Valkey hears at once of those who may no longer.

A name and an address are personal: they are in the user's record and nowhere else, not in the audit log either.

Sums of money stay by the id alone, also when it is deleted or erased. Who is made anew under it in a later month (UTC)
is somebody else, and begins at zero in every budget. In the same month it goes on from what was spent, in total too:
to be erased and made again gets nobody a second budget while days and months are running, and whoever wants that
raises the budget, in the open. Another issuer's users are never made anew: their ids are not given to others. A deleted
user's keys are refused, and revoked for good before somebody else gets the id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from functions import offered, owners
from functions.passwords import hashed
from functions.registry import Unknown
from functions.usd import told_budget
from functions.visit import Repeat
from shared.core import periods
from shared.core.errors import BadRequest, StoreUnavailable
from shared.core.principals import USER_ID, is_foreign
from shared.edge.aws import AwsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from functions.people_requests import Edit, NewTeam, NewUser
    from functions.registry import Change, Item
    from functions.visit import Visit

Kind = Literal["user", "team"]

PERSONAL = ("name", "email")
BEFORE = "before_nano"  # in a record: what others spent under its id
_ENDS_TOKENS = frozenset({"role", "tier", "team", "models", "password_hash", "disabled"})


def make(visit: Visit, kind: Kind, wanted: NewUser | NewTeam) -> Item:
    """Make a user or a team.

    Raises:
        Exists: there is one with this id.
        BadRequest: the user's team, or one of the user's models, is none.
        StoreUnavailable: the Directory or Valkey cannot be reached; the message says what holds.
    """
    repeat = Repeat.of(visit, kind)
    if repeat and (name := repeat.made(visit.control.now())):
        return visit.control.registry.get(visit.org, name)
    now = int(visit.control.now())
    plain = wanted.model_dump(exclude_none=True, exclude={"id", "password", "limits", "budget"})
    owners.check(visit.control.registry, visit.org, plain)
    offered.check(visit, plain)
    new: Item = {
        "pk": visit.org,
        "sk": f"{kind}#{wanted.id}",
        **plain,
        **_hashed(wanted.model_dump(include={"password"}, exclude_none=True)),
        "limits": wanted.limits.given(),
        "budget": wanted.budget.given(),
        "created_at": now,
        **({"tokens_since": now} if kind == "user" else {}),
        **_before(visit, kind, wanted.id),
    }
    if kind == "user":
        _revoke_former(visit, wanted.id)
    memory = [repeat.memory(new["sk"])] if repeat else []
    change = visit.change(f"{kind}.create", wanted.id, None, _impersonal(new))
    made = visit.control.registry.add(new, change, *memory)
    visit.control.projection.tell(made)
    return made


def edit(visit: Visit, kind: Kind, name: str, wanted: Edit) -> Item:
    """Edit a user or a team; an edit of what a user may ends the user's tokens.

    Raises:
        Unknown: there is none.
        Stale: it is not the version that was asked for.
        BadRequest: the user's new team, or one of the new models, is none; or the user is another issuer's.
        StoreUnavailable: the Directory or Valkey cannot be reached; the message says what holds.
    """
    if is_foreign(name):
        raise BadRequest("This user's identity provider says who they are. Limits, budgets and blocks can be set.")
    given = wanted.given()
    owners.check(visit.control.registry, visit.org, given)
    given |= _hashed(given)
    given.pop("password", None)

    def change(old: Item) -> Item:
        offered.check(visit, given, old)
        new = {key: value for key, value in {**old, **given}.items() if value is not None}
        ended = kind == "user" and any(old.get(field) != new.get(field) for field in _ENDS_TOKENS)
        return {**new, "tokens_since": int(visit.control.now()) + 1} if ended else new  # the last second's, too

    sort_key = _sort_key(kind, name)
    edited = visit.control.registry.edit(
        visit.org, sort_key, change, _teller(visit, f"{kind}.edit"), version=visit.version()
    )
    visit.control.projection.tell(edited)
    return edited


def delete(visit: Visit, kind: Kind, name: str, action: str = "delete") -> Item:
    """Delete a user or a team, and what a user was blocked for: what is left are tombstones.

    Whoever calls as a deleted user is refused.

    Raises:
        Unknown: there is none.
        Stale: it is not the version that was asked for.
        StoreUnavailable: the Directory or Valkey cannot be reached; the message says what holds.
    """
    place = {"pk": visit.org, "sk": _sort_key(kind, name)}
    deleted = visit.control.registry.edit(
        visit.org,
        place["sk"],
        lambda old: {**place, "deleted": True, **_carried(old)},
        _teller(visit, f"{kind}.{action}"),
        version=visit.version(),
        others=lambda _: visit.control.registry.buried(visit.org, f"block#{kind}:{name}"),  # its reason may be personal
    )
    visit.control.projection.tell(deleted)
    return deleted


def get(visit: Visit, kind: Kind, name: str) -> Item:
    """Return the record of a user or a team.

    Raises:
        Unknown: there is none in the caller's organization.
        StoreUnavailable: the Directory cannot be reached.
    """
    return visit.control.registry.get(visit.org, _sort_key(kind, name))


def shown(known: Item) -> dict[str, Any]:
    """Render a user or a team for administrators: everything but the digest of a password."""
    kind, _, name = known["sk"].partition("#")
    told = {"id": name, "object": kind, "name": known.get("name")}
    if kind == "user":
        told |= {
            "email": known.get("email"),
            "role": known.get("role"),
            "tier": known.get("tier"),
            "team": known.get("team"),
            "models": known.get("models", []),
            "disabled": known.get("disabled", False),
            "has_password": "password_hash" in known,
        }
    return {
        **told,
        "limits": known.get("limits", {}),
        "budget": told_budget(known.get("budget", {})),
        "blocked_until": known.get("blocked_until"),
        "created_at": known.get("created_at"),
        "version": known.get("version", 1),
    }


def _before(visit: Visit, kind: Kind, name: str) -> dict[str, int]:
    """Return the nano-dollars that others had spent under the id of who is made now, as the record has it."""
    old = visit.control.registry.find(visit.org, f"{kind}#{name}")
    if not old or not old.get("deleted"):
        return {}
    if _month(old["updated_at"]) == _month(visit.control.now()):
        return _carried(old)
    wanted = f"{kind}:{name}", periods.TOTAL
    try:
        return {BEFORE: visit.control.ledger.spent(visit.org, [wanted])[wanted].cost}
    except AwsError as error:
        raise StoreUnavailable("The ledger cannot be read now. Please try again.", retry_after=1) from error


def _revoke_former(visit: Visit, name: str) -> None:
    """Revoke the keys of who had the id of the user that is made now; until all are, there is no such user."""
    old = visit.control.registry.find(visit.org, f"user#{name}")
    if not old or not old.get("deleted"):
        return
    for record in owners.keys_of(visit.control.registry, visit.org, name):
        if not record["revoked"]:
            visit.control.keyring.revoke(visit, record["sk"].removeprefix("key#"))


def _carried(old: Item) -> dict[str, int]:
    return {BEFORE: old[BEFORE]} if BEFORE in old else {}


def _month(seconds: float) -> str:
    return periods.month_of(periods.day_at(int(seconds * 1000)))


def _impersonal(known: Item) -> dict[str, Any] | None:
    return None if known.get("deleted") else {k: v for k, v in shown(known).items() if k not in PERSONAL}


def _teller(visit: Visit, action: str) -> Callable[[Item | None, Item], Change]:
    def tell(old: Item | None, new: Item) -> Change:
        return visit.change(action, new["sk"].partition("#")[2], _impersonal(old) if old else None, _impersonal(new))

    return tell


def _sort_key(kind: Kind, name: str) -> str:
    if not (USER_ID.fullmatch(name) or (kind == "user" and is_foreign(name))):
        raise Unknown(kind)
    return f"{kind}#{name}"


def _hashed(given: dict[str, Any]) -> dict[str, str | None]:
    if "password" not in given:
        return {}  # not the same as null, which takes it away
    password = given["password"]
    return {"password_hash": None if password is None else hashed(password)}
