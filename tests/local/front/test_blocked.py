"""Blocked addresses: refused before everything else, and looked up once in a while."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from cdk.local.blocked import REMEMBERED_SECONDS, Blocked
from tests.local.front.situation import Functions, answers, asynchronous, gateway_response, serving, template

if TYPE_CHECKING:
    from collections.abc import Mapping

OK = answers({"statusCode": 200, "body": "fine"})


class Records:
    """The Directory, with one record."""

    def __init__(self, networks: Mapping[str, int]) -> None:
        self.networks = networks
        self.asked: list[tuple[str, str]] = []

    def item(self, org: str, name: str) -> dict[str, Any]:
        """Return it."""
        self.asked.append((org, name))
        return {"addresses": self.networks}


@asynchronous
async def test_a_blocked_address_reaches_no_function() -> None:
    """Its refusal is API Gateway's own, whatever it asks for; an unread body does no harm."""
    records: Any = Records({"127.0.0.1/32": 100})
    clock = [0.0]
    resources = template(Filtered=gateway_response("WAF_FILTERED", '{"code":"blocked"}'))
    invoker = Functions(Answer=OK)
    firewall = Blocked(records, lambda: 50.0, lambda: clock[0])
    async with serving(invoker, resources, firewall) as local:
        clock[0] = 1.0
        for verb, path, body in (("GET", "/whole", b""), ("GET", "/nothing", b""), ("POST", "/whole", b"x" * 100_000)):
            reply = await local.call(verb, path, body)
            assert (reply.status, reply.json) == (403, {"code": "blocked"})
            assert reply.headers["x-request-id"]
        assert invoker.events == []
        assert {line.outcome for line in await local.logged(3)} == {"WAF_FILTERED"}
        records.networks = {"127.0.0.2/31": 100}
        clock[0] += REMEMBERED_SECONDS
        assert (await local.call("GET", "/whole")).status == 200


@asynchronous
async def test_the_directory_is_asked_once_in_a_while() -> None:
    """Many requests at once wait for one answer; a block that is over holds no longer."""
    records: Any = Records({"203.0.113.0/24": 100})
    clock = [1.0]
    blocked = Blocked(records, lambda: 98.0 + clock[0], lambda: clock[0])
    assert await asyncio.gather(*(blocked(f"203.0.{part}.9") for part in (112, 113, 114))) == [False, True, False]
    assert records.asked == [("default", "org")]
    clock[0] += REMEMBERED_SECONDS
    assert not await blocked("203.0.113.9")
    assert len(records.asked) == 2
