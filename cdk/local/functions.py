"""The template's functions as processes: their code, their environment as deployed, their roles' credentials."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from cdk.local.child import LocalError
from cdk.local.emulator import REGION, ROLE_SESSION_SECONDS
from cdk.local.services import addresses
from cdk.local.workers import Credentials, FunctionSpec
from shared import manifest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from cdk.local.deploy import Deployment
    from cdk.local.emulator import Emulator

MAX_PROCESSES: Final = 64  # of one function; each takes about 30 MB once it is needed
TYPE: Final = "AWS::Lambda::Function"
STREAM_SECONDS: Final = "NEXUS_STREAM_SECONDS"
NO_TLS_NO_IAM: Final = {"VALKEY_TLS": "false", "VALKEY_USER": ""}
"""The local Valkey has neither; functions that do not use it have no such variables and get none."""
NO_FIREWALL: Final = {"IP_SETS": ""}
"""The API front looks blocked networks up by itself: there is nothing to keep in agreement."""
WEBHOOKS_HERE: Final = {"WEBHOOKS_TO_LOOPBACK": "true"}
"""Alerts may go to a receiver on this machine, over plain HTTP: what is deployed lets no organization do that."""
LOG_DELAY: Final = 5  # seconds until a line is in its log group, at the latest: CloudWatch takes longer


class Surroundings(NamedTuple):
    """What the functions find here instead of AWS and the providers' own addresses."""

    endpoint: str
    services: Mapping[str, str]
    environment: Mapping[str, str]


def specs(deployment: Deployment, assets: Mapping[str, Path], around: Surroundings) -> list[FunctionSpec]:
    """Describe every function of the template as the pool runs it; each is invoked by its logical id."""
    return [
        _spec(logical_id, properties, deployment, assets, around)
        for logical_id, properties in deployment.of_type(TYPE).items()
    ]


def stream_seconds(environment: Mapping[str, str]) -> int:
    """Return how long a stream may last: as deployed, or shorter, for who cannot wait so long for a lost store."""
    text = environment.get(STREAM_SECONDS) or str(manifest.STREAM_SECONDS)
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= manifest.STREAM_SECONDS):
        raise LocalError(f"{STREAM_SECONDS} must be 1 to {manifest.STREAM_SECONDS} seconds, not {text!r}.")
    return int(text)


def name_of(spec: FunctionSpec) -> str:
    """Return what the manifest calls a function."""
    return spec.environment.get("POWERTOOLS_SERVICE_NAME", spec.name)


def log_groups(deployment: Deployment) -> dict[str, str]:
    """Return the log group that each function writes to, by logical id."""
    return {name: properties["LoggingConfig"]["LogGroup"] for name, properties in deployment.of_type(TYPE).items()}


class Roles:
    """Gives each function the credentials of its own role; a session serves many processes, and is renewed in time."""

    def __init__(self, emulator: Emulator, deployment: Deployment) -> None:
        self._emulator = emulator
        self._arns = {name: properties["Role"] for name, properties in deployment.of_type(TYPE).items()}
        self._sessions: dict[str, Credentials] = {}

    async def __call__(self, function: str) -> Credentials:
        """Return credentials that last for at least half of a session."""
        session = self._sessions.get(function)
        if session is None or session.expires_at - time.time() < ROLE_SESSION_SECONDS / 2:
            session = self._sessions[function] = await asyncio.to_thread(self._assume, function)
        return session

    def _assume(self, function: str) -> Credentials:
        expires_at = time.time() + ROLE_SESSION_SECONDS
        return Credentials(*self._emulator.assume(self._arns[function], function[:64]), expires_at)


def _spec(
    logical_id: str,
    properties: Mapping[str, Any],
    deployment: Deployment,
    assets: Mapping[str, Path],
    around: Surroundings,
) -> FunctionSpec:
    deployed: Mapping[str, str] = properties.get("Environment", {}).get("Variables", {})
    known = manifest.FUNCTIONS.get(deployed.get("POWERTOOLS_SERVICE_NAME", ""))
    longest = stream_seconds(around.environment)
    lease = longest + manifest.LONGEST_LEASE - manifest.STREAM_SECONDS
    here = {**NO_TLS_NO_IAM, **NO_FIREWALL, **WEBHOOKS_HERE, "LONGEST_LEASE": str(lease), "LOG_DELAY": str(LOG_DELAY)}
    return FunctionSpec(
        name=logical_id,
        handler=properties["Handler"],
        task_root=assets[properties["Code"]["S3Key"]],
        environment={
            **deployed,
            **{name: value for name, value in here.items() if name in deployed},
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": around.endpoint,
            **addresses(known.optional_environment if known else (), around.services, around.environment),
        },
        timeout_s=float(min(properties["Timeout"], longest) if known and known.streams else properties["Timeout"]),
        memory_mb=properties["MemorySize"],
        max_processes=MAX_PROCESSES,
        function_name=deployment.resolve({"Ref": logical_id}),
        arn=deployment.resolve({"Fn::GetAtt": [logical_id, "Arn"]}),
    )
