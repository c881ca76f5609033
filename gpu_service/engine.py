"""A loaded model: rows of token ids in, one finished row of numbers per input out. It knows nothing of HTTP."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from gpu_service import specs
from gpu_service.heads import finished
from gpu_service.model import GRAPH, TOKENIZER, Manifest, ModelError
from gpu_service.prepare import Prepared
from gpu_service.reference import Reference
from gpu_service.session import open_session
from gpu_service.slices import slices
from gpu_service.tokens import Row, Tokens

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from gpu_service.settings import Device
    from gpu_service.specs import Spec


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

    def __init__(self, session: Any, tokens: Tokens, manifest: Manifest, spec: Spec | None = None) -> None:  # noqa: ANN401 - it has no type
        self._session = session
        self._tokens = tokens
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
    def of(cls, prepared: Prepared, *, threads: int = 1, device: Device = "auto") -> Engine:
        """Load what was prepared and run it once.

        Raises:
            ModelError: as `open`.
        """
        directory, manifest, spec = prepared.directory, prepared.manifest, prepared.spec
        with ThreadPoolExecutor(1) as digests:
            verified = digests.submit(manifest.verify, directory)  # beside the loading, on another core
            try:
                session = open_session(directory / (spec.graph or GRAPH), threads=threads, device=device)
            finally:
                verified.result()  # says more than ONNX Runtime does about a broken file
        tokens = Tokens.open(directory / TOKENIZER, limit=manifest.max_tokens, vocabulary=manifest.vocabulary)
        engine = cls(session, tokens, manifest, spec)
        engine.warm_up()
        return engine

    @property
    def provider(self) -> str:
        """The execution provider that the session really runs on."""
        return str(self._session.get_providers()[0])

    def warm_up(self) -> None:
        """Make the first run, whose result has to be what the task is about, and note its width.

        Raises:
            ModelError: it is not.
        """
        if self.manifest.reference:
            Reference.of(self.manifest.reference).check(self.run, self.manifest.name, self.manifest.precision)
        found = self.run(self.rows(["Warm up."]))
        if self.manifest.dimensions == 0:
            self.manifest = replace(self.manifest, dimensions=found.shape[1])
        length = float(np.linalg.norm(found))
        if self.spec.normalize and not abs(length - 1) < 1e-3:  # noqa: PLR2004 - float32 and float16 stay well below
            raise ModelError(
                f"The model {self.manifest.name} gives no unit vectors on {self.provider}: build it again."
            )

    def rows(self, inputs: Sequence[str | Row]) -> list[Row]:
        """Tokenize; see `Tokens.rows`."""
        return self._tokens.rows(inputs)

    def run(self, rows: Sequence[Row]) -> NDArray[np.float32]:
        """Compute the results of `rows` in one padded batch; a result does not depend on its neighbours."""
        lengths = [len(row) for row in rows]
        shape = (len(rows), max(lengths))
        ids, mask = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = row
            mask[index, : len(row)] = 1
        feeds = {"input_ids": ids, "attention_mask": mask}
        if "token_type_ids" in self._takes:
            feeds["token_type_ids"] = np.zeros(shape, np.int64)
        return finished(self._session.run(None, feeds)[0], lengths, self.spec)

    def embed(self, inputs: Sequence[str | Row]) -> Embedded:
        """Tokenize and compute in one call, on the caller's thread."""
        rows = self.rows(inputs)
        lengths = [len(row) for row in rows]
        vectors = np.empty((len(rows), self.manifest.dimensions), np.float32)
        for indexes in slices(lengths):
            vectors[indexes] = self.run([rows[index] for index in indexes])
        return Embedded(vectors, lengths)

    @cached_property
    def _takes(self) -> frozenset[str]:
        return frozenset(one.name for one in self._session.get_inputs())
