"""What chat and completions share: options, the wish that they make, and how an answer is gathered or streamed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from msgspec import Meta

from gpu_service.generation.jobs import Wish
from gpu_service.tasks.answer import Answer, Streamed, Work, encode, identity
from shared.core import errors
from shared.core.errors import BadRequest
from shared.core.fields import typed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from gpu_service.generation.jobs import Job, Model, Piece

_DONE: Final = b"data: [DONE]\n\n"
_NEUTRAL: Final[Mapping[str, tuple[object, ...]]] = {  # what a field may say that is not acted upon
    "n": (1,),
    "best_of": (1,),
    "echo": (False,),
    "suffix": ("",),
    "logprobs": (False,),
    "logit_bias": ({},),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "tools": ([],),
    "functions": ([],),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
}


class _Streaming(msgspec.Struct):
    include_usage: bool | None = None


class Options(msgspec.Struct):
    """What both kinds of request say about how to generate."""

    model: Annotated[str, Meta(min_length=1)]
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    seed: int | None = None
    stop: str | Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(max_length=4)] | None = None
    stream: bool | None = None
    stream_options: _Streaming | None = None


@dataclass(frozen=True, slots=True)
class Shape:
    """How one of the two shapes writes its objects: names, a piece of a stream, the one choice of a whole answer."""

    prefix: str
    whole: str
    chunk: str
    piece: Callable[[str], dict[str, Any]]
    choice: Callable[[str], dict[str, Any]]
    opening: dict[str, Any] | None


def options(raw: Mapping[str, Any]) -> Options:
    """Read the options, and refuse what would be promised and not kept.

    Raises:
        BadRequest: a field is wrong, or asks for what this service does not do.
    """
    for name, neutral in _NEUTRAL.items():
        if raw.get(name) is not None and raw[name] not in neutral:
            raise BadRequest(f"'{name}' is not supported by the models that this service generates with.", param=name)
    return typed(raw, Options)


def wish(prompt: Sequence[int], given: Options, decoder: Model, *, param: str, usual: int | None) -> Wish:
    """Make the wish; without `max_tokens` an answer has `usual` tokens, or what fits.

    Raises:
        BadRequest: the prompt is empty or leaves no room.
    """
    room = decoder.context - len(prompt)
    if room < 1 or not prompt:
        raise BadRequest(
            f"'{param}' has {len(prompt)} tokens; the model '{given.model}' reads and writes {decoder.context} "
            "together: it must have at least one, and leave room for one.",
            param=param,
        )
    limits = [limit for limit in (given.max_completion_tokens, given.max_tokens) if limit] or [usual or room]
    return Wish(
        prompt=prompt,
        limit=min(room, *limits),
        temperature=1.0 if given.temperature is None else given.temperature,
        top_p=given.top_p or 1.0,
        seed=given.seed,
        stops=[given.stop] if isinstance(given.stop, str) else given.stop or [],
    )


async def told(job: Job, given: Options, shape: Shape) -> Answer | Streamed:
    """Gather the answer, or begin to stream it."""
    head: dict[str, Any] = {
        "id": identity(shape.prefix),
        "created": int(time.time()),
        "model": given.model.rpartition("/")[2],
    }
    operation, prompt = shape.whole.partition(".")[0], len(job.wish.prompt)
    work = Work(operation, head["model"], time.perf_counter(), prompt)
    if given.stream:
        return Streamed(
            _events(job, given, shape, head), job.abandon, lambda: work._replace(written=len(job.sequence.tokens))
        )
    text = []
    async for piece in job:
        text.append(piece.text)
    choice = {"index": 0, **shape.choice("".join(text)), "logprobs": None, "finish_reason": piece.finish}
    body = {**head, "object": shape.whole, "choices": [choice], "usage": _usage(job, piece)}
    seconds = {"inference": time.perf_counter() - work.began}
    return Answer(encode(body), seconds, 1, prompt + piece.tokens, work._replace(written=piece.tokens))


async def _events(job: Job, given: Options, shape: Shape, head: dict[str, Any]) -> AsyncIterator[bytes]:
    with_usage = bool(given.stream_options and given.stream_options.include_usage)
    frame = {**head, "object": shape.chunk} | ({"usage": None} if with_usage else {})
    if shape.opening is not None:
        yield _event({**frame, "choices": [_choice(shape.opening, None)]})
    try:
        async for piece in job:
            if piece.text:
                yield _event({**frame, "choices": [_choice(shape.piece(piece.text), None)]})
            if piece.finish:
                yield _event({**frame, "choices": [_choice(shape.piece(""), piece.finish)]})
                if with_usage:
                    yield _event({**frame, "choices": [], "usage": _usage(job, piece)})
    except Exception as error:  # noqa: BLE001 - the answer has begun: its client hears of it in its stream
        yield _event({"error": errors.body(error)})
    yield _DONE


def _choice(content: dict[str, Any], finish: str | None) -> dict[str, Any]:
    return {"index": 0, **content, "logprobs": None, "finish_reason": finish}


def _usage(job: Job, last: Piece) -> dict[str, int]:
    prompt = len(job.wish.prompt)
    return {"prompt_tokens": prompt, "completion_tokens": last.tokens, "total_tokens": prompt + last.tokens}


def _event(found: object) -> bytes:
    return b"data: " + encode(found) + b"\n\n"
