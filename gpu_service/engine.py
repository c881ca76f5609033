"""A loaded model: rows of token ids in, one finished row of numbers per input out. It knows nothing of HTTP."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from gpu_service import contents, shapes, specs
from gpu_service.binding import Bindings
from gpu_service.cuda import Cuda
from gpu_service.fit import check_inputs, check_longest, check_outputs
from gpu_service.heads import finished
from gpu_service.log import event
from gpu_service.model import GRAPH, TOKENIZER, Manifest, ModelError
from gpu_service.prepare import Prepared
from gpu_service.reference import Reference
from gpu_service.session import CUDA, Interrupts, open_session
from gpu_service.slices import slices
from gpu_service.tokens import Cut, Row, Tokens

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from gpu_service.settings import Device
    from gpu_service.specs import Spec


Turn = Callable[[], AbstractContextManager[object]]

_USUAL: Final = Cuda()


@dataclass(frozen=True, slots=True)
class Embedded:
    """Unit vectors, float32 [texts, dimensions], and the number of tokens that each text was read as."""

    vectors: NDArray[np.float32]
    tokens: list[int]


class Engine:
    """One model on one device; threads may share it.

    `run` computes without the GIL, so that callers on several threads share one copy of the weights. A caller per core
    with one thread each does 1.25 to 1.46 times as much as one caller with all cores, which is why `threads` is 1.
    """

    def __init__(
        self,
        session: Any,  # noqa: ANN401 - onnxruntime publishes no types
        tokens: Tokens | None,
        manifest: Manifest,
        spec: Spec | None = None,
    ) -> None:
        self._session = session
        self._tokens = tokens
        self._interrupts = Interrupts()
        self._bindings: Bindings | None = None
        self._entries: Mapping[str, str] = {}
        self.manifest = manifest
        self.spec = spec or specs.Spec(task="embedding", source=".")

    @classmethod
    def open(cls, directory: Path, *, threads: int = 1, device: Device = "auto") -> Engine:
        """Load the model that was built in `directory` and run it once; about 0.4 s.

        Raises:
            ModelError: the model is missing, is not what was built, or does not work here.
        """
        manifest = Manifest.read(directory)
        prepared = Prepared(directory, manifest, specs.of_manifest(manifest, directory))
        return cls.of(prepared, threads=threads, device=device)

    @classmethod
    def of(
        cls,
        prepared: Prepared,
        *,
        threads: int = 1,
        device: Device = "auto",
        cuda: Cuda = _USUAL,
        is_bound: bool = False,
        opener: Callable[..., Any] = open_session,
    ) -> Engine:
        """Load what was prepared and run it once; on a GPU, or where it `is_bound`, in every shape of its buffers.

        Raises:
            ModelError: as `open`.
        """
        open_with = partial(cls._opened, prepared, partial(opener, threads=threads, device=device), is_bound=is_bound)
        try:
            return open_with(cuda)
        except ModelError as error:
            if not cuda.graphs:
                raise
            event("no_cuda_graphs", model=prepared.manifest.name, reason=str(error))
            return open_with(replace(cuda, graphs=False))

    @classmethod
    def _opened(cls, prepared: Prepared, opener: Callable[..., Any], cuda: Cuda, *, is_bound: bool) -> Engine:
        directory, manifest, spec = prepared.directory, prepared.manifest, prepared.spec
        with ThreadPoolExecutor(1) as digests:
            verified = digests.submit(manifest.verify, directory)  # beside the loading, on another core
            try:
                session = opener(directory / (spec.graph or GRAPH), cuda=cuda)
            finally:
                verified.result()  # says more than ONNX Runtime does about a broken file
        engine = cls(session, _tokens(prepared), manifest, spec)
        if engine._tokens is not None:
            check_inputs(manifest.name, engine._takes)
        if (is_bound or engine.provider == CUDA) and engine._tokens is not None:
            engine._bind(cuda)
        engine.warm_up()
        return engine

    def _bind(self, cuda: Cuda) -> None:
        """Make the buffers of every shape, and run each.

        Raises:
            ModelError: one of them does not run.
        """
        memory = "cuda" if self.provider == CUDA else "cpu"
        self._entries = cuda.run_options(memory)
        self._bindings = Bindings(self._session, self._takes, memory, graphs=cuda.graphs)
        for shape in cuda.shapes(self.manifest.max_tokens):
            try:
                self._bindings.warm_up(shape, lambda: self._interrupts.options(self._entries))
            except Exception as error:
                reason = str(error).splitlines()[0].rstrip(".")
                raise ModelError(
                    f"The model {self.manifest.name} does not run {shape[0]} rows of {shape[1]} tokens on "
                    f"{self.provider}: {reason}. If memory is short, lower MAX_BATCH_TOKENS or raise GPU_MEMORY_MB."
                ) from error

    @property
    def provider(self) -> str:
        """The execution provider that the session really runs on."""
        return str(self._session.get_providers()[0])

    @property
    def on_cpu(self) -> bool:
        """Whether the thread that calls `run` does the computing."""
        return self.provider == "CPUExecutionProvider"

    def warm_up(self) -> None:
        """Make the first run, whose result has to be what the task is about, and note its width.

        Raises:
            ModelError: it is not.
        """
        if self.manifest.reference:
            Reference.of(self.manifest.reference).check(self.run, self.manifest.name, self.manifest.precision)
        found = self.run(self.rows([b"Warm up." if self._tokens is None else "Warm up."]))
        if self.manifest.dimensions == 0:
            self.manifest = replace(self.manifest, dimensions=found.shape[1])
        check_outputs(self.manifest.name, self.spec, self.provider, found)
        if self._tokens is not None:
            check_longest(self.manifest.name, self.manifest.max_tokens, self.run)

    def rows(self, inputs: Sequence[str | bytes | Row], cut: Cut = "end") -> list[Row]:
        """Read texts and token ids as `Tokens.rows` does, or the bytes of files."""
        if self._tokens is None:
            return contents.rows(cast("Sequence[bytes]", inputs))
        return self._tokens.rows(cast("Sequence[str | Row]", inputs), cut)

    def pairs(self, query: str, documents: Sequence[str]) -> list[Row]:
        """Tokenize each document behind the query; see `Tokens.pairs`."""
        return cast("Tokens", self._tokens).pairs(query, documents)

    def run(self, rows: Sequence[Row], turn: Turn = nullcontext) -> NDArray[np.float32]:
        """Compute the results of `rows` in one padded batch; a result does not depend on its neighbours.

        `turn` is held while the device computes, and not while its inputs are prepared and its output is read.
        """
        lengths = [len(row) for row in rows]
        shape = self._shape(len(rows), max(lengths))
        options = self._interrupts.options(self._entries)
        if self._bindings is None:
            feeds = self._feeds(rows, shape)
            with turn():
                outputs = self._session.run(None, feeds, options)
            return finished(outputs[0][: len(rows)], lengths, self.spec)
        with self._bindings.of(shape) as buffers:
            self._fill(buffers.inputs, rows)
            buffers.upload()
            with turn():
                buffers.run(options)
            return finished(buffers.result(len(rows)), lengths, self.spec)

    def interrupt(self, thread: int) -> None:
        """Let the run that `thread` waits for end with an error after the kernel that it is in."""
        self._interrupts.end(thread)

    def _feeds(self, rows: Sequence[Row], shape: tuple[int, int]) -> dict[str, NDArray[Any]]:
        if self._tokens is None:
            return {name: np.array(rows, np.int32) for name in self._takes}
        feeds = {name: np.zeros(shape, np.int64) for name in self._takes}
        self._fill(feeds, rows)
        return feeds

    def _fill(self, feeds: Mapping[str, NDArray[np.int64]], rows: Sequence[Row]) -> None:
        """Write `rows` into arrays of zeros."""
        ids, mask = feeds["input_ids"], feeds["attention_mask"]
        mask[len(rows) :, 0] = 1  # rows that fill up the shape are texts of one token, or their mean would be no number
        for index, row in enumerate(rows):
            ids[index, : len(row)] = row
            mask[index, : len(row)] = 1
        if "token_type_ids" in feeds:
            for index, row in enumerate(rows):
                feeds["token_type_ids"][index, cast("Tokens", self._tokens).second(row) : len(row)] = 1

    def embed(self, inputs: Sequence[str | Row]) -> Embedded:
        """Tokenize and compute in one call, on the caller's thread."""
        rows = self.rows(inputs)
        lengths = [len(row) for row in rows]
        vectors = np.empty((len(rows), self.manifest.dimensions), np.float32)
        for indexes in slices(lengths):
            vectors[indexes] = self.run([rows[index] for index in indexes])
        return Embedded(vectors, lengths)

    def _shape(self, rows: int, longest: int) -> tuple[int, int]:
        """Give the shape of a run; positions end where the model's do."""
        if self._choose is shapes.exact:
            return rows, longest
        count, length = self._choose(rows, longest)
        return count, max(longest, min(length, self.manifest.max_tokens))

    @cached_property
    def _choose(self) -> Callable[[int, int], tuple[int, int]]:
        return shapes.rounded if self.provider == CUDA else shapes.exact

    @cached_property
    def _takes(self) -> frozenset[str]:
        return frozenset(one.name for one in self._session.get_inputs())


def _tokens(prepared: Prepared) -> Tokens | None:
    manifest, spec = prepared.manifest, prepared.spec
    if spec.reads != "text":
        return None
    literal = spec.task != "embedding"  # as sentence-transformers does, an embedding's text may hold special tokens
    path = prepared.directory / TOKENIZER
    return Tokens.open(path, limit=manifest.max_tokens, vocabulary=manifest.vocabulary, literal=literal)
