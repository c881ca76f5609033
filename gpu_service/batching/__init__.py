"""Decides which rows share a run of the model: a pure policy, and the thin loop of threads around it.

`policy` says who is let in, who waits and who runs together; `cost` learns what a run costs; `tuning` holds the
promised latency; `batcher` gives the three a clock, a lock and threads; `simulator` gives them made-up ones.
"""
