"""What is done with API keys: made, edited, rotated, revoked. The Directory comes first, Valkey next."""

from __future__ import annotations

import hmac
import secrets
from typing import TYPE_CHECKING, Any, NamedTuple

from functions import offered, owners
from functions.registry import Exists, Unknown
from functions.usd import told_budget
from functions.visit import Repeat
from shared.core import enrolment, keys
from shared.core.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from functions.key_requests import KeyEdit, NewKey
    from functions.projection import Projection
    from functions.registry import Change, Item, Registry
    from functions.visit import Visit

DAY = 86400  # seconds
_REVOCATION_MISSED = (
    "The key is revoked in the directory, and refused within 60 seconds. Repeat this request, so that "
    "it is refused at once."
)


class Shut(BadRequest):
    """The key is not in a state in which this can be done."""

    status = 409
    code = "key_state"
    should_retry = False  # an SDK tries a 409 again


class Made(NamedTuple):
    """A key with its record; without the key where an earlier answer showed it, and it is another one by now."""

    key: keys.Key | None
    record: Item

    def shown(self) -> dict[str, Any]:
        """Render it for the one answer that has the key."""
        return {**shown(self.record), "key": self.key.text} if self.key else shown(self.record)


class Keyring(NamedTuple):
    """The keys, and those who must hear of a change. `chance` gives random bytes."""

    registry: Registry
    projection: Projection
    pepper: Callable[[], str]
    chance: Callable[[int], bytes] = secrets.token_bytes

    def make(self, visit: Visit, wanted: NewKey) -> Made:
        """Make a key; nobody can ever see it again, unless the same request is repeated under its Idempotency-Key.

        Valkey may be down meanwhile, for a key it does not know is looked up on its first request.

        Raises:
            BadRequest: its team, its user, or one of its models is none.
            StoreUnavailable: the Directory cannot be reached; if it took the key all the same, nobody holds it.
        """
        repeat = Repeat.of(visit, "key", self.chance)
        key = keys.mint(visit.org, self._chance(repeat))
        now = visit.control.now()
        if repeat and (name := repeat.made(now)):
            return self._again(key, self.registry.get(visit.org, name))
        owners.check(self.registry, visit.org, {"team": wanted.team, "user": wanted.user})
        offered.check(visit, {"models": wanted.models})
        new = _record(key, wanted, keys.digest(self.pepper(), key), int(now))
        others: list[tuple[Item | None, Item]] = [(None, enrolment.todo(visit.org, key.id, int(now)))]
        others += [repeat.memory(new["sk"])] if repeat else []
        try:
            made = self.registry.add(new, _teller(visit, "key.create")(None, new), *others)
        except Exists:  # a write of ours whose answer was lost, and which was repeated: 62 bits do not collide
            return self.make(visit, wanted)
        self.projection.tell(made, missed=None)
        return Made(key, made)

    def get(self, org: str, key_id: str) -> Item:
        """Return the record of a key.

        Raises:
            Unknown: there is none in `org`.
            StoreUnavailable: the Directory cannot be reached.
        """
        return self.registry.get(org, _name(org, key_id))

    def edit(self, visit: Visit, key_id: str, wanted: KeyEdit) -> Item:
        """Edit a key. That acts on its next request: what the authorizer remembers, admission finds out of date.

        Raises:
            Unknown: there is none.
            BadRequest: its new team, its new user, or one of its new models is none.
            Stale: it is not the version that was asked for.
            Shut: it is revoked, for good.
            StoreUnavailable: the Directory or Valkey cannot be reached; the message says what holds.
        """
        given = wanted.given()
        owners.check(self.registry, visit.org, given)
        if "expires_days" in given:
            given["expires_at"] = int(visit.control.now()) + given.pop("expires_days") * DAY

        def edit(old: Item) -> Item:
            if old["revoked"]:
                raise Shut("This key is revoked, and stays so. Make a new one.")
            offered.check(visit, given, old)
            return {name: value for name, value in {**old, **given}.items() if value is not None}

        edited = self.registry.edit(
            visit.org,
            _name(visit.org, key_id),
            edit,
            _teller(visit, "key.edit"),
            version=visit.version(),
            others=lambda _: [self._todo(visit, key_id)] if {"tier", "expires_at"} & given.keys() else [],
        )
        self.projection.tell(edited)
        return edited

    def rotate(self, visit: Visit, key_id: str, overlap: int) -> Made:
        """Give a key a new secret, which opens it at once; the one before it does for `overlap` seconds more.

        Raises:
            Unknown: there is none.
            Stale: it is not the version that was asked for.
            Shut: it is revoked, or its last rotation is not over.
            StoreUnavailable: the Directory cannot be reached.
        """
        name = _name(visit.org, key_id)
        repeat = Repeat.of(visit, f"rotate {key_id}", self.chance)
        now = int(visit.control.now())
        key = keys.mint(visit.org, self._chance(repeat))._replace(id=key_id)
        if repeat and repeat.made(now):
            return self._again(key, self.registry.get(visit.org, name))
        digest = keys.digest(self.pepper(), key)

        def edit(old: Item) -> Item:
            if old["revoked"]:
                raise Shut("This key is revoked, and stays so. Make a new one.")
            if overlap and old.get("previous_until", 0) > now:
                raise Shut("Two secrets open this key already. Wait for the end of the overlap, or ask for none (0).")
            previous = {"previous_hash": old["hash"], "previous_until": now + overlap}
            return {**old, "hash": digest, "last4": key.last4, **previous, "rotated_at": now}

        rotated = self.registry.edit(
            visit.org,
            name,
            edit,
            _teller(visit, "key.rotate"),
            version=visit.version(),
            others=lambda _: [repeat.memory(name)] if repeat else [],
        )
        self.projection.tell(rotated, missed=None)  # a secret that the store does not know is looked up
        return Made(key, rotated)

    def revoke(self, visit: Visit, key_id: str, version: int | None = None) -> Item:
        """Revoke a key; done again, it only tells Valkey again.

        Raises:
            Unknown: there is none.
            Stale: its version is not `version`.
            StoreUnavailable: the Directory or Valkey cannot be reached; the message says which, and what holds.
        """
        revoked = self.registry.edit(
            visit.org,
            _name(visit.org, key_id),
            lambda old: {**old, "revoked": True},
            _teller(visit, "key.revoke"),
            version=version,
            others=lambda _: [self._todo(visit, key_id)],
        )
        self.projection.tell(revoked, _REVOCATION_MISSED)
        return revoked

    def erase(self, visit: Visit, key_id: str, name: str) -> Item:
        """Revoke a key for good and put `name` in the place of its own; that, and why it was blocked, may be personal.

        Raises:
            Unknown: there is none.
            StoreUnavailable: the Directory or Valkey cannot be reached; the message says what holds.
        """
        erased = self.registry.edit(
            visit.org,
            _name(visit.org, key_id),
            lambda old: {**old, "name": name, "revoked": True},
            _teller(visit, "key.erase"),
            others=lambda _: [self._todo(visit, key_id), *self.registry.buried(visit.org, f"block#key:{key_id}")],
        )
        self.projection.tell(erased, _REVOCATION_MISSED)
        return erased

    def _todo(self, visit: Visit, key_id: str) -> tuple[Item | None, Item]:
        """Have the key's API Gateway key moved or removed once no authorizer remembers what was before."""
        due = int(visit.control.now()) + enrolment.FORGOTTEN_SECONDS
        todo = enrolment.todo(visit.org, key_id, due)
        return self.registry.find(visit.org, todo["sk"]), todo

    def _chance(self, repeat: Repeat | None) -> bytes:
        """Roll dice, or come to what a repeated request came to before: the Directory keeps half of it, the pepper."""
        if repeat is None:
            return self.chance(keys.CHANCE_BYTES)
        return hmac.digest(self.pepper().encode(), b"repeat\n" + repeat.salt.encode(), "sha512")[: keys.CHANCE_BYTES]

    def _again(self, key: keys.Key, record: Item) -> Made:
        return Made(key if keys.verify(self.pepper(), key, record["hash"]) else None, record)


def shown(known: Item) -> dict[str, Any]:
    """Render a key for administrators: everything but its hashes."""
    key_id, own = known["sk"].removeprefix("key#"), enrolment.Enrolment.of(known)
    return {
        "id": key_id,
        "object": "api_key",
        "name": known["name"],
        "display": keys.display(key_id, known["last4"]),
        "last4": known["last4"],
        "role": known["role"],
        "tier": known["tier"],
        "team": known.get("team"),
        "user": known.get("user"),
        "models": known["models"],
        "limits": known["limits"],
        "budget": told_budget(known.get("budget", {})),
        "created_at": known["created_at"],
        "expires_at": known["expires_at"],
        "revoked": known["revoked"],
        "rotated_at": known.get("rotated_at"),
        "overlap_until": known.get("previous_until"),
        "blocked_until": known.get("blocked_until"),
        "api_gateway_key": own.id if own and own.tier == known["tier"] else None,
        "version": known.get("version", 1),
    }


def _teller(visit: Visit, action: str) -> Callable[[Item | None, Item], Change]:
    def tell(old: Item | None, new: Item) -> Change:
        return visit.change(action, new["sk"].removeprefix("key#"), _impersonal(old), _impersonal(new))

    return tell


def _impersonal(known: Item | None) -> dict[str, Any] | None:
    """Render a key for the audit log, which nobody can erase: without a name that a person may have given it."""
    told = shown(known) if known else {}
    return {field: value for field, value in told.items() if field != "name" or not told["user"]} or None


def _name(org: str, key_id: str) -> str:
    """Return the sort key of a key's record.

    Raises:
        Unknown: it can be none of `org`.
    """
    if keys.org_of(key_id) != org:
        raise Unknown("key")
    return f"key#{key_id}"


def _record(key: keys.Key, wanted: NewKey, digest: str, now: int) -> Item:
    plain = wanted.model_dump(include={"name", "role", "tier", "team", "user", "models"}, exclude_none=True)
    return {
        "pk": key.org,
        "sk": f"key#{key.id}",
        **plain,
        "hash": digest,
        "last4": key.last4,
        "limits": wanted.limits.given(),
        "budget": wanted.budget.given(),
        "created_at": now,
        "expires_at": now + wanted.expires_days * DAY,
        "revoked": False,
    }
