"""Limits of the control plane's own endpoints, counted by the admission script as those of the gateway are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from functions import policing
from shared.core import addresses, limits, principals
from shared.core.errors import StoreUnavailable
from shared.edge.admission import Ask, Stale, Unprojected, Who

if TYPE_CHECKING:
    from functions.control import Control
    from shared.core.principals import Principal

_TRIES: Final = 3  # the store may not know the caller, nor what was edited just now
_LEASE: Final = 10.0  # seconds, should this process die before it gives it back


def counted(control: Control, caller: Principal, endpoint: str, request_id: str, address: str) -> dict[str, str]:
    """Count a request of `endpoint`, one of `limits.ENDPOINTS`, which costs nothing; return what the client is told.

    While there is no store to ask, it is served uncounted: nothing can be spent by it.

    Raises:
        RateLimited: a limit is reached.
        Unauthorized, Forbidden: the caller is shut out.
    """
    scopes = limits.scopes(caller.org, caller.key_id, caller.user, caller.team, endpoint=endpoint)
    says = 2 if principals.is_token(caller.key_id) else 1  # a token's user is the second scope
    who = Who(says, caller.identity, caller.secret, addresses.bits(address), caller.issued_at)
    try:
        return _admitted(control, caller, Ask(caller.org, scopes, request_id, _LEASE, who=who))
    except StoreUnavailable:
        return {}


def _admitted(control: Control, caller: Principal, ask: Ask) -> dict[str, str]:
    admission, tiers = control.projection.admission, control.projection.tiers
    for again in range(_TRIES):
        try:
            grant = admission.admit(ask, any_presets=again > 0)
        except Unprojected as unknown:
            policing.project(admission, control.directory, tiers, caller, unknown.scopes)
        except Stale:
            policing.project(admission, control.directory, tiers, caller, ask.scopes[: ask.who.scope])
        else:
            admission.withdraw(ask)
            return grant.headers()
    raise StoreUnavailable("The gateway cannot count this request now.", retry_after=1)
