#!lua
-- Decide on one request, in all its scopes at once: everything or nothing, on this store's own clock. A refusal writes
-- nothing at all, but when it is the first to see that the organization is not open.
--
-- Some of its scopes are of models: of each that may come to serve it, whatever name it asked for. One of them that is
-- spent does not refuse the request as long as another is able: it is told, and nobody asks its targets.
--
-- KEYS  1 the request's hold (hash)   2 all holds (sorted set: request id -> end in milliseconds)
--       3 the mark that the organization's books are open (missing: its counters and policies may have been lost)
--       4 which catalog is live (hash)   5 the mark of a closure: when somebody first saw that 3 is missing, ms
--       6 and on, six for each scope, the key's first, those of models last: policy (hash)   log of admissions (list of
--       microseconds, oldest first)   admissions by tokens (sorted set: request id -> microseconds)   their tokens (hash,
--       and their `sum`)   leases (sorted set: request id -> end in milliseconds)   spending (hash, nano-dollars,
--       `c:<period>` committed, `r:<period>` reserved)
--       behind them one for each target that may serve it, the best first: what is known of it (hash: `fails` in a row,
--       the `last` one and the end of its rest `until` in milliseconds, who may `probe` it until `probe_ends`, how often
--       it was opened: `epoch`, latencies in microseconds and when they were `seen`, how many requests it serves: `busy`)
-- ARGV  1 request id   2 length of the lease, ms   3 and 4 the windows of a minute and an hour, microseconds
--       5 "1": what it costs has a bound where there is a price, "0": it has none
--       6 how many models, 0 if nothing is charged for it   7 how many targets
--       8 answers wanted, 0 if it has no tokens of an answer   9 max_tokens, 0: unset
--       10 what max_tokens becomes where one is needed and unset   11 "1": max_tokens may be lowered to what is left
--       12 the presets that limits of the key and of an endpoint must have been resolved with, "" for any
--       13 how to choose: "" takes the first that does not rest, "fastest", "least_loaded"   14 among how many of them
--       15 "stream" or "whole": of which answers the latencies count   16 ms that a probe has
--       17 number of the scope that says who the caller is (the key's, or the user's of a token)   18 digest of what the
--       authorizer took the caller for   19 and of the secret that opened the key, "" for none
--       20 the caller's address, as 4: or 6: and its bits, "" for none   21 when the caller's token was issued, epoch
--       seconds, 0 for a key
--       22 and on: the names of the scopes, then four for each model: nano-dollars that it costs in any case, "" if it
--       has no price, and at most for each token of max_tokens   tokens of its prompt at most   most tokens of its
--       answer, 0: unknown   then the weights of the targets, and the numbers of their models, 0 for none
--
-- Answers {"admitted", limit, remaining, reset, the same of tokens, nano-dollars held in the scopes of no model,
--          whether a budget applies, whether tokens are counted, day, month, version of the live catalog or -1, number of
--          the target to ask first, state of each ("c" closed, "o" open, "p" this request is its probe, "s" its model is
--          spent), then of each target latency and how many requests it serves, of each model max_tokens granted or 0,
--          nano-dollars held or -1 where it is spent, and tokens counted};
--         limit 0: unlimited; windows are the tightest ones,
--         {"refused", scope's number, rule, limit, used, reserved, wait or -1 for ever}: the longest to wait for, of
--         models that all are spent the one that is able first,
--         {"unprojected", numbers of the scopes of which nothing is known, or by other presets}, {"revoked" or "expired", scope's number},
--         {"blocked", scope's number, until}, {"address", scope's number, until}, {"stale"}: the authorizer's word is out of
--         date, {"void", scope's number}: the user's tokens of that age are good no more, {"unpriced", number of a model's
--         scope}, {"closed"} or, when all targets rest, {"resting", wait}. reset and wait are microseconds.
--
-- A window is half open: an admission counts until exactly its length has passed. Entries leave the log when the longest
-- limited window has passed them, so the log never holds more than that window's limit, at some 11 bytes each.

local FIRST, EACH, NAMES, BOUND = 6, 6, 21, 4
local STALE = 60000 -- ms after which a latency says nothing any more, so that one request finds it out anew
local KEPT = 1800000 -- ms that a target is remembered; longer than it can rest
local LONGEST_REST = 900000 -- ms, as the catalog allows; what ends later was written before the clock was set back
local CONCURRENCY_WAIT = 1000000 -- a slot may come free at any moment: worth a try in a second
local FIELDS = { "state", "expires_at", "rpm", "rph", "tpm", "concurrency", "daily", "monthly", "total", "blocked_until", "before" }

local request, minute, hour = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4])
local offered, count = tonumber(ARGV[6]), tonumber(ARGV[7])
local answers, wanted, fits = tonumber(ARGV[8]), tonumber(ARGV[9]), ARGV[11] == "1"
local named = #ARGV - NAMES - BOUND * offered - 2 * count
local shared = named - offered

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

-- Until when a network is blocked that ARGV[20] lies in: `known` is "<lengths of prefixes>|<prefix>=<until>|...".
local function blocked_address(known)
  if not known or known == "" then return nil end
  local family = string.sub(ARGV[20], 1, 2)
  for length in string.gmatch(string.match(known, "^[^|]*"), family .. "(%d+)") do
    local prefix = "|" .. string.sub(ARGV[20], 1, 2 + tonumber(length)) .. "="
    local _, last = string.find(known, prefix, 1, true)
    local ends = last and tonumber(string.match(known, "^%d+", last + 1))
    if ends and ends > seconds then return ends end
  end
  return nil
end

-- What is known of each scope, and who is turned away for what it is.
local hold = redis.call("HMGET", KEYS[1], "amount", "models", "reserved", "counted", "day", "month", "first")
local again = hold[1] -- the same request once more: its first answer was lost on the way

local models, all = {}, {}
for index = 1, offered do
  local at = NAMES + named + BOUND * (index - 1)
  models[index] = {
    number = shared + index, priced = ARGV[at + 1] ~= "", fixed = tonumber(ARGV[at + 1]) or 0,
    each = tonumber(ARGV[at + 2]), prompt = tonumber(ARGV[at + 3]), ceiling = tonumber(ARGV[at + 4]),
    budgets = {}, windows = {}, told = again and {} or nil, wait = math.huge,
  }
end
for index, granted, tokens in string.gmatch(hold[2] or "", "(%d+):(%d+):(%d+)") do
  local model = models[tonumber(index)]
  model.told, model.granted, model.tokens = nil, tonumber(granted), tonumber(tokens)
  model.amount = tonumber(redis.call("HGET", KEYS[1], "amount:" .. model.number))
end

-- A model is not able now; of its reasons the one that lasts longest is told.
local function drop(model, wait, told)
  if not again and (not model.told or wait > model.wait) then model.told, model.wait = told, wait end
end

local scopes, missing, preset_missing = {}, {}, false
for number = 1, named do
  local preset = number == 1 or string.sub(ARGV[NAMES + number], 1, 6) == "class:"
  local at = FIRST + (number - 1) * EACH
  local found = redis.call("HMGET", KEYS[at], unpack(FIELDS))
  local scope = { number = number, at = at, model = models[number - shared] }
  for index, field in ipairs(FIELDS) do
    if not found[index] and field ~= "before" then scope = nil break end -- who is the first under an id has none
    scope[field] = index == 1 and found[1] or tonumber(found[index]) or false
  end
  if preset and ARGV[12] ~= "" and redis.call("HGET", KEYS[at], "presets") ~= ARGV[12] then scope = nil end
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
  local away, wait = nil, math.huge
  if scope.state ~= "active" then
    away = { "revoked", scope.number }
  elseif (scope.blocked_until or 0) > seconds then
    away, wait = { "blocked", scope.number, scope.blocked_until }, (scope.blocked_until - seconds) * 1000000
  elseif (scope.expires_at or 0) > 0 and seconds >= scope.expires_at then
    away = { "expired", scope.number }
  end
  if away and not scope.model then return away end
  if away then drop(scope.model, wait, away) end
  if ARGV[20] ~= "" and string.sub(ARGV[NAMES + scope.number], 1, 4) == "org:" then
    local ends = blocked_address(redis.call("HGET", KEYS[scope.at], "addresses"))
    if ends then return { "address", scope.number, ends } end
  end
end
local caller = redis.call(
  "HMGET", KEYS[FIRST + (tonumber(ARGV[17]) - 1) * EACH], "identity", "secret", "secret_before", "secret_until",
  "tokens_since"
)
if ARGV[21] ~= "0" and (tonumber(caller[5]) or 0) > tonumber(ARGV[21]) then return { "void", tonumber(ARGV[17]) } end
local function is_stale()
  if ARGV[18] ~= "" and (caller[1] or "") ~= "" and caller[1] ~= ARGV[18] then return true end
  if ARGV[19] == "" or (caller[2] or "") == "" or caller[2] == ARGV[19] then return false end
  return caller[3] ~= ARGV[19] or seconds >= (tonumber(caller[4]) or 0)
end
if is_stale() then return { "stale" } end

-- A clock set back must not disorder the logs.
for _, scope in ipairs(scopes) do
  if scope.rpm > 0 or scope.rph > 0 then
    local last = tonumber(redis.call("LINDEX", KEYS[scope.at + 1], -1) or 0)
    if last > clock then clock = last end
  end
end

local function refused(scope, rule, limit, used, reserved, wait)
  return { "refused", scope.number, rule, limit, used, reserved, wait == math.huge and -1 or wait }
end

local refusal, longest -- of all that is shared
local function refuse(scope, rule, limit, used, wait)
  if scope.model then
    drop(scope.model, wait, refused(scope, rule, limit, used, 0, wait))
  elseif not again and (not refusal or wait > longest) then
    refusal, longest = refused(scope, rule, limit, used, 0, wait), wait
  end
end

-- Requests: exact sliding windows, and leases.
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

-- Note of a scope, or of all that is shared, where least is left.
local function note(holder, what, limit, remaining, reset)
  local known = holder[what]
  if not known or remaining < known[2] then holder[what] = { limit, math.max(0, remaining), reset } end
end

local function window(scope, rule, limit, length)
  if limit <= 0 then return end
  local log = KEYS[scope.at + 1]
  scope.length = scope.length or redis.call("LLEN", log)
  local first = first_after(log, clock - length, scope.length)
  local used = scope.length - first
  if used >= limit then
    refuse(scope, rule, limit, used, redis.call("LINDEX", log, scope.length - limit) + length - clock)
  end
  local oldest = first < scope.length and tonumber(redis.call("LINDEX", log, first)) or clock
  note(scope.model or all, "requests", limit, limit - used - (again and 0 or 1), oldest + length - clock)
  scope.horizon, scope.kept = length, first -- the hour comes second, and is the longer one
end

for _, scope in ipairs(scopes) do
  window(scope, "requests_per_minute", scope.rpm, minute)
  window(scope, "requests_per_hour", scope.rph, hour)
  if scope.concurrency > 0 then
    local live = redis.call("ZCOUNT", KEYS[scope.at + 4], "(" .. milliseconds, "+inf")
    if live >= scope.concurrency then refuse(scope, "concurrency", scope.concurrency, live, CONCURRENCY_WAIT) end
  end
end

-- Budgets and tokens: what is left of each.
local budgets, windows, budgeted = {}, {}, false
local function budget(scope, rule, limit, spend, index, ends, before)
  if not limit then return end
  local list = scope.model and scope.model.budgets or budgets
  list[#list + 1] = {
    scope = scope, rule = rule, limit = limit, committed = math.max(0, (spend[index] or 0) - (before or 0)),
    reserved = tonumber(spend[index + 1] or 0), wait = ends and ends * 86400000000 - now or math.huge,
  }
  scope.budgeted, budgeted = true, true
end
local periods = { "d:" .. day_name, "m:" .. month_name, "t" }
for _, scope in ipairs(again and {} or scopes) do
  if offered > 0 and (scope.daily or scope.monthly or scope.total) then
    local day, mon, total = unpack(periods)
    local spend = redis.call(
      "HMGET", KEYS[scope.at + 5], "c:" .. day, "r:" .. day, "c:" .. mon, "r:" .. mon, "c:" .. total, "r:" .. total
    )
    budget(scope, "budget_daily", scope.daily, spend, 1, today + 1)
    budget(scope, "budget_monthly", scope.monthly, spend, 3, next_month())
    budget(scope, "budget_total", scope.total, spend, 5, false, scope.before)
  end
  if offered > 0 and scope.tpm > 0 then
    scope.gone = redis.call("ZRANGEBYSCORE", KEYS[scope.at + 2], "-inf", whole(clock - minute))
    local used = tonumber(redis.call("HGET", KEYS[scope.at + 3], "sum") or 0)
    for _, id in ipairs(scope.gone) do used = used - (redis.call("HGET", KEYS[scope.at + 3], id) or 0) end
    local list = scope.model and scope.model.windows or windows
    list[#list + 1] = { scope = scope, limit = scope.tpm, used = used }
  end
end
if budgeted and not is_open() then return { "closed" } end

-- How long an answer of a model may get, and what it may cost and count then.
local function weigh(model, bound)
  local length = wanted > 0 and wanted or tonumber(ARGV[10])
  if model.ceiling > 0 and length > model.ceiling then length = model.ceiling end
  model.granted = 0
  if bound and answers > 0 and (wanted == 0 or fits) then
    for _, list in ipairs({ budgets, model.budgets }) do
      for _, b in ipairs(list) do
        local left = b.limit - b.committed - b.reserved - model.fixed
        if model.each > 0 then length = math.min(length, math.floor(left / model.each)) end
      end
    end
    for _, list in ipairs(fits and { windows, model.windows } or {}) do
      for _, w in ipairs(list) do length = math.min(length, math.floor((w.limit - w.used - model.prompt) / answers)) end
    end
    length = math.max(length, 1)
    if length ~= wanted then model.granted = length end
  end
  if answers == 0 then length = 0 end
  model.amount = ARGV[5] == "1" and model.priced and model.fixed + model.each * length or 0
  model.tokens = model.prompt + answers * length
end

local function check_budget(model, b)
  if b.committed + b.reserved + model.amount > b.limit then
    drop(model, b.wait, refused(b.scope, b.rule, b.limit, b.committed, b.reserved, b.wait))
  end
end

local function check_tokens(model, w)
  local over, wait, at = w.used + model.tokens - w.limit, math.huge, w.scope.at
  if over <= 0 then return end
  if model.tokens <= w.limit then
    local live = redis.call("ZRANGEBYSCORE", KEYS[at + 2], "(" .. whole(clock - minute), "+inf", "WITHSCORES")
    wait = minute
    for index = 1, #live, 2 do
      over = over - (redis.call("HGET", KEYS[at + 3], live[index]) or 0)
      if over <= 0 then wait = live[index + 1] + minute - clock break end
    end
  end
  drop(model, wait, refused(w.scope, "tokens_per_minute", w.limit, w.used, 0, wait))
end

local amount, tokens, left, lost = 0, 0, 0, nil -- `lost`: of the models that are spent the one that is able first
for _, model in ipairs(again and {} or models) do
  local paid = budgets[1] or model.budgets[1]
  weigh(model, paid or windows[1] or model.windows[1])
  if paid and (ARGV[5] == "0" or not model.priced) then drop(model, math.huge, { "unpriced", model.number }) end
  for _, b in ipairs(budgets) do check_budget(model, b) end
  for _, b in ipairs(model.budgets) do check_budget(model, b) end
  for _, w in ipairs(windows) do check_tokens(model, w) end
  for _, w in ipairs(model.windows) do
    check_tokens(model, w)
    note(model, "counted", w.limit, w.limit - w.used - model.tokens, minute)
  end
  if not model.told then
    left, amount, tokens = left + 1, math.max(amount, model.amount), math.max(tokens, model.tokens)
  elseif not lost or model.wait < lost.wait then
    lost = model
  end
end
for _, w in ipairs(windows) do note(all, "counted", w.limit, w.limit - w.used - tokens, minute) end
local spent = offered > 0 and left == 0 and not again
if refusal and not (spent and lost.wait > longest) then return refusal end
if spent then return lost.told end

-- Targets: whose model is spent, who rests, whom this request probes, who is asked first.
local function place_of(number) return KEYS[#KEYS - count + number] end
local states, latencies, busy, probes, epochs, soonest = {}, {}, {}, {}, {}, math.huge
for number = 1, count do
  local kind, model = ARGV[15], models[tonumber(ARGV[#ARGV - count + number])]
  local found = redis.call(
    "HMGET", place_of(number), "until", "probe", "probe_ends", "busy", "epoch", "latency:" .. kind, "seen:" .. kind
  )
  local rested, taken = tonumber(found[1] or 0), found[2] and found[2] ~= request and tonumber(found[3]) or 0
  local free = math.max(rested, taken)
  if free > milliseconds + LONGEST_REST then free = milliseconds end
  if model and model.told then states[number] = "s"
  elseif rested == 0 then states[number] = "c"
  elseif free > milliseconds then states[number], soonest = "o", math.min(soonest, free)
  elseif again and found[2] ~= request then states[number], soonest = "o", milliseconds
  else states[number], probes[#probes + 1] = "p", number end
  busy[number], epochs[number] = tonumber(found[4] or 0), found[5] or "0"
  latencies[number] = found[7] and math.abs(milliseconds - found[7]) < STALE and tonumber(found[6]) or 0
end

-- Less is better: a target to be probed, then one that nobody knows and nobody is trying just now.
local function rank(number)
  if states[number] == "p" then return -1 end
  if ARGV[13] == "least_loaded" then return busy[number] / ARGV[#ARGV - 2 * count + number] end
  return latencies[number] > 0 and latencies[number] or busy[number] > 0 and math.huge or 0
end
local first = again and tonumber(hold[7] or 0) or 0
for number = 1, again and 0 or count do
  local better = first == 0 or (ARGV[13] ~= "" and number <= tonumber(ARGV[14]) and rank(number) < rank(first))
  if (states[number] == "c" or states[number] == "p") and better then first = number end
end
if count > 0 and first == 0 and not again then
  local wait = (soonest - milliseconds) * 1000
  return lost and lost.wait < wait and lost.told or { "resting", wait }
end

-- Where least is left of `what`: in all that is shared, or with the model that has most.
local function least(what)
  local best = nil
  for _, model in ipairs(models) do
    if not model.told then
      if not model[what] then best = nil break end
      if not best or model[what][2] > best[2] then best = model[what] end
    end
  end
  local known = all[what]
  if best and (not known or best[2] < known[2]) then known = best end
  return known or { 0, 0, 0 }
end

local function admitted(held, is_budgeted, is_counted, day, mon)
  local requests, counted = least("requests"), least("counted")
  local told = {
    "admitted", requests[1], requests[2], requests[3], counted[1], counted[2], counted[3], held, is_budgeted, is_counted,
    day, mon, tonumber(redis.call("HGET", KEYS[4], "version") or -1), first, table.concat(states),
  }
  local size = #told
  for number = 1, count do told[size + 2 * number - 1], told[size + 2 * number] = latencies[number], busy[number] end
  size = #told
  for index, model in ipairs(models) do
    local at, able = size + 3 * index, not model.told
    told[at - 2], told[at - 1], told[at] = able and model.granted or 0, able and model.amount or -1, able and model.tokens or 0
  end
  return told
end
if again then
  return admitted(tonumber(hold[1]), hold[3] ~= "" and 1 or 0, hold[4] ~= "" and 1 or 0, hold[5], hold[6])
end

-- Admitted: write it down in every scope that counts.
local ends = milliseconds + ARGV[2]
local reserved, leased, counted, rated, grants, kept = {}, {}, {}, {}, {}, {}
for _, scope in ipairs(scopes) do
  local at, model = scope.at, scope.model
  local able = not (model and model.told)
  if able and scope.horizon then
    if model then rated[#rated + 1] = scope.number end
    if scope.kept > 0 then redis.call("LTRIM", KEYS[at + 1], scope.kept, -1) end
    redis.call("RPUSH", KEYS[at + 1], whole(clock))
    redis.call("PEXPIRE", KEYS[at + 1], math.ceil(scope.horizon / 1000) + 1000)
  end
  if able and scope.gone then
    counted[#counted + 1] = scope.number
    local freed, most = 0, model and model.tokens or tokens
    for _, id in ipairs(scope.gone) do
      freed = freed + (redis.call("HGET", KEYS[at + 3], id) or 0)
      redis.call("ZREM", KEYS[at + 2], id)
      redis.call("HDEL", KEYS[at + 3], id)
    end
    redis.call("ZADD", KEYS[at + 2], whole(clock), request)
    redis.call("HSET", KEYS[at + 3], request, whole(most))
    redis.call("HINCRBY", KEYS[at + 3], "sum", whole(most - freed))
    for key = at + 2, at + 3 do redis.call("PEXPIRE", KEYS[key], math.ceil(minute / 1000) + 1000) end
  end
  if able and scope.concurrency > 0 then
    leased[#leased + 1] = scope.number
    redis.call("ZREMRANGEBYSCORE", KEYS[at + 4], "-inf", milliseconds)
    redis.call("ZADD", KEYS[at + 4], ends, request)
    redis.call("PEXPIRE", KEYS[at + 4], ARGV[2], "NX")
    redis.call("PEXPIRE", KEYS[at + 4], ARGV[2], "GT") -- the longest lease decides, not the latest
  end
  if able and scope.budgeted then
    reserved[#reserved + 1] = scope.number
    local worst = whole(model and model.amount or amount)
    for _, period in ipairs(periods) do redis.call("HINCRBY", KEYS[at + 5], "r:" .. period, worst) end
  end
end
for index, model in ipairs(models) do
  if not model.told then
    grants[#grants + 1] = index .. ":" .. whole(model.granted) .. ":" .. whole(model.tokens)
    kept[#kept + 1], kept[#kept + 2] = "amount:" .. model.number, whole(model.amount)
  end
end
redis.call(
  "HSET", KEYS[1], "amount", whole(amount), "models", table.concat(grants, " "), "day", day_name, "month", month_name,
  "scopes", table.concat(ARGV, "\n", NAMES + 1, NAMES + named), "reserved", table.concat(reserved, " "),
  "leased", table.concat(leased, " "), "counted", table.concat(counted, " "), "rated", table.concat(rated, " "),
  "stamp", whole(clock), "expires", ends, unpack(kept)
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
    redis.call("HSET", place_of(number), "probe", request, "probe_ends", milliseconds + ARGV[16])
  end
end
return admitted(amount, reserved[1] and 1 or 0, counted[1] and 1 or 0, day_name, month_name)
