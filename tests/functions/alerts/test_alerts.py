"""Alerts reach those who want them, once, whatever becomes of other receivers."""

from __future__ import annotations

import base64
import gzip
import hmac
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdk.local.subscriptions import event
from functions import alerts, thresholds
from functions.webhooks import UndeliveredError
from shared.core import events
from shared.edge.telemetry import Telemetry

if TYPE_CHECKING:
    from tests.fakes.receiver import Receiver
    from tests.functions.alerts.conftest import Office

NANO = 10**9
OPENED = events.breaker("acme", "openai:gpt-5", "open", failures=5, rest_seconds=60)


def spent(percent: int, org: str = "default", scope: str = "team:blue", **more: Any) -> dict[str, Any]:
    """What the books say when so much of a monthly budget of 100 dollars is spent."""
    line = thresholds._event(scope, "m:2026-11", 100 * NANO, percent * NANO)
    return {**line, "org": org, "threshold": percent, **more}


def heard(receiver: Receiver) -> list[str]:
    """The texts that a receiver got."""
    return [json.loads(message.body)["text"] for message in receiver.messages]


def test_operators_hear_of_their_own_budget_at_80_percent(office: Office) -> None:
    """Without anybody having set anything up: in words, with the amounts and when it resets; not of 50 %."""
    office.tell(spent(50))
    assert office.topic() == []
    office.tell(spent(80))
    words = "80 % of the monthly budget of team:blue is spent: 80.00 of 100.00 US dollars."
    assert office.topic() == [("AI-Nexus test: budget", f"AI-Nexus test: {words} It resets at 2026-12-01 00:00 UTC.")]


def test_an_organization_gets_one_signed_message(office: Office, receiver: Receiver) -> None:
    """At its webhook, with fields for programs and a signature that its secret makes; operators hear nothing of it."""
    office.wants("acme", webhook=receiver.url, secret="nxa_1")
    office.tell(spent(80, "acme"))
    [message] = receiver.messages
    body = json.loads(message.body)
    assert body["text"].startswith("AI-Nexus test: 80 % of the monthly budget of team:blue is spent")
    alert = body["alert"]
    assert {name: alert[name] for name in ("type", "organization", "scope", "threshold", "limit_usd", "spent_usd")} == {
        "type": "budget.v1", "organization": "acme", "scope": "team:blue", "threshold": 80,
        "limit_usd": "100.00", "spent_usd": "80.00",
    }  # fmt: skip
    signed = hmac.new(b"nxa_1", f"{office.now}.".encode() + message.body, "sha256").hexdigest()
    assert message.headers["x-nexus-signature"] == f"t={office.now},v1={signed}"
    assert message.headers["x-nexus-alert"] == alert["id"]
    assert office.topic() == []


def test_the_same_is_told_once(office: Office, receiver: Receiver) -> None:
    """However often Logs and Lambda repeat it, in one batch or in several; another month is something else."""
    office.wants("default", webhook=receiver.url, secret="s")
    for _ in range(3):
        office.tell(spent(80), spent(80))
    assert (len(heard(receiver)), len(office.topic())) == (1, 1)
    office.tell(spent(80, period="m:2026-12"))
    assert (len(heard(receiver)), len(office.topic())) == (2, 1)


def test_of_several_thresholds_at_once_the_highest_is_told(office: Office) -> None:
    """One large request may pass all of them; nobody needs to hear of each."""
    office.tell(spent(50), spent(80), spent(100), spent(80, scope="team:red"))
    assert [text.partition(" is ")[0] for _, text in office.topic()] == [
        "AI-Nexus test: 100 % of the monthly budget of team:blue",
        "AI-Nexus test: 80 % of the monthly budget of team:red",
    ]


def test_an_organization_chooses_its_threshold_and_what_it_hears(office: Office, receiver: Receiver) -> None:
    """50 % is told to who wants it, and nothing of budgets to who wants only security."""
    lost = {"level": "ERROR", "event": events.SECURITY, "reason": "store_lost", "org": "acme", "closed_at": 1}
    office.wants("acme", webhook=receiver.url, secret="s", threshold=50)
    office.tell(spent(50, "acme"))
    assert len(receiver.messages) == 1
    office.wants("acme", webhook=receiver.url, secret="s", events=["security"])
    office.tell(spent(100, "acme"), lost)
    assert len(receiver.messages) == 2
    assert "store" in heard(receiver)[1]


def test_no_organization_hears_of_another(office: Office, receiver: Receiver, another: Receiver) -> None:
    """Nor of what the deployment goes through, whatever its record says that it wants."""
    everything = ["budget", "security", "breaker", "fault", "organizations"]
    office.wants("acme", webhook=receiver.url, secret="s", events=everything, threshold=50)
    office.wants("umbrella", webhook=another.url, secret="s", events=everything, threshold=50)
    fault = {"event": events.FAULT, "error": "KeyError", "frames": ["plane.py:1 settle"], "request_id": "r"}
    broken = {"event": events.SECURITY, "reason": "broken_line", "org": "umbrella", "why": "a canary"}
    office.tell(spent(80, "acme"), OPENED, fault, broken, spent(80, "default", "org:default"))
    assert len(receiver.messages) == 1
    assert another.messages == []


def test_operators_hear_what_the_deployment_goes_through(office: Office) -> None:
    """A breaker, a fault, a safeguard: each once an hour, and no organization's name among it."""
    faults: list[bytes] = []
    try:
        raise KeyError("a prompt")  # noqa: TRY301 - the message must go nowhere
    except KeyError as error:
        Telemetry("test", faults.append).fault(error, "r-1")
    other = {**OPENED, "org": "umbrella"}
    broken = {"event": events.SECURITY, "reason": "broken_line", "org": "acme", "why": "a prompt"}
    for _ in range(2):
        office.tell(OPENED, other, faults[0].decode(), broken, events.breaker("acme", "openai:gpt-5", "closed"))
    told = office.topic()
    assert sorted(subject for subject, _ in told) == [
        f"AI-Nexus test: {kind}" for kind in ("breaker", "fault", "security")
    ]
    text = "\n".join(text for _, text in told)
    assert "openai:gpt-5 failed 5 times in a row and rests for 60 s" in text
    assert "KeyError, at test_alerts.py" in text
    assert not [word for word in ("acme", "umbrella", "prompt") if word in text]
    office.now += 3601
    office.tell(OPENED)
    assert len(office.topic()) == 1


def test_operators_hear_of_other_organizations_if_they_want_to(office: Office) -> None:
    """Of the whole organization's budget, that is, and not of what it gives its teams and people."""
    office.tell(spent(80, "acme", "org:acme"))
    assert office.topic() == []
    office.wants("default", events=["organizations"])
    office.tell(spent(80, "acme"), spent(100, "acme", "org:acme"), OPENED)
    [(subject, text)] = office.topic()
    assert subject == "AI-Nexus test: organizations"
    assert "100 % of the monthly budget of org:acme" in text


def test_operators_hear_of_their_own_organization_in_one_way(office: Office) -> None:
    """As its members, and not once more as operators."""
    office.wants("default", events=["budget", "security", "organizations"])
    office.tell(spent(80, scope="org:default"), {"event": events.SECURITY, "reason": "store_lost", "org": "default"})
    assert [subject.rpartition(" ")[2] for subject, _ in office.topic()] == ["budget", "security"]


@pytest.mark.parametrize("fault", ["hangs", "refuses", "redirects", "fails"])
def test_one_receivers_failure_is_nobody_elses(
    office: Office, receiver: Receiver, another: Receiver, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is written down, fails the invocation, and is tried again when that is repeated; others are told once."""
    monkeypatch.setattr("functions.webhooks.PATIENCE_SECONDS", 0.5)
    receiver.hangs = fault == "hangs"
    receiver.status = {"refuses": 403, "redirects": 307, "fails": 500}.get(fault, 200)
    receiver.location = another.url if fault == "redirects" else ""
    office.wants("acme", webhook=receiver.url, secret="s")
    office.wants("umbrella", webhook=another.url, secret="s")
    batch = [spent(80, "acme"), spent(80, "acme", "team:red"), spent(80, "umbrella"), spent(80)]
    with pytest.raises(UndeliveredError, match="2 alerts"):
        office.tell(*batch)
    assert len(receiver.messages) == 1  # and not the second one, which would hang or fail as well
    assert [line["event"] for line in office.said] == ["alert_undelivered"] * 2
    assert receiver.url not in json.dumps(office.said)
    receiver.status, receiver.location, receiver.hangs = 200, "", False
    office.tell(*batch)
    assert (len(receiver.messages), len(another.messages), len(office.topic())) == (3, 1, 1)


def test_a_bug_in_one_way_is_nobody_elses(office: Office, receiver: Receiver) -> None:
    """What nobody foresaw is named by its type alone, fails the invocation, and does not have others told twice."""
    office.wants("acme", webhook="https://[broken", secret="s")
    office.wants("umbrella", webhook=receiver.url, secret="s")
    for _ in range(2):
        with pytest.raises(UndeliveredError, match="1 alert"):
            office.tell(spent(80, "acme"), spent(80, "umbrella"), spent(80))
    assert {line["why"] for line in office.said} == {"ValueError"}
    assert (len(receiver.messages), len(office.topic())) == (1, 1)


def test_a_claim_that_died_with_its_holder_ends(office: Office, receiver: Receiver) -> None:
    """Two at once tell it once; one that was killed is followed by the next after a minute."""
    office.wants("acme", webhook=receiver.url, secret="s")
    [due] = office.crier._due([json.dumps(spent(80, "acme"))])
    assert office.crier.tellings.claim("acme", due.name, office.now, office.now + alerts.CLAIM_SECONDS)
    office.tell(spent(80, "acme"))
    assert receiver.messages == []
    office.now += 60
    office.tell(spent(80, "acme"))
    assert len(receiver.messages) == 1


def test_no_time_left_is_told_later(office: Office, receiver: Receiver) -> None:
    """Rather than cut off in the middle, so that nobody knows what was told."""
    office.wants("acme", webhook=receiver.url, secret="s")
    office.left = 1000
    with pytest.raises(UndeliveredError):
        office.tell(spent(80, "acme"))
    assert receiver.messages == []
    office.left = 45_000
    office.tell(spent(80, "acme"))
    assert len(receiver.messages) == 1


def test_a_line_that_nobody_can_read_keeps_no_other_back(office: Office) -> None:
    """It is written down, without what is in it."""
    office.tell("{", "[]", {"event": "budget.v1", "org": "acme", "limit": "canary"}, spent(80))
    assert len(office.topic()) == 1
    assert {line["event"] for line in office.said} == {"alert_unreadable"}
    assert "canary" not in json.dumps(office.said)


def test_the_handler_takes_what_logs_sends(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Base64 of gzip of JSON; a control message, with which CloudWatch tries the way, tells nobody anything."""

    class Context:
        @staticmethod
        def get_remaining_time_in_millis() -> int:
            return 45_000

    monkeypatch.setattr(alerts, "_crier", lambda: office.crier)
    sent = event("filter", "group", [(None, 1, json.dumps(spent(80)))])
    control = json.loads(gzip.decompress(base64.b64decode(sent["awslogs"]["data"])))
    control["messageType"] = "CONTROL_MESSAGE"
    packed = base64.b64encode(gzip.compress(json.dumps(control).encode())).decode()
    alerts.handler({"awslogs": {"data": packed}}, Context)
    assert office.topic() == []
    alerts.handler(sent, Context)
    assert len(office.topic()) == 1


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from((50, 80, 100)), st.sampled_from(("acme", "default")), st.sampled_from(("a", "b"))),
        max_size=6,
    ),
    st.integers(1, 6),
)
def test_a_batch_that_comes_twice_tells_nothing_twice(
    office: Office, receiver: Receiver, said: list[tuple[int, str, str]], cut: int
) -> None:
    """In whatever pieces it comes back."""
    office.now += 100 * 86_400  # all that other examples told is forgotten
    receiver.messages.clear()
    office.wants("acme", webhook=receiver.url, secret="s", threshold=50)
    batch = [spent(percent, org, f"team:{team}") for percent, org, team in said]
    office.tell(*batch)
    first = sorted(message.body for message in receiver.messages)
    assert len(set(first)) == len(first)
    office.topic()
    receiver.messages.clear()
    office.tell(*batch)
    assert receiver.messages == []
    assert office.topic() == []
    for start in range(0, len(batch), cut):
        office.tell(*batch[start : start + cut])
    again = [message.body for message in receiver.messages]
    assert not set(again) & set(first)
