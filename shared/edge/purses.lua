#!lua
-- Tell budgets, and what of them is spent and reserved.
--
-- KEYS  1 the mark that the organization's books are open   2 and on, two for each scope: policy (hash)   spending (hash)
-- ARGV  day and month of now
--
-- Answers for each scope, for the day, the month and all of time: limit ("" if there is none), committed, reserved;
-- nano-dollars as they are stored. Nothing while the books are not open: what is spent may be missing then.
if redis.call("EXISTS", KEYS[1]) == 0 then return {} end
local periods = { "d:" .. ARGV[1], "m:" .. ARGV[2], "t" }
local found = {}
for at = 2, #KEYS, 2 do
  local limits = redis.call("HMGET", KEYS[at], "daily", "monthly", "total")
  for index, period in ipairs(periods) do
    local spent = redis.call("HMGET", KEYS[at + 1], "c:" .. period, "r:" .. period)
    local size = #found
    found[size + 1], found[size + 2], found[size + 3] = limits[index] or "", spent[1] or "0", spent[2] or "0"
  end
end
return found
