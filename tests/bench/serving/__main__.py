"""`python -m tests.bench.serving`: the part of `make bench` that is about the GPU service."""

from __future__ import annotations

from tests.bench.serving import versus

versus.main()
