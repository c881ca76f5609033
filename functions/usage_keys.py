"""The function that gives each key an API Gateway key of its own, in its tier's usage plan: started each minute.

Before that it tells the firewall which networks are blocked (`functions.firewall`), by the same clock.

Who makes, edits or revokes a key notes in the same transaction that its enrolment is to be looked at; this function
does what is due and takes the note away. So API Gateway's slowness and its ceiling of 10,000 API keys hold up nobody,
and a function that dies leaves a note behind. Once a day all keys are looked at, whether noted or not: those that have
expired, those of a table that was restored, those whose API Gateway key somebody deleted, and API Gateway keys of
nobody.
"""

from __future__ import annotations

import os
import time
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from functions.enrolments import Enrolments
from functions.firewall import Firewall
from functions.turns import turns
from functions.usage_plans import PlansBusyError, PlansError, UsagePlans
from shared.core.enrolment import (
    FORGOTTEN_SECONDS,
    SPREAD_SECONDS,
    TODO,
    Enrolment,
    own_value,
    shared_value,
    wanted,
)
from shared.edge.aws import DYNAMODB, WAF, Aws, credentials_from
from shared.edge.directory import Directory
from shared.edge.settings import UsageKeysSettings
from shared.edge.telemetry import say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from functions.enrolments import Item

EVENT: Final = "enrolment"  # the line that says what was done
SPARE_MS: Final = 10_000  # of the invocation, for the step that is under way
DAY: Final = 86_400  # seconds
REFUSED_SECONDS: Final = 3600  # until API Gateway is asked again for what it has refused


class Registrar(NamedTuple):
    """What outlives an invocation. `prefix` is unique to this stack; `now` is in epoch seconds."""

    enrolments: Enrolments
    directory: Directory
    plans: UsagePlans
    prefix: str
    say: Callable[[Mapping[str, Any]], None]
    now: Callable[[], float] = time.time

    def work(self, left_ms: Callable[[], int]) -> None:
        """Do all that is due, while there is time. What API Gateway refuses waits.

        Raises:
            AwsError: the Directory refuses or cannot be reached.
        """
        done, refusals = 0, set()
        try:
            for step in self._steps():
                if left_ms() < SPARE_MS:
                    break
                try:
                    done += step()
                except PlansBusyError:
                    raise
                except PlansError as error:
                    refusals.add(str(error))
        except PlansBusyError as error:
            refusals.add(str(error))
        if done or refusals:
            level = "WARNING" if refusals else "INFO"
            self.say({"level": level, "event": EVENT, "done": done, "refused": sorted(refusals)})

    def _steps(self) -> Iterator[Callable[[], int]]:
        now = int(self.now())
        for org in turns(self.directory, now):
            for todo in self.enrolments.due(org, now):
                yield partial(self._noted, todo)
        if self.enrolments.swept(self.prefix) + DAY <= now:
            yield from self._sweep(now)

    def _noted(self, todo: Item) -> int:
        try:
            changed = self._settle(todo["pk"], todo["sk"].removeprefix(TODO))
        except PlansBusyError:
            raise
        except PlansError:
            self.enrolments.later(todo, int(self.now()) + REFUSED_SECONDS)
            raise
        self.enrolments.done(todo)
        return changed

    def _sweep(self, now: int) -> Iterator[Callable[[], int]]:
        """Look at everything; noted as done only when all of it was, so that a sweep cut short is made again."""
        known = self.plans.all(self.prefix)
        left = known.keys() - {shared_value(self.prefix, tier) for tier in self.plans.plans}
        for org in turns(self.directory, now):
            for record in self.directory.all(org, "key#"):
                key_id, own, tier = record["sk"].removeprefix("key#"), Enrolment.of(record), wanted(record, now)
                value = own_value(self.prefix, key_id)
                lost = own is not None and known.get(value) != own.id
                fresh = record["updated_at"] + FORGOTTEN_SECONDS > now  # there is a note, if there is anything to do
                if not fresh and (lost or not _agrees(own, tier)):
                    yield partial(self._settle, org, key_id, lost=lost)
                if own or tier:
                    left.discard(value)
        for value in sorted(left):
            yield partial(self._removed, known[value])
        yield partial(self._swept, now)

    def _settle(self, org: str, key_id: str, *, lost: bool = False) -> int:
        """Make API Gateway agree with a key's record: 1 if it did not, 0 if nothing was to be done.

        Each step can be made again, and between any two of them requests count against the tier's shared key. `lost`
        says that its API Gateway key is not there.
        """
        record = self.directory.item(org, f"key#{key_id}", consistent=True)
        if record is None:
            return 0
        own, tier = Enrolment.of(record), wanted(record, self.now())
        value = own_value(self.prefix, key_id)
        mine = own if own and own.value == value and not lost else None  # one of an earlier stack is none
        if _agrees(mine, tier) and (mine or own is None):
            return 0
        if own:
            record = self.enrolments.write(record, own._replace(tier=""))
        if record is None:  # edited meanwhile; there is another note
            return 0
        self.enrolments.write(record, self._moved(mine, value, tier))
        return 1

    def _moved(self, mine: Enrolment | None, value: str, tier: str) -> Enrolment | None:
        """Put a key's API Gateway key into the plan of `tier`, or delete it where that is ""."""
        if not tier:
            if mine:
                self.plans.remove(mine.id)
            return None
        made = mine.id if mine else self.plans.key(value)
        if not self.plans.enrol(made, tier):  # somebody has deleted it
            made = self.plans.key(value)
            self.plans.enrol(made, tier)
        return Enrolment(made, value, tier, int(self.now()) + SPREAD_SECONDS)

    def _removed(self, api_key: str) -> int:
        self.plans.remove(api_key)
        return 1

    def _swept(self, now: int) -> int:
        self.enrolments.note_sweep(self.prefix, now)
        return 0


def _agrees(own: Enrolment | None, tier: str) -> bool:
    return bool(tier) and own.tier == tier if own else not tier


def handler(_event: Mapping[str, Any], context: Any) -> None:  # noqa: ANN401 - Lambda's
    """Entry point of the schedule."""
    firewall, registrar = _work()
    firewall.agree()
    registrar.work(context.get_remaining_time_in_millis)


@cache
def _work() -> tuple[Firewall, Registrar]:
    return build(os.environ)


def build(environment: Mapping[str, str]) -> tuple[Firewall, Registrar]:
    """Make what `environment` describes; nothing is connected to before it is used.

    Raises:
        SettingsError: a variable is missing, or means nothing.
    """
    settings = UsageKeysSettings.from_env(environment)
    credentials = credentials_from(environment)
    dynamodb = Aws(DYNAMODB, settings.aws, credentials)
    directory = Directory(dynamodb, settings.directory_table)
    firewall = Firewall(Aws(WAF, settings.aws, credentials), settings.ip_sets, directory, say)
    registrar = Registrar(
        enrolments=Enrolments(dynamodb, settings.directory_table, directory),
        directory=directory,
        plans=UsagePlans.open(settings.usage_plans, settings.aws),
        prefix=settings.usage_key_prefix,
        say=say,
    )
    return firewall, registrar
