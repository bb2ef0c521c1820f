"""The interpreter loop: fetch, check stack, charge static gas, run the op function, go on with the current frame.

`LOOP` and `TRACED_LOOP` are two builds of the one function `loop`; the first has no trace of tracing in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from vmloom.kernel import Halt, specialise

from ..frames import end_failure
from ..halts import INVALID_OPCODE, OUT_OF_GAS, STACK_OVERFLOW, STACK_UNDERFLOW
from ..specification import Specification
from ..table import OPS, OpKind, OpRow

if TYPE_CHECKING:
    from .execution import Execution
    from .frame import EvmFrame

Entry: TypeAlias = tuple[int, int, int, int, Any]
"""(least stack depth, greatest stack depth, static gas, shape, body), where body is a function or a number."""

TRACED = False
"""A compile-time constant of `loop`; see `specialise`."""

# What the loop does with an op, most frequent first: m is whether the body takes the machine.
PUSH_BYTE = 0
DUP = 1
SWAP = 2
TWO_TO_ONE = 3
PUSH_BYTES = 4
NOTHING = 5
FLOW = 6
DROP = 7
ONE_TO_ONE = 8
M_ONE_TO_ONE = 9
M_TO_ONE = 10
M_TWO = 11
M_ANY_TO_ONE = 12
M_ANY = 13
FRAME = 14
THREE_TO_ONE = 15
ZERO = 16
INVALID = 17


def loop(run: Execution, root: EvmFrame) -> None:
    """Run `run.frame` and all that it opens, until `root` is the current frame again."""
    table = run.table
    hooks = run.hooks
    m = run.frame
    while m is not root:
        if m.guest is not None:
            m.guest(m)
            m = run.frame
            continue
        program = m.program
        stack = m.stack
        push = stack.append
        pop = stack.pop
        pc = m.pc
        gas = m.gas
        try:
            while True:
                opcode = program[pc]
                if TRACED:
                    hook = hooks[opcode]
                    if hook is not None:
                        m.pc = pc
                        m.gas = gas
                        hook.before(m, opcode)
                need, room, cost, shape, body = table[opcode]
                if not need <= len(stack) <= room:
                    raise Halt(STACK_UNDERFLOW if len(stack) < need else STACK_OVERFLOW)
                gas -= cost
                if gas < 0:
                    raise Halt(OUT_OF_GAS)
                if shape == PUSH_BYTE:
                    push(program[pc + 1])
                    pc += 2
                elif shape == DUP:
                    push(stack[body])
                    pc += 1
                elif shape == SWAP:
                    stack[-1], stack[body] = stack[body], stack[-1]
                    pc += 1
                elif shape == TWO_TO_ONE:
                    top = pop()
                    stack[-1] = body(top, stack[-1])
                    pc += 1
                elif shape == PUSH_BYTES:
                    following = pc + 1 + body
                    push(int.from_bytes(program[pc + 1 : following], "big"))
                    pc = following
                elif shape == NOTHING:
                    pc += 1
                elif shape == FLOW:
                    m.gas = gas
                    m.pc = pc + 1
                    if need == 1:
                        body(m, pop())
                    elif need == 2:
                        body(m, pop(), pop())
                    else:
                        push(body(m))
                    pc = m.pc
                elif shape == DROP:
                    pop()
                    pc += 1
                elif shape == ONE_TO_ONE:
                    stack[-1] = body(stack[-1])
                    pc += 1
                elif shape == M_ONE_TO_ONE:
                    m.gas = gas
                    stack[-1] = body(m, stack[-1])
                    gas = m.gas
                    pc += 1
                elif shape == M_TO_ONE:
                    m.gas = gas
                    push(body(m))
                    pc += 1
                elif shape == M_TWO:
                    m.gas = gas
                    body(m, pop(), pop())
                    gas = m.gas
                    pc += 1
                elif shape == M_ANY_TO_ONE:
                    m.gas = gas
                    operands = stack[: -need - 1 : -1]
                    del stack[len(stack) - need :]
                    push(body(m, *operands))
                    gas = m.gas
                    pc += 1
                elif shape == M_ANY:
                    m.gas = gas
                    operands = stack[: -need - 1 : -1]
                    del stack[len(stack) - need :]
                    body(m, *operands)
                    gas = m.gas
                    pc += 1
                elif shape == FRAME:
                    m.gas = gas
                    m.pc = pc + 1
                    operands = stack[: -need - 1 : -1]
                    del stack[len(stack) - need :]
                    body(m, *operands)
                    if TRACED and hook is not None:
                        hook.after(m, opcode)
                    break
                elif shape == THREE_TO_ONE:
                    stack[-3:] = (body(stack[-1], stack[-2], stack[-3]),)
                    pc += 1
                elif shape == ZERO:
                    push(0)
                    pc += 1
                else:
                    raise Halt(INVALID_OPCODE)
                if TRACED and hook is not None:
                    m.gas = gas
                    hook.after(m, opcode)
        except Halt as halt:
            if TRACED and hook is not None:
                hook.fault(m, opcode, halt.reason)
            end_failure(m, halt.reason)
        m = run.frame


LOOP = specialise(loop, TRACED=False)
TRACED_LOOP = specialise(loop, TRACED=True)


def table_of(specification: Specification) -> list[Entry]:
    """The loop's table for `specification`, built once."""
    table: list[Entry] | None = specification.built.get("reference")
    if table is None:
        fork = specification.fork
        table = build_table(
            specification.rows.values(), fork.gas, fork.rules.stack_limit, specification.disabled_opcodes
        )
        specification.built["reference"] = table
    return table


def build_table(
    rows: Iterable[OpRow], gas: Mapping[str, int], stack_limit: int, disabled: frozenset[int] = frozenset()
) -> list[Entry]:
    """The loop's table of 256 entries for a fork: `rows` that `gas` prices, without the `disabled` opcodes."""
    invalid: Entry = (0, stack_limit, 0, INVALID, None)
    table = [invalid] * 256
    for row in rows:
        if row.name in gas and row.code not in disabled:
            room = stack_limit - max(0, row.pushes - row.pops)
            table[row.code] = (row.pops, room, gas[row.name], *_shape(row))
    return table


def _shape(row: OpRow) -> tuple[int, Any]:
    """How the loop runs an op, and what it needs for it."""
    if row.kind is OpKind.PUSH:
        return {0: (ZERO, None), 1: (PUSH_BYTE, None)}.get(row.immediate, (PUSH_BYTES, row.immediate))
    if row.kind is OpKind.DUP:
        return DUP, -row.pops
    if row.kind is OpKind.SWAP:
        return SWAP, -row.pops
    if row.kind is OpKind.FLOW:
        return FLOW, row.function
    if row.kind is OpKind.FRAME:
        return FRAME, row.function
    if row.takes_machine:
        return _machine_shape(row), row.function
    plain = {(0, 0): NOTHING, (1, 0): DROP, (1, 1): ONE_TO_ONE, (2, 1): TWO_TO_ONE, (3, 1): THREE_TO_ONE}
    shape = plain.get((row.pops, row.pushes))
    if shape is not None and _is_ours(row):
        return shape, row.function
    function = row.function
    assert function is not None
    return _machine_shape(row), lambda _m, *operands: function(*operands)


def _is_ours(row: OpRow) -> bool:
    return OPS.get(row.name) is row


def _machine_shape(row: OpRow) -> int:
    if row.pushes:
        # The loop takes it that M_TO_ONE charges nothing, which is so for our own; a custom one may.
        shapes = {0: M_TO_ONE, 1: M_ONE_TO_ONE} if _is_ours(row) else {1: M_ONE_TO_ONE}
        return shapes.get(row.pops, M_ANY_TO_ONE)
    return {2: M_TWO}.get(row.pops, M_ANY)
