"""What people and programs are told once the stack is up: the ready file, the snippets, and one real answer."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from cdk.local.client import Client
from cdk.local.state import where

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

EMBEDDING_MODEL: Final = "all-MiniLM-L6-v2"
CHAT_MODEL: Final = "gpt-4o-mini"
CREDENTIALS: Final = tuple(
    f"{provider}_{what}" for provider in ("OPENAI", "ANTHROPIC", "GEMINI") for what in ("API_KEY", "BASE_URL")
)
SHOWN_NUMBERS: Final = 6
SHOWN_HEADERS: Final = (
    "x-request-id",
    "x-nexus-provider",
    "x-nexus-model",
    "x-nexus-overhead-ms",
    "x-ratelimit-remaining-requests",
)
DIM, BOLD, PLAIN = "\x1b[2m", "\x1b[1m", "\x1b[0m"

Ready = dict[str, Any]


class Progress:
    """Short lines on stderr, each with the seconds since the start."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return time.monotonic() - self._began

    def __call__(self, words: str) -> None:
        """Say that something has happened."""
        print(styled(f"{self.seconds:5.1f} s  {words}", DIM, sys.stderr.isatty()), file=sys.stderr, flush=True)


def styled(text: str, style: str, terminal: bool) -> str:  # noqa: FBT001 - reads well at its few calls
    """Return `text` in a style where someone sees it."""
    return f"{style}{text}{PLAIN}" if terminal and "NO_COLOR" not in os.environ else text


def demonstrate(ready: Ready) -> str:
    """Send one real embedding request through the whole path; return what came back."""
    text = "The quick brown fox jumps over the lazy dog."
    began = time.monotonic()
    answer = Client(ready["base_url"], ready["client_key"]).call(
        "POST", "/v1/embeddings", {"model": EMBEDDING_MODEL, "input": text}
    )
    milliseconds = (time.monotonic() - began) * 1000
    lines = [f'POST /v1/embeddings {{"model": "{EMBEDDING_MODEL}", "input": "{text}"}}']
    if answer.failed:
        return "\n".join([*lines, f"  refused: {answer.message}"])
    vector = answer.body["data"][0]["embedding"]
    numbers = ", ".join(f"{number:.5f}" for number in vector[:SHOWN_NUMBERS])
    lines += [
        f"  {answer.status} in {milliseconds:.0f} ms",
        *(f"  {name}: {answer.headers[name]}" for name in SHOWN_HEADERS if name in answer.headers),
        f"  embedding: [{numbers}, ...] ({len(vector)} numbers)",
        f"  usage: {json.dumps(answer.body['usage'])}",
    ]
    return "\n".join(lines)


def snippets(ready: Ready, folder: Path) -> str:
    """Return what to paste: a curl line, an SDK program, and where everything is."""
    url, key, model = ready["base_url"], ready["client_key"], _chat_model(ready["models"])
    note, command = "", _command()
    if not any(os.environ.get(name) for name in CREDENTIALS):
        note = (
            "\nNo provider is configured: chat is answered by the provider called `simulated`.\n"
            "Set OPENAI_API_KEY, ANTHROPIC_API_KEY or GEMINI_API_KEY and start again for real answers.\n"
        )
    return f"""
{styled("AI-Nexus is ready on " + url, BOLD, sys.stdout.isatty())}

  curl {url}/v1/chat/completions \\
    -H "Authorization: Bearer {key}" -H "Content-Type: application/json" \\
    -d '{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello"}}]}}'

  from openai import OpenAI

  client = OpenAI(base_url="{url}/v1", api_key="{key}")
  for chunk in client.chat.completions.create(
      model="{model}", messages=[{{"role": "user", "content": "Hello"}}], stream=True
  ):
      print(chunk.choices[0].delta.content or "" if chunk.choices else "", end="", flush=True)
{note}
More keys: {command} keys create --name mine{where(folder)}
What is not run here: {command} local --coverage
Logs: {folder / "logs"}. Ctrl-C ends everything; keys and usage stay in {folder}.
"""


def _command() -> str:
    """Return what to type for `nexus` here: an environment that is not active is not searched for it."""
    return "nexus" if shutil.which("nexus") else shlex.quote(os.path.relpath(sys.argv[0]))


def as_line(ready: Mapping[str, Any]) -> str:
    """Return the ready object as one line of JSON."""
    return json.dumps(ready, separators=(",", ":"))


def _chat_model(names: list[str]) -> str:
    return CHAT_MODEL if CHAT_MODEL in names else next((n for n in names if n != EMBEDDING_MODEL), EMBEDDING_MODEL)
