"""What this service adds to the gateway's tree of errors.

GatewayError
├── Overloaded       503  as many requests are inside as may be
├── NotReady         503  the model is not loaded, could not be, or is about to be started anew
├── IdentityUnknown  503  the identity provider's keys cannot be had
├── Stuck            504  the run that a request is in does not end
└── TooSlow          408  the client did not send its body in time
"""

# ruff: noqa: N818, the tree names what happened, as shared/core/errors.py does
from __future__ import annotations

from shared.core.errors import GatewayError


class Overloaded(GatewayError):
    """As many requests are inside as may be; nothing was computed for this one."""

    status = 503
    code = "overloaded"


class NotReady(GatewayError):
    """The model is not loaded, could not be, or is about to be started anew."""

    status = 503
    code = "not_ready"


class IdentityUnknown(GatewayError):
    """The identity provider's keys cannot be had, so nobody can say who calls."""

    status = 503
    code = "identity_unavailable"


class Stuck(GatewayError):
    """The run that a request is in does not end."""

    status = 504
    code = "run_timeout"


class TooSlow(GatewayError):
    """The client did not send its body in time."""

    status = 408
    type = "invalid_request_error"
    code = "request_timeout"
