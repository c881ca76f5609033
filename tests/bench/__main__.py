"""`make bench`: the numbers of the README. Ratios are taken within one run; absolute times are this machine's."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import sys
import tempfile
from pathlib import Path

from tests.bench import admissions, cold_start, failover, gateway_cpu, generation, streaming
from tests.bench.serving import __main__ as serving
from tests.bench.stack import Stack, running


def main() -> None:
    """Start the stack cold and warm, measure, print."""
    print(
        f"{os.cpu_count()} cores, {platform.machine()}, Python {sys.version.split()[0]}, load {os.getloadavg()[0]:.1f}"
    )
    with tempfile.TemporaryDirectory() as folder:
        with running(Path(folder)) as first:
            cold = first.seconds
        with running(Path(folder)) as stack:
            print(
                f"\nnexus local, to ready: {cold:.1f} s with a new state folder, {stack.seconds:.1f} s with a used one"
            )
            asyncio.run(gateway_cpu.warm(stack))
            _cold_starts(stack)
            _processor(stack)
            _streams(stack)
    print()
    admissions.main()
    print()
    failover.main()
    print()
    serving.main()
    print()
    generation.main()


def _cold_starts(stack: Stack) -> None:
    gateway, authorizer = (stack.environment(name) for name in (gateway_cpu.HANDLER, "functions.authorizer.handler"))
    least = cold_start.measure(Path(gateway["LAMBDA_TASK_ROOT"]), {**authorizer, **gateway})
    reference, _ = least["conventional"]
    print(f"\nCold start: CPU to import and build, above a bare interpreter (least of {cold_start.ROUNDS} rounds)")
    for name, (ms, mb) in least.items():
        print(f"  {name:<14}{ms:6.0f} ms   {mb:4.0f} MB   {ms / reference:.2f} of conventional")


def _processor(stack: Stack) -> None:
    print("\nCPU per request in the function process (least of interleaved rounds), by what the client speaks")
    for path in gateway_cpu.DIALECTS:
        for name, stream in (("whole", False), ("streamed", True)):
            gateway, floor = asyncio.run(gateway_cpu.measure(stack, path, stream=stream))
            told = f"{gateway:6.2f} ms   forward-only {floor:.2f} ms   ratio {gateway / floor:.2f}"
            print(f"  {path:<22}{name:<10}{told}")


def _streams(stack: Stack) -> None:
    through, direct = streaming.measure(stack)
    print(f"\nStreaming, a chunk every {streaming.GAP_MS} ms (medians)")
    for name, ours, theirs in (("first chunk", through.first, direct.first), ("gap", through.gap, direct.gap)):
        print(f"  {name:<14}{ours:6.2f} ms   direct {theirs:.2f} ms   added {ours - theirs:.2f} ms")
    print("  first event, by what the client speaks")
    for path in gateway_cpu.DIALECTS:
        ours, theirs = streaming.first_chunks(stack, path)
        print(f"  {path:<22}{ours:6.2f} ms   direct {theirs:.2f} ms   added {ours - theirs:.2f} ms")


if __name__ == "__main__":
    argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__).parse_args()
    main()
