"""What the data plane is made of: the composition root, and what one call carries through the pipeline."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from shared.core import limits
from shared.core.catalog import FILE, decode
from shared.core.errors import StoreUnavailable, Unauthorized, UpstreamUnavailable
from shared.core.usage import total
from shared.edge import snapshot
from shared.edge.admission import Admission, Unprojected, connect
from shared.edge.aws import DYNAMODB, SECRETS, Aws, AwsError, credentials_from, valkey_login
from shared.edge.directory import BrokenRecordError, Directory
from shared.edge.http import Http
from shared.edge.secrets import Secrets
from shared.edge.settings import GatewaySettings
from shared.edge.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from shared.core.catalog import Catalog, Provider
    from shared.core.chat import Chat
    from shared.core.embeddings import Embeddings
    from shared.core.limits import Standing
    from shared.core.principals import Principal
    from shared.core.usage import Usage
    from shared.edge.telemetry import Event
    from shared.providers.adapter import Adapter, Moment

USAGE_EVENT = "usage.v1"
LEASE_MARGIN = 5.0  # seconds that a lease outlives the invocation it belongs to


@dataclass(slots=True)
class Call:
    """One request on its way. `deadline` is monotonic seconds; `lease` says how many more the invocation may last."""

    principal: Principal
    event: Event
    deadline: float
    lease: float
    moment: Moment
    request: Chat | Embeddings = field(init=False)  # once it is parsed
    billed: list[Adapter] = field(default_factory=list)  # the tries whose tokens count, since they may have arrived

    def left(self) -> float:
        """Seconds until the answer must have ended."""
        return self.deadline - time.monotonic()

    def usage(self) -> Usage:
        """The tokens to be booked."""
        return total(exchange.usage for exchange in self.billed)


class Providers:
    """Which providers can be called from here, and with which secrets."""

    def __init__(self, catalog: Catalog, secrets: Secrets, name: str) -> None:
        """`name` is that of the secret that holds a JSON object of all of theirs."""
        self._catalog = catalog
        self._secrets = secrets
        self._name = name
        self._text = ""
        self._values: dict[str, str] = {}

    def configured(self) -> Collection[str]:
        """Name the providers whose address is known and whose secret, if they need one, is there.

        Raises:
            UpstreamUnavailable: the secrets cannot be read; nobody may step in for a provider because of that.
        """
        values = self._read(self._secrets.get)
        return {
            name
            for name, provider in self._catalog.providers.items()
            if provider.base_url and (not provider.secret or values.get(provider.secret))
        }

    def secret(self, provider: Provider) -> str:
        """Return the provider's secret, "" if it has none.

        Raises:
            UpstreamUnavailable: it cannot be read, or no header can carry it.
        """
        return self._usable(provider, self._secrets.get)

    def renewed(self, provider: Provider, refused: str) -> str:
        """Return the provider's secret if it has changed since `refused` was read, else ""."""
        current = self._usable(provider, self._secrets.refresh)
        return "" if current == refused else current

    def _usable(self, provider: Provider, how: Callable[[str], str]) -> str:
        if not provider.secret:
            return ""
        secret = self._read(how).get(provider.secret, "").strip()  # pasted with the end of its line
        if not (secret.isascii() and secret.isprintable()):
            raise UpstreamUnavailable(f"The secret {provider.secret} of this gateway holds what no key can hold.")
        return secret

    def _read(self, how: Callable[[str], str]) -> dict[str, str]:
        try:
            text = how(self._name)
            if text != self._text:
                self._text, self._values = text, msgspec.json.decode(text, type=dict[str, str])
        except (AwsError, msgspec.DecodeError) as error:
            raise UpstreamUnavailable("The credentials of the providers cannot be read now.", retry_after=1) from error
        return self._values


class Gateway(NamedTuple):
    """Everything that outlives a request."""

    catalog: Catalog
    http: Http
    admission: Admission
    directory: Directory
    providers: Providers
    telemetry: Telemetry
    pause: Callable[[float], None] = time.sleep

    def admit(self, call: Call) -> Standing:
        """Ask the admission script; a key that Valkey does not know is read from the Directory first.

        Raises:
            GatewayError: as `Admission.admit` does.
        """
        ask = partial(self.admission.admit, call.principal.key_id, call.event.request_id, call.lease + LEASE_MARGIN)
        try:
            return ask()
        except Unprojected:
            self._project(call.principal)
        try:
            return ask(any_presets=True)
        except Unprojected as error:  # flushed again, or evicted at once: the store keeps nothing now
            raise StoreUnavailable("The gateway cannot count this request now.", retry_after=1) from error

    def settle(self, call: Call) -> None:
        """Book what `call` used. A store that fails now takes no answer away: the event's line then has the usage."""
        event = call.event
        event.usage = usage = call.usage()
        booked: dict[str, str | int] = {
            "event": USAGE_EVENT,
            "request_id": event.request_id,
            "key": call.principal.key_id,
            "model": event.model,
            "provider": event.provider,
            "prompt": usage.prompt,
            "completion": usage.completion,
            "outcome": event.outcome,
            "estimated": int(usage.estimated),
            "ms": round((time.perf_counter() - event.started) * 1000),
        }
        try:
            self.admission.settle(call.principal.key_id, event.request_id, booked)
            event.settled = True
        except StoreUnavailable:
            event.settled = False

    def _project(self, principal: Principal) -> None:
        try:
            record = self.directory.key(principal.org, principal.key_id, consistent=True)
        except (AwsError, BrokenRecordError) as error:
            raise StoreUnavailable("The gateway cannot look up this key now.", retry_after=1) from error
        if record is None:
            raise Unauthorized("This API key does not exist any more.")
        self.admission.project(
            principal.key_id,
            version=record.version,
            revoked=record.revoked,
            expires_at=record.expires_at,
            tier=record.tier,
            limits=limits.resolve(self.catalog.tiers[record.tier], record.limits),
        )


def build(environment: Mapping[str, str]) -> Gateway:
    """Make the gateway that `environment` describes; nothing is connected to before it is used.

    Raises:
        SettingsError: a variable is missing, or means nothing.
        OSError, msgspec.DecodeError: the compiled catalog cannot be read.
    """
    settings = GatewaySettings.from_env(environment)
    credentials = credentials_from(environment)
    catalog = _located(decode(Path(environment["LAMBDA_TASK_ROOT"], FILE).read_bytes()), environment)
    secrets, directory = Aws(SECRETS, settings.aws, credentials), Aws(DYNAMODB, settings.aws, credentials)
    store, login = settings.valkey, valkey_login(settings.valkey, settings.aws, credentials)
    connection = connect(store.host, store.port, tls=store.tls, credentials=login)
    admission, http = Admission(connection, presets=limits.fingerprint(catalog.tiers)), Http()
    for connected in (secrets, directory, admission, http):
        snapshot.register_before_snapshot(connected.drop)
    return Gateway(
        catalog=catalog,
        http=http,
        admission=admission,
        directory=Directory(directory, settings.directory_table),
        providers=Providers(catalog, Secrets(secrets), settings.providers_secret),
        telemetry=Telemetry(settings.stage),
    )


def _located(catalog: Catalog, environment: Mapping[str, str]) -> Catalog:
    """Put the addresses that the environment gives into the catalog's place."""
    providers = {
        name: msgspec.structs.replace(provider, base_url=environment.get(provider.base_url_env) or provider.base_url)
        for name, provider in catalog.providers.items()
    }
    return msgspec.structs.replace(catalog, providers=providers)
