"""What an organization's keys are called in Valkey; all share the hash tag `{org}`, and so one slot of a cluster."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from shared.core.limits import of_model
from shared.core.principals import policy_scope

MOST_KNOWN = 4096  # callers and models whose names are remembered: to spell them anew takes some 10 µs


LIVE = "catalog:live"  # told like a scope's policy, so that an older version never takes the place of a newer one


class Names(NamedTuple):
    """The keys of one caller and model, in the order in which the scripts declare them."""

    tag: str
    admit: tuple[str, ...]
    settle: tuple[str, ...]
    topup: tuple[str, ...]
    targets: tuple[str, ...]  # which `admit` and `settle` take behind the others

    def hold(self, request_id: str) -> str:
        """Name what is reserved for a request."""
        return f"{self.tag}:hold:{request_id}"

    def leases(self, shared: int) -> tuple[str, ...]:
        """Name the leases of the first `shared` scopes, which are no models'."""
        return self.settle[3 : 3 + 3 * shared : 3]

    def settled(self, request_id: str) -> str:
        """Name the mark of what became of a request."""
        return f"{self.tag}:settled:{request_id}"


@lru_cache(MOST_KNOWN)
def names(org: str, scopes: tuple[str, ...], targets: tuple[str, ...] = (), models: tuple[str, ...] = ()) -> Names:
    """Spell the keys of `scopes` (`key:acme-abcdefghijkl`, `team:blue`), targets (`openai:gpt-4o`) and `models`."""
    tag = f"{{{org}}}"
    kinds = ("policy", "rate", "tokens", "tokencounts", "leases", "spend")
    everybody = (*scopes, *map(of_model, models))
    per_scope = [{kind: f"{tag}:{kind}:{one}" for kind in kinds} | {"policy": policy(org, one)} for one in everybody]
    shared, of_models = per_scope[: len(scopes)], per_scope[len(scopes) :]
    return Names(
        tag=tag,
        admit=(
            *(holds(org), opened(org), live(org), closure(org)),
            *(known[kind] for known in per_scope for kind in kinds),
        ),
        settle=(
            holds(org),
            f"{tag}:usage",
            f"{tag}:counters",
            *(known[kind] for known in shared for kind in ("leases", "tokencounts", "spend")),
            *(known[kind] for known in of_models for kind in ("leases", "tokencounts", "spend", "rate")),
        ),
        topup=tuple(known[kind] for known in per_scope for kind in ("policy", "spend", "tokens", "tokencounts")),
        targets=tuple(f"{tag}:target:{target}" for target in targets),
    )


def policy(org: str, scope: str) -> str:
    """Name what admission must know of a scope."""
    return f"{{{org}}}:policy:{policy_scope(scope)}"


def holds(org: str) -> str:
    """Name the set of all that is reserved, by the millisecond at which it runs out."""
    return f"{{{org}}}:holds"


def opened(org: str) -> str:
    """Name the mark that counters and policies are complete."""
    return f"{{{org}}}:open"


def closure(org: str) -> str:
    """Name the mark that they may not be: when somebody first saw that, in epoch ms."""
    return f"{{{org}}}:closure"


def live(org: str) -> str:
    """Name what says which catalog is live."""
    return policy(org, LIVE)
