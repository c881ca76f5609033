"""Takes what people must hear from the functions' logs to them: operators by their topic, organizations by webhook.

CloudWatch Logs starts it with the lines that the manifest's filter lets through, at least once each. What did not get
through fails the invocation, which Lambda repeats twice; what did is not told again, so nobody waits for anybody else.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import boto3
from aws_lambda_powertools.utilities.data_classes import CloudWatchLogsEvent
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from functions import alert_words
from functions.alert_wishes import RECORD, Wish, wish
from functions.webhooks import UndeliveredError, Webhooks
from shared.core.wire import decode, encode
from shared.edge.alerts_settings import AlertsSettings
from shared.edge.aws import DYNAMODB, Aws, credentials_from
from shared.edge.directory import FIRST_ORG, Directory
from shared.edge.telemetry import say
from shared.edge.tellings import Tellings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from functions.alert_words import Alert

CLAIM_SECONDS: Final = 58  # longer than an invocation, shorter than until Lambda repeats it
SPARE_MS: Final = 9_000  # of the invocation, for a message that is under way and to note what became of all
AT_ONCE: Final = 16  # receivers that are written to
TOPIC: Final = "topic"
WEBHOOK: Final = "webhook"
_LONGEST_SUBJECT: Final = 100  # characters, says SNS
_TOPIC_CONFIG: Final = Config(connect_timeout=1, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 2})


class Due(NamedTuple):
    """An alert that somebody is to be told, by one way."""

    org: str
    way: str
    wish: Wish
    alert: Alert

    @property
    def name(self) -> str:
        """What it is claimed as."""
        return f"{self.way}#{self.alert.mark}"


class Crier(NamedTuple):
    """What outlives an invocation. `publish` takes subject and text for the operators' topic; `now` is epoch seconds.

    `publish` and `webhooks` are used from several threads at once.
    """

    stage: str
    directory: Directory
    tellings: Tellings
    webhooks: Webhooks
    publish: Callable[[str, str], None]
    say: Callable[[Mapping[str, Any]], None]
    now: Callable[[], float]

    def tell(self, lines: Iterable[str], left_ms: Callable[[], int]) -> None:
        """Tell everybody what they want to hear of `lines`.

        Raises:
            UndeliveredError: somebody could not be told; all others were.
            AwsError: what was told, or to whom, cannot be looked up.
        """
        now = int(self.now())
        claimed: dict[tuple[str, str], list[Due]] = {}
        for due in self._due(lines):
            if self.tellings.claim(due.org, due.name, now, now + CLAIM_SECONDS):
                claimed.setdefault((due.org, due.way), []).append(due)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            ends = list(pool.map(lambda several: self._delivered(several, left_ms), claimed.values()))
        undelivered = 0
        for several, (count, why) in zip(claimed.values(), ends, strict=True):
            undelivered += len(several) - count
            for due in several[:count]:
                self.tellings.told(due.org, due.name, now + due.alert.quiet)
            for due in several[count:]:
                self.tellings.failed(due.org, due.name)
                line = {"level": "ERROR", "event": "alert_undelivered", "org": due.org, "way": due.way}
                self.say({**line, "kind": due.alert.kind, "why": why})
        if undelivered:
            raise UndeliveredError(f"{undelivered} alerts did not get through; the log says which, and why.")

    def _due(self, lines: Iterable[str]) -> list[Due]:
        """Return what is to be told, of what is the same only the last."""
        wishes: dict[str, Wish] = {}
        found: dict[tuple[str, str, str], Due] = {}
        for line in map(self._read, lines):
            for org, alert in self._alerts(line):
                if org not in wishes:
                    wishes[org] = wish(org, self.directory.item(org, RECORD))
                if not wishes[org].hears(alert):
                    continue
                for way in _ways(org, wishes[org]):
                    found[org, way, alert.about] = Due(org, way, wishes[org], alert)
        return list(found.values())

    def _read(self, line: str) -> Mapping[str, Any]:
        try:
            known = decode(line.encode())
        except ValueError:
            known = None
        return known if isinstance(known, dict) else {}

    def _alerts(self, line: Mapping[str, Any]) -> Iterator[tuple[str, Alert]]:
        """Yield who may hear what of a line."""
        try:
            org = str(line.get("org", ""))
            own = alert_words.for_owner(line) if org else None
            if own:
                yield org, own
            if not own or org != FIRST_ORG:
                others = alert_words.for_operators(line)
                if others:
                    yield FIRST_ORG, others
        except (KeyError, TypeError, ValueError) as error:
            kind = str(line.get("event"))
            self.say({"level": "ERROR", "event": "alert_unreadable", "of": kind, "error": type(error).__name__})

    def _delivered(self, several: list[Due], left_ms: Callable[[], int]) -> tuple[int, str]:
        """Tell one receiver after another alert; returns how many got through, and why the next did not.

        One that did not take a message is not asked again before Lambda repeats all of it.
        """
        for number, due in enumerate(several):
            if left_ms() < SPARE_MS:
                return number, "There was no time left."
            try:
                self._send(due)
            except UndeliveredError as error:
                return number, str(error)
            except Exception as error:  # noqa: BLE001 - it fails the invocation, when all others have been told
                return number, type(error).__name__
        return len(several), ""

    def _send(self, due: Due) -> None:
        text = f"AI-Nexus {self.stage}: {due.alert.text}"
        if due.way == TOPIC:
            self.publish(f"AI-Nexus {self.stage}: {due.alert.kind}", text)
            return
        told = {"id": due.alert.mark, "stage": self.stage, "kind": due.alert.kind, **due.alert.fields}
        body = encode({"text": text, "alert": told})
        self.webhooks.send(due.wish.webhook, due.wish.secret, due.alert.mark, body)


def _ways(org: str, known: Wish) -> Iterator[str]:
    if org == FIRST_ORG:
        yield TOPIC
    if known.webhook:
        yield WEBHOOK


def handler(event: dict[str, Any], context: Any) -> None:  # noqa: ANN401 - Lambda's
    """Entry point of the log groups' subscriptions; their control messages are about nothing."""
    sent = CloudWatchLogsEvent(event).parse_logs_data()
    if sent.message_type == "DATA_MESSAGE":
        _crier().tell((one.message for one in sent.log_events), context.get_remaining_time_in_millis)


@cache
def _crier() -> Crier:
    return build(os.environ)


def build(environment: Mapping[str, str]) -> Crier:
    """Make what `environment` describes; nothing is connected to before it is used.

    Raises:
        SettingsError: a variable is missing, or means nothing.
    """
    settings = AlertsSettings.from_env(environment)
    dynamodb = Aws(DYNAMODB, settings.aws, credentials_from(environment))
    return Crier(
        stage=settings.stage,
        directory=Directory(dynamodb, settings.directory_table),
        tellings=Tellings(dynamodb, settings.ledger_table),
        webhooks=Webhooks(loopback=settings.webhooks_to_loopback, now=time.time),
        publish=publisher(settings),
        say=say,
        now=time.time,
    )


def publisher(settings: AlertsSettings) -> Callable[[str, str], None]:
    """Return what publishes to the operators' topic; it raises UndeliveredError."""
    region, endpoint = settings.aws
    sns = boto3.client("sns", region_name=region, endpoint_url=endpoint, config=_TOPIC_CONFIG)

    def publish(subject: str, text: str) -> None:
        try:
            sns.publish(TopicArn=settings.operators_topic, Subject=subject[:_LONGEST_SUBJECT], Message=text)
        except (BotoCoreError, ClientError) as error:
            raise UndeliveredError(f"The topic: {type(error).__name__}.") from error

    return publish
