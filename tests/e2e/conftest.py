"""One stack for all end-to-end tests, whichever number of processes runs them.

The first test process to need it starts it; the others find what it wrote down. Every process signs in once it has
collected, and the last to sign out stops the stack, on Ctrl-C too.
"""

from __future__ import annotations

import fcntl
import json
import os
import uuid
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import openai
import pytest

from tests.e2e import own_models
from tests.e2e.stack import Stack, end, start, start_provider

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Body = dict[str, Any]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything in this folder."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.e2e)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Sign in: no other process may stop the stack before this one is through."""
    folder = _shared(session.config)
    with _locked(folder):
        _signature(folder).touch()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Sign out; the last one stops what was started."""
    folder = _shared(session.config)
    with _locked(folder):
        _signature(folder).unlink(missing_ok=True)
        if any(folder.glob("*.user")):
            return
        for note in sorted(folder.glob("*.pid"), reverse=True):
            end(int(note.read_text()))
            note.unlink()


def _shared(config: pytest.Config) -> Path:
    """Return the folder that all processes of this test run share."""
    temporary = config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
    folder: Path = (temporary.parent if "PYTEST_XDIST_WORKER" in os.environ else temporary) / "shared-stack"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _signature(folder: Path) -> Path:
    return folder / f"{os.getpid()}.user"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def guarded() -> int:
    """Return the process that no started process may outlive: that of the whole test run."""
    return os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()


@pytest.fixture(scope="session")
def stack(pytestconfig: pytest.Config, guarded: int) -> Stack:
    """Return the shared stack, started if this is the first test to need it."""
    folder = _shared(pytestconfig)
    with _locked(folder):
        note = folder / "stack.json"
        if not note.exists():
            note.write_text(json.dumps(_started(folder, guarded)))
        told = json.loads(note.read_text())
    if "failure" in told:
        pytest.fail(told["failure"])
    return Stack(**told)


def _started(folder: Path, guarded: int) -> dict[str, Any]:
    """Start everything; a failure is written down, so that it is met once and not by each process."""
    try:
        upstream, provider = start_provider(folder, guarded)
        (folder / "1-provider.pid").write_text(str(provider))
        stack = start(folder, folder / "state", guarded, upstream, more=own_models.written(folder / "models"))
        (folder / "2-stack.pid").write_text(str(stack.process))
    except RuntimeError as error:
        return {"failure": str(error)}
    return asdict(stack)


@pytest.fixture
def client(stack: Stack) -> Iterator[openai.OpenAI]:
    """Return the official client as a customer uses it, but without retries, so that every failure is seen."""
    url = f"{stack.base_url}/v1"
    with openai.OpenAI(base_url=url, api_key=stack.client_key, max_retries=0, timeout=30) as made:
        yield made


@pytest.fixture
def http(stack: Stack) -> Iterator[httpx2.Client]:
    """Return a plain HTTP client that carries the customer's key."""
    key = {"authorization": f"Bearer {stack.client_key}"}
    with httpx2.Client(base_url=stack.base_url, headers=key, timeout=30) as made:
        yield made


@pytest.fixture
def admin(stack: Stack) -> Iterator[httpx2.Client]:
    """Return a plain HTTP client that carries the administrator's key."""
    key = {"authorization": f"Bearer {stack.admin_key}"}
    with httpx2.Client(base_url=stack.base_url, headers=key, timeout=30) as made:
        yield made


@pytest.fixture
def upstream(stack: Stack) -> Iterator[httpx2.Client]:
    """Return a client of the provider behind the gateway: its call log and its gates."""
    with httpx2.Client(base_url=stack.upstream, timeout=30) as made:
        yield made


@pytest.fixture
def new_key(admin: httpx2.Client) -> Callable[..., Body]:
    """Make a key: `new_key(tier="free")["key"]`."""

    def make(**asked: Any) -> Body:
        answer = admin.post("/admin/keys", json={"name": "made by a test", **asked})
        assert answer.status_code == 201, answer.text
        made: Body = answer.json()
        return made

    return make


@pytest.fixture
def tag() -> str:
    """Return a name that no other test uses, for the provider's call log and gates."""
    return uuid.uuid4().hex
