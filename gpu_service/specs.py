"""`models.toml`: which models are served, where their files come from, and which bytes those have to be."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, get_args, get_type_hints

import msgspec
from msgspec import Meta

from gpu_service.model import GENAI, MANIFEST, ModelError, described
from shared.core.nearest import no_field

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpu_service.model import Manifest

PACKAGED: Final = Path(__file__).with_name("models.toml")
CATEGORIES: Final = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)

Task = Literal["embedding", "rerank", "classification", "generation"]
Precision = Literal["fp32", "fp16", "int8"]
Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]


class Spec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model as `models.toml` describes it; the head of that file says what each field means."""

    task: Task
    source: Annotated[str, Meta(min_length=1)]
    sha256: dict[str, Digest] = {}
    precision: Precision = "fp32"
    max_tokens: Annotated[int, Meta(ge=3, le=131_072)] = 512
    max_inputs: Count = 2048
    pooling: Literal["mean", "cls", "last"] | None = None
    normalize: bool = True
    dimensions: list[Count] = []
    prefixes: dict[Literal["query", "document"], str] = {}
    labels: list[str] = []
    activation: Literal["softmax", "sigmoid", "none"] = "softmax"
    categories: dict[str, str] = {}
    threshold: Annotated[float, Meta(ge=0, le=1)] = 0.5
    reads: Literal["text", "magika"] = "text"
    reference: str = ""
    eos: list[Annotated[int, Meta(ge=0)]] = []
    slots: Annotated[int, Meta(ge=1, le=1024)] = 8
    engine: Literal["onnxruntime", "genai"] = "onnxruntime"
    prefill: Annotated[int, Meta(ge=1)] = 256

    @property
    def weights(self) -> str | None:
        """The safetensors file that the graph is made from, None if there is a graph already."""
        return next((name for name in self.sha256 if name.endswith(".safetensors")), None)

    @property
    def graph(self) -> str | None:
        """The graph that is served as it is."""
        return next((name for name in self.sha256 if name.endswith(".onnx")), None)

    def at(self, precision: Precision) -> Spec:
        """The same model in another precision."""
        return msgspec.structs.replace(self, precision=precision)


def load(path: Path = PACKAGED) -> dict[str, Spec]:
    """Read the models of `path` by name; relative folders are made absolute.

    Raises:
        ModelError: the file cannot be read, or an entry is wrong; the sentence names the field and what it may be.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(
            f"{path} cannot be read ({error.strerror}): set MODELS to a models.toml, or MODEL_DIR to one built model."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"{path} is not valid TOML: {error}.") from error
    tables = document.pop("models", None)
    if not isinstance(tables, dict) or not tables:
        raise ModelError(f"{path} names no model: give it a table [models.NAME] with task, source and sha256.")
    for other in document:
        raise ModelError(f"{path}: '{other}' is nothing that it may hold: each model is a table [models.NAME].")
    return {name: _spec(path, name, table) for name, table in tables.items()}


def find(name: str, path: Path = PACKAGED) -> Spec:
    """Give the model `name` of `path`.

    Raises:
        ModelError: there is none.
    """
    specs = load(path)
    if name not in specs:
        raise ModelError(f"{path} has no model '{name}'; it has {', '.join(specs)}.")
    return specs[name]


def portable(spec: Spec) -> Mapping[str, Any]:
    """Give what a folder's manifest keeps of `spec`: everything but where it came from."""
    found: dict[str, Any] = msgspec.to_builtins(spec)
    return {name: value for name, value in found.items() if name not in {"source", "sha256", "reference"}}


def of_manifest(manifest: Manifest, directory: Path) -> Spec:
    """Give the entry of a folder that `build` made.

    Raises:
        ModelError: another version made it.
    """
    kept = {"task": manifest.task, "max_tokens": manifest.max_tokens} | dict(manifest.spec)
    return _typed(f"{directory / MANIFEST}: 'spec'", kept | {"source": str(directory)})


def _spec(path: Path, name: str, table: object) -> Spec:
    place = f"{path}: [models.{name}]"
    spec = _typed(place, table)
    for fault in _faults(spec):
        raise ModelError(f"{place} {fault}.")
    if ":" in spec.source:
        return msgspec.structs.replace(spec, reference=_beside(path, spec.reference))
    return msgspec.structs.replace(spec, source=_beside(path, spec.source), reference=_beside(path, spec.reference))


def _typed(place: str, table: object) -> Spec:
    try:
        return msgspec.convert(table, Spec)
    except msgspec.ValidationError as error:
        reason, _, field = str(error).partition(" - at `$")
        field = field.rstrip("`").lstrip(".")
        told = f"'{field}': " if field else ""
        raise ModelError(f"{place} {told}{_reason(reason)}{_choices(field)}.") from error


def _reason(told: str) -> str:
    _, unknown, name = told.rstrip("`").partition(" unknown field `")
    return f"'{name}' {no_field(name, Spec.__struct_fields__)}" if unknown else told.replace("`", "")


def _choices(field: str) -> str:
    """Say what a field of few words may be."""
    kinds = get_args(get_type_hints(Spec).get(field))
    words = [word for kind in kinds for word in (get_args(kind) or (kind,)) if isinstance(word, str)]
    return f"; it is one of {', '.join(words)}" if words else ""


def _beside(path: Path, name: str) -> str:
    return str((path.parent / name).resolve()) if name else ""


def _faults(spec: Spec) -> list[str]:
    """Say what cannot be meant, each as the rest of a sentence."""
    made = spec.weights is not None
    unknown = sorted(set(spec.categories.values()) - set(CATEGORIES))
    checks = {
        f"'source' is {spec.source}: name a folder, package:NAME==VERSION/FOLDER, s3://BUCKET/PREFIX or "
        "gs://BUCKET/PREFIX": "://" in spec.source and not spec.source.startswith(("s3://", "gs://")),
        "'reads' is magika, which goes with a *.onnx and task = \"classification\" alone: remove it": (
            spec.reads == "magika" and (made or spec.task != "classification")
        ),
        "'sha256' names no *.onnx, *.safetensors or manifest.json: list every file of the model with its digest "
        "(`sha256sum FILE`)": not (made or spec.graph or MANIFEST in spec.sha256 or _is_folder(spec)),
        "'sha256' names neither tokenizer.json nor a manifest.json: a model that reads text needs its tokenizer": (
            (made or spec.graph is not None) and spec.reads == "text" and "tokenizer.json" not in spec.sha256
        ),
        "'sha256' does not name config.json, which a graph is made with": made and "config.json" not in spec.sha256,
        "'pooling' is missing: mean, cls or last, as the model was trained": (
            made and spec.task == "embedding" and spec.pooling is None
        ),
        "'task' is generation, whose graphs are not made here: name the *.onnx that `python -m "
        "onnxruntime_genai.models.builder` writes": made and spec.task == "generation",
        "'eos' is missing: the ids of the tokens that end an answer, or a genai_config.json that has them": (
            spec.task == "generation" and not spec.eos and GENAI not in spec.sha256
        ),
        "'engine' is genai, which needs a genai_config.json: name it in 'sha256', or remove 'engine'": (
            spec.engine == "genai" and (spec.task != "generation" or GENAI not in spec.sha256)
        ),
        "'pooling' is last, which BERT has not: mean or cls": made and spec.pooling == "last",
        f"'precision' is {spec.precision}, but only graphs that are made here have one: remove it": (
            not made and spec.precision != "fp32"
        ),
        "'labels' is missing: name the classes in the order of the model's outputs, or a config.json that does": (
            spec.task == "classification" and not spec.labels and not (_config(spec) or MANIFEST in spec.sha256)
        ),
        f"'categories' holds {unknown}, none of {', '.join(CATEGORIES)}": bool(unknown),
    }
    return [fault for fault, is_true in checks.items() if is_true]


def labelled(spec: Spec, folder: Path) -> Spec:
    """Give `spec` with the labels that its config.json names (`id2label`; magika: `target_labels_space`).

    Raises:
        ModelError: it names none, or `categories` speaks of others.
    """
    if spec.task != "classification":
        return spec
    name, labels = _config(spec), spec.labels
    if name and not labels:
        labels = _labels(folder / name)
    unknown = sorted(set(spec.categories) - set(labels))
    if not labels or unknown:
        reason = f"'categories' maps {unknown}, which are none of its labels" if labels else "no labels are named"
        raise ModelError(f"{folder / (name or MANIFEST)}: {reason}: correct 'labels' in models.toml.")
    return msgspec.structs.replace(spec, labels=labels)


def _labels(path: Path) -> list[str]:
    config = described(path)
    by_id = config.get("id2label", {})
    try:
        return config.get("target_labels_space") or [by_id[key] for key in sorted(by_id, key=int)]
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(
            f"{path} numbers its labels otherwise than id2label does: name 'labels' in models.toml, in the order of "
            "the model's outputs."
        ) from error


def _config(spec: Spec) -> str | None:
    return next((name for name in spec.sha256 if name.startswith("config.") and name.endswith(".json")), None)


def _is_folder(spec: Spec) -> bool:
    """A folder on this machine may be one that `build` made: its manifest.json holds the digests."""
    return ":" not in spec.source and not spec.sha256
