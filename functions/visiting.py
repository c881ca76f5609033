"""One event of API Gateway, with all that its answer takes."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from functions import arrival
from functions.call import Call
from functions.pipeline import settled
from shared.core import addresses, principals
from shared.core.errors import StoreUnavailable
from shared.providers.adapter import Moment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from functions.plane import Gateway
    from functions.reply import Reply
    from shared.core.principals import Action
    from shared.edge.telemetry import Event

FIT = "x-nexus-fit-budget"  # "true": shorten my answers to what my budgets afford
END_SECONDS = 2.0  # before Lambda's own deadline: time to tell the client, to settle and to log


class Context(Protocol):
    """What is used of the invocation's context."""

    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda ends the invocation."""


class Visit(NamedTuple):
    """Who calls, with what, and how the answer leaves."""

    event: Mapping[str, Any]
    context: Context
    told: Event
    gateway: Gateway
    reply: Reply

    def call(self, action: Action, endpoint: str = "") -> Call:
        """Return who calls, and for how long; `endpoint` has a limit of its own.

        Raises:
            Unauthorized: the authorizer said nothing of a key.
            Forbidden: its role does not allow `action`.
        """
        context = self.event.get("requestContext", {})
        principal = principals.from_context(context.get("authorizer") or {})
        self.told.key_id = principal.key_id
        if not principal.may(action):  # an edit of a moment ago may have changed that
            principal = self.gateway.renewed(principal)
            principal.require(action)
        address = addresses.bits(str(context.get("identity", {}).get("sourceIp")))  # never a header's word
        left = self.context.get_remaining_time_in_millis() / 1000
        moment = Moment(self.told.request_id, int(time.time()))
        return Call(
            principal, self.told, time.monotonic() + left - END_SECONDS, left, moment, action, address, endpoint
        )

    def header(self, name: str) -> str:
        """Return a header of the request, "" if it has none; `name` is in lower case."""
        return arrival.header(self.event, name)

    def body(self) -> bytes:
        """Return the bytes that the client sent.

        Raises:
            BadRequest: they are said to be base64 and are not.
        """
        return arrival.body(self.event)


@contextmanager
def admitted_if_possible(call: Call, visit: Visit) -> Iterator[None]:
    """Let limits and revocation count while there is a store to ask; without one, what is no secret is served."""
    visit.gateway.renew(call.principal.org)
    try:
        visit.reply.headers.update(visit.gateway.admit(call).headers())
    except StoreUnavailable:
        yield
        return
    with settled(call, visit.gateway):
        yield
