"""Rerank, classification and moderation on real graphs: tiny ones made here, and magika, a real classifier."""

from __future__ import annotations

import base64
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import openai
import pytest
from magika import Magika

from gpu_service import specs
from gpu_service.cli import main
from gpu_service.engine import Engine
from gpu_service.model import ModelError
from gpu_service.prepare import prepare
from gpu_service.tokens import Tokens
from tests.gpu_service import tiny
from tests.gpu_service.process import Server
from tests.gpu_service.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from openai.types import ModerationTextInputParam

DOCUMENTS = ["paris is the capital", "the cat sat on the mat", "berlin", "good good good [SEP] bad", "sun " * 90]
LABELS = ["fine", "rude", "violent"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a reranker, a classifier and an embedder, and a models.toml that serves them beside magika."""
    root = tmp_path_factory.mktemp("models")
    moderator = {
        "task": "classification",
        "labels": LABELS,
        "categories": {"rude": "harassment", "violent": "violence"},
    }
    entries: dict[str, dict[str, Any]] = {
        "ranker": {"task": "rerank", "sha256": tiny.bert(root / "ranker", prefix="bert.", classes=1)},
        "moderator": {**moderator, "sha256": tiny.bert(root / "moderator", prefix="bert.", classes=3, seed=1)},
        "vectors": {
            "task": "embedding",
            "pooling": "cls",
            "dimensions": [8, 16],
            "prefixes": {"query": "the cat ", "document": "a dog "},
            "sha256": tiny.bert(root / "vectors", seed=2),
        },
    }
    named = {name: entry | {"max_tokens": 64, "source": name} for name, entry in entries.items()}
    path = tiny.models_toml(root / "models.toml", **named)
    packaged = specs.PACKAGED.read_text()
    path.write_text(path.read_text() + packaged[packaged.index("[models.magika]") :])
    return root


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Server]:
    """All four behind one server."""
    models, store = str(folder / "models.toml"), str(folder / "store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODELS", models)
        patch.setenv("MODEL_STORE", store)
        assert [main(["build", name]) for name in ("ranker", "moderator", "vectors")] == [0, 0, 0]
    with Server(None, MODELS=models, MODEL_STORE=store) as server:
        server.wait_until_ready()
        yield server


def tokens_of(folder: Path) -> Tokens:
    """The tokenizer as a reranker has it."""
    return Tokens.open(folder / "tokenizer.json", limit=64, vocabulary=0, literal=True)


def test_documents_come_in_the_order_of_their_relevance(served: Server, folder: Path) -> None:
    """The scores are those of the published formulae in float64, on query and document with their token types."""
    answer = served.ask("POST", "/v1/rerank", {"model": "ranker", "query": "is paris red", "documents": DOCUMENTS})

    rows = tokens_of(folder / "ranker").pairs("is paris red", DOCUMENTS)
    published = Reference(folder / "ranker", layers=tiny.LAYERS, heads=tiny.HEADS)
    logits = [float(published.logits(row, second=row.index(3) + 1)[0]) for row in rows]
    expected = [1 / (1 + math.exp(-logit)) for logit in logits]
    results = answer.json["results"]
    scores = [one["relevance_score"] for one in results]
    assert scores == sorted(scores, reverse=True)
    assert sorted(one["index"] for one in results) == [0, 1, 2, 3, 4]
    assert np.allclose(scores, [expected[one["index"]] for one in results], atol=1e-5)
    assert max(expected) - min(expected) > 0.01
    assert answer.json["usage"]["total_tokens"] == sum(map(len, rows))


def test_the_best_alone_and_their_texts(served: Server) -> None:
    """`top_n` and `return_documents`, with documents as texts and as objects: Cohere's and Jina's ways."""
    body = {"model": "ranker", "query": "cat", "documents": ["the cat", {"text": "a dog"}], "return_documents": True}
    whole = served.ask("POST", "/v1/rerank", body).json
    best = served.ask("POST", "/invocations", body | {"top_n": 1}).json

    assert {one["document"]["text"] for one in whole["results"]} == {"the cat", "a dog"}
    assert best["results"] == whole["results"][:1]
    assert whole["model"] == "ranker"


def test_a_relevance_does_not_depend_on_its_neighbours(served: Server) -> None:
    """A document alone and among longer ones has one score."""
    body = {"model": "ranker", "query": "cat"}
    alone = served.ask("POST", "/v1/rerank", body | {"documents": ["berlin"]}).json["results"][0]
    among = served.ask("POST", "/v1/rerank", body | {"documents": DOCUMENTS}).json["results"]

    same = next(one for one in among if one["index"] == 2)
    assert same["relevance_score"] == pytest.approx(alone["relevance_score"], abs=1e-6)


def test_labels_come_with_their_scores(served: Server, folder: Path) -> None:
    """Softmax over the logits of the published formulae, best first."""
    answer = served.ask("POST", "/v1/classify", {"model": "moderator", "input": ["i hate the cat", "good"]}).json

    published = Reference(folder / "moderator", layers=tiny.LAYERS, heads=tiny.HEADS)
    logits = published.logits(tokens_of(folder / "moderator").rows(["i hate the cat"])[0])
    expected = np.exp(logits) / np.exp(logits).sum()
    first = answer["data"][0]
    scores = {one["label"]: one["score"] for one in first["predictions"]}
    assert np.allclose([scores[label] for label in LABELS], expected, atol=1e-5)
    assert (first["prediction"], first["score"]) == (LABELS[int(expected.argmax())], max(scores.values()))
    assert [one["index"] for one in answer["data"]] == [0, 1]


@pytest.mark.parametrize(
    ("content", "label"),
    [
        (
            b"import sys\n\ndef main() -> int:\n    return len(sys.argv)\n\nif __name__ == '__main__':\n    main()\n",
            "python",
        ),
        (b'#include <stdio.h>\nint main(void) {\n  printf("hello\\n");\n  return 0;\n}\n', "c"),
        (b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n" * 40, "pdf"),
    ],
)
def test_a_real_classifier_knows_files(content: bytes, label: str, served: Server) -> None:
    """What a file holds, with the score that the package of magika gives itself."""
    body = {"model": "magika", "input": {"base64": base64.b64encode(content).decode()}, "top_n": 2}
    answer = served.ask("POST", "/v1/classify", body).json["data"][0]

    assert (answer["prediction"], len(answer["predictions"])) == (label, 2)
    assert answer["score"] == pytest.approx(Magika().identify_bytes(content).score, abs=1e-5)


def test_moderation_satisfies_the_strict_sdk(served: Server) -> None:
    """Every category is there; those that no label stands for are false, and say that nothing was looked at."""
    parts: list[ModerationTextInputParam] = [{"type": "text", "text": "i hate the cat"}]
    with openai.OpenAI(
        base_url=f"{served.url}/v1", api_key="x", max_retries=0, _strict_response_validation=True
    ) as client:
        whole = client.moderations.create(input=["i hate the cat", "good moon"])
        named = client.moderations.create(model="moderator", input=parts)

    scores = whole.results[0].category_scores
    assert whole.model == "moderator"
    assert len(whole.results) == 2
    assert named.results[0].category_scores == scores
    assert scores.harassment + scores.violence < 1
    assert (scores.hate, whole.results[0].categories.hate) == (0, False)
    assert whole.results[0].category_applied_input_types.violence == ["text"]
    assert whole.results[0].category_applied_input_types.hate == []
    assert whole.results[0].flagged == (max(scores.harassment, scores.violence) >= 0.5)


def test_vectors_are_cut_where_the_model_was_trained_for_it(served: Server) -> None:
    """8 of 32 dimensions are the head of the whole vector at length one; 9 are refused with what there is."""
    body = {"model": "vectors", "input": "the red tree"}
    whole = served.ask("POST", "/v1/embeddings", body).json["data"][0]["embedding"]
    short = served.ask("POST", "/v1/embeddings", body | {"dimensions": 8}).json["data"][0]["embedding"]
    refused = served.ask("POST", "/v1/embeddings", body | {"dimensions": 9})

    assert len(whole) == 32
    assert np.allclose(short, np.array(whole[:8]) / np.linalg.norm(whole[:8]), atol=1e-6)
    assert (refused.status, refused.json["error"]["param"]) == (400, "dimensions")
    assert "8, 16, 32 dimensions" in refused.json["error"]["message"]


def test_instructions_go_before_the_text(served: Server) -> None:
    """`input_type` chooses the prefix that the model was trained with; without it the text is taken as it is."""

    def vector(text: str, **fields: str) -> list[float]:
        body = {"model": "vectors", "input": text} | fields
        return list(served.ask("POST", "/v1/embeddings", body).json["data"][0]["embedding"])

    assert vector("sat", input_type="query") == pytest.approx(vector("the cat sat"), abs=1e-6)
    assert vector("sat", input_type="search_document") == pytest.approx(vector("a dog sat"), abs=1e-6)
    assert vector("sat") != pytest.approx(vector("sat", input_type="query"), abs=1e-3)


def test_the_caller_says_what_is_cut_off(served: Server) -> None:
    """END keeps the head, START the tail, NONE refuses and names the input."""
    head, tail = "cat " * 62, "dog " * 62

    def ask(text: str, **fields: str) -> Any:
        return served.ask("POST", "/v1/embeddings", {"model": "vectors", "input": ["a", text]} | fields)

    def vector(text: str, **fields: str) -> list[float]:
        return list(ask(text, **fields).json["data"][1]["embedding"])

    assert vector(head + tail) == pytest.approx(vector(head), abs=1e-6)
    assert vector(head + tail, truncate="START") == pytest.approx(vector(tail), abs=1e-6)
    assert ask(head, truncate="NONE").status == 200
    refused = ask(head + tail, truncate="NONE")
    assert (refused.status, refused.json["error"]["param"]) == (400, "input[1]")
    assert "has 126 tokens or more; this model reads 64" in refused.json["error"]["message"]


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("rerank", {"model": "ranker", "query": "a", "documents": []}, "documents"),
        ("rerank", {"model": "ranker", "query": "a", "documents": ["a", 3]}, "documents[1]"),
        ("rerank", {"model": "ranker", "query": "a", "documents": ["a"], "top_n": 0}, "top_n"),
        ("rerank", {"model": "vectors", "query": "a", "documents": ["a"]}, "model"),
        ("classify", {"model": "moderator", "input": ["a", ""]}, "input[1]"),
        ("classify", {"model": "magika", "input": {"base64": "?"}}, "input[0]"),
        ("moderations", {"model": "magika", "input": "a"}, "model"),
        ("moderations", {"input": []}, "input"),
        ("moderations", {"input": ["a"] * 2049}, "input"),
        ("rerank", {"model": "ranker", "query": "a", "documents": ["a"] * 2049}, "documents"),
        ("classify", {"model": "moderator", "input": ["a"] * 2049}, "input"),
        ("moderations", {"input": [{"type": "image_url", "image_url": {"url": "x"}}]}, "input[0]"),
        ("embeddings", {"model": "vectors", "input": "a", "truncate": "MIDDLE"}, "truncate"),
        ("embeddings", {"model": "ranker", "input": "a"}, "model"),
    ],
)
def test_a_wrong_field_is_named(path: str, body: dict[str, Any], param: str, served: Server) -> None:
    """400, with the field as OpenAI names it."""
    answer = served.ask("POST", f"/v1/{path}", body)

    assert (answer.status, answer.json["error"]["param"]) == (400, param)


def test_one_path_serves_every_task(served: Server) -> None:
    """SageMaker's `/invocations`: the model's task decides; with several models the name is needed."""
    bodies: list[dict[str, Any]] = [
        {"model": "vectors", "input": "a"},
        {"model": "ranker", "query": "a", "documents": ["a"]},
        {"model": "moderator", "input": "a"},
        {"input": "a"},
    ]
    answers = [served.ask("POST", "/invocations", body) for body in bodies]

    assert [answer.status for answer in answers] == [200, 200, 200, 400]
    assert [next(iter(answer.json["data"]))["object"] for answer in (answers[0], answers[2])] == [
        "embedding",
        "classification",
    ]
    assert answers[3].json["error"]["param"] == "model"


def test_labels_that_do_not_fit_the_graph_stop_the_start(folder: Path, served: Server) -> None:
    """A classifier of three outputs with two labels: the sentence holds both numbers."""
    assert served.port
    spec = specs.load(folder / "models.toml")["moderator"]
    two = msgspec.structs.replace(spec, labels=["fine", "rude"])

    with pytest.raises(ModelError, match=r"moderator has 3 outputs, and models\.toml names 2 labels for it"):
        Engine.of(prepare("moderator", two, store=folder / "store"), device="cpu")


def test_a_classifier_is_no_reranker(folder: Path, served: Server) -> None:
    """Three outputs are no relevance."""
    assert served.port
    wrong = msgspec.structs.replace(specs.load(folder / "models.toml")["moderator"], task="rerank")
    prepared = prepare("moderator", wrong, store=folder / "store")
    bare = replace(prepared, manifest=replace(prepared.manifest, reference={}))

    with pytest.raises(ModelError, match="moderator has 3 outputs; a reranker has one or two"):
        Engine.of(bare, device="cpu")
