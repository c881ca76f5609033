"""The Lambda that works on batches: a message of the queue is one turn of work on one batch, or of a file in the inbox.

The function sends the ones, S3 the others.
"""

from __future__ import annotations

import json
import os
from functools import cache
from typing import TYPE_CHECKING, Any

from functions.batch_inbox import Inbox
from functions.batch_lines import AT_ONCE, Asking
from functions.batch_objects import Objects
from functions.batch_queue import Queue
from functions.batch_records import Records
from functions.batch_work import Lost, Parts, Turn, leased
from functions.plane import build
from functions.registry import Registry
from shared.edge.batch_settings import BatchesSettings

if TYPE_CHECKING:
    from collections.abc import Mapping


@cache
def _parts() -> Parts:
    settings = BatchesSettings.from_env(os.environ)
    return Parts(
        Records.open(settings.batches_table, settings.aws),
        Objects.open(settings.batch_bucket, settings.aws),
        Queue.open(settings.batch_queue, settings.aws),
        Asking([build(os.environ) for _ in range(AT_ONCE)]),
    )


@cache
def _inbox() -> Inbox:
    settings, parts = BatchesSettings.from_env(os.environ), _parts()
    registry = Registry.reading(settings.directory_table, settings.aws)
    return Inbox(registry, parts.records, parts.objects, parts.queue, settings.batch_bucket)


def handler(event: Mapping[str, Any], context: Any) -> None:  # noqa: ANN401 - Lambda's
    """Entry point of the function.

    Raises:
        StoreUnavailable: a store cannot be reached; SQS brings the message again.
    """
    for record in event["Records"]:
        message = json.loads(record["body"])
        if "batch" in message:
            serve(message, context, _parts())
        else:
            _inbox().take(message)


def serve(message: Mapping[str, str], context: Any, parts: Parts) -> None:  # noqa: ANN401 - Lambda's
    """Work on the batch that a message names, if nobody else does; raises as `handler` does."""

    def left() -> float:
        return float(context.get_remaining_time_in_millis()) / 1000

    org = message["org"]
    item = leased(parts.records, org, message["batch"], context.aws_request_id, left())
    if item is None:
        return
    try:
        Turn(parts, org, item, left).work()
    except Lost:
        return
