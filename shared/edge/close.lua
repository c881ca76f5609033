#!lua
-- Close an organization, or find it closed; return when that was first seen, ms.
--
-- KEYS  1 the mark of the closure   2 the mark that the books are open
-- ARGV  1 now, ms   2 when the books were known to be open, ms
--
-- A mark that stands beside the one that the books are open, or is older than a time at which they were, is left from a
-- closure that is over: a backup was put in place that was made in the middle of it.

local was_open = redis.call("DEL", KEYS[2]) == 1
local seen = tonumber(redis.call("GET", KEYS[1]))
if was_open or not seen or seen < tonumber(ARGV[2]) then redis.call("SET", KEYS[1], ARGV[1]) end
return redis.call("GET", KEYS[1])
