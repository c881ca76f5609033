"""Which path is for which task, and which task a model does where a path does not say."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gpu_service.tasks.answer import Answer, Streamed
from gpu_service.tasks.chat import chat
from gpu_service.tasks.classify import classify
from gpu_service.tasks.complete import complete
from gpu_service.tasks.embed import embed
from gpu_service.tasks.moderate import moderate
from gpu_service.tasks.rerank import rerank
from shared.core import body, wire
from shared.core.fields import typed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpu_service.fleet import Fleet

Task = Callable[["Fleet", bytes], Coroutine[Any, Any, Answer | Streamed]]

PATHS: Final[Mapping[str, Task]] = {
    "/v1/embeddings": embed,
    "/v1/rerank": rerank,
    "/v1/classify": classify,
    "/v1/moderations": moderate,
    "/v1/chat/completions": chat,
    "/v1/completions": complete,
}
_BY_TASK: Final[Mapping[str, Task]] = {"embedding": embed, "rerank": rerank, "classification": classify}


class _Named(msgspec.Struct):
    model: str


async def invoke(fleet: Fleet, data: bytes) -> Answer | Streamed:
    """Answer what comes to SageMaker's one path: the model's task decides. One model alone needs no name.

    Raises:
        GatewayError: what the client is told instead.
    """
    given = body.parse(data)
    if "model" not in given:
        given["model"] = fleet.only()
        data = wire.encode(given)
    task = await fleet.task(typed(given, _Named).model)
    if task == "generation":
        return await (complete if "prompt" in given else chat)(fleet, data)
    return await _BY_TASK[task](fleet, data)
