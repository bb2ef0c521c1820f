"""The mutable side of a call: gas, stack, memory and how it ended. VMs of the stack kind build on it."""

from __future__ import annotations

from .context import ExecutionContext
from .result import ExecutionState


class StackError(Exception):
    """A pop from an empty stack, a peek below its bottom, or a push beyond its limit."""


class CallFrame:
    """One running call of a stack machine.

    `gas` is what is left, in gas. Stack items are integers of any size; the VM decides what fits. Memory is
    bytes and grows with zeros as it is written.
    """

    stack_limit = 1024

    def __init__(
        self,
        context: ExecutionContext,
        code: bytes = b"",
        *,
        jump_destinations: frozenset[int] = frozenset(),
    ) -> None:
        self.context = context
        self.code = code
        self.gas = context.gas_limit
        self.pc = 0
        self.stack: list[int] = []
        self.memory = bytearray()
        self.jump_destinations = jump_destinations
        self.state = ExecutionState.RUNNING
        self.output = b""
        self.message = ""

    def consume_gas(self, amount: int) -> bool:
        """Charge `amount` gas and tell whether execution may go on; if it may not, all gas is gone."""
        if amount < 0:
            raise ValueError(f"cannot consume {amount} gas")
        if amount > self.gas:
            self.gas = 0
            self.fail("out of gas")
            return False
        self.gas -= amount
        return True

    def push_stack(self, value: int) -> None:
        """Push `value`. Raises `StackError` when the stack is full."""
        if len(self.stack) >= self.stack_limit:
            raise StackError(f"stack limit of {self.stack_limit} items reached")
        self.stack.append(value)

    def pop_stack(self) -> int:
        """Take the top item. Raises `StackError` when there is none."""
        if not self.stack:
            raise StackError("pop from an empty stack")
        return self.stack.pop()

    def peek_stack(self, index: int = 0) -> int:
        """Item `index` below the top, left in place. Raises `StackError` beyond the bottom."""
        if not 0 <= index < len(self.stack):
            raise StackError(f"peek at item {index} of a stack of {len(self.stack)}")
        return self.stack[-1 - index]

    def get_memory(self, offset: int, size: int) -> bytes:
        """`size` bytes at `offset`, with zeros beyond what was written. Memory does not grow."""
        if offset < 0 or size < 0:
            raise ValueError(f"memory range {offset}+{size} is negative")
        return bytes(self.memory[offset : offset + size]).ljust(size, b"\0")

    def set_memory(self, offset: int, data: bytes) -> None:
        """Write `data` at `offset`, growing memory with zeros. Gas for growth is the VM's to charge, before."""
        if offset < 0:
            raise ValueError(f"memory offset {offset} is negative")
        if not data:
            return
        missing = offset + len(data) - len(self.memory)
        if missing > 0:
            self.memory.extend(bytes(missing))
        self.memory[offset : offset + len(data)] = data

    def is_valid_jump_destination(self, destination: int) -> bool:
        """Whether the code may be entered at `destination`, a byte offset."""
        return destination in self.jump_destinations

    def stop(self) -> None:
        """End with success; unused gas is kept."""
        self.state = ExecutionState.SUCCESS

    def revert(self, message: str = "") -> None:
        """End by undoing all changes; unused gas is kept."""
        self.state = ExecutionState.REVERTED
        self.message = message

    def fail(self, message: str) -> None:
        """End by undoing all changes and using all gas."""
        self.state = ExecutionState.FAILED
        self.message = message

    @property
    def gas_used(self) -> int:
        """Gas that ran away so far."""
        return self.context.gas_limit - self.gas
