"""What a function reads from its environment: once, at the door, into frozen values; what is missing is named.

Named tuples rather than dataclasses: those import `inspect`, a tenth of the authorizer's cold start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

_BOOLEANS = {"true": True, "false": False}


class SettingsError(Exception):
    """The environment lacks a variable, or holds one that means nothing; the message names it."""


class AwsSettings(NamedTuple):
    """Where AWS is; `endpoint_url` takes the place of every service's own address when set."""

    region: str
    endpoint_url: str | None

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> AwsSettings:
        """Read `AWS_REGION` and the optional `AWS_ENDPOINT_URL`."""
        return cls(text(environment, "AWS_REGION"), environment.get("AWS_ENDPOINT_URL") or None)


class ValkeySettings(NamedTuple):
    """How to reach Valkey; without a `user` it asks for no credentials, with one they are IAM tokens for `cache`."""

    host: str
    port: int
    tls: bool
    user: str
    cache: str

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> ValkeySettings:
        """Read the five `VALKEY_...` variables, of which the last two may be empty."""
        return cls(
            host=text(environment, "VALKEY_HOST"),
            port=_port(environment, "VALKEY_PORT"),
            tls=boolean(environment, "VALKEY_TLS"),
            user=environment.get("VALKEY_USER", ""),
            cache=environment.get("VALKEY_CACHE", ""),
        )


class AuthorizerSettings(NamedTuple):
    """What the authorizer needs; `usage_key_prefix` and a tier make the value of an API Gateway key.

    `jwt_issuer` is the name of our own tokens' issuer; `oidc_issuers` lists the others, in JSON, "" if there are none.
    """

    aws: AwsSettings
    directory_table: str
    pepper_secret: str
    usage_key_prefix: str
    signing_secret: str
    jwt_issuer: str
    oidc_issuers: str

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> AuthorizerSettings:
        """Read them.

        Raises:
            SettingsError: one is missing.
        """
        return cls(
            aws=AwsSettings.from_env(environment),
            directory_table=text(environment, "DIRECTORY_TABLE"),
            pepper_secret=text(environment, "PEPPER_SECRET"),
            usage_key_prefix=text(environment, "USAGE_KEY_PREFIX"),
            signing_secret=text(environment, "SIGNING_SECRET"),
            jwt_issuer=text(environment, "JWT_ISSUER"),
            oidc_issuers=environment.get("OIDC_ISSUERS", ""),
        )


class TokensSettings(NamedTuple):
    """What the function needs that issues tokens."""

    aws: AwsSettings
    stage: str
    directory_table: str
    pepper_secret: str
    signing_secret: str
    jwt_issuer: str
    valkey: ValkeySettings

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> TokensSettings:
        """Read them.

        Raises:
            SettingsError: one is missing, or means nothing.
        """
        return cls(
            aws=AwsSettings.from_env(environment),
            stage=text(environment, "STAGE"),
            directory_table=text(environment, "DIRECTORY_TABLE"),
            pepper_secret=text(environment, "PEPPER_SECRET"),
            signing_secret=text(environment, "SIGNING_SECRET"),
            jwt_issuer=text(environment, "JWT_ISSUER"),
            valkey=ValkeySettings.from_env(environment),
        )


class GoogleSettings(NamedTuple):
    """Where Google exchanges tokens, where it writes them for service accounts, and where Cloud Run is administered."""

    sts_url: str
    iam_url: str
    run_url: str = "https://run.googleapis.com"

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> GoogleSettings:
        """Read the optional `GOOGLE_STS_URL`, `GOOGLE_IAM_URL` and `GOOGLE_RUN_URL`."""
        return cls(
            environment.get("GOOGLE_STS_URL") or "https://sts.googleapis.com",
            environment.get("GOOGLE_IAM_URL") or "https://iamcredentials.googleapis.com",
            environment.get("GOOGLE_RUN_URL") or "https://run.googleapis.com",
        )


class GatewaySettings(NamedTuple):
    """What the gateway needs; base URLs of providers are named by the catalog, not here."""

    aws: AwsSettings
    google: GoogleSettings
    stage: str
    directory_table: str
    providers_secret: str
    valkey: ValkeySettings

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> GatewaySettings:
        """Read them.

        Raises:
            SettingsError: one is missing, or means nothing.
        """
        return cls(
            aws=AwsSettings.from_env(environment),
            google=GoogleSettings.from_env(environment),
            stage=text(environment, "STAGE"),
            directory_table=text(environment, "DIRECTORY_TABLE"),
            providers_secret=text(environment, "PROVIDERS_SECRET"),
            valkey=ValkeySettings.from_env(environment),
        )


class AdminSettings(NamedTuple):
    """What the admin function needs; `task_root` is the folder with `catalog.json`."""

    aws: AwsSettings
    stage: str
    directory_table: str
    audit_table: str
    ledger_table: str
    pepper_secret: str
    valkey: ValkeySettings
    task_root: str
    webhooks_to_loopback: bool

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> AdminSettings:
        """Read them.

        Raises:
            SettingsError: one is missing, or means nothing.
        """
        return cls(
            aws=AwsSettings.from_env(environment),
            stage=text(environment, "STAGE"),
            directory_table=text(environment, "DIRECTORY_TABLE"),
            audit_table=text(environment, "AUDIT_TABLE"),
            ledger_table=text(environment, "LEDGER_TABLE"),
            pepper_secret=text(environment, "PEPPER_SECRET"),
            valkey=ValkeySettings.from_env(environment),
            task_root=text(environment, "LAMBDA_TASK_ROOT"),
            webhooks_to_loopback=boolean(environment, "WEBHOOKS_TO_LOOPBACK"),
        )


class BudgetsSettings(NamedTuple):
    """What the function needs that keeps the books.

    `longest_lease_s` is the longest that a request may hold money, `log_delay_s` how long to wait until the log shows
    what was written to it.
    """

    aws: AwsSettings
    stage: str
    directory_table: str
    ledger_table: str
    valkey: ValkeySettings
    longest_lease_s: int
    gateway_log: str
    log_delay_s: int

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> BudgetsSettings:
        """Read them.

        Raises:
            SettingsError: one is missing, or means nothing.
        """
        return cls(
            aws=AwsSettings.from_env(environment),
            stage=text(environment, "STAGE"),
            directory_table=text(environment, "DIRECTORY_TABLE"),
            ledger_table=text(environment, "LEDGER_TABLE"),
            valkey=ValkeySettings.from_env(environment),
            longest_lease_s=_seconds(environment, "LONGEST_LEASE"),
            gateway_log=text(environment, "GATEWAY_LOG"),
            log_delay_s=_seconds(environment, "LOG_DELAY"),
        )


class UsageKeysSettings(NamedTuple):
    """What the function needs that enrols keys in usage plans; `usage_plans` are tiers with the ids of their plans.

    `ip_sets` are the firewall's: "4" and "6" with the ARN of the set of such networks; empty without a firewall.
    """

    aws: AwsSettings
    directory_table: str
    usage_key_prefix: str
    usage_plans: Mapping[str, str]
    ip_sets: Mapping[str, str]

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> UsageKeysSettings:
        """Read them; `USAGE_PLANS` is written as `free=a1b2c3,pro=d4e5f6`, and so is `IP_SETS`, which may be empty.

        Raises:
            SettingsError: one is missing, or means nothing.
        """
        return cls(
            aws=AwsSettings.from_env(environment),
            directory_table=text(environment, "DIRECTORY_TABLE"),
            usage_key_prefix=text(environment, "USAGE_KEY_PREFIX"),
            usage_plans=_pairs(text(environment, "USAGE_PLANS"), "USAGE_PLANS must be tiers with their plans: free=a1"),
            ip_sets=_pairs(environment.get("IP_SETS", ""), "IP_SETS must be families with ARNs of sets: 4=arn:..."),
        )


def text(environment: Mapping[str, str], name: str) -> str:
    """Return a variable that must be there; raises SettingsError where it is not."""
    value = environment.get(name, "")
    if not value:
        raise SettingsError(f"The environment variable {name} is not set, and this function does not work without it.")
    return value


def _pairs(text: str, wanted: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in text.split(",")] if text else []
    if not all(name and value for name, _, value in pairs):
        raise SettingsError(f"The environment variable {wanted},...")
    return {name: value for name, _, value in pairs}


def _port(environment: Mapping[str, str], name: str) -> int:
    value = text(environment, name)
    if not (value.isascii() and value.isdigit() and 0 < int(value) < 65536):  # noqa: PLR2004 - ports end there
        raise SettingsError(f"The environment variable {name} must be a port, not {value!r}.")
    return int(value)


def _seconds(environment: Mapping[str, str], name: str) -> int:
    value = text(environment, name)
    if not (value.isascii() and value.isdigit()):
        raise SettingsError(f"The environment variable {name} must be a number of seconds, not {value!r}.")
    return int(value)


def boolean(environment: Mapping[str, str], name: str) -> bool:
    """Return a truth that must be there; raises SettingsError where it is not, or none."""
    value = text(environment, name)
    if value not in _BOOLEANS:
        raise SettingsError(f"The environment variable {name} must be true or false, not {value!r}.")
    return _BOOLEANS[value]
