"""`POST /v1/completions`, in OpenAI's older shape: a prompt goes on, with no template around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gpu_service.tasks import generate
from shared.core import body
from shared.core.errors import BadRequest

if TYPE_CHECKING:
    from gpu_service.fleet import Fleet
    from gpu_service.generation.jobs import Model
    from gpu_service.tasks.answer import Answer, Streamed

_USUAL: Final = 16  # tokens, as OpenAI has it
_SHAPE: Final = generate.Shape(
    prefix="cmpl",
    whole="text_completion",
    chunk="text_completion",
    piece=lambda text: {"text": text},
    choice=lambda text: {"text": text},
    opening=None,
)


async def complete(fleet: Fleet, data: bytes) -> Answer | Streamed:
    """Answer a request for a completion.

    Raises:
        GatewayError: what the client is told instead.
    """
    raw = body.parse(data)
    given = generate.options(raw)
    service = await fleet.generation(given.model)
    decoder = await service.engine()
    found = _prompt(raw.get("prompt"), decoder)
    prompt = await service.tokens(found, special=True, param="prompt") if isinstance(found, str) else found
    wish = generate.wish(prompt, given, decoder, param="prompt", usual=_USUAL)
    return await generate.told(await service.submit(wish), given, _SHAPE)


def _prompt(prompt: Any, decoder: Model) -> str | list[int]:  # noqa: ANN401 - it is whatever the client sent
    """Take a text or token ids, bare or as the one item of an array."""
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str | list):
        prompt = prompt[0]
    if isinstance(prompt, str) and prompt:
        return prompt
    most = decoder.tokenizer.get_vocab_size()
    if isinstance(prompt, list) and prompt and all(type(token) is int and 0 <= token < most for token in prompt):
        return prompt
    raise BadRequest(
        f"'prompt' must be one text that is not empty, or one array of token ids from 0 to {most - 1}.", param="prompt"
    )
