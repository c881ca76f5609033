"""The models of one process: each behind its own service, found by the name that the client gives."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from gpu_service.engine import Engine
from gpu_service.prepare import planned, prepare
from gpu_service.service import Service
from shared.core.errors import BadRequest, UnknownModel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpu_service.settings import Settings
    from gpu_service.specs import Spec, Task


class Fleet:
    """Owns the services. Nothing is loaded before `start`, so that a process may fork first."""

    def __init__(self, services: Mapping[str, Service]) -> None:
        self._services = services
        self._starting: asyncio.Task[None] | None = None

    @classmethod
    def of(cls, settings: Settings) -> Fleet:
        """Plan what `settings` say.

        Raises:
            ModelError: there is no such folder or file, or an entry is wrong.
        """
        plan = planned(settings)
        return cls({name: Service(settings, load=partial(_load, name, plan[name], settings)) for name in plan})

    @property
    def names(self) -> list[str]:
        """The models, in the order of the file."""
        return list(self._services)

    @property
    def state(self) -> str:
        """`failed` if one model is, `ready` if all are, `starting` until then."""
        states = {service.state for service in self._services.values()}
        return next((state for state in ("failed", "starting") if state in states), "ready")

    def start(self) -> asyncio.Task[None]:
        """Begin to load the models, once; the task raises `ModelError` if one of them cannot be served."""
        if self._starting is None:
            self._starting = asyncio.get_running_loop().create_task(self._started())
        return self._starting

    async def find(self, model: str, task: Task | None = None) -> Service:
        """Give the service of `model`; what stands before its last slash is the maker's name, and passed over.

        Raises:
            UnknownModel: it is not served here.
            BadRequest: it is, but not for this `task`.
            NotReady: it is not loaded.
        """
        found = self._services.get(model) or self._services.get(model.rpartition("/")[2])
        if found is None:
            served = ", ".join(f"'{name}'" for name in self._services)
            raise UnknownModel(f"The model '{model}' is not served here; {served} is.", param="model")
        does = (await found.engine()).spec.task
        if task not in {None, does}:
            raise BadRequest(f"The model '{model}' does {does}, not {task}.", param="model")
        return found

    async def moderator(self) -> Service:
        """Give the first service whose model has categories of moderation.

        Raises:
            UnknownModel: none has.
        """
        for service in self._services.values():
            if (await service.engine()).spec.categories:
                return service
        raise UnknownModel("No model that is served here moderates: name 'categories' in models.toml.", param="model")

    def only(self) -> str:
        """Give the name of the one model.

        Raises:
            BadRequest: there are several.
        """
        if len(self._services) > 1:
            raise BadRequest(
                f"The required field 'model' is missing; served are {', '.join(self._services)}.", param="model"
            )
        return self.names[0]

    def close(self) -> None:
        """Stop what has not begun."""
        for service in self._services.values():
            service.close()

    async def _started(self) -> None:
        await asyncio.gather(*(service.start() for service in self._services.values()))


def _load(name: str, spec: Spec, settings: Settings) -> Engine:
    prepared = prepare(name, spec, store=settings.store)
    return Engine.of(prepared, threads=settings.threads, device=settings.device)
