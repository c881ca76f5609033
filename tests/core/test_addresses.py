"""Addresses in networks, and the networks that a record blocks."""

from __future__ import annotations

import pytest

from shared.core import addresses

RECORD = {"addresses": {"203.0.113.0/24": 100, "2001:db8::/33": 101}}


@pytest.mark.parametrize(
    ("address", "network", "inside"),
    [
        ("203.0.113.255", "203.0.113.0/24", True),
        ("203.0.114.0", "203.0.113.0/24", False),
        ("203.0.113.7", "203.0.113.7/32", True),
        ("203.0.113.6", "203.0.113.7/32", False),
        ("::ffff:203.0.113.7", "203.0.113.0/24", True),
        ("2001:db8:7fff::1", "2001:db8::/33", True),
        ("2001:db8:8000::1", "2001:db8::/33", False),
        ("0.0.0.1", "::/1", False),
        ("", "128.0.0.0/1", False),
        ("nowhere", "128.0.0.0/1", False),
    ],
)
def test_an_address_is_in_a_network_to_the_bit(address: str, network: str, inside: bool) -> None:  # noqa: FBT001
    """Families are kept apart, but an IPv4 address in the guise of an IPv6 one is what it stands for."""
    assert addresses.within(address, ["198.51.100.0/24", network]) is inside
    assert not addresses.within(address, [])


def test_a_block_holds_until_its_last_second() -> None:
    """A record without blocks, and no record, block nobody."""
    assert addresses.held(RECORD, 99.9) == ["2001:db8::/33", "203.0.113.0/24"]
    assert addresses.held(RECORD, 100) == ["2001:db8::/33"]
    assert addresses.held(RECORD, 101) == addresses.held({}, 0) == addresses.held(None, 0) == []


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.31.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.1", "224.0.0.1",
        "255.255.255.255", "192.0.2.1", "198.18.0.1", "::", "::1", "fe80::1", "fe80::1%eth0", "fd00:ec2::254",
        "fec0::1", "ff02::1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:224.0.0.1", "::10.0.0.1",
        "64:ff9b::a9fe:a9fe", "64:ff9b:1::1",
        "2002:a9fe:a9fe::1", "2001:0:a9fe:a9fe::1", "2001:db8::1", "", "example.com", "2130706433",
    ],
)  # fmt: skip
def test_what_is_reached_from_inside_alone_is_not_public(address: str) -> None:
    """Nor is an address of IPv6 that stands for one of IPv4, unless that is."""
    assert not addresses.is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "54.239.28.85", "::ffff:1.1.1.1", "2606:4700::1111", "2a00:1450::1"])
def test_a_public_address_is(address: str) -> None:
    """Of both families."""
    assert addresses.is_public(address)
