"""A ledger and a directory on DynamoDB by the emulator, and usage as the settling script writes it."""

from __future__ import annotations

import itertools
import uuid
from typing import TYPE_CHECKING, Any

import boto3

from cdk.local.emulator import ROOT_KEY
from shared.core import events, shares
from shared.edge import items
from shared.edge.ledger import Ledger
from tests.fakes.patience import dynamodb

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

    from shared.edge.aws import Aws

DAY = "2026-11-21"
MODEL = "gpt-4o-mini"
NOON = 1_795_262_400_000  # of that day
_NUMBER = itertools.count()


class Tables:
    """An empty table with our primary key, and connections to it, all closed with it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._opened: list[Aws] = []
        self.name = f"table-{uuid.uuid4().hex}"
        self.client: DynamoDBClient = boto3.client(
            "dynamodb", "us-east-1", endpoint_url=url, aws_access_key_id=ROOT_KEY, aws_secret_access_key=ROOT_KEY
        )
        self.client.create_table(
            TableName=self.name,
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            AttributeDefinitions=[{"AttributeName": part, "AttributeType": "S"} for part in ("pk", "sk")],
            BillingMode="PAY_PER_REQUEST",
        )

    def aws(self) -> Aws:
        """Return a signed client of our own."""
        opened = dynamodb(self._url, ROOT_KEY)
        self._opened.append(opened)
        return opened

    def ledger(self) -> Ledger:
        """Return the table as a ledger, over a connection of its own."""
        return Ledger(self.aws(), self.name)

    def items(self) -> list[dict[str, Any]]:
        """Return everything in the table."""
        return [items.decoded(item) for item in self.client.scan(TableName=self.name)["Items"]]

    def close(self) -> None:
        """Close the connections."""
        for opened in self._opened:
            opened.drop()
        self.client.close()


def fields(**changes: Any) -> dict[str, str]:
    """What a settled request leaves in the stream; each has an id of its own unless `changes` names one."""
    usual = {
        "event": events.USAGE,
        "request_id": f"r{next(_NUMBER)}",
        "seq": 1,
        "org": "acme",
        "key": "acme-k1",
        "user": "ann",
        "team": "red",
        "day": DAY,
        "cost": 1_000,
        "prompt": 3,
        "completion": 5,
        "cached": 1,
        "outcome": "ok",
        "provider": "openai",
        "served": MODEL,
        "ms": 12,
    }
    told = {**usual, **changes}
    share = shares.Share(told["cost"], 2 - told["seq"], told["prompt"], told["completion"], told["cached"], MODEL)
    return {name: str(value) for name, value in {"models": shares.written([share]), **told}.items()}


def usage(**changes: Any) -> events.Usage:
    """The same, read."""
    return events.usage(fields(**changes), org="acme", at=0)
