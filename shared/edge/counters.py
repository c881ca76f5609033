"""Valkey as the books see it: the stream of usage, whether an organization is open, and what its scopes have spent.

Valkey counts and forgets; the ledger knows. `{org}:open` says that the counters hold all that the ledger holds. It is
lost with them, and `{org}:closure`, the millisecond at which somebody noticed, stands in its place until they are back:
the first request that comes, or who keeps the books.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import redis
from redis.credentials import CredentialProvider

from shared.core import periods
from shared.edge.admission import SETTLED_SECONDS
from shared.edge.names import closure, holds, names, opened, policy

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from shared.core.journal import Reservation
    from shared.edge.ledger import Booked
    from shared.edge.settings import ValkeySettings

CONNECT_SECONDS: Final = 1.0
COMMAND_SECONDS: Final = (
    5.0  # nobody waits for the books, and a batch of a hundred events takes longer than one command
)
OPEN: Final = "1"
REAPED: Final = "reaped:"  # as settle.lua marks it
_HASHES_AT_ONCE: Final = 100
_BUDGETS: Final = ("daily", "monthly", "total")  # in a policy, in the order of `periods.periods`


class State(NamedTuple):
    """Of an organization: open or not, and the last event that its stream was given ("" if there is no stream)."""

    opened: bool
    last: str


class Cap(NamedTuple):
    """A budget, and what others had spent under the same id before: nano-dollars."""

    limit: int
    before: int = 0


class Mark(NamedTuple):
    """What says that an organization is closed, or open, and since when: while it has this value."""

    key: str
    value: str


class Counters:
    """One server, or one that looks like one; each method works on the keys of one organization.

    Every method raises redis.RedisError where the store does not answer.
    """

    def __init__(self, client: redis.Redis) -> None:
        """`client` decodes what it reads."""
        self._client: Any = client  # redis-py types the answers of a client for all of its modes at once
        self._rebuild: Any = self._script("rebuild")
        self._hold: Any = self._script("hold")
        self._close: Any = self._script("close")

    def today(self) -> str:
        """Return the day by the store's clock, which decides what period money belongs to."""
        return periods.day_at(self.now())

    def now(self) -> int:
        """Return the time by the store's clock, in epoch milliseconds."""
        seconds, micro = self._client.time()
        return int(seconds) * 1000 + int(micro) // 1000

    def state(self, org: str) -> State:
        """Look whether an organization is open, and how far its stream goes."""
        try:
            last = self._client.xinfo_stream(_usage(org))["last-generated-id"]
        except redis.ResponseError:  # there is no such key
            last = ""
        return State(self._client.exists(opened(org)) == 1, last)

    def read(self, org: str, after: str, most: int) -> list[tuple[str, dict[str, str]]]:
        """Return up to `most` events later than the id `after`, oldest first."""
        found: list[tuple[str, dict[str, str]]] = self._client.xrange(_usage(org), f"({after}", "+", most)
        return found

    def trim(self, org: str, last: str) -> None:
        """Forget all events up to the id `last`."""
        milliseconds, number = position(last)
        self._client.xtrim(_usage(org), minid=f"{milliseconds}-{number + 1}", approximate=False)

    def open_new(self, org: str) -> None:
        """Open an organization that was never open."""
        with self._client.pipeline(transaction=True) as together:
            together.set(opened(org), OPEN)
            together.delete(closure(org))
            together.execute()

    def close(self, org: str, whole: int = 0) -> str:
        """Close an organization, or find it closed; return the mark of this closure: when it was noticed, in ms.

        It was open at `whole`, in epoch ms: a mark from before that is of a closure that is over.
        """
        mark: str = self._close(keys=[closure(org), opened(org)], args=[self.now(), whole])
        return mark

    def restore(self, org: str, mark: str, last: str, spent: Mapping[str, Mapping[str, int]]) -> bool:
        """Set what each scope has spent, by period, and open, if the ledger is still at the event `last`.

        Returns False where it is not, or where the closure with this `mark` is over: look again.
        """
        scopes = sorted(spent)
        for start in range(0, len(scopes), _HASHES_AT_ONCE):
            chosen = {scope: spent[scope] for scope in scopes[start : start + _HASHES_AT_ONCE]}
            if not self._run(org, mark, last, chosen):
                return False
        return self._run(org, mark, last, {})

    def opening(self, org: str) -> Mark | None:
        """Return the mark that an organization is open, None if it is not."""
        found = self._client.get(opened(org))
        return None if found is None else Mark(opened(org), found)

    def hold(self, org: str, mark: Mark, held: Reservation, payers: Sequence[int]) -> bool:
        """Put a reservation back of which nothing is known, in its scopes with the numbers `payers`, counted from 1.

        Returns False where the closure with this `mark`, or the time in which it was open by it, is over.
        """
        known = names(org, held.scopes)
        spending = [known.topup[4 * number - 3] for number in payers]
        keys = [mark.key, known.settled(held.request_id), known.hold(held.request_id), holds(org), *spending]
        amounts = dict(enumerate([*[held.held] * held.shared, *held.models.values()], 1))
        reserved = [part for number in payers for part in (number, amounts[number])]
        money = [held.held, held.day, periods.month_of(held.day)]
        arguments = [mark.value, held.request_id, *money, "\n".join(held.scopes), held.ends, held.shared, *reserved]
        return bool(self._hold(keys=keys, args=arguments))

    def recall(self, org: str, request_id: str, charged: Booked) -> None:
        """Note again what a request was charged when its time ran out, lest it be charged all that it cost too."""
        name = names(org, ()).settled(request_id)
        lines = [f"{REAPED}{charged.cost}", *(f"{share.cost} {share.model}" for share in charged.models)]
        self._client.set(name, "\n".join(lines), nx=True, ex=SETTLED_SECONDS)

    def limits(self, org: str, scopes: Collection[str], day: str) -> dict[tuple[str, str], Cap]:
        """Return the budgets of `scopes` for the periods of `day`, where there is one."""
        order = sorted(scopes)
        with self._client.pipeline(transaction=False) as together:
            for scope in order:
                together.hmget(policy(org, scope), *_BUDGETS, "before")
            found = together.execute()
        return {
            (scope, period): Cap(int(limit), int(before or 0) if period == periods.TOTAL else 0)
            for scope, (*budgets, before) in zip(order, found, strict=True)
            for period, limit in zip(periods.periods(day), budgets, strict=True)
            if limit
        }

    def forget(self, org: str, scopes: Collection[str], period: str) -> None:
        """Remove what `scopes` have spent in a period that is over."""
        with self._client.pipeline(transaction=False) as together:
            for scope in scopes:
                together.hdel(_spend(org, scope), f"c:{period}", f"r:{period}")
            together.execute()

    def drop(self) -> None:
        """Close the connections."""
        self._client.close()

    def _script(self, name: str) -> Any:  # noqa: ANN401 - redis-py's own
        return self._client.register_script(Path(__file__).with_name(f"{name}.lua").read_text())

    def _run(self, org: str, mark: str, last: str, spent: Mapping[str, Mapping[str, int]]) -> bool:
        keys = [closure(org), _usage(org), opened(org), *(_spend(org, scope) for scope in spent)]
        arguments: list[str | int] = [mark, last]
        for sums in spent.values():
            arguments += [len(sums), *(part for period, cost in sums.items() for part in (f"c:{period}", cost))]
        return bool(self._rebuild(keys=keys, args=arguments))


def position(event_id: str) -> tuple[int, int]:
    """Return the id of an event as numbers, which are in order where the texts are not."""
    milliseconds, _, number = event_id.partition("-")
    return int(milliseconds), int(number)


def connect(settings: ValkeySettings, login: Callable[[], tuple[str, str]] | None) -> redis.Redis:
    """Return a client that connects when first used; `login` gives user and password for each connection."""
    return redis.Redis(
        host=settings.host,
        port=settings.port,
        ssl=settings.tls,
        credential_provider=_Login(login) if login else None,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=COMMAND_SECONDS,
        decode_responses=True,
        encoding_errors="replace",
    )


class _Login(CredentialProvider):
    def __init__(self, source: Callable[[], tuple[str, str]]) -> None:
        self._source = source

    def get_credentials(self) -> tuple[str, str]:
        return self._source()


def _tag(org: str) -> str:
    return f"{{{org}}}"


def _usage(org: str) -> str:
    return f"{_tag(org)}:usage"


def _spend(org: str, scope: str) -> str:
    return f"{_tag(org)}:spend:{scope}"
