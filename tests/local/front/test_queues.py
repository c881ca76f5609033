"""What lies in a queue starts its function; what fails stays there and comes again."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from cdk.local.child import LocalError
from cdk.local.deploy import Deployment, split, wanted
from cdk.local.invocation import FunctionError
from cdk.local.queues import Source, fed, sources
from cdk.local.substitutions import Place
from cdk.local.template import Resolver
from tests.local.front.test_schedule import functions

if TYPE_CHECKING:
    from collections.abc import Mapping

QUEUE = "arn:aws:sqs:us-east-1:000000000000:Work"


class Emulator:
    """A queue: what is received and not deleted is in it again, as after its visibility timeout."""

    def __init__(self, *bodies: str) -> None:
        self.waiting = list(bodies)
        self.deleted: list[str] = []
        self._lock = threading.Lock()

    def client(self, service: str) -> Any:
        """Be the one client that is asked for."""
        assert service == "sqs"
        return self

    def get_queue_url(self, **request: str) -> dict[str, str]:
        """Know the one queue."""
        return {"QueueUrl": f"http://{request['QueueName']}"}

    def receive_message(self, **request: Any) -> dict[str, Any]:
        """Hand out the first message."""
        assert request["QueueUrl"] == "http://Work"
        with self._lock:
            if not self.waiting:
                return {}
            body = self.waiting.pop(0)
        return {"Messages": [{"MessageId": body, "ReceiptHandle": body, "Body": json.dumps(body), "MD5OfBody": ""}]}

    def delete_message(self, **request: str) -> None:
        """Forget it."""
        assert request["QueueUrl"] == "http://Work"
        self.deleted.append(request["ReceiptHandle"])


class Pool:
    """Notes what is handed on; fails on the message `poison`."""

    def __init__(self) -> None:
        self.events: list[Mapping[str, Any]] = []
        self.at_once = self.most = 0

    async def call(self, name: str, event: Mapping[str, Any]) -> None:
        """Be started."""
        assert name == "Run"
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(0.01)
        self.at_once -= 1
        self.events.append(event)
        if event["Records"][0]["body"] == '"poison"':
            raise FunctionError("ValueError", "no")


def deployment(**mapping: Any) -> Deployment:
    """A function and a mapping."""
    properties = {
        "BatchSize": 1,
        "EventSourceArn": QUEUE,
        "FunctionName": {"Fn::GetAtt": ["Run", "Arn"]},
        "ScalingConfig": {"MaximumConcurrency": 3},
        **mapping,
    }
    body = {
        "Resources": {
            "Run": {"Type": "AWS::Lambda::Function", "Properties": {}},
            "Mapping": {"Type": "AWS::Lambda::EventSourceMapping", "Properties": properties},
        }
    }
    resources = wanted(body)
    known = split(body, resources, Place("127.0.0.1", 1)).answered
    return Deployment(resources, Resolver(body, known), {})


def test_the_templates_mappings_are_read() -> None:
    """One that this machine cannot keep stops the run with its name."""
    assert sources(deployment(), functions()) == [Source(QUEUE, "Run", 3)]
    for wrong in ({"BatchSize": 10}, {"EventSourceArn": "arn:aws:kinesis:x"}, {"FunctionName": "arn:other"}):
        with pytest.raises(LocalError, match="Mapping"):
            sources(deployment(**wrong), functions())


def test_messages_start_the_function() -> None:
    """Each on its own, no more at once than the mapping says; what fails is not deleted, and told."""

    async def run() -> tuple[Pool, Emulator, list[str]]:
        pool, emulator, told = Pool(), Emulator("a", "b", "poison", "c", "d", "e"), list[str]()
        here: Any = emulator
        there: Any = pool
        async with (
            asyncio.timeout(10),
            fed(here, there, [Source(QUEUE, "Run", 3)], lambda _, line: told.append(line)),
        ):
            while len(pool.events) < 6 or len(emulator.deleted) < 5:  # noqa: ASYNC110 - nothing sets an event
                await asyncio.sleep(0.001)
        return pool, emulator, told

    pool, emulator, told = asyncio.run(run())
    assert sorted(emulator.deleted) == ["a", "b", "c", "d", "e"]
    assert pool.most <= 3
    assert {event["Records"][0]["eventSourceARN"] for event in pool.events} == {QUEUE}
    assert len(told) == 1
    assert "comes again" in told[0]
