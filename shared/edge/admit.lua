#!lua
-- Decide on one request: everything or nothing, on this store's own clock. A refusal writes nothing at all.
--
-- KEYS  1 the key's projection (hash)   2 the log of its admissions (list of microseconds, oldest first)
--       3 its leases (sorted set: request id -> end in milliseconds)
-- ARGV  1 request id   2 length of the lease, ms   3 and 4 the windows of requests_per_minute and _per_hour, microseconds
--       5 the presets that the key's limits must have been resolved with, "" for any
--
-- Answers {"admitted", limit, remaining, reset} of the tightest window (limit 0: unlimited),
--         {"refused", scope, limit, used, wait} for the limit to wait for the longest, or
--         {"revoked"}, {"expired"}, {"unprojected"} (nothing is known of this key, or by other presets). reset and wait are microseconds.
--
-- A window is half open: an admission counts until exactly its length has passed. Entries leave the log when the longest
-- limited window has passed them, so the log never holds more than that window's limit, at some 11 bytes each.

local CONCURRENCY_WAIT = 1000000 -- a slot may come free at any moment: worth a try in a second

local function number(text)
  return tonumber(text) or 0
end

local function now()
  local time = redis.call("TIME")
  return time[1] * 1000000 + time[2]
end

local function stamp(index)
  return tonumber(redis.call("LINDEX", KEYS[2], index))
end

-- The position of the first entry later than `edge`: a gallop from the head, where a busy log has its edge, then halving.
local function first_after(edge, length)
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

local key = redis.call("HMGET", KEYS[1], "state", "expires_at", "rpm", "rph", "concurrency", "presets")
if not (key[1] and key[2] and key[3] and key[4] and key[5]) then return { "unprojected" } end
if ARGV[5] ~= "" and key[6] ~= ARGV[5] then return { "unprojected" } end
if key[1] ~= "active" then return { "revoked" } end
local clock = now()
local milliseconds = math.floor(clock / 1000)
local expires_at = number(key[2])
if expires_at > 0 and clock >= expires_at * 1000000 then return { "expired" } end

local windows = {
  { scope = "requests_per_minute", limit = number(key[3]), length = number(ARGV[3]) },
  { scope = "requests_per_hour", limit = number(key[4]), length = number(ARGV[4]) },
}
local again = redis.call("ZSCORE", KEYS[3], ARGV[1]) -- the same request once more: its first answer was lost on the way
local length = redis.call("LLEN", KEYS[2])
if length > 0 then clock = math.max(clock, stamp(-1)) end -- a clock set back must not disorder the log

local refusal, tightest
local horizon, kept = 0, length

local function refuse(scope, limit, used, wait)
  if not again and (not refusal or wait > refusal[5]) then refusal = { "refused", scope, limit, used, wait } end
end

for _, window in ipairs(windows) do
  if window.limit > 0 then
    local first = first_after(clock - window.length, length)
    local used = length - first
    if used >= window.limit then
      refuse(window.scope, window.limit, used, stamp(length - window.limit) + window.length - clock)
    end
    local remaining = math.max(0, window.limit - used - (again and 0 or 1))
    if not tightest or remaining < tightest[3] then
      local oldest = first < length and stamp(first) or clock
      tightest = { "admitted", window.limit, remaining, oldest + window.length - clock }
    end
    if window.length > horizon then horizon, kept = window.length, first end
  end
end

local concurrency = number(key[5])
if concurrency > 0 then
  local live = redis.call("ZCOUNT", KEYS[3], "(" .. milliseconds, "+inf")
  if live >= concurrency then refuse("concurrency", concurrency, live, CONCURRENCY_WAIT) end
end

if refusal then return refusal end
tightest = tightest or { "admitted", 0, 0, 0 }
if again then return tightest end

if horizon > 0 then
  if kept > 0 then redis.call("LTRIM", KEYS[2], kept, -1) end
  redis.call("RPUSH", KEYS[2], string.format("%.0f", clock))
  redis.call("PEXPIRE", KEYS[2], math.ceil(horizon / 1000) + 1000)
end
redis.call("ZREMRANGEBYSCORE", KEYS[3], "-inf", milliseconds)
redis.call("ZADD", KEYS[3], milliseconds + ARGV[2], ARGV[1])
redis.call("PEXPIRE", KEYS[3], ARGV[2], "NX")
redis.call("PEXPIRE", KEYS[3], ARGV[2], "GT") -- the longest lease decides, not the latest
return tightest
