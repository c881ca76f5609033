"""What ONNX Runtime's CUDA provider is told, and the few shapes that its runs have."""

from __future__ import annotations

from dataclasses import dataclass

from gpu_service.shapes import SHORTEST, rounded


@dataclass(frozen=True, slots=True)
class Cuda:
    """How to use a GPU.

    `memory_bytes` is the most that the provider's arena takes, 0 for all there is; `graphs` records each shape's
    kernels once and replays them as one; `shrink` gives memory back after each run, which then costs more. No run has
    more than `rows` rows, or than `tokens` tokens with the padding unless it is a single row.
    """

    memory_bytes: int = 0
    graphs: bool = False
    shrink: bool = False
    rows: int = 32
    tokens: int = 16_384

    @property
    def provider_options(self) -> dict[str, str]:
        """The options of the provider."""
        # the arena's other strategy doubles, while these shapes are few and come again
        found = {"arena_extend_strategy": "kSameAsRequested"}
        if self.memory_bytes:
            found["gpu_mem_limit"] = str(self.memory_bytes)
        if self.graphs:
            found["enable_cuda_graph"] = "1"
        return found

    def run_options(self, memory: str) -> dict[str, str]:
        """The options of a run whose buffers are in `memory`, "cuda" or "cpu"."""
        arena = {"cuda": "gpu:0", "cpu": "cpu:0"}[memory]
        return {"memory.enable_memory_arena_shrinkage": arena} if self.shrink else {}

    def shapes(self, max_tokens: int) -> list[tuple[int, int]]:
        """Give the shapes of all runs of a model that reads `max_tokens`, the largest first: the rest fits in."""
        lengths = {min(rounded(1, length)[1], max_tokens) for length in _powers(max_tokens)}
        found = {(rows, length) for rows in _powers(self.rows) for length in lengths}
        return sorted(filter(self._comes, found), key=lambda shape: (-shape[0] * shape[1], shape))

    def _comes(self, shape: tuple[int, int]) -> bool:
        """Say whether the least run that is rounded to `shape` is within the bounds."""
        rows, length = shape[0] // 2 + 1, 1 if shape[1] <= SHORTEST else shape[1] // 2 + 1
        return shape[0] == 1 or rows * length <= self.tokens


def _powers(most: int) -> list[int]:
    """The powers of two up to the first that is not less than `most`."""
    return [1 << power for power in range((most - 1).bit_length() + 1)]
