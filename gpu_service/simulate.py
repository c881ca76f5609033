"""`python -m gpu_service simulate`: what settings of the batcher would do to a load, without the load and the model.

The very policy that serves is run in made-up time, against a model that takes `--fixed-ms` plus `--token-us` for each
padded token, and varies by `--noise`.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gpu_service.batching import traces
from gpu_service.batching.cost import Cost
from gpu_service.batching.limits import Limits
from gpu_service.batching.policy import Policy
from gpu_service.batching.simulator import Simulator
from gpu_service.batching.traces import TraceError

if TYPE_CHECKING:
    from gpu_service.batching.simulator import Arrival, Report, Truth

SIZES: Final = (1, 2, 4, 8, 16, 32)
WAITS: Final = (0.0, 0.01, 0.05, 0.1)
_MOST: Final = 5_000_000  # requests; about a minute
_WORKERS: Final = 1024
_EPILOG: Final = """A file holds one request per line: `seconds,tokens[,tokens...]` with a number per row, or what
`serve` wrote to stdout. To know what a run of your model takes, time two: one of few tokens and one of many."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.epilog = _EPILOG
    add = parser.add_argument
    add("--trace", default="poisson", metavar="poisson|bursts|FILE", help="the arrivals (default: %(default)s)")
    add("--rate", type=_positive, default=200.0, help="requests a second (default: %(default)g)")
    add("--seconds", type=_positive, default=60.0, help="how long they come (default: %(default)g)")
    add("--tokens", type=_span, default=(6, 131), metavar="MIN-MAX", help="length of a request's row (default: 6-131)")
    add("--fixed-ms", type=_positive, default=1.7, help="what each run takes (default: %(default)g)")
    add("--token-us", type=_positive, default=220.0, help="and for each token with the padding (default: %(default)g)")
    add("--noise", type=_share, default=0.1, help="share by which runs vary (default: %(default)g)")
    add("--workers", type=_count, default=2, help="runs at a time (default: %(default)d)")
    add("--target-ms", type=_positive, default=1000.0, help="target latency (default: %(default)g)")
    add("--compare", action="store_true", help="also every fixed batch size with every fixed wait")
    add("--seed", type=int, default=1, help="another seed makes another load (default: %(default)d)")


def main(options: argparse.Namespace) -> int:
    """Simulate and print one line per setting.

    Raises:
        TraceError: the file is no trace, or the load is empty or too large.
    """
    load = _load(options)
    if not load:
        raise TraceError("No request comes in so short a time: raise --rate or --seconds.")
    target = options.target_ms / 1000
    settings = {"auto-tuned": Limits(target_latency=target)}
    if options.compare:
        settings |= {
            f"{size} rows, {wait * 1000:.0f} ms": fixed(size, wait, target) for size in SIZES for wait in WAITS
        }
    sys.stdout.write(f"{len(load)} requests in {load[-1].at:.0f} s, {options.workers} workers\n{_HEAD}\n")
    for name, limits in settings.items():
        policy = Policy(limits, workers=options.workers)
        report = Simulator(policy, _truth(options), workers=options.workers).run(load)
        sys.stdout.write(_line(name, report, target) + "\n")
    return 0


def fixed(size: int, wait: float, target: float) -> Limits:
    """Batch as servers without a cost model do: up to `size` rows, up to `wait` seconds for them to come together."""
    return Limits(max_batch_size=size, min_batch_size=size, max_wait=wait, target_latency=target, tune=False)


_HEAD: Final = "setting             tokens/s in time  refused   p50 ms   p95 ms  rows/run   text"


def _line(name: str, report: Report, target: float) -> str:
    rows, text = report.rows_per_run, report.efficiency
    p50, p95 = (report.percentile(share) * 1000 for share in (0.5, 0.95))
    return (
        f"{name:<18}{report.goodput(target):>18.0f}{report.refused:>9}{p50:>9.1f}{p95:>9.1f}{rows:>10.1f}{text:>7.0%}"
    )


def _load(options: argparse.Namespace) -> list[Arrival]:
    lengths = traces.even(*options.tokens)
    if options.trace in {"poisson", "bursts"}:
        if options.rate * options.seconds > _MOST:
            raise TraceError(f"More than {_MOST} requests would come: lower --rate or --seconds.")
        make = traces.poisson if options.trace == "poisson" else traces.bursts
        return list(make(options.rate, options.seconds, lengths, seed=options.seed))
    try:
        with Path(options.trace).open(encoding="utf-8") as lines:
            return traces.read(lines)
    except OSError as error:
        raise TraceError(f"--trace: {options.trace} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise TraceError(f"--trace: {options.trace} is no text.") from error


def _truth(options: argparse.Namespace) -> Truth:
    cost, chance = Cost(options.fixed_ms / 1e3, options.token_us / 1e6), random.Random(options.seed)  # noqa: S311 - no secret
    noise = options.noise
    return lambda padded, _now: cost.seconds(padded) * chance.uniform(1 - noise, 1 + noise)


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number


def _share(text: str) -> float:
    number = float(text)
    if not 0 <= number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to below 1")
    return number


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= _WORKERS:
        raise argparse.ArgumentTypeError(f"{text} is not from 1 to {_WORKERS}")
    return number


def _span(text: str) -> tuple[int, int]:
    least, _, most = text.partition("-")
    found = int(least), int(most or least)
    if not 1 <= found[0] <= found[1]:
        raise argparse.ArgumentTypeError(f"{text} is no range of lengths")
    return found
