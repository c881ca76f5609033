"""Real models for the GPU service of a stack: the embedder it always has, and tiny ones of each other kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpu_service import specs
from gpu_service.build import build
from gpu_service.model import NAME, STORE, place
from tests.gpu_service import tiny
from tests.gpu_service.generation import llama

if TYPE_CHECKING:
    from pathlib import Path

_LENGTH = 64


def written(folder: Path) -> dict[str, str]:
    """Make the models in `folder`; return the environment that has them served."""
    entries: dict[str, dict[str, Any]] = {
        "tiny-ranker": {
            "task": "rerank",
            "max_tokens": _LENGTH,
            "sha256": tiny.bert(folder / "tiny-ranker", prefix="bert.", classes=1),
        },
        "tiny-moderator": {
            "task": "classification",
            "max_tokens": _LENGTH,
            "labels": ["fine", "rude", "violent"],
            "categories": {"rude": "harassment", "violent": "violence"},
            "sha256": tiny.bert(folder / "tiny-moderator", prefix="bert.", classes=3, seed=1),
        },
        "tiny-llama": {
            "task": "generation",
            "max_tokens": 2 * _LENGTH,
            "slots": 3,
            "sha256": llama.write(folder / "tiny-llama"),
        },
    }
    path = tiny.models_toml(folder / "models.toml", **{name: {**entries[name], "source": name} for name in entries})
    packaged = specs.PACKAGED.read_text().replace('"references/', f'"{specs.PACKAGED.parent}/references/')
    path.write_text(packaged + path.read_text())
    store = folder / "store"
    for name, spec in specs.load(path).items():
        if spec.weights is not None and name != NAME:
            build(place(store, name, spec.precision), name=name, spec=spec)
    (store / NAME).symlink_to(STORE / NAME, target_is_directory=True)
    return {"MODELS": str(path), "MODEL_STORE": str(store)}
