"""The emulator's process: MiniStack, with what must outlive it written to the journal first.

MiniStack saves its state only when it ends in good order. Here each change of an item or a secret is in the journal
before the request that made it is answered, so that a key made a second ago survives any way of dying. Log lines are in
the journal alone, and are searched page by page as CloudWatch does it, which MiniStack does not. The seams are
private to MiniStack, whose version is pinned exactly; a test fails when one of them is gone.
"""

# ruff: noqa: SLF001 - the seams are private, and named in the sentence above

from __future__ import annotations

import os
import sys
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ministack import app
from ministack.core.responses import error_response_json, json_response
from ministack.services import cloudwatch_logs, dynamodb, secretsmanager
from ministack.services.cloudformation import provisioners

from cdk.local.journal import Journal
from cdk.local.log_pattern import PatternError, matcher

if TYPE_CHECKING:
    from collections.abc import Callable

TABLE_TYPES = ("AWS::DynamoDB::Table", "AWS::DynamoDB::GlobalTable")
LINES_A_PAGE = 1000  # searched, not found: as at CloudWatch, a page may be empty and not the last
SECRET_TYPE = "AWS::SecretsManager::Secret"  # noqa: S105 - the name of a resource type


def main() -> None:
    """Serve until told to end; the environment says where (GATEWAY_PORT, BIND_HOST, NEXUS_JOURNAL)."""
    journal = Journal.open(Path(os.environ["NEXUS_JOURNAL"]))
    remember_items(journal)
    remember_secrets(journal)
    remember_lines(journal)
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


def remember_lines(journal: Journal) -> None:
    """Keep log lines in the journal, and find them there."""
    put = cloudwatch_logs._put_log_events

    def stored(request: dict[str, Any]) -> Any:  # noqa: ANN401 - MiniStack's answer
        answer = put({**request, "logEvents": []})  # it knows groups and streams
        if answer[0] < HTTPStatus.BAD_REQUEST:
            journal.write(request["logGroupName"], ((one["timestamp"], one["message"]) for one in request["logEvents"]))
        return answer

    def found(request: dict[str, Any]) -> Any:  # noqa: ANN401 - MiniStack's answer
        group = request["logGroupName"]
        if group not in cloudwatch_logs._log_groups:
            return error_response_json("ResourceNotFoundException", f"There is no log group {group}.", 400)
        try:
            matches = matcher(request.get("filterPattern", ""))
        except PatternError as error:
            return error_response_json("InvalidParameterException", str(error), 400)
        at, _, number = request.get("nextToken", f"{request.get('startTime', 0) - 1}:{sys.maxsize}").partition(":")
        page = journal.lines(group, (int(at), int(number)), request.get("endTime", sys.maxsize), LINES_A_PAGE)
        events = [
            {"timestamp": line.at, "message": line.text, "eventId": str(line.number)}
            for line in page
            if matches(line.text)
        ]
        more = {"nextToken": f"{page[-1].at}:{page[-1].number}"} if len(page) == LINES_A_PAGE else {}
        return json_response({"events": events, "searchedLogStreams": [], **more})

    cloudwatch_logs._put_log_events, cloudwatch_logs._filter_log_events = stored, found


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
