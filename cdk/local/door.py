"""The API front on its port, with an access log in the state folder."""

from __future__ import annotations

import json
import time
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from cdk.local.front import Front
from cdk.local.made_keys import MadeKeys
from cdk.local.server import serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cdk.local.front import Access
    from cdk.local.stack import Stack

HOST: Final = "127.0.0.1"
LOG: Final = "access"


@asynccontextmanager
async def serving(stack: Stack, port: int) -> AsyncIterator[str]:
    """Serve for the length of the block; gives the base URL."""
    with stack.logs.path(LOG).open("a", buffering=1) as log:

        def note(access: Access) -> None:
            log.write(json.dumps({"time": round(time.time(), 3), **asdict(access)}) + "\n")

        front = Front(stack.api, stack.pool, access_log=note, more_keys=_made_keys(stack))
        async with serve(front, HOST, port) as taken:
            yield f"http://{HOST}:{taken}"


def _made_keys(stack: Stack) -> MadeKeys:
    """Return what looks up the keys that the functions have made since the start."""
    plans = {key.plan.name: key.plan for key in stack.api.keys.values() if key.plan}
    by_id = {stack.deployment.resolve({"Ref": name}): plan for name, plan in plans.items()}
    return MadeKeys(lambda: stack.parts.emulator.client("apigateway"), by_id)
