"""What the data plane is made of: the composition root, and what it does with its stores."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from functions import policing
from functions.credentials import Providers
from functions.shelf import Shelf
from shared.core import events, journal, limits, principals
from shared.core.catalog import FILE, decode
from shared.core.errors import StoreRebuilding, StoreUnavailable, Unauthorized, outcome
from shared.edge import snapshot, users
from shared.edge.admission import Admission, Further, Stale, Unprojected, connect, unstored
from shared.edge.aws import DYNAMODB, SECRETS, Aws, AwsError, credentials_from, valkey_login
from shared.edge.directory import BrokenRecordError, Directory
from shared.edge.http import Http
from shared.edge.identity import Identities
from shared.edge.report import Report
from shared.edge.secrets import Secrets
from shared.edge.settings import GatewaySettings
from shared.edge.signer import Signer
from shared.edge.store import Unanswered
from shared.edge.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from functions.call import Call
    from shared.core.catalog import Catalog, Provider
    from shared.core.principals import Principal
    from shared.edge.admission import Grant

HOLD_SECONDS = 5.0  # what fails fails sooner; plain HTTP clients wait no longer for a byte, by default
ASKED = 3  # times that admission is asked: the store may not know the caller, nor the authorizer who that is by now


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
        """Return what `provider` is called with, in `left` seconds; raises as `Providers.key`, `Identities.token`."""
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
                call.admitted(self._granted(call, any_presets=again > 0))
                break
            except Unprojected as unknown:
                self._project(call.principal, unknown.scopes)
            except Stale:
                call.renew(self.renewed(call.principal), self.catalog)
                self._project(call.principal, call.ask.scopes[: call.ask.who.scope])
        else:  # flushed again, evicted at once, or edited all the time
            raise StoreUnavailable("The gateway cannot count this request now.", retry_after=1)
        self._note_reserved(call)
        if not call.grant.stored:
            return call.grant
        self.shelf.hear(call.grant.catalog)
        if call.grant.seen and call.grant.seen[call.grant.first].state == "probe":
            self._note_breaker(call.principal.org)(call.ask.choice.targets[call.grant.first], "half_open", 0)
        return call.grant

    def _granted(self, call: Call, *, any_presets: bool) -> Grant:
        try:
            return self.admission.admit(call.ask, any_presets=any_presets)
        except StoreRebuilding:
            raise
        except StoreUnavailable as error:
            grant = unstored(call.ask, int(time.time() * 1000))
            if call.principal.on_store_loss == "serve":
                return grant
            if isinstance(error, Unanswered) and grant.held:
                self._note_refused(call, grant, error)
            raise

    def _note_refused(self, call: Call, grant: Grant, error: StoreUnavailable) -> None:
        """Write down that `call` costs nothing: the store may hear of it yet, and what nobody settles is charged."""
        call.admitted(grant)
        call.event.outcome = outcome(error)
        self.telemetry.note(journal.used(call.booked(), call.event.request_id, grant.day, cost=0))

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

    def afford_again(self, call: Call, position: int) -> bool:
        """Reserve what one more try takes, with the target at `position`, if those so far may all be billed."""
        grant = call.grant
        if grant.stored and not (grant.budgeted or grant.counted):
            return True
        model = call.targets[position].model.name
        shared, own = call.holding.lacks([one.model for one in call.tries], model)
        if any((*shared, *own)):
            if grant.stored and not self.admission.topup(call.ask, Further(call.number_of(model), *shared, *own)):
                return False
            call.holding.add(model, shared, own)
            self._note_reserved(call)
        return True

    def settle(self, call: Call) -> None:
        """Book what `call` used, in the journal first. A store that fails now takes no answer away."""
        event = call.event
        event.usage, event.cost = call.usage(), call.cost()
        grant, booked = call.grant, call.booked()
        cost = sum(share.cost for share in booked["models"])
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
        """Write down, before a provider hears of it, what `call` may cost in all its tries.

        If a budget applies, or the store has not heard of it, so that nobody knows of it should this process die.
        """
        grant, holding = call.grant, call.holding
        if not grant.budgeted and (grant.stored or not holding.shared.money):
            return
        line = journal.reserved(
            {**call.paying(), "endpoint": call.endpoint},
            call.event.request_id,
            grant.day,
            held=holding.shared.money,
            models={name: held.money for name, held in holding.models.items()},
            ends=int((time.time() + call.ask.lease) * 1000),
            stored=grant.stored,
        )
        self.telemetry.note(line)

    def _project(self, principal: Principal, scopes: Iterable[str]) -> None:
        policing.project(self.admission, self.directory, self.catalog.tiers, principal, scopes)


def build(environment: Mapping[str, str]) -> Gateway:
    """Make the gateway that `environment` describes; nothing is connected to before it is used.

    Raises:
        SettingsError: a variable is missing, or means nothing.
        OSError, msgspec.DecodeError: the compiled catalog cannot be read.
    """
    settings = GatewaySettings.from_env(environment)
    credentials = credentials_from(environment)
    catalog = decode(Path(environment["LAMBDA_TASK_ROOT"], FILE).read_bytes())
    secrets, directory = (Aws(one, settings.aws, credentials) for one in (SECRETS, DYNAMODB))
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
