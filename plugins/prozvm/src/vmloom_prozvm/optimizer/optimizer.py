"""The optimizer: which passes run at which level, again and again until nothing changes.

Optimized code gives the same result, the same kind of error, and the same state, ledger and events in the same order,
for at most as much gas. It expects code that loads; other code is left as it is wherever that shows. What fails is the
same instruction as before: `bytecode.origins.original_index` says which one that was.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final, TypeAlias

from ..bytecode.opcodes import Opcode
from ..bytecode.origins import ORIGINS, encode_origins, original_indices
from ..bytecode.program import Bytecode
from ..bytecode.verify import DEFAULT_CODE_LIMITS
from ..errors import ProzError
from ..gas import GasSchedule
from ..values import DEFAULT_LIMITS, Function, Value, ValueLimits, check_storable
from .code import Bounds, Code
from .common_subexpressions import eliminate_common_subexpressions
from .constant_folding import fold_constants
from .copy_propagation import propagate_copies
from .dead_code import remove_dead_code
from .instruction_combining import combine_instructions
from .jump_threading import thread_jumps
from .peephole import simplify_sequences
from .statistics import OptimizationStats
from .strength_reduction import reduce_strength

Pass: TypeAlias = Callable[[Code], int]

STACK_ROOM: Final = 16
"""Values that a stack is taken to have room for if nobody says how deep it may be."""
PASSES: Final[tuple[tuple[int, str, Pass], ...]] = (
    (1, "constant_folds", fold_constants),
    (2, "jumps_threaded", thread_jumps),
    (1, "dead_code_removed", remove_dead_code),
    (1, "peephole_opts", simplify_sequences),
    (1, "instructions_combined", combine_instructions),
    (2, "copies_eliminated", propagate_copies),
    (2, "common_subexpressions", eliminate_common_subexpressions),
    (3, "strength_reductions", reduce_strength),
)
"""The passes in the order of a round: the level from which each runs, and its key in the statistics."""
HIGHEST_LEVEL: Final = 3
_DEEPEST: Final = 64
"""Functions within functions that are optimized; those that lie deeper stay as they are."""


class BytecodeOptimizer:
    """Makes code smaller and cheaper without changing what it does.

    Args:
        level: 0 leaves code as it is; 1 folds constants, removes dead code and useless sequences and combines
            instructions; 2 also propagates copies, eliminates common subexpressions and threads jumps; 3 also reduces
            the strength of integer arithmetic.
        max_passes: Rounds over all passes, at least 1. Rounds end earlier where nothing changes.
        debug: Whether to print to standard error what every pass did.
        schedule: The prices that the code will be charged by; no change makes it dearer. The default ones if None.
        limits: The limits that values of the code will have.
        stack_limit: Values that the stack of one frame has room for, at least 1.
        constant_limit: Constants that one body of code may have; none are added beyond it.
        rules: The passes that run, by their keys in the statistics, in place of those of `level`.
        keeps_origins: Whether all changed code says in its metadata which instruction each one was. That takes room;
            otherwise only code with other metadata does, which may tell of instructions by their index.

    Raises:
        ValueError: For a number out of its range, and a rule that does not exist.
    """

    def __init__(
        self,
        level: int = 1,
        max_passes: int = 5,
        debug: bool = False,
        *,
        schedule: GasSchedule | None = None,
        limits: ValueLimits = DEFAULT_LIMITS,
        stack_limit: int = STACK_ROOM,
        constant_limit: int = DEFAULT_CODE_LIMITS.constants,
        rules: Iterable[str] | None = None,
        keeps_origins: bool = True,
    ) -> None:
        if level not in range(HIGHEST_LEVEL + 1):
            raise ValueError(f"level must be 0 to {HIGHEST_LEVEL}, got {level}")
        if max_passes < 1:
            raise ValueError(f"max_passes must be at least 1, got {max_passes}")
        if stack_limit < 1:
            raise ValueError(f"stack_limit must be at least 1, got {stack_limit}")
        self.level = level
        self.max_passes = max_passes
        self.debug = debug
        self._bounds: Final = Bounds(schedule or GasSchedule(), limits, constant_limit, stack_limit)
        self._passes: Final = _chosen(level, rules)
        self._keeps_origins: Final = keeps_origins
        self._stats = OptimizationStats()

    def optimize(
        self, instructions: Iterable[tuple[str | Opcode, Any]], constants: Sequence[Any]
    ) -> tuple[list[tuple[str, Any]], list[Any]]:
        """The optimized instructions, and the constants that go with them: the given ones and perhaps more.

        What is given does not change. Functions among the constants stay as they are; see `optimize_bytecode`.
        """
        self._stats = OptimizationStats()
        return self._optimize(list(instructions), constants, ())[:2]

    def optimize_bytecode(self, bytecode: Bytecode) -> Bytecode:
        """A new program that does the same, the bodies of its functions optimized, too."""
        self._stats = OptimizationStats()
        return self._body(bytecode, (), {}, _DEEPEST)

    def get_stats(self) -> dict[str, int | float]:
        """What the last call did: see `OptimizationStats` for the keys."""
        return self._stats.as_dict()

    def _body(self, bytecode: Bytecode, parameters: Sequence[str], done: dict[int, Function], depth: int) -> Bytecode:
        """`done` has the new functions by the identity of the old: one function must not become two."""
        instructions, constants, origins = self._optimize(bytecode.instructions, bytecode.constants, parameters)
        for index, constant in enumerate(constants):
            if isinstance(constant, Function) and depth and not constant.bound:
                if id(constant) not in done:
                    body = self._body(constant.bytecode, constant.parameters, done, depth - 1)
                    done[id(constant)] = replace(constant, bytecode=body)
                constants[index] = done[id(constant)]
        return Bytecode(constants, instructions, self._metadata(bytecode, origins))

    def _metadata(self, bytecode: Bytecode, origins: Sequence[int]) -> dict[str, Value]:
        """The metadata for code whose instructions were those at `origins` of `bytecode`.

        Without origins where they are not wanted, or a list of them would be larger than a value may be: the code must
        still load.
        """
        metadata = dict(bytecode.metadata)
        if not encode_origins(origins):
            return metadata
        if not self._keeps_origins and not metadata.keys() - {ORIGINS}:
            return {}
        encoded: list[Any] = encode_origins(original_indices(bytecode, origins))
        try:
            check_storable({**metadata, ORIGINS: encoded}, self._bounds.values)
        except ProzError:
            encoded = []
        metadata.pop(ORIGINS, None)
        return {**metadata, ORIGINS: encoded} if encoded else metadata

    def _optimize(
        self, instructions: Sequence[tuple[str | Opcode, Any]], constants: Sequence[Any], parameters: Sequence[str]
    ) -> tuple[list[tuple[str, Any]], list[Any], list[int]]:
        """The instructions and constants, and the index that each instruction had, with the end's."""
        code = Code.read(instructions, constants, self._bounds, parameters) if self._passes else None
        self._stats.original_size += len(instructions)
        if code is None:
            self._stats.optimized_size += len(instructions)
            given: list[Any] = list(instructions)  # whatever they are, they stay that
            return given, list(constants), list(range(len(given) + 1))
        for number in range(1, self.max_passes + 1):
            self._stats.passes_run = max(self._stats.passes_run, number)
            if not self._round(code, number):
                break
        self._stats.optimized_size += len(code.instructions)
        return code.written(), code.constants.values, code.origins

    def _round(self, code: Code, number: int) -> int:
        """Run every pass once. Returns how much they did."""
        total = 0
        for key, run in self._passes:
            count = run(code)
            total += count
            setattr(self._stats, key, getattr(self._stats, key) + count)
            if self.debug and count:
                print(f"round {number}, {key}: {count}, {len(code.instructions)} instructions left", file=sys.stderr)
        return total


def _chosen(level: int, rules: Iterable[str] | None) -> list[tuple[str, Pass]]:
    """The passes of a level, or those of some keys, in the order of a round."""
    if rules is None:
        return [(key, run) for least, key, run in PASSES if least <= level]
    wanted = set(rules)
    found = [(key, run) for _, key, run in PASSES if key in wanted]
    for rule in sorted(wanted.difference(key for key, _ in found)):
        raise ValueError(f"there is no rule {rule!r}; there are {', '.join(key for _, key, _ in PASSES)}")
    return found


def optimize_bytecode(bytecode: Bytecode, level: int = 1, **settings: Any) -> Bytecode:
    """A new program that does the same for at most as much gas. `settings` are those of `BytecodeOptimizer`."""
    return BytecodeOptimizer(level, **settings).optimize_bytecode(bytecode)
