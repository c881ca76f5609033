"""`POST /v1/chat/completions`, in OpenAI's shape, whole and streamed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gpu_service.tasks import generate
from shared.core import chat as chats
from shared.core.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpu_service.fleet import Fleet
    from gpu_service.tasks.answer import Answer, Streamed

_SHAPE: Final = generate.Shape(
    prefix="chatcmpl",
    whole="chat.completion",
    chunk="chat.completion.chunk",
    piece=lambda text: {"delta": {"content": text} if text else {}},
    choice=lambda text: {"message": {"role": "assistant", "content": text, "refusal": None}},
    opening={"delta": {"role": "assistant", "content": ""}},
)


async def chat(fleet: Fleet, data: bytes) -> Answer | Streamed:
    """Answer a request for a chat completion.

    Raises:
        GatewayError: what the client is told instead.
    """
    raw = chats.parse(data).raw
    given = generate.options(raw)
    service = await fleet.generation(given.model)
    decoder = await service.engine()
    if decoder.template is None:
        raise BadRequest(
            f"The model '{given.model}' has no chat template: ask /v1/completions, or name its tokenizer_config.json "
            "or chat_template.jinja in models.toml.",
            param="model",
        )
    messages = [{**message, "content": _text(message, place)} for place, message in enumerate(raw["messages"])]
    prompt = await service.tokens(decoder.template.prompt(messages), special=False, param="messages")
    wish = generate.wish(prompt, given, decoder, param="messages", usual=None)
    return await generate.told(await service.submit(wish), given, _SHAPE)


def _text(message: Mapping[str, Any], place: int) -> str:
    """Give a message's text; of other parts these models know nothing."""
    content = message.get("content")
    if isinstance(content, str) or content is None:
        return content or ""
    for index, part in enumerate(content):
        if part.get("type") != "text":
            field = f"messages[{place}].content[{index}]"
            raise BadRequest(f"'{field}' is of type '{part.get('type')}'; this model reads text alone.", param=field)
    return "".join(part["text"] for part in content)
