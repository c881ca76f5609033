"""What lies beside a generating graph: onnxruntime-genai's configuration, and the chat template."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gpu_service.generation.template import Template
from gpu_service.model import GENAI, described

if TYPE_CHECKING:
    from pathlib import Path


class Told(NamedTuple):
    """What genai_config.json says, which the builder writes beside the graph: zeros and nothing where there is none.

    `is_dynamic`: the graph has paged attention, and the engine of onnxruntime-genai lets requests join a running batch.
    """

    ends: tuple[int, ...]
    context: int
    head: int
    is_dynamic: bool


def told(directory: Path) -> Told:
    """Read it.

    Raises:
        ModelError: it is none.
    """
    path = directory / GENAI
    config = described(path) if path.exists() else {}
    model = config.get("model", {})
    ends = model.get("eos_token_id", [])
    head = model.get("decoder", {}).get("head_size", 0)
    return Told(
        ends=tuple(ends if isinstance(ends, list) else [ends]),
        context=model.get("context_length", 0),
        head=head,
        is_dynamic="dynamic_batching" in config.get("engine", {}),
    )


def template(directory: Path) -> Template | None:
    """Read the chat template, from the two places where models keep it.

    Raises:
        ModelError: there is one, and Jinja cannot read it.
    """
    single, path = directory / "chat_template.jinja", directory / "tokenizer_config.json"
    config = described(path) if path.exists() else {}
    source = single.read_text(encoding="utf-8") if single.exists() else config.get("chat_template")
    known = {name: config.get(name) for name in ("bos_token", "eos_token")}
    texts = {name: value["content"] if isinstance(value, dict) else value for name, value in known.items() if value}
    return Template(source, texts) if isinstance(source, str) else None
