"""Lets time pass for what is stored: everything there grows older, in one round trip."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_SCRIPT: Final = """
local seconds = tonumber(ARGV[1])
local function whole(number) return string.format("%.0f", number) end
for index, place in ipairs(KEYS) do
  local unit, left = tonumber(ARGV[index + 1]), redis.call("PTTL", place) - seconds * 1000
  if left <= 0 then
    redis.call("DEL", place)
  else
    if string.find(place, ":rate:", 1, true) then
      local stamps = redis.call("LRANGE", place, 0, -1)
      redis.call("DEL", place)
      for _, stamp in ipairs(stamps) do redis.call("RPUSH", place, whole(stamp - seconds * unit)) end
    elseif unit > 0 then
      for _, member in ipairs(redis.call("ZRANGE", place, 0, -1)) do
        redis.call("ZINCRBY", place, whole(-seconds * unit), member)
      end
    end
    redis.call("PEXPIRE", place, left)
  end
end
"""


def age(client: Any, places: Mapping[str, int], seconds: int) -> None:
    """Make lists and sorted sets older, whose times are in the given part of a second; 0 for what holds none."""
    client.eval(_SCRIPT, len(places), *places, seconds, *places.values())
