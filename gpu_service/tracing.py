"""OpenTelemetry spans of answered requests, where the standard variables name a collector; else none of it is loaded.

A request has one span of the server's, which continues the caller's trace, and one below it for each of its phases.
They are made once the answer has left, from times that are taken anyway, and a thread of the library's sends them: what
becomes of them touches no request. They hold sizes, times and the model; no text, no token, no caller.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from gpu_service.log import event
from shared.edge.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpu_service.asgi import Exchange

PHASES: Final = ("tokenize", "queue", "inference")  # in the order of time, each beginning where the last one ends
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_METHODS: Final = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
_FAREWELL: Final = 1.5  # seconds for what was not sent yet: with those of draining less than Cloud Run gives
_SELDOM: Final = 60.0  # seconds between two lines of the log on what went wrong
_SERVER_ERROR: Final = 500


def wanted(environment: Mapping[str, str]) -> bool:
    """Tell whether the variables of OpenTelemetry's specification ask for spans.

    Raises:
        SettingsError: they ask for a protocol that is not spoken.
    """
    off = environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if off or environment.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp" or not any(map(environment.get, _ENDPOINTS)):
        return False
    protocol = next(filter(None, map(environment.get, _PROTOCOLS)), "http/protobuf")
    if protocol != "http/protobuf":
        raise SettingsError(f"{_PROTOCOLS[1]}={protocol} is not spoken: spans go over http/protobuf, to port 4318.")
    return True


class Tracing:
    """Sends spans to a collector."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Begin.

        Raises:
            SettingsError: the packages are not installed, or the variables are wrong.
        """
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - dear
            from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - as above
            from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - as above
            from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - as above
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise SettingsError(
                f"{_ENDPOINTS[0]} is set, and OpenTelemetry is not installed: run "
                "`pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http`, or take the variable away."
            ) from error
        _listen()
        named = environment.get("OTEL_SERVICE_NAME") or "service.name=" in environment.get(
            "OTEL_RESOURCE_ATTRIBUTES", ""
        )
        resource = Resource.create({} if named else {"service.name": "gpu_service"})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("gpu_service")
        self._continued = TraceContextTextMapPropagator()
        atexit.register(self.close)  # functions-framework tells nobody of the end

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Tracing | None:
        """Give what the variables ask for; None if they ask for nothing.

        Raises:
            SettingsError: as `__init__` and `wanted`.
        """
        return cls(environment) if wanted(environment) else None

    def answered(self, exchange: Exchange, route: str, status: int) -> None:
        """Tell of a request whose answer has left; `route` is its path, or `other`."""
        from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context  # noqa: PLC0415 - loaded before

        carried = {name: exchange.header(name.encode()).decode("latin-1") for name in ("traceparent", "tracestate")}
        now, clock = time.time_ns(), time.perf_counter()

        def at(moment: float) -> int:
            return now - int((clock - moment) * 1e9)

        method = exchange.method if exchange.method in _METHODS else "_OTHER"
        span = self._tracer.start_span(
            method if route == "other" else f"{method} {route}",
            context=self._continued.extract({name: value for name, value in carried.items() if value}),
            kind=SpanKind.SERVER,
            attributes=_http(exchange, route, method, status),
            start_time=at(exchange.began),
        )
        if status >= _SERVER_ERROR:
            span.set_status(Status(StatusCode.ERROR))
        inside = set_span_in_context(span)
        for name, (begun, ended) in _phases(exchange).items():
            attributes = _generative(exchange) if name == "inference" else None
            child = self._tracer.start_span(name, context=inside, attributes=attributes, start_time=at(begun))
            child.end(at(ended))
        span.end(now)

    def close(self) -> None:
        """Send what was not sent yet, if that is soon done."""
        atexit.unregister(self.close)
        ending = threading.Thread(target=self._provider.shutdown, name="tracing-end", daemon=True)
        ending.start()
        ending.join(_FAREWELL)


def _http(exchange: Exchange, route: str, method: str, status: int) -> dict[str, Any]:
    """Give the attributes of HTTP's semantic conventions, and the id that the logs have."""
    found: dict[str, Any] = {
        "http.request.method": method,
        "http.response.status_code": status,
        "url.scheme": "http",
        "http.request.header.x-request-id": [exchange.request_id],
    }
    if route != "other":  # what strangers ask for besides is theirs, and no two are alike
        found |= {"url.path": route, "http.route": route}
    if status >= _SERVER_ERROR:
        found["error.type"] = str(status)
    return found


def _generative(exchange: Exchange) -> dict[str, Any]:
    """Give the attributes of the semantic conventions for generative AI."""
    work = exchange.work
    if work is None:
        return {}
    found: dict[str, Any] = {
        "gen_ai.operation.name": work.operation,
        "gen_ai.provider.name": "gpu_service",
        "gen_ai.request.model": work.model,
        "gen_ai.response.model": work.model,
        "gen_ai.usage.input_tokens": work.read,
    }
    found |= {"gen_ai.usage.output_tokens": work.written} if work.written else {}
    return found | {f"gpu_service.{name}": int(exchange.facts[name]) for name in ("rows", "cached") if exchange.facts}


def _phases(exchange: Exchange) -> dict[str, tuple[float, float]]:
    """Give when each phase began and ended."""
    if exchange.work is None:
        return {}
    moment = exchange.work.began
    found: dict[str, tuple[float, float]] = {}
    for name in PHASES:
        if name in exchange.phases:
            found[name] = moment, moment + exchange.phases[name]
            moment = found[name][1]
    return found


class _Seldom(logging.Handler):
    """Tells the log what went wrong, once a minute at most."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._told = float("-inf")

    def emit(self, record: logging.LogRecord) -> None:
        """Tell."""
        if time.monotonic() - self._told >= _SELDOM:
            self._told = time.monotonic()
            event("tracing_lost", reason=record.getMessage())


def _listen() -> None:
    logger = logging.getLogger("opentelemetry")
    logger.handlers, logger.propagate = [_Seldom()], False
