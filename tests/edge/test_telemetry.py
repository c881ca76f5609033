"""The line of a request: a log event and a metric in CloudWatch's embedded format, with nothing private in it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.core.usage import Usage
from shared.edge.telemetry import Event, Telemetry


def emitted(event: Event) -> dict[str, Any]:
    """The one line that is written for `event`."""
    lines: list[bytes] = []
    Telemetry("prod", lines.append).emit(event)
    [line] = lines
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    found: dict[str, Any] = json.loads(line)
    return found


def settled() -> Event:
    """A request that went well."""
    event = Event("r-1", key_id="acme-abcdefghijkl", model="gpt-4o", provider="openai", outcome="ok", settled=True)
    event.usage = Usage(prompt=9, completion=2)
    event.mark_first_chunk()
    return event


def test_every_metric_it_names_has_a_value_and_every_dimension_too() -> None:
    """CloudWatch drops the whole line otherwise."""
    for event in (settled(), Event("r-2")):
        line = emitted(event)
        assert line["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["stage", "provider", "model", "outcome"]]
        for directive in line["_aws"]["CloudWatchMetrics"]:
            assert directive["Namespace"] == "AINexus"
            assert all(isinstance(line[metric["Name"]], int | float) for metric in directive["Metrics"])
            assert all(line[name] and isinstance(line[name], str) for name in directive["Dimensions"][0])
        assert line["_aws"]["Timestamp"] > 1_700_000_000_000


def test_times_are_measured_over_all_models_too() -> None:
    """Percentiles cannot be added up. What asks no provider (health, a refusal) does not make them look better."""
    [_, over_all] = emitted(settled())["_aws"]["CloudWatchMetrics"]
    assert over_all["Dimensions"] == [["stage"]]
    assert {metric["Name"] for metric in over_all["Metrics"]} == {"Latency", "TimeToFirstChunk", "Overhead"}
    without_provider, without_answer = settled(), settled()
    without_provider.provider, without_answer.first_chunk = "", None
    for event in (Event("r-2"), without_provider, without_answer):
        assert len(emitted(event)["_aws"]["CloudWatchMetrics"]) == 1


def test_a_settled_request_counts_its_tokens() -> None:
    """A request that never got that far has no tokens to average into the others'."""
    line = emitted(settled())
    assert (line["Requests"], line["PromptTokens"], line["CompletionTokens"]) == (1, 9, 2)
    assert {"PromptTokens", "CompletionTokens", "TimeToFirstChunk"}.isdisjoint(emitted(Event("r-2")))


def test_overhead_is_what_was_not_spent_waiting() -> None:
    """Time until the first chunk, less the time the provider took for it."""
    event = settled()
    event.first_chunk, event.upstream = 0.5, 0.42

    assert emitted(event)["Overhead"] == pytest.approx(80)
    assert emitted(event)["TimeToFirstChunk"] == 500


def test_the_key_is_hashed() -> None:
    """One can follow a key through the lines without learning which it is."""
    line = emitted(settled())
    assert line["key"] == emitted(settled())["key"] != "none"
    assert "acme" not in json.dumps(line)


def test_what_was_not_settled_is_an_error() -> None:
    """Somebody must book it later, and finds here how much."""
    event = settled()
    event.settled = False

    line = emitted(event)

    assert line["level"] == "ERROR"
    assert line["PromptTokens"] == 9


@pytest.mark.parametrize("text", ['"}\n{"event":"forged"}', "\x1b[31m", "\u2028", "a" * 10_000])
def test_nobody_writes_a_second_line(text: str) -> None:
    """Whatever a name holds, it stays one JSON object on one line."""
    event = settled()
    event.model = text

    assert emitted(event)["model"] == text


def test_a_fault_names_its_place_and_not_its_words() -> None:
    """The message of an unforeseen error may quote a prompt."""
    lines: list[bytes] = []
    try:
        raise ValueError("the prompt was: secret")  # noqa: TRY301 - it is the error that counts
    except ValueError as error:
        Telemetry("prod", lines.append).fault(error, "r-1")

    assert b"secret" not in lines[0]
    fault = json.loads(lines[0])
    assert (fault["error"], fault["request_id"]) == ("ValueError", "r-1")
    assert fault["frames"][0].startswith("test_telemetry.py:")


def test_without_an_outlet_it_goes_to_standard_output(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """At once: Lambda freezes the process after the answer."""
    Telemetry("prod").emit(settled())

    assert json.loads(capfdbinary.readouterr().out)["request_id"] == "r-1"
