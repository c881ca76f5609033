"""What people are told of an event, in words and in fields: nothing that a client sent, no secret, no person.

The organization that an event is about hears its own; operators hear what the deployment's parts went through, which
names no organization, and of other organizations' budgets only that of the whole organization.
"""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from functions.usd import usd
from shared.core import events, periods
from shared.core.wire import encode

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind = Literal["budget", "security", "breaker", "fault", "organizations"]
REMEMBERED: Final = 3 * 86_400  # seconds: CloudWatch and Lambda repeat themselves for hours, not for days
QUIET: Final = 3600  # seconds, in which what goes on happening is not told again
STORE_LOST: Final = "store_lost"
_PERIODS: Final = {"d": "daily", "m": "monthly", periods.TOTAL: "total"}


class Alert(NamedTuple):
    """Something to tell.

    Attributes:
        kind: By which one chooses to hear it.
        mark: The same for what is the same.
        about: The same for what the last word replaces: of 50 and 80 % at once nobody needs to hear the 50.
        quiet: Seconds in which the same is not told again.
        text: One or two sentences.
        fields: The same for programs.
        threshold: Percent of a budget that are spent, 100 for what is about no budget.
    """

    kind: Kind
    mark: str
    about: str
    quiet: int
    text: str
    fields: Mapping[str, Any]
    threshold: int = 100


def for_owner(line: Mapping[str, Any]) -> Alert | None:
    """Return what the organization hears that a line is about.

    Raises:
        KeyError, TypeError, ValueError: it is no such line as we write.
    """
    if line["event"] == events.BUDGET:
        return _budget(line, "budget")
    if line["event"] == events.SECURITY and line["reason"] == STORE_LOST:
        text = (
            "The store has lost its counters. Requests to which a budget applies are answered with 503 until these are"
        )
        rebuilt = "rebuilt from the ledger and the log, as a rule within a minute or two."
        return _repeated("security", f"{text} {rebuilt}", {"type": events.SECURITY, "reason": STORE_LOST})
    return None


def for_operators(line: Mapping[str, Any]) -> Alert | None:
    """Return what operators hear of a line that is about another organization, or about none.

    Raises:
        KeyError, TypeError, ValueError: it is no such line as we write.
    """
    match line["event"]:
        case events.BUDGET if str(line["scope"]).startswith("org:"):
            return _budget(line, "organizations")
        case events.SECURITY:
            reason = str(line["reason"])
            text = f"A safeguard reports {reason!r}: look for {events.SECURITY} in the log of the function budgets."
            return _repeated("security", text, {"type": events.SECURITY, "reason": reason})
        case events.BREAKER:
            return _breaker(line)
        case events.FAULT:
            frames = line["frames"]
            where = str(frames[-1]) if frames else "nowhere"
            error = str(line["error"])
            text = f"An unforeseen error, {error}, at {where}. The log has the way to it."
            return _repeated("fault", text, {"type": events.FAULT, "error": error, "where": where})
        case _:
            return None


def _breaker(line: Mapping[str, Any]) -> Alert | None:
    if line["state"] != "open":
        return None
    target, failures, rest = str(line["target"]), int(line["failures"]), int(line["rest_seconds"])
    text = f"{target} failed {failures} times in a row and rests for {rest} s; others serve in its place if there are."
    fields = {"type": events.BREAKER, "target": target, "state": "open"}
    return _repeated("breaker", text, fields)._replace(fields={**fields, "failures": failures, "rest_seconds": rest})


def _budget(line: Mapping[str, Any], kind: Kind) -> Alert:
    limit, spent, threshold = int(line["limit"]), int(line["spent"]), int(line["threshold"])
    scope, period = str(line["scope"]), str(line["period"])
    named = _PERIODS[period.partition(":")[0]]
    resets_at = periods.resets_at(period)
    end = "It never resets" if resets_at is None else f"It resets at {_at(resets_at)}"
    text = f"{threshold} % of the {named} budget of {scope} is spent: {usd(spent)} of {usd(limit)} US dollars. {end}."
    fields = {
        "type": events.BUDGET,
        "organization": str(line["org"]),
        "scope": scope,
        "period": period,
        "threshold": threshold,
        "limit_usd": usd(limit),
        "spent_usd": usd(spent),
        "resets_at": resets_at,
    }
    about = _mark({name: fields[name] for name in ("organization", "scope", "period", "limit_usd")})
    return Alert(kind, _mark(fields), about, REMEMBERED, text, fields, threshold)


def _repeated(kind: Kind, text: str, fields: Mapping[str, str]) -> Alert:
    mark = _mark(fields)
    return Alert(kind, mark, mark, QUIET, text, fields)


def _mark(fields: Mapping[str, Any]) -> str:
    return hashlib.sha256(encode(fields)).hexdigest()[:32]


def _at(second: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(second))
