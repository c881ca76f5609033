#!lua
-- Set what scopes have spent to what the ledger says, or open the organization: only if nothing happened since.
--
-- KEYS  1 the mark of the closure   2 the stream of usage   3 the mark that the books are open   4 and on: spend (hash)
-- ARGV  1 what the mark of the closure must be   2 the last event that the ledger has booked
--       3 and on: for each hash the number of its fields, then name and value of each
--
-- Answers 1, or 0 where this closure is over, or where something was charged that the ledger does not hold: nothing is
-- changed then. Without a hash it opens. Whoever charges after this adds to what is set here.

if redis.call("GET", KEYS[1]) ~= ARGV[1] then return 0 end
if #KEYS == 3 then
  redis.call("SET", KEYS[3], ARGV[1])
  redis.call("DEL", KEYS[1])
  return 1
end

if redis.call("EXISTS", KEYS[2]) == 1 then
  local info = redis.call("XINFO", "STREAM", KEYS[2])
  for index = 1, #info, 2 do
    if info[index] == "last-generated-id" and info[index + 1] ~= ARGV[2] then return 0 end
  end
end

local position = 3
for index = 4, #KEYS do
  local fields = tonumber(ARGV[position])
  for field = 1, fields do
    redis.call("HSET", KEYS[index], ARGV[position + 2 * field - 1], ARGV[position + 2 * field])
  end
  position = position + 1 + 2 * fields
end
return 1
