"""A small API in a template of its own, functions that are plain coroutines, and a client that says what it read."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec

from cdk.local.api import Api
from cdk.local.front import Access, Front
from cdk.local.invocation import Invocation
from cdk.local.server import serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping

    Function = Callable[[dict[str, Any], Invocation], Awaitable[None]]

P = ParamSpec("P")
SECONDS = 20  # no test waits longer for anything
PSEUDO = {"AWS::AccountId": "123456789012", "AWS::Region": "eu-central-1", "AWS::Partition": "aws", "Rest": "api123"}


def asynchronous(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test that is a coroutine, for a bounded time."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), SECONDS))

    return run


def policy(effect: str, resource: str = "*") -> dict[str, Any]:
    """A policy document of one statement."""
    return {
        "Version": "2012-10-17",
        "Statement": [{"Action": "execute-api:Invoke", "Effect": effect, "Resource": resource}],
    }


ALLOWED = {"principalId": "me", "policyDocument": policy("Allow"), "usageIdentifierKey": "prefix-pro"}


def uri(function: str, *, stream: bool = False) -> dict[str, Any]:
    """An integration's URI as CDK writes it."""
    action = "response-streaming-invocations" if stream else "invocations"
    arn = {"Fn::GetAtt": [function, "Arn"]}
    head = ["arn:", {"Ref": "AWS::Partition"}, ":apigateway:", {"Ref": "AWS::Region"}, ":lambda:path/x/functions/"]
    return {"Fn::Join": ["", [*head, arn, f"/{action}"]]}


def method(resource: str, verb: str, function: str, *, stream: bool = False, **more: Any) -> dict[str, Any]:
    """A method with a proxy integration; `more` are properties of it."""
    integration: dict[str, Any] = {"Type": "AWS_PROXY", "IntegrationHttpMethod": "POST"}
    integration["Uri"] = uri(function, stream=stream)
    if stream:
        integration["ResponseTransferMode"] = "STREAM"
    integration |= more.pop("Integration", {})
    properties = {"HttpMethod": verb, "ResourceId": {"Ref": resource}, "RestApiId": {"Ref": "Rest"}, **more}
    return {"Type": "AWS::ApiGateway::Method", "Properties": {**properties, "Integration": integration}}


def resource(part: str, parent: Any) -> dict[str, Any]:
    """A resource below `parent` (a reference)."""
    properties = {"PathPart": part, "ParentId": parent, "RestApiId": {"Ref": "Rest"}}
    return {"Type": "AWS::ApiGateway::Resource", "Properties": properties}


def gateway_response(name: str, template: str, status: str | None = None, **headers: str) -> dict[str, Any]:
    """A gateway response with `x-request-id`."""
    sources = {"gatewayresponse.header.x-request-id": "context.requestId"}
    sources |= {f"gatewayresponse.header.{key}": value for key, value in headers.items()}
    properties = {
        "ResponseType": name,
        "ResponseTemplates": {"application/json": template},
        "RestApiId": {"Ref": "Rest"},
    }
    return {
        "Type": "AWS::ApiGateway::GatewayResponse",
        "Properties": {**properties, "ResponseParameters": sources, **({"StatusCode": status} if status else {})},
    }


def template(**more: Any) -> dict[str, Any]:
    """Resources of an API: `/whole` (GET, POST), `/stream` (POST), `/closed` (GET, with key), `/files/{name+}`."""
    root = {"Fn::GetAtt": ["Rest", "RootResourceId"]}
    closed: dict[str, Any] = {"AuthorizationType": "CUSTOM", "AuthorizerId": {"Ref": "Asks"}, "ApiKeyRequired": True}
    return {
        "Rest": {
            "Type": "AWS::ApiGateway::RestApi",
            "Properties": {"ApiKeySourceType": "AUTHORIZER", "EndpointConfiguration": {"Types": ["REGIONAL"]}},
        },
        "Whole": resource("whole", root),
        "Stream": resource("stream", root),
        "Closed": resource("closed", root),
        "Files": resource("files", root),
        "File": resource("{name+}", {"Ref": "Files"}),
        "GetWhole": method("Whole", "GET", "Answer"),
        "PostWhole": method("Whole", "POST", "Answer"),
        "PostStream": method("Stream", "POST", "Pour", stream=True),
        "GetClosed": method("Closed", "GET", "Answer", **closed),
        "GetFile": method("File", "GET", "Answer"),
        "Asks": authorizer(AuthorizerResultTtlInSeconds=0),
        "Stage": {
            "Type": "AWS::ApiGateway::Stage",
            "Properties": {"StageName": "dev", "RestApiId": {"Ref": "Rest"}, "DeploymentId": {"Ref": "Deployment"}},
        },
        "Deployment": {"Type": "AWS::ApiGateway::Deployment", "Properties": {"RestApiId": {"Ref": "Rest"}}},
        "Key": {"Type": "AWS::ApiGateway::ApiKey", "Properties": {"Enabled": True, "Value": "prefix-pro"}},
        "Plan": {"Type": "AWS::ApiGateway::UsagePlan", "Properties": {"Throttle": {"RateLimit": 50, "BurstLimit": 99}}},
        "Link": {
            "Type": "AWS::ApiGateway::UsagePlanKey",
            "Properties": {"KeyId": {"Ref": "Key"}, "KeyType": "API_KEY", "UsagePlanId": {"Ref": "Plan"}},
        },
        "No4": gateway_response("DEFAULT_4XX", '{"code":"4xx","message":$context.error.messageString}'),
        "No5": gateway_response("DEFAULT_5XX", '{"code":"5xx","message":$context.error.messageString}'),
        **{name: {"Type": "AWS::Lambda::Function", "Properties": {}} for name in ("Answer", "Pour", "Verdict")},
        **more,
    }


def authorizer(**more: Any) -> dict[str, Any]:
    """The authorizer `Asks`, which invokes `Verdict`."""
    properties = {"Type": "REQUEST", "AuthorizerUri": uri("Verdict"), "RestApiId": {"Ref": "Rest"}, **more}
    return {"Type": "AWS::ApiGateway::Authorizer", "Properties": properties}


def resolve(value: Any) -> Any:
    """Evaluate the intrinsics that the template uses."""
    if isinstance(value, list):
        return [resolve(item) for item in value]
    if isinstance(value, dict):
        return (
            PSEUDO.get(value["Ref"], value["Ref"])
            if "Ref" in value
            else {name: resolve(item) for name, item in value.items()}
        )
    return value


class Functions:
    """An invoker whose functions are coroutines `f(event, invocation)`; what they were asked is in `events`."""

    def __init__(self, **functions: Function) -> None:
        self._functions = functions
        self.events: list[dict[str, Any]] = []
        self._tasks: set[asyncio.Future[None]] = set()

    async def invoke(self, name: str, event: Mapping[str, Any] | bytes, *, trace_id: str = "") -> Invocation:
        """Start a function beside the caller, as a process would run."""
        assert not isinstance(event, bytes)
        assert trace_id
        invocation = Invocation(b"")
        self.events.append(dict(event))
        self._tasks.add(asyncio.ensure_future(self._functions[name](dict(event), invocation)))
        return invocation


def answers(value: Any) -> Function:
    """A function that answers `value` as a buffered one does."""

    async def function(_event: dict[str, Any], invocation: Invocation) -> None:
        invocation.feed(json.dumps(value).encode())
        invocation.end()

    return function


def prelude(status: int = 200, **headers: str) -> bytes:
    """What a streamed answer begins with."""
    return json.dumps({"statusCode": status, "headers": headers}).encode() + bytes(8)


class Reply(NamedTuple):
    """One response off the wire; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


class Client:
    """One connection to the front."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        """Write raw bytes."""
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> Reply:
        """Read a response up to its body."""
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = [line.split(": ", 1) for line in lines[1:] if line]
        return Reply(int(lines[0].split()[1]), {name.lower(): value for name, value in pairs}, b"")

    async def chunk(self) -> bytes:
        """Read one chunk of a chunked body; the last one is empty."""
        size = int(await self.reader.readuntil(b"\r\n"), 16)
        return (await self.reader.readexactly(size + 2))[:-2]

    async def reply(self) -> Reply:
        """Read one whole response."""
        head = await self.head()
        if "content-length" in head.headers:
            return head._replace(body=await self.reader.readexactly(int(head.headers["content-length"])))
        body = b""
        while head.headers.get("transfer-encoding") == "chunked" and (part := await self.chunk()):
            body += part
        return head._replace(body=body)

    async def rest(self) -> bytes:
        """Read until the front closes the connection, properly or not."""
        try:
            return await self.reader.read()
        except ConnectionResetError:
            return b""


class Local:
    """A served API."""

    def __init__(self, port: int, front: Front, log: list[Access]) -> None:
        self.port = port
        self.front = front
        self.log = log

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """Open a connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield Client(reader, writer)
        finally:
            writer.close()

    async def call(self, verb: str, path: str, body: bytes = b"", **headers: str) -> Reply:
        """Make one request on a connection of its own."""
        lines = [f"{verb} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        async with self.client() as client:
            await client.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
            return await client.reply()

    async def logged(self, count: int = 1) -> list[Access]:
        """Wait until `count` requests are in the access log."""
        while len(self.log) < count:  # noqa: ASYNC110 - the log is a plain list
            await asyncio.sleep(0.005)
        return self.log


@contextlib.asynccontextmanager
async def serving(
    invoker: Any, resources: Mapping[str, Any] | None = None, firewall: Any = None
) -> AsyncIterator[Local]:
    """Serve the template (or `resources`) with `invoker`."""
    log: list[Access] = []
    api = Api.from_template(template() if resources is None else resources, resolve)
    front = Front(api, invoker, access_log=log.append, firewall=firewall)
    async with serve(front, "127.0.0.1", 0) as port:
        yield Local(port, front, log)
