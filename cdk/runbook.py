"""What each alarm says when it rings: what it means, and what to do first. This is the alarm's own description."""

from __future__ import annotations

from typing import Final

RUNBOOK: Final = {
    "functions-fail": (
        "Our own code failed three times in five minutes: authorizer or gateway crashed, ran out of time or memory, "
        "or a request ended in an unforeseen error (a 500). First: in the functions' logs look for event=fault and "
        "for timeouts; if a deployment was the last change, take it back."
    ),
    "functions-throttled": (
        "Lambda turned requests away because too many were under way. First: compare ConcurrentExecutions with the "
        "account's quota and with nexus:reserved_concurrency, and raise the one that is reached."
    ),
    "api-errors": (
        "In each of five minutes at least one request in twenty was answered with a 5xx. First: see on the "
        "dashboard which outcome and which provider they have; if it is one provider, look at its status page."
    ),
    "models-unserved": (
        "Three requests in five minutes could be served by nobody: all targets of their model failed or rest. "
        "First: in the gateway's log look for event=breaker.v1 state=none_left (target is the model), then for a "
        "refused key or an empty account at its providers. A further target or a fallback in the catalog prevents "
        "it."
    ),
    "minute-missed": (
        "For five minutes one of the functions that run each minute has not run to its end. If it is budgets, usage "
        "stays unbooked and fills the store in time; budgets hold. First: look for event=fault in the function's "
        "log, then whether its rule in EventBridge is enabled. Rings once when the stack is deployed for the first "
        "time, until they have run."
    ),
    "books-behind": (
        "For five minutes there was more usage than the budgets function could book within its minute. Nothing is "
        "lost: it waits in the store. First: on the dashboard compare the function's duration with its timeout, and "
        "look for throttled writes of the ledger."
    ),
    "books-broken": (
        "The books came upon a charge that they could not read. First: in the budgets function's log look for "
        "level=ERROR. What came from the store is in the ledger table, under a sort key that begins with broken#, "
        "to be read and booked by hand; what came from the log (reason=broken_line) is in the gateway's log alone."
    ),
    "money-unsettled": (
        "The store did not hear what requests have cost. Their reservations hold the money, and the books charge "
        "what the log says when they expire, about a quarter of an hour later. First: see whether store-lost rings "
        "as well; if not, look at the gateway's log for event=request settled=false, and at the store's latency."
    ),
    "store-lost": (
        "Valkey or the Directory could not be reached, or Valkey was empty: requests were refused with 503, or "
        "served uncounted where an organization wants that. First: look at the state and the events of the "
        "ElastiCache cache, then at DynamoDB. Counters are rebuilt on their own within a minute of its return."
    ),
    "store-full": (
        "The store holds four fifths of what nexus:valkey_max_gb allows. Full, it refuses writes, and so does the "
        "gateway. First: see whether minute-missed or books-behind rings, as unbooked usage grows; otherwise raise "
        "nexus:valkey_max_gb and deploy."
    ),
    "store-busy": (
        "In three minutes of five the store did four fifths of what nexus:valkey_max_ecpu allows, or throttled. "
        "Requests become slow, then 503. First: raise nexus:valkey_max_ecpu and deploy, unless one caller is the "
        "cause: nexus usage says which, and nexus limits bounds it."
    ),
    "tables-throttled": (
        "In three minutes of five DynamoDB throttled reads of the Directory (keys cannot be looked up) or writes of "
        "the ledger (the books fall behind). First: look at both tables' consumed units. Tables on demand take "
        "twice their earlier peak at once and more after half an hour; if it lasts longer, ask for a higher quota."
    ),
}
