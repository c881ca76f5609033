"""Lets time pass for what is stored: everything there grows older."""

from __future__ import annotations

from typing import Any


def age(client: Any, place: str, seconds: int, unit: int) -> None:
    """Make a list or a sorted set older, whose times are in the `unit`-th part of a second; 0 for what holds none."""
    left = client.pttl(place) - seconds * 1000
    if left <= 0:
        client.delete(place)
        return
    if ":rate:" in place:
        stamps = [int(stamp) - seconds * unit for stamp in client.lrange(place, 0, -1)]
        client.delete(place)
        client.rpush(place, *stamps)
    elif unit:
        for member in client.zrange(place, 0, -1):
            client.zincrby(place, -seconds * unit, member)
    client.pexpire(place, left)
