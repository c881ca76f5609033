"""An organization hears of its budget where it wants to: through the books, the log, the filter and the function."""

from __future__ import annotations

import hmac
import json
import time
from typing import TYPE_CHECKING, Any

import httpx2

from tests.e2e.stack import CHAT, Stack
from tests.fakes.receiver import receiving

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 90.0  # seconds: the books look each half minute
MOST_CALLS = 50
BUDGET = "0.0006"


def test_a_webhook_gets_one_signed_message_when_a_budget_is_spent(
    stack: Stack, admin: httpx2.Client, new_key: Callable[..., dict[str, Any]]
) -> None:
    """Past 80 %, with the amounts, the scope, and a signature by the secret that was shown when it was set."""
    with receiving() as receiver:
        put = admin.put("/admin/alerts", json={"webhook": receiver.url, "events": ["budget"]})
        assert put.status_code == 200, put.text
        key = new_key(tier="pro", budget={"total_usd": BUDGET})
        scope = f"key:{key['id']}"
        _spend(stack, key["key"])
        deadline = time.monotonic() + PATIENCE
        while not (messages := [one for one in receiver.messages if scope.encode() in one.body]):
            assert time.monotonic() < deadline, (stack.logs / "alerts.log").read_text()[-2000:]
            time.sleep(0.05)
        assert admin.delete("/admin/alerts").status_code == 200
    [message] = messages
    told = json.loads(message.body)
    alert = told["alert"]
    assert {name: alert[name] for name in ("type", "organization", "scope", "threshold", "limit_usd")} == {
        "type": "budget.v1", "organization": "default", "scope": scope, "threshold": 80, "limit_usd": BUDGET,
    }  # fmt: skip
    assert f"80 % of the total budget of {scope} is spent" in told["text"]
    stamp, signed = (part.partition("=")[2] for part in message.headers["x-nexus-signature"].split(","))
    secret = put.json()["signing_secret"].encode()
    assert signed == hmac.new(secret, f"{stamp}.".encode() + message.body, "sha256").hexdigest()
    assert abs(time.time() - int(stamp)) < PATIENCE


def _spend(stack: Stack, key: str) -> None:
    """Have requests answered until no more is left for the next one."""
    asked: Any = {"model": CHAT, "max_tokens": 40, "messages": [{"role": "user", "content": "Hi"}]}
    with httpx2.Client(base_url=stack.base_url, headers={"authorization": f"Bearer {key}"}, timeout=30) as client:
        for _ in range(MOST_CALLS):
            answer = client.post("/v1/chat/completions", json={**asked, "simulated": {"tokens": 30}})
            if answer.status_code != 200:
                assert answer.json()["error"]["code"] == "insufficient_quota", answer.text
                return
    raise AssertionError("the budget was never spent")
