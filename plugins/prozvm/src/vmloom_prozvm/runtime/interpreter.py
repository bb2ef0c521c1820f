"""The interpreter: frames, names and tasks around the instructions.

`Machine.loop` is the loop. What is frequent is done in it; the instructions that need frames are functions below, in
`_TRANSFERS`, which say what frame runs next; all others are in `instructions`. Calls of functions are frames, never
calls of Python. Compiled code must do what is done here, error for error and gas for gas.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Final

from ..bytecode.opcodes import ARITHMETIC, COMPARISON, Opcode
from ..errors import CallDepthExceeded, OutOfGas, ProzError
from ..gas import SIZED_AFTER, SIZED_BEFORE, GasSchedule
from ..values import Function, Task, Value
from . import operations
from .context import CallContext
from .instructions import INSTRUCTIONS, static_price, take
from .limits import Limits
from .loaded import UNSET, Loaded, LoadedFunction, link
from .run import Builtin, Run, check_call
from .tasks import MAIN
from .world import World

LIMB: Final = 1 << 64
"""Integers beyond it cost more than the base of an instruction."""


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


class Machine(Run):
    """A `Run` with frames: runs a loaded program once."""

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
        super().__init__(
            world, schedule=schedule, gas=gas, strict=strict, context=context, globals=globals, limits=limits
        )
        self.frames: Final[list[Frame]] = []
        self.globals: list[Any] = []
        """The main program's registers, and after them those of names that only functions from outside have."""
        self.global_index: dict[str, int] = {}
        """Where in `globals` each name is."""
        self._before: list[Any] = []
        """What the host had for each of `globals`."""
        self.steps: dict[LoadedFunction, list[Step]] = {}
        """What an engine has the loop run in calls of these functions, in place of what is `prepared`."""
        self._foreign: dict[int, tuple[Function, LoadedFunction]] = {}

    def run(self, loaded: Loaded, engine: Engine | None = None) -> Value:
        """What the program returns: the top of its stack, None if that is empty.

        `engine` runs it in place of `loop`, from the frame of the main program to the end of the run.

        Raises `ProzError`, located, once what open transactions wrote is forgotten, and `RuntimeError` the second time.
        A host function that fails otherwise is a `CallFailed` with its exception as the cause.
        """
        self.begin()
        self._loaded = loaded
        self.global_index = {name: number for number, name in enumerate(loaded.main.registers)}
        try:  # as `running` does, which takes longer than many a program
            frame = self.enter(loaded.main, [self.read_host(name) for name in loaded.main.registers], MAIN)
            self.globals = frame.registers
            self._before = list(self.globals)
            try:
                (engine or Machine.loop)(self, frame)
            finally:
                for name, old, new in zip(self.global_index, self._before, self.globals, strict=False):
                    if new is not old:
                        self.host[name] = new
            self.transactions.finish()
        except BaseException as error:
            self.fail(error)
            raise
        return self.tasks.result(MAIN)

    def go_on(self, function: LoadedFunction, depth: int, at: int, stack: list[Value], registers: list[Any]) -> Value:
        """What a call returns that an engine began and leaves to the loop, from instruction `at`.

        `depth` counts the calls with this one; those around it have no frames. At depth 1 it is the main program's,
        which goes on to the end of the run: its result is with the tasks then, and None is returned.
        """
        main = self.frames[0]
        if depth == 1:
            main.next, main.stack = at, stack
            self.loop(main)
            return None
        # These stand for the calls around, to be counted, and the last one ends the loop.
        waiting = Frame(main.function, _HALT, [], None)
        self.frames[:] = [waiting] * (depth - 1)
        frame = self.enter(function, registers)
        frame.next, frame.stack = at, stack
        self.loop(frame)
        self.frames[:] = [main]
        return waiting.stack.pop()

    def run_part(self, frame: Frame, begin: int, end: int) -> None:
        """Run the instructions of the main program's frame from `begin` to `end`, where no jump leads out of them."""
        code = frame.code
        frame.code, frame.next = [*code[:end], *_HALT], begin
        self.loop(frame)
        frame.code = code

    # Frames

    def enter(self, function: LoadedFunction, arguments: list[Value], task: Task | None = None) -> Frame:
        """Begin a call. Raises `CallDepthExceeded`."""
        if len(self.frames) >= self.limits.frames:
            raise CallDepthExceeded(f"{self.limits.frames} calls wait already; no more are allowed")
        steps = self.steps.get(function) or _prepare(function, self.schedule)
        frame = Frame(function, steps, arguments, task)
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

    def prepared(self, function: LoadedFunction) -> list[Step]:
        """What the loop runs for `function`: a step for each instruction, and the end."""
        return _prepare(function, self.schedule)

    # Names and functions

    def call(self, callee: Value, arguments: list[Value]) -> Frame:
        """Begin a call of a function. Raises `TypeMismatch`, `WrongArity`, `CallDepthExceeded`."""
        function = check_call(callee, len(arguments))
        if function.bound:
            arguments = [*function.bound, *arguments]
        return self.enter(self.find_function(function), arguments)

    def read_global(self, frame: Frame, register: int) -> Any:
        """The main program's variable of the same name as a register of `frame`. Raises `UnknownName`."""
        value = self.globals[frame.function.globals[register]]
        if value is UNSET:
            raise self.unknown_variable(frame.function.registers[register])
        return value

    def find_callable(self, frame: Frame, register: int) -> Value | Builtin:
        """What CALL_NAME calls: a variable's value, or the host's function of that name. Raises `UnknownName`."""
        value = frame.registers[register]
        if value is UNSET:
            value = self.globals[frame.function.globals[register]]
        if value is UNSET:
            value = self.host_function(frame.function.registers[register])
        found: Value | Builtin = value
        return found

    def find_function(self, function: Function) -> LoadedFunction:
        """The function ready to run, also if it came from outside of the program. Raises `CodeError`."""
        found = self._loaded.function(function)
        if found is not None:
            return found
        origin = function.origin or function
        if id(origin) not in self._foreign:
            self._foreign.update(link(origin, self.global_index, self.limits, strict=self.strict))
            found_there = [self.read_host(name) for name in list(self.global_index)[len(self.globals) :]]
            self.globals += found_there
            self._before += found_there
        return self._foreign[id(origin)][1]

    # The loop

    def loop(self, frame: Frame) -> None:
        """Run from the next instruction of `frame` to the end of the run."""
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
                        self.charge_operands(opcode, left, right)
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
                elif kind == _SIZED_INDEX:
                    key = stack.pop()
                    if type(stack[-1]) is dict:
                        self.gas = gas
                        self.charge_operands(Opcode.INDEX, stack[-1], key)
                        gas = self.gas
                    stack[-1] = operand(stack[-1], key, limits)
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
                elif kind == _STORE_GLOBAL:
                    self.globals[operand] = stack.pop()
                else:
                    self.gas, frame.next = gas, at
                    following = operand[0](self, frame, operand[1])
                    if following is None:
                        return
                    gas, frame = self.gas, following
                    code, at, stack, registers = frame.code, frame.next, frame.stack, frame.registers
        except ProzError as error:
            if error.at is None:
                self._locate(error, frame, at - 1)
            raise
        finally:
            # An instruction that failed may have charged after the loop last looked, or more than there was.
            self.gas = max(0, min(self.gas, gas))

    def _locate(self, error: ProzError, frame: Frame, at: int) -> None:
        error.locate(frame.function.name, frame.function.original(at), frame.function.bytecode)
        for waiting in reversed(self.frames):
            if waiting is not frame and waiting.code is not _HALT:
                function = waiting.function
                error.locate(function.name, function.original(waiting.next - 1), function.bytecode)


Engine = Callable[[Machine, Frame], None]
"""Runs a program from the frame of its main program to the end of the run."""


# Instructions after which another frame may run


def _return(machine: Machine, frame: Frame, _: None) -> Frame | None:
    return machine.leave(frame.stack[-1] if frame.stack else None)


def _call_name(machine: Machine, frame: Frame, operand: tuple[int, int]) -> Frame:
    register, count = operand
    callee = machine.find_callable(frame, register)
    arguments = take(frame.stack, count)
    if callable(callee):
        frame.stack.append(machine.call_host(frame.function.registers[register], callee, arguments))
        return frame
    return machine.call(callee, arguments)


def _call_constant(machine: Machine, frame: Frame, operand: tuple[Function, int]) -> Frame:
    function, count = operand
    return machine.call(function, take(frame.stack, count))


def _call_top(machine: Machine, frame: Frame, count: int) -> Frame:
    *arguments, callee = take(frame.stack, count + 1)
    return machine.call(callee, arguments)


def _await(machine: Machine, frame: Frame, _: None) -> Frame | None:
    frame.awaits = machine.tasks.check_awaitable(frame.stack.pop())
    return machine.proceed()


def _halt(machine: Machine, frame: Frame, _: None) -> None:
    """No frame runs next: the loop ends."""


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
_STORE_GLOBAL: Final = 10
_SIZED_INDEX: Final = 11

_INLINE: Final[Mapping[Opcode, int]] = {
    Opcode.LOAD_CONST: _CONSTANT,
    Opcode.LOAD_NAME: _LOAD,
    Opcode.STORE_NAME: _STORE,
    Opcode.STORE_CONST: _STORE_CONSTANT,
    Opcode.JUMP: _JUMP,
    Opcode.JUMP_IF_FALSE: _JUMP_IF_FALSE,
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
_HALT: Final[list[Step]] = [(_TRANSFER, (_halt, None), 0)]
_MEASURED: Final = frozenset((*ARITHMETIC, *COMPARISON))
"""The operations that cost the base alone where all integers have one limb: the loop looks at that itself."""


def transfer(function: Callable[[Machine, Frame, Any], Frame | None], operand: Any) -> Step:
    """A step that costs nothing and calls `function`, which says what frame runs next; `Frame.next` is behind it."""
    return _TRANSFER, (function, operand), 0


def _prepare(function: LoadedFunction, schedule: GasSchedule | None) -> list[Step]:
    """What the loop runs for `function`; it is kept for the next time."""
    prepared = function.prepared
    if prepared is None or prepared[0] is not schedule:
        known: dict[int, Step] = {}  # by identity of the instruction, which equal ones share
        for instruction in function.instructions:
            if id(instruction) not in known:
                known[id(instruction)] = _step(function, *instruction, schedule)
        steps = [known[id(instruction)] for instruction in function.instructions]
        prepared = function.prepared = schedule, [*steps, _END]
    return prepared[1]


def _step(function: LoadedFunction, opcode: Opcode, operand: Any, schedule: GasSchedule | None) -> Step:
    price = static_price(opcode, operand, schedule)
    if opcode is Opcode.STORE_GLOBAL:
        return _STORE_GLOBAL, function.globals[operand], price
    if opcode in _INLINE:
        return _INLINE[opcode], operand, price
    if opcode in _TRANSFERS:
        return _TRANSFER, (_TRANSFERS[opcode], operand), price
    if opcode in operations.BINARY:
        sized = schedule is not None and (opcode in SIZED_BEFORE or opcode in SIZED_AFTER)
        if sized and opcode in _MEASURED:
            return _SIZED_BINARY, (operations.BINARY[opcode], opcode), price
        if sized and opcode is Opcode.INDEX:
            return _SIZED_INDEX, operations.BINARY[opcode], price
        if not sized:
            return _BINARY, operations.BINARY[opcode], price
    return _PLAIN, (INSTRUCTIONS[opcode], operand), price
