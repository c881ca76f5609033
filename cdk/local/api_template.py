"""Reads the REST API out of a synthesized CloudFormation template."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from cdk.local.api import (
    MAX_BUFFERED_SECONDS,
    MAX_STREAM_SECONDS,
    Api,
    ApiKey,
    Authorizer,
    Integration,
    Method,
    Place,
    Quota,
    Rate,
    Resource,
    Stage,
    TemplateError,
    UsagePlan,
)
from cdk.local.api_properties import check, kind_of
from cdk.local.gateway_responses import GatewayResponses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_LAMBDA = "AWS::Lambda::"
_SUB_REFERENCE = re.compile(r"\$\{(\w+)(?:\.\w+)?\}")
_DEFAULT_TTL = 300
_PROXY = {"Type": "AWS_PROXY", "IntegrationHttpMethod": "POST", "ConnectionType": "INTERNET"}
_ASSUMED = {"ConnectionType": "INTERNET"}


def read(resources: Mapping[str, Any], resolve: Callable[[Any], Any]) -> Api:
    """See `Api.from_template`."""
    return _Reader(resources, resolve).api()


class _Reader:
    """Walks the resources once; every helper below asks for one kind of them."""

    def __init__(self, resources: Mapping[str, Any], resolve: Callable[[Any], Any]) -> None:
        self._all = resources
        self._resolve = resolve
        self._kinds: dict[str, dict[str, dict[str, Any]]] = {}
        for logical_id, resource in resources.items():
            if kind := kind_of(logical_id, resource):
                properties = resource.get("Properties", {})
                check(logical_id, kind, properties)
                self._kinds.setdefault(kind, {})[logical_id] = properties

    def api(self) -> Api:
        """Put the parts together."""
        api_id, properties = self._only("RestApi")
        _regional(api_id, self._resolve(properties.get("EndpointConfiguration", {})))
        return Api(
            root=self._tree(api_id),
            stage=self._stage(),
            place=self._place(api_id),
            responses=self._responses(),
            keys=self._keys(),
            key_source=properties.get("ApiKeySourceType", "HEADER"),
        )

    def _of(self, kind: str) -> dict[str, dict[str, Any]]:
        return self._kinds.get(kind, {})

    def _only(self, kind: str) -> tuple[str, dict[str, Any]]:
        found = self._of(kind)
        if len(found) != 1:
            raise TemplateError(f"The template has {len(found)} resources of type {kind}; exactly one is served here.")
        return next(iter(found.items()))

    def _place(self, api_id: str) -> Place:
        names = ("AWS::AccountId", "AWS::Region", "AWS::Partition")
        account, region, partition = (str(self._resolve({"Ref": name})) for name in names)
        return Place(str(self._resolve({"Ref": api_id})), account, region, partition)

    def _tree(self, api_id: str) -> Resource:
        root = Resource()
        nodes = {api_id: root}
        waiting = dict(self._of("Resource"))
        while waiting:
            ready = [key for key, properties in waiting.items() if _reference(properties["ParentId"]) in nodes]
            if not ready:
                raise TemplateError(f"{next(iter(waiting))}: its ParentId is no resource of this API.")
            for key in ready:
                properties = waiting.pop(key)
                nodes[key] = nodes[_reference(properties["ParentId"])].child(properties["PathPart"])
        for logical_id, properties in self._of("Method").items():
            node = nodes[_reference(properties["ResourceId"])]
            node.methods[properties["HttpMethod"]] = self._method(logical_id, properties, node.path)
        return root

    def _method(self, logical_id: str, properties: Mapping[str, Any], path: str) -> Method:
        kind = properties.get("AuthorizationType", "NONE")
        if kind not in {"NONE", "CUSTOM"}:
            raise TemplateError(f"{logical_id}: Method.AuthorizationType {kind} is not emulated.")
        authorizer = self._authorizer(_reference(properties["AuthorizerId"])) if kind == "CUSTOM" else None
        return Method(
            http_method=properties["HttpMethod"],
            resource_path=path,
            integration=self._integration(logical_id, properties.get("Integration", {})),
            authorizer=authorizer,
            api_key_required=properties.get("ApiKeyRequired", False),
            resource_id=_reference(properties["ResourceId"]),
        )

    def _integration(self, logical_id: str, properties: Mapping[str, Any]) -> Integration:
        check(logical_id, "Method.Integration", properties)
        for name, accepted in _PROXY.items():
            if (value := properties.get(name, _ASSUMED.get(name))) != accepted:
                raise TemplateError(f"{logical_id}: Method.Integration.{name} {value} is not emulated.")
        stream = properties.get("ResponseTransferMode", "BUFFERED") == "STREAM"
        action = "response-streaming-invocations" if stream else "invocations"
        most = MAX_STREAM_SECONDS if stream else MAX_BUFFERED_SECONDS
        seconds = properties.get("TimeoutInMillis", MAX_BUFFERED_SECONDS * 1000) / 1000
        if seconds > most:
            raise TemplateError(f"{logical_id}: Method.Integration.TimeoutInMillis is above {most:.0f} s.")
        return Integration(self._function(logical_id, properties["Uri"], action), stream, seconds)

    def _authorizer(self, logical_id: str) -> Authorizer:
        properties = self._of("Authorizer")[logical_id]
        if properties["Type"] != "REQUEST":
            raise TemplateError(f"{logical_id}: Authorizer.Type {properties['Type']} is not emulated.")
        sources = str(properties.get("IdentitySource", ""))
        return Authorizer(
            name=logical_id,
            function=self._function(logical_id, properties["AuthorizerUri"], "invocations"),
            ttl_s=int(properties.get("AuthorizerResultTtlInSeconds", _DEFAULT_TTL)),
            identity_sources=tuple(part.strip() for part in sources.split(",") if part.strip()),
        )

    def _function(self, logical_id: str, uri: object, action: str) -> str:
        """Return the Lambda function that `uri` names, directly or through an alias or version."""
        if not _text_of(uri).endswith(f"/{action}"):
            raise TemplateError(f"{logical_id}: its Uri does not end in /{action}, as its ResponseTransferMode needs.")
        for name in _references(uri):
            kind = str(self._all.get(name, {}).get("Type", ""))
            if kind == f"{_LAMBDA}Function":
                return name
            if kind.startswith(_LAMBDA):
                return _reference(self._all[name]["Properties"]["FunctionName"])
        raise TemplateError(f"{logical_id}: its Uri names no Lambda function of this template.")

    def _responses(self) -> GatewayResponses:
        found = (self._resolve(properties) for properties in self._of("GatewayResponse").values())
        return GatewayResponses({p["ResponseType"]: GatewayResponses.read(p["ResponseType"], p) for p in found})

    def _stage(self) -> Stage:
        logical_id, properties = self._only("Stage")
        throttles = {}
        for setting in self._resolve(properties.get("MethodSettings", [])):
            check(logical_id, "Stage.MethodSetting", setting)
            if rate := _rate(setting, "ThrottlingRateLimit", "ThrottlingBurstLimit"):
                throttles[_setting_path(setting["ResourcePath"]), setting["HttpMethod"]] = rate
        return Stage(str(self._resolve(properties["StageName"])), throttles, self._resolve(properties.get("Variables")))

    def _keys(self) -> dict[str, ApiKey]:
        plans = {key: self._plan(key, properties) for key, properties in self._of("UsagePlan").items()}
        links = self._of("UsagePlanKey").values()
        plan_of = {_reference(link["KeyId"]): plans[_reference(link["UsagePlanId"])] for link in links}
        return {key.value: key for key in self._api_keys(plan_of)}

    def _api_keys(self, plan_of: Mapping[str, UsagePlan]) -> Iterator[ApiKey]:
        for logical_id, properties in self._of("ApiKey").items():
            if "Value" not in properties:
                raise TemplateError(f"{logical_id}: an ApiKey without a Value gets one that nobody knows here.")
            value = str(self._resolve(properties["Value"]))
            yield ApiKey(logical_id, value, plan_of.get(logical_id), properties.get("Enabled", False))

    def _plan(self, logical_id: str, properties: Mapping[str, Any]) -> UsagePlan:
        for stage in properties.get("ApiStages", []):
            check(logical_id, "UsagePlan.ApiStage", stage)
        quota = properties.get("Quota")
        return UsagePlan(
            name=logical_id,
            throttle=_rate(properties.get("Throttle", {}), "RateLimit", "BurstLimit"),
            quota=Quota(int(quota["Limit"]), quota["Period"], int(quota.get("Offset", 0))) if quota else None,
        )


def _rate(settings: Mapping[str, Any], rate: str, burst: str) -> Rate | None:
    return Rate(float(settings[rate]), int(settings[burst])) if {rate, burst} <= settings.keys() else None


def _setting_path(path: str) -> str:
    """Return `/health/live` for `/~1health~1live`, and `*` for every path."""
    return "*" if path == "/*" else path[1:].replace("~1", "/")


def _regional(api_id: str, configuration: Mapping[str, Any]) -> None:
    if configuration.get("Types") != ["REGIONAL"]:
        raise TemplateError(f"{api_id}: RestApi.EndpointConfiguration must be REGIONAL: others cut idle streams.")


def _reference(value: Any) -> str:  # noqa: ANN401 - any JSON
    """Return the logical id in a Ref or GetAtt, or the first one in what is built of several."""
    return next(iter(_references(value)), "")


def _references(value: Any) -> Iterator[str]:  # noqa: ANN401 - any JSON
    if isinstance(value, list):
        for item in value:
            yield from _references(item)
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _references_of(name, inner)


def _references_of(intrinsic: str, value: Any) -> Iterator[str]:  # noqa: ANN401 - any JSON
    if intrinsic == "Ref":
        yield value
    elif intrinsic == "Fn::GetAtt":
        yield value[0] if isinstance(value, list) else value.split(".")[0]
    elif intrinsic == "Fn::Sub":
        yield from _SUB_REFERENCE.findall(value if isinstance(value, str) else value[0])
    else:
        yield from _references(value)


def _text_of(value: Any) -> str:  # noqa: ANN401 - any JSON
    """Return the last literal text of a Join, a Sub or a plain string."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return _text_of(value[-1]) if value else ""
    return _text_of(next(iter(value.values()))) if isinstance(value, dict) else ""
