"""The two keys of a state folder: the first admin's, made without HTTP, and a client's, made by the admin."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from cdk.local.child import LocalError
from cdk.local.client import Client
from cdk.local.invocation import InvocationError

if TYPE_CHECKING:
    from pathlib import Path

    from cdk.local.stack import Stack
    from cdk.local.state import Remembered

EXPIRES_DAYS: Final = 3650  # the keys live as long as the state folder


async def ensure(stack: Stack, memory: Remembered, folder: Path, base_url: str) -> Remembered:
    """Return the memory with two keys that work; those of an earlier start are kept."""
    memory = memory.save(folder, base_url=base_url)
    if not await asyncio.to_thread(_accepted, base_url, memory.admin_key):
        memory = memory.save(folder, admin_key=await _bootstrap(stack))
    if not await asyncio.to_thread(_accepted, base_url, memory.client_key):
        wanted = {"name": "local client", "role": "developer", "tier": "enterprise", "expires_days": EXPIRES_DAYS}
        made = await asyncio.to_thread(Client(base_url, memory.admin_key).done, "POST", "/admin/keys", wanted)
        memory = memory.save(folder, client_key=made["key"])
    return memory


def models(base_url: str, key: str) -> list[str]:
    """Return the names that `GET /v1/models` lists."""
    return [model["id"] for model in Client(base_url, key).done("GET", "/v1/models")["data"]]


async def _bootstrap(stack: Stack) -> str:
    """Invoke the admin function directly, as only the account's own operators may."""
    event = {"action": "bootstrap", "name": "local admin", "expires_days": EXPIRES_DAYS}
    try:
        answer: Any = await stack.pool.call(stack.deployment.outputs["AdminFunction"], event)
    except InvocationError as error:
        raise LocalError(f"The first admin key could not be made ({error}); see logs/admin.log.") from error
    if not isinstance(answer, dict) or "key" not in answer:
        raise LocalError(f"The first admin key could not be made: the admin function answered {answer!r}.")
    return str(answer["key"])


def _accepted(base_url: str, key: str) -> bool:
    """Say whether a key from an earlier start still opens the door."""
    if not key:
        return False
    answer = Client(base_url, key).call("GET", "/v1/models")
    if answer.failed and answer.status != HTTPStatus.UNAUTHORIZED:
        raise LocalError(f"The gateway does not answer: {answer.message}")
    return not answer.failed
