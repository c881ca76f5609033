"""`POST /api/ai/route`: a query for whichever model is strong enough, at the price that the client has in mind.

    {"query" or "messages", "costPriority": "cheap" | "balanced" | "quality", "explain", "dry_run", ...}
    -> {"id", "answer", "model", "provider", "costPriority", "usage", "cost_usd", "finish_reason", "complexity"?}

`model` may name an alias to choose from; it is `auto` if left out. With `explain`, the answer says how demanding the
query looked, and why; with `dry_run` it is a plan with prices, and nobody is asked. The rest is as in
`shared.dialects.generate`; streamed, each event has the next piece of `answer`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from msgspec import Meta

from shared.core import body, complexity, errors, planning
from shared.core.catalog import Priority  # noqa: TC001 - msgspec reads it
from shared.core.fields import typed
from shared.dialects import generate
from shared.dialects.dialect import Dialect

if TYPE_CHECKING:
    from shared.core.chat import Chat
    from shared.core.usage import Usage

AUTO = "auto"
_OURS = frozenset({"costPriority", "explain", "dry_run"})  # no provider is told of them


class RouteFields(generate.Shared, kw_only=True):
    """The members of a request: one of `query` and `messages`, and the rest."""

    query: generate.Text | None = None
    model: Annotated[str, Meta(min_length=1)] | None = None
    costPriority: Priority = "balanced"  # noqa: N815 - its name in the API
    explain: bool | None = None
    dry_run: bool | None = None


class Query(NamedTuple):
    """A request for an answer by whoever suits: `explain` says why, `dry_run` says it without asking anybody."""

    chat: Chat
    priority: Priority
    explain: bool
    dry_run: bool


def parse(data: bytes) -> Query:
    """Read the body of a request.

    Raises:
        BadRequest: a field is wrong; `param` names it.
        TooLarge: the body is too large.
    """
    raw = body.parse(data)
    fields = typed(raw, RouteFields)
    rest = {name: value for name, value in raw.items() if name not in _OURS}
    chat = generate.chat_of({"model": AUTO, **rest}, data, fields, ("query", fields.query))
    return Query(chat, fields.costPriority, bool(fields.explain), bool(fields.dry_run))


def dialect(query: Query) -> Dialect:
    """Return the dialect in which this one query is answered."""

    def writer(chat: Chat) -> _Writer:
        return _Writer(chat, query)

    return Dialect(generate.parse, writer, errors.envelope, bills=True)


class _Writer(generate.TextWriter):
    text = "answer"

    def __init__(self, chat: Chat, query: Query) -> None:
        super().__init__(chat)
        self._query = query

    def told(self, text: str, usage: Usage) -> dict[str, Any]:
        """Add what was asked of the choice, and, if it is to be explained, what it was made by."""
        told = {**super().told(text, usage), "costPriority": self._query.priority}
        if self._query.explain:
            told["complexity"] = planning.explained(complexity.features(self._query.chat.raw))
        return told
