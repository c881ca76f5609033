"""The standard variables decide where chat goes, and whose credentials the gateway holds."""

from __future__ import annotations

import pytest

from cdk.local.child import LocalError
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


@pytest.mark.parametrize(
    "odd",
    [
        "localhost:8000/v1",
        "upstream.example",
        "https://?",
        "https:///v1",
        "ftp://example.com/v1",
        "https://exa mple.com/v1",
        "https://example.com/v1\n",
        "https://example.com:x/v1",
        "https://me:secret@example.com/v1",
        "https://example.com/v1?api-version=1",
        "https://[::1/v1",
        "https://ex\u2026.com/v1",
    ],
)
def test_an_address_that_is_none_stops_the_start(odd: str) -> None:
    """The variable is named, its value, which may hold a password, is not shown."""
    with pytest.raises(LocalError, match="OPENAI_BASE_URL") as refused:
        addresses(("OPENAI_BASE_URL",), {}, {"OPENAI_BASE_URL": odd})
    assert odd not in str(refused.value)


@pytest.mark.parametrize("good", ["http://127.0.0.1:8000/v1", "https://[::1]:8000/v1/", "https://api.example.com"])
def test_an_address_may_be_of_any_server(good: str) -> None:
    """A port, an IPv6 address, a slash at the end, or no path at all."""
    assert addresses(("OPENAI_BASE_URL",), {}, {"OPENAI_BASE_URL": good}) == {"OPENAI_BASE_URL": good}
