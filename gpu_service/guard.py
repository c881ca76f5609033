"""Who may call, as the environment says: holders of a shared or an identity token, or whom the platform lets in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from shared.edge.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpu_service.settings import Settings

LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
WAYS: Final = ("token", "identity", "platform")
_GOOGLE: Final = "https://accounts.google.com"
_AUDIENCE: Final = re.compile(r"""[^\s"'\[\]{}]+""")
_KEYS: Final = "https://www.googleapis.com/oauth2/v3/certs"  # what Google's discovery document names as jwks_uri
_REMEDY: Final = (
    "set GPU_SERVICE_TOKEN, or GPU_SERVICE_AUTH=identity with IDENTITY_AUDIENCE and IDENTITY_EMAILS, or "
    "GPU_SERVICE_AUTH=platform where IAM does (SageMaker; Cloud Run without unauthenticated invocations)."
)


@dataclass(frozen=True, slots=True)
class Identity:
    """Which identity tokens open the service: of this issuer, for one of these audiences, of these addresses."""

    audiences: tuple[str, ...]
    emails: frozenset[str]
    issuer: str = _GOOGLE
    jwks_url: str = _KEYS


def way(environment: Mapping[str, str]) -> str:
    """Read who checks callers.

    Raises:
        SettingsError: it is none of `WAYS`.
    """
    found = environment.get("GPU_SERVICE_AUTH") or "token"
    if found not in WAYS:
        raise SettingsError(f"GPU_SERVICE_AUTH={found} is none of {', '.join(WAYS)}.")
    return found


def identity(environment: Mapping[str, str]) -> Identity | None:
    """Read which identity tokens are good, None where they are not asked for.

    Raises:
        SettingsError: something is missing or wrong, or is set and would not be heeded.
    """
    given = {name: environment.get(f"IDENTITY_{name}", "") for name in ("AUDIENCE", "EMAILS", "ISSUER", "JWKS_URL")}
    if way(environment) != "identity":
        if idle := next((name for name, value in given.items() if value), None):
            raise SettingsError(f"IDENTITY_{idle} is set, and only GPU_SERVICE_AUTH=identity heeds it.")
        return None
    for name in ("AUDIENCE", "EMAILS"):
        if not given[name]:
            raise SettingsError(
                f"GPU_SERVICE_AUTH=identity needs IDENTITY_{name}: the service's URLs as callers name them, and the "
                "addresses of the accounts that may call, both with commas between them."
            )
    emails = frozenset(email.strip().lower() for email in given["EMAILS"].split(","))
    if not all("@" in email for email in emails):
        raise SettingsError("IDENTITY_EMAILS is not a list of addresses with commas between them.")
    keys = given["JWKS_URL"] or _KEYS
    if urlsplit(keys).scheme != "https" and urlsplit(keys).hostname not in LOOPBACK:
        raise SettingsError(f"IDENTITY_JWKS_URL={keys} is not read over https, so anybody on the way could sign.")
    return Identity(_audiences(given["AUDIENCE"]), emails, given["ISSUER"] or _GOOGLE, keys)


def _audiences(text: str) -> tuple[str, ...]:
    """Read the audiences: a Cloud Run service has two URLs, and as many more as domains were mapped to it.

    Raises:
        SettingsError: one of them is empty, or in no form that a token could name.
    """
    found = tuple(audience.strip() for audience in text.split(","))
    for audience in found:
        if not _AUDIENCE.fullmatch(audience):
            raise SettingsError(
                f"IDENTITY_AUDIENCE={text} is not a list of URLs with commas between them: '{audience}' is none. Write "
                "each as callers name it, such as https://embedder-1234.europe-west1.run.app, without quotes."
            )
    return found


def is_open(settings: Settings) -> bool:
    """Tell whether nobody checks who calls."""
    return not settings.token and settings.guard == "token"


def check_guard(settings: Settings) -> None:
    """Hold the service to asking callers for something, wherever others than this machine can reach it.

    Raises:
        SettingsError: nobody would check who calls.
    """
    if is_open(settings) and settings.host not in LOOPBACK:
        raise SettingsError(
            f"GPU_SERVICE_HOST={settings.host} lets others in, and nobody checks who they are: {_REMEDY}"
        )


def stranger() -> str:
    """Say what is wrong when others reach a service that checks nobody."""
    return f"This service answers its own machine alone, as nobody checks who calls: {_REMEDY}"
