"""`nexus local`: from nothing to a served gateway, and from any point of that back to nothing."""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
import sys
from typing import TYPE_CHECKING, Final, NamedTuple

from cdk.local import announce, keys
from cdk.local.child import LocalError
from cdk.local.door import HOST, serving
from cdk.local.stack import running, together
from cdk.local.state import Remembered, forget, owned, write_private

if TYPE_CHECKING:
    from pathlib import Path

    from cdk.local.announce import Progress, Ready
    from cdk.local.child import Child
    from cdk.local.stack import Stack

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
INTERRUPTED: Final = 130  # as a shell reports a process that ended on Ctrl-C


class Options(NamedTuple):
    """What the command line asks for."""

    port: int
    state_dir: Path
    ready_file: Path | None = None
    catalog: Path | None = None
    json: bool = False
    demo: bool = False


def run(options: Options) -> int:
    """Serve until told to end; return the exit status. What a person can put right is one sentence on stderr."""
    try:
        return asyncio.run(_until_told(options))
    except LocalError as error:
        print(f"nexus: {error}", file=sys.stderr)
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        print(f"nexus: {error.filename or options.state_dir} cannot be written: {error.strerror}.", file=sys.stderr)
    return 1


async def _until_told(options: Options) -> int:
    """Serve until SIGINT or SIGTERM, which end a start that is under way as well."""
    told, up, loop = asyncio.Event(), asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)
    work = asyncio.create_task(_serve(options, up))
    waiting = asyncio.create_task(told.wait())
    await asyncio.wait({work, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if work.done():
        work.result()
    work.cancel()
    await asyncio.wait({work})
    if not work.cancelled() and (error := work.exception()):
        raise error
    return 0 if up.is_set() else INTERRUPTED


async def _serve(options: Options, up: asyncio.Event) -> None:
    """Start everything, say so, and watch over it; only a failure or a cancellation ends this."""
    progress = announce.Progress()
    with owned(options.state_dir) as folder:
        _refuse_taken(options.port)
        memory = Remembered.load(folder)
        if options.ready_file:
            forget(options.ready_file)
        try:
            async with (
                running(folder, options.catalog, memory, progress) as stack,
                serving(stack, options.port) as base_url,
            ):
                memory = await keys.ensure(stack, memory, folder, base_url)
                ready = await asyncio.to_thread(_ready, stack, memory, base_url)
                progress("ready")
                await asyncio.to_thread(_tell, options, ready, folder)
                up.set()
                await _watch(stack, progress)
        finally:
            if options.ready_file:
                forget(options.ready_file)


def _refuse_taken(port: int) -> None:
    """Fail at once, before anything is started, where the port could not be listened on at the end."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise LocalError(
                f"Port {port} on {HOST} cannot be used ({error.strerror}); choose another with --port "
                "(`make run PORT=...`); 0 takes a free one."
            ) from error


def _ready(stack: Stack, memory: Remembered, base_url: str) -> Ready:
    """Collect what a program needs to use the stack."""
    return {
        "base_url": base_url,
        "admin_key": memory.admin_key,
        "client_key": memory.client_key,
        "jwt_issuer": stack.deployment.outputs["JwtIssuer"],
        "models": keys.models(base_url, memory.client_key),
    }


def _tell(options: Options, ready: Ready, folder: Path) -> None:
    if options.ready_file:
        write_private(options.ready_file, ready)
    if options.demo:
        print(announce.demonstrate(ready), file=sys.stderr if options.json else sys.stdout)
    print(announce.as_line(ready) if options.json else announce.snippets(ready, folder), flush=True)


async def _watch(stack: Stack, progress: Progress) -> None:
    """Raise when a vital part ends by itself; say so when another does."""

    async def vital(child: Child) -> None:
        status = await child.ended()
        raise LocalError(
            f"{child.name} ended by itself (status {status}: {child.last_words()}); its log is {child.log}."
        )

    async def other(child: Child) -> None:
        status = await child.ended()
        progress(f"{child.name} ended by itself (status {status}); its models are not served. Its log is {child.log}.")

    await together(*map(vital, stack.parts.vital), *map(other, stack.parts.others))
