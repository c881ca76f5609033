"""Secrets: read once, kept for minutes, renewed when asked for, and held on to in an outage."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from shared.edge.aws import SECRETS, Aws, AwsError, AwsUnavailableError
from shared.edge.secrets import RETRY_SECONDS, TTL_SECONDS, Secrets
from shared.edge.settings import AwsSettings
from shared.edge.sigv4 import Credentials

if TYPE_CHECKING:
    from collections.abc import Iterator


class Clock:
    """A clock that only moves when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Seconds, as `time.monotonic`."""
        return self.now


class Line(Aws):
    """The real client, on a line that can be cut; counts the calls."""

    calls = 0
    cut = False

    def read(self, action: str, request: Any) -> dict[str, Any]:
        """Pass the call on, unless the line is cut."""
        self.calls += 1
        if self.cut:
            raise AwsUnavailableError("secretsmanager", "Cut", "the line is cut")
        return super().read(action, request)


class Vault:
    """A secret in Secrets Manager, and what reads it."""

    def __init__(self, url: str) -> None:
        self._remote = boto3.client(
            "secretsmanager",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="a",
            aws_secret_access_key="b",
        )
        self.name = f"pepper-{uuid.uuid4()}"
        self._remote.create_secret(Name=self.name, SecretString="first")
        self.line = Line(SECRETS, AwsSettings("us-east-1", url), lambda: Credentials("a", "b"))
        self.clock = Clock()
        self.secrets = Secrets(self.line, self.clock)

    def rotate(self, value: str) -> None:
        """Give the secret another value."""
        self._remote.put_secret_value(SecretId=self.name, SecretString=value)

    def read(self) -> str:
        """Get the secret as a function does."""
        return self.secrets.get(self.name)

    def close(self) -> None:
        """Hang up."""
        self.line.drop()
        self._remote.close()


@pytest.fixture
def vault(moto: str) -> Iterator[Vault]:
    """A secret with the value `first`."""
    vault = Vault(moto)
    yield vault
    vault.close()


def test_reads_a_secret_once(vault: Vault) -> None:
    """Within its time the value comes from memory."""
    assert [vault.read() for _ in range(3)] == ["first"] * 3
    assert vault.line.calls == 1


def test_sees_a_rotation_in_time(vault: Vault) -> None:
    """The old value is given until its time is over, the new one from then on."""
    vault.read()
    vault.rotate("second")
    vault.clock.now += TTL_SECONDS - 1
    assert vault.read() == "first"
    vault.clock.now += 1
    assert vault.read() == "second"


def test_sees_a_rotation_when_asked(vault: Vault) -> None:
    """A refresh reads anew, but not more often than every few seconds."""
    vault.read()
    vault.rotate("second")
    assert vault.secrets.refresh(vault.name) == "first"
    vault.clock.now += RETRY_SECONDS
    assert vault.secrets.refresh(vault.name) == "second"
    assert vault.line.calls == 2


def test_holds_on_to_a_known_secret_in_an_outage(vault: Vault) -> None:
    """An expired value serves on while nothing better can be had; the next try comes after a pause."""
    vault.read()
    vault.clock.now += TTL_SECONDS
    vault.line.cut = True
    assert [vault.read() for _ in range(3)] == ["first"] * 3
    assert vault.line.calls == 2
    vault.line.cut = False
    vault.rotate("second")
    vault.clock.now += RETRY_SECONDS
    assert vault.read() == "second"


def test_an_outage_at_the_first_read_is_an_error(vault: Vault) -> None:
    """What was never known cannot be held on to."""
    vault.line.cut = True
    with pytest.raises(AwsUnavailableError):
        vault.read()


def test_refuses_a_secret_without_text(vault: Vault) -> None:
    """An empty secret is an error that names it, not an empty key for everything."""
    vault.rotate(" ")
    assert vault.read() == " "
    with pytest.raises(AwsError, match="ResourceNotFoundException"):
        vault.secrets.get("missing")
