"""Several models in one service, each found by its name."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from gpu_service.cli import main
from tests.gpu_service import tiny
from tests.gpu_service.process import ROOT, Server

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A models.toml with two tiny models of one maker."""
    entries = {
        name: {
            "task": "embedding",
            "source": name,
            "sha256": tiny.bert(tmp_path / name, seed=seed),
            "pooling": pooling,
            "max_tokens": 64,
        }
        for seed, (name, pooling) in enumerate([("first", "mean"), ("second", "cls")])
    }
    return tiny.models_toml(tmp_path / "models.toml", **entries)


def test_each_model_answers_for_itself(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`build` makes both, one server lists and serves both, a third is unknown."""
    monkeypatch.setenv("MODELS", str(models))
    monkeypatch.setenv("MODEL_STORE", str(tmp_path / "store"))
    assert [main(["build", name]) for name in ("first", "second")] == [0, 0]
    with Server(None) as server:
        server.wait_until_ready()
        listed = [model["id"] for model in server.ask("GET", "/v1/models").json["data"]]
        answers = [
            server.ask("POST", "/v1/embeddings", {"model": name, "input": "the cat"})
            for name in ("first", "maker/second", "third")
        ]

    assert listed == ["first", "second"]
    assert [answer.status for answer in answers] == [200, 200, 404]
    assert [answer.json["model"] for answer in answers[:2]] == listed
    assert answers[0].json["data"] != answers[1].json["data"]
    assert "'first', 'second' is." in answers[2].json["error"]["message"]


def test_one_model_that_was_not_made_stops_the_start(models: Path, tmp_path: Path) -> None:
    """The sentence names the command that makes it; status 1."""
    environment = {**os.environ, "MODELS": str(models), "MODEL_STORE": str(tmp_path)}
    command = [sys.executable, "-m", "gpu_service", "serve", "--port", "0"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 1
    assert "run `python -m gpu_service build first --force --out" in done.stderr
