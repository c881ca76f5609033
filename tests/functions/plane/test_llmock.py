"""A provider that none of us wrote breaks on demand, and judges how it is asked again: llmock, in three languages."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.client_packages import installed
from tests.e2e.stack import free_port, listens, until
from tests.functions.plane.languages import LANGUAGES, ask
from tests.functions.plane.rig import built

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.functions.plane.rig import Rig

pytestmark = pytest.mark.xdist_group("client libraries")
each_model = pytest.mark.parametrize("model", ["gpt-4o", "claude", "gemini"])
CHAT = LANGUAGES["chat"]


def told(url: str, body: object = None) -> Any:
    """Ask llmock itself."""
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data), timeout=20) as answer:  # noqa: S310 - loopback
        return json.load(answer)


@pytest.fixture(scope="module")
def llmock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return where it listens."""
    port, log = free_port(), tmp_path_factory.mktemp("llmock") / "log"
    folder = installed()
    command = [str(folder / "python"), str(folder / "llmock"), "serve", "--port", str(port), "--log-level", "warning"]
    with log.open("wb") as words, subprocess.Popen(command, stdout=words, stderr=words) as process:
        until(lambda: listens(port), process, log)
        yield f"http://127.0.0.1:{port}"
        process.terminate()


@pytest.fixture
def judged(rig: Rig, llmock: str) -> Rig:
    """The rig with llmock as each provider; pauses are made."""
    told(f"{llmock}/_llmock/reset", {})
    rig.aws.secrets["CLAUDE_KEY"] = "key-1"  # with another one nobody would wait
    places = {"OPENAI_BASE_URL": f"{llmock}/v1", "CLAUDE_URL": f"{llmock}/anthropic", "GEMINI_URL": f"{llmock}/gemini"}
    rig.gateway = built(rig.environment | places)._replace(telemetry=rig.gateway.telemetry, pause=time.sleep)
    return rig


def breaks(llmock: str, **how: Any) -> None:
    """Have the next answers break."""
    told(f"{llmock}/_llmock/scenario", {"behaviors": [how]})


def findings(llmock: str) -> tuple[int, list[str]]:
    """Return how often it was asked, and what it has to say against that."""
    verdict = told(f"{llmock}/_llmock/verdict")
    return verdict["attempts"], [found["code"] for found in verdict["findings"]]


@each_model
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("how", "attempts", "status"),
    [
        ({"status": 429, "retry_after": 0.3}, 2, 200),
        ({"status": 503, "retry_after": 0.1}, 2, 200),
        ({"status": 400}, 1, 400),
    ],
    ids=["limited", "down", "refused"],
)
def test_it_is_asked_again_as_it_wants(  # noqa: PLR0917 - the axes of a table
    judged: Rig,
    llmock: str,
    model: str,
    stream: bool,  # noqa: FBT001
    how: dict[str, Any],
    attempts: int,
    status: int,
) -> None:
    """Not before the time that it names, and not at all where that is no use."""
    breaks(llmock, type="fail", times=1, **how)
    client = ask(judged, CHAT, model, stream=stream)
    assert client.status == status, client.body
    assert findings(llmock) == (attempts, [])


@each_model
@pytest.mark.parametrize("fault", ["truncate", "disconnect", "malformed"])
def test_a_stream_that_it_breaks_is_never_a_success(judged: Rig, llmock: str, model: str, fault: str) -> None:
    """Behind some words (of the first five events Anthropic's have few) it is an error event, and asked for once."""
    breaks(llmock, type="stream_fault", kind=fault, after_chunks=5)
    client = ask(judged, CHAT, model, stream=True)
    assert client.status == 200
    assert client.events[-1]["error"]["code"] == "upstream_error"
    assert findings(llmock)[0] == 1
    assert judged.usage()[0]["outcome"] == "upstream_error"
