"""Secrets, read when first wanted and kept for a while: a rotated one is seen within that time, or when asked for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from shared.edge.aws import AwsError, AwsUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.edge.aws import Aws

TTL_SECONDS = 300.0
RETRY_SECONDS = 10.0  # between two tries to renew, so that nobody can make us call more often
_LIMIT = 16  # secrets kept; a function has one or two


class _Kept(NamedTuple):
    value: str
    read_at: float
    renew_at: float


class Secrets:
    """String secrets of Secrets Manager by ARN or name; `clock` is monotonic, in seconds."""

    def __init__(self, aws: Aws, clock: Callable[[], float] = time.monotonic) -> None:
        self._aws = aws
        self._clock = clock
        self._kept: dict[str, _Kept] = {}

    def get(self, name: str) -> str:
        """Return the secret; an old value serves on while Secrets Manager cannot be reached.

        Raises:
            AwsError: it cannot be read, and was not before.
        """
        kept = self._kept.get(name)
        if kept is None:
            return self._read(name)
        if self._clock() >= kept.renew_at:
            return self._renew(name, kept)
        return kept.value

    def refresh(self, name: str) -> str:
        """Return the secret as it is now, or was seconds ago: for when the known value turned out wrong."""
        kept = self._kept.get(name)
        if kept is None or self._clock() - kept.read_at >= RETRY_SECONDS:
            return self._read(name)
        return kept.value

    def _renew(self, name: str, kept: _Kept) -> str:
        try:
            return self._read(name)
        except AwsUnavailableError:  # a known secret is better than an outage; ask again soon
            self._kept[name] = kept._replace(renew_at=self._clock() + RETRY_SECONDS)
            return kept.value

    def _read(self, name: str) -> str:
        value = self._aws.read("GetSecretValue", {"SecretId": name}).get("SecretString")
        if not isinstance(value, str) or not value:
            raise AwsError("secretsmanager", "Unusable", f"The secret {name} holds no text.")
        now = self._clock()
        if len(self._kept) >= _LIMIT:
            self._kept.clear()
        self._kept[name] = _Kept(value, now, now + TTL_SECONDS)
        return value
