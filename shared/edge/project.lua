#!lua
-- Write what the Directory says of one scope, unless something newer is here: two writers may pass each other.
--
-- KEYS  1 the scope's policy (hash)
-- ARGV  1 version   2 and on: the fields, name and value
--
-- Answers 1, or 0 when a newer version was found and kept.

local version = tonumber(redis.call("HGET", KEYS[1], "version"))
if version and version > tonumber(ARGV[1]) then return 0 end
redis.call("HSET", KEYS[1], "version", ARGV[1], unpack(ARGV, 2))
return 1
