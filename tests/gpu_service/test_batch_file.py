"""A line of a file fails alone, whatever is in it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from gpu_service.batch_file import answered
from tests.gpu_service.client import MODEL, Client

if TYPE_CHECKING:
    from gpu_service.engine import Engine

LARGE = b"123456789012345678901234567890"
BODY = b'{"model": "%s", "input": "hello", "x": %s}' % (MODEL.encode(), LARGE)
LINES = [
    b'{"custom_id": "large", "url": "/v1/embeddings", "body": %s}' % BODY,
    b'{"custom_id": %s, "url": "/v1/embeddings", "body": %s}' % (LARGE, BODY),
    b'{"custom_id": %s, "url": "/v1/embeddings"}' % (b"[" * 400 + b"]" * 400),
    b'{"custom_id": "whole", "url": "/v1/embeddings", "body": {"model": "%s", "input": "hello"}}' % MODEL.encode(),
]


def test_no_line_takes_the_file_with_it(engine: Engine) -> None:
    """Numbers of thirty digits, in a body or in place of an id, and ids that are no texts."""

    async def situation() -> list[Any]:
        async with Client(lambda: engine) as client:
            await client.ready()
            return [json.loads(line) for line in (await answered(client.app.fleet, LINES)).splitlines()]

    found = asyncio.run(situation())
    assert [one["custom_id"] for one in found] == ["large", None, None, "whole"]
    assert [one["response"]["status_code"] for one in found] == [200, 400, 400, 200]
