"""Starts the parts in the order in which they need one another, as many at a time as can, and ends them all."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cdk.local import emulator, services, valkey
from cdk.local.api import Api, TemplateError
from cdk.local.assembly import assemble
from cdk.local.child import Child, LocalError, stop_all
from cdk.local.deploy import Deployment, deploy
from cdk.local.functions import Roles, Surroundings, log_groups, name_of, specs
from cdk.local.invocation import InvocationError
from cdk.local.log_groups import shipping
from cdk.local.queues import fed, sources
from cdk.local.schedule import scheduled, timetable
from cdk.local.state import Logs, Remembered
from cdk.local.subscriptions import Subscriptions
from cdk.local.substitutions import Place, absent
from cdk.local.workers import Pool
from shared.core import catalog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from pathlib import Path

    from cdk.local.assembly import Assembly
    from cdk.local.emulator import Emulator
    from cdk.local.services import Service
    from cdk.local.valkey import Valkey
    from cdk.local.workers import FunctionSpec

    Say = Callable[[str], None]

GRACE_SECONDS: Final = 4.0


class Parts(NamedTuple):
    """Everything that runs beside the functions."""

    assembly: Assembly
    emulator: Emulator
    valkey: Valkey
    gpu: Service
    simulated: Service

    @property
    def vital(self) -> list[Child]:
        """Without these nothing works."""
        return [self.emulator.child, self.valkey.child]

    @property
    def others(self) -> list[Child]:
        """Without these some models do not."""
        return [self.gpu.child, self.simulated.child]


class Stack(NamedTuple):
    """The template in service, but for the door."""

    parts: Parts
    deployment: Deployment
    pool: Pool
    api: Api
    logs: Logs


@asynccontextmanager
async def running(folder: Path, chosen: Path | None, memory: Remembered, say: Say) -> AsyncIterator[Stack]:
    """Run everything behind the door for the length of the block; `chosen` is a catalog to use instead of ours."""
    logs = Logs(folder / "logs")
    children: list[Child] = []
    try:
        starts = {
            "assembly": (assemble(chosen, folder, logs.path("synth")), "template synthesized"),
            "emulator": (emulator.start(folder / "emulator", logs.path("emulator")), "AWS emulator, IAM enforced"),
            "valkey": (valkey.start(folder / "valkey", logs.path("valkey")), "Valkey, cluster mode"),
            "gpu": (services.start_gpu_service(memory.gpu_token, logs), "GPU service, on this machine's CPU"),
            "simulated": (services.start_simulated(logs), "simulated provider"),
        }
        parts = await _start(starts, children, say)
        place = Place(parts.valkey.host, parts.valkey.port)
        deployment = await asyncio.to_thread(deploy, parts.emulator, parts.assembly.template, place)
        api = _api(deployment)
        functions = specs(deployment, parts.assembly.assets, _surroundings(parts))
        await asyncio.to_thread(_write_credentials, parts.emulator, deployment, functions, memory)
        say("template deployed")
        for sentence in absent(resource["Type"] for resource in deployment.resources.values()):
            say(sentence)
        subscriptions = Subscriptions(deployment, functions)
        with (
            logs.functions({spec.name: name_of(spec) for spec in functions}) as files,
            shipping(parts.emulator.endpoint, log_groups(deployment)) as shipped,
        ):

            def log(function: str, line: str) -> None:
                files(function, line)
                shipped(function, line)
                subscriptions.hear(function, line)

            async with Pool(functions, log=log, credentials=Roles(parts.emulator, deployment)) as pool:
                await _load(pool, logs, say)
                triggers = _Triggers(deployment, functions, parts.emulator)
                async with subscriptions.delivering(pool, log), triggers.acting(pool, log):
                    yield Stack(parts, deployment, pool, api, logs)
    finally:
        stop_all(children, GRACE_SECONDS)


class _Triggers:
    """What starts functions without an answer to anyone: the clock, and messages."""

    def __init__(self, deployment: Deployment, functions: list[FunctionSpec], aws: Emulator) -> None:
        self._clocks, self._queues = timetable(deployment, functions), sources(deployment, functions)
        self._aws = aws

    @asynccontextmanager
    async def acting(self, pool: Pool, log: Callable[[str, str], None]) -> AsyncIterator[None]:
        async with scheduled(pool, self._clocks, log), fed(self._aws, pool, self._queues, log):
            yield


async def together(*work: Awaitable[object]) -> list[object]:
    """Await all of `work` at once; the first failure cancels the rest, waits for it, and is raised."""
    tasks = [asyncio.ensure_future(item) for item in work]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


async def _start(starts: Mapping[str, tuple[Awaitable[object], str]], children: list[Child], say: Say) -> Parts:
    """Await every start at once; a child that is up is in `children` from that moment on."""
    parts: dict[str, Any] = {}

    async def part(name: str, work: Awaitable[object], words: str) -> None:
        made = parts[name] = await work
        if isinstance(child := getattr(made, "child", None), Child):
            children.append(child)
        say(words)

    work = [part(name, start, words) for name, (start, words) in starts.items()]
    await together(*work, asyncio.to_thread(emulator.prepare_clients))
    return Parts(**parts)


def _api(deployment: Deployment) -> Api:
    try:
        return Api.from_template(deployment.resources, deployment.resolve)
    except TemplateError as error:
        raise LocalError(f"The local API front cannot serve the template: {error}") from error


def _surroundings(parts: Parts) -> Surroundings:
    own = {"GPU_SERVICE_URL": parts.gpu.base_url, "SIMULATED_BASE_URL": parts.simulated.base_url}
    return Surroundings(parts.emulator.endpoint, own, os.environ)


def _write_credentials(
    aws: Emulator, deployment: Deployment, functions: list[FunctionSpec], memory: Remembered
) -> None:
    """Put what the standard variables say into the providers' secret."""
    compiled = catalog.decode((functions[0].task_root / catalog.FILE).read_bytes())
    values = services.credentials(compiled, memory.gpu_token, os.environ)
    aws.secrets.put_secret_value(SecretId=deployment.outputs["ProvidersSecret"], SecretString=services.encode(values))


async def _load(pool: Pool, logs: Logs, say: Say) -> None:
    try:
        await pool.prewarm()
    except InvocationError as error:
        raise LocalError(f"A function does not start ({error}); the logs are in {logs.folder}.") from error
    say("functions loaded")
