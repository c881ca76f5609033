"""The hammer: many clients against `nexus local` over HTTP, while everything breaks; then the money is counted.

`python -m tests.e2e.hammer --seconds 600 --seed 7` runs it for as long as you like, `tests/e2e/test_hammer.py` a short
piece of it. Clients ask, whole and streamed, and hang up; the provider refuses, breaks off and hangs; processes of the
functions are killed; requests are settled twice; Valkey is flushed. The provider's own log of calls is the truth: what
it has counted never costs more than the budget, and the ledger, the counters and the functions' logs agree to the
nano-dollar. After a flush, admission is open again within the longest lease and a minute.

What this cannot prove, because it takes a real AWS account:

* that Lambda ends an invocation in time, as the local run does, so that no request outlives its lease;
* how ElastiCache Serverless fails over: it may acknowledge an admission and then forget it, without forgetting all;
* DynamoDB's transactions under contention and throttling: here they are an emulator's, in a single process;
* what a provider bills for an exchange that broke: here, of a stream the chunks that left, of a whole answer all of it,
  and nothing where the connection was reset before an answer, or where it refused;
* clocks that differ: here, all parts read the same one. Limits, leases and periods use the store's alone.
"""
