"""The gateway's log in CloudWatch, as the books read it: only after a loss, so that it costs nothing while all is well.

A subscription would copy each line into a table as it comes, at a write per request for ever; reading the log when the
store is lost costs some calls of an API that is free. The price is to wait until CloudWatch shows what was written,
which takes it seconds, and of which it promises nothing.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, cast

from shared.core import events, journal
from shared.edge.aws import AwsUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from shared.core.events import Usage
    from shared.core.journal import Reservation
    from shared.edge.aws import Aws

READ_SECONDS: Final = 8.0  # of a page; with what is below it must fit what an invocation keeps in spare
_PATIENCE_SECONDS: Final = 1.5  # after which a page is not asked for again; the account's share is a few calls a second
_PAUSE_SECONDS: Final = 0.5


class Log:
    """One log group."""

    def __init__(
        self,
        aws: Aws,
        group: str,
        say: Callable[[Mapping[str, Any]], object],
        *,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """`say` hears of what nobody can read."""
        self._aws = aws
        self._group = group
        self._say = say
        self._pause = pause

    def lines(self, org: str, event: str, since: int, **more: str) -> Iterator[Reservation | Usage]:
        """Yield what the journal says of `org` under the name `event` since an epoch millisecond, oldest first.

        `more` are fields that must be in the line too.

        Raises:
            AwsError: the log cannot be read.
        """
        return self._lines(org, {"event": event, "org": org, **more}, since)

    def _lines(self, org: str, wanted: Mapping[str, str], since: int) -> Iterator[Reservation | Usage]:
        clauses = " && ".join(f'$.{name} = "{value}"' for name, value in wanted.items())
        request: dict[str, Any] = {
            "logGroupName": self._group,
            "startTime": max(0, since),
            "filterPattern": f"{{ {clauses} }}",
        }
        while True:
            page = self._page(request)
            for found in page.get("events", []):
                line = self._read(found["message"], org)
                if line:
                    yield line
            if "nextToken" not in page:  # a page may be empty, and not the last
                return
            request["nextToken"] = page["nextToken"]

    def unstored(self, org: str, since: int) -> Iterator[Reservation | Usage]:
        """Yield what was reserved and settled without the store since an epoch millisecond; users are pseudonyms.

        Raises:
            AwsError: the log cannot be read.
        """
        return self._lines(org, {"org": org, **journal.UNSTORED}, since)

    def settled(self, org: str, request_ids: Collection[str], since: int) -> dict[str, Usage]:
        """Return what the journal says of the settlements of a few requests, by their ids; users stay pseudonyms.

        Raises:
            AwsError: the log cannot be read.
        """
        found: dict[str, Usage] = {}
        for request_id in request_ids:
            for line in self.lines(org, events.USAGE, since, request_id=request_id):
                found[request_id] = cast("Usage", line)
        return found

    def _read(self, text: str, org: str) -> Reservation | Usage | None:
        try:
            return journal.read(text, org)
        except events.BrokenEventError as error:  # it must not keep an organization closed for ever
            self._say(
                {"level": "ERROR", "event": events.SECURITY, "reason": "broken_line", "org": org, "why": str(error)}
            )
            return None

    def _page(self, request: dict[str, Any]) -> dict[str, Any]:
        began = time.monotonic()
        while True:
            try:
                return self._aws.write("FilterLogEvents", request)  # once: it is tried again here
            except AwsUnavailableError:
                if time.monotonic() - began > _PATIENCE_SECONDS:
                    raise
                self._pause(_PAUSE_SECONDS)
