"""The routes of the simulated provider.

Providers' own: `POST /v1/chat/completions`, `POST /v1/embeddings`, `GET /v1/models[/{id}]`, `GET /health`. For tests
and load runs: `GET /_calls[?tag=]`, `DELETE /_calls`, `POST /_knobs` (replaces the process-wide knobs; `{}` restores
health), `POST /_gates/<name>`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

from cdk.local.simulated import answers, faults, frames, lies
from cdk.local.simulated.knobs import PLAIN, Failures, Knobs, knobs
from cdk.local.simulated.log import Call, Log

if TYPE_CHECKING:
    from cdk.local.simulated import Json
    from cdk.local.simulated.server import Request, Wire

MODELS = ("simulated", "simulated-embedding")
_CREATED = 1767225600  # 2026-01-01, the birthday of every simulated model
_DIMENSIONS = 384
_JSON = ("content-type", "application/json")


class _RefusedError(Exception):
    """The request is wrong: answered with `status` and OpenAI's error form."""

    def __init__(self, status: int, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = faults.failure(status, message, param=param, code=code)


class App:
    """Answers requests; its state is the call log, the process-wide knobs, the failure sequences and the gates."""

    def __init__(self) -> None:
        self.log = Log()
        self._failures = Failures()
        self._gates = faults.Gates()
        self._defaults: dict[str, Any] = {}

    async def __call__(self, request: Request, wire: Wire) -> None:
        """Route one request."""
        if request.path in {"/v1/chat/completions", "/v1/embeddings"} and request.method == "POST":
            await self._logged(request, wire)
        else:
            await self._control(request, wire)

    async def _control(self, request: Request, wire: Wire) -> None:
        try:
            body = frames.encode(self._controlled(request))
        except _RefusedError as refused:
            await wire.send(refused.status, [_JSON], refused.body)
        else:
            await wire.send(200, [_JSON], body)

    def _controlled(self, request: Request) -> dict[str, Any]:
        match request.method, request.path:
            case "GET", "/_calls":
                return self.log.report("".join(parse_qs(request.query).get("tag", [])))
            case "DELETE", "/_calls":
                self.log.clear()
            case "POST", "/_knobs":
                self._set(_json(request.body))
            case "POST", path if path.startswith("/_gates/"):
                self._gates.gate(path.removeprefix("/_gates/")).set()
            case "GET", path:
                return _shown(path)
            case method, path:
                raise _unknown(method, path)
        return {"done": True}

    def _set(self, defaults: dict[str, Any]) -> None:
        _knobs(defaults, {})
        self._defaults = defaults
        self._failures.forget()

    async def _logged(self, request: Request, wire: Wire) -> None:
        call = self.log.open(request.path, request.headers, request.body)
        try:
            await self._served(request, wire, call)
        except _RefusedError as refused:
            call.outcome = "failed"
            await wire.send(refused.status, _headers(call), refused.body)
        except (asyncio.CancelledError, ConnectionError):
            call.outcome = "client_gone"
            raise
        finally:
            call.status = wire.status
            call.ended_at = time.time()

    async def _served(self, request: Request, wire: Wire, call: Call) -> None:
        body = _json(request.body)
        asked = self._failures.cured(_knobs(self._defaults, body))
        call.model, call.stream, call.tag = str(body.get("model")), body.get("stream") is True, asked.tag
        if asked.keep_body:
            call.body = request.body.decode("utf-8", "replace")
        if asked.latency_ms:
            await asyncio.sleep(asked.latency_ms / 1000)
        if asked is not PLAIN and await self._faulty(request, wire, call, asked):
            return
        if request.path == "/v1/embeddings":
            await _embed(body, wire, call)
        else:
            await self._chat(body, wire, call, asked)

    async def _faulty(self, request: Request, wire: Wire, call: Call, asked: Knobs) -> bool:
        status = self._failures.status(asked)
        if status is not None:
            call.outcome = "failed"
            await faults.fail(wire, status, _headers(call), asked)
            return True
        for mode in asked.modes & faults.INSTEAD.keys():
            await faults.INSTEAD[mode](request, wire, call)
            call.outcome = "lied"
            return True
        return False

    async def _chat(self, body: dict[str, Any], wire: Wire, call: Call, asked: Knobs) -> None:
        if not body.get("messages") or not isinstance(body["messages"], list):
            raise _RefusedError(
                400, "Missing required parameter: 'messages'.", "messages", "missing_required_parameter"
            )
        given = answers.answers(body, asked)
        call.usage = answers.usage(body, given)
        digest = hashlib.sha256(f"{call.body_sha256}{call.number}".encode()).hexdigest()
        head = {
            "id": f"chatcmpl-simulated-{digest[:20]}",
            "created": int(time.time()),
            "model": call.model,
            "system_fingerprint": "fp_simulated",
            "service_tier": "default",
        }
        lying = asked.modes & {"json_to_stream", "sse_to_whole"}
        if call.stream != bool(lying):
            options = body.get("stream_options") or {}
            usage = call.usage if options.get("include_usage") else None
            chunks = lies.told(frames.chunks(head, given, usage, asked.chunks), asked.modes, lies.CHUNKS)
            await self._stream([frames.frame(chunk) for chunk in chunks], wire, call, asked)
        else:
            reply = lies.told(frames.completion(head, given, call.usage), asked.modes, lies.REPLIES)
            headers = [*_headers(call), *faults.extra_headers(asked.modes)]
            await faults.send_whole(wire, headers, frames.encode(reply), asked.modes)
            call.outcome = "answered"

    async def _stream(self, made: list[bytes], wire: Wire, call: Call, asked: Knobs) -> None:
        told = lies.told([*made, frames.DONE], asked.modes, lies.FRAMES)
        kind = ("content-type", "text/event-stream; charset=utf-8")
        await wire.start(200, [kind, *_headers(call)[1:], *faults.extra_headers(asked.modes)])
        await faults.send_frames(wire, told, asked, self._gates, call)


async def _embed(body: dict[str, Any], wire: Wire, call: Call) -> None:
    texts = _inputs(body.get("input"))
    dimensions = body.get("dimensions") or _DIMENSIONS
    form = answers.packed if body.get("encoding_format") == "base64" else list
    data = [
        {"object": "embedding", "index": index, "embedding": form(answers.vector(text, dimensions))}
        for index, text in enumerate(texts)
    ]
    tokens = sum(len(answers.words(text)) for text in texts)
    call.usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    reply = {"object": "list", "data": data, "model": call.model, "usage": call.usage}
    await wire.send(200, _headers(call), frames.encode(reply))
    call.outcome = "answered"


def _inputs(value: Json) -> list[str]:
    """Return the texts of an `input`: a text, a list of texts, a token array, or a list of token arrays."""
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list) or not value:
        raise _RefusedError(400, "Missing required parameter: 'input'.", "input", "missing_required_parameter")
    if isinstance(value[0], int):
        return [" ".join(map(str, value))]
    return [part if isinstance(part, str) else " ".join(map(str, part)) for part in value]


def _json(body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _RefusedError(400, "We could not parse the JSON body of your request.") from error
    if not isinstance(parsed, dict):
        raise _RefusedError(400, "The body must be a JSON object.")
    return parsed


def _knobs(defaults: dict[str, Any], body: dict[str, Any]) -> Knobs:
    try:
        return knobs(defaults, body)
    except ValueError as error:
        raise _RefusedError(
            400, f"Wrong knob for the simulated provider: {error}", "simulated", "unknown_knob"
        ) from error


def _shown(path: str) -> dict[str, Any]:
    name = unquote(path.removeprefix("/v1/models/"))
    if name in MODELS:
        return _model(name)
    if path == "/v1/models":
        return {"object": "list", "data": [_model(name) for name in MODELS]}
    if path == "/health":
        return {"status": "ok", "provider": "simulated"}
    raise _unknown("GET", path)


def _unknown(method: str, path: str) -> _RefusedError:
    return _RefusedError(404, f"Invalid URL ({method} {path})", code="unknown_url")


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": _CREATED, "owned_by": "simulated"}


def _headers(call: Call) -> list[tuple[str, str]]:
    """Return what a provider sends along, some of which a gateway must not pass on."""
    return [
        _JSON,
        ("x-request-id", call.id),
        ("server", "simulated"),
        ("openai-organization", "simulated-organization"),
        ("openai-processing-ms", "1"),
        ("set-cookie", "__simulated=1; Path=/; HttpOnly"),
    ]
