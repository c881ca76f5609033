"""What the hammer strikes: a stack and a provider of its own, and the books, which it keeps as the gateway does."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import httpx2
import redis

from cdk.local.functions import STREAM_SECONDS
from functions import budgets
from shared.core.pricing import usd
from shared.edge.admission import Admission, connect
from tests.e2e import bookkeeping, stack
from tests.e2e.trace import environments

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from functions.budgets import Clerk

ORG: Final = "default"
LONGEST_ANSWER: Final = 5  # seconds that an invocation of the gateway may last here
LONGEST_LEASE: Final = LONGEST_ANSWER + 5
RESILIENCE: Final = "[resilience]\nbreaker_rest_seconds = 0.5\n"  # or there would soon be nobody to ask
MODELS: Final = ("gpt-5.4-mini", "gpt-5.4-nano", "gpt-5.6-luna")
ANY: Final = "any-of-three"  # an alias of these
ALIAS: Final = f"[aliases.{ANY}]\nmodels = {json.dumps(MODELS)}\nhedge_seconds = 0.3\n"
INVOCATION_MS: Final = budgets.MIDDLE_MS  # so that it waits for no middle of its minute


class World(NamedTuple):
    """A running stack, its provider, a client of its Valkey, and a keeper of its books."""

    stack: stack.Stack
    provider: httpx2.Client
    admin: httpx2.Client
    valkey: Any  # redis-py's own types allow for None and str where neither can come
    clerk: Clerk
    admission: Admission  # over a connection of its own

    def key(self, budget: str) -> dict[str, Any]:
        """Make a key with a budget in dollars, for all its life and for today."""
        asked = {"name": "hammer", "tier": "enterprise", "budget": {"total_usd": budget, "daily_usd": budget}}
        answer = self.admin.post("/admin/keys", json=asked)
        answer.raise_for_status()
        made: dict[str, Any] = answer.json()
        return made

    def calls(self) -> list[dict[str, Any]]:
        """Return what the provider has logged since this was forgotten."""
        found: list[dict[str, Any]] = self.provider.get("/_calls").json()["calls"]
        return found

    def processes(self, handler: str) -> list[int]:
        """Return the processes that serve `handler` now."""
        return [number for number, told in environments(self.stack.process) if told.get("_HANDLER") == handler]

    def keep_books(self) -> None:
        """Do what the function does each minute; the local run's own clock does it besides."""
        self.clerk.work(lambda: INVOCATION_MS, "hammer")

    def spend(self, scope: str) -> dict[str, int]:
        """Return the counters of a scope: `c:` committed and `r:` reserved, by period."""
        return {name.decode(): int(value) for name, value in self.valkey.hgetall(f"{{{ORG}}}:spend:{scope}").items()}

    def limit(self, model: str, nano: int) -> int:
        """Let a model spend so much more, in nano-dollars; return its budget, with all that it has spent before."""
        budget = self.spend(f"model:{model}").get("c:t", 0) + nano
        self.admin.put(f"/admin/budgets/model:{model}", json={"total_usd": usd(budget)}).raise_for_status()
        return budget

    def unlimit(self, model: str) -> None:
        """Let a model spend whatever it likes."""
        self.admin.put(f"/admin/budgets/model:{model}", json={}).raise_for_status()

    def settle_down(self, seconds: float) -> None:
        """Keep the books until nothing is held and the stream of usage is empty.

        Raises:
            TimeoutError: that takes longer than `seconds`.
        """
        deadline = time.monotonic() + seconds
        while True:
            self.keep_books()
            answering = self.provider.get("/_calls").json()["open"]
            if not (self.valkey.zcard(f"{{{ORG}}}:holds") or self.valkey.xlen(f"{{{ORG}}}:usage") or answering):
                return
            if time.monotonic() > deadline:
                raise TimeoutError("Requests hold money for longer than they may.")
            time.sleep(0.2)


@contextmanager
def running(folder: Path, guarded: int) -> Iterator[World]:
    """Start a world that does not outlive the process `guarded`, and end it."""
    upstream, provider = stack.start_provider(folder, guarded)
    try:
        more = {STREAM_SECONDS: str(LONGEST_ANSWER)}
        started = stack.start(folder, folder / "state", guarded, upstream, more=more, lines=RESILIENCE + ALIAS)
        try:
            with _opened(started) as world:
                yield world
        finally:
            stack.end(started.process)
    finally:
        stack.end(provider)


@contextmanager
def _opened(started: stack.Stack) -> Iterator[World]:
    told = bookkeeping.told(started.process)
    headers = {"authorization": f"Bearer {started.admin_key}"}
    host, port = told["VALKEY_HOST"], int(told["VALKEY_PORT"])
    admission = Admission(connect(host, port))
    with (
        bookkeeping.clerk(started.process) as clerk,
        httpx2.Client(base_url=started.upstream, timeout=30) as provider,
        httpx2.Client(base_url=started.base_url, headers=headers, timeout=30) as admin,
        redis.Redis(host=host, port=port) as valkey,
    ):
        lifted = admin.put("/admin/limits/class:ensemble", json={"requests_per_minute": 1_000_000})
        lifted.raise_for_status()
        yield World(started, provider, admin, valkey, clerk, admission)
    admission.drop()
