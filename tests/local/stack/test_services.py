"""The standard variables decide where chat goes, and whose credentials the gateway holds."""

from __future__ import annotations

import pytest

from cdk.local.services import KEYLESS, addresses, credentials
from shared.core.catalog import Catalog, Provider

OPENAI = Provider("openai", "openai", "https://api.openai.com/v1", "OPENAI_BASE_URL", "OPENAI_API_KEY")
OWN = Provider("gpu_service", "openai", "", "GPU_SERVICE_URL", "GPU_SERVICE_TOKEN")
SIMULATED = Provider("simulated", "openai", "", "SIMULATED_BASE_URL", stand_in=True)
CATALOG = Catalog("1", {provider.name: provider for provider in (OPENAI, OWN, SIMULATED)}, {}, {})


@pytest.mark.parametrize(
    ("environment", "key"),
    [
        ({}, None),
        ({"OPENAI_API_KEY": ""}, None),
        ({"OPENAI_API_KEY": "sk-real"}, "sk-real"),
        ({"OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}, KEYLESS),
        ({"OPENAI_API_KEY": "sk-real", "OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}, "sk-real"),
    ],
)
def test_a_provider_is_configured_by_its_key_or_its_address(environment: dict[str, str], key: str | None) -> None:
    """A server of one's own often wants no key; without either, the provider has no credentials."""
    assert credentials(CATALOG, "own-token", environment).get("OPENAI_API_KEY") == key


def test_the_own_service_keeps_the_token_of_the_state_folder() -> None:
    """A variable of the same name in the environment cannot lock the gateway out of its own service."""
    assert credentials(CATALOG, "own-token", {"GPU_SERVICE_TOKEN": "other"}) == {"GPU_SERVICE_TOKEN": "own-token"}


def test_functions_are_told_only_the_addresses_they_ask_for() -> None:
    """Our own services' addresses come first, unset ones are left out."""
    names = ("OPENAI_BASE_URL", "GPU_SERVICE_URL", "SIMULATED_BASE_URL")
    environment = {"OPENAI_BASE_URL": "http://upstream/v1", "GPU_SERVICE_URL": "http://elsewhere/v1", "PATH": "/bin"}
    assert addresses(names, {"GPU_SERVICE_URL": "http://own/v1"}, environment) == {
        "OPENAI_BASE_URL": "http://upstream/v1",
        "GPU_SERVICE_URL": "http://own/v1",
    }
