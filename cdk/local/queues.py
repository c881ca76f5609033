"""Lambda's pollers on this machine: what lies in a queue starts its function, message by message."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cdk.local.child import LocalError
from cdk.local.emulator import REGION
from cdk.local.invocation import InvocationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from cdk.local.deploy import Deployment
    from cdk.local.emulator import Emulator
    from cdk.local.workers import FunctionSpec, Pool

TYPE: Final = "AWS::Lambda::EventSourceMapping"
LOOK_SECONDS: Final = 1  # that a look into an empty queue waits; who ends the run waits for it


class Source(NamedTuple):
    """A queue, and which function (as the pool calls it) its messages start, so many at once."""

    arn: str
    function: str
    at_once: int


def sources(deployment: Deployment, functions: Iterable[FunctionSpec]) -> list[Source]:
    """Read the template's mappings; one that is of no queue, or hands on several messages, is a LocalError."""
    names = {spec.arn: spec.name for spec in functions}
    found = []
    for logical_id, mapping in deployment.of_type(TYPE).items():
        arn, function = mapping["EventSourceArn"], names.get(mapping["FunctionName"])
        if function is None or ":sqs:" not in arn or mapping.get("BatchSize") != 1:
            raise LocalError(f"The mapping {logical_id} does not start a function of the template by single messages.")
        found.append(Source(arn, function, mapping.get("ScalingConfig", {}).get("MaximumConcurrency", 2)))
    return found


@asynccontextmanager
async def fed(
    emulator: Emulator, pool: Pool, wanted: Iterable[Source], log: Callable[[str, str], None]
) -> AsyncIterator[None]:
    """Hand on what is in the queues for the length of the block; `log(function, line)` is told of failures."""
    tasks = [asyncio.create_task(_Poller(emulator, pool, source, log).run()) for source in wanted]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Poller:
    """One queue. A message is deleted when its function has returned, and comes again when that has failed."""

    def __init__(self, emulator: Emulator, pool: Pool, source: Source, log: Callable[[str, str], None]) -> None:
        self._sqs: Any = emulator.client("sqs")
        self._pool = pool
        self._source = source
        self._log = log
        self._room = asyncio.Semaphore(source.at_once)
        self._running: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        name = self._source.arn.rpartition(":")[2]
        try:
            url = (await asyncio.to_thread(self._sqs.get_queue_url, QueueName=name))["QueueUrl"]
            while True:
                await self._room.acquire()
                found = await asyncio.to_thread(self._look, url)
                if not found:
                    self._room.release()
                for message in found:
                    task = asyncio.create_task(self._hand_on(url, message))
                    self._running.add(task)
                    task.add_done_callback(self._running.discard)
        finally:
            for task in tuple(self._running):
                task.cancel()

    def _look(self, url: str) -> list[dict[str, Any]]:
        answer = self._sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=1, WaitTimeSeconds=LOOK_SECONDS, MessageSystemAttributeNames=["All"]
        )
        found: list[dict[str, Any]] = answer.get("Messages", [])
        return found

    async def _hand_on(self, url: str, message: dict[str, Any]) -> None:
        try:
            await self._pool.call(self._source.function, {"Records": [record(message, self._source.arn)]})
            await asyncio.to_thread(self._sqs.delete_message, QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        except InvocationError as error:
            self._log(self._source.function, f"A message failed, and comes again: {error}")
        finally:
            self._room.release()


def record(message: dict[str, Any], arn: str) -> dict[str, Any]:
    """Return a message as Lambda hands it to a function."""
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message.get("Attributes", {}),
        "messageAttributes": {},
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": arn,
        "awsRegion": REGION,
    }
