"""The models of one process: each behind its own service, found by the name that the client gives."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from gpu_service.cache import Caches
from gpu_service.engine import Engine
from gpu_service.errors import NotReady
from gpu_service.generation.decoder import Decoder
from gpu_service.generation.genai import Genai
from gpu_service.generation.service import Generation
from gpu_service.log import event
from gpu_service.prepare import planned, prepare
from gpu_service.service import Service
from gpu_service.session import CUDA
from gpu_service.telemetry import Telemetry
from shared.core.errors import BadRequest, UnknownModel

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gpu_service.settings import Settings
    from gpu_service.specs import Spec, Task

_FACTS: Final = ("model", "task", "precision", "provider", "device")


class Fleet:
    """Owns the services. Nothing is loaded before `start`, so that a process may fork first."""

    def __init__(
        self, services: Mapping[str, Service | Generation], telemetry: Telemetry, caches: Caches | None = None
    ) -> None:
        self._services = services
        self._caches = caches
        self.telemetry = telemetry
        self.telemetry.show(caches.metrics if caches else ())
        self.telemetry.gauge(
            "gpu_service_waiting", "Rows, or answers, in the line.", "model", read=partial(self._each, "waiting")
        )
        self.telemetry.gauge("gpu_service_generating", "Answers in slots.", "model", read=partial(self._each, "inside"))
        self.telemetry.gauge(
            "gpu_service_stuck_runs", "Runs that take far longer than predicted.", "model", read=self._stuck_runs
        )
        self.telemetry.gauge("gpu_service_model_info", "What is loaded, and where it runs.", *_FACTS, read=self._facts)
        self._starting: asyncio.Task[None] | None = None

    @classmethod
    def of(cls, settings: Settings) -> Fleet:
        """Plan what `settings` say.

        Raises:
            ModelError: there is no such folder or file, or an entry is wrong.
        """
        plan, caches, telemetry = planned(settings), Caches.of(settings), Telemetry()
        made = {name: _service(name, plan[name], settings, telemetry, caches) for name in plan}
        return cls(made, telemetry, caches)

    @property
    def names(self) -> list[str]:
        """The models, in the order of the file."""
        return list(self._services)

    @property
    def state(self) -> str:
        """`failed` if one model is, `stuck` if a run of one does not end, `ready` if all are, `starting` until then."""
        if self.is_stuck:
            return "stuck"
        states = {service.state for service in self._services.values()}
        return next((state for state in ("failed", "starting") if state in states), "ready")

    @property
    def is_stuck(self) -> bool:
        """Whether a run does not end."""
        now = time.perf_counter()
        return any(service.runs.stuck(now) for service in self._services.values())

    def stuck(self, now: float) -> list[str]:
        """Deal with runs that do not end; gives the models that they are of."""
        return [name for name, service in self._services.items() if service.stuck(now)]

    def forgive(self, seconds: float) -> None:
        """Allow all runs so much more time: the process stood still."""
        for service in self._services.values():
            service.runs.forgive(seconds)

    def abandon(self, models: Iterable[str]) -> None:
        """Give up all requests of `models`."""
        for name in models:
            self._services[name].abandon(NotReady("A run of the model does not end, and it is started anew."))

    def start(self) -> asyncio.Task[None]:
        """Begin to load the models, once; the task raises `ModelError` if one of them cannot be served."""
        if self._starting is None:
            self._starting = asyncio.get_running_loop().create_task(self._started())
            self._starting.add_done_callback(_tell)
        return self._starting

    async def find(self, model: str, task: Task) -> Service:
        """Give the service of a `model` that computes rows; a maker's name before its last slash is passed over.

        Raises:
            UnknownModel: it is not served here.
            BadRequest: it is, but not for this `task`.
            NotReady: it is not loaded.
        """
        found = self._named(model)
        does = (await found.engine()).spec.task
        if does != task or isinstance(found, Generation):
            raise BadRequest(f"The model '{model}' does {does}, not {task}.", param="model")
        return found

    async def generation(self, model: str) -> Generation:
        """Give the service of a `model` that generates.

        Raises:
            GatewayError: as `find`.
        """
        found = self._named(model)
        if not isinstance(found, Generation):
            does = (await found.engine()).spec.task
            raise BadRequest(f"The model '{model}' does {does}, not generation.", param="model")
        return found

    async def task(self, model: str) -> Task:
        """Tell what `model` does.

        Raises:
            UnknownModel: it is not served here.
            NotReady: it is not loaded.
        """
        return (await self._named(model).engine()).spec.task

    async def moderator(self) -> Service:
        """Give the first service whose model has categories of moderation.

        Raises:
            UnknownModel: none has.
        """
        for service in self._services.values():
            if (await service.engine()).spec.categories and isinstance(service, Service):
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

    def stop(self) -> None:
        """Give up what is still under way: the process is about to end."""
        for service in self._services.values():
            service.stop()

    def close(self) -> None:
        """Stop what has not begun."""
        for service in self._services.values():
            service.close()
        if self._caches is not None:
            self._caches.close()

    def _named(self, model: str) -> Service | Generation:
        found = self._services.get(model) or self._services.get(model.rpartition("/")[2])
        if found is None:
            served = ", ".join(f"'{name}'" for name in self._services)
            raise UnknownModel(f"The model '{model}' is not served here; {served} is.", param="model")
        return found

    def _each(self, what: str) -> dict[tuple[str, ...], float]:
        found = {name: getattr(service, what, None) for name, service in self._services.items()}
        return {(name,): value for name, value in found.items() if value is not None}

    def _stuck_runs(self) -> dict[tuple[str, ...], float]:
        now = time.perf_counter()
        return {(name,): len(service.runs.stuck(now)) for name, service in self._services.items()}

    def _facts(self) -> dict[tuple[str, ...], float]:
        loaded = [service.start().result() for service in self._services.values() if service.state == "ready"]
        return {
            (one.manifest.name, one.spec.task, one.manifest.precision, one.provider, _device(one.provider)): 1.0
            for one in loaded
        }

    async def _started(self) -> None:
        await asyncio.gather(*(service.start() for service in self._services.values()))


def _service(
    name: str, spec: Spec, settings: Settings, telemetry: Telemetry, caches: Caches | None
) -> Service | Generation:
    prepared = partial(prepare, name, spec, store=settings.store)
    given: dict[str, Any] = {"threads": settings.threads, "device": settings.device}
    cuda = settings.cuda
    if spec.task == "generation":
        kind = Genai if spec.engine == "genai" else Decoder
        return Generation(settings, load=lambda: kind.of(prepared(), **given), telemetry=telemetry)
    return Service(settings, load=lambda: Engine.of(prepared(), cuda=cuda, **given), telemetry=telemetry, caches=caches)


def _device(provider: str) -> str:
    """Say what a provider computes on; of several GPUs it is the first."""
    return "cuda:0" if provider == CUDA else "cpu"


def _tell(starting: asyncio.Task[None]) -> None:
    """The log says why there is no model; clients are told that there is none."""
    if not starting.cancelled() and (error := starting.exception()):
        event("not_ready", error=str(error))
