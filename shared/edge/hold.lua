#!lua
-- Put back what a request has reserved, after the store was lost, or while it was away: only as long as the organization
-- is closed, or open, by the same mark, and where nothing is known of the request. It is then settled, or charged when
-- its time has run out, like any other.
--
-- KEYS  1 the mark of the closure, or that the books are open   2 the mark of what became of the request   3 its hold (hash)   4 all holds
--       5 and on: spending (hash) of the scopes that money is reserved in
-- ARGV  1 what that mark must be   2 request id   3 nano-dollars   4 and 5 day and month of its admission
--       6 the names of its scopes   7 its end, ms   8 how many scopes are of no model
--       9 and on, two for each in KEYS: its number, nano-dollars reserved in it
--
-- Answers 1, or 0 where the mark is another: nothing is changed then.

if redis.call("GET", KEYS[1]) ~= ARGV[1] then return 0 end
if redis.call("EXISTS", KEYS[2], KEYS[3]) > 0 then return 1 end
local reserved, models, amounts = {}, {}, {}
for index = 5, #KEYS do
  local number, amount = ARGV[2 * index - 1], ARGV[2 * index]
  reserved[#reserved + 1] = number
  if tonumber(number) > tonumber(ARGV[8]) then
    models[#models + 1] = number - ARGV[8] .. ":0:0"
    amounts[#amounts + 1], amounts[#amounts + 2] = "amount:" .. number, amount
  end
  for _, period in ipairs({ "d:" .. ARGV[4], "m:" .. ARGV[5], "t" }) do
    redis.call("HINCRBY", KEYS[index], "r:" .. period, amount)
  end
end
redis.call(
  "HSET", KEYS[3], "amount", ARGV[3], "models", table.concat(models, " "), "day", ARGV[4], "month", ARGV[5],
  "scopes", ARGV[6], "reserved", table.concat(reserved, " "), "leased", "", "counted", "", "rated", "",
  "expires", ARGV[7], unpack(amounts)
)
redis.call("ZADD", KEYS[4], ARGV[7], ARGV[2])
return 1
