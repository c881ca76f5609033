"""What happens when a file lands in a bucket of Google Cloud Storage: its requests are answered into another file."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, Final

from gpu_service import objects
from gpu_service.batch_file import answered
from gpu_service.log import event

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpu_service.fleet import Fleet

MOST_LINES: Final = 50_000
MOST_BYTES: Final = 200 * 1024 * 1024  # as OpenAI has it
FINALIZED: Final = "google.cloud.storage.object.v1.finalized"


async def landed(fleet: Fleet, kind: str, data: Mapping[str, Any]) -> bool:
    """Answer the file of an event, if it is one of ours that has no answer yet; returns whether it was.

    Ours are `BATCH_INPUT` (batch-input/) and behind it any name on .jsonl; the answer has the same name below
    `BATCH_OUTPUT` (batch-output/). Events may come twice: an answer that is there is left alone.

    Raises:
        ModelError: the bucket cannot be read or written.
    """
    folder, target = (os.environ.get(f"BATCH_{way}") or f"batch-{way.lower()}/" for way in ("INPUT", "OUTPUT"))
    bucket, name = str(data.get("bucket", "")), str(data.get("name", ""))
    if kind != FINALIZED or not name.startswith(folder) or not name.endswith(".jsonl"):
        return False
    answer = f"gs://{bucket}/{target}{name.removeprefix(folder)}"
    if await asyncio.to_thread(objects.exists, answer):
        return False
    lines = await asyncio.to_thread(_lines, f"gs://{bucket}/{name}")
    if lines is None:
        event("batch_refused", bucket=bucket, most_lines=MOST_LINES, most_bytes=MOST_BYTES)
        return False
    found = await answered(fleet, lines)
    written = await asyncio.to_thread(objects.write, answer, found)
    event("batch", bucket=bucket, lines=len(lines), written=written)
    return written


def _lines(uri: str) -> list[bytes] | None:
    """Read the lines, None if they are more than one file may hold."""
    found: list[bytes] = []
    size = 0
    with objects.reading(uri) as stream:
        while line := stream.readline(MOST_BYTES + 1):
            size += len(line)
            if size > MOST_BYTES or len(found) == MOST_LINES:
                return None
            found.append(line)
    return found
