"""What the manifest is made of: functions, routes and usage plans, as types without any content."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from shared.grants import SET_WITH_GRANT, Grant

if TYPE_CHECKING:
    from shared.core.principals import Action

Bundle = Literal["hot", "control", "gcp"]
Auth = Literal["key", "none"]
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]

ALWAYS_SET: Final = (
    "AWS_LAMBDA_EXEC_WRAPPER",
    "POWERTOOLS_METRICS_NAMESPACE",
    "POWERTOOLS_SERVICE_NAME",
    "RES_OPTIONS",
    "STAGE",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One Lambda function.

    Attributes:
        handler: Import path of the callable that the runtime loop calls.
        bundle: Whose dependencies it is zipped with: `hot` is the lean data plane, `control` has boto3 and pydantic,
            `gcp` Google's client of Cloud Run.
        memory_mb: Also sets the share of a CPU: 1,769 MB is one whole vCPU.
        timeout_s: Of one invocation, in seconds.
        streams: It answers chunk by chunk, so every route to it needs API Gateway's STREAM mode.
        extra_environment: Variables beyond those that every function has and those that come with its grants.
        optional_grants: Permissions that exist only where the catalog has targets of that kind, or the deployment has
            what they are for; what is set with them is only then.
        optional_environment: Variables that exist only where the deployment configures them.
        writes_to: Whose log it writes to, where that is not its own: requests are in one journal, whoever serves them.
        queued: It is started by each message of the batches' queue, into which it puts messages for itself.
        every_minutes: It is started so often by a schedule, without an answer to anyone; 0 for never.
        hears: It is started with the lines in the logs of all others that match this filter of CloudWatch's; "" for
            none.
    """

    name: str
    handler: str
    bundle: Bundle
    memory_mb: int
    timeout_s: int
    streams: bool = False
    grants: tuple[Grant, ...] = ()
    optional_grants: tuple[Grant, ...] = ()
    extra_environment: tuple[str, ...] = ()
    optional_environment: tuple[str, ...] = ()
    writes_to: str = ""
    queued: bool = False
    every_minutes: int = 0
    hears: str = ""

    @property
    def environment(self) -> frozenset[str]:
        """Names of the variables that this function always finds set."""
        granted = (name for grant in self.grants for name in SET_WITH_GRANT[grant.resource])
        return frozenset((*ALWAYS_SET, *granted, *self.extra_environment))

    @property
    def key_actions(self) -> tuple[str, ...]:
        """Everything it may do with the key, and only on behalf of the stores it was granted."""
        return tuple(sorted({action for grant in self.grants for action in grant.key_actions}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One method of one URL.

    Attributes:
        path: In API Gateway's notation: `{id}` is one segment, `{id+}` is all that remain.
        auth: `key` asks the authorizer and counts against a usage plan; `none` is open to anyone.
        needs: What the caller's role must allow (`shared.core.principals.MAY`); None for what is open to anyone.
    """

    method: Method
    path: str
    function: str
    auth: Auth = "key"
    needs: Action | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """API Gateway's best-effort ceiling for each API Gateway key of a tier.

    A client has one of its own; those who have none, or tokens, share one, and this ceiling. The exact limits are the
    admission script's (the tier presets in the catalog): this only keeps a flood away from the functions.
    """

    tier: str
    rate: int  # requests a second, sustained
    burst: int  # requests at once
