"""What a GPU is told, and which shapes runs have on it. No GPU has run this."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_service import shapes
from gpu_service.cuda import Cuda
from gpu_service.settings import Settings
from shared.edge.settings import SettingsError


def test_the_provider_is_told_what_was_set() -> None:
    """By the names that ONNX Runtime has for it; nothing of what was not."""
    assert Cuda().provider_options == {"arena_extend_strategy": "kSameAsRequested"}
    assert Cuda(memory_bytes=8 << 30, graphs=True).provider_options == {
        "arena_extend_strategy": "kSameAsRequested",
        "gpu_mem_limit": "8589934592",
        "enable_cuda_graph": "1",
    }
    assert Cuda(shrink=True).run_options("cuda") == {"memory.enable_memory_arena_shrinkage": "gpu:0"}
    assert Cuda().run_options("cuda") == {}


@given(
    rows=st.integers(1, 64), longest=st.integers(1, 700), most=st.integers(8, 700), tokens=st.sampled_from([64, 4096])
)
def test_every_run_has_a_shape_that_was_warmed_up(rows: int, longest: int, most: int, tokens: int) -> None:
    """Any run within the bounds is rounded to one of them, and the largest comes first."""
    cuda = Cuda(rows=64, tokens=tokens)
    longest = min(longest, most)
    found = cuda.shapes(most)
    count, length = shapes.rounded(rows, longest)

    assert len(found) == len(set(found))
    assert found[0] == max(found, key=lambda shape: shape[0] * shape[1])
    if rows == 1 or rows * longest <= tokens:
        assert (count, max(longest, min(length, most))) in found


def test_the_environment_says_how() -> None:
    """Two workers, one that computes and one that prepares; the bounds of a batch are those of the shapes."""
    settings = Settings.from_env(
        {"DEVICE": "cuda", "GPU_MEMORY_MB": "81920", "CUDA_GRAPHS": "on", "MAX_BATCH_TOKENS": "4096"}
    )

    assert settings.workers == 2
    assert settings.cuda == Cuda(memory_bytes=81920 << 20, graphs=True, tokens=4096)
    assert Settings.from_env({}).cuda == Cuda()
    with pytest.raises(SettingsError, match="CUDA_GRAPHS=on needs its memory to stay where it is"):
        Settings.from_env({"CUDA_GRAPHS": "on", "GPU_SHRINK": "on"})
