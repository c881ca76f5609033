"""Settings: complete or refused, and the refusal names the variable."""

from __future__ import annotations

import pytest

from shared.edge.alerts_settings import AlertsSettings
from shared.edge.settings import (
    AdminSettings,
    AuthorizerSettings,
    AwsSettings,
    GatewaySettings,
    GoogleSettings,
    SettingsError,
    TokensSettings,
    ValkeySettings,
)

ENVIRONMENT = {
    "AWS_REGION": "eu-west-1",
    "JWT_ISSUER": "https://nexus.example",
    "OIDC_ISSUERS": "[]",
    "SIGNING_SECRET": "arn:signing",
    "STAGE": "dev",
    "AUDIT_TABLE": "audit",
    "DIRECTORY_TABLE": "directory",
    "LEDGER_TABLE": "ledger",
    "PEPPER_SECRET": "arn:pepper",
    "PROVIDERS_SECRET": "arn:providers",
    "USAGE_KEY_PREFIX": "nexus-1",
    "VALKEY_HOST": "cache.local",
    "VALKEY_PORT": "6379",
    "VALKEY_TLS": "true",
    "VALKEY_USER": "nexus",
    "VALKEY_CACHE": "nexus-cache",
    "LAMBDA_TASK_ROOT": "/var/task",
    "OPERATORS_TOPIC": "arn:topic",
    "WEBHOOKS_TO_LOOPBACK": "false",
}
OPTIONAL = {"OIDC_ISSUERS", "VALKEY_CACHE", "VALKEY_USER"}
ISSUER = "https://nexus.example"
AWS = AwsSettings("eu-west-1", None)
VALKEY = ValkeySettings("cache.local", 6379, tls=True, user="nexus", cache="nexus-cache")


GOOGLE = GoogleSettings("https://sts.googleapis.com", "https://iamcredentials.googleapis.com")


def test_reads_what_each_function_needs() -> None:
    """Values arrive typed; nothing is read that the function does not use."""
    secrets = ("arn:pepper", "nexus-1", "arn:signing")
    assert AuthorizerSettings.from_env(ENVIRONMENT) == (AWS, "directory", *secrets, ISSUER, "[]")
    assert TokensSettings.from_env(ENVIRONMENT) == (
        AWS,
        "dev",
        "directory",
        "arn:pepper",
        "arn:signing",
        ISSUER,
        VALKEY,
    )
    assert GatewaySettings.from_env(ENVIRONMENT) == (AWS, GOOGLE, "dev", "directory", "arn:providers", VALKEY)
    assert AdminSettings.from_env(ENVIRONMENT) == (
        AWS,
        "dev",
        "directory",
        "audit",
        "ledger",
        "arn:pepper",
        VALKEY,
        "/var/task",
        False,
    )
    assert AlertsSettings.from_env(ENVIRONMENT) == (AWS, "dev", "directory", "ledger", "arn:topic", False)


@pytest.mark.parametrize("name", sorted(ENVIRONMENT.keys() - OPTIONAL))
def test_names_the_variable_that_is_missing(name: str) -> None:
    """Absent and empty are the same, and at least one function refuses to start over it."""
    for environment in ({**ENVIRONMENT, name: ""}, {key: ENVIRONMENT[key] for key in ENVIRONMENT.keys() - {name}}):
        with pytest.raises(SettingsError, match=name):  # noqa: PT012 - any of them
            for settings in (AuthorizerSettings, GatewaySettings, AdminSettings, TokensSettings, AlertsSettings):
                settings.from_env(environment)


def test_needs_no_credentials_for_valkey() -> None:
    """A local Valkey has neither user nor cache name."""
    local = {**ENVIRONMENT, "VALKEY_USER": "", "VALKEY_CACHE": "", "VALKEY_TLS": "false"}
    assert ValkeySettings.from_env(local) == ("cache.local", 6379, False, "", "")


@pytest.mark.parametrize(
    ("name", "value"),
    [("VALKEY_PORT", "six"), ("VALKEY_PORT", "0"), ("VALKEY_PORT", "65536"), ("VALKEY_PORT", "²"), ("VALKEY_TLS", "1")],
)
def test_names_the_variable_that_means_nothing(name: str, value: str) -> None:
    """A wrong value is refused by name, not discovered at the first connection."""
    with pytest.raises(SettingsError, match=f"{name} must be"):
        ValkeySettings.from_env({**ENVIRONMENT, name: value})


def test_takes_an_endpoint_in_place_of_aws() -> None:
    """An emulator's address is taken as it is; an empty one is none."""
    assert AwsSettings.from_env({"AWS_REGION": "r", "AWS_ENDPOINT_URL": "http://h:1"}).endpoint_url == "http://h:1"
    assert AwsSettings.from_env({"AWS_REGION": "r", "AWS_ENDPOINT_URL": ""}).endpoint_url is None
