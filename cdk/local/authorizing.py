"""Asks Lambda authorizers, keeps their verdicts for as long as the template says, and applies their policies."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from cdk.local import policy
from cdk.local.gateway_responses import Refused
from cdk.local.invocation import FunctionError, InvocationError, payload_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from cdk.local.api import Api, ApiKey, Authorizer, Method
    from cdk.local.invocation import Invocation
    from cdk.local.request import Request

    MoreKeys = Callable[[str], Awaitable[ApiKey | None]]

MAX_CACHED = 10_000
_BROKEN = "AUTHORIZER_CONFIGURATION_ERROR"


class Invoker(Protocol):
    """Whatever runs functions: the pool, or a test's own."""

    async def invoke(self, name: str, event: Mapping[str, Any] | bytes, *, trace_id: str = "") -> Invocation:
        """See `Pool.invoke`."""


class Verdict(NamedTuple):
    """An authorizer's answer; one verdict may serve several methods, so the policy is applied each time."""

    principal: str
    document: Mapping[str, Any]
    context: Mapping[str, str]
    usage_key: str | None


class Authorizing:
    """Lets requests pass that their method's authorizer and API key allow."""

    def __init__(
        self,
        api: Api,
        invoker: Invoker,
        *,
        more_keys: MoreKeys | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`more_keys` looks up API keys by their values that are not in the template."""
        self._api = api
        self._invoker = invoker
        self._more_keys = more_keys
        self._monotonic = monotonic
        self._kept: OrderedDict[tuple[str, ...], tuple[float, Verdict]] = OrderedDict()

    async def admit(self, method: Method, request: Request) -> ApiKey | None:
        """Return the API key that the request counts against, if its method wants one.

        Raises:
            Refused: with the gateway response that API Gateway gives.
        """
        usage_key = None
        if method.authorizer:
            verdict = await self._verdict(method.authorizer, request)
            request.authorized(verdict.principal, verdict.context)
            if not policy.allows(verdict.document, self._api.method_arn(request.method, request.path)):
                raise Refused("ACCESS_DENIED")
            usage_key = verdict.usage_key
        if not method.api_key_required:
            return None
        return await self._key(request, usage_key or "")

    async def _key(self, request: Request, usage_key: str) -> ApiKey:
        if self._api.key_source == "HEADER":
            usage_key = (request.header(b"x-api-key") or b"").decode("latin-1")
        key = self._api.keys.get(usage_key)
        if key is None and usage_key and self._more_keys:
            key = await self._more_keys(usage_key)
        if key is None or not key.enabled or key.plan is None:
            raise Refused("INVALID_API_KEY", reason="no enabled API key of a usage plan came with the request")
        request.context["identity"]["apiKey"] = key.value
        request.context["identity"]["apiKeyId"] = key.key_id
        return key

    async def _verdict(self, authorizer: Authorizer, request: Request) -> Verdict:
        values = [request.value_of(source) for source in authorizer.identity_sources]
        if not all(values):
            raise Refused("UNAUTHORIZED", reason="an identity source is missing")
        if not authorizer.ttl_s or not values:
            return await self._ask(authorizer, request)
        key = (authorizer.name, *(str(value) for value in values))
        until, verdict = self._kept.get(key, (0.0, None))
        if verdict is None or until <= self._monotonic():
            verdict = await self._ask(authorizer, request)
            self._keep(key, authorizer.ttl_s, verdict)
        return verdict

    def _keep(self, key: tuple[str, ...], ttl_s: int, verdict: Verdict) -> None:
        self._kept.pop(key, None)
        self._kept[key] = (self._monotonic() + ttl_s, verdict)
        while len(self._kept) > MAX_CACHED:
            self._kept.popitem(last=False)

    async def _ask(self, authorizer: Authorizer, request: Request) -> Verdict:
        try:
            event = request.authorizer_event()
            invocation = await self._invoker.invoke(authorizer.function, event, trace_id=request.trace_id)
            return _verdict_of(payload_of(await invocation.read()))
        except FunctionError as error:
            if error.message == "Unauthorized":  # the one word by which an authorizer may refuse without a policy
                raise Refused("UNAUTHORIZED") from error
            raise Refused(_BROKEN, reason=str(error)) from error
        except InvocationError as error:
            raise Refused("AUTHORIZER_FAILURE", reason=str(error)) from error
        except policy.PolicyError as error:
            raise Refused(_BROKEN, reason=f"{authorizer.function}: {error}") from error


def _verdict_of(answer: Any) -> Verdict:  # noqa: ANN401 - any JSON
    if not isinstance(answer, dict) or not isinstance(answer.get("principalId"), str):
        raise policy.PolicyError("The answer is no object with a principalId.")
    context = {} if answer.get("context") is None else answer["context"]
    if not isinstance(answer.get("usageIdentifierKey"), str | None):
        raise policy.PolicyError("The usageIdentifierKey is no string.")
    if not isinstance(context, dict) or any(isinstance(value, list | dict) for value in context.values()):
        raise policy.PolicyError("The context may hold strings, numbers and booleans only.")
    return Verdict(
        principal=answer["principalId"],
        document=policy.check(answer.get("policyDocument")),
        context={name: _text(value) for name, value in context.items() if value is not None},
        usage_key=answer.get("usageIdentifierKey"),
    )


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
