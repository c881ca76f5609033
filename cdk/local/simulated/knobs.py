"""What a caller may ask of the simulated provider, besides an answer: delays, failures and lies.

Three places, each overriding the one before: `POST /_knobs` (process wide), `metadata.simulated` (an object, or the
same as a JSON string, since OpenAI's metadata values are strings) and the body member `simulated`. A knob that does not
exist is a 400, so that a misspelt fault cannot pass as a healthy answer.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

from cdk.local.simulated import faults, lies

if TYPE_CHECKING:
    from cdk.local.simulated import Json

MODES = frozenset(
    {
        *faults.INSTEAD,
        *faults.BREAKS,
        *lies.REPLIES,
        *lies.CHUNKS,
        *lies.FRAMES,
        *("bad_length", "big_headers", "json_to_stream", "open_after_done", "sse_to_whole"),
    }
)


class Knobs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All knobs; the defaults are a healthy, immediate provider. `mode` holds names from `MODES`, comma separated."""

    answer: str | None = None  # the text to give, verbatim
    tokens: int = 0  # make the text this many words long
    chunks: int = 0  # stream the text in this many chunks; 0 is one a word
    latency_ms: float = 0  # before the first byte
    chunk_gap_ms: float = 0  # before each chunk after the first
    gate: str = ""  # hold the stream until POST /_gates/<name>
    gate_after: int = 1  # frames that pass before the gate
    fail_rate: float | None = None  # share of calls that fail, in a sequence fixed by `seed`
    fail_first: int = 0  # the first calls with this `seed` fail
    fail_status: int | None = None  # alone: every call fails so
    retry_after: str | None = None  # header of a failure, verbatim
    seed: str = ""
    truncate_after: int | None = None  # frames, then a clean end
    tag: str = ""  # found again in the call log
    keep_body: bool = False  # in the call log
    mode: str = ""
    mode_first: int = 0  # only the first calls with this `seed` have that mode; 0: all

    def __post_init__(self) -> None:
        """Refuse unknown modes.

        Raises:
            ValueError: a mode is not one of `MODES`.
        """
        unknown = self.modes - MODES
        if unknown:
            raise ValueError(f"unknown mode {sorted(unknown)}; known are {sorted(MODES)}")

    @property
    def modes(self) -> frozenset[str]:
        """The lies to tell, as a set."""
        return frozenset(filter(None, self.mode.replace(" ", "").split(",")))


PLAIN = Knobs()


def knobs(defaults: dict[str, Any], body: dict[str, Any]) -> Knobs:
    """Merge the process-wide `defaults` with the knobs of one request `body`.

    Raises:
        ValueError: a knob or mode is unknown or has a wrong type (`msgspec.ValidationError` is a ValueError too).
    """
    own = {**_asked(body.get("metadata")), **_as_object(body.get("simulated"))}
    if not own and not defaults:
        return PLAIN
    return msgspec.convert({**defaults, **own}, Knobs, strict=False)


def _asked(metadata: Json) -> dict[str, Any]:
    return _as_object(metadata.get("simulated")) if isinstance(metadata, dict) else {}


def _as_object(value: Json) -> dict[str, Any]:
    found = json.loads(value) if isinstance(value, str) and value else value or {}
    if not isinstance(found, dict):
        raise ValueError("`simulated` must be an object of knobs")  # noqa: TRY004 - one error type for all wrong knobs
    return found


class Failures:
    """Decides which calls fail: the n-th call with a seed always meets the same fate."""

    def __init__(self) -> None:
        self._calls: Counter[str] = Counter()

    def status(self, knobs: Knobs) -> int | None:
        """Return the status this call must fail with, or None for an answer."""
        status = knobs.fail_status or 500
        if knobs.fail_rate is None and not knobs.fail_first:
            return knobs.fail_status
        count = self._calls[knobs.seed] = self._calls[knobs.seed] + 1
        if count <= knobs.fail_first:
            return status
        return status if _dice(knobs.seed, count) < (knobs.fail_rate or 0) else None

    def cured(self, knobs: Knobs) -> Knobs:
        """Return the knobs of this call: without their mode where the calls that are to have it are over."""
        if not knobs.mode_first:
            return knobs
        count = self._calls[f"mode {knobs.seed}"] = self._calls[f"mode {knobs.seed}"] + 1
        return knobs if count <= knobs.mode_first else msgspec.structs.replace(knobs, mode="")

    def forget(self) -> None:
        """Start every sequence anew."""
        self._calls.clear()


def _dice(seed: str, count: int) -> float:
    digest = hashlib.sha256(f"{seed}:{count}".encode()).digest()
    return int.from_bytes(digest[:6]) / 2**48
