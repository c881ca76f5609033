"""The queue of batches: a message says that there is work on one, and now or in a while somebody goes on with it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from shared.core.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from types_boto3_sqs.client import SQSClient

    from shared.edge.settings import AwsSettings

LONGEST_DELAY: Final = 900  # seconds, SQS's own
_CONFIG = Config(connect_timeout=1, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 3})


class Queue:
    """Sends messages."""

    def __init__(self, client: SQSClient, url: str) -> None:
        self._client = client
        self._url = url

    @classmethod
    def open(cls, url: str, aws: AwsSettings) -> Queue:
        """Return the queue by its URL; nothing is connected to before it is used."""
        client = boto3.client("sqs", region_name=aws.region, endpoint_url=aws.endpoint_url, config=_CONFIG)
        return cls(client, url)

    def send(self, message: Mapping[str, str], delay: float = 0) -> None:
        """Have somebody go on with a batch, after `delay` seconds or the longest that there can be.

        Raises:
            StoreUnavailable: the message could not be sent.
        """
        seconds = int(min(max(delay, 0), LONGEST_DELAY))
        try:
            self._client.send_message(QueueUrl=self._url, MessageBody=json.dumps(message), DelaySeconds=seconds)
        except (BotoCoreError, ClientError) as error:
            raise StoreUnavailable("The batch cannot be begun now. Please try again.", retry_after=1) from error
