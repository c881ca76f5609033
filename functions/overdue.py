"""Asks the log about requests whose time has run out, before they are charged all that they had reserved.

A gateway writes what a request cost before it tells the store. Where the store was out of reach then, or the process
died in between, the log alone knows; it is read only if there is such a request, and searched for that one.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from functions.replaying import MARGIN_MS
from shared.edge.aws import AwsError

SEARCH_SECONDS: Final = 0.5  # after which no further request is searched for, lest the time of an invocation be up

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from functions.rebuilding import Say
    from shared.core.events import Usage
    from shared.edge.admission import Admission


class Settled(Protocol):
    """The log."""

    def settled(self, org: str, request_ids: Collection[str], since: int) -> Mapping[str, Usage]:
        """Return what is known of the settlements of these requests since an epoch millisecond."""
        ...


class Overdue(NamedTuple):
    """Charges them; `lease_ms` is the longest that they may have lived."""

    admission: Admission
    log: Settled
    lease_ms: int
    say: Say

    def reap(self, org: str, most: int) -> int:
        """Charge up to `most` of an organization; returns how many there were, of those that were searched for in time.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        return self.admission.reap(org, most, self._told)

    def _told(self, org: str, request_ids: list[str], ended: int) -> Mapping[str, Usage | None]:
        found: dict[str, Usage | None] = {}
        since, until = ended - self.lease_ms - MARGIN_MS, time.monotonic() + SEARCH_SECONDS
        try:
            for request_id in request_ids:
                found[request_id] = self.log.settled(org, [request_id], since).get(request_id)
                if time.monotonic() > until:
                    break
        except AwsError as error:  # what they had reserved is never less than what they cost
            self.say({"level": "WARN", "event": "log_unread", "org": org, "why": str(error), "count": len(request_ids)})
            return dict.fromkeys(request_ids) | found
        return found
