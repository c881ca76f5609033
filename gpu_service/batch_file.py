"""A file of requests, one a line as OpenAI's batches have them, answered into another file.

Lines are computed with a bounded number at a time, beside whatever else the service does; where it is overloaded they
wait as long as it says. A line that cannot be served has its error in its own line of the answer.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
import orjson

from gpu_service.errors import Overloaded
from gpu_service.tasks.answer import Answer, encode, identity
from gpu_service.tasks.routes import PATHS
from shared.core import wire
from shared.core.errors import BadRequest, GatewayError, NotFound, envelope, translate
from shared.core.fields import typed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gpu_service.fleet import Fleet

_TOGETHER: Final = 32
_PAUSES: Final = 10  # times that a line waits for an overloaded service


class _Line(msgspec.Struct):
    custom_id: str
    url: str
    body: dict[str, Any]
    method: Literal["POST"] = "POST"


async def answered(fleet: Fleet, lines: Iterable[bytes]) -> bytes:
    """Answer every line that is not empty, in their order."""
    turn = asyncio.Semaphore(_TOGETHER)

    async def one(line: bytes) -> bytes:
        async with turn:
            return await _line(fleet, line)

    asked = [line for line in lines if line.strip()]
    return b"".join(await asyncio.gather(*map(one, asked)))


async def _line(fleet: Fleet, line: bytes) -> bytes:
    custom_id = None
    try:
        found = msgspec.json.decode(line)
        given = found.get("custom_id") if isinstance(found, dict) else None
        custom_id = given if isinstance(given, str) else None
        status, body = 200, await _computed(fleet, typed(found, _Line))
    except msgspec.DecodeError:
        status, body = 400, envelope(BadRequest("The line is no JSON."))
    except Exception as error:  # noqa: BLE001 - whatever it is, the other lines go on
        status, body = translate(error).status, envelope(error)
    response = {"status_code": status, "request_id": identity("req"), "body": orjson.Fragment(body)}
    return encode({"id": identity("batch_req"), "custom_id": custom_id, "response": response, "error": None}) + b"\n"


async def _computed(fleet: Fleet, line: _Line) -> bytes:
    task = PATHS.get(line.url)
    if task is None:
        raise NotFound(f"There is nothing at {line.url}; a line's 'url' is one of {', '.join(PATHS)}.")
    for _ in range(_PAUSES):
        try:
            answer = await task(fleet, wire.encode(line.body))
        except Overloaded as error:
            await asyncio.sleep(error.retry_after or 1)
            continue
        if isinstance(answer, Answer):
            return answer.body
        answer.cancel()
        raise BadRequest("'body.stream' makes no sense in a file.", param="body.stream")
    raise GatewayError("The service was overloaded all the time.")
