#!lua
-- Close one request: what it cost in, what was reserved out, its leases ended, its use written down for the ledger. Once:
-- the second call with the same id changes nothing.
--
-- A model's scope is charged what that model cost and gives back the rest; one that nobody asked gives back all. What has
-- run out of time may have asked any of them: each is charged what it had reserved, until somebody knows better.
--
-- KEYS  1 the mark of what became of this request   2 its hold (hash)   3 all holds   4 the stream of usage
--       5 the counters (hash)   6 and on, three for each scope, in the order of the admission:
--       leases   tokens (hash)   spending (hash)   and for those of models, which are last, a fourth: log of admissions
--       and behind them the targets that were admitted to serve it
-- ARGV  1 request id   2 seconds the mark is kept   3 "settle", or "reap": its lease has run out and nobody settled
--       4 what it cost, nano-dollars ("reap": the whole reservation, whatever this says)
--       5 outcome   6 prompt tokens   7 completion tokens   8 and 9 day and month of its admission, if known
--       10 how many targets   11 failures in a row after which one rests   12 for how many milliseconds
--       13 "stream" or "whole"   14 what became of each try: "2-0 1+35123": the second target failed, the first answered
--       after so many microseconds   15 how many models
--       16 and on, six for each model: what it cost   1 if it was asked, else 0   its tokens of prompts, of completions,
--       and of cached prompts   name   then the fields of the usage event, name and value
--
-- Answers {1, and what changed: number of a target, its new state, failures, and so on}, or {0} when there was nothing to
-- do. A request that was reaped before is corrected to what it did cost, by a second event (seq 2); one of which nothing
-- is known any more (the store was flushed) is charged all the same.
--
-- A breaker counts results of requests that were admitted since it was last opened, and while it rests only its probe's.

local EACH, OF_MODEL, SHARE = 3, 4, 6
local KEPT = 1800000 -- ms that a target is remembered
local mark = redis.call("GET", KEYS[1])
local done = mark == "settled"
local count, failures, rest = tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])
local offered = tonumber(ARGV[15])
local shared = (#KEYS - 5 - count - OF_MODEL * offered) / EACH
local fields = {
  "amount", "day", "month", "reserved", "leased", "counted", "expires", "first", "probes", "epochs", "rated", "stamp",
}
local known = #fields
for index = 1, offered do fields[known + index] = "amount:" .. shared + index end
local hold = redis.call("HMGET", KEYS[2], unpack(fields))
if done and not hold[1] then return { 0 } end
local time = redis.call("TIME")
local milliseconds = time[1] * 1000 + math.floor(time[2] / 1000)
local cost, held, seq = tonumber(ARGV[4]), tonumber(hold[1] or 0), 1
local reserved = held -- now; what was charged for a hold before may be another amount
local day, month = hold[2] or ARGV[8], hold[3] or ARGV[9]
local reaps = ARGV[3] == "reap"

local models = {} -- by the number of their scope
for index = 1, offered do
  local at = 15 + SHARE * (index - 1)
  local amount = hold[known + index]
  local model = {
    held = tonumber(amount or 0), cost = tonumber(ARGV[at + 1]), asked = tonumber(ARGV[at + 2]),
    prompt = tonumber(ARGV[at + 3]), completion = tonumber(ARGV[at + 4]), cached = ARGV[at + 5], name = ARGV[at + 6],
  }
  if reaps then model.cost, model.asked = model.held, amount and 1 or 0 end
  models[shared + index] = model
end

if reaps then
  if not hold[1] or tonumber(hold[7]) > milliseconds then return { 0 } end
  cost = held
elseif mark and not done then
  held = tonumber(string.match(mark, "%d+"))
  cost, seq = cost - held, 2
  for charged, name in string.gmatch(mark, "\n(%d+) ([^\n]+)") do
    for _, model in pairs(models) do
      if model.name == name then model.cost, model.asked = model.cost - charged, model.asked - 1 end
    end
  end
end

local function whole(number)
  return string.format("%.0f", number)
end

local function place(number, which)
  if number <= shared then return KEYS[5 + (number - 1) * EACH + which] end
  return KEYS[5 + shared * EACH + (number - shared - 1) * OF_MODEL + which]
end

local function each(list, act)
  for number in string.gmatch(list or "", "%d+") do act(tonumber(number)) end
end

local function target(number) return KEYS[#KEYS - count + number] end

-- The places that this request took.
local function free_targets()
  if not hold[8] or count == 0 then return end -- it is settled by the journal, which knows no targets
  local place = target(tonumber(hold[8]))
  if redis.call("HINCRBY", place, "busy", -1) <= 0 then redis.call("HDEL", place, "busy") end
  each(hold[9], function(number)
    if redis.call("HGET", target(number), "probe") == ARGV[1] then
      redis.call("HDEL", target(number), "probe", "probe_ends")
    end
  end)
end

local periods = { "d:" .. day, "m:" .. month, "t" }
each(hold[5], function(number) redis.call("ZREM", place(number, 1), ARGV[1]) end)
each(not reaps and hold[6], function(number)
  local counted, model = redis.call("HGET", place(number, 2), ARGV[1]), models[number]
  if not counted then return end
  local used = model and model.prompt + model.completion or ARGV[6] + ARGV[7]
  redis.call("HSET", place(number, 2), ARGV[1], whole(used))
  redis.call("HINCRBY", place(number, 2), "sum", whole(used - counted))
end)
each(not reaps and hold[11], function(number)
  if models[number].asked == 0 then redis.call("LREM", place(number, 4), -1, hold[12]) end
end)
if hold[1] then
  each(hold[4], function(number)
    local given = models[number] and models[number].held or reserved
    for _, period in ipairs(periods) do
      if redis.call("HINCRBY", place(number, 3), "r:" .. period, whole(-given)) == 0 then
        redis.call("HDEL", place(number, 3), "r:" .. period)
      end
    end
  end)
  redis.call("DEL", KEYS[2])
  redis.call("ZREM", KEYS[3], ARGV[1])
end
-- The admission was lost on the way, came after its settlement or after it was charged unsettled, and is taken back.
if done or (mark and reaps) then
  free_targets()
  return { 0 }
end
for number = 1, shared + offered do
  local charged = models[number] and models[number].cost or cost
  for _, period in ipairs(charged ~= 0 and periods or {}) do
    redis.call("HINCRBY", place(number, 3), "c:" .. period, whole(charged))
  end
end

local shares, became = {}, { "reaped:" .. whole(held) }
for number = shared + 1, shared + offered do
  local model = models[number]
  if model.cost ~= 0 or model.asked ~= 0 or model.prompt + model.completion > 0 then
    shares[#shares + 1] = table.concat(
      { whole(model.cost), model.asked, whole(model.prompt), whole(model.completion), model.cached, model.name }, " "
    )
  end
  if model.asked > 0 then became[#became + 1] = whole(model.cost) .. " " .. model.name end
end
redis.call("SET", KEYS[1], reaps and table.concat(became, "\n") or "settled", "EX", ARGV[2])
redis.call(
  "XADD", KEYS[4], "*", "request_id", ARGV[1], "seq", seq, "cost", whole(cost), "held", whole(held), "day", day,
  "outcome", ARGV[5], "prompt", ARGV[6], "completion", ARGV[7], "models", table.concat(shares, "\n"),
  unpack(ARGV, 16 + SHARE * offered)
)
redis.call("HINCRBY", KEYS[5], "requests:" .. ARGV[5], 1)
redis.call("HINCRBY", KEYS[5], "prompt_tokens:" .. ARGV[5], ARGV[6])
redis.call("HINCRBY", KEYS[5], "completion_tokens:" .. ARGV[5], ARGV[7])

-- Targets: what became of the tries.
local changes, epochs = { 1 }, {}
each(hold[10], function(epoch) epochs[#epochs + 1] = epoch end)
local function changed(number, state, failed)
  local size = #changes
  changes[size + 1], changes[size + 2], changes[size + 3] = number, state, failed
end

local function opened(number, failed)
  redis.call("HDEL", target(number), "fails", "last", "probe", "probe_ends")
  redis.call("HSET", target(number), "until", milliseconds + rest)
  redis.call("HINCRBY", target(number), "epoch", 1)
  changed(number, "open", failed)
end

for number, sign, taken in string.gmatch(ARGV[14], "(%d+)([+-])(%d+)") do
  number, taken = tonumber(number), tonumber(taken)
  local place, good = target(number), sign == "+"
  local latency, seen = "latency:" .. ARGV[13], "seen:" .. ARGV[13]
  local found = redis.call("HMGET", place, "until", "probe", "fails", "last", "epoch", latency)
  if found[1] then
    if found[2] == ARGV[1] and good then
      redis.call("HDEL", place, "until", "probe", "probe_ends")
      changed(number, "closed", 0)
    elseif found[2] == ARGV[1] then
      opened(number, 1)
    end
  elseif tonumber(found[5] or 0) == (epochs[number] or 0) then
    local failed = (found[4] and milliseconds - found[4] <= rest and found[3] or 0) + 1
    if good then
      if found[3] then redis.call("HDEL", place, "fails", "last") end
    elseif failed >= failures then
      opened(number, failed)
    else
      redis.call("HSET", place, "fails", failed, "last", milliseconds)
    end
  end
  if good and taken > 0 then
    local known = tonumber(found[6] or taken)
    redis.call("HSET", place, latency, whole(known + (taken - known) / 5), seen, milliseconds)
  end
  redis.call("PEXPIRE", place, KEPT)
end
free_targets()
return changes
