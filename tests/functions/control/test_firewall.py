"""The firewall's sets of networks: equal to what the first organization blocks, written only when that changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest

from functions.firewall import Firewall
from shared.core.principals import Principal
from shared.edge.aws import WAF, Aws, AwsError
from shared.edge.directory import Directory
from shared.edge.settings import AwsSettings
from shared.edge.sigv4 import Credentials
from tests.fakes.patience import dynamodb
from tests.functions.control.rig import KNOWN, NOW

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.functions.control.rig import House

FOREIGNER = Principal("blue-bossbossboss", "blue", "admin", "enterprise", (), NOW + 100)


class Listening(Aws):
    """WAF as it is reached by the functions; it spells networks of IPv6 in full, and may be told to refuse a set."""

    def __init__(self, url: str) -> None:
        super().__init__(WAF, AwsSettings("us-east-1", url), lambda: Credentials("a", "b"))
        self.calls: list[str] = []
        self.refused = ""
        self.meanwhile: Any = None

    def read(self, action: str, request: Mapping[str, object]) -> dict[str, Any]:
        """Read a set."""
        self.calls.append(action)
        if request["Name"] == self.refused:
            raise AwsError("wafv2", "WAFNonexistentItemException", "There is no such set.")
        found = super().read(action, request)
        found["IPSet"]["Addresses"] = [
            text.replace("2001:db8::", "2001:0db8:0000:0000:0000:0000:0000:0000")
            for text in found["IPSet"]["Addresses"]
        ]
        if self.meanwhile:
            self.meanwhile()
        return found

    def write(self, action: str, request: Mapping[str, object]) -> dict[str, Any]:
        """Change a set."""
        self.calls.append(action)
        return super().write(action, request)


class Wall:
    """The two sets of a deployment, and the function that fills them."""

    def __init__(self, house: House) -> None:
        url = house.table.meta.client.meta.endpoint_url
        self.house = house
        self.client = boto3.client("wafv2", **KNOWN, endpoint_url=url)
        made = {family: self._make(family) for family in ("4", "6")}
        self.sets = {family: {"Name": f"Set{family}", "Id": one["Id"]} for family, one in made.items()}
        self.waf = Listening(url)
        self.dynamodb = dynamodb(url)
        self.said: list[Mapping[str, Any]] = []
        self.firewall = Firewall(
            self.waf,
            {family: one["ARN"] for family, one in made.items()},
            Directory(self.dynamodb, house.table.name),
            self.said.append,
            lambda: house.now,
        )

    def _make(self, family: str) -> Any:
        version: Any = f"IPV{family}"
        made = self.client.create_ip_set(Name=f"Set{family}", Scope="REGIONAL", IPAddressVersion=version, Addresses=[])
        return made["Summary"]

    def held(self) -> dict[str, list[str]]:
        """What the sets hold."""
        sets = self.sets.items()
        return {family: self.client.get_ip_set(**one, Scope="REGIONAL")["IPSet"]["Addresses"] for family, one in sets}

    def token(self, family: str) -> str:
        """The lock token of a set."""
        return str(self.client.get_ip_set(**self.sets[family], Scope="REGIONAL")["LockToken"])

    def block(self, network: str, seconds: int, **more: Any) -> None:
        """Block a network."""
        wanted = {"kind": "ip", "id": network, "seconds": seconds}
        assert self.house.call("POST", "/admin/blocks", wanted, **more).status == 201


@pytest.fixture
def wall(house: House) -> Iterator[Wall]:
    """Empty sets."""
    made = Wall(house)
    yield made
    made.waf.drop()
    made.dynamodb.drop()
    for family, one in made.sets.items():
        made.client.delete_ip_set(**one, Scope="REGIONAL", LockToken=made.token(family))
    made.client.close()


def test_the_sets_hold_what_is_blocked_while_it_is(wall: Wall) -> None:
    """By family, until a block is over or ended; other organizations' blocks are their own callers' affair."""
    wall.firewall.agree()
    assert wall.held() == {"4": [], "6": []}
    wall.block("203.0.113.7", 60)
    wall.block("198.51.100.0/24", 120)
    wall.block("2001:db8::/48", 120)
    wall.block("192.0.2.0/24", 120, caller=FOREIGNER)
    wall.firewall.agree()
    assert wall.held() == {"4": ["198.51.100.0/24", "203.0.113.7/32"], "6": ["2001:db8::/48"]}
    wall.house.now += 60
    wall.firewall.agree()
    assert wall.held() == {"4": ["198.51.100.0/24"], "6": ["2001:db8::/48"]}
    wall.house.call("DELETE", "/admin/blocks/ip:2001:db8::%2F48")
    wall.firewall.agree()
    assert wall.held() == {"4": ["198.51.100.0/24"], "6": []}
    assert [line["blocked"] for line in wall.said] == [3, 2, 1]
    assert "198.51" not in str(wall.said)


def test_nothing_is_written_that_is_there_already(wall: Wall) -> None:
    """Also where WAF spells a network otherwise than we do; without a firewall nobody is even asked."""
    wall.block("2001:db8::/48", 60)
    wall.firewall.agree()
    assert wall.waf.calls == ["GetIPSet", "GetIPSet", "UpdateIPSet"]
    wall.firewall.agree()
    assert wall.waf.calls[3:] == ["GetIPSet", "GetIPSet"]
    assert len(wall.said) == 1
    wall.firewall._replace(ip_sets={}).agree()
    assert len(wall.waf.calls) == 5


def test_a_set_that_waf_refuses_keeps_the_other_from_nothing(wall: Wall) -> None:
    """It is said, and done with the next start."""
    wall.block("203.0.113.7", 600)
    wall.block("2001:db8::/48", 600)
    wall.waf.refused = "Set4"
    wall.firewall.agree()
    assert wall.held() == {"4": [], "6": ["2001:db8::/48"]}
    assert [(line["level"], line["blocked"], len(line["refused"])) for line in wall.said] == [("WARNING", 2, 1)]
    wall.waf.refused = ""
    wall.firewall.agree()
    assert wall.held()["4"] == ["203.0.113.7/32"]


def test_two_writers_never_undo_one_another(wall: Wall) -> None:
    """Who has read a set before another wrote it is refused, and reads it again with the next start."""
    wall.block("203.0.113.7", 600)

    def other() -> None:
        wall.client.update_ip_set(
            **wall.sets["4"], Scope="REGIONAL", Addresses=["192.0.2.1/32"], LockToken=wall.token("4")
        )

    wall.waf.meanwhile = other
    wall.firewall.agree()
    assert wall.held()["4"] == ["192.0.2.1/32"]
    assert "WAFOptimisticLockException" in wall.said[0]["refused"][0]
    wall.waf.meanwhile = None
    wall.firewall.agree()
    assert wall.held()["4"] == ["203.0.113.7/32"]
