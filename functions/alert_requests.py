"""What administrators may ask of alerts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from functions.alert_wishes import THRESHOLD
from functions.alert_words import Kind
from functions.requests import Strict
from functions.webhooks import LONGEST


class Alerts(Strict):
    """What is told: by `webhook` (https), of which `events`, of budgets from which percentage on.

    Without `events` that is what everybody hears: budgets and safeguards, and for operators breakers and faults.
    """

    webhook: Annotated[str, Field(min_length=1, max_length=LONGEST)] | None = None
    events: Annotated[list[Kind], Field(min_length=1, max_length=5)] | None = None
    threshold: Literal[50, 80, 100] = THRESHOLD
