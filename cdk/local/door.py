"""The API front on its port, with an access log in the state folder."""

from __future__ import annotations

import json
import time
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from cdk.local.blocked import Blocked
from cdk.local.emulator import REGION, ROOT_KEY
from cdk.local.front import Front
from cdk.local.made_keys import MadeKeys
from cdk.local.server import serve
from shared.edge.aws import DYNAMODB, Aws
from shared.edge.directory import Directory
from shared.edge.settings import AwsSettings
from shared.edge.sigv4 import Credentials

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cdk.local.front import Access
    from cdk.local.stack import Stack

HOST: Final = "127.0.0.1"
LOG: Final = "access"
_ROOT: Final = Credentials(ROOT_KEY, ROOT_KEY, None)


@asynccontextmanager
async def serving(stack: Stack, port: int) -> AsyncIterator[str]:
    """Serve for the length of the block; gives the base URL."""
    with stack.logs.functions({LOG: LOG}) as log:

        def note(access: Access) -> None:
            log(LOG, json.dumps({"time": round(time.time(), 3), **asdict(access)}))

        aws = Aws(DYNAMODB, AwsSettings(REGION, stack.parts.emulator.endpoint), lambda: _ROOT)
        front = Front(
            stack.api, stack.pool, access_log=note, more_keys=_made_keys(stack), firewall=_firewall(stack, aws)
        )
        try:
            async with serve(front, HOST, port) as taken:
                yield f"http://{HOST}:{taken}"
        finally:
            aws.drop()


def _firewall(stack: Stack, aws: Aws) -> Blocked | None:
    """Return what stands in for the template's web ACL, if it has one."""
    if not stack.deployment.of_type("AWS::WAFv2::IPSet"):
        return None
    return Blocked(Directory(aws, stack.deployment.outputs["DirectoryTable"]))


def _made_keys(stack: Stack) -> MadeKeys:
    """Return what looks up the keys that the functions have made since the start."""
    plans = {key.plan.name: key.plan for key in stack.api.keys.values() if key.plan}
    by_id = {stack.deployment.resolve({"Ref": name}): plan for name, plan in plans.items()}
    return MadeKeys(lambda: stack.parts.emulator.client("apigateway"), by_id)
