"""The emulator's process: MiniStack, with what must outlive it written to the journal first.

MiniStack saves its state only when it ends in good order. Here each change of an item or a secret is in the journal
before the request that made it is answered, so that a key made a second ago survives any way of dying. The seams are
private to MiniStack, whose version is pinned exactly; a test fails when one of them is gone.
"""

# ruff: noqa: SLF001 - the seams are private, and named in the sentence above

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ministack import app
from ministack.services import dynamodb, secretsmanager
from ministack.services.cloudformation import provisioners

from cdk.local.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable

TABLE_TYPES = ("AWS::DynamoDB::Table", "AWS::DynamoDB::GlobalTable")
SECRET_TYPE = "AWS::SecretsManager::Secret"  # noqa: S105 - the name of a resource type


def main() -> None:
    """Serve until told to end; the environment says where (GATEWAY_PORT, BIND_HOST, NEXUS_JOURNAL)."""
    journal = Journal.open(Path(os.environ["NEXUS_JOURNAL"]))
    remember_items(journal)
    remember_secrets(journal)
    sys.argv = ["ministack"]
    app.main()


def remember_items(journal: Journal) -> None:
    """Note each change of an item, commit with each request, and fill a table when it is created."""
    store, remove, answer = dynamodb._set_item, dynamodb._remove_item, dynamodb.handle_request

    def stored(table: dict[str, Any], partition: str, sort: str, item: dict[str, Any]) -> object:
        journal.put(table["TableName"], (partition, sort), item)
        return store(table, partition, sort, item)

    def removed(table: dict[str, Any], partition: str, sort: str) -> object:
        journal.put(table["TableName"], (partition, sort), None)
        return remove(table, partition, sort)

    async def answered(*request: object) -> object:
        try:
            return await answer(*request)
        finally:
            journal.commit()

    def fill(name: str) -> None:
        for (partition, sort), item in journal.items(name):
            store(dynamodb._tables[name], partition, sort, item)

    dynamodb._set_item, dynamodb._remove_item, dynamodb.handle_request = stored, removed, answered
    for type_name in TABLE_TYPES:
        _after_create(type_name, fill)


def remember_secrets(journal: Journal) -> None:
    """Note each new value of a secret, and prefer the noted value when a secret is created."""
    publish = secretsmanager._publish_new_version

    def published(secret: dict[str, Any], secret_string: str | None = None, secret_binary: object = None) -> object:
        version = publish(secret, secret_string, secret_binary)
        if secret_string is not None:
            journal.keep_secret(secret["Name"], secret_string)
        return version

    def restore(name: str) -> None:
        (version,) = secretsmanager._secrets[name]["Versions"].values()
        kept = journal.secret(name)
        if kept is None:
            journal.keep_secret(name, version["SecretString"])
        else:
            version["SecretString"] = kept

    secretsmanager._publish_new_version = published
    _after_create(SECRET_TYPE, restore)


def _after_create(type_name: str, step: Callable[[str], None]) -> None:
    """Run `step(physical id)` whenever a template has created a resource of the type."""
    handler = provisioners._RESOURCE_HANDLERS[type_name]
    create = handler["create"]

    def created(*arguments: object) -> object:
        result = create(*arguments)
        step(result[0])
        return result

    handler["create"] = created


if __name__ == "__main__":
    main()
