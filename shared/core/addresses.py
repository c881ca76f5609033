"""IP addresses and networks as the admission script compares them: a family and bits, of which a network has fewer."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MOST_KNOWN = 4096  # callers whose address is remembered in this form: to find it takes some 5 µs


@lru_cache(MOST_KNOWN)
def bits(address: str) -> str:
    """Return `4:` or `6:` and the bits of an address, "" for what is none."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return ""
    if isinstance(known, ipaddress.IPv6Address):
        known = known.ipv4_mapped or known
    return f"{known.version}:{int(known):0{known.max_prefixlen}b}"


def blocked(networks: Mapping[str, int]) -> str:
    """Write blocked networks, each with the epoch second at which that ends, for the admission script.

    First stand the lengths of prefixes that there are, then the prefixes: `4:24,6:64|4:0000...=1800000000|`.
    """
    if not networks:
        return ""
    prefixes = {_prefix(network): until for network, until in networks.items()}
    lengths = sorted({f"{prefix[:2]}{len(prefix) - 2}" for prefix in prefixes})
    return ",".join(lengths) + "|" + "".join(f"{prefix}={until}|" for prefix, until in sorted(prefixes.items()))


def held(record: Mapping[str, Any] | None, now: float) -> list[str]:
    """Return the networks that an organization's record blocks at `now`, in epoch seconds."""
    return sorted(network for network, until in ((record or {}).get("addresses") or {}).items() if until > now)


def within(address: str, networks: Iterable[str]) -> bool:
    """Tell whether an address lies in one of `networks`; what is no address lies in none."""
    known = bits(address)
    return bool(known) and any(known.startswith(_prefix(network)) for network in networks)


def _prefix(network: str) -> str:
    address, _, length = network.partition("/")
    return bits(address)[: 2 + int(length)]
