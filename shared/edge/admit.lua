#!lua
-- Decide on one request, in all its scopes at once: everything or nothing, on this store's own clock. A refusal writes
-- nothing at all, but when it is the first to see that the organization is not open.
--
-- KEYS  1 the request's hold (hash)   2 all holds (sorted set: request id -> end in milliseconds)
--       3 the mark that the organization's books are open (missing: its counters and policies may have been lost)
--       4 which catalog is live (hash)   5 the mark of a closure: when somebody first saw that 3 is missing, ms
--       6 and on, six for each scope, the key's first: policy (hash)   log of admissions (list of microseconds, oldest
--       first)   admissions by tokens (sorted set: request id -> microseconds)   their tokens (hash, and their `sum`)
--       leases (sorted set: request id -> end in milliseconds)   spending (hash, nano-dollars, `c:<period>` committed,
--       `r:<period>` reserved)
--       behind them one for each target that may serve it, the best first: what is known of it (hash: `fails` in a row,
--       the `last` one and the end of its rest `until` in milliseconds, who may `probe` it until `probe_ends`, how often
--       it was opened: `epoch`, latencies in microseconds and when they were `seen`, how many requests it serves: `busy`)
-- ARGV  1 request id   2 length of the lease, ms   3 and 4 the windows of a minute and an hour, microseconds
--       5 "1": its price is known and has a bound, "0": it has none, "": nothing is charged for it
--       6 nano-dollars that it costs in any case   7 and at most for each token of max_tokens
--       8 tokens of its prompt at most   9 answers wanted, 0 if it has no tokens of an answer   10 max_tokens, 0: unset
--       11 most tokens of an answer of this model, 0: unknown   12 what max_tokens becomes where one is needed and unset
--       13 "1": max_tokens may be lowered to what is left
--       14 the presets that limits of the key and of an endpoint must have been resolved with, "" for any
--       15 how many targets   16 how to choose: "" takes the first that does not rest, "fastest", "least_loaded"
--       17 among how many of them   18 "stream" or "whole": of which answers the latencies count   19 ms that a probe has
--       20 number of the scope that says who the caller is (the key's, or the user's of a token)   21 digest of what the
--       authorizer took the caller for   22 and of the secret that opened the key, "" for none
--       23 the caller's address, as 4: or 6: and its bits, "" for none   24 when the caller's token was issued, epoch
--       seconds, 0 for a key
--       25 and on: the names of the scopes, then the weights of the targets
--
-- Answers {"admitted", limit, remaining, reset, the same of tokens, max_tokens granted or 0, nano-dollars held,
--          whether a budget applies, day, month, version of the live catalog or -1, number of the target to ask first,
--          state of each ("c" closed, "o" open, "p" this request is its probe), then of each target latency and how many
--          requests it serves};
--         limit 0: unlimited; windows are the tightest ones,
--         {"refused", scope's number, rule, limit, used, reserved, wait or -1 for ever}: the longest to wait for,
--         {"unprojected", numbers of the scopes of which nothing is known, or by other presets}, {"revoked" or "expired", scope's number},
--         {"blocked", scope's number, until}, {"address", scope's number, until}, {"stale"}: the authorizer's word is out of
--         date, {"void", scope's number}: the user's tokens of that age are good no more, {"unpriced"}, {"closed"} or,
--         when all targets rest, {"resting", wait}. reset and wait are microseconds.
--
-- A window is half open: an admission counts until exactly its length has passed. Entries leave the log when the longest
-- limited window has passed them, so the log never holds more than that window's limit, at some 11 bytes each.

local FIRST, EACH, NAMES = 6, 6, 24
local STALE = 60000 -- ms after which a latency says nothing any more, so that one request finds it out anew
local KEPT = 1800000 -- ms that a target is remembered; longer than it can rest
local CONCURRENCY_WAIT = 1000000 -- a slot may come free at any moment: worth a try in a second
local FIELDS = { "state", "expires_at", "rpm", "rph", "tpm", "concurrency", "daily", "monthly", "total", "blocked_until" }

local request, minute, hour = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4])
local fixed, each, prompt = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local count = tonumber(ARGV[15])
local named = #ARGV - NAMES - count
local answers, wanted, ceiling = tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])

local time = redis.call("TIME")
local seconds, clock = tonumber(time[1]), time[1] * 1000000 + time[2]
local now, milliseconds = clock, math.floor(clock / 1000)

local function whole(number)
  return string.format("%.0f", number)
end

-- Year, month and day of a number of days since 1970 (H. Hinnant's civil_from_days).
local function civil(days)
  days = days + 719468
  local era = math.floor(days / 146097)
  local doe = days - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local month = mp < 10 and mp + 3 or mp - 9
  return yoe + era * 400 + (month <= 2 and 1 or 0), month, doy - math.floor((153 * mp + 2) / 5) + 1
end

local today = math.floor(seconds / 86400)
local year, month, date = civil(today)
local day_name = string.format("%04d-%02d-%02d", year, month, date)
local month_name = string.sub(day_name, 1, 7)

local function next_month()
  local within = today - date + 32 -- the first of this month, and 31 days on
  local _, _, ahead = civil(within)
  return within - ahead + 1
end

-- Until when a network is blocked that ARGV[23] lies in: `known` is "<lengths of prefixes>|<prefix>=<until>|...".
local function blocked_address(known)
  if not known or known == "" then return nil end
  local family = string.sub(ARGV[23], 1, 2)
  for length in string.gmatch(string.match(known, "^[^|]*"), family .. "(%d+)") do
    local prefix = "|" .. string.sub(ARGV[23], 1, 2 + tonumber(length)) .. "="
    local _, last = string.find(known, prefix, 1, true)
    local ends = last and tonumber(string.match(known, "^%d+", last + 1))
    if ends and ends > seconds then return ends end
  end
  return nil
end

-- What is known of each scope, and who is turned away for what it is.
local scopes, missing, preset_missing = {}, {}, false
for number = 1, named do
  local preset = number == 1 or string.sub(ARGV[NAMES + number], 1, 6) == "class:"
  local at = FIRST + (number - 1) * EACH
  local found = redis.call("HMGET", KEYS[at], unpack(FIELDS))
  local scope = { number = number, at = at }
  for index, field in ipairs(FIELDS) do
    if not found[index] then scope = nil break end
    scope[field] = index == 1 and found[1] or tonumber(found[index]) or false
  end
  if preset and ARGV[14] ~= "" and redis.call("HGET", KEYS[at], "presets") ~= ARGV[14] then scope = nil end
  if preset and not scope then preset_missing = true end
  if scope then scopes[#scopes + 1] = scope else missing[#missing + 1] = number end
end
local open
local function is_open()
  if open == nil then
    open = redis.call("EXISTS", KEYS[3]) == 1
    -- From now on nothing is spent here, so who keeps the books need not wait from when they look themselves.
    if not open then redis.call("SET", KEYS[5], whole(milliseconds), "NX") end
  end
  return open
end
if missing[1] and (not is_open() or preset_missing) then return { "unprojected", unpack(missing) } end
for _, scope in ipairs(scopes) do
  if scope.state ~= "active" then return { "revoked", scope.number } end
  if (scope.blocked_until or 0) > seconds then return { "blocked", scope.number, scope.blocked_until } end
  if (scope.expires_at or 0) > 0 and seconds >= scope.expires_at then return { "expired", scope.number } end
  if ARGV[23] ~= "" and string.sub(ARGV[NAMES + scope.number], 1, 4) == "org:" then
    local ends = blocked_address(redis.call("HGET", KEYS[scope.at], "addresses"))
    if ends then return { "address", scope.number, ends } end
  end
end
local caller = redis.call(
  "HMGET", KEYS[FIRST + (tonumber(ARGV[20]) - 1) * EACH], "identity", "secret", "secret_before", "secret_until",
  "tokens_since"
)
if ARGV[24] ~= "0" and (tonumber(caller[5]) or 0) > tonumber(ARGV[24]) then return { "void", tonumber(ARGV[20]) } end
local function is_stale()
  if ARGV[21] ~= "" and (caller[1] or "") ~= "" and caller[1] ~= ARGV[21] then return true end
  if ARGV[22] == "" or (caller[2] or "") == "" or caller[2] == ARGV[22] then return false end
  return caller[3] ~= ARGV[22] or seconds >= (tonumber(caller[4]) or 0)
end
if is_stale() then return { "stale" } end

-- A clock set back must not disorder the logs.
for _, scope in ipairs(scopes) do
  if scope.rpm > 0 or scope.rph > 0 then
    local last = tonumber(redis.call("LINDEX", KEYS[scope.at + 1], -1) or 0)
    if last > clock then clock = last end
  end
end

local hold = redis.call("HMGET", KEYS[1], "amount", "granted", "reserved", "day", "month", "first")
local again = hold[1] -- the same request once more: its first answer was lost on the way

-- Targets: who rests, whom this request probes, who is asked first.
local function place_of(number) return KEYS[#KEYS - count + number] end
local states, latencies, busy, probes, epochs, soonest = {}, {}, {}, {}, {}, math.huge
for number = 1, count do
  local kind = ARGV[18]
  local found = redis.call(
    "HMGET", place_of(number), "until", "probe", "probe_ends", "busy", "epoch", "latency:" .. kind, "seen:" .. kind
  )
  local rested, taken = tonumber(found[1] or 0), found[2] and found[2] ~= request and tonumber(found[3]) or 0
  local free = math.max(rested, taken)
  if rested == 0 then states[number] = "c"
  elseif free > milliseconds then states[number], soonest = "o", math.min(soonest, free)
  elseif again and found[2] ~= request then states[number], soonest = "o", milliseconds
  else states[number], probes[#probes + 1] = "p", number end
  busy[number], epochs[number] = tonumber(found[4] or 0), found[5] or "0"
  latencies[number] = found[7] and milliseconds - found[7] < STALE and tonumber(found[6]) or 0
end

-- Less is better: a target to be probed, then one that nobody knows and nobody is trying just now.
local function rank(number)
  if states[number] == "p" then return -1 end
  if ARGV[16] == "least_loaded" then return busy[number] / ARGV[NAMES + named + number] end
  return latencies[number] > 0 and latencies[number] or busy[number] > 0 and math.huge or 0
end
local first = again and tonumber(hold[6] or 0) or 0
for number = 1, again and 0 or count do
  local better = first == 0 or (ARGV[16] ~= "" and number <= tonumber(ARGV[17]) and rank(number) < rank(first))
  if states[number] ~= "o" and better then first = number end
end

local function admitted(...)
  local told = { "admitted", ... }
  told[#told + 1] = tonumber(redis.call("HGET", KEYS[4], "version") or -1)
  local size = #told
  told[size + 1], told[size + 2] = first, table.concat(states)
  for number = 1, count do told[size + 1 + 2 * number], told[size + 2 + 2 * number] = latencies[number], busy[number] end
  return told
end

local refusal
local function refuse(number, rule, limit, used, reserved, wait)
  if not again and (not refusal or wait > refusal.wait) then
    refusal = { number, rule, limit, used, reserved, wait = wait }
  end
end

-- Requests: exact sliding windows, and leases.
local tightest
-- The position of the first entry later than `edge`: a gallop from the head, where a busy log has its edge, then halving.
local function first_after(log, edge, length)
  local function stamp(index) return tonumber(redis.call("LINDEX", log, index)) end
  local low, high, step = 0, 0, 1
  while high < length and stamp(high) <= edge do
    low, high, step = high + 1, high + step, step * 2
  end
  high = math.min(high, length)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if stamp(middle) <= edge then low = middle + 1 else high = middle end
  end
  return low
end

local function window(scope, rule, limit, length)
  if limit <= 0 then return end
  local log = KEYS[scope.at + 1]
  scope.length = scope.length or redis.call("LLEN", log)
  local first = first_after(log, clock - length, scope.length)
  local used = scope.length - first
  if used >= limit then
    refuse(scope.number, rule, limit, used, 0, redis.call("LINDEX", log, scope.length - limit) + length - clock)
  end
  local remaining = math.max(0, limit - used - (again and 0 or 1))
  if not tightest or remaining < tightest[2] then
    local oldest = first < scope.length and tonumber(redis.call("LINDEX", log, first)) or clock
    tightest = { limit, remaining, oldest + length - clock }
  end
  scope.horizon, scope.kept = length, first -- the hour comes second, and is the longer one
end

for _, scope in ipairs(scopes) do
  window(scope, "requests_per_minute", scope.rpm, minute)
  window(scope, "requests_per_hour", scope.rph, hour)
  if scope.concurrency > 0 then
    local live = redis.call("ZCOUNT", KEYS[scope.at + 4], "(" .. milliseconds, "+inf")
    if live >= scope.concurrency then
      refuse(scope.number, "concurrency", scope.concurrency, live, 0, CONCURRENCY_WAIT)
    end
  end
end

-- Budgets and tokens: what is left of each.
local budgets, windows = {}, {}
local function budget(scope, rule, period, limit, spend, index, ends)
  if not limit then return end
  local committed, reserved = tonumber(spend[index] or 0), tonumber(spend[index + 1] or 0)
  budgets[#budgets + 1] = { scope.number, rule, limit, committed, reserved, ends }
  scope.budgeted = true
end
local periods = { "d:" .. day_name, "m:" .. month_name, "t" }
for _, scope in ipairs(scopes) do
  if ARGV[5] ~= "" and (scope.daily or scope.monthly or scope.total) then
    local day, mon, all = unpack(periods)
    local spend = redis.call(
      "HMGET", KEYS[scope.at + 5], "c:" .. day, "r:" .. day, "c:" .. mon, "r:" .. mon, "c:" .. all, "r:" .. all
    )
    budget(scope, "budget_daily", day, scope.daily, spend, 1, today + 1)
    budget(scope, "budget_monthly", mon, scope.monthly, spend, 3, next_month())
    budget(scope, "budget_total", all, scope.total, spend, 5, false)
  end
  if ARGV[5] ~= "" and scope.tpm > 0 then
    scope.gone = redis.call("ZRANGEBYSCORE", KEYS[scope.at + 2], "-inf", whole(clock - minute))
    local used = tonumber(redis.call("HGET", KEYS[scope.at + 3], "sum") or 0)
    for _, id in ipairs(scope.gone) do used = used - (redis.call("HGET", KEYS[scope.at + 3], id) or 0) end
    windows[#windows + 1] = { scope = scope, limit = scope.tpm, used = used }
  end
end
if again then return admitted(
  tightest and tightest[1] or 0, tightest and tightest[2] or 0, tightest and tightest[3] or 0, 0, 0, 0,
  tonumber(hold[2]), tonumber(hold[1]), hold[3] ~= "" and 1 or 0, hold[4], hold[5]
) end
if budgets[1] and not is_open() then return { "closed" } end
if budgets[1] and ARGV[5] == "0" then return { "unpriced" } end

-- How long an answer may get, and what it may cost then.
local granted, length = 0, wanted > 0 and wanted or tonumber(ARGV[12])
if ceiling > 0 and length > ceiling then length = ceiling end
if answers > 0 and (wanted == 0 or ARGV[13] == "1") and (budgets[1] or windows[1]) then
  for _, b in ipairs(budgets) do
    if each > 0 then length = math.min(length, math.floor((b[3] - b[4] - b[5] - fixed) / each)) end
  end
  if ARGV[13] == "1" then
    for _, w in ipairs(windows) do length = math.min(length, math.floor((w.limit - w.used - prompt) / answers)) end
  end
  length = math.max(length, 1)
  if length ~= wanted then granted = length end
end
if answers == 0 then length = 0 end
local amount = ARGV[5] == "1" and fixed + each * length or 0
local tokens = prompt + answers * length

for _, b in ipairs(budgets) do
  local number, rule, limit, committed, reserved, ends = unpack(b)
  if committed + reserved + amount > limit then
    refuse(number, rule, limit, committed, reserved, ends and ends * 86400000000 - now or math.huge)
  end
end
local tightest_tokens
for _, w in ipairs(windows) do
  local over, at = w.used + tokens - w.limit, w.scope.at
  if tokens > w.limit then
    refuse(w.scope.number, "tokens_per_minute", w.limit, w.used, 0, math.huge)
  elseif over > 0 then
    local live, wait = redis.call("ZRANGEBYSCORE", KEYS[at + 2], "(" .. whole(clock - minute), "+inf", "WITHSCORES"), minute
    for index = 1, #live, 2 do
      over = over - (redis.call("HGET", KEYS[at + 3], live[index]) or 0)
      if over <= 0 then wait = live[index + 1] + minute - clock break end
    end
    refuse(w.scope.number, "tokens_per_minute", w.limit, w.used, 0, wait)
  end
  local remaining = math.max(0, w.limit - w.used - tokens)
  if not tightest_tokens or remaining < tightest_tokens[2] then tightest_tokens = { w.limit, remaining, minute } end
end

if refusal then
  return {
    "refused", refusal[1], refusal[2], refusal[3], refusal[4], refusal[5],
    refusal.wait == math.huge and -1 or refusal.wait,
  }
end

if count > 0 and first == 0 then return { "resting", (soonest - milliseconds) * 1000 } end

-- Admitted: write it down in every scope that counts.
local ends = milliseconds + ARGV[2]
local reserved, leased, counted = {}, {}, {}
for _, scope in ipairs(scopes) do
  local at = scope.at
  if scope.horizon then
    if scope.kept > 0 then redis.call("LTRIM", KEYS[at + 1], scope.kept, -1) end
    redis.call("RPUSH", KEYS[at + 1], whole(clock))
    redis.call("PEXPIRE", KEYS[at + 1], math.ceil(scope.horizon / 1000) + 1000)
  end
  if scope.gone then
    counted[#counted + 1] = scope.number
    local freed = 0
    for _, id in ipairs(scope.gone) do
      freed = freed + (redis.call("HGET", KEYS[at + 3], id) or 0)
      redis.call("ZREM", KEYS[at + 2], id)
      redis.call("HDEL", KEYS[at + 3], id)
    end
    redis.call("ZADD", KEYS[at + 2], whole(clock), request)
    redis.call("HSET", KEYS[at + 3], request, whole(tokens))
    redis.call("HINCRBY", KEYS[at + 3], "sum", whole(tokens - freed))
    for key = at + 2, at + 3 do redis.call("PEXPIRE", KEYS[key], math.ceil(minute / 1000) + 1000) end
  end
  if scope.concurrency > 0 then
    leased[#leased + 1] = scope.number
    redis.call("ZREMRANGEBYSCORE", KEYS[at + 4], "-inf", milliseconds)
    redis.call("ZADD", KEYS[at + 4], ends, request)
    redis.call("PEXPIRE", KEYS[at + 4], ARGV[2], "NX")
    redis.call("PEXPIRE", KEYS[at + 4], ARGV[2], "GT") -- the longest lease decides, not the latest
  end
  if scope.budgeted then
    reserved[#reserved + 1] = scope.number
    for _, period in ipairs(periods) do redis.call("HINCRBY", KEYS[at + 5], "r:" .. period, whole(amount)) end
  end
end
redis.call(
  "HSET", KEYS[1], "amount", whole(amount), "granted", granted, "day", day_name, "month", month_name,
  "scopes", table.concat(ARGV, "\n", NAMES + 1, NAMES + named), "reserved", table.concat(reserved, " "),
  "leased", table.concat(leased, " "), "counted", table.concat(counted, " "), "expires", ends
)
redis.call("ZADD", KEYS[2], ends, request)
if count > 0 then
  redis.call(
    "HSET", KEYS[1], "first", first, "probes", table.concat(probes, " "), "epochs", table.concat(epochs, " "),
    "targets", table.concat(KEYS, "\n", #KEYS - count + 1)
  )
  redis.call("HINCRBY", place_of(first), "busy", 1)
  redis.call("PEXPIRE", place_of(first), KEPT)
  for _, number in ipairs(probes) do
    redis.call("HSET", place_of(number), "probe", request, "probe_ends", milliseconds + ARGV[19])
  end
end
tightest, tightest_tokens = tightest or { 0, 0, 0 }, tightest_tokens or { 0, 0, 0 }
return admitted(
  tightest[1], tightest[2], tightest[3], tightest_tokens[1], tightest_tokens[2], tightest_tokens[3],
  granted, amount, reserved[1] and 1 or 0, day_name, month_name
)
