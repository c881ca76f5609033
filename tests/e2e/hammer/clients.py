"""The clients of the hammer: what they ask for is drawn from a seed, and what became of it is written down."""

from __future__ import annotations

import threading
import uuid
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import httpx2

from tests.e2e.hammer.world import ANY, MODELS
from tests.e2e.stack import PRICED

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

PATIENCE: Final = 20.0  # seconds: longer than any request here may last
PAUSE: Final = 0.05  # seconds, after a refusal
NO_MONEY: Final = "insufficient_quota"
UNHEARD: Final = -1  # hang up before anything is answered
CHAT: Final = "/v1/chat/completions"
ENSEMBLE: Final = "/api/ai/ensemble"
MEMBERS: Final = (PRICED, *MODELS[:2])
SHARES: Final = {
    "plain": 36, "several": 8, "hang_up": 14, "refused": 10, "broken": 14, "cut": 10, "slow": 4, "hang": 4,
}  # fmt: skip
BREAKS: Final = ("half_json", "bad_length", "reset_mid", "cut", "bad_chunk")
CUTS: Final = ("cut", "reset_mid", "bad_chunk")


class Deed(NamedTuple):
    """One request: its body, after how many lines its client hangs up, and whether its answer may be shortened."""

    tag: str
    body: dict[str, Any]
    hang_up: int | None = None
    fit: bool = False
    path: str = CHAT


class Outcome(NamedTuple):
    """What the client saw: status 0 if it saw nothing; `code` is the error's, "" if the answer is complete.

    The id is the one that the request is charged by, "" if the client was not told.
    """

    tag: str
    request_id: str = ""
    status: int = 0
    code: str = ""


class Client:
    """One client, until it is told to stop or its last `refusals` requests were refused for want of money."""

    def __init__(self, base_url: str, key: str, draw: Callable[[], Deed], stop: threading.Event, refusals: int) -> None:
        self.outcomes: list[Outcome] = []
        self._refusals = refusals
        self._draw = draw
        self._stop = stop
        headers = {"authorization": f"Bearer {key}"}
        self._http = httpx2.Client(base_url=base_url, headers=headers, timeout=PATIENCE)
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        with self._http:
            while not (self._stop.is_set() or self._is_broke()):
                deed = self._draw()
                outcome = self._do(deed)
                self.outcomes.append(outcome)
                if outcome.status in {0, 429, 502, 503}:
                    self._stop.wait(PAUSE)

    def _is_broke(self) -> bool:
        last = self.outcomes[-self._refusals :]
        return len(last) == self._refusals and all(outcome.code == NO_MONEY for outcome in last)

    def _do(self, deed: Deed) -> Outcome:
        headers = {"x-nexus-fit-budget": "true"} if deed.fit else {}
        timeout = httpx2.Timeout(PATIENCE, read=PAUSE) if deed.hang_up == UNHEARD else httpx2.USE_CLIENT_DEFAULT
        outcome = Outcome(deed.tag)
        try:
            with self._http.stream("POST", deed.path, json=deed.body, headers=headers, timeout=timeout) as answer:
                outcome = Outcome(deed.tag, _id_of(answer), answer.status_code, "unfinished")
                return outcome._replace(code=_heard(answer, deed))
        except httpx2.TransportError:  # it hung up, or the connection broke with the process behind it
            return outcome


def _id_of(answer: httpx2.Response) -> str:
    """Return the id under which the gateway settles; that of an answer of API Gateway's own is another."""
    return answer.headers["x-request-id"] if "x-nexus-overhead-ms" in answer.headers else ""


def _heard(answer: httpx2.Response, deed: Deed) -> str:
    """Read the answer; return the code of its error, "" if there is none and it is complete."""
    if answer.status_code != httpx2.codes.OK or not deed.body.get("stream"):
        body = httpx2.Response(200, content=answer.read()).json()
        return "" if answer.status_code == httpx2.codes.OK else str(body["error"]["code"])
    done = False
    for number, line in enumerate(line for line in answer.iter_lines() if line):
        if number == deed.hang_up:
            return "hung_up"
        if line.startswith('data: {"error"'):
            return "in_band"
        done = line == "data: [DONE]"
    return "" if done else "unfinished"


def calm(rng: random.Random) -> Deed:
    """Draw a request that nothing goes wrong with."""
    most = rng.randrange(400, 1500)
    return _deed(rng, most, {"tokens": most - rng.randrange(50), "chunks": 9}, stream=rng.random() < 0.5)


def wild(rng: random.Random) -> Deed:
    """Draw a request from `SHARES`."""
    kind = rng.choices([*SHARES], [*SHARES.values()])[0]
    if kind == "several":
        return several(rng)
    most = rng.randrange(40, 400) * (rng.random() < 0.7)
    knobs: dict[str, Any] = {"tokens": rng.randrange(20, 250)}
    stream, hang_up, seed = rng.random() < 0.5, None, _tag(rng)
    match kind:
        case "hang_up":
            hang_up = rng.choice([UNHEARD, rng.randrange(1, 30)])
            stream = stream or hang_up != UNHEARD
            knobs["chunk_gap_ms"] = rng.choice([0, 2, 20])
        case "refused":
            knobs |= {"fail_first": rng.randrange(1, 4), "fail_status": rng.choice([500, 503, 429]), "seed": seed}
        case "broken":  # whole answers that the provider has counted, and of which the gateway hears a part
            stream = False
            knobs |= {"mode": rng.choice(BREAKS), "mode_first": rng.randrange(1, 4), "seed": seed}
        case "cut":
            stream = True
            knobs |= {"mode": rng.choice(CUTS)} if rng.random() < 0.5 else {"truncate_after": rng.randrange(30)}
        case "slow":
            knobs |= {"latency_ms": rng.randrange(100, 1500), "chunk_gap_ms": rng.choice([0, 5, 30])}
        case "hang":
            knobs |= {"mode": rng.choice(["hang_headers", "hang_body", "reset"])}
        case _:
            pass
    return _deed(rng, most, knobs, stream=stream)._replace(hang_up=hang_up, fit=rng.random() < 0.2)


def any_of_three(rng: random.Random) -> Deed:
    """Draw a request for an alias, whose models fail and are slow."""
    deed = wild(rng)
    return deed._replace(body={**deed.body, "model": ANY}) if deed.path == CHAT else any_of_three(rng)


def several(rng: random.Random) -> Deed:
    """Draw a request to several models at once, most of which are cut off when enough have answered."""
    tag, models = _tag(rng), rng.choices(MEMBERS, k=rng.randrange(2, 5))
    body = {"models": models, "query": f"{tag} word", "quorum": 1, "max_tokens": rng.randrange(40, 400)}
    return Deed(tag, body, path=ENSEMBLE)


def _tag(rng: random.Random) -> str:
    return uuid.UUID(int=rng.getrandbits(128)).hex


def _deed(rng: random.Random, most: int, knobs: dict[str, Any], *, stream: bool) -> Deed:
    tag = _tag(rng)
    words = " ".join(["word"] * rng.randrange(1, 40))
    body: dict[str, Any] = {
        "model": PRICED,
        "messages": [{"role": "user", "content": words}],
        "simulated": {**knobs, "tag": tag},
        "stream": stream,
    }
    if most:
        body["max_tokens"] = most
    return Deed(tag, body)
