"""What goes wrong in an emulator: PTX that is not sound or not emulated, and threads that do what they must not."""

from __future__ import annotations


class PtxError(Exception):
    """PTX that cannot be run: it is malformed, or asks for what is not emulated. `line` counts from 1."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"PTX line {line}: {reason}")
        self.line, self.reason = line, reason


class EmulatorFault(Exception):
    """A thread did what ends a kernel on a GPU, or what would go unnoticed there.

    Attributes:
        kernel: The kernel that was launched.
        line: Of the PTX, from 1; 0 where no single line is at fault.
        block: Number of the thread's block in the grid.
        thread: Number of the thread in its block.
        address: What it accessed; None where it was no access to memory.
        reason: In words.
    """

    def __init__(self, kernel: str, line: int, place: tuple[int, int], address: int | None, reason: str) -> None:
        self.kernel, self.line, self.address, self.reason = kernel, line, address, reason
        self.block, self.thread = place
        at = "" if address is None else f" at address {address:#x}"
        super().__init__(f"kernel {kernel}, PTX line {line}, block {self.block}, thread {self.thread}: {reason}{at}")


class StepLimit(EmulatorFault):
    """A thread ran more instructions than it was allowed: it may never end."""
