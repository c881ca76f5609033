"""The function that tells people, over real tables, a real topic and real receivers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from functions.alerts import Crier, publisher
from functions.webhooks import Webhooks
from shared.edge.alerts_settings import AlertsSettings
from shared.edge.directory import Directory
from shared.edge.settings import AwsSettings
from shared.edge.tellings import Tellings
from tests.fakes.patience import dynamodb
from tests.fakes.receiver import Receiver, receiving
from tests.functions.control.rig import KNOWN, new_table

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = 1_795_262_400
DIRECTORY, LEDGER = "alerts-directory", "alerts-ledger"


class Office:
    """The function, and what became of what it told."""

    def __init__(self, url: str, topic: str, queue: Any, directory: Any) -> None:
        self.said: list[Any] = []
        self.now = NOW
        self.left = 45_000
        self._queue, self._directory = queue, directory
        self.aws = dynamodb(url)
        settings = AlertsSettings(AwsSettings("us-east-1", None), "test", DIRECTORY, LEDGER, topic, True)
        self.crier = Crier(
            stage="test",
            directory=Directory(self.aws, DIRECTORY),
            tellings=Tellings(self.aws, LEDGER),
            webhooks=Webhooks(loopback=True, now=lambda: float(self.now)),
            publish=publisher(settings),
            say=self.said.append,
            now=lambda: float(self.now),
        )

    def wants(self, org: str, **record: Any) -> None:
        """Have an organization choose what it hears."""
        self._directory.put_item(Item={"pk": org, "sk": "alerts", "version": 1, **record})

    def tell(self, *lines: dict[str, Any] | str) -> None:
        """Have the function hear `lines`."""
        written = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        self.crier.tell(written, lambda: self.left)

    def topic(self) -> list[tuple[str, str]]:
        """What subscribers of the operators' topic have got since the last time: subject and text."""
        found = self._queue.receive_messages(MaxNumberOfMessages=10)
        bodies = [json.loads(message.body) for message in found]
        for message in found:
            message.delete()
        return [(body["Subject"], body["Message"]) for body in bodies]


@pytest.fixture(scope="module")
def stores(moto: str) -> Iterator[tuple[str, str, Any, Any]]:
    """The tables and the topic, with a queue that hears of it."""
    tables = [new_table(moto, name) for name in (DIRECTORY, LEDGER)]
    topic = boto3.resource("sns", **KNOWN).create_topic(Name="operators")
    queue = boto3.resource("sqs", **KNOWN).create_queue(QueueName="operators")
    topic.subscribe(Protocol="sqs", Endpoint=queue.attributes["QueueArn"])
    yield moto, topic.arn, queue, tables
    for table in tables:
        table.delete()
        table.meta.client.close()
    queue.delete()
    topic.delete()


@pytest.fixture
def office(stores: tuple[str, str, Any, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    """The function, with empty stores."""
    for name, value in {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}.items():
        monkeypatch.setenv(name, value)
    url, topic, queue, tables = stores
    for table in tables:
        for item in table.scan()["Items"]:
            table.delete_item(Key={"pk": item["pk"], "sk": item["sk"]})
    office = Office(url, topic, queue, tables[0])
    yield office
    office.topic()
    office.aws.drop()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """One that takes what it is sent."""
    with receiving() as server:
        yield server


@pytest.fixture
def another() -> Iterator[Receiver]:
    """Another one."""
    with receiving() as server:
        yield server
