"""Whose turn it is: every organization, each minute beginning with another, so that none is always the last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from shared.edge.directory import FIRST_ORG

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shared.edge.directory import Directory

ORGS: Final = "organization#"  # in the first one's records: each of the others


def turns(directory: Directory, now: float) -> Iterator[str]:
    """Yield the organizations that there are at `now`, in epoch seconds.

    Raises:
        AwsError: the Directory refuses or cannot be reached.
    """
    others = (record["sk"].removeprefix(ORGS) for record in directory.all(FIRST_ORG, ORGS))
    known = sorted({FIRST_ORG, *others})
    first = int(now / 60) % len(known)
    yield from known[first:] + known[:first]
