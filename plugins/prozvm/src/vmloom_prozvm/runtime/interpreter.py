"""The interpreter: frames, gas, transactions and tasks around the operations.

`Machine._run` is the loop. What is frequent is done in it; every other instruction is a function below, in the order of
their numbers: those in `_INSTRUCTIONS` work on the stack, those in `_TRANSFERS` say which frame runs next. Calls of
functions are frames, never calls of Python. Compiled code must do what is done here, error for error and gas for gas.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Final, NoReturn

from ..bytecode.opcodes import Opcode
from ..errors import (
    CallDepthExceeded,
    CallFailed,
    OutOfGas,
    ProzError,
    TypeMismatch,
    UnknownName,
    UserRevert,
    WrongArity,
)
from ..gas import SIZED_AFTER, SIZED_BEFORE, GasSchedule
from ..values import Function, Task, Value, check, kind_of
from . import operations
from .context import CallContext
from .hashes import hash_block, merkle_root
from .limits import Limits
from .loaded import UNSET, Loaded, LoadedFunction, link
from .signatures import verify_signature
from .tasks import MAIN, Tasks
from .transactions import TransactionStack
from .world import World

UNLIMITED: Final = 1 << 100
"""Gas of a machine without a bound: more than any program can use, so that there is one way to count."""
LIMB: Final = 1 << 64
"""Integers beyond it cost more than the base of an instruction."""
TOPIC_LIMIT: Final = 1 << 256
"""Topics of events are below it."""

Builtin = Callable[..., Any]
"""A function of the host that CALL_NAME can call. It must not change its arguments."""


class Frame:
    """A call that is running or waits: its code, the next instruction, its stack and its registers."""

    __slots__ = ("awaits", "code", "function", "next", "registers", "stack", "task")

    def __init__(self, function: LoadedFunction, code: list[Step], arguments: list[Any], task: Task | None) -> None:
        self.function = function
        self.code = code
        self.next = 0
        self.stack: list[Value] = []
        self.registers = arguments + [UNSET] * (len(function.registers) - len(arguments))
        self.task = task
        """The task that ends with this frame, None for a call within one."""
        self.awaits: Task | None = None


class Machine:
    """Runs a program once: over `world`, with `gas`, as the call `context`.

    `gas` None means no bound; `schedule` None means that GAS_CHARGE alone costs anything. `strict` is for contracts:
    see `TransactionStack`. `globals` are variables that the program finds, and functions of the host that CALL_NAME can
    call; the program's own variables are there when it ends, be it with an error.
    """

    def __init__(
        self,
        world: World,
        *,
        schedule: GasSchedule | None = None,
        gas: int | None = None,
        strict: bool = True,
        context: CallContext | None = None,
        globals: MutableMapping[str, Any] | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.schedule: Final = schedule
        self.strict: Final = strict
        self.context: Final = context
        self.limits: Final = limits or Limits()
        self.transactions: Final = TransactionStack(world, strict=strict)
        self.tasks: Final = Tasks(self.limits.tasks)
        self.frames: Final[list[Frame]] = []
        self.gas: int = UNLIMITED if gas is None else gas
        """What is left, not below 0 between instructions."""
        self._bounded: Final = gas is not None
        self._host: Final[MutableMapping[str, Any]] = {} if globals is None else globals
        self._globals: list[Any] = []
        self._global_index: dict[str, int] = {}
        self._foreign: dict[int, tuple[Function, LoadedFunction]] = {}

    @property
    def gas_left(self) -> int | None:
        """Gas that the run has left, 0 after `OutOfGas`; None without a bound."""
        return self.gas if self._bounded else None

    def run(self, loaded: Loaded) -> Value:
        """What the program returns: the top of its stack, None if that is empty.

        Raises `ProzError`, with the index of the instruction in its function, once what open transactions wrote is
        forgotten. A host function that fails otherwise is a `CallFailed` with its exception as the cause.
        """
        self._loaded = loaded
        frame = self._begin(loaded)
        names, before = loaded.main.registers, list(self._globals)
        try:
            self._run(frame)
            self.transactions.finish()
        except BaseException:
            self.transactions.revert_all()
            raise
        finally:
            for name, old, new in zip(names, before, self._globals, strict=False):
                if new is not old:
                    self._host[name] = new
        return self.tasks.result(MAIN)

    # Gas

    def charge(self, gas: int) -> None:
        """Take `gas` from what is left. Raises `OutOfGas`."""
        self.gas -= gas
        if self.gas < 0:
            raise OutOfGas("out of gas")

    def charge_operands(self, opcode: Opcode, operand: Any, *taken: Value) -> None:
        """Charge for the size of what an instruction takes; what is fixed has been charged."""
        if self.schedule is not None:
            self.charge(self.schedule.before(opcode, operand, taken) - self.schedule.fixed(opcode, operand))

    def charge_result(self, opcode: Opcode, result: Value) -> None:
        """Charge for the size of what an instruction made."""
        if self.schedule is not None:
            self.charge(self.schedule.after(opcode, result))

    # Frames

    def enter(self, function: LoadedFunction, arguments: list[Value], task: Task | None = None) -> Frame:
        """Begin a call. Raises `CallDepthExceeded`."""
        if len(self.frames) >= self.limits.frames:
            raise CallDepthExceeded(f"{self.limits.frames} calls wait already; no more are allowed")
        frame = Frame(function, _prepare(function, self.schedule), arguments, task)
        self.frames.append(frame)
        return frame

    def leave(self, result: Value) -> Frame | None:
        """End the running frame; which one runs now, None if the run has ended."""
        ended = self.frames.pop()
        if ended.task is not None:
            self.tasks.end(ended.task, result)
            return self.proceed()
        caller = self.frames[-1]
        caller.stack.append(result)
        return caller

    def proceed(self) -> Frame | None:
        """The frame that awaits, if what it awaits has ended; otherwise the next task; None if there is neither."""
        if self.frames:
            waiting = self.frames[-1]
            if waiting.awaits is not None and self.tasks.has_ended(waiting.awaits):
                waiting.stack.append(self.tasks.result(waiting.awaits))
                waiting.awaits = None
                return waiting
        spawned = self.tasks.next()
        if spawned is None:
            return None
        return self.enter(self.find_function(spawned.function), spawned.arguments, spawned.task)

    # Names and functions

    def call(self, callee: Value, arguments: list[Value]) -> Frame:
        """Begin a call of a function. Raises `TypeMismatch`, `WrongArity`, `CallDepthExceeded`."""
        return self.enter(self.find_function(_check_call(callee, len(arguments))), arguments)

    def call_host(self, name: str, function: Builtin, arguments: list[Value]) -> Value:
        """What a function of the host returns. Raises `CallFailed` from what that raises."""
        try:
            result: Value = function(*arguments)
        except ProzError:
            raise
        except Exception as error:
            raise CallFailed(f"{name!r}, a function of the host: {type(error).__name__}: {error}") from error
        check(result, self.limits.values)
        return result

    def surroundings(self, opcode: Opcode) -> CallContext:
        """The call that the program runs as. Raises `CallFailed` where there is none."""
        if self.context is None:
            raise CallFailed(f"{opcode.name}: the program does not run as a contract")
        return self.context

    def read_global(self, frame: Frame, register: int) -> Any:
        """The main program's variable of the same name as a register of `frame`. Raises `UnknownName`."""
        value = self._globals[frame.function.globals[register]]
        if value is UNSET:
            name = frame.function.registers[register]
            if callable(self._host.get(name)):
                raise UnknownName(f"{name!r} is a function of the host, which only CALL_NAME can use")
            raise UnknownName(f"{name!r}: nothing was stored under this name")
        return value

    def find_callable(self, frame: Frame, register: int) -> Value | Builtin:
        """What CALL_NAME calls: a variable's value, or the host's function of that name. Raises `UnknownName`."""
        value = frame.registers[register]
        if value is UNSET:
            value = self._globals[frame.function.globals[register]]
        if value is UNSET:
            name = frame.function.registers[register]
            value = self._host.get(name)
            if not callable(value):
                raise UnknownName(f"{name!r}: there is no function of this name")
        found: Value | Builtin = value
        return found

    def find_function(self, function: Function) -> LoadedFunction:
        """The function ready to run, also if it came from outside of the program. Raises `CodeError`."""
        found = self._loaded.function(function)
        if found is not None:
            return found
        if id(function) not in self._foreign:
            self._foreign.update(link(function, self._global_index, self.limits, strict=self.strict))
            self._globals += map(self._read_host, list(self._global_index)[len(self._globals) :])
        return self._foreign[id(function)][1]

    def _begin(self, loaded: Loaded) -> Frame:
        self._global_index = {name: number for number, name in enumerate(loaded.main.registers)}
        frame = self.enter(loaded.main, [self._read_host(name) for name in loaded.main.registers], MAIN)
        self._globals = frame.registers
        return frame

    def _read_host(self, name: str) -> Any:
        """The host's variable as a register has it; functions of the host are none."""
        value = self._host.get(name, UNSET)
        if value is UNSET or callable(value):
            return UNSET
        check(value, self.limits.values)
        return value

    # The loop

    def _run(self, frame: Frame) -> None:
        limits, gas = self.limits.values, self.gas
        code, at, stack, registers = frame.code, frame.next, frame.stack, frame.registers
        try:
            while True:
                kind, operand, price = code[at]
                at += 1
                gas -= price
                if gas < 0:
                    raise OutOfGas("out of gas")
                if kind == _LOAD:
                    value = registers[operand]
                    stack.append(value if value is not UNSET else self.read_global(frame, operand))
                elif kind == _CONSTANT:
                    stack.append(operand)
                elif kind == _SIZED_BINARY:
                    operation, opcode = operand
                    right = stack.pop()
                    left = stack[-1]
                    if type(left) is not int or type(right) is not int or not -LIMB < left < LIMB > right > -LIMB:
                        self.gas = gas
                        self.charge_operands(opcode, None, left, right)
                        gas = self.gas
                    result = stack[-1] = operation(left, right, limits)
                    # Booleans are integers to Python, and pass here at once, too.
                    if not isinstance(result, int) or not -LIMB < result < LIMB:
                        self.gas = gas
                        self.charge_result(opcode, result)
                        gas = self.gas
                elif kind == _BINARY:
                    right = stack.pop()
                    stack[-1] = operand(stack[-1], right, limits)
                elif kind == _STORE:
                    registers[operand] = stack.pop()
                elif kind == _JUMP_IF_FALSE:
                    if not stack.pop():
                        at = operand
                elif kind == _JUMP:
                    at = operand
                elif kind == _PLAIN:
                    self.gas = gas
                    operand[0](self, stack, operand[1])
                    gas = self.gas
                elif kind == _STORE_CONSTANT:
                    registers[operand[0]] = operand[1]
                else:
                    self.gas, frame.next = gas, at
                    following = operand[0](self, frame, operand[1])
                    if following is None:
                        return
                    gas, frame = self.gas, following
                    code, at, stack, registers = frame.code, frame.next, frame.stack, frame.registers
        except ProzError as error:
            if error.at is None:
                error.at = at - 1
            if isinstance(error, OutOfGas):
                gas = 0
            raise
        finally:
            # An instruction that failed may have charged after the loop last looked, or more than there was.
            self.gas = max(0, min(self.gas, gas))


# Instructions that work on the stack


# Instructions that work on the stack


def _pop(_machine: Machine, stack: list[Value], _: None) -> None:
    stack.pop()


def _duplicate(_machine: Machine, stack: list[Value], _: None) -> None:
    stack.append(stack[-1])


def _unary(machine: Machine, stack: list[Value], operand: tuple[Opcode, operations.Unary]) -> None:
    opcode, operation = operand
    stack[-1] = operation(stack[-1], machine.limits.values)
    machine.charge_result(opcode, stack[-1])


def _build_list(machine: Machine, stack: list[Value], count: int) -> None:
    stack.append(operations.build_list(_take(stack, count), machine.limits.values))
    machine.charge_result(Opcode.BUILD_LIST, stack[-1])


def _build_map(machine: Machine, stack: list[Value], count: int) -> None:
    stack.append(operations.build_map(_take(stack, 2 * count), machine.limits.values))
    machine.charge_result(Opcode.BUILD_MAP, stack[-1])


def _store_index(machine: Machine, stack: list[Value], _: None) -> None:
    collection, key, value = _take(stack, 3)
    stack.append(operations.store_index(collection, key, value, machine.limits.values))
    machine.charge_result(Opcode.STORE_INDEX, stack[-1])


def _spawn(machine: Machine, stack: list[Value], count: int) -> None:
    callee, *arguments = _take(stack, count + 1)
    stack.append(machine.tasks.spawn(_check_call(callee, count), arguments))


def _hash_block(machine: Machine, stack: list[Value], _: None) -> None:
    value = stack.pop()
    machine.charge_operands(Opcode.HASH_BLOCK, None, value)
    stack.append(hash_block(value, machine.limits.values))


def _verify_signature(machine: Machine, stack: list[Value], _: None) -> None:
    signature, message, key = _take(stack, 3)
    machine.charge_operands(Opcode.VERIFY_SIGNATURE, None, signature, message, key)
    stack.append(verify_signature(signature, message, key))


def _merkle_root(machine: Machine, stack: list[Value], count: int) -> None:
    leaves = _take(stack, count)
    machine.charge_operands(Opcode.MERKLE_ROOT, None, *leaves)
    stack.append(merkle_root(leaves, machine.limits.values))


def _state_read(machine: Machine, stack: list[Value], key: str) -> None:
    if machine.schedule is not None:  # before it is decoded
        machine.charge(machine.schedule.reading(machine.transactions.size(key)))
    value = machine.transactions.read(key)
    check(value, machine.limits.values)  # the workbench's state is whatever its owner put there
    stack.append(value)


def _state_write(machine: Machine, stack: list[Value], key: str) -> None:
    value = stack.pop()
    machine.charge_operands(Opcode.STATE_WRITE, key, value)
    machine.transactions.write(key, value)


def _begin_transaction(machine: Machine, _stack: list[Value], _: None) -> None:
    machine.transactions.begin()


def _commit_transaction(machine: Machine, _stack: list[Value], _: None) -> None:
    machine.transactions.commit()


def _revert_transaction(machine: Machine, _stack: list[Value], _: None) -> None:
    machine.transactions.revert()


def _charge_gas(_machine: Machine, _stack: list[Value], amount: int) -> None:
    """The amount is in the instruction's price, where the loop has charged it."""


def _append_ledger(machine: Machine, stack: list[Value], _: None) -> None:
    entry = stack.pop()
    machine.charge_operands(Opcode.LEDGER_APPEND, None, entry)
    machine.transactions.append(entry)


def _input(machine: Machine, stack: list[Value], _: None) -> None:
    value = machine.surroundings(Opcode.INPUT).input
    check(value, machine.limits.values)
    stack.append(value)


def _caller(machine: Machine, stack: list[Value], _: None) -> None:
    stack.append(machine.surroundings(Opcode.CALLER).caller)


def _address(machine: Machine, stack: list[Value], _: None) -> None:
    stack.append(machine.surroundings(Opcode.ADDRESS).address)


def _value(machine: Machine, stack: list[Value], _: None) -> None:
    stack.append(machine.surroundings(Opcode.VALUE).value)


def _block(machine: Machine, stack: list[Value], name: str) -> None:
    stack.append(machine.surroundings(Opcode.BLOCK).block_field(name))


def _emit(machine: Machine, stack: list[Value], _: None) -> None:
    topics, data = _take(stack, 2)
    machine.charge_operands(Opcode.EMIT, None, topics, data)
    if type(topics) is not list or not all(type(topic) is int and 0 <= topic < TOPIC_LIMIT for topic in topics):
        raise TypeMismatch("EMIT: topics are a list of integers from 0 to 2^256 - 1")
    if type(data) is not bytes:
        raise TypeMismatch(f"EMIT: data are bytes, not {kind_of(data)}")
    machine.surroundings(Opcode.EMIT).emit(topics, data)  # type: ignore[arg-type]  # all are integers


def _call_contract(machine: Machine, stack: list[Value], _: None) -> None:
    address, data, value = _take(stack, 3)
    machine.charge_operands(Opcode.CALL_CONTRACT, None, address, data, value)
    if type(address) is not bytes or type(data) is not bytes or type(value) is not int:
        raise TypeMismatch(
            "CALL_CONTRACT takes an address (bytes), an input (bytes) and a value (integer), "
            f"not {kind_of(address)}, {kind_of(data)} and {kind_of(value)}"
        )
    result, used = machine.surroundings(Opcode.CALL_CONTRACT).call(address, data, value, machine.gas_left)
    machine.charge(used)
    check(result, machine.limits.values)
    stack.append(result)
    machine.charge_result(Opcode.CALL_CONTRACT, result)


def _revert(machine: Machine, stack: list[Value], _: None) -> NoReturn:
    output = stack.pop()
    machine.charge_operands(Opcode.REVERT, None, output)
    raise UserRevert(output)


# Instructions after which another frame may run


def _return(machine: Machine, frame: Frame, _: None) -> Frame | None:
    return machine.leave(frame.stack[-1] if frame.stack else None)


def _call_name(machine: Machine, frame: Frame, operand: tuple[int, int]) -> Frame:
    register, count = operand
    callee = machine.find_callable(frame, register)
    arguments = _take(frame.stack, count)
    if callable(callee):
        frame.stack.append(machine.call_host(frame.function.registers[register], callee, arguments))
        return frame
    return machine.call(callee, arguments)


def _call_constant(machine: Machine, frame: Frame, operand: tuple[Function, int]) -> Frame:
    function, count = operand
    return machine.call(function, _take(frame.stack, count))


def _call_top(machine: Machine, frame: Frame, count: int) -> Frame:
    *arguments, callee = _take(frame.stack, count + 1)
    return machine.call(callee, arguments)


def _await(machine: Machine, frame: Frame, _: None) -> Frame | None:
    frame.awaits = machine.tasks.check_awaitable(frame.stack.pop())
    return machine.proceed()


def _take(stack: list[Value], count: int) -> list[Value]:
    """Take `count` values, in the order in which they were pushed. Verified code has them."""
    rest = len(stack) - count
    taken = stack[rest:]
    del stack[rest:]
    return taken


def _check_call(callee: Value, count: int) -> Function:
    """`callee` as a function that takes `count` arguments. Raises `TypeMismatch`, `WrongArity`."""
    if type(callee) is not Function:
        raise TypeMismatch(f"{kind_of(callee)} is no function and cannot be called")
    if len(callee.parameters) != count:
        raise WrongArity(f"function {callee.name!r} takes {len(callee.parameters)} arguments, not {count}")
    return callee


# What the loop runs

Step = tuple[int, Any, int]
"""How the loop does an instruction, what with, and the gas that is charged before."""

_LOAD: Final = 0
_CONSTANT: Final = 1
_SIZED_BINARY: Final = 2
_BINARY: Final = 3
_STORE: Final = 4
_JUMP_IF_FALSE: Final = 5
_JUMP: Final = 6
_PLAIN: Final = 7
_STORE_CONSTANT: Final = 8
_TRANSFER: Final = 9

_INLINE: Final[Mapping[Opcode, int]] = {
    Opcode.LOAD_CONST: _CONSTANT,
    Opcode.LOAD_NAME: _LOAD,
    Opcode.STORE_NAME: _STORE,
    Opcode.STORE_CONST: _STORE_CONSTANT,
    Opcode.JUMP: _JUMP,
    Opcode.JUMP_IF_FALSE: _JUMP_IF_FALSE,
}
_INSTRUCTIONS: Final[Mapping[Opcode, Callable[[Machine, list[Value], Any], None]]] = {
    Opcode.POP: _pop,
    Opcode.DUP: _duplicate,
    Opcode.BUILD_LIST: _build_list,
    Opcode.BUILD_MAP: _build_map,
    Opcode.STORE_INDEX: _store_index,
    Opcode.SPAWN: _spawn,
    Opcode.HASH_BLOCK: _hash_block,
    Opcode.VERIFY_SIGNATURE: _verify_signature,
    Opcode.MERKLE_ROOT: _merkle_root,
    Opcode.STATE_READ: _state_read,
    Opcode.STATE_WRITE: _state_write,
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
_TRANSFERS: Final[Mapping[Opcode, Callable[[Machine, Frame, Any], Frame | None]]] = {
    Opcode.RETURN: _return,
    Opcode.CALL_NAME: _call_name,
    Opcode.CALL_FUNC_CONST: _call_constant,
    Opcode.CALL_TOP: _call_top,
    Opcode.AWAIT: _await,
}
_END: Final[Step] = (_TRANSFER, (_return, None), 0)
"""Follows the last instruction."""


def _prepare(function: LoadedFunction, schedule: GasSchedule | None) -> list[Step]:
    """What the loop runs for `function`; it is kept for the next time."""
    prepared = function.prepared
    if prepared is None or prepared[0] is not schedule:
        steps = [_step(opcode, operand, schedule) for opcode, operand in function.instructions]
        prepared = function.prepared = schedule, [*steps, _END]
    return prepared[1]


def _step(opcode: Opcode, operand: Any, schedule: GasSchedule | None) -> Step:
    price = static_price(opcode, operand, schedule)
    if opcode in operations.BINARY:
        operation = operations.BINARY[opcode]
        if schedule is not None and (opcode in SIZED_BEFORE or opcode in SIZED_AFTER):
            return _SIZED_BINARY, (operation, opcode), price
        return _BINARY, operation, price
    if opcode in operations.UNARY:
        return _PLAIN, (_unary, (opcode, operations.UNARY[opcode])), price
    if opcode in _INLINE:
        return _INLINE[opcode], operand, price
    if opcode in _TRANSFERS:
        return _TRANSFER, (_TRANSFERS[opcode], operand), price
    return _PLAIN, (_INSTRUCTIONS[opcode], operand), price


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
