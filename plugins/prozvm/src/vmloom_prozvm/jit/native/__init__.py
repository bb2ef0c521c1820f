"""Tier 2 in machine code: programs whose loops compute with integers, state and hashes. Needs `vmloom-native`.

What is typed how. `facts` runs every function of a program abstractly. A value is an integer of 64 bits, a bool, None,
a digest (the string that HASH_BLOCK makes, as 32 bytes), or an *object*: any other value of Python, which native code
moves about by its number and does not look into. Where the kind is known when the program is compiled, nothing is
tested; where it is not, a word beside the value has it, and instructions test that. Registers and stack slots
become processor registers. Lists and maps of constants and scalars that are hashed at once are never made.

Where it stops. Native code does an instruction only if it is certain to do what the interpreter does: integers whose
result has 64 bits, names that have a value, calls of the program's own functions with integers, a state whose values
are integers, bools or None. Otherwise it leaves *before* the instruction: it writes instruction, stack and registers
of all its frames to memory, Python makes frames of the interpreter of them, and the interpreter goes on. Where a
loop begins, it tries to come back. So native code need not know everything, and raises no error of its own.

Why that is exact. *Gas* of the instructions up to the next call or the end of a block is taken before them; if there is
not enough, native code leaves before the first, and where it leaves later, it gives back what the rest costs. Values of
one limb add nothing for their sizes, and what lists, digests and constants add is known when the program is compiled.
*State*: each key has a slot, which Python reads through the `TransactionStack` when the program first does, and which
is checked the same way before the first write. Transactions save slots in an undo log of their own. On leaving, what
they left is written through: what native code has committed, then, one inside the other, what is still open. The
ledger's entries go the same way. *Limits*: of frames it counts; all else was verified or has no size. *Interrupts*:
Python is called every 2^20 turns of loops and calls, and has its signals handled then.

What is written how. `emit` writes LLVM's text of a program. What all programs have in common, such as the undo log, is
kernel functions in `slots` and `encodings`, on the structs of `layout`; `kernels` makes them the beginning of each
module.

What pays. `worth_it` says quickly whether a program has a loop or a call that native code may do, `Facts.pays` whether
it does all of its innermost loops: if not, generated Python is the better choice, as it is after some runs that
had other values. Compiling takes a tenth of a second; if asked to, machine code is kept in the object cache, under the
digest of its text, of the kernels and of all that it depends on.
"""

from __future__ import annotations

import logging
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from ...bytecode.opcodes import Opcode
from ...gas import GasSchedule
from ...runtime.limits import Limits
from ...runtime.loaded import Loaded, LoadedFunction

if TYPE_CHECKING:
    from .program import Program

MAX_INSTRUCTIONS: Final = 4_000
"""of a program with its functions; a larger one is not compiled"""
MAX_NAMES: Final = 2_000
"""of all functions together"""

_log = logging.getLogger(__name__)


def worth_it(loaded: Loaded) -> bool:
    """Whether compiling can pay: there is a loop, or a function that calls, of instructions that native code can do."""
    from .facts import LEFT_TO_OTHERS, NATIVE

    functions = list(loaded.functions())
    if sum(len(function.instructions) for function in functions) > MAX_INSTRUCTIONS:
        return False
    if sum(len(function.registers) for function in functions) > MAX_NAMES:
        return False
    return any(_has_loop(function, NATIVE | LEFT_TO_OTHERS) for function in functions) or any(
        _calls(function) and all(opcode in NATIVE for opcode, _ in function.instructions) for function in functions[1:]
    )


def compile_native(
    loaded: Loaded,
    schedule: GasSchedule | None,
    metered: bool,
    limits: Limits | None = None,
    *,
    disk_cache: bool = False,
) -> Program | None:
    """The program in machine code; None where that is not to be had or does not pay. Raises nothing.

    `schedule` prices the instructions if runs are `metered`. Limits are those of `loaded`. With `disk_cache`
    machine code is kept in the user's cache of objects.
    """
    del limits
    try:
        if not worth_it(loaded):
            return None
        from .facts import Facts

        facts = Facts(loaded, schedule, metered=metered)
        if not facts.pays():
            return None
        from .program import Program

        return Program(facts, disk_cache=disk_cache)
    except Exception as error:
        _log.debug("no machine code: %s: %s", type(error).__name__, error)
        return None


def _has_loop(function: LoadedFunction, native: frozenset[Opcode]) -> bool:
    instructions = function.instructions
    others = list(accumulate((opcode not in native for opcode, _ in instructions), initial=0))
    return any(
        opcode in (Opcode.JUMP, Opcode.JUMP_IF_FALSE) and operand <= at and others[at + 1] == others[operand]
        for at, (opcode, operand) in enumerate(instructions)
    )


def _calls(function: LoadedFunction) -> bool:
    return any(
        opcode in (Opcode.CALL_NAME, Opcode.CALL_FUNC_CONST, Opcode.CALL_TOP) for opcode, _ in function.instructions
    )
