#!lua
-- Reserve more money for a request that is tried once more after a try that may be billed: in all scopes or in none.
--
-- KEYS  1 the request's hold (hash)   2 and on, two for each scope, in the order of the admission: policy   spending
-- ARGV  1 nano-dollars
--
-- Answers 1, or 0 when a budget does not afford it, or the hold is gone.

local hold = redis.call("HMGET", KEYS[1], "amount", "day", "month", "reserved")
if not hold[1] then return 0 end
local more = tonumber(ARGV[1])
local periods = { { "d:" .. hold[2], "daily" }, { "m:" .. hold[3], "monthly" }, { "t", "total" } }
local places = {}
for number in string.gmatch(hold[4], "%d+") do
  local policy, spend = KEYS[2 * number], KEYS[2 * number + 1]
  for _, period in ipairs(periods) do
    local limit = tonumber(redis.call("HGET", policy, period[2]) or "")
    local spent = redis.call("HMGET", spend, "c:" .. period[1], "r:" .. period[1])
    if limit and tonumber(spent[1] or 0) + tonumber(spent[2] or 0) + more > limit then return 0 end
  end
  places[#places + 1] = spend
end
for _, spend in ipairs(places) do
  for _, period in ipairs(periods) do redis.call("HINCRBY", spend, "r:" .. period[1], ARGV[1]) end
end
redis.call("HINCRBY", KEYS[1], "amount", ARGV[1])
return 1
