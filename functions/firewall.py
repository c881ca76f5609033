"""The firewall's side of blocks: its two sets of networks are kept equal to those that the first organization blocks.

What an organization blocks, the admission script refuses to its own callers, who have a key or a token. The first one
runs the deployment, so that its blocks stand before everything else, too: before health, tokens and every other URL
that is open to anyone.
"""

from __future__ import annotations

import ipaddress
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from shared.core import addresses
from shared.edge.aws import AwsError
from shared.edge.directory import FIRST_ORG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from shared.edge.aws import Aws
    from shared.edge.directory import Directory

EVENT: Final = "firewall"  # the line that says what was done
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Firewall(NamedTuple):
    """The sets: "4" and "6" with their ARNs, none where there is no firewall. `now` is in epoch seconds."""

    waf: Aws
    ip_sets: Mapping[str, str]
    directory: Directory
    say: Callable[[Mapping[str, Any]], None]
    now: Callable[[], float] = time.time

    def agree(self) -> None:
        """Write each set that differs. What WAF refuses is said, and tried again with the next start.

        Raises:
            AwsError: the Directory refuses or cannot be reached.
        """
        if not self.ip_sets:
            return
        held = _networks(addresses.held(self.directory.item(FIRST_ORG, "org", consistent=True), self.now()))
        written, refusals = 0, []
        for family, arn in self.ip_sets.items():
            try:
                written += self._write(arn, {network for network in held if str(network.version) == family})
            except AwsError as error:
                refusals.append(str(error))
        if written or refusals:
            level = "WARNING" if refusals else "INFO"
            self.say({"level": level, "event": EVENT, "blocked": len(held), "refused": refusals})

    def _write(self, arn: str, wanted: set[_Network]) -> int:
        """Make one set hold what is `wanted`: 1 if it did not. Its lock token keeps two writers apart."""
        name, set_id = arn.split("/")[-2:]
        place = {"Name": name, "Scope": "REGIONAL", "Id": set_id}
        found = self.waf.read("GetIPSet", place)
        if _networks(found["IPSet"]["Addresses"]) == wanted:
            return 0
        change = {"Addresses": sorted(map(str, wanted)), "LockToken": found["LockToken"]}
        self.waf.write("UpdateIPSet", {**place, **change})
        return 1


def _networks(texts: Iterable[str]) -> set[_Network]:
    """Read networks, for WAF spells those of IPv6 in full."""
    return {ipaddress.ip_network(text) for text in texts}
