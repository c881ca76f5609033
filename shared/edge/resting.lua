#!lua
-- Tell how long targets will rest, in milliseconds: 0 for one that serves or may be probed.
--
-- KEYS  what is known of each target, as `admit.lua` says
local time = redis.call("TIME")
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local rests = {}
for number, key in ipairs(KEYS) do
  rests[number] = math.max(0, tonumber(redis.call("HGET", key, "until") or 0) - now)
end
return rests
