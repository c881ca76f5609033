"""Tiny models of the BERT family with random weights, made in milliseconds: folders as their makers publish them."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

WORDS = "the a cat dog sat ran on under mat tree red blue sun moon good bad love hate paris berlin is of capital"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
HIDDEN, LAYERS, HEADS = 32, 2, 4


def bert(folder: Path, *, prefix: str = "", classes: int = 0, seed: int = 0) -> dict[str, str]:
    """Write weights, config and tokenizer into `folder`; returns the digest of each file.

    `prefix` goes before the encoder's names, `classes` adds a pooler and a classifier of that many outputs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    chance = np.random.default_rng(seed)
    tokenizer = _tokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "layer_norm_eps": 1e-12,
        "vocab_size": tokenizer.get_vocab_size(),
    }
    (folder / "config.json").write_text(json.dumps(config))
    save_file(_weights(chance, tokenizer.get_vocab_size(), prefix, classes), folder / "model.safetensors")
    return digests(folder)


def digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file in `folder`."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def models_toml(path: Path, **models: dict[str, Any]) -> Path:
    """Write a models.toml; underscores in names stand for themselves."""
    lines = []
    for name, fields in models.items():
        lines.append(f"[models.{name}]")
        lines += [f"{key} = {_toml(value)}" for key, value in fields.items()]
    path.write_text("\n".join(lines) + "\n")
    return path


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(inner)}" for key, inner in value.items()) + "}"
    return json.dumps(value)


def _tokenizer() -> Tokenizer:
    vocabulary = {word: index for index, word in enumerate([*SPECIAL, *WORDS.split()])}
    found = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    found.normalizer = Lowercase()
    found.pre_tokenizer = BertPreTokenizer()
    found.add_special_tokens(SPECIAL)
    found.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    return found


def _weights(chance: np.random.Generator, vocabulary: int, prefix: str, classes: int) -> dict[str, NDArray[np.float32]]:
    def random(*shape: int) -> NDArray[np.float32]:
        return chance.normal(0, 0.3, shape).astype(np.float32)

    def dense(name: str, outputs: int, inputs: int) -> dict[str, NDArray[np.float32]]:
        return {f"{name}.weight": random(outputs, inputs), f"{name}.bias": random(outputs)}

    def norm(name: str) -> dict[str, NDArray[np.float32]]:
        return {f"{name}.weight": np.ones(HIDDEN, np.float32), f"{name}.bias": random(HIDDEN)}

    tables = {"word": vocabulary, "position": 64, "token_type": 2}
    found = {f"embeddings.{name}_embeddings.weight": random(rows, HIDDEN) for name, rows in tables.items()}
    found |= norm("embeddings.LayerNorm")
    for index in range(LAYERS):
        layer = f"encoder.layer.{index}"
        for part in ("query", "key", "value"):
            found |= dense(f"{layer}.attention.self.{part}", HIDDEN, HIDDEN)
        found |= dense(f"{layer}.attention.output.dense", HIDDEN, HIDDEN) | norm(f"{layer}.attention.output.LayerNorm")
        found |= dense(f"{layer}.intermediate.dense", 2 * HIDDEN, HIDDEN)
        found |= dense(f"{layer}.output.dense", HIDDEN, 2 * HIDDEN) | norm(f"{layer}.output.LayerNorm")
    if classes:
        found |= dense("pooler.dense", HIDDEN, HIDDEN)
    found = {f"{prefix}{name}": value for name, value in found.items()}
    return found | (dense("classifier", classes, HIDDEN) if classes else {})
