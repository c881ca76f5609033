"""A REST API as data: what the synthesized template says API Gateway shall do, and which method a request reaches."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from cdk.local.gateway_responses import GatewayResponses

MAX_STREAM_SECONDS = 900.0
MAX_BUFFERED_SECONDS = 29.0

Period = Literal["DAY", "WEEK", "MONTH"]


class TemplateError(Exception):
    """The template asks for something that is not emulated here; the message names the resource and the property."""


@dataclass(frozen=True, slots=True)
class Authorizer:
    """A Lambda authorizer of type REQUEST.

    Attributes:
        function: Logical id of its Lambda function.
        ttl_s: How long a verdict is kept, in seconds; 0 asks on every request.
        identity_sources: Expressions such as `method.request.header.Authorization`; their values are the cache's key.
    """

    name: str
    function: str
    ttl_s: int = 0
    identity_sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Integration:
    """Where a method's requests go: logical id of the function, and how its answer comes back."""

    function: str
    stream: bool = False
    timeout_s: float = MAX_BUFFERED_SECONDS


@dataclass(frozen=True, slots=True)
class Method:
    """One method of one resource; `resource_path` is in API Gateway's notation."""

    http_method: str
    resource_path: str
    integration: Integration
    authorizer: Authorizer | None = None
    api_key_required: bool = False
    resource_id: str = ""


@dataclass(frozen=True, slots=True)
class Rate:
    """A token bucket: `rate` requests a second come in, at most `burst` of them wait."""

    rate: float
    burst: int


@dataclass(frozen=True, slots=True)
class Quota:
    """At most `limit` requests a calendar period (UTC); `offset` of them count as already made in the first one."""

    limit: int
    period: Period
    offset: int = 0


@dataclass(frozen=True, slots=True)
class UsagePlan:
    """Best-effort ceilings for each key of the plan."""

    name: str
    throttle: Rate | None = None
    quota: Quota | None = None


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key and the plan it draws on; a key without a plan for this stage opens nothing."""

    key_id: str
    value: str = field(repr=False)
    plan: UsagePlan | None = None
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Stage:
    """The deployed stage; its name is part of ARNs, not of the local URL.

    `throttles` is by resource path and HTTP method; the pair `("*", "*")` is for each method that has no line.
    """

    name: str
    throttles: Mapping[tuple[str, str], Rate] = field(default_factory=dict)
    variables: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Who and where this API is, for ARNs and request contexts."""

    api_id: str
    account: str
    region: str
    partition: str = "aws"


class Match(NamedTuple):
    """A method and the (still percent-encoded, as REST APIs pass them) parts of the path that its parameters took."""

    method: Method
    path_parameters: dict[str, str]


class Resource:
    """A node of the route tree."""

    def __init__(self, path: str = "/") -> None:
        self.path = path
        self.methods: dict[str, Method] = {}
        self.static: dict[str, Resource] = {}
        self.parameter: tuple[str, Resource] | None = None
        self.greedy: tuple[str, Resource] | None = None

    def child(self, part: str) -> Resource:
        """Return the resource below this one, made if it is new; `part` may be `x`, `{x}` or `{x+}`.

        Raises:
            TemplateError: a sibling already takes any segment under another name.
        """
        made = Resource(f"{self.path.rstrip('/')}/{part}")
        if not part.startswith("{"):
            return self.static.setdefault(part, made)
        name = part.strip("{}").rstrip("+")
        kind = "greedy" if part.endswith("+}") else "parameter"
        taken: tuple[str, Resource] | None = getattr(self, kind)
        if taken is None:
            setattr(self, kind, (name, made))
            return made
        if taken[0] != name:
            raise TemplateError(f"{made.path} stands beside {taken[1].path}: API Gateway accepts one of them.")
        return taken[1]

    def find(self, segments: Sequence[str]) -> tuple[Resource, dict[str, str]] | None:
        """Return the best resource with methods: static segments beat parameters, which beat greedy ones."""
        if not segments:
            return (self, {}) if self.methods else None
        head, rest = segments[0], segments[1:]
        if head in self.static and (found := self.static[head].find(rest)):
            return found
        if not head:
            return None
        if self.parameter and (found := self.parameter[1].find(rest)):
            return found[0], {self.parameter[0]: head, **found[1]}
        if self.greedy and self.greedy[1].methods:
            return self.greedy[1], {self.greedy[0]: "/".join(segments)}
        return None


@dataclass(frozen=True, slots=True)
class Api:
    """Everything that the front needs to know of the template."""

    root: Resource
    stage: Stage
    place: Place
    responses: GatewayResponses
    keys: Mapping[str, ApiKey] = field(default_factory=dict)
    key_source: Literal["HEADER", "AUTHORIZER"] = "HEADER"

    @classmethod
    def from_template(cls, resources: Mapping[str, Any], resolve: Callable[[Any], Any]) -> Api:
        """Read the one REST API among `resources` (those of the template whose conditions hold).

        `resolve` evaluates intrinsics, however deep in the value it is given.

        Raises:
            TemplateError: something of API Gateway's in it would not behave here as it does deployed.
        """
        from cdk.local.api_template import read  # noqa: PLC0415 - the reader builds on this module

        return read(resources, resolve)

    def match(self, http_method: str, path: str) -> Match | None:
        """Return the method that serves `path` (percent-encoded, without a query), or None."""
        if not path.startswith("/"):
            return None
        found = self.root.find(path[1:].split("/") if path != "/" else [])
        if found is None:
            return None
        resource, parameters = found
        method = resource.methods.get(http_method) or resource.methods.get("ANY")
        return Match(method, parameters) if method else None

    def methods(self) -> list[Method]:
        """All methods, for whoever wants to list the routes."""
        found: list[Method] = []
        waiting = [self.root]
        while waiting:
            node = waiting.pop()
            found += node.methods.values()
            waiting += [*node.static.values(), *(n[1] for n in (node.parameter, node.greedy) if n)]
        return sorted(found, key=lambda method: (method.resource_path, method.http_method))

    def method_arn(self, http_method: str, path: str) -> str:
        """Return the ARN that policies of authorizers speak of."""
        place = self.place
        api = f"arn:{place.partition}:execute-api:{place.region}:{place.account}:{place.api_id}"
        return f"{api}/{self.stage.name}/{http_method}{path}"
