#!lua
-- Put back what a request has reserved, after the store was lost: only while the organization is closed, and only where
-- nothing is known of the request. It is then settled, or charged when its time has run out, like any other.
--
-- KEYS  1 the mark of the closure   2 the mark of what became of the request   3 its hold (hash)   4 all holds
--       5 and on: spending (hash) of the scopes that money is reserved in
-- ARGV  1 what the mark of the closure must be   2 request id   3 nano-dollars   4 and 5 day and month of its admission
--       6 the names of its scopes   7 the numbers of those in KEYS   8 its end, ms
--
-- Answers 1, or 0 where this closure is over: nothing is changed then.

if redis.call("GET", KEYS[1]) ~= ARGV[1] then return 0 end
if redis.call("EXISTS", KEYS[2], KEYS[3]) > 0 then return 1 end
for number = 5, #KEYS do
  for _, period in ipairs({ "d:" .. ARGV[4], "m:" .. ARGV[5], "t" }) do
    redis.call("HINCRBY", KEYS[number], "r:" .. period, ARGV[3])
  end
end
redis.call(
  "HSET", KEYS[3], "amount", ARGV[3], "granted", 0, "day", ARGV[4], "month", ARGV[5], "scopes", ARGV[6],
  "reserved", ARGV[7], "leased", "", "counted", "", "expires", ARGV[8]
)
redis.call("ZADD", KEYS[4], ARGV[8], ARGV[2])
return 1
