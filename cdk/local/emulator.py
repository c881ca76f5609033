"""The part of AWS that is emulated here: DynamoDB, Secrets Manager, KMS, IAM, STS and CloudFormation, IAM enforced."""

from __future__ import annotations

import functools
import http.client
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cdk.local.child import Child
from cdk.local.journal import Journal
from cdk.local.ports import on_free_port

if TYPE_CHECKING:
    from types_boto3_cloudformation import CloudFormationClient
    from types_boto3_secretsmanager import SecretsManagerClient
    from types_boto3_sts import STSClient

HOST = "127.0.0.1"
REGION = "us-east-1"
ACCOUNT = "000000000000"
ROOT_KEY = "test"  # MiniStack's name for the account's root; known to this machine only
ROLE_SESSION_SECONDS = 43_200
START_SECONDS = 60.0
JOURNAL = "state.sqlite3"


class Credentials(NamedTuple):
    """Temporary credentials of a role."""

    access_key: str
    secret_key: str
    session_token: str

    def environment(self) -> dict[str, str]:
        """Name them as every AWS client expects."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_SESSION_TOKEN": self.session_token,
        }


class Emulator:
    """A running emulator and clients that act as the account's root, or as a role."""

    def __init__(self, child: Child, port: int) -> None:
        self.child = child
        self.port = port
        self.endpoint = f"http://{HOST}:{port}"

    def client(self, service: str, credentials: Credentials | None = None) -> Any:  # noqa: ANN401 - boto3's own type
        """Return a boto3 client of a service, as root unless `credentials` are given."""
        session = _session()
        key = credentials or Credentials(ROOT_KEY, ROOT_KEY, "")
        return session.client(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=key.access_key,
            aws_secret_access_key=key.secret_key,
            aws_session_token=key.session_token or None,
        )

    @functools.cached_property
    def cloudformation(self) -> CloudFormationClient:
        """The deploying side, as root."""
        client: CloudFormationClient = self.client("cloudformation")
        return client

    @functools.cached_property
    def secrets(self) -> SecretsManagerClient:
        """The secrets, as root."""
        client: SecretsManagerClient = self.client("secretsmanager")
        return client

    @functools.cached_property
    def _sts(self) -> STSClient:
        client: STSClient = self.client("sts")
        return client

    def assume(self, role_arn: str, session: str) -> Credentials:
        """Return credentials that can do what the role may do, and nothing else."""
        answer = self._sts.assume_role(RoleArn=role_arn, RoleSessionName=session, DurationSeconds=ROLE_SESSION_SECONDS)[
            "Credentials"
        ]
        return Credentials(answer["AccessKeyId"], answer["SecretAccessKey"], answer["SessionToken"])


async def start(directory: Path, log: Path) -> Emulator:
    """Start the emulator on what `directory` remembers; a damaged journal is a LocalError before anything runs."""
    directory.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - one folder, before anything is served
    journal = directory / JOURNAL
    Journal.open(journal).close()
    for left in directory.glob("ministack-*.pid"):  # noqa: ASYNC240 - by an emulator that was killed
        left.unlink()
    return await on_free_port(lambda port: _start(port, directory, journal, log))


async def _start(port: int, directory: Path, journal: Path, log: Path) -> Emulator:
    child = Child.start(
        "The AWS emulator",
        [sys.executable, "-m", "cdk.local.emulated"],
        log=log,
        environment=_environment(directory, journal, port),
        directory=Path(__file__).parents[2],
    )
    try:
        await child.until(lambda: _answers(port), seconds=START_SECONDS)
    except BaseException:
        child.stop()
        raise
    return Emulator(child, port)


def prepare_clients() -> None:
    """Import boto3 ahead of its first use, while other parts start."""
    _session()


def _environment(directory: Path, journal: Path, port: int) -> dict[str, str]:
    """Enforce IAM, listen on loopback only, open no further port, and leave any Docker on this machine alone."""
    return {
        **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
        "AUTH": "true",
        "BIND_HOST": HOST,
        "GATEWAY_PORT": str(port),
        "MINISTACK_REGION": REGION,
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "NEXUS_JOURNAL": str(journal),
        "TMPDIR": str(directory),
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        "DOCKER_HOST": "unix:///nonexistent",
        "LOG_LEVEL": "WARNING",
    }


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=1)
    try:
        connection.request("GET", "/_ministack/health")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


@functools.cache
def _session() -> Any:  # noqa: ANN401 - boto3 publishes no types of its own
    """Import boto3 only when it is used: it costs a start of this program most of a second."""
    import boto3  # noqa: PLC0415

    return boto3.Session()
