"""Precompiled contracts: code of the host behind an address. Sets of them are plugins."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .context import ExecutionContext
from .kernel import U64_MAX, u8, u64
from .result import ExecutionResult, ExecutionState

if TYPE_CHECKING:
    from .kernel import Ptr
    from .state import StateAccess

FAILED: Final = U64_MAX
"""What the kernel of a precompile returns where the specification says the call fails."""

OUTPUT_ROOM: Final = 256
"""Kernels without a `room` may write this many bytes of output, or as many as the input has if that is more."""


@dataclass(frozen=True, slots=True)
class Revision:
    """A VM's fork by `name`, and the `lineage` of forks it builds on, oldest first, itself included."""

    name: str
    lineage: tuple[str, ...]

    def includes(self, name: str) -> bool:
        """Whether this fork is `name` or came after it."""
        return name in self.lineage


@dataclass(frozen=True, slots=True)
class PrecompileKernel:
    """A precompile as two functions in the kernel language, which compiled engines run instead of the Python methods.

    Input is untrusted and may have any size, 0 included. `run` is only called once the caller has paid.
    """

    gas: Callable[[Ptr[u8], u64], u64]
    """`gas(input, size)`: the gas for `size` bytes at `input`; U64_MAX where it is more than that."""
    run: Callable[[Ptr[u8], u64, Ptr[u8]], u64]
    """`run(input, size, output)` writes the output and returns its size in bytes, or `FAILED`.

    Input and output do not overlap.
    """
    room: Callable[[Ptr[u8], u64], u64] | None = None
    """`room(input, size)`: how many bytes `run` may write to at `output`, the output and whatever it needs meanwhile.
    None is `kernel.room.usual_room`.

    It is called once the caller has paid. `FAILED` says that the call fails; then `run` is not called.
    """


class Precompile(ABC):
    """A contract that the host runs itself.

    Input is untrusted: `gas_cost` must price hostile lengths without allocating anything of that size, for
    it is called before `execute`, which is only called once the caller has paid.
    """

    @property
    def kernel(self) -> PrecompileKernel | None:
        """The same in the kernel language, if there is that: gas, output and failures agree with the methods."""
        return None

    @property
    @abstractmethod
    def name(self) -> str:
        """The field's name for it, such as ECRECOVER."""

    @abstractmethod
    def gas_cost(self, input: bytes) -> int:
        """Gas for this input, 0 and up; there is no upper bound (it may exceed 2**64)."""

    @abstractmethod
    def execute(self, context: ExecutionContext, input: bytes, state: StateAccess) -> ExecutionResult:
        """Run on `input`. A failure is a result whose state is FAILED: the caller then loses all gas of the call."""


class PrecompileFailure(Exception):
    """Raised by `PurePrecompile.compute` for input that the specification makes the call fail on."""


class PurePrecompile(Precompile):
    """A precompile that is a function of its input alone: implement `compute`, and get `execute`."""

    @abstractmethod
    def compute(self, input: bytes) -> bytes:
        """The output for `input`. Raises `PrecompileFailure` where the specification says the call fails."""

    def execute(self, context: ExecutionContext, input: bytes, state: StateAccess) -> ExecutionResult:
        """`compute` as a result; a failure uses all gas of the call."""
        try:
            output = self.compute(input)
        except PrecompileFailure as failure:
            return ExecutionResult(ExecutionState.FAILED, context.gas_limit, error=str(failure))
        return ExecutionResult(ExecutionState.SUCCESS, self.gas_cost(input), output)


class PrecompileSet(ABC):
    """What a precompile plugin offers: which precompile stands where, fork by fork."""

    @abstractmethod
    def at(self, revision: Revision) -> Mapping[bytes, Precompile]:
        """The precompiles of `revision` by 20-byte address; an address that is not in it is not ours."""
