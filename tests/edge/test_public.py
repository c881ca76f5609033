"""Hosts that somebody else chose lead to public addresses only, whatever their names say by the time of the call."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from shared.core.errors import UpstreamUnavailable
from shared.edge.http import Http
from shared.edge.public import PrivateAddressError, PublicResolver
from shared.providers.adapter import HttpRequest


def found(*addresses: str) -> list[tuple[Any, ...]]:
    """What `getaddrinfo` says of a name with these addresses."""
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in addresses]


def test_only_public_addresses_of_a_name_are_used() -> None:
    """One that also has others is reached at the rest; one that has no other is not reached."""
    names = {"mixed.example": found("10.0.0.1", "1.1.1.1"), "inside.example": found("169.254.169.254", "127.0.0.1")}
    resolver = PublicResolver(lambda host, _port: names[host], loopback=False)
    assert resolver.addresses("mixed.example", 443, 5) == found("1.1.1.1")
    with pytest.raises(PrivateAddressError):
        resolver.addresses("inside.example", 443, 5)


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f.1", "0", "::1", "169.254.169.254", "localhost"])
def test_an_address_that_is_written_out_is_looked_at_too(host: str) -> None:
    """In whatever form the system takes it for one."""
    with pytest.raises(PrivateAddressError):
        PublicResolver(loopback=False).addresses(host, 443, 5)


def test_a_local_run_reaches_this_machine_and_no_network_behind_it() -> None:
    """Loopback is what a developer's own receiver listens on; nothing else that is private is."""
    resolver = PublicResolver(loopback=True)
    assert resolver.addresses("127.0.0.1", 443, 5)
    for host in ("10.0.0.1", "169.254.169.254"):
        with pytest.raises(PrivateAddressError):
            resolver.addresses(host, 443, 5)


def test_the_address_that_was_looked_at_is_connected_to() -> None:
    """No second lookup in which the name could mean something else: a listener on loopback hears nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        asked = HttpRequest(f"http://rebound.example:{listener.getsockname()[1]}/x", {}, b"{}")
        http = Http(names=PublicResolver(lambda _host, _port: found("127.0.0.1"), loopback=False))
        with pytest.raises(UpstreamUnavailable) as refused:
            http.post(asked, 5)
        assert isinstance(refused.value.__cause__, PrivateAddressError)
        with pytest.raises(BlockingIOError):
            listener.accept()
