"""A key as the tests of the scripts want it known to Valkey."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import asdict

from shared.core.policies import policy

if TYPE_CHECKING:
    from shared.core.catalog import Tier
    from shared.edge.admission import Admission


def projected(
    admission: Admission, key_id: str, *, version: int, limits: Tier, revoked: bool = False, expires_at: int = 0
) -> bool:
    """Tell Valkey of a key without a budget; returns False where it knows a newer version."""
    record = {"revoked": revoked, "expires_at": expires_at, "tier": "pro", "limits": asdict(limits)}
    return admission.tell(key_id.rpartition("-")[0], f"key:{key_id}", version, policy(record))
