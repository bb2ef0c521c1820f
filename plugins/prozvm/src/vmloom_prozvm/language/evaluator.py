"""Tier 0: the core tree, walked.

Each node does what its instructions do (`core` lists them), with the functions that the interpreter has for them, and
pays for each when it would run: so a run ends as that of the bytecode does, with the same gas, effects and errors. Here
is only what has no instruction function: variables, which way control goes, and calls, which are calls of Python.

Who knows when to walk and when to compile is `hybrid`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Protocol
from weakref import WeakKeyDictionary

from vmloom.nesting import in_a_thread

from ..bytecode.opcodes import OPERATIONS, Opcode, Operand
from ..errors import CallDepthExceeded, CallFailed, ProzError
from ..gas import GasSchedule
from ..runtime.instructions import INSTRUCTIONS, static_price
from ..runtime.loaded import UNSET
from ..runtime.run import Run, check_call
from ..runtime.tasks import MAIN
from ..values import Function, Task, Value, truth
from . import core
from .bytecode_compiler import compile_function
from .needs import all_names, check, needs
from .sourcemap import Place

if TYPE_CHECKING:
    from .tree import Source, Span

_Signal = int | None
"""What a statement leaves to those around it: None to go on, the label to leave, or `_RETURN`."""
_RETURN: Final = -1
_RESERVE: Final = 300
"""Calls of Python that are kept for what an instruction, or a function of the host, does within one."""
_FIXED: Final = frozenset((Operand.NONE, Operand.TARGET))
"""Operands that do not change an instruction's price."""


class Variables(Protocol):
    """Variables by name; those that have no value are not there."""

    def get(self, name: str, default: Any, /) -> Any:
        """The value of a variable."""

    def __setitem__(self, name: str, value: Any, /) -> None:
        """Set a variable."""


class Frame:
    """A call: the variables, and what it returns."""

    __slots__ = ("name", "registers", "result")

    def __init__(self, name: str, registers: Variables) -> None:
        self.name = name
        self.registers = registers
        self.result: Value = None


class TreeEvaluator:
    """Runs a core program, and functions that have trees, on a `run`: once, as a machine runs bytecode.

    Calls within each other are calls of Python, of which a thread has about a thousand: where it has no room for
    one more, that is done in a new thread while this one waits.
    """

    def __init__(self, run: Run, variables: Variables | None = None) -> None:
        self.run: Final = run
        self._own: Final[dict[str, Any]] = {}
        self.globals: Final[Variables] = self._own if variables is None else variables
        """The main program's variables."""
        self.depth = 0
        """Calls and begun tasks that have not ended, with the main program."""
        self._before: dict[str, Any] = {}
        self._prices: Final = _fixed_prices(run.schedule)
        self._linked: Final[set[core.CoreFunction]] = set()
        self._room = sys.getrecursionlimit() - _RESERVE - _calls_here()
        self._at: Span | None = None

    def evaluate(self, program: core.CoreProgram) -> Value:
        """What the program gives, None if nothing; tasks that nobody awaited run after it.

        Raises `ProzError`, with the `places` of the calls that it came through, once what open transactions wrote is
        forgotten; `CodeError` for a program beyond the run's limits, before anything has happened.
        """
        check(program, self.run.limits)
        know_source(program)
        with self.run.running():
            self._fetch(program)
            self._linked.update(program.functions)
            try:
                return self.main(program)
            finally:
                self._write_back()

    def main(self, program: core.CoreProgram) -> Value:
        """Run a program to its end, then the tasks that wait."""
        self.enter(Frame("", self.globals), program, MAIN)
        while (spawned := self.run.tasks.next()) is not None:
            self._begin(spawned.function, spawned.arguments, spawned.task)
        return self.run.tasks.result(MAIN)

    # Variables

    def _fetch(self, body: core.CoreProgram | core.CoreFunction) -> None:
        """Read the variables of the host that a program, or a function from elsewhere, has names of."""
        for name in all_names(body):
            if name not in self._before and name not in self._own:
                value = self._before[name] = self.run.read_host(name)
                if value is not UNSET:
                    self._own[name] = value

    def _write_back(self) -> None:
        """Give the variables that have changed to the host."""
        for name, value in self._own.items():
            if value is not self._before.get(name, UNSET):
                self.run.host[name] = value

    # Paying

    def _pay(self, node: core.Node, opcode: Opcode, operand: Any = None) -> None:
        """Come to an instruction of `node`, and charge what is known of its price before it runs."""
        self._at = node.span
        price = self._prices.get(opcode)
        self.run.charge(static_price(opcode, operand, self.run.schedule) if price is None else price)

    # Calls

    def _call(self, callee: Value, arguments: list[Value]) -> Value:
        function = check_call(callee, len(arguments))
        return self._begin(function, [*function.bound, *arguments])

    def _begin(self, function: Function, arguments: list[Value], task: Task | None = None) -> Value:
        """Begin a call or task, and run it to its end. `arguments` are all of them, the bound ones first."""
        if function.tree is None or self.prefers_bytecode(function):
            result = self.run_bytecode(function, arguments)
            if task is not None:
                self.run.tasks.end(task, result)
            return result
        tree: core.CoreFunction = function.tree
        if tree not in self._linked:
            self.link(function)
            self._linked.add(tree)
        registers = dict(zip((*tree.captured, *tree.parameters), arguments, strict=True))
        return self.enter(Frame(function.name, registers), tree, task)

    def prefers_bytecode(self, function: Function) -> bool:
        """Whether `run_bytecode` is to run a function that has a tree."""
        return False

    def run_bytecode(self, function: Function, arguments: list[Value]) -> Value:
        """What a function returns that runs as bytecode. `arguments` are as in `_begin`."""
        raise CallFailed(f"function {function.name!r} came as bytecode, which direct evaluation alone cannot run")

    def link(self, function: Function) -> None:
        """Make ready a function from outside of the program."""
        check(function.tree, self.run.limits)
        self._fetch(function.tree)

    def enter(self, frame: Frame, body: core.CoreProgram | core.CoreFunction, task: Task | None) -> Value:
        """Run a body to its end. Raises `CallDepthExceeded`."""
        if self.depth >= self.run.limits.frames:
            raise CallDepthExceeded(f"{self.run.limits.frames} calls wait already; no more are allowed")
        room, calls = self._room, needs(body).calls
        self.depth += 1
        try:
            if calls <= room:
                self._room = room - calls
                self.statements(frame, body)
            else:
                self._room = sys.getrecursionlimit() - _RESERVE - calls
                in_a_thread(lambda: self.statements(frame, body))
        finally:
            self.depth, self._room = self.depth - 1, room
        if task is not None:
            self.run.tasks.end(task, frame.result)
        return frame.result

    def statements(self, frame: Frame, body: core.CoreProgram | core.CoreFunction) -> None:
        """Run a body."""
        self.run_statements(frame, body, body.body)

    def run_statements(self, frame: Frame, body: core.CoreProgram | core.CoreFunction, statements: core.Body) -> None:
        """Run statements of a body, and say of an error that comes through where that was."""
        caller = self._at
        try:
            self._body(frame, statements)
        except ProzError as error:
            error.places.append((frame.name, _place(body, self._at)))
            self._at = caller
            raise

    def _await(self, node: core.Node, value: Value) -> Value:
        """Run tasks in their order until that one has ended."""
        tasks = self.run.tasks
        task = tasks.check_awaitable(value)
        while not tasks.has_ended(task):
            spawned = tasks.next()
            assert spawned is not None  # or the task would have begun, and await this one
            self._at = node.span  # the task before has left its own there
            self._begin(spawned.function, spawned.arguments, spawned.task)
        return tasks.result(task)

    # Expressions

    def _constant(self, _: Frame, node: core.Constant) -> Value:
        self._pay(node, Opcode.LOAD_CONST, node.value)
        return node.value

    def _lambda(self, frame: Frame, node: core.Lambda) -> Value:
        function = compile_function(node.function, _sources.get(node.function))
        if not node.captured:
            self._pay(node, Opcode.LOAD_CONST, function)
            return function
        stack = [_EXPRESSIONS[type(captured)](self, frame, captured) for captured in node.captured]
        return self._instruction(node, Opcode.CLOSURE, stack, (function, len(stack)))

    def _variable(self, frame: Frame, node: core.Load) -> Value:
        self._pay(node, Opcode.LOAD_NAME)
        value: Any = frame.registers.get(node.register, UNSET)
        if value is UNSET:
            value = self.globals.get(node.register, UNSET)
        if value is UNSET:
            raise self.run.unknown_variable(node.register)
        found: Value = value
        return found

    def _operate(self, frame: Frame, node: core.Operate) -> Value:
        stack = [_EXPRESSIONS[type(operand)](self, frame, operand) for operand in node.operands]
        if node.opcode is Opcode.AWAIT:
            self._pay(node, Opcode.AWAIT)
            return self._await(node, stack.pop())
        return self._instruction(node, node.opcode, stack, node.operand)

    def _instruction(self, node: core.Node, opcode: Opcode, stack: list[Value], operand: Any = None) -> Value:
        """What an instruction makes of the operands in `stack`."""
        self._pay(node, opcode, operand)
        INSTRUCTIONS[opcode](self.run, stack, operand)
        return stack.pop()

    def _call_name(self, frame: Frame, node: core.Call) -> Value:
        arguments = [_EXPRESSIONS[type(argument)](self, frame, argument) for argument in node.arguments]
        self._pay(node, Opcode.CALL_NAME, (node.register, len(arguments)))
        callee: Any = frame.registers.get(node.register, UNSET)
        if callee is UNSET:
            callee = self.globals.get(node.register, UNSET)
        if callee is UNSET:
            return self.run.call_host(node.register, self.run.host_function(node.register), arguments)
        return self._call(callee, arguments)

    def _call_value(self, frame: Frame, node: core.CallValue) -> Value:
        arguments = [_EXPRESSIONS[type(argument)](self, frame, argument) for argument in node.arguments]
        callee = _EXPRESSIONS[type(node.callee)](self, frame, node.callee)
        self._pay(node, Opcode.CALL_TOP, len(arguments))
        return self._call(callee, arguments)

    def _both(self, frame: Frame, node: core.Both) -> Value:
        if self._test(frame, node, node.left) and self._test(frame, node, node.right):
            self._pay(node, Opcode.LOAD_CONST, True)
            self._pay(node, Opcode.JUMP)
            return True
        self._pay(node, Opcode.LOAD_CONST, False)
        return False

    def _either(self, frame: Frame, node: core.Either) -> Value:
        if self._test(frame, node, node.left):
            self._pay(node, Opcode.LOAD_CONST, True)
            self._pay(node, Opcode.JUMP)
            return True
        right = _EXPRESSIONS[type(node.right)](self, frame, node.right)
        opposite = self._instruction(node, Opcode.NOT, [right])
        return self._instruction(node, Opcode.NOT, [opposite])

    def _coalesce(self, frame: Frame, node: core.Coalesce) -> Value:
        left = _EXPRESSIONS[type(node.left)](self, frame, node.left)
        self._pay(node, Opcode.DUP)
        self._pay(node, Opcode.LOAD_CONST, None)
        present = self._instruction(node, Opcode.NEQ, [left, None])
        self._pay(node, Opcode.JUMP_IF_FALSE)
        if present:
            self._pay(node, Opcode.JUMP)
            return left
        self._pay(node, Opcode.POP)
        return _EXPRESSIONS[type(node.right)](self, frame, node.right)

    # Statements

    def _body(self, frame: Frame, body: core.Body) -> _Signal:
        """Run statements until one of them is the last or sends control elsewhere."""
        for statement in body:
            signal = _STATEMENTS[type(statement)](self, frame, statement)
            if signal is not None:
                return signal
        return None

    def _test(self, frame: Frame, node: core.Node, test: core.Expression) -> bool:
        """Whether `test`, which JUMP_IF_FALSE of `node` takes, is true."""
        value = _EXPRESSIONS[type(test)](self, frame, test)
        self._pay(node, Opcode.JUMP_IF_FALSE)
        return truth(value)

    def _store(self, frame: Frame, node: core.Store) -> None:
        value = _EXPRESSIONS[type(node.value)](self, frame, node.value)
        self._pay(node, Opcode.STORE_NAME)
        frame.registers[node.register] = value

    def _store_global(self, frame: Frame, node: core.StoreGlobal) -> None:
        value = _EXPRESSIONS[type(node.value)](self, frame, node.value)
        self._pay(node, Opcode.STORE_GLOBAL)
        self.globals[node.register] = value

    def _do(self, frame: Frame, node: core.Do) -> None:
        _EXPRESSIONS[type(node.value)](self, frame, node.value)
        self._pay(node, Opcode.POP)

    def _effect(self, frame: Frame, node: core.Effect) -> None:
        stack = [_EXPRESSIONS[type(operand)](self, frame, operand) for operand in node.operands]
        self._pay(node, node.opcode, node.operand)
        INSTRUCTIONS[node.opcode](self.run, stack, node.operand)

    def _if(self, frame: Frame, node: core.If) -> _Signal:
        if not self._test(frame, node, node.test):
            return self._body(frame, node.otherwise)
        signal = self._body(frame, node.then)
        if signal is None and node.otherwise:
            self._pay(node, Opcode.JUMP)
        return signal

    def _while(self, frame: Frame, node: core.While) -> _Signal:
        while self._test(frame, node, node.test):
            signal = self._body(frame, node.body)
            if signal is not None:
                return None if signal == node.label else signal
            self._pay(node, Opcode.JUMP)
        return None

    def _labelled(self, frame: Frame, node: core.Labelled) -> _Signal:
        signal = self._body(frame, node.body)
        return None if signal == node.label else signal

    def _leave(self, _: Frame, node: core.Leave) -> _Signal:
        self._pay(node, Opcode.JUMP)
        return node.label

    def _return(self, frame: Frame, node: core.Return) -> _Signal:
        frame.result = _EXPRESSIONS[type(node.value)](self, frame, node.value)
        self._pay(node, Opcode.RETURN)
        return _RETURN

    def _result(self, frame: Frame, node: core.Result) -> None:
        frame.result = _EXPRESSIONS[type(node.value)](self, frame, node.value)


_EXPRESSIONS: Final[Mapping[type[core.Expression], Callable[[TreeEvaluator, Frame, Any], Value]]] = {
    core.Constant: TreeEvaluator._constant,
    core.Lambda: TreeEvaluator._lambda,
    core.Load: TreeEvaluator._variable,
    core.Operate: TreeEvaluator._operate,
    core.Call: TreeEvaluator._call_name,
    core.CallValue: TreeEvaluator._call_value,
    core.Both: TreeEvaluator._both,
    core.Either: TreeEvaluator._either,
    core.Coalesce: TreeEvaluator._coalesce,
}
_STATEMENTS: Final[Mapping[type[core.Statement], Callable[[TreeEvaluator, Frame, Any], _Signal]]] = {
    core.Store: TreeEvaluator._store,
    core.StoreGlobal: TreeEvaluator._store_global,
    core.Do: TreeEvaluator._do,
    core.Effect: TreeEvaluator._effect,
    core.If: TreeEvaluator._if,
    core.While: TreeEvaluator._while,
    core.Labelled: TreeEvaluator._labelled,
    core.Leave: TreeEvaluator._leave,
    core.Return: TreeEvaluator._return,
    core.Result: TreeEvaluator._result,
}


_sources: Final[WeakKeyDictionary[core.CoreProgram | core.CoreFunction, Source]] = WeakKeyDictionary()


def know_source(program: core.CoreProgram) -> None:
    """Keep a program's source for it and its functions, which may be called by later programs."""
    if program not in _sources:
        _sources.update(dict.fromkeys((program, *program.functions), program.source))


def _place(body: core.CoreProgram | core.CoreFunction, span: Span | None) -> Place | None:
    source = _sources.get(body)
    if source is None or span is None:
        return None
    return Place(*source.position(span.start), span.end - span.start)


@lru_cache(maxsize=16)
def _fixed_prices(schedule: GasSchedule | None) -> Mapping[Opcode, int]:
    """The prices of the instructions whose operand does not change it."""
    return {
        opcode: static_price(opcode, None, schedule)
        for opcode, operation in OPERATIONS.items()
        if operation.operand in _FIXED or opcode in (Opcode.LOAD_NAME, Opcode.STORE_NAME, Opcode.STORE_GLOBAL)
    }


def _calls_here() -> int:
    """How many calls of Python are within each other on this thread."""
    calls, frame = 0, sys._getframe()
    while frame.f_back is not None:
        calls, frame = calls + 1, frame.f_back
    return calls


def __getattr__(name: str) -> Any:
    """`Evaluator` and `evaluate`, which are in `hybrid`, can be imported from here, too."""
    if name in ("Evaluator", "evaluate"):
        from . import hybrid

        return getattr(hybrid, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
