"""API Gateway's side of usage plans: API keys made, enrolled in the plan of a tier, and removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from types_boto3_apigateway import APIGatewayClient

    from shared.edge.settings import AwsSettings

PAGE: Final = 500  # API keys, the most that API Gateway lists at once
_CONFIG: Final = Config(connect_timeout=1, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 3})
_BUSY: Final = "TooManyRequestsException"
_SERVER_ERROR: Final = 500
_FULL: Final = "LimitExceededException"  # an account has at most 10,000 API keys in a region, and cannot have more


class PlansError(Exception):
    """API Gateway refused, or could not be reached."""


class PlansFullError(PlansError):
    """The account has as many API keys as it may have."""


class PlansBusyError(PlansError):
    """API Gateway asks for fewer calls, fails, or cannot be reached: it is no use to go on now."""


class UsagePlans(NamedTuple):
    """The plans of this stack, by tier. Every method raises PlansError; each may be made again."""

    client: APIGatewayClient
    plans: Mapping[str, str]

    @classmethod
    def open(cls, plans: Mapping[str, str], aws: AwsSettings) -> UsagePlans:
        """Return the plans, tier to id; nothing is connected to before it is used."""
        client = boto3.client("apigateway", region_name=aws.region, endpoint_url=aws.endpoint_url, config=_CONFIG)
        return cls(client, plans)

    def key(self, value: str) -> str:
        """Return the id of the API key that is called `value` and has that value; made if there is none.

        Raises:
            PlansFullError: it cannot be made.
        """
        made = self._done("create_api_key", "ConflictException", name=value, value=value, enabled=True)
        return str(made["id"]) if made else self.all(value)[value]

    def enrol(self, key_id: str, tier: str) -> bool:
        """Put an API key into the plan of `tier` and no other; returns False where there is no such API key."""
        for other in self.plans.keys() - {tier}:  # a stage takes a key from one plan only
            self._done("delete_usage_plan_key", "NotFoundException", usagePlanId=self.plans[other], keyId=key_id)
        wanted = {"usagePlanId": self.plans[tier], "keyId": key_id, "keyType": "API_KEY"}
        try:
            self._done("create_usage_plan_key", "ConflictException", **wanted)
        except PlansError as error:
            if _code(error.__cause__) == "NotFoundException":
                return False
            raise
        return True

    def remove(self, key_id: str) -> None:
        """Delete an API key; it is gone from all plans then."""
        self._done("delete_api_key", "NotFoundException", apiKey=key_id)

    def all(self, prefix: str) -> dict[str, str]:
        """Return the ids of the API keys whose names begin with `prefix`, by their names."""
        found: dict[str, str] = {}
        place: dict[str, str] = {}
        while True:
            page = self._done("get_api_keys", "", nameQuery=prefix, limit=PAGE, **place)
            found |= {key["name"]: key["id"] for key in page.get("items", [])}
            if not page.get("position"):
                return found
            place = {"position": page["position"]}

    def _done(self, action: str, expected: str, **request: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3's
        """Make a call; the refusal that is `expected` is an empty answer."""
        try:
            answer: dict[str, Any] = getattr(self.client, action)(**request)
        except (BotoCoreError, ClientError) as error:
            if expected and _code(error) == expected:
                return {}
            raise _kind(error)(f"API Gateway, {action}: {_code(error) or type(error).__name__}") from error
        return answer


def _kind(error: Exception) -> type[PlansError]:
    if not isinstance(error, ClientError) or _code(error) == _BUSY:
        return PlansBusyError
    if _code(error) == _FULL:
        return PlansFullError
    status = error.response["ResponseMetadata"].get("HTTPStatusCode", 0)
    return PlansBusyError if status >= _SERVER_ERROR else PlansError


def _code(error: BaseException | None) -> str:
    return str(error.response["Error"]["Code"]) if isinstance(error, ClientError) else ""
