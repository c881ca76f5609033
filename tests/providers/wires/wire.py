"""What the contract needs to know of one provider's wire: how an answer is written there, and who judges requests."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel

from shared.core import chat
from shared.core.catalog import Provider, Target
from shared.providers.adapter import Head, Moment
from shared.providers.registry import adapter_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.providers.adapter import Adapter, HttpRequest

SECRET = "very-secret-0123456789"
MOMENT = Moment(request_id="req1", now=1_700_000_000)
HELLO = [{"role": "user", "content": "hello"}]


class Story(NamedTuple):
    """An answer, before anybody has written it."""

    texts: tuple[str, ...] = ()
    calls: tuple[tuple[str, str, dict[str, Any]], ...] = ()  # id, name, arguments
    thoughts: tuple[str, ...] = ()
    finish: str = "stop"
    prompt: int = 100  # tokens, of which 40 were read from the cache
    completion: int = 20


class Wire(NamedTuple):
    """One provider's way of speaking."""

    dialect: str
    base_url: str
    whole: Callable[[Story], bytes]
    stream: Callable[[Story], list[bytes]]  # frame by frame
    judge: Callable[[HttpRequest], dict[str, Any]]  # the vendor's own types look at a request; returns its body
    stream_type: str = "text/event-stream"
    thinks: bool = True  # thoughts are part of this wire
    keyless: bool = False  # requests are signed, and carry no key
    closing: int = 1  # of the frames at the end: without any of them an answer is not complete
    broken: bytes = b'data: {"half": \n\n'  # a frame that cannot be read
    unknown: bytes = b'event: new\ndata: {"type": "new", "index": 7}\n\n'  # one of a kind that nobody has heard of

    def adapter(self, *, quirks: tuple[str, ...] = (), ignores: tuple[str, ...] = (), **fields: Any) -> Adapter:
        """Make the adapter for a request with these fields."""
        body = {"model": "m", "messages": HELLO, **fields}
        target = Target(self.dialect, "m-1", max_output=8000, quirks=quirks)
        secret = "" if self.keyless else "KEY"
        provider = Provider(self.dialect, self.dialect, self.base_url, secret=secret, ignores=ignores)
        return adapter_for(self.dialect, "chat")(chat.parse(json.dumps(body).encode()), target, provider, MOMENT)

    def sent(self, **fields: Any) -> dict[str, Any]:
        """Return the body that the provider gets, judged."""
        return self.judge(self.adapter(**fields).request(self.secret))

    @property
    def secret(self) -> str:
        """The key of the provider, "" if it has none."""
        return "" if self.keyless else SECRET

    def streaming(self, **fields: Any) -> Adapter:
        """Make the adapter for a stream, its request sent and the head of the answer seen."""
        made = self.adapter(stream=True, **fields)
        made.request(self.secret)
        made.check(Head(200, {"content-type": self.stream_type}))
        return made


def forced(value: Any) -> Any:
    """Have pydantic judge what it puts off: it looks at the items of an Iterable only when they are taken."""
    assert not isinstance(value, BaseModel), "a request was taken for an answer"
    if isinstance(value, dict):
        return {name: forced(inner) for name, inner in value.items()}
    if value is None or isinstance(value, str | int | float):
        return value
    return [forced(inner) for inner in value]
