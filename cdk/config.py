"""What a team decides about its own deployment, read from the `nexus:` keys of the CDK context.

They stand in `cdk.json`, or on the command line: `npx aws-cdk@2.1148.1 deploy -c nexus:stage=prod -c nexus:waf=false`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from cdk.bundle import ROOT
from cdk.clouds import CloudRun, GpuEndpoint
from cdk.dependencies import TargetName
from cdk.oidc import OidcIssuer
from shared import manifest
from shared.compiler.remedies import remedy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails

PREFIX: Final = "nexus:"
CDK_JSON: Final = ROOT / "cdk.json"
_EMAIL: Final = re.compile(r"[^\s@,;<>\"]+@[^\s@,;<>\"]+\.[^\s@,;<>\".]+")
_WHERE: Final = "Correct it in cdk.json, or behind -c."


class ConfigError(Exception):
    """A key of the context is wrong; the message names it and says why."""


def _from_text(value: object) -> object:
    """Read a mapping given on the command line, where every value is text."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError as error:
        raise ValueError("must be a list or an object, which is written as JSON on the command line") from error


Url = Annotated[str, Field(pattern=r"^https?://[^\s?#]+[^\s?#/]$")]

Origin = Annotated[str, Field(pattern=r"^https?://[a-z0-9.-]+(:[0-9]+)?$")]


class Config(BaseModel):
    """One deployment of the gateway."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,15}$")] = "dev"
    """Names the stack, the store and the first segment of the deployed URL."""

    region: Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")] | None = None
    """`None` follows the credentials at deployment."""

    catalog: Path = Path("shared/data/catalog.toml")
    """Models, providers and tier presets; relative to the repository."""

    target: TargetName = "lambda"
    """`host` fills the zips with packages for this machine: the local run executes them. It cannot be deployed."""

    openai_base_url: Url | None = None
    gpu_service_url: Url | None = None
    """Both with their `/v1`; `None` leaves the catalog's own, or the provider off."""

    anthropic_base_url: Url | None = None
    gemini_base_url: Url | None = None
    """Both without a version, as their own SDKs have them; `None` leaves the catalog's own."""

    jwt_issuer: Url = "https://ai-nexus.invalid"
    """A configured name, never derived from the API's own address."""

    oidc: Annotated[tuple[OidcIssuer, ...], BeforeValidator(_from_text), Field(max_length=10)] = ()
    """Identity providers whose tokens are accepted beside our own."""

    gpu_endpoint: Annotated[GpuEndpoint | None, BeforeValidator(_from_text)] = None
    """Our own GPU service at SageMaker; `None` deploys none."""

    cloud_run: Annotated[CloudRun | None, BeforeValidator(_from_text)] = None
    """The same at Cloud Run."""

    cors_origins: Annotated[tuple[Origin, ...], BeforeValidator(_from_text), Field(max_length=20)] = ()
    """Origins whose web pages may call, such as `https://app.example`; none by default."""

    reserved_concurrency: Annotated[dict[str, Annotated[int, Field(ge=1)]], BeforeValidator(_from_text)] = {}
    """Function name to concurrent executions set aside for it, so that open streams cannot starve the authorizer.

    Empty by default: a new account may run 10 at once and must keep 100 unreserved, so that any reservation would fail
    its first deployment. Set it (authorizer 100, gateway 800, say) once the account's quota is known.
    """

    waf: bool = True
    """A web ACL of four rules costs about 9 USD a month."""

    waf_requests_per_ip: Annotated[int, Field(ge=10, le=2_000_000_000)] = 60_000
    """From one address in five minutes; a company's servers may all come from one."""

    account_log_role: bool = True
    """Let this stack own the account's API Gateway logging role: one per account and region. Off where one exists."""

    retain_data: bool = True
    """Keep the directory, the secrets and their key when the stack is deleted."""

    alarms: bool = True
    """Twelve alarms cost about 2 USD a month, for they read twenty metrics; an account's first ten are free."""

    dashboard: bool = True
    """A page in CloudWatch: 3 USD a month, but an account's first three, of up to 50 metrics each, are free."""

    alarm_email: str | None = None
    """Who hears of alarms, beside whoever else subscribes to the stack's topic; has to confirm it once."""

    valkey_max_gb: Annotated[int, Field(ge=1, le=5_000)] = 2
    valkey_max_ecpu: Annotated[int, Field(ge=1_000, le=15_000_000)] = 10_000
    """Ceilings on the store's bill: gigabytes kept, and ElastiCache processing units a second."""

    @field_validator("reserved_concurrency")
    @classmethod
    def _known_functions(cls, value: dict[str, int]) -> dict[str, int]:
        unknown = sorted(value.keys() - manifest.FUNCTIONS.keys())
        if unknown:
            raise ValueError(f"no function is called {unknown[0]!r}; there are {', '.join(manifest.FUNCTIONS)}")
        return value

    @field_validator("alarm_email")
    @classmethod
    def _one_address(cls, value: str | None) -> str | None:
        if value is not None and not _EMAIL.fullmatch(value):
            raise ValueError("must be one e-mail address, such as operators@example.com; leave it out for none")
        return value

    @model_validator(mode="after")
    def _distinct_issuers(self) -> Self:
        for what, names in {
            "issuer": [self.jwt_issuer, *(issuer.issuer for issuer in self.oidc)],
            "name": [issuer.name for issuer in self.oidc],
        }.items():
            if len(set(names)) < len(names):
                raise ValueError(f"two issuers of tokens have the same {what}")
        return self

    @property
    def name(self) -> str:
        """Name of the stack and of what must be named by hand; unique in an account and region."""
        return f"ai-nexus-{self.stage}"

    @property
    def gpu_service_name(self) -> str:
        """By which the catalog's targets call the GPU service at SageMaker and Cloud Run."""
        return f"{self.name}-gpu"

    @property
    def oidc_environment(self) -> str:
        """Write the identity providers as the authorizer reads them, "" if there are none."""
        return json.dumps([issuer.model_dump() for issuer in self.oidc], separators=(",", ":")) if self.oidc else ""

    @property
    def catalog_file(self) -> Path:
        """Where the catalog lies, wherever the command was started."""
        return ROOT / self.catalog

    def context(self) -> dict[str, object]:
        """Write this configuration as the context keys that `parse` reads."""
        return {f"{PREFIX}{name}": value for name, value in self.model_dump(mode="json", exclude_none=True).items()}


_INNER: Final[dict[int | str, type[BaseModel]]] = {
    "cloud_run": CloudRun,
    "gpu_endpoint": GpuEndpoint,
    "oidc": OidcIssuer,
}


def parse(context: Mapping[str, object]) -> Config:
    """Read the `nexus:` keys of a CDK context; others are CDK's own.

    Raises:
        ConfigError: A key is unknown or its value will not do.
    """
    values: dict[str, Any] = {key[len(PREFIX) :]: value for key, value in context.items() if key.startswith(PREFIX)}
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{'; '.join(map(_sentence, error.errors()))}. {_WHERE}") from error


def defaults(path: Path = CDK_JSON) -> dict[str, object]:
    """Return the context that `cdk.json` sets: feature flags and this repository's own defaults.

    Raises:
        ConfigError: The file is missing or not JSON.
    """
    try:
        return dict(json.loads(path.read_bytes())["context"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{path}: no CDK context in it ({error}).") from error


def _sentence(details: ErrorDetails) -> str:
    place = details["loc"]
    inner = _INNER.get(place[0]) if len(place) > 1 else None
    fields = inner.model_fields if inner else (PREFIX + name for name in Config.model_fields)
    return f"{PREFIX}{'.'.join(map(str, place))}: {remedy(details, fields)}"
