#!lua
-- Close one request: end its lease and book what it used. The second call with the same id changes nothing.
--
-- KEYS  1 the mark that this request is settled   2 the leases of its key   3 the stream of usage   4 the counters (hash)
-- ARGV  1 request id   2 seconds the mark is kept   3 length of the stream, about
--       4 outcome   5 prompt tokens   6 completion tokens   7 and on: the fields of the usage event, name and value
--
-- Answers 1, or 0 when this request was settled before. A lease that has run out does not matter: late use is use.

if not redis.call("SET", KEYS[1], "1", "NX", "EX", ARGV[2]) then return 0 end
redis.call("ZREM", KEYS[2], ARGV[1])
redis.call("XADD", KEYS[3], "MAXLEN", "~", ARGV[3], "*", unpack(ARGV, 7))
redis.call("HINCRBY", KEYS[4], "requests:" .. ARGV[4], 1)
redis.call("HINCRBY", KEYS[4], "prompt_tokens:" .. ARGV[4], ARGV[5])
redis.call("HINCRBY", KEYS[4], "completion_tokens:" .. ARGV[4], ARGV[6])
return 1
