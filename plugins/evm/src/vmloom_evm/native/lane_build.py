"""What a launch of lanes is made of: the program for a specification, and how large which part of a slab is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

from vmloom.kernel.memory import size_of
from vmloom.kernel.room import usual_room

from . import lanes, layout
from .arena import clear_memory
from .driver import at
from .hashing import hash_memory
from .lane_words import ALIGNED, BY_WORDS
from .layout import Frame
from .machine import Build
from .memory import HALF
from .run import compute_precompile, interpret, measure_precompile, price_precompile
from .switch import Switch

if TYPE_CHECKING:
    from vmloom.precompile import Precompile, PrecompileKernel
    from vmloom_native.program import Program

    from ..specification import Specification

ALIGNMENT: Final = 64
"""Of the regions of a slab, in bytes."""
WORD: Final = 8
PRECOMPILES: Final = frozenset({"ECRECOVER", "SHA256", "RIPEMD160", "IDENTITY"})
"""Those that lanes run themselves: calls of others escape, for they are rare, and take long or much code."""
REPLACEMENTS: Final[Mapping[Any, Any]] = {
    hash_memory: lanes.hash_memory_afresh,
    clear_memory: lanes.clear_memory_by_items,
    **BY_WORDS,
}
"""What lanes do otherwise than runs of the host."""
LEAST_FRAMES: Final = 2
LEAST_STACK: Final = 32
GREATEST_STACK: Final = 2048
GREATEST_INTERLEAVE: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class LaneSizes:
    """Room of a lane. Whoever needs more of anything escapes, so these trade lanes at a time for escapes.

    Raises `ValueError` for less than the first frame needs, and for a stack of another size than a power of two.
    """

    frames: int = 8
    """How many calls may nest, and 1 for the transaction itself: 2 and up."""
    stack_items: int = 128
    """Items of a stack and one more, or that many if the rules allow fewer: a power of two from 32 to 2,048."""
    memory: int = 16 << 10
    """Bytes for the memory of all frames, the transaction's data included."""
    return_data: int = 2 << 10
    """Bytes"""
    accounts: int = 32
    slots: int = 64
    transients: int = 16
    codes: int = 16
    """Different codes of accounts that are met."""
    code_bytes: int = 8 << 10
    """For code that is created."""
    journal: int = 512
    """Changes that may have to be taken back; an instruction wants 64 in reserve."""
    logs: int = 16
    log_bytes: int = 2 << 10
    marked: int = 32
    """Accounts that are touched or destroyed; an instruction wants 8 in reserve."""
    outcome: int = 8 << 10
    """Bytes for what comes of the execution: return data, logs, changes (152 bytes each), and created code."""
    interleave: int = 1
    """Lanes whose stacks are interleaved, a power of two. With 1 the items of a stack are neighbours (an array of
    structures); with 32 item `i` of the 32 threads of a warp are (a structure of arrays), so that a warp that reads
    the same item reads one kilobyte; with as many as there are lanes, those of all lanes."""

    def __post_init__(self) -> None:
        if self.frames < LEAST_FRAMES:
            raise ValueError(f"frames: {self.frames}; the transaction itself and a call need {LEAST_FRAMES}")
        if not LEAST_STACK <= self.stack_items <= GREATEST_STACK or self.stack_items & (self.stack_items - 1):
            raise ValueError(
                f"stack_items: {self.stack_items} is no power of two from {LEAST_STACK} to {GREATEST_STACK}"
            )
        if not 1 <= self.interleave <= GREATEST_INTERLEAVE or self.interleave & (self.interleave - 1):
            raise ValueError(f"interleave: {self.interleave} is no power of two from 1 to {GREATEST_INTERLEAVE}")
        for field in fields(self):
            if getattr(self, field.name) < 1:
                raise ValueError(f"{field.name}: {getattr(self, field.name)}; a lane has at least 1")

    @property
    def build(self) -> Build:
        """The build of the interpreter for lanes of these sizes."""
        return Build(traced=False, frames=self.frames, stack_spacing=self.stack_items, interleave=self.interleave)

    def stacks_size(self, count: int) -> int:
        """Bytes of the stacks of so many lanes, which begin at a multiple of `build.stack_size`."""
        return -(-count // self.interleave) * self.frames * self.build.stack_size


@dataclass(frozen=True, slots=True)
class Slab:
    """How a slab is divided: `regions` are (offset, room, offset of the index, mask of it), by their numbers."""

    regions: tuple[tuple[int, int, int, int], ...]
    size: int


def slab_of(sizes: LaneSizes) -> Slab:
    """The slab of a lane of these sizes."""
    rooms: dict[int, tuple[int, int]] = {
        lanes.RUN: (1, size_of(layout.Run)),
        lanes.FRAMES: (sizes.frames, size_of(Frame)),
        lanes.ACCOUNTS: (sizes.accounts + 1, size_of(layout.Account)),
        lanes.SLOTS: (sizes.slots + 1, size_of(layout.Slot)),
        lanes.TRANSIENTS: (sizes.transients + 1, size_of(layout.Slot)),
        lanes.CODES: (sizes.codes + 1, size_of(layout.Code)),
        lanes.CODE_BYTES: (sizes.code_bytes, 1),
        lanes.JOURNAL: (sizes.journal, size_of(layout.Entry)),
        lanes.LOGS: (sizes.logs, size_of(layout.Log)),
        lanes.LOG_BYTES: (sizes.log_bytes, 1),
        lanes.MARKED: (sizes.marked, WORD),
        lanes.SELECTED: (sizes.marked, WORD),
        lanes.RETURN_DATA: (sizes.return_data, 1),
        lanes.MEMORY: (sizes.memory, 1),
    }
    end = 0
    regions = {}
    for number, (room, row_size) in rooms.items():
        offset, end = end, _aligned(end + room * row_size, ALIGNMENT)
        index, mask = 0, 0
        if number <= lanes.CODES:
            places = 1 << (HALF * room).bit_length()
            index, mask, end = end, places - 1, _aligned(end + 4 * places, ALIGNMENT)
        regions[number] = (offset, room, index, mask)
    return Slab(tuple(regions[number] for number in range(lanes.REGION_COUNT)), end)


def _aligned(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment


def lane_precompiles(specification: Specification, names: Set[str] = PRECOMPILES) -> dict[int, PrecompileKernel]:
    """The precompiles of these names that are kernels, by their numbers in order of address."""
    items: list[tuple[int, Precompile]] = sorted(specification.precompiles.items())
    found = {number: one.kernel for number, (_, one) in enumerate(items) if one.name in names}
    return {number: kernel for number, kernel in found.items() if kernel is not None}


def lane_program(
    specification: Specification,
    sizes: LaneSizes,
    contracts: Sequence[bytes] = (),
    precompiles: Set[str] = PRECOMPILES,
) -> Program:
    """The program whose row bodies are `lanes.run_lane` and `lanes.analyse_code`, for one specification.

    `precompiles` are the names of those that lanes run themselves, which rows of precompiles have to agree with.
    `contracts` are codes that are compiled into it; rows of codes name them in `Code.compiled` by their places here,
    counted from 1. Raises `jit.compile.Uncompilable` for one that cannot be.
    """
    from vmloom_native.program import Program

    from ..jit.lanes import define_contracts
    from .build import BINDINGS

    build = sizes.build
    constants: dict[str, Any] = {"rules": specification.rules, "build": build}
    program = Program(bindings=BINDINGS, constants=constants, replacements=REPLACEMENTS)
    for function, text in ALIGNED.items():
        program.intrinsic(function, text)
    program.intrinsic(interpret, "  %stopped = call i64 @interpret(ptr %frame)\n  ret i64 %stopped")
    kernels = lane_precompiles(specification, precompiles)
    _choose(program, price_precompile, {number: kernel.gas for number, kernel in kernels.items()})
    _choose(program, measure_precompile, {number: kernel.room or usual_room for number, kernel in kernels.items()})
    _choose(program, compute_precompile, {number: kernel.run for number, kernel in kernels.items()}, writes=True)
    rows = [row for row in specification.rows.values() if row.code not in specification.disabled_opcodes]
    symbols = define_contracts(program, specification, build, contracts)
    Switch(program, rows, specification.fork.gas, build, specification.rules.stack_limit, symbols).write()
    return program


def _choose(
    program: Program, function: Callable[..., Any], kernels: Mapping[int, Callable[..., Any]], *, writes: bool = False
) -> None:
    """Let `function(frame, number)` call the kernel of that number by its name, on input and memory of the frame."""
    cases = " ".join(f"i64 {number}, label %at_{number}" for number in kernels)
    output = ", ptr %output" if writes else ""
    blocks = "".join(
        f"at_{number}:\n"
        f"  %found_{number} = call i64 @{program.function(kernel).symbol}(ptr %input, i64 %size{output})\n"
        f"  ret i64 %found_{number}\n"
        for number, kernel in kernels.items()
    )
    program.intrinsic(
        function,
        f"  %input_place = getelementptr i8, ptr %frame, i64 {at(Frame, 'input')}\n"
        "  %input = load ptr, ptr %input_place, align 8\n"
        f"  %size_place = getelementptr i8, ptr %frame, i64 {at(Frame, 'input_size')}\n"
        "  %size = load i64, ptr %size_place, align 8\n"
        f"  %output_place = getelementptr i8, ptr %frame, i64 {at(Frame, 'memory')}\n"
        "  %output = load ptr, ptr %output_place, align 8\n"
        f"  switch i64 %number, label %none [{cases}]\n{blocks}none:\n  ret i64 -1",
    )
