"""What `/metrics` tells, as families of samples: counters of the ledger, and gauges of the store.

Of one organization, and without its keys, teams and users: labels are provider, model, outcome, and what belongs to
budgets of the organization and of models. What a counter counts is in the ledger, so that a flush of the store, a new
process or a second one at once changes nothing; of what was booked none is lost and none counts twice.
"""

from __future__ import annotations

import platform
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Final

from functions.exposition import Family, Sample
from functions.usd import usd
from shared.core import durations
from shared.core.policies import PERIODS
from shared.edge.telemetry import NONE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from shared.core.catalog import Catalog
    from shared.edge.admission import Purse
    from shared.edge.booking import Served

    Pair = tuple[str, str]

_OCTAVES: Final = range(4, 21)  # of milliseconds: from 16 ms to 17 minutes
_REQUESTS: Final = (
    "Requests that were admitted and have ended, by how: each once, where it was served, or asked last. "
    "Provider none: nobody was asked (it was a list of models), or nobody settled it in time. "
    "Refused ones (limits, budgets, wrong keys) are not in the books: CloudWatch has them, AINexus Requests by outcome."
)
_TOKENS: Final = "Tokens of prompts and completions."
_CACHED: Final = "Tokens of prompts that a provider had in its cache; they are in nexus_tokens_total, too."
_CHARGED: Final = "US dollars that were charged; less nexus_refunded_usd_total it is what was spent."
_REFUNDED: Final = "US dollars taken back: what nobody settles in time is charged all that it might cost until then."
_DURATION: Final = "From a request's arrival to its settlement, of all that were settled in time."


def counted(served: Iterable[Served]) -> Iterator[Family]:
    """Tell of all requests that there ever were."""
    rows = [one._replace(provider=one.provider or NONE, model=one.model or NONE) for one in served]
    groups: defaultdict[Pair, list[Served]] = defaultdict(list)
    for one in rows:
        groups[one.provider, one.model].append(one)
    requests = [Sample({**_labels(one), "outcome": one.outcome}, str(one.spent.requests)) for one in rows]
    yield Family("nexus_requests_total", "counter", _REQUESTS, requests)
    sums = {pair: _sums(found) for pair, found in groups.items()}
    tokens = [
        Sample({**_pair(pair), "type": kind}, str(found[kind]))
        for pair, found in sums.items()
        for kind in ("prompt", "completion")
    ]
    yield Family("nexus_tokens_total", "counter", _TOKENS, tokens)
    for name, told, field in (
        ("nexus_cached_tokens_total", _CACHED, "cached"),
        ("nexus_charged_usd_total", _CHARGED, "charged"),
        ("nexus_refunded_usd_total", _REFUNDED, "refunded"),
    ):
        write = usd if name.endswith("usd_total") else str
        yield Family(name, "counter", told, [Sample(_pair(pair), write(found[field])) for pair, found in sums.items()])
    timed = [sample for pair, found in groups.items() for sample in _histogram(_pair(pair), found)]
    yield Family("nexus_request_duration_seconds", "histogram", _DURATION, timed)


def budgets(purses: Mapping[str, list[Purse]], org: str) -> Iterator[Family]:
    """Tell of the budgets of the organization and of models, by scope; as the store has them, to the moment."""
    known = [
        ({**_scope(scope, org), "period": period}, purse)
        for scope, found in purses.items()
        for period, purse in zip(PERIODS, found, strict=True)
        if purse.limit is not None
    ]
    told = "US dollars, of the day, the month or all of time."
    for name, which in (("limit", "A budget"), ("spent", "What is charged of a budget"), ("reserved", "What is held")):
        samples = [Sample(labels, usd(getattr(purse, name) or 0)) for labels, purse in known]
        yield Family(f"nexus_budget_{name}_usd", "gauge", f"{which}: {told}", samples)


def breakers(resting: Mapping[str, float]) -> Iterator[Family]:
    """Tell which targets (`provider:model`) rest after failures, each with the seconds that it still will."""
    samples = [Sample({"target": target}, str(int(wait > 0))) for target, wait in resting.items()]
    yield Family("nexus_breaker_open", "gauge", "1 while a target rests after failures, 0 while it serves.", samples)


def state(catalog: Catalog, *, store: bool) -> Iterator[Family]:
    """Tell what runs, and whether the store of limits and budgets answers."""
    build = Sample({"catalog": catalog.version, "python": platform.python_version()}, "1")
    yield Family("nexus_build_info", "gauge", "1, with the version of the live catalog and of Python.", [build])
    up = "1 if the store of limits and budgets answers; while it does not, budgets and breakers are not told."
    yield Family("nexus_store_up", "gauge", up, [Sample({}, str(int(store)))])


def _sums(found: Iterable[Served]) -> Counter[str]:
    sums: Counter[str] = Counter()
    for one in found:
        spent = {"prompt": one.spent.prompt, "completion": one.spent.completion, "cached": one.spent.cached}
        sums.update({**spent, "charged": one.spent.cost + one.refunded, "refunded": one.refunded})
    return sums


def _histogram(labels: Mapping[str, str], found: Iterable[Served]) -> Iterator[Sample]:
    buckets: Counter[int] = Counter()
    took = 0
    for one in found:
        buckets.update(one.buckets)
        took += one.ms
    for octave in _OCTAVES:
        within = sum(count for number, count in buckets.items() if durations.bounds(number)[1] <= 1 << octave)
        yield Sample({**labels, "le": _seconds(1 << octave)}, str(within), "_bucket")
    yield Sample({**labels, "le": "+Inf"}, str(buckets.total()), "_bucket")
    yield Sample(labels, _seconds(took), "_sum")
    yield Sample(labels, str(buckets.total()), "_count")


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds // 1000}.{milliseconds % 1000:03}"


def _labels(one: Served) -> dict[str, str]:
    return _pair((one.provider, one.model))


def _pair(pair: Pair) -> dict[str, str]:
    return dict(zip(("provider", "model"), pair, strict=True))


def _scope(scope: str, org: str) -> dict[str, str]:
    kind, _, name = scope.partition(":")
    return {"scope": "organization", "model": ""} if scope == f"org:{org}" else {"scope": kind, "model": name}
