#!lua
-- Reserve more money and tokens for a request that is tried once more after a try that may be billed: in all scopes or in
-- none. Of its models' scopes only that counts whose turn it is.
--
-- KEYS  1 the request's hold (hash)   2 and on, four for each scope, in the order of the admission: policy   spending
--       admissions by tokens   their tokens (hash)
-- ARGV  1 request id   2 the window of a minute, microseconds   3 how many scopes are of no model
--       4 number of the scope of the model that is tried   5 nano-dollars   6 tokens   7 and 8 the same in that scope
--
-- Answers 1, or 0 when a budget or the tokens per minute do not afford it, or the hold is gone. What was counted of the
-- request counts as if all of it came now: no minute may see too little.

local hold = redis.call("HMGET", KEYS[1], "amount", "day", "month", "reserved", "counted")
if not hold[1] then return 0 end
local request, minute, shared, model = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call("TIME")
local clock = time[1] * 1000000 + time[2]
local periods = { { "d:" .. hold[2], "daily" }, { "m:" .. hold[3], "monthly" }, { "t", "total" } }

local function whole(number)
  return string.format("%.0f", number)
end

-- The scopes among those of a list that need more, and how much of what ARGV says at `at`.
local function needing(list, at)
  local found = {}
  for number in string.gmatch(list, "%d+") do
    number = tonumber(number)
    local more = number <= shared and ARGV[at] or number == model and ARGV[at + 2] or "0"
    if more ~= "0" then found[#found + 1] = { at = 4 * number - 2, more = tonumber(more) } end
  end
  return found
end

local paying, counting = needing(hold[4], 5), needing(hold[5], 6)
for _, scope in ipairs(paying) do
  for _, period in ipairs(periods) do
    local policy = redis.call("HMGET", KEYS[scope.at], period[2], "before")
    local limit, before = tonumber(policy[1] or ""), period[1] == "t" and policy[2] or 0
    local spent = redis.call("HMGET", KEYS[scope.at + 1], "c:" .. period[1], "r:" .. period[1])
    local committed = math.max(0, (spent[1] or 0) - before)
    if limit and committed + tonumber(spent[2] or 0) + scope.more > limit then return 0 end
  end
end
for _, scope in ipairs(counting) do
  local limit = tonumber(redis.call("HGET", KEYS[scope.at], "tpm") or "0")
  local used = tonumber(redis.call("HGET", KEYS[scope.at + 3], "sum") or "0")
  for _, id in ipairs(redis.call("ZRANGEBYSCORE", KEYS[scope.at + 2], "-inf", whole(clock - minute))) do
    if id ~= request then used = used - (redis.call("HGET", KEYS[scope.at + 3], id) or 0) end
  end
  if limit > 0 and used + scope.more > limit then return 0 end
end

for _, scope in ipairs(paying) do
  for _, period in ipairs(periods) do
    redis.call("HINCRBY", KEYS[scope.at + 1], "r:" .. period[1], whole(scope.more))
  end
end
for _, scope in ipairs(counting) do
  local times, tokens = KEYS[scope.at + 2], KEYS[scope.at + 3]
  local last = redis.call("ZRANGE", times, -1, -1, "WITHSCORES")[2] -- a clock set back must not shorten it
  redis.call("ZADD", times, whole(math.max(clock, tonumber(last or 0))), request)
  redis.call("HINCRBY", tokens, request, whole(scope.more))
  redis.call("HINCRBY", tokens, "sum", whole(scope.more))
  for _, key in ipairs({ times, tokens }) do redis.call("PEXPIRE", key, math.ceil(minute / 1000) + 1000) end
end
redis.call("HINCRBY", KEYS[1], "amount", ARGV[5])
redis.call("HINCRBY", KEYS[1], "amount:" .. model, ARGV[7])
return 1
