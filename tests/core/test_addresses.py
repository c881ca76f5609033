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
