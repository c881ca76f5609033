"""Moves usage from the store's stream into the ledger: each charge once, whatever dies in between, however many drain.

A step books some charges and moves the cursor, wholly or not at all; only then are the events forgotten. A charge that
is in the ledger already, because the stream is read again or somebody settled twice, is passed over.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple

from shared.core import events, shares
from shared.core.events import CORRECTION, EXPIRED, FIRST
from shared.edge.aws import AwsError
from shared.edge.booking import MOST_ITEMS, charge_key, fitting
from shared.edge.counters import position
from shared.edge.ledger import INVALID, Booked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from shared.core.events import Usage
    from shared.edge.counters import Counters
    from shared.edge.ledger import Cursor, Ledger

_NOTHING: Final = Booked(0, "")
_LONGEST: Final = 10_000  # characters of what is set aside
_LOST_RACES: Final = 5  # another drains as well, and gets on with it


class Drained(NamedTuple):
    """What was done: charges booked, charges that were known, and events that nobody could read."""

    booked: int = 0
    known: int = 0
    broken: int = 0

    def plus(self, other: Drained) -> Drained:
        """Return both together."""
        return Drained(*map(sum, zip(self, other, strict=True)))


class _Batch(NamedTuple):
    fresh: list[tuple[str, Usage]]  # with the ids of their events
    done: Drained
    last: str


def drain(org: str, counters: Counters, ledger: Ledger, more: Callable[[], bool]) -> Drained:
    """Book what is in the stream of `org`, as long as there is some and `more()` says to go on."""
    total, lost = Drained(), 0
    cursor = _cursor(ledger, org)
    counters.trim(org, cursor.last)  # what an earlier run booked, and did not come to forget
    while lost < _LOST_RACES and more():
        found = counters.read(org, cursor.last, MOST_ITEMS)
        if not found:
            break
        batch = _sorted(org, found, ledger)
        done = _booked(org, cursor, batch, ledger)
        if done is None:
            lost, cursor = lost + 1, _cursor(ledger, org)
            continue
        batch = done
        counters.trim(org, batch.last)
        cursor = cursor._replace(last=batch.last)
        total = total.plus(batch.done)
    return total


def _booked(org: str, cursor: Cursor, batch: _Batch, ledger: Ledger) -> _Batch | None:
    """Book a batch, or none but its first charge where that is refused; return what was, None if another was quicker.

    A charge that the ledger will never take is set aside, lest it stop all that come after it.
    """
    charges = [charge for _, charge in batch.fresh]
    try:
        return batch if ledger.book(org, cursor, charges, batch.last) else None
    except AwsError as error:
        if error.code != INVALID or not charges:
            raise
    event_id, charge = batch.fresh[0]
    if len(charges) > 1:
        return _booked(org, cursor, _Batch([(event_id, charge)], Drained(1), event_id), ledger)
    ledger.set_aside(org, event_id, json.dumps(charge._asdict())[:_LONGEST])
    return _booked(org, cursor, _Batch([], Drained(broken=1), event_id), ledger)


def _cursor(ledger: Ledger, org: str) -> Cursor:
    cursor = ledger.cursor(org)
    if cursor is None:
        raise LookupError(f"The ledger has lost the cursor of {org}.")
    return cursor


def _sorted(org: str, found: list[tuple[str, dict[str, str]]], ledger: Ledger) -> _Batch:
    """Tell the new charges from the known ones, as many as one step can take."""
    read = [(event_id, _read(org, event_id, fields, ledger)) for event_id, fields in found]
    seen = _known(org, [charge for _, charge in read if charge], ledger)
    fresh: list[tuple[str, Usage]] = []
    known = 0
    for event_id, charge in read:
        if charge is None:
            continue
        due = _due(charge, seen)
        if due is None:
            known += 1
        else:
            seen[charge_key(due.request_id, due.seq)] = Booked(due.cost, due.outcome, due.models)
            fresh.append((event_id, due))
    broken = sum(charge is None for _, charge in read)
    taken = max(1, fitting([charge for _, charge in fresh]))
    if taken >= len(fresh):
        return _Batch(fresh, Drained(len(fresh), known, broken), read[-1][0])
    last = max((event_id for event_id, _ in read if _before(event_id, fresh[taken][0])), key=position)
    return _Batch(fresh[:taken], Drained(taken), last)  # the rest is read, and counted, again


def _known(org: str, charges: list[Usage], ledger: Ledger) -> dict[str, Booked]:
    """Look up what is booked of the requests that `charges` are of, as far as it matters."""
    found = ledger.booked(org, [charge_key(one.request_id, one.seq) for one in charges])
    late = [one for one in charges if _is_late(one, found.get(charge_key(one.request_id, one.seq), _NOTHING))]
    return found | ledger.booked(org, [charge_key(one.request_id, CORRECTION) for one in late])


def _due(charge: Usage, seen: Mapping[str, Booked]) -> Usage | None:
    """Return what is still to be booked of a charge; None if nothing is.

    A store that was lost has forgotten which requests ran out of time, and tells of one that settled late as if it were
    the first to hear of it. What was booked for it then is corrected, as the store would have done.
    """
    before = seen.get(charge_key(charge.request_id, charge.seq))
    if before is None:
        return charge
    if not _is_late(charge, before) or charge_key(charge.request_id, CORRECTION) in seen:
        return None
    models = shares.corrected(charge.models, {share.model: share for share in before.models})
    return charge._replace(seq=CORRECTION, cost=charge.cost - before.cost, held=before.cost, models=models)


def _is_late(charge: Usage, before: Booked) -> bool:
    return charge.seq == FIRST and before.outcome == EXPIRED != charge.outcome


def _before(event_id: str, other: str) -> bool:
    return position(event_id) < position(other)


def _read(org: str, event_id: str, fields: dict[str, str], ledger: Ledger) -> Usage | None:
    """Read an event; one that cannot be read is set aside, lest it stop all that come after it."""
    try:
        return events.usage(fields, org=org, at=position(event_id)[0])
    except events.BrokenEventError:
        ledger.set_aside(org, event_id, json.dumps(fields)[:_LONGEST])
        return None
