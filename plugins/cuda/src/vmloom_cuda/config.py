"""The configuration of this package."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt

WARP: Final = 32
"""Threads that run in step; a block is a multiple of it."""
BLOCK: Final = 128
"""Threads that kernels are compiled for at most, as `vmloom_cuda.ptx` has it, which takes long to import."""
HOT: Final = 1 << 16
"""Executions after which a contract is compiled, as `vmloom_cuda.evm.lane_kernels` has it."""


class CudaConfig(BaseModel):
    """`[accelerator.cuda]`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    devices: tuple[NonNegativeInt, ...] | None = Field(default=None, min_length=1)
    """Numbers of the GPUs that share batches; by default all that can be used."""
    memory_fraction: Annotated[float, Field(gt=0.0, le=1.0)] = 0.8
    """Share of a GPU's free memory that batches may fill. What needs more is run in parts."""
    part_bytes: PositiveInt = 1 << 26
    """Bytes of a part of a batch, so that copies of one part and the kernel of another run at the same time."""
    block: Annotated[int, Field(ge=WARP, le=BLOCK, multiple_of=WARP)] = BLOCK
    """Threads of a block."""
    pinned_results: bool = False
    """Return results in pinned memory, which a GPU writes to without a detour; there should be enough of it."""
    executions: bool = True
    """Run independent calls of EVM contracts, where that should take less time than the processor does."""
    lanes: PositiveInt = 1 << 14
    """Calls that run on a GPU at a time; fewer where its memory does not suffice."""
    hot: NonNegativeInt = HOT
    """Calls after which a contract is compiled into the kernels that run calls: 8 at most, none of more than 16 KiB, in
    the background. With 0 none is. Results are the same."""
    emulated: bool = False
    """Run kernels in the emulator, to try out everything but speed where there is no GPU. It is thousands of times
    slower, and told to cost nothing: so whoever switches it on sees it used."""
    emulated_memory: PositiveInt = 1 << 28
    """Bytes of memory of an emulated device."""
