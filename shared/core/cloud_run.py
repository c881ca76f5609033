"""The GPU service at Cloud Run, as the stack writes it down and the function that deploys it reads it."""

from __future__ import annotations

from typing import Literal

import msgspec


class CloudRun(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One service.

    Attributes:
        image: In Artifact Registry, by its digest.
        pool: The provider of Google's workload identity pool that knows AWS roles, by its whole name.
        deployer: The service account as which the stack deploys.
        invoker: The one service account that may call the service.
        account: The service account as which the container runs.
        min: Instances that there always are.
        concurrency: Requests at once of one instance.
        canary: Percent of the requests that a new revision gets beside the one that has had most; 0 is all of them.
    """

    project: str
    region: str
    name: str
    image: str
    pool: str
    deployer: str
    invoker: str
    account: str
    gpu: Literal["nvidia-l4"] = "nvidia-l4"
    cpu: int = 8
    memory_gib: int = 32
    min: int = 0
    max: int = 1
    concurrency: int = 16
    canary: int = 0
    environment: dict[str, str] = {}

    @property
    def parent(self) -> str:
        """Where the service is."""
        return f"projects/{self.project}/locations/{self.region}"

    @property
    def place(self) -> str:
        """Its whole name."""
        return f"{self.parent}/services/{self.name}"


def encode(wanted: CloudRun) -> str:
    """Write it as `decode` reads it."""
    return msgspec.json.encode(wanted, order="sorted").decode()


def decode(text: str) -> CloudRun:
    """Read what `encode` wrote.

    Raises:
        msgspec.DecodeError: it is something else.
    """
    return msgspec.json.decode(text, type=CloudRun)
