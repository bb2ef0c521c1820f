"""Generated text made into functions of Python, and the machine that runs them.

A run is one of a `Machine`, whose loop is replaced. Whatever the compiled functions leave to the interpreter goes
on in frames of that machine, so that a run ends as it would have without them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from types import CodeType, TracebackType
from typing import Any, Final

from ..errors import OutOfGas, ProzError
from ..gas import GasSchedule
from ..runtime.instructions import INSTRUCTIONS
from ..runtime.interpreter import Frame, Machine
from ..runtime.loaded import UNSET, Loaded, LoadedFunction
from ..values import Cell, Function, Value, canonical, check
from .charging import Leave, charged, path, reading, uncharged
from .codegen import Generated, Uncompilable, generate
from .hashing import encodings, integer, remembering
from .outsiders import brings_functions, calls_unknown
from .sinking import allowed, deliver, hand_over
from .stored import StoredTexts
from .text import Failure, Literal, Resume
from .writing import Mode

FILE_NAME: Final = "<prozvm jit>"
_MAX_DEPTH: Final = 60
"""Calls within each other that take a frame of Python each; Python allows 1000, and the host has its own."""

_BUILTINS: Final = {function.__name__: function for function in (type, int, str, list, dict, len, locals, Exception)}
"""What the text uses of Python's own."""

_Compiled = Callable[..., Value]


class Compiled:
    """A program compiled: for one gas schedule or none, metered or not. Any number of runs may share it."""

    def __init__(
        self, loaded: Loaded, *, schedule: GasSchedule | None, metered: bool, texts: StoredTexts | None = None
    ) -> None:
        """Take the text from `texts` if it is there. Raises `Uncompilable`."""
        self.loaded: Final = loaded
        self.schedule: Final = schedule
        self.metered: Final = metered
        depth = min(_MAX_DEPTH, loaded.limits.frames)
        mode = Mode(metered, schedule if metered else None, loaded.strict, depth)
        try:
            self._generated: Final[Generated] = _generated(loaded, mode, texts)
            codes = [compile(source, FILE_NAME, "exec") for source in self._generated.sources]
        except (SyntaxError, RecursionError, MemoryError, OverflowError) as error:
            raise Uncompilable(f"too large or too deeply nested for Python: {error}") from None
        namespace = self._namespace(mode, codes)
        for code in codes:
            exec(code, namespace)
        self._functions: Final[Sequence[_Compiled]] = [
            namespace[f"f{number}"] for number in range(len(self._generated.functions))
        ]
        self._numbers: Final = {id(function): number for number, function in enumerate(self._generated.functions)}
        self._depth: Final = depth
        all_change = len(self._generated.changed) == len(loaded.main.registers)
        self._calls_unknown: Final = not all_change and calls_unknown(loaded)

    @property
    def source(self) -> str:
        """The text, for those who want to see it."""
        return "".join(self._generated.sources)

    def run(self, machine: Machine) -> Value:
        """What `machine.run(loaded)` does, compiled. The machine must have the program's limits and gas schedule."""
        return machine.run(self.loaded, self._engine)

    def _engine(self, machine: Machine, frame: Frame) -> None:
        """Do what the interpreter's loop does, from the beginning of the main program to the end of the run."""
        if self._calls_unknown and machine.host and brings_functions(self.loaded, machine.globals):
            machine.loop(frame)
            return
        result = self._functions[0](machine, 1)
        if machine.frames:  # the interpreter has not ended the run
            following = machine.leave(result)
            if following is not None:
                machine.loop(following)

    def _call(self, machine: Machine, depth: int, callee: Value, *arguments: Value) -> Value:
        """Call a function that is known only now. Raises `Leave` for all that is not certain to begin well."""
        if type(callee) is not Function or depth >= self._depth or callee.arity != len(arguments):
            raise Leave
        function = self.loaded.function(callee)
        if function is None:
            raise Leave
        return self._functions[self._numbers[id(function)]](machine, depth + 1, *callee.bound, *arguments)

    def _call_host(self, machine: Machine, number: int, register: int, arguments: list[Value]) -> Value:
        """Call a function of the host by the name that a register of function `number` has."""
        name = self._generated.functions[number].registers[register]
        return machine.call_host(name, machine.host_function(name), arguments)

    def _resume(
        self, machine: Machine, depth: int, number: int, error: Exception, variables: Mapping[str, Any]
    ) -> Value:
        """Go on in the interpreter where a line of function `number` raised `error`."""
        resume = self._generated.resumes[number].get(_line(error.__traceback__))
        if resume is None:
            raise error  # a fault of ours: no other line can raise anything
        function = self._generated.functions[number]
        called = resume.failure is Failure.CALL and not isinstance(error, Leave)
        registers = [variables.get(f"n{register}", UNSET) for register in range(len(function.registers))]
        if number == 0:
            changed = self._generated.changed if called else ()  # what the call has stored there stays
            for register, value in enumerate(registers):
                if f"n{register}" in variables and register not in changed:
                    machine.globals[register] = value
        hand_over(machine.transactions, self._generated.keys[number], resume, variables)
        if resume.failure is not Failure.REPEAT and not isinstance(error, Leave):
            self._fail(machine, function, error, resume, variables)
        if self.metered:
            machine.gas = variables["gas"] + resume.refund
        stack = [item.value if isinstance(item, Literal) else variables[item] for item in resume.stack]
        return machine.go_on(function, depth, resume.at, stack, registers)

    def _fail(
        self, machine: Machine, function: LoadedFunction, error: Exception, resume: Resume, variables: Mapping[str, Any]
    ) -> None:
        """End the run with `error`, which is the instruction's own."""
        if resume.failure is Failure.FINAL and self.metered:
            machine.gas = variables["gas"] + resume.refund
        if isinstance(error, ProzError):
            error.locate(function.name, function.original(resume.at), function.bytecode)
        if isinstance(error, OutOfGas):
            machine.gas = 0
        raise error

    def _namespace(self, mode: Mode, codes: Sequence[CodeType]) -> dict[str, Any]:
        """All the names that the text has beside its own."""
        limits = self.loaded.limits.values
        namespace: dict[str, Any] = {
            "__builtins__": _BUILTINS,
            "UNSET": UNSET,
            "LEAVE": Leave,
            "call": self._call,
            "host": self._call_host,
            "resume": self._resume,
            "step": _step,
            "pure": _pure,
            "check": lambda value: check(value, limits),
            "read": reading(limits),
            "allowed": allowed,
            "deliver": deliver,
            "path": path,
            "Cell": Cell,
            "integer": integer,
            "sha256": sha256,
            "encoded": lambda value: canonical(value, limits),
            "hashed": remembering(limits),
            **encodings(_names(codes), self._generated.constants, limits),
            **self._generated.constants,
        }
        namespace.update((f"o_{opcode.name}", operation) for opcode, operation in uncharged(limits).items())
        if mode.metered and mode.schedule is not None:
            priced = charged(mode.schedule, limits)
            namespace.update((f"x_{opcode.name}", operation) for opcode, operation in priced.items())
        for opcode, instruction in INSTRUCTIONS.items():
            namespace[f"i_{opcode.name}"] = instruction
        return namespace


def _generated(loaded: Loaded, mode: Mode, texts: StoredTexts | None) -> Generated:
    if texts is None:
        return generate(loaded, mode)
    key = texts.key(loaded, mode)
    found = texts.get(key, loaded)
    if found is None:
        found = generate(loaded, mode)
        texts.put(key, found)
    return found


def _names(codes: Sequence[CodeType]) -> set[str]:
    """The names that functions of the text do not set themselves."""
    parts = [part for code in codes for part in code.co_consts if isinstance(part, CodeType)]
    return {name for part in parts for name in part.co_names}


def _step(machine: Machine, instruction: Callable[..., None], operand: Any, stack: list[Value]) -> Value:
    """Let the interpreter's own instruction work on a stack of its operands; what it leaves there, if anything."""
    instruction(machine, stack, operand)
    return stack.pop() if stack else None


def _line(traceback: TracebackType | None) -> int:
    return traceback.tb_lineno if traceback is not None else 0


def _pure(
    machine: Machine, gas: int, instruction: Callable[..., None], operand: Any, stack: list[Value]
) -> tuple[Value, int]:
    """As `_step`, with the gas that is left before and after. When it fails, the interpreter does it again."""
    machine.gas = gas
    instruction(machine, stack, operand)
    return stack.pop(), machine.gas
