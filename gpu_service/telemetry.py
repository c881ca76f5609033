"""What the service counts, of all its models: never a text, a token or a caller."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_service import memory, metrics
from gpu_service.metrics import POWERS, SHARES, Gauge, Histogram, Metric

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence


class Telemetry:
    """The metrics of one process; the models' own states are read when somebody asks."""

    def __init__(self) -> None:
        self._requests = Metric("gpu_service_requests_total", "Requests by path and status.", "path", "status")
        self._seconds = Histogram("gpu_service_request_seconds", "Time until the answer was sent.", "path")
        self._asked = Metric("gpu_service_rows_total", "Rows that were asked for.", "path")
        self._remembered = Metric("gpu_service_cached_rows_total", "Those that were not computed again.", "path")
        self._phases = Histogram("gpu_service_phase_seconds", "Time of a request by phase.", "path", "phase")
        self._rows = Histogram("gpu_service_batch_rows", "Rows of a run.", "model", bounds=POWERS)
        self._tokens = Histogram(
            "gpu_service_batch_tokens", "Tokens of a run, padding left out.", "model", bounds=POWERS
        )
        self._efficiency = Histogram(
            "gpu_service_batch_padding_efficiency",
            "Share of a run's tokens that is no padding.",
            "model",
            bounds=SHARES,
        )
        self._runs = Histogram("gpu_service_batch_seconds", "Time of a run on the device.", "model")
        self._written = Metric("gpu_service_generated_tokens_total", "Tokens that were generated.", "model")
        self._first = Histogram("gpu_service_first_token_seconds", "Time until an answer's first token.", "model")
        self._others: list[Metric] = []
        gpus, which = memory.Gpus(), ("gpu", "name")
        used, total = "gpu_service_device_memory_used_bytes", "gpu_service_device_memory_total_bytes"
        self._gauges: list[Gauge] = [
            Gauge("process_resident_memory_bytes", "Memory that the process has.", read=memory.resident),
            Gauge("process_max_resident_memory_bytes", "Most memory that the process has had.", read=memory.most),
            Gauge(used, "Memory of a GPU that is in use, by anybody.", *which, read=gpus.used),
            Gauge(total, "Memory of a GPU.", *which, read=gpus.total),
        ]

    def gauge(self, name: str, told: str, *labels: str, read: Callable[[], Mapping[tuple[str, ...], float]]) -> None:
        """Have `read` asked whenever somebody asks for the metrics."""
        self._gauges.append(Gauge(name, told, *labels, read=read))

    def show(self, listed: Iterable[Metric]) -> None:
        """Tell of these too; others count in them."""
        self._others += listed

    def answered(
        self, path: str, status: int, seconds: float, phases: Mapping[str, float], facts: Mapping[str, float]
    ) -> None:
        """Take note of an answer; `facts` are what the log has of it too."""
        self._requests.add(path, str(status))
        for fact, metric in (("rows", self._asked), ("cached", self._remembered)):
            if fact in facts:
                metric.add(path, by=facts[fact])
        self._seconds.see(seconds, path)
        for phase, took in phases.items():
            self._phases.see(took, path, phase)

    def ran(self, model: str, lengths: Sequence[int], seconds: float) -> None:
        """Take note of a run of rows that have so many tokens each."""
        tokens = sum(lengths)
        self._rows.see(len(lengths), model)
        self._tokens.see(tokens, model)
        self._efficiency.see(tokens / (len(lengths) * max(lengths)), model)
        self._runs.see(seconds, model)

    def wrote(self, model: str, tokens: int, firsts: Sequence[float]) -> None:
        """Take note of a step of generation: its tokens, and the seconds that first ones among them took."""
        self._written.add(model, by=tokens)
        for seconds in firsts:
            self._first.see(seconds, model)

    def render(self) -> bytes:
        """Write what there is as Prometheus reads it."""
        requests = [self._requests, self._seconds, self._phases, self._asked, self._remembered]
        runs = [self._rows, self._tokens, self._efficiency, self._runs]
        return metrics.render([*requests, *runs, self._written, self._first, *self._gauges, *self._others])
