"""What the function reads from its environment that tells people."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from shared.edge.settings import AwsSettings, boolean, text

if TYPE_CHECKING:
    from collections.abc import Mapping


class AlertsSettings(NamedTuple):
    """What it needs; `operators_topic` is an ARN."""

    aws: AwsSettings
    stage: str
    directory_table: str
    ledger_table: str
    operators_topic: str
    webhooks_to_loopback: bool

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> AlertsSettings:
        """Read them.

        Raises:
            SettingsError: one is missing, or means nothing.
        """
        return cls(
            aws=AwsSettings.from_env(environment),
            stage=text(environment, "STAGE"),
            directory_table=text(environment, "DIRECTORY_TABLE"),
            ledger_table=text(environment, "LEDGER_TABLE"),
            operators_topic=text(environment, "OPERATORS_TOPIC"),
            webhooks_to_loopback=boolean(environment, "WEBHOOKS_TO_LOOPBACK"),
        )
