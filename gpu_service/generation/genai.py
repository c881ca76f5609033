"""A model that onnxruntime-genai runs, in the place of our own decoder: on CUDA it shares runs among all answers.

Its graphs with paged attention, for CUDA alone, let requests join a running batch. Any other graph it runs in batches
that who comes later waits for, and without seeds of one's own: the decoder here does better on a CPU.
"""

from __future__ import annotations

import importlib
import json
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from gpu_service.generation.folder import template, told
from gpu_service.generation.turns import Turns
from gpu_service.model import TOKENIZER, ModelError
from gpu_service.tokens import tokenizer
from shared.core.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gpu_service.generation.jobs import Wish
    from gpu_service.prepare import Prepared
    from gpu_service.runs import Runs
    from gpu_service.settings import Device
    from gpu_service.telemetry import Telemetry

_PACKAGE: Final = "onnxruntime_genai"
_PROVIDERS: Final = {"CUDA": "CUDAExecutionProvider", "CPU": "CPUExecutionProvider"}
_SEEDS: Final = 2**63


class Genai:
    """One model; an engine on it belongs to the thread that made it. The tokenizer may be shared."""

    def __init__(self, library: Any, model: Any, prepared: Prepared) -> None:  # noqa: ANN401 - the package publishes no types
        self._library = library
        self._model = model
        self.tokenizer = tokenizer(prepared.directory / TOKENIZER)
        self.manifest, self.spec = prepared.manifest, prepared.spec
        self.template = template(prepared.directory)
        self.context = self.spec.max_tokens
        self.ends = frozenset(self.spec.eos or told(prepared.directory).ends)
        self._has_seeds = False

    @classmethod
    def of(cls, prepared: Prepared, *, threads: int = 1, device: Device = "auto") -> Genai:
        """Load what was prepared and run it once.

        Raises:
            ModelError: the package is missing, or the model is none for it, or does not run on this device.
        """
        name = prepared.manifest.name
        library = _library(name)
        try:
            config = library.Config(str(prepared.directory))
            config.overlay(json.dumps(_overlay(prepared, threads)))
            if device != "auto":
                config.clear_providers()
            if device == "cuda":
                config.append_provider("cuda")
            found = cls(library, library.Model(config), prepared)
            found.warm_up()
        except Exception as error:
            reason = str(error).splitlines()[0].rstrip(".")
            raise ModelError(
                f"onnxruntime-genai {library.__version__} cannot run {name} with DEVICE={device} ({reason}): "
                f"{_remedy(device)}"
            ) from error
        return found

    @property
    def provider(self) -> str:
        """The execution provider that it runs on."""
        kind = str(self._model.device_type)
        return _PROVIDERS.get(kind, kind)

    def warm_up(self) -> None:
        """Generate a token, and note what the engine can do.

        Raises:
            RuntimeError: that fails.
        """
        engine = self.engine()
        self._has_seeds = engine.get_capabilities().max_scheduled_tokens > 0  # as those with paged attention have
        request, _ = self.begin(engine, [0], limit=1, temperature=0)
        events = engine.create_event_buffer(1)
        try:
            while engine.has_pending_requests():
                for event in engine.run(events):
                    if event.finish_reason == self._library.FinishReason.FAILED:
                        raise RuntimeError(f"the first token failed with {event.error_code.name}")
        finally:
            request.close()

    def engine(self) -> Any:  # noqa: ANN401 - as above
        """Make an engine for this thread."""
        return self._library.Engine(self._model)

    def check(self, wish: Wish) -> None:
        """Refuse what the engine would not do.

        Raises:
            BadRequest: a seed, of an engine that has one for all.
        """
        if wish.seed is not None and wish.temperature and not self._has_seeds:
            raise BadRequest(
                f"The model '{self.manifest.name}' takes no 'seed' here: its engine has one for all of a batch. "
                "Leave it out, or ask for temperature 0.",
                param="seed",
            )

    def begin(
        self,
        engine: Any,  # noqa: ANN401 - as above
        prompt: Sequence[int],
        *,
        limit: int,
        temperature: float,
        top_p: float = 1.0,
        seed: int | None = None,
    ) -> tuple[Any, int]:
        """Begin to answer: gives the engine's request, and the number of its turn."""
        request = engine.create_request()
        options = self._library.TurnOptions(request)
        options.set_max_generated_tokens(limit)
        options.set_do_sample(temperature > 0)
        if temperature:
            options.set_temperature(temperature)
            options.set_top_p(top_p)
            options.set_top_k(0)
            if seed is not None:
                options.set_seed(seed % _SEEDS)
        try:
            return request, request.begin_turn(np.array(prompt, np.int32), options)
        except BaseException:
            request.close()
            raise

    def interrupt(self, thread: int) -> None:
        """There is no way: a run that does not end is left to the watchdog."""

    def generator(self, *, places: int, telemetry: Telemetry, runs: Runs) -> Turns:
        """Make what answers requests with it."""
        return Turns(self, places=places, telemetry=telemetry, runs=runs)


def _library(name: str) -> Any:  # noqa: ANN401 - as above
    try:
        return importlib.import_module(_PACKAGE)
    except ImportError as error:
        raise ModelError(
            f'The model {name} has engine = "genai", which needs onnxruntime-genai ({error}): install it '
            "(onnxruntime-genai-cuda for CUDA 13), or remove 'engine'."
        ) from error


def _overlay(prepared: Prepared, threads: int) -> Mapping[str, Any]:
    """What models.toml and the environment say goes before what genai_config.json does."""
    spec = prepared.spec
    model: dict[str, Any] = {"decoder": {"session_options": {"intra_op_num_threads": threads}}}
    if spec.eos:
        model["eos_token_id"] = spec.eos
    kind = "dynamic_batching" if told(prepared.directory).is_dynamic else "static_batching"
    return {"model": model, "search": {"max_length": spec.max_tokens}, "engine": {kind: {"max_batch_size": spec.slots}}}


def _remedy(device: Device) -> str:
    if device == "cuda":
        return (
            "it needs onnxruntime-genai-cuda, onnxruntime-gpu[cuda,cudnn] for CUDA 13 and driver 580 or newer; "
            "or set DEVICE=cpu."
        )
    return "export it again with `python -m onnxruntime_genai.models.builder`, or remove 'engine' from models.toml."
