"""What the data plane is made of: the composition root, and what it does with its stores."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from functions.shelf import Shelf
from shared.core import events, journal, limits, policies, principals
from shared.core.catalog import FILE, decode
from shared.core.errors import StoreRebuilding, StoreUnavailable, Unauthorized, UpstreamUnavailable
from shared.edge import snapshot, users
from shared.edge.admission import Admission, Stale, Unprojected, connect, unstored
from shared.edge.aws import DYNAMODB, SECRETS, Aws, AwsError, credentials_from, valkey_login
from shared.edge.directory import BrokenRecordError, Directory
from shared.edge.http import Http
from shared.edge.identity import Identities
from shared.edge.report import Report
from shared.edge.secrets import Secrets
from shared.edge.settings import GatewaySettings
from shared.edge.signer import Signer
from shared.edge.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from functions.call import Call
    from shared.core.catalog import Catalog, Provider
    from shared.core.principals import Principal
    from shared.edge.admission import Grant

HOLD_SECONDS = 5.0  # what fails fails sooner; plain HTTP clients wait no longer for a byte, by default
ASKED = 3  # times that admission is asked: the store may not know the caller, nor the authorizer who that is by now


class Providers:
    """Which providers can be called from here, and with which secrets."""

    def __init__(self, shelf: Shelf, secrets: Secrets, name: str) -> None:
        """`name` is that of the secret that holds a JSON object of all of theirs."""
        self._shelf = shelf
        self._secrets = secrets
        self._name = name
        self._text = ""
        self._values: dict[str, str | list[str]] = {}
        self._good: dict[str, str] = {}  # by provider: the key that took over from one that failed

    def configured(self) -> Collection[str]:
        """Name the providers whose address is known and whose secret, if they need one, is there.

        Raises:
            UpstreamUnavailable: the secrets cannot be read; nobody may step in for a provider because of that.
        """
        values = self._read(self._secrets.get)
        return {
            name
            for name, provider in self._shelf.catalog.providers.items()
            if provider.base_url and (not provider.secret or values.get(provider.secret))
        }

    def key(self, provider: Provider) -> str:
        """Return the key to call the provider with, "" if it needs none.

        Raises:
            UpstreamUnavailable: it cannot be read, or no header can carry it.
        """
        known, good = self._keys(provider, self._secrets.get), self._good.get(provider.name)
        return good if good in known else known[0]

    def another(self, provider: Provider, tried: Collection[str], *, refused: bool) -> str:
        """Return a key that is not among `tried`, "" if there is none; one that was `refused` may have been rotated.

        Raises as `key` does.
        """
        known = self._keys(provider, self._secrets.refresh if refused else self._secrets.get)
        found = next((key for key in known if key not in tried), "")
        if found:
            self._good[provider.name] = found
        return found

    def _keys(self, provider: Provider, how: Callable[[str], str]) -> list[str]:
        """List the provider's keys, best first; a secret holds one, or a list of them."""
        if not provider.secret:
            return [""]
        found = self._read(how).get(provider.secret) or ""
        keys = [key.strip() for key in ([found] if isinstance(found, str) else found)]  # pasted with the end of a line
        if not all(key.isascii() and key.isprintable() for key in keys):
            raise UpstreamUnavailable(f"The secret {provider.secret} of this gateway holds what no key can hold.")
        return keys

    def _read(self, how: Callable[[str], str]) -> dict[str, str | list[str]]:
        try:
            text = how(self._name)
            if text != self._text:
                self._text, self._values = text, msgspec.json.decode(text, type=dict[str, str | list[str]])
        except (AwsError, msgspec.DecodeError) as error:
            raise UpstreamUnavailable("The credentials of the providers cannot be read now.", retry_after=1) from error
        return self._values


class Gateway(NamedTuple):
    """Everything that outlives a request."""

    shelf: Shelf
    http: Http
    admission: Admission
    directory: Directory
    providers: Providers
    identities: Identities
    telemetry: Telemetry
    signer: Signer
    pause: Callable[[float], None] = time.sleep
    hold: float = HOLD_SECONDS  # that the start of a stream waits for its first word

    @property
    def catalog(self) -> Catalog:
        """The catalog that is live."""
        return self.shelf.catalog

    def key(self, provider: Provider, left: float) -> str:
        """Return what `provider` is called with; raises as `Providers.key` and `Identities.token` do.

        `left` is how many seconds there are.
        """
        return self.identities.token(provider, left) if provider.identity else self.providers.key(provider)

    def another(self, provider: Provider, tried: Collection[str], left: float, *, refused: bool) -> str:
        """Return something else that it may be called with, "" if there is nothing; `tried` was refused or limited."""
        if provider.identity:
            return self.identities.another(provider, tried, left) if refused else ""
        return self.providers.another(provider, tried, refused=refused)

    def renew(self, org: str) -> None:
        """Have the catalog that is live, as far as the stores can be reached."""
        self.shelf.renew(org, self.telemetry.note)

    def admit(self, call: Call) -> Grant:
        """Ask the admission script; what Valkey does not know of the caller is read from the Directory first.

        So is the caller, where the authorizer remembers another one than there is now. An organization that wants to be
        served while Valkey cannot be asked is granted whatever it asks for; not while its books are rebuilt, which ends
        by itself: then Valkey answers, and a budget holds.

        Raises:
            GatewayError: as `Admission.admit` does.
        """
        for again in range(ASKED):
            try:
                call.grant = self._granted(call, any_presets=again > 0)
                break
            except Unprojected as unknown:
                self._project(call.principal, unknown.scopes)
            except Stale:
                call.renew(self.renewed(call.principal))
                self._project(call.principal, call.ask.scopes[: call.ask.who.scope])
        else:  # flushed again, evicted at once, or edited all the time
            raise StoreUnavailable("The gateway cannot count this request now.", retry_after=1)
        if not call.grant.stored:
            return call.grant
        self.shelf.hear(call.grant.catalog)
        if call.grant.budgeted:
            self._note_reserved(call)
        if call.grant.seen and call.grant.seen[call.grant.first].state == "probe":
            self._note_breaker(call.principal.org)(call.ask.choice.targets[call.grant.first], "half_open", 0)
        return call.grant

    def _granted(self, call: Call, *, any_presets: bool) -> Grant:
        try:
            return self.admission.admit(call.ask, any_presets=any_presets)
        except StoreRebuilding:
            raise
        except StoreUnavailable:
            if call.principal.on_store_loss != "serve":
                raise
            return unstored(call.ask, int(time.time() * 1000))

    def renewed(self, principal: Principal) -> Principal:
        """Return the caller as the Directory has it now, past what the authorizer remembers.

        Raises:
            Unauthorized: the key, its secret or the user is good no more.
            StoreUnavailable: the Directory cannot be read.
        """
        try:
            return self._renewed(principal)._replace(on_store_loss=principal.on_store_loss)
        except (AwsError, BrokenRecordError) as error:
            raise StoreUnavailable("The gateway cannot look up this key now.", retry_after=1) from error

    def _renewed(self, principal: Principal) -> Principal:
        if principals.is_token(principal.key_id):
            item = self.directory.item(principal.org, f"user#{principal.user}", consistent=True)
            known = item and not principals.is_foreign(principal.user)
            return users.user(item).renewed(principal) if item and known else principal
        record = self.directory.key(principal.org, principal.key_id, consistent=True)
        if record is None:
            raise Unauthorized("This API key does not exist any more.")
        if not record.opened_by(principal.secret, time.time()):
            raise Unauthorized("This API key was rotated: use its new secret.")
        return record.principal(principal.secret)

    def afford_again(self, call: Call) -> bool:
        """Reserve the cost of one more try, where the tries so far may all be billed and a budget applies."""
        if not call.grant.budgeted or len(call.tries) <= call.topups:
            return True
        if not self.admission.topup(call.ask, call.grant.held):
            return False
        call.topups += 1
        self._note_reserved(call)
        return True

    def settle(self, call: Call) -> None:
        """Book what `call` used, in the journal first. A store that fails now takes no answer away."""
        event = call.event
        event.usage, event.cost = call.usage(), call.cost()
        cost, booked = event.cost or 0, call.booked()
        grant = call.grant
        self.telemetry.note(journal.used(booked, event.request_id, grant.day, cost, stored=grant.stored))
        try:
            heard = self._note_breaker(call.principal.org)
            report = Report(call.results, self.catalog.resilience, call.event.stream, heard)
            self.admission.settle(call.ask, grant, cost, booked, report)
            event.settled = True
        except StoreUnavailable:
            event.settled = False

    def _note_breaker(self, org: str) -> Callable[[str, str, int], None]:
        """Return what writes down that a breaker has changed."""
        rest = self.catalog.resilience.breaker_rest
        return lambda target, state, failures: self.telemetry.note(
            events.breaker(org, target, state, failures=failures, rest_seconds=rest if state == "open" else 0)
        )

    def _note_reserved(self, call: Call) -> None:
        """Write down, before a provider hears of it, what `call` may cost in all its tries."""
        grant, ends = call.grant, int((time.time() + call.ask.lease) * 1000)
        held = grant.held * (1 + call.topups)
        self.telemetry.note(journal.reserved(call.paying(), call.event.request_id, grant.day, held, ends))

    def _project(self, principal: Principal, scopes: Iterable[str]) -> None:
        try:
            told = [(scope, *self._policy(principal, scope)) for scope in scopes]
        except (AwsError, BrokenRecordError) as error:
            raise StoreUnavailable("The gateway cannot look up this key now.", retry_after=1) from error
        for scope, version, fields in told:
            self.admission.tell(principal.org, scope, version, fields)

    def _policy(self, principal: Principal, scope: str) -> tuple[int, dict[str, str | int]]:
        """Read what the Directory says of a scope: version and fields, the same for one of which it says nothing."""
        kind, _, name = scope.partition(":")
        if kind == "class":
            endpoint = name.partition(":")[0]
            said = self.directory.item(principal.org, f"class#{endpoint}", consistent=True) or {}
            return int(said.get("version", 0)), policies.endpoint_policy(endpoint, said)
        if kind != "key":
            found = self.directory.item(principal.org, kind if kind == "org" else f"{kind}#{name}", consistent=True)
            return int((found or {}).get("version", 0)), policies.policy(found or {})
        edited = self.directory.item(principal.org, f"tier#{principal.tier}", consistent=True)
        if principals.is_token(name):
            return policies.key_policy({"tier": principal.tier, "version": 0}, self.catalog.tiers, edited)
        record = self.directory.key(principal.org, name, consistent=True)
        if record is None:
            raise Unauthorized("This API key does not exist any more.")
        if record.tier != principal.tier:
            edited = self.directory.item(principal.org, f"tier#{record.tier}", consistent=True)
        return policies.key_policy(record._asdict(), self.catalog.tiers, edited)


def build(environment: Mapping[str, str]) -> Gateway:
    """Make the gateway that `environment` describes; nothing is connected to before it is used.

    Raises:
        SettingsError: a variable is missing, or means nothing.
        OSError, msgspec.DecodeError: the compiled catalog cannot be read.
    """
    settings = GatewaySettings.from_env(environment)
    credentials = credentials_from(environment)
    catalog = decode(Path(environment["LAMBDA_TASK_ROOT"], FILE).read_bytes())
    secrets, directory = Aws(SECRETS, settings.aws, credentials), Aws(DYNAMODB, settings.aws, credentials)
    store, login = settings.valkey, valkey_login(settings.valkey, settings.aws, credentials)
    connection = connect(store.host, store.port, tls=store.tls, credentials=login)
    admission, http = Admission(connection, presets=limits.fingerprint(catalog.tiers)), Http()
    identities = Identities(settings.google, settings.aws.region, credentials)
    for connected in (secrets, directory, admission, http, identities):
        snapshot.register_before_snapshot(connected.drop)
    telemetry, records = Telemetry(settings.stage), Directory(directory, settings.directory_table)
    shelf = Shelf(catalog, environment, admission=admission, directory=records)
    return Gateway(
        shelf=shelf,
        http=http,
        admission=admission,
        directory=records,
        providers=Providers(shelf, Secrets(secrets), settings.providers_secret),
        identities=identities,
        telemetry=telemetry,
        signer=Signer(settings.aws.region, credentials),
    )
