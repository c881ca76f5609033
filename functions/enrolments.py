"""What the Directory keeps of API Gateway keys: each key's enrolment in its record, and notes of what is to be done.

An enrolment is no edit of a key: it leaves the version as it is. It is written only over the very record that was read,
and the registry's edits only over the enrolment that they have read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from shared.core.enrolment import TODO
from shared.edge import items
from shared.edge.aws import AwsError
from shared.edge.directory import FIRST_ORG

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shared.core.enrolment import Enrolment
    from shared.edge.aws import Aws
    from shared.edge.directory import Directory

Item = dict[str, Any]

SWEEP: Final = "enrolments"  # sort key, in the first organization: when all keys were last looked at
_CHANGED: Final = "ConditionalCheckFailedException"


class Enrolments(NamedTuple):
    """The table. Every method raises AwsError where DynamoDB refuses or cannot be reached; each may be made again."""

    aws: Aws
    table: str
    directory: Directory

    def due(self, org: str, now: int) -> Iterator[Item]:
        """Yield an organization's notes whose time has come."""
        for todo in self.directory.all(org, TODO):
            if todo["due"] <= now:
                yield todo

    def done(self, todo: Item) -> None:
        """Take a note away, unless there is another one for the key meanwhile."""
        values = {":due": todo["due"]}
        self._changed("DeleteItem", todo, values, {"ConditionExpression": "due = :due"})

    def later(self, todo: Item, due: int) -> None:
        """Have a note come back at `due`, unless there is another one for the key meanwhile."""
        change = {"UpdateExpression": "SET due = :next", "ConditionExpression": "due = :due"}
        self._changed("UpdateItem", todo, {":due": todo["due"], ":next": due}, change)

    def write(self, record: Item, new: Enrolment | None) -> Item | None:
        """Put `new` into a key's record; returns the record as it is then, None where it was not as it was read."""
        values: Item = {":version": record["version"]}
        condition = "version = :version AND attribute_not_exists(enrolment)"
        if "enrolment" in record:
            values[":old"] = record["enrolment"]
            condition = "version = :version AND enrolment = :old"
        change = {"ConditionExpression": condition, "UpdateExpression": "REMOVE enrolment"}
        told = {name: value for name, value in record.items() if name != "enrolment"}
        if new:
            values[":new"] = told["enrolment"] = new._asdict()
            change["UpdateExpression"] = "SET enrolment = :new"
        return told if self._changed("UpdateItem", record, values, change) else None

    def swept(self, prefix: str) -> int:
        """Return when all keys were last looked at on behalf of the stack `prefix`, in epoch seconds; 0 for never."""
        mark = self.directory.item(FIRST_ORG, SWEEP, consistent=True) or {}
        return int(mark["at"]) if mark.get("prefix") == prefix else 0

    def note_sweep(self, prefix: str, now: int) -> None:
        """Note that all keys were looked at."""
        place = {"pk": FIRST_ORG, "sk": SWEEP}
        change = {"UpdateExpression": "SET prefix = :prefix, #at = :at", "ExpressionAttributeNames": {"#at": "at"}}
        self._changed("UpdateItem", place, {":prefix": prefix, ":at": now}, change)

    def _changed(self, action: str, place: Item, values: Item, change: Item) -> bool:
        key = {name: {"S": place[name]} for name in ("pk", "sk")}
        coded = {name: _coded(value) for name, value in values.items()}
        try:
            self.aws.write(action, {"TableName": self.table, "Key": key, "ExpressionAttributeValues": coded, **change})
        except AwsError as error:
            if error.code == _CHANGED:
                return False
            raise
        return True


def _coded(value: Any) -> Item:  # noqa: ANN401 - text, numbers and one level of both
    if isinstance(value, dict):
        return {"M": items.encoded(value)}
    coded: Item = items.encoded({"value": value})["value"]
    return coded
