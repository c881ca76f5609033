"""IP addresses and networks as the admission script compares them: a family and bits, of which a network has fewer."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_TRANSLATED = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16", "::/96")))
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


def is_public(address: str) -> bool:
    """Tell whether an address is one of the public internet, and hides none in it that is not.

    Not of a private network, of this machine, of the link (where clouds have their metadata), shared, reserved or for
    many at once; nor one of IPv6 that is translated to one of IPv4 (NAT64, 6to4, Teredo), which might be any of those.
    """
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(known, ipaddress.IPv6Address):
        if known.ipv4_mapped:
            return is_public(str(known.ipv4_mapped))
        if any(known in network for network in _TRANSLATED) or known.is_site_local or known.scope_id:
            return False
    return known.is_global and not known.is_multicast


def _prefix(network: str) -> str:
    address, _, length = network.partition("/")
    return bits(address)[: 2 + int(length)]
