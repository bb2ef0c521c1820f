"""The instructions that work on a stack and a `Run` alone: what they do is here or in `operations`, and nowhere else.

An instruction takes its operands from the end of the list and puts its result there. It charges for what sizes add;
`static_price` is charged by the caller before. The interpreter, compiled code and the evaluator of the language all use
these functions. Those that need a frame (names, jumps, calls, RETURN, AWAIT) are of those who have frames.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, NoReturn

from ..bytecode.opcodes import Opcode
from ..errors import TypeMismatch, UserRevert
from ..gas import SIZED_AFTER, SIZED_BEFORE, GasSchedule
from ..values import Cell, Function, Value, check, kind_of
from . import operations
from .hashes import hash_block, merkle_root
from .run import Run, check_call
from .signatures import verify_signature
from .world import Path, path_of

TOPIC_LIMIT: Final = 1 << 256
"""Topics of events are below it."""

Instruction = Callable[[Run, list[Value], Any], None]
"""(run, stack, operand as `loaded.Instruction` has it)."""


def static_price(opcode: Opcode, operand: Any, schedule: GasSchedule | None) -> int:
    """Gas of an instruction, with its operand as `loaded.Instruction` has it, that is known before it runs.

    Sizes of values come on top where the instruction takes or makes values that may be large.
    """
    if schedule is None:
        return int(operand) if opcode is Opcode.GAS_CHARGE else 0
    match opcode:
        case Opcode.STORE_CONST:
            return schedule.fixed(opcode, operand[1])
        case Opcode.CALL_NAME | Opcode.CALL_FUNC_CONST:
            return schedule.before(opcode, None, [None] * operand[1])
        case Opcode.CALL_TOP | Opcode.SPAWN:
            return schedule.before(opcode, None, [None] * (operand + 1))
    return schedule.fixed(opcode, operand)


def take(stack: list[Value], count: int) -> list[Value]:
    """Take `count` values, in the order in which they were pushed. Verified code has them."""
    rest = len(stack) - count
    taken = stack[rest:]
    del stack[rest:]
    return taken


# What is computed from values alone


def _computing_one(opcode: Opcode, operation: operations.Unary) -> Instruction:
    """The instruction that replaces the value on top of the stack."""
    before, after = opcode in SIZED_BEFORE, opcode in SIZED_AFTER

    def compute(run: Run, stack: list[Value], _: None) -> None:
        if before:
            run.charge_operands(opcode, stack[-1])
        result = stack[-1] = operation(stack[-1], run.limits.values)
        if after:
            run.charge_result(opcode, result)

    return compute


def _computing(opcode: Opcode, operation: Callable[..., Value], count: int) -> Instruction:
    """The instruction that takes `count` values, the operation's arguments, and puts its result there."""
    before, after = opcode in SIZED_BEFORE, opcode in SIZED_AFTER

    def compute(run: Run, stack: list[Value], _: None) -> None:
        taken = take(stack, count)
        if before:
            run.charge_operands(opcode, *taken)
        result = operation(*taken, run.limits.values)
        if after:
            run.charge_result(opcode, result)
        stack.append(result)

    return compute


def _load_constant(_run: Run, stack: list[Value], value: Value) -> None:
    stack.append(value)


def _pop(_run: Run, stack: list[Value], _: None) -> None:
    stack.pop()


def _duplicate(_run: Run, stack: list[Value], _: None) -> None:
    stack.append(stack[-1])


def _build_list(run: Run, stack: list[Value], count: int) -> None:
    stack.append(operations.build_list(take(stack, count), run.limits.values))
    run.charge_result(Opcode.BUILD_LIST, stack[-1])


def _build_map(run: Run, stack: list[Value], count: int) -> None:
    stack.append(operations.build_map(take(stack, 2 * count), run.limits.values))
    run.charge_result(Opcode.BUILD_MAP, stack[-1])


# Functions, cells and tasks


def _closure(run: Run, stack: list[Value], operand: tuple[Function, int]) -> None:
    function, count = operand
    closure = function.bind(take(stack, count))
    check(closure, run.limits.values)
    run.charge_result(Opcode.CLOSURE, closure)
    stack.append(closure)


def _new_cell(_run: Run, stack: list[Value], _: None) -> None:
    stack[-1] = Cell(stack[-1])


def _read_cell(_run: Run, stack: list[Value], _: None) -> None:
    stack[-1] = _cell("CELL_READ", stack[-1]).value


def _write_cell(_run: Run, stack: list[Value], _: None) -> None:
    cell, value = take(stack, 2)
    _cell("CELL_WRITE", cell).value = value


def _cell(name: str, value: Value) -> Cell:
    if type(value) is not Cell:
        raise TypeMismatch(f"{name} takes a cell, not {kind_of(value)}")
    return value


def _spawn(run: Run, stack: list[Value], count: int) -> None:
    callee, *arguments = take(stack, count + 1)
    function = check_call(callee, count)
    stack.append(run.tasks.spawn(function, [*function.bound, *arguments]))


# The ledger


def _hash_block(run: Run, stack: list[Value], _: None) -> None:
    value = stack.pop()
    run.charge_operands(Opcode.HASH_BLOCK, value)
    stack.append(hash_block(value, run.limits.values))


def _verify_signature(run: Run, stack: list[Value], _: None) -> None:
    signature, message, key = take(stack, 3)
    run.charge_operands(Opcode.VERIFY_SIGNATURE, signature, message, key)
    stack.append(verify_signature(signature, message, key))


def _merkle_root(run: Run, stack: list[Value], count: int) -> None:
    leaves = take(stack, count)
    run.charge_operands(Opcode.MERKLE_ROOT, *leaves)
    stack.append(merkle_root(leaves, run.limits.values))


def _state_read(run: Run, stack: list[Value], key: Path) -> None:
    if run.schedule is not None:  # before it is decoded
        run.charge(run.schedule.reading(run.transactions.size(key)))
    value = run.transactions.read(key)
    check(value, run.limits.values)  # the workbench's state is whatever its owner put there
    stack.append(value)


def _state_write(run: Run, stack: list[Value], key: str) -> None:
    value = stack.pop()
    run.charge_operands(Opcode.STATE_WRITE, value)
    run.transactions.write(key, value)


def _state_read_at(run: Run, stack: list[Value], count: int) -> None:
    keys = take(stack, count)
    run.charge_operands(Opcode.STATE_READ_AT, *keys)
    _state_read(run, stack, path_of(keys))


def _state_write_at(run: Run, stack: list[Value], count: int) -> None:
    *keys, value = take(stack, count + 1)
    run.charge_operands(Opcode.STATE_WRITE_AT, *keys, value)
    path = path_of(keys)
    if run.schedule is not None and value is not None and not run.transactions.has(path):
        run.charge(run.schedule.creating(keys))
    run.transactions.write(path, value)


def _begin_transaction(run: Run, _stack: list[Value], _: None) -> None:
    run.transactions.begin()


def _commit_transaction(run: Run, _stack: list[Value], _: None) -> None:
    run.transactions.commit()


def _revert_transaction(run: Run, _stack: list[Value], _: None) -> None:
    run.transactions.revert()


def _charge_gas(_run: Run, _stack: list[Value], amount: int) -> None:
    """The amount is in the instruction's price, where who runs it has charged it."""


def _append_ledger(run: Run, stack: list[Value], _: None) -> None:
    entry = stack.pop()
    run.charge_operands(Opcode.LEDGER_APPEND, entry)
    run.transactions.append(entry)


# The call and its surroundings


def _input(run: Run, stack: list[Value], _: None) -> None:
    value = run.surroundings(Opcode.INPUT).input
    check(value, run.limits.values)
    stack.append(value)


def _caller(run: Run, stack: list[Value], _: None) -> None:
    stack.append(run.surroundings(Opcode.CALLER).caller)


def _address(run: Run, stack: list[Value], _: None) -> None:
    stack.append(run.surroundings(Opcode.ADDRESS).address)


def _value(run: Run, stack: list[Value], _: None) -> None:
    stack.append(run.surroundings(Opcode.VALUE).value)


def _block(run: Run, stack: list[Value], name: str) -> None:
    stack.append(run.surroundings(Opcode.BLOCK).block_field(name))


def _emit(run: Run, stack: list[Value], _: None) -> None:
    topics, data = take(stack, 2)
    run.charge_operands(Opcode.EMIT, topics, data)
    if type(topics) is not list or not all(type(topic) is int and 0 <= topic < TOPIC_LIMIT for topic in topics):
        raise TypeMismatch("EMIT: topics are a list of integers from 0 to 2^256 - 1")
    if type(data) is not bytes:
        raise TypeMismatch(f"EMIT: data are bytes, not {kind_of(data)}")
    run.surroundings(Opcode.EMIT).emit(topics, data)  # type: ignore[arg-type]  # all are integers


def _call_contract(run: Run, stack: list[Value], _: None) -> None:
    address, data, value = take(stack, 3)
    run.charge_operands(Opcode.CALL_CONTRACT, address, data, value)
    if type(address) is not bytes or type(data) is not bytes or type(value) is not int:
        raise TypeMismatch(
            "CALL_CONTRACT takes an address (bytes), an input (bytes) and a value (integer), "
            f"not {kind_of(address)}, {kind_of(data)} and {kind_of(value)}"
        )
    result, used = run.surroundings(Opcode.CALL_CONTRACT).call(address, data, value, run.gas_left)
    run.charge(used)
    check(result, run.limits.values)
    stack.append(result)
    run.charge_result(Opcode.CALL_CONTRACT, result)


def _revert(run: Run, stack: list[Value], _: None) -> NoReturn:
    output = stack.pop()
    run.charge_operands(Opcode.REVERT, output)
    raise UserRevert(output)


INSTRUCTIONS: Final[Mapping[Opcode, Instruction]] = MappingProxyType(
    {
        **{opcode: _computing_one(opcode, unary) for opcode, unary in operations.UNARY.items()},
        **{opcode: _computing(opcode, binary, 2) for opcode, binary in operations.BINARY.items()},
        **{opcode: _computing(opcode, ternary, 3) for opcode, ternary in operations.TERNARY.items()},
        Opcode.LOAD_CONST: _load_constant,
        Opcode.POP: _pop,
        Opcode.DUP: _duplicate,
        Opcode.BUILD_LIST: _build_list,
        Opcode.BUILD_MAP: _build_map,
        Opcode.CLOSURE: _closure,
        Opcode.NEW_CELL: _new_cell,
        Opcode.CELL_READ: _read_cell,
        Opcode.CELL_WRITE: _write_cell,
        Opcode.SPAWN: _spawn,
        Opcode.HASH_BLOCK: _hash_block,
        Opcode.VERIFY_SIGNATURE: _verify_signature,
        Opcode.MERKLE_ROOT: _merkle_root,
        Opcode.STATE_READ: _state_read,
        Opcode.STATE_WRITE: _state_write,
        Opcode.STATE_READ_AT: _state_read_at,
        Opcode.STATE_WRITE_AT: _state_write_at,
        Opcode.TX_BEGIN: _begin_transaction,
        Opcode.TX_COMMIT: _commit_transaction,
        Opcode.TX_REVERT: _revert_transaction,
        Opcode.GAS_CHARGE: _charge_gas,
        Opcode.LEDGER_APPEND: _append_ledger,
        Opcode.INPUT: _input,
        Opcode.CALLER: _caller,
        Opcode.ADDRESS: _address,
        Opcode.VALUE: _value,
        Opcode.BLOCK: _block,
        Opcode.EMIT: _emit,
        Opcode.CALL_CONTRACT: _call_contract,
        Opcode.REVERT: _revert,
    }
)
"""Every instruction that works on the stack and the run alone."""
