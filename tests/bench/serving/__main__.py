"""`python -m tests.bench.serving`: the part of `make bench` that is about the GPU service."""

from __future__ import annotations

import argparse

from tests.bench.serving import overload, tuning, versus


def main() -> None:
    """Measure all of it; without infinity, if it cannot be had."""
    overload.main()
    print()
    tuning.main()
    print("\nEmbeddings: 32 clients, one text per request")
    try:
        versus.main()
    except RuntimeError as error:
        print(f"  left out: {error}")


if __name__ == "__main__":
    argparse.ArgumentParser(prog="python -m tests.bench.serving", description=__doc__).parse_args()
    main()
