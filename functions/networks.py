"""Networks that an organization has blocked for a time: in its record, by CIDR, each with the second of its end."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from shared.core import addresses
from shared.core.errors import BadRequest, Forbidden

if TYPE_CHECKING:
    from functions.registry import Item

MOST = 200  # at once, of one organization: the admission script has them in its hands on each request
_MAPPED_BITS = 96  # before those of an IPv4 address in the guise of an IPv6 one


def parse(text: str) -> str:
    """Return a network in its one spelling: an address is a network of one, and bits behind the prefix are cleared.

    Raises:
        BadRequest: it is none, or all there are.
    """
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise BadRequest(
            "The 'id' of an ip is an address or a network, such as 203.0.113.7 or 2001:db8::/48.", param="id"
        ) from error
    if isinstance(network, ipaddress.IPv6Network) and (mapped := network.network_address.ipv4_mapped):
        network = ipaddress.ip_network(f"{mapped}/{max(0, network.prefixlen - _MAPPED_BITS)}")
    if not network.prefixlen:
        raise BadRequest("This network is everybody. Block a smaller one.", param="id")
    return str(network)


def refuse_own(network: str, address: str) -> None:
    """Keep administrators from shutting themselves out.

    Raises:
        BadRequest: the caller's `address` lies in `network`.
    """
    if addresses.within(address, [network]):
        raise BadRequest(f"Your own address {address} lies in {network}: you could not end this block.", param="id")


def marked(record: Item, network: str, until: int, now: int) -> Item:
    """Return an organization's record with `network` blocked until then, 0 for not at all, and without what is over.

    Raises:
        BadRequest: there are too many.
    """
    known = {name: end for name, end in (record.get("addresses") or {}).items() if end > now and name != network}
    if until:
        known[network] = until
    if len(known) > MOST:
        raise BadRequest(f"{MOST} networks are blocked. End one of these blocks, or join some into a larger one.")
    return {**record, "addresses": known}


def refuse_blocked(record: Item | None, address: str, now: float) -> None:
    """Turn a caller away whose address is blocked.

    Raises:
        Forbidden: it is.
    """
    if addresses.within(address, addresses.held(record, now)):
        raise Forbidden("Requests from this address are blocked for some time.")
