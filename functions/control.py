"""What the control plane is made of: the composition root of the admin function."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from functions.keyring import Keyring
from functions.projection import Projection
from functions.registry import Registry
from functions.shelf import Shelf
from shared.core import limits
from shared.core.catalog import FILE, Catalog, decode
from shared.edge.admission import Admission, connect
from shared.edge.aws import DYNAMODB, SECRETS, Aws, credentials_from, valkey_login
from shared.edge.directory import Directory
from shared.edge.ledger import Ledger
from shared.edge.secrets import Secrets
from shared.edge.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from shared.edge.settings import AdminSettings


class Control(NamedTuple):
    """What outlives a request. `now` is in epoch seconds."""

    registry: Registry
    projection: Projection
    keyring: Keyring
    models: Collection[str]  # which there are
    ledger: Ledger
    telemetry: Telemetry
    directory: Directory
    shelf: Shelf
    now: Callable[[], float] = time.time
    deployed: Catalog = Catalog("", {}, {}, {})
    webhooks_to_loopback: bool = False


def build(settings: AdminSettings, environment: Mapping[str, str]) -> Control:
    """Make what `settings` describe; nothing is connected to before it is used.

    Raises:
        OSError, msgspec.DecodeError: the compiled catalog cannot be read.
    """
    credentials = credentials_from(environment)
    vault = Secrets(Aws(SECRETS, settings.aws, credentials))
    store = settings.valkey
    login = valkey_login(store, settings.aws, credentials)
    registry = Registry.open(settings.directory_table, settings.audit_table, settings.aws)
    catalog = decode(Path(settings.task_root, FILE).read_bytes())
    connection = connect(store.host, store.port, tls=store.tls, credentials=login)
    admission = Admission(connection, presets=limits.fingerprint(catalog.tiers))
    projection = Projection(registry, admission, catalog.tiers)
    dynamodb = Aws(DYNAMODB, settings.aws, credentials)
    ledger, directory = Ledger(dynamodb, settings.ledger_table), Directory(dynamodb, settings.directory_table)
    keyring = Keyring(registry, projection, pepper=lambda: vault.get(settings.pepper_secret))
    names = frozenset({*catalog.models, *catalog.aliases})
    telemetry, loopback = Telemetry(settings.stage), settings.webhooks_to_loopback
    shelf = Shelf(catalog, {}, admission=admission, directory=directory)
    made = Control(registry, projection, keyring, names, ledger, telemetry, directory, shelf, deployed=catalog)
    return made._replace(webhooks_to_loopback=loopback)
