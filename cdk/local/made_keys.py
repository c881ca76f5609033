"""API keys that were made after deployment: the front learns of them from the emulator, as each is first used."""

from __future__ import annotations

import asyncio
import time
from functools import cached_property
from typing import TYPE_CHECKING, Final

from cdk.local.api import ApiKey

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from types_boto3_apigateway import APIGatewayClient

    from cdk.local.api import UsagePlan

REMEMBERED_SECONDS: Final = 5.0  # so long a key may be used that was removed, or stay in the plan that it was in


class MadeKeys:
    """Looks keys up by their values, which are their names too; `plans` are those of the template by their ids."""

    def __init__(
        self,
        client: Callable[[], APIGatewayClient],
        plans: Mapping[str, UsagePlan],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open = client
        self._plans = plans
        self._monotonic = monotonic
        self._known: dict[str, tuple[float, ApiKey | None]] = {}

    async def __call__(self, value: str) -> ApiKey | None:
        """Return the key with this value, None if there is none."""
        until, key = self._known.get(value, (0.0, None))
        if until <= self._monotonic():
            key = await asyncio.to_thread(self._look_up, value)
            self._known[value] = (self._monotonic() + REMEMBERED_SECONDS, key)
        return key

    @cached_property
    def _client(self) -> APIGatewayClient:
        return self._open()

    def _look_up(self, value: str) -> ApiKey | None:
        for found in self._client.get_api_keys(nameQuery=value, includeValues=True)["items"]:
            if found["value"] == value:
                return ApiKey(found["id"], value, self._plan_of(found["id"]), found["enabled"])
        return None

    def _plan_of(self, key_id: str) -> UsagePlan | None:
        for plan_id, plan in self._plans.items():
            if key_id in {key["id"] for key in self._client.get_usage_plan_keys(usagePlanId=plan_id)["items"]}:
                return plan
        return None
