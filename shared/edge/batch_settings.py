"""What the functions of batches read from their environment."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from shared.edge.settings import AwsSettings, text

if TYPE_CHECKING:
    from collections.abc import Mapping


class BatchesSettings(NamedTuple):
    """What a function of batches needs; the one that works on them needs what the gateway does as well."""

    aws: AwsSettings
    stage: str
    directory_table: str
    batches_table: str
    batch_bucket: str
    batch_queue: str

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> BatchesSettings:
        """Read them.

        Raises:
            SettingsError: one is missing.
        """
        return cls(
            aws=AwsSettings.from_env(environment),
            stage=text(environment, "STAGE"),
            directory_table=text(environment, "DIRECTORY_TABLE"),
            batches_table=text(environment, "BATCHES_TABLE"),
            batch_bucket=text(environment, "BATCH_BUCKET"),
            batch_queue=text(environment, "BATCH_QUEUE"),
        )
