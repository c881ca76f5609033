"""What was told to people, in the ledger's table, so that nobody is told the same twice: logs deliver at least once.

Who is about to tell claims it first. A claim that is neither confirmed nor given back, because its holder died, ends by
itself. An item is `alert#<name>` in the partition of who is told; it is not money, and is forgotten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from shared.edge import items
from shared.edge.aws import AwsError
from shared.edge.booking import place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.edge.aws import Aws

_KEPT: Final = 86_400  # seconds beyond its end: DynamoDB deletes when it likes, and never too early
_LOST: Final = "ConditionalCheckFailedException"


class Tellings:
    """Claims of what is told to whom; times are epoch seconds.

    Every method raises AwsError where DynamoDB refuses or cannot be reached.
    """

    def __init__(self, aws: Aws, table: str) -> None:
        self._aws = aws
        self._table = table

    def claim(self, org: str, name: str, now: int, until: int) -> bool:
        """Claim to tell `name` to `org` before `until`; False where it was told, or another one is about to."""
        condition = {"ConditionExpression": "attribute_not_exists(pk) OR #until < :now"}
        return self._set(org, name, until, condition, {":now": now})

    def told(self, org: str, name: str, until: int) -> None:
        """Note that it was told, and need not be again before `until`."""
        self._set(org, name, until)

    def failed(self, org: str, name: str) -> None:
        """Give a claim back: whoever comes next may tell it."""
        self._set(org, name, 0)

    def _set(
        self,
        org: str,
        name: str,
        until: int,
        condition: Mapping[str, str] | None = None,
        values: Mapping[str, int] | None = None,
    ) -> bool:
        request = {
            "TableName": self._table,
            "Key": place(org, f"alert#{name}"),
            "UpdateExpression": "SET #until = :until, expires_at = :gone",
            "ExpressionAttributeNames": {"#until": "until"},
            "ExpressionAttributeValues": items.encoded({":until": until, ":gone": until + _KEPT, **(values or {})}),
            **(condition or {}),
        }
        try:
            self._aws.write("UpdateItem", request)
        except AwsError as error:
            if error.code == _LOST:
                return False
            raise
        return True
