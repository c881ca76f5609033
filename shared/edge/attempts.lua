#!lua
-- Count one attempt to log in under every name it is counted by, unless one of them has had its share: then none.
--
-- KEYS  the counters
-- ARGV  1 seconds that a counter lives, from its first attempt   2 and on: how many each counter may reach
--
-- Answers 0, or the seconds until the fullest counter is forgotten.

local wait = 0
for number, key in ipairs(KEYS) do
  if tonumber(redis.call("GET", key) or "0") >= tonumber(ARGV[number + 1]) then
    wait = math.max(wait, redis.call("TTL", key), 1)
  end
end
if wait > 0 then return wait end
for _, key in ipairs(KEYS) do
  if redis.call("INCR", key) == 1 then redis.call("EXPIRE", key, ARGV[1]) end
end
return 0
