"""A model directory and its manifest: what the builder writes and the engine trusts."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME: Final = "all-MiniLM-L6-v2"
GRAPH: Final = "model.onnx"
WEIGHTS: Final = "model.onnx.data"
TOKENIZER: Final = "tokenizer.json"
MANIFEST: Final = "manifest.json"
REMEDY: Final = "take the file that the model's makers publish, and write its digest into models.toml"
GENAI: Final = "genai_config.json"  # what the builder of onnxruntime-genai writes beside a graph
STORE: Final = Path(__file__).resolve().parent.parent / "build" / "models"
DEFAULT: Final = STORE / NAME


class ModelError(Exception):
    """A model cannot be built or served; the message is one sentence that says what to do."""


@dataclass(frozen=True, slots=True)
class File:
    """One file of the directory: SHA-256 in hex, size in bytes."""

    sha256: str
    bytes: int

    @classmethod
    def of(cls, path: Path) -> File:
        """Measure the file at `path`; hashing releases the GIL."""
        with path.open("rb") as stream:
            return cls(hashlib.file_digest(stream, "sha256").hexdigest(), path.stat().st_size)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a model is and which bytes it is made of; written last, so its presence means that the rest is whole.

    `max_tokens` counts the special tokens; `vocabulary` is the number of token ids; `source` and `recipe` are the
    SHA-256 of the weights and of the code that the graph was made from. `spec` is the model's entry in `models.toml`,
    so that the folder can be served elsewhere by itself; `reference` holds rows and the results that they have to give.
    """

    name: str
    task: str
    dimensions: int
    max_tokens: int
    vocabulary: int
    source: str
    recipe: str
    files: Mapping[str, File]
    precision: str = "fp32"
    spec: Mapping[str, Any] = field(default_factory=dict)
    reference: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, directory: Path, name: str = "") -> Manifest:
        """Read the manifest of `directory`; `name` is the model's, for the sentence that says how to make it.

        Raises:
            ModelError: there is none, or it is not one that this version wrote.
        """
        path = directory / MANIFEST
        try:
            fields = json.loads(path.read_bytes())
            files = {name: File(**entry) for name, entry in fields.pop("files").items()}
            return cls(files=files, **fields)
        except OSError as error:
            raise ModelError(f"There is no model in {directory}: {_remedy(directory, name)}.") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(f"{path} is not a manifest of this version: {_remedy(directory, name)}.") from error

    def write(self, directory: Path) -> None:
        """Write the manifest in one step, as the last file of `directory`."""
        part = directory / f".{MANIFEST}.part"
        part.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        part.replace(directory / MANIFEST)

    def verify(self, directory: Path) -> None:
        """Compare every file with its digest: about 0.3 s for 90 MB, most of it without the GIL.

        Raises:
            ModelError: a file is missing or differs.
        """
        for name, expected in self.files.items():
            try:
                found = File.of(directory / name)
            except OSError as error:
                raise ModelError(f"{directory / name} cannot be read: {_remedy(directory, self.name)}.") from error
            if found != expected:
                raise ModelError(f"{directory / name} is not the file that was built: {_remedy(directory, self.name)}.")


def described(path: Path) -> dict[str, Any]:
    """Read the JSON object at `path`, which came with a model.

    Raises:
        ModelError: it is none.
    """
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read as JSON ({error}): {REMEDY}.") from error
    if not isinstance(found, dict):
        raise ModelError(f"{path} holds no JSON object: {REMEDY}.")
    return found


def place(store: Path, name: str, precision: str = "fp32") -> Path:
    """Give the folder of a model that is made here."""
    return store / (name if precision == "fp32" else f"{name}-{precision}")


def _remedy(directory: Path, name: str) -> str:
    model = "" if name in {"", NAME} else f"{name} "
    return f"run `python -m gpu_service build {model}--force --out {directory}`"
