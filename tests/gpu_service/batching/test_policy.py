"""The laws of batching: nothing is lost or run twice, bounds hold, the oldest goes first, and nobody waits in vain."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gpu_service.batching.cost import Cost
from gpu_service.batching.limits import Limits
from gpu_service.batching.policy import FOREVER, Policy
from gpu_service.batching.ticket import Batch, Row, Ticket

SIZES = st.lists(st.integers(1, 512), min_size=1, max_size=50)


def policy(limits: Limits | None = None, *, workers: int = 1, cost: Cost | None = None) -> Policy:
    """A policy that knows what runs cost: 2 ms and 0.2 ms per token, as a small encoder on a CPU."""
    return Policy(limits or Limits(), workers=workers, cost=cost or Cost(fixed=2e-3, per_token=2e-4))


def offer(to: Policy, *sizes: int, now: float = 0.0, expires: float = FOREVER) -> Ticket:
    """Put one request into the line."""
    ticket = Ticket(sizes, expires)
    to.offer(ticket, now)
    return ticket


def taken(found: Batch | float) -> list[int]:
    """The lengths of a batch's rows."""
    assert isinstance(found, Batch)
    return sorted(row.size for row in found.rows)


def line(of: Policy) -> list[Row]:
    """Every row that waits."""
    return [*of._view.values(), *of._behind.values()]


class Batching(RuleBasedStateMachine):
    """Any order of requests, hang-ups, idle workers and ends of runs, with time that passes."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.policy = policy(Limits(max_batch_size=8, max_batch_tokens=600), workers=3)
        self.waiting: dict[Ticket, set[int]] = {}
        self.running: list[Batch] = []

    @rule(sizes=SIZES, patience=st.floats(0.01, 5))
    def request(self, sizes: list[int], patience: float) -> None:
        """A request comes."""
        ticket = offer(self.policy, *sizes, now=self.now, expires=self.now + patience)
        self.waiting[ticket] = set(range(len(sizes)))

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        """A client hangs up."""
        ticket = data.draw(st.sampled_from(list(self.waiting)))
        self.policy.drop(ticket)
        del self.waiting[ticket]

    @precondition(lambda self: len(self.running) < 3)
    @rule()
    def take(self) -> None:
        """A worker asks; what it gets was waiting, has the oldest row in it and keeps the bounds."""
        for ticket in self.policy.expired(self.now):
            assert not ticket.begun
            assert ticket.expires <= self.now
            del self.waiting[ticket]
        oldest = min(line(self.policy), key=lambda row: row.number, default=None)
        found = self.policy.take(self.now)
        if not isinstance(found, Batch):
            assert oldest is None or 0 < found <= self.policy.limits.max_wait
            return
        assert oldest in found.rows
        assert len(found.rows) <= 8
        assert len(found.rows) == 1 or found.padded <= 600
        for row in found.rows:
            self.waiting[row.ticket].remove(row.place)  # raises if it was run before, or left
        self.waiting = {ticket: rows for ticket, rows in self.waiting.items() if rows}
        self.running.append(found)

    @precondition(lambda self: self.running)
    @rule(ran=st.booleans())
    def end(self, *, ran: bool) -> None:
        """A run ends."""
        self.policy.done(self.running.pop(0), self.now, ran=ran)

    @rule(seconds=st.floats(0, 0.3))
    def pass_time(self, seconds: float) -> None:
        """The clock goes on."""
        self.now += seconds

    @invariant()
    def every_request_is_in_the_line(self) -> None:
        """Whoever waits has a row that workers can see, and the books agree with the line."""
        assert {row.ticket for row in line(self.policy)} == set(self.waiting)
        assert self.policy._lengths == sorted(self.policy._view.values())
        assert self.policy.tokens == sum(row.size for row in line(self.policy))
        assert self.policy._seen == sum(row.size for row in self.policy._lengths)
        assert self.policy.wait(self.now) >= 0


TestBatching = Batching.TestCase
TestBatching.settings = settings(deadline=None, max_examples=60, stateful_step_count=30)


@settings(deadline=None)
@given(st.lists(st.integers(1, 300), min_size=1, max_size=60), st.integers(1, 4))
def test_nothing_waits_while_a_worker_is_idle(sizes: list[int], workers: int) -> None:
    """On a model where waiting does not pay, an idle worker always gets work when there is some."""
    busy = policy(workers=workers)
    for number, size in enumerate(sizes):
        offer(busy, size, now=number * 1e-4)

    assert all(isinstance(busy.take(1.0), Batch) for _ in range(min(workers, len(busy))) if len(busy))


def test_a_lone_request_never_waits_for_company() -> None:
    """Whatever runs cost, without arrivals to wait for there is no wait."""
    for cost in (Cost(2e-3, 2e-4), Cost(50e-3, 1e-7)):
        alone = policy(cost=cost)
        offer(alone, 16, now=100.0)
        assert taken(alone.take(100.0)) == [16]


def test_waiting_pays_where_a_run_costs_much_and_the_next_arrival_is_near() -> None:
    """20 ms a run whatever is in it, an arrival each millisecond: the worker waits about that, and not on."""
    eager = policy(cost=Cost(20e-3, 1e-7))
    for number in range(200):
        eager.drop(offer(eager, 16, now=number * 1e-3))
    offer(eager, 16, now=0.2)

    assert 0 < eager.take(0.2) < 5e-3  # type: ignore[operator]
    assert taken(eager.take(0.21)) == [16]  # nobody came


def test_the_operator_may_have_it_wait() -> None:
    """With a minimum of four rows a worker waits for them, at most for the time that is set."""
    fixed = policy(Limits(min_batch_size=4, max_batch_size=8, max_wait=0.05, tune=False))
    offer(fixed, 16, 16, now=1.0)

    assert abs(fixed.take(1.01) - 0.04) < 1e-9  # type: ignore[operator]
    offer(fixed, 16, 16, now=1.02)
    assert taken(fixed.take(1.02)) == [16] * 4
    offer(fixed, 16, now=2.0)
    assert taken(fixed.take(2.051)) == [16]


def test_neighbours_in_length_share_a_run() -> None:
    """The oldest goes with those that are nearly as long; padding may cost half the run that it saves."""
    mixed = policy()
    for size in (30, 500, 29, 5, 31, 30, 33, 498):
        offer(mixed, size)

    assert taken(mixed.take(0)) == [29, 30, 30, 31]
    assert taken(mixed.take(0)) == [500]  # 499 more tokens would be beyond what helps a CPU
    assert taken(mixed.take(0)) == [5]
    assert taken(mixed.take(0)) == [33]


def test_a_device_with_dear_runs_takes_any_padding() -> None:
    """Where a run costs 5 ms and a token 2 us, everything goes at once."""
    gpu = policy(cost=Cost(5e-3, 2e-6))
    for size in (30, 400, 28, 5):
        offer(gpu, size)

    assert taken(gpu.take(0)) == [5, 28, 30, 400]


def test_idle_workers_share_what_there_is() -> None:
    """Eight rows and two idle workers: four each, as that is done in half the time; on a GPU all in one run."""
    cpu, gpu = policy(workers=2), policy(workers=2, cost=Cost(5e-3, 2e-6))
    for one in (cpu, gpu):
        offer(one, *[16] * 8)

    assert len(taken(cpu.take(0))) == 4
    assert len(taken(gpu.take(0))) == 8


def test_a_large_request_costs_others_one_run() -> None:
    """A request of 2,000 rows came first; one of a single row is in the second batch."""
    shared = policy()
    offer(shared, *[16] * 2000)
    late = offer(shared, 16)
    first, second = shared.take(0), shared.take(0)

    assert isinstance(first, Batch)
    assert isinstance(second, Batch)
    assert any(row.ticket is late for row in [*first.rows, *second.rows])


def test_the_expired_and_the_gone_cost_nothing() -> None:
    """Neither is ever in a batch; what has begun is not given up."""
    one = policy(Limits(max_batch_size=1))
    begun, late, gone, good = (offer(one, 16, 16, expires=expires) for expires in (1.0, 1.0, 9.0, 9.0))
    assert taken(one.take(0)) == [16]
    one.drop(gone)

    assert one.expired(2.0) == [late]
    rest = [one.take(2.0) for _ in range(3)]
    assert [row.ticket for batch in rest if isinstance(batch, Batch) for row in batch.rows] == [good, begun, good]
    assert begun.begun
    assert one.take(2.0) == FOREVER


@settings(deadline=None)
@given(st.lists(st.integers(1, 500), min_size=30, max_size=300), st.integers(1, 500), st.integers(1, 3))
def test_the_refused_are_told_the_truth(sizes: list[int], size: int, workers: int) -> None:
    """Whoever is sent away and comes back when he was told to is let in, or nearly, if nobody else came meanwhile."""
    full = policy(workers=workers)
    for each in sizes:
        if full.excess(0.0, each) <= 0:
            offer(full, each)
    work(full, workers, until=1.0)
    for each in sizes:
        if full.excess(1.0, each) <= 0:
            offer(full, each, now=1.0)
    retry = max(0.0, full.excess(1.0, size))
    work(full, workers, until=1.0 + retry)

    assert full.excess(1.0 + retry, size) <= 0.25 * retry + 0.05


def work(on: Policy, workers: int, until: float) -> None:
    """Let the workers do what they get done by then, each run taking what it is expected to take."""
    now = 0.0
    while now <= until:
        while len(on.running) < workers and isinstance(on.take(now), Batch):
            pass
        if not on.running:
            return
        first = min(on.running, key=lambda batch: batch.began + batch.expected)
        now = first.began + first.expected
        if now <= until:
            on.done(first, now)


def test_a_refusal_tells_how_much_too_late_it_would_be() -> None:
    """2.2 s of work stand in the line, 0.7 s are allowed for wait and run: come back in about 1.6 s."""
    full = policy(Limits(max_batch_size=1))
    for _ in range(100):
        offer(full, 100)

    assert abs(full.wait(0.0) - 2.2) < 0.01
    assert abs(full.excess(0.0, 100) - (2.2 - (0.7 - 0.022))) < 0.01


def test_the_line_is_bounded_by_time() -> None:
    """Let in are those whose wait and run fit into the share of the target that the controller allows."""
    full = policy()
    let_in = 0
    while full.excess(0.0, 16) <= 0:
        offer(full, 16)
        let_in += 1

    assert 100 < let_in < 250  # 0.7 s of work at 3.4 ms a row, padding and fixed costs included
    assert full.wait(0.0) < full.limits.target_latency


def test_memory_that_does_not_suffice_halves_the_runs() -> None:
    """After `shrink` no batch has more than half the tokens."""
    small = policy()
    before = small.budget
    small.shrink()

    assert small.budget == before // 2


def test_without_tuning_the_bounds_alone_decide() -> None:
    """The budget is what the operator says."""
    assert policy(replace(Limits(), tune=False, max_batch_tokens=1234)).budget == 1234


def test_nobody_is_overtaken_by_more_than_some_runs() -> None:
    """One long text among a stream of short ones that fill every run is taken when it is the oldest, at the latest."""
    shared = policy()
    for _ in range(20):
        offer(shared, 16)
    long = offer(shared, 500)
    for number in range(20):
        for _ in range(20):
            offer(shared, 16)
        batch = shared.take(0.0)
        assert isinstance(batch, Batch)
        if batch.rows[0].ticket is long:
            assert number <= 2
            return
    raise AssertionError("The long text is still waiting.")
