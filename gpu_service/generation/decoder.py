"""A decoder graph with slots for keys and values, as the model builder of onnxruntime-genai writes it.

GroupQueryAttention writes keys and values in place: the same memory is bound as past and as present, and a row's number
of tokens comes from its attention mask. Nothing is copied but the row of a sequence that changes its slot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnxruntime

from gpu_service.generation.folder import template, told
from gpu_service.generation.loop import Generator
from gpu_service.model import TOKENIZER, ModelError
from gpu_service.session import Interrupts, open_session
from gpu_service.tokens import tokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    from gpu_service.generation.folder import Told
    from gpu_service.generation.template import Template
    from gpu_service.prepare import Prepared
    from gpu_service.runs import Runs
    from gpu_service.settings import Device
    from gpu_service.telemetry import Telemetry

_PAST: Final = "past_key_values."
_PRESENT: Final = "present."
_TYPES: Final = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
_REMEDY: Final = "export it with `python -m onnxruntime_genai.models.builder -e cpu`"


class Decoder:
    """One generating model. One thread at a time may run it; the tokenizer may be shared."""

    def __init__(self, session: Any, tokenizer: Tokenizer, prepared: Prepared, template: Template | None) -> None:  # noqa: ANN401 - onnxruntime publishes no types
        self._session = session
        self._interrupts = Interrupts()
        self.tokenizer = tokenizer
        self.manifest, self.spec = prepared.manifest, prepared.spec
        self.template = template
        self.context = self.spec.max_tokens
        known = told(prepared.directory)
        self.ends = frozenset(self.spec.eos or known.ends)
        self._states = self._room(known)
        self._views: dict[tuple[int, int], dict[str, Any]] = {}

    @classmethod
    def of(cls, prepared: Prepared, *, threads: int = 1, device: Device = "auto") -> Decoder:
        """Load what was prepared and run it once.

        Raises:
            ModelError: it is missing, or no such graph, or CUDA was asked for.
        """
        directory, spec = prepared.directory, prepared.spec
        if device == "cuda":
            raise ModelError(
                f"The model {prepared.manifest.name} generates on the CPU alone: set DEVICE=cpu, or engine = "
                '"genai" in models.toml for a graph with paged attention, or serve it by an OpenAI-compatible server '
                "and name that as a provider in the gateway's catalog."
            )
        session = open_session(directory / str(spec.graph), threads=threads, device="cpu")
        found = cls(session, tokenizer(directory / TOKENIZER), prepared, template(directory))
        found.warm_up()
        return found

    @property
    def provider(self) -> str:
        """The execution provider that the session runs on."""
        return str(self._session.get_providers()[0])

    def generator(self, *, places: int, telemetry: Telemetry, runs: Runs) -> Generator:
        """Make what answers requests with it."""
        return Generator(self, places=places, telemetry=telemetry, runs=runs)

    def warm_up(self) -> None:
        """Read a token and continue it, in place.

        Raises:
            ModelError: the graph does not do that.
        """
        try:
            found = [self.read(0, [0], 0), self.proceed([0], [1])[0]]
        except Exception as error:
            reason = str(error).splitlines()[0]
            raise ModelError(
                f"The model {self.manifest.name} does not run on its slots ({reason}): {_REMEDY}."
            ) from error
        if not all(np.isfinite(logits).all() for logits in found):
            raise ModelError(f"The model {self.manifest.name} gives no numbers: {_REMEDY} again.")

    def read(self, slot: int, ids: Sequence[int], held: int) -> NDArray[np.floating]:
        """Read a part of a prompt into `slot`, which holds `held` tokens; returns the logits behind its last token."""
        mask = np.ones((1, held + len(ids)), np.int64)
        logits: NDArray[np.floating] = self._run(np.array([ids], np.int64), mask, slot, slot + 1)[0]
        return logits

    def proceed(self, tokens: Sequence[int], held: Sequence[int]) -> NDArray[np.floating]:
        """Put one token behind the `held` ones of each of the first slots; returns logits [slots, vocabulary]."""
        mask = (np.arange(max(held) + 1) <= np.asarray(held)[:, None]).astype(np.int64)
        return self._run(np.array(tokens, np.int64)[:, None], mask, 0, len(tokens))

    def move(self, source: int, target: int) -> None:
        """Copy what a slot holds into another one."""
        for states in self._states.values():
            states[target] = states[source]

    def interrupt(self, thread: int) -> None:
        """Let the run that `thread` waits for end with an error after the kernel that it is in."""
        self._interrupts.end(thread)

    def _run(self, ids: NDArray[np.int64], mask: NDArray[np.int64], first: int, behind: int) -> NDArray[np.floating]:
        binding = self._session.io_binding()
        binding.bind_output("logits")
        binding.bind_cpu_input("input_ids", ids)
        binding.bind_cpu_input("attention_mask", mask)
        for name, view in self._bound(first, behind).items():
            binding.bind_ortvalue_input(_PAST + name, view)
            binding.bind_ortvalue_output(_PRESENT + name, view)
        self._session.run_with_iobinding(binding, self._interrupts.options())
        logits: NDArray[np.floating] = binding.get_outputs()[0].numpy()[:, -1]
        return logits

    def _bound(self, first: int, behind: int) -> dict[str, Any]:
        """Give the slots as ONNX Runtime sees them: views of our memory, made once for each range."""
        if (first, behind) not in self._views:
            make = onnxruntime.OrtValue.ortvalue_from_numpy
            self._views[first, behind] = {name: make(states[first:behind]) for name, states in self._states.items()}
        return self._views[first, behind]

    def _room(self, told: Told) -> dict[str, NDArray[Any]]:
        """Make room for `slots` sequences of `max_tokens` tokens in every layer.

        Raises:
            ModelError: the graph has no such inputs, or has fewer positions.
        """
        if self.context > (most := told.context or self.context):
            raise ModelError(f"The model {self.manifest.name} has {most} positions: lower 'max_tokens' in models.toml.")
        found = {}
        for one in self._session.get_inputs():
            if one.name.startswith(_PAST):
                _, heads, _, size = one.shape
                if not isinstance(size, int):  # the builder leaves it open, for caches of bytes
                    size = told.head
                shape = (self.spec.slots, heads, self.context, size)
                found[one.name.removeprefix(_PAST)] = np.zeros(shape, _TYPES[one.type])
        names = {one.name for one in self._session.get_inputs()} - {_PAST + name for name in found}
        if not found or names != {"input_ids", "attention_mask"}:
            raise ModelError(
                f"The graph of {self.manifest.name} takes {', '.join(sorted(names))} and {len(found)} states, where "
                f"input_ids, attention_mask and {_PAST}N.key and .value are needed: {_REMEDY}."
            )
        return found
