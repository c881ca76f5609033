"""Connections to hosts by their names, within a time that counts the lookup in. Light to load: TLS is for others."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

from shared.edge.resolver import resolver

if TYPE_CHECKING:
    from shared.edge.resolver import Resolver

_SHORTEST, _LONGEST = 0.001, 60.0  # seconds; zero would mean for ever


def reach(address: tuple[str, int], seconds: float | None, names: Resolver | None = None) -> socket.socket:
    """Connect to host and port as `socket.create_connection` does, the lookup of the name counted in.

    A host of several addresses has them tried in turn, each for its share of what is left.

    Raises:
        OSError, ValueError: that is not possible in time.
    """
    end = time.monotonic() + (_LONGEST if seconds is None else max(seconds, _SHORTEST))
    host, port = address
    names = names or resolver()
    found = names.addresses(host, port, end - time.monotonic())
    for number, candidate in enumerate(found):
        family, kind, protocol, _, place = candidate
        plain = socket.socket(family, kind, protocol)
        try:
            plain.settimeout(max(_SHORTEST, (end - time.monotonic()) / (len(found) - number)))
            plain.connect(place)
        except OSError:
            plain.close()
            if number == len(found) - 1:
                names.learn(host, port, None)
                raise
        else:
            names.learn(host, port, candidate)
            return plain
    raise ConnectionError
