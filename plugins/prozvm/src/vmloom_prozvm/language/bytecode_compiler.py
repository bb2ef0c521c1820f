"""From the core tree to bytecode: each node becomes the instructions that its docstring in `core` gives.

`compile_program` and `compile_function` do that and know no surface syntax; `EvaluatorBytecodeCompiler` is the way from
a parsed program, names and all, that keeps the errors instead of raising them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from ..bytecode.opcodes import Opcode
from ..bytecode.program import Bytecode, BytecodeBuilder
from ..errors import Unverifiable
from ..runtime.limits import Limits
from ..runtime.loaded import load
from ..values import Function
from . import core
from .diagnostics import Diagnostic, LanguageError
from .lowering import lower
from .sourcemap import map_metadata

if TYPE_CHECKING:
    from .tree import Program, Source, Span

DEFAULT_LIMITS: Final = Limits()
"""What a machine has room for unless it is configured otherwise."""


class EvaluatorBytecodeCompiler:
    """Compiles parsed programs.

    `strict_names` makes names that nothing declares errors, as in contracts. With `source_map` the program and its
    functions have maps to the source in their metadata, which `sourcemap.locate` reads.
    """

    def __init__(
        self, *, strict_names: bool = False, source_map: bool = False, limits: Limits = DEFAULT_LIMITS
    ) -> None:
        self.strict_names: Final = strict_names
        self.source_map: Final = source_map
        self.limits: Final = limits
        self.errors: list[Diagnostic] = []
        """What was wrong with the last program; empty if it compiled."""

    def compile(self, program: Program) -> Bytecode | None:
        """The program as bytecode, verified; None if it cannot be, and `errors` says why."""
        self.errors = []
        try:
            return self.compile_core(lower(program, strict_names=self.strict_names))
        except LanguageError as error:
            self.errors = list(error.diagnostics)
        return None

    def compile_core(self, program: core.CoreProgram) -> Bytecode:
        """A lowered program as bytecode, verified. Raises `LanguageError` for what is too large."""
        return verified(compile_program(program, source_map=self.source_map), program, self.limits)


def verified(bytecode: Bytecode, program: core.CoreProgram, limits: Limits = DEFAULT_LIMITS) -> Bytecode:
    """`bytecode`, which `program` became. Raises `LanguageError` if it is too large to run."""
    try:
        load(bytecode, limits)
    except Unverifiable as error:
        raise LanguageError(program.source, [_too_large(error, program)]) from None
    return bytecode


def compile_program(program: core.CoreProgram, *, source_map: bool = False) -> Bytecode:
    """The main program, with its functions among its constants. It may be too large for `verify`."""
    return _compile(program.body, program.source if source_map else None)


def compile_function(function: core.CoreFunction, source: Source | None = None) -> Function:
    """A function as a value; the same one each time. With `source`, which it is of, it has a source map."""
    with_map = source is not None
    if with_map not in function.compiled:
        function.compiled[with_map] = Function(
            function.name,
            (*function.captured, *function.parameters),
            _compile(function.body, source),
            tree=function,
        )
    return function.compiled[with_map]


def statement_indices(program: core.CoreProgram) -> tuple[int, ...]:
    """The index, in the compiled main program, of the first instruction of each statement, and of the end."""
    writer = _Writer(None)
    indices = [0]
    for statement in program.body:
        writer.statement(statement)
        indices.append(len(writer.spans))
    return tuple(indices)


def _compile(body: core.Body, source: Source | None) -> Bytecode:
    writer = _Writer(source)
    writer.body(body)
    bytecode = writer.builder.build()
    if source is not None:
        bytecode.metadata.update(map_metadata(writer.spans, source))
    return bytecode


class _Writer:
    """Writes one body. `spans` has where each instruction stems from."""

    def __init__(self, source: Source | None) -> None:
        self.builder: Final = BytecodeBuilder()
        self.spans: Final[list[Span]] = []
        self._source: Final = source
        self._places = 0

    def emit(self, node: core.Node, opcode: Opcode, *operands: Any) -> None:
        self.builder.emit(opcode, *operands)
        self.spans.append(node.span)

    def place(self) -> str:
        """A name for a place that is still to be set."""
        self._places += 1
        return f"place {self._places}"

    def body(self, body: core.Body) -> None:
        for statement in body:
            self.statement(statement)

    def statement(self, node: core.Statement) -> None:
        _STATEMENTS[type(node)](self, node)

    def expression(self, node: core.Expression) -> None:
        """Write an expression. What is computed first in it takes no recursion: `a + b + c ...` may be long."""
        chain = [node]
        while (first := _first(chain[-1])) is not None:
            chain.append(first)
        for link in reversed(chain):
            _EXPRESSIONS[type(link)](self, link)

    # Expressions, without what `_first` finds in them, which has been written

    def constant(self, node: core.Constant) -> None:
        self.emit(node, Opcode.LOAD_CONST, node.value)

    def function(self, node: core.Lambda) -> None:
        made = compile_function(node.function, self._source)
        for captured in node.captured:
            self.expression(captured)
        if node.captured:
            self.emit(node, Opcode.CLOSURE, made, len(node.captured))
        else:
            self.emit(node, Opcode.LOAD_CONST, made)

    def load(self, node: core.Load) -> None:
        self.emit(node, Opcode.LOAD_NAME, node.register)

    def operate(self, node: core.Operate) -> None:
        for operand in node.operands[1:]:
            self.expression(operand)
        self.emit(node, node.opcode, *_operands(node.operand))

    def call(self, node: core.Call) -> None:
        for argument in node.arguments:
            self.expression(argument)
        self.emit(node, Opcode.CALL_NAME, node.register, len(node.arguments))

    def call_value(self, node: core.CallValue) -> None:
        for argument in node.arguments:
            self.expression(argument)
        self.expression(node.callee)
        self.emit(node, Opcode.CALL_TOP, len(node.arguments))

    def both(self, node: core.Both) -> None:
        false, end = self.place(), self.place()
        self.emit(node, Opcode.JUMP_IF_FALSE, false)
        self.expression(node.right)
        self.emit(node, Opcode.JUMP_IF_FALSE, false)
        self.emit(node, Opcode.LOAD_CONST, True)
        self.emit(node, Opcode.JUMP, end)
        self.builder.label(false)
        self.emit(node, Opcode.LOAD_CONST, False)
        self.builder.label(end)

    def either(self, node: core.Either) -> None:
        right, end = self.place(), self.place()
        self.emit(node, Opcode.JUMP_IF_FALSE, right)
        self.emit(node, Opcode.LOAD_CONST, True)
        self.emit(node, Opcode.JUMP, end)
        self.builder.label(right)
        self.expression(node.right)
        self.emit(node, Opcode.NOT)
        self.emit(node, Opcode.NOT)
        self.builder.label(end)

    def coalesce(self, node: core.Coalesce) -> None:
        absent, end = self.place(), self.place()
        self.emit(node, Opcode.DUP)
        self.emit(node, Opcode.LOAD_CONST, None)
        self.emit(node, Opcode.NEQ)
        self.emit(node, Opcode.JUMP_IF_FALSE, absent)
        self.emit(node, Opcode.JUMP, end)
        self.builder.label(absent)
        self.emit(node, Opcode.POP)
        self.expression(node.right)
        self.builder.label(end)

    # Statements

    def store(self, node: core.Store) -> None:
        self.expression(node.value)
        self.emit(node, Opcode.STORE_NAME, node.register)

    def store_global(self, node: core.StoreGlobal) -> None:
        self.expression(node.value)
        self.emit(node, Opcode.STORE_GLOBAL, node.register)

    def do(self, node: core.Do) -> None:
        self.expression(node.value)
        self.emit(node, Opcode.POP)

    def effect(self, node: core.Effect) -> None:
        for operand in node.operands:
            self.expression(operand)
        self.emit(node, node.opcode, *_operands(node.operand))

    def branch(self, node: core.If) -> None:
        otherwise = self.place()
        self.expression(node.test)
        self.emit(node, Opcode.JUMP_IF_FALSE, otherwise)
        self.body(node.then)
        if node.otherwise:
            end = self.place()
            self.emit(node, Opcode.JUMP, end)
            self.builder.label(otherwise)
            self.body(node.otherwise)
            self.builder.label(end)
        else:
            self.builder.label(otherwise)

    def loop(self, node: core.While) -> None:
        top = self.place()
        self.builder.label(top)
        self.expression(node.test)
        self.emit(node, Opcode.JUMP_IF_FALSE, _end(node.label))
        self.body(node.body)
        self.emit(node, Opcode.JUMP, top)
        self.builder.label(_end(node.label))

    def labelled(self, node: core.Labelled) -> None:
        self.body(node.body)
        self.builder.label(_end(node.label))

    def leave(self, node: core.Leave) -> None:
        self.emit(node, Opcode.JUMP, _end(node.label))

    def give_back(self, node: core.Return) -> None:
        self.expression(node.value)
        self.emit(node, Opcode.RETURN)

    def result(self, node: core.Result) -> None:
        self.expression(node.value)


_EXPRESSIONS: Final[Mapping[type, Callable[[_Writer, Any], None]]] = {
    core.Constant: _Writer.constant,
    core.Lambda: _Writer.function,
    core.Load: _Writer.load,
    core.Operate: _Writer.operate,
    core.Call: _Writer.call,
    core.CallValue: _Writer.call_value,
    core.Both: _Writer.both,
    core.Either: _Writer.either,
    core.Coalesce: _Writer.coalesce,
}
_STATEMENTS: Final[Mapping[type, Callable[[_Writer, Any], None]]] = {
    core.Store: _Writer.store,
    core.StoreGlobal: _Writer.store_global,
    core.Do: _Writer.do,
    core.Effect: _Writer.effect,
    core.If: _Writer.branch,
    core.While: _Writer.loop,
    core.Labelled: _Writer.labelled,
    core.Leave: _Writer.leave,
    core.Return: _Writer.give_back,
    core.Result: _Writer.result,
}


def _first(node: core.Expression) -> core.Expression | None:
    """What of an expression is computed first, where that may itself begin with something, and so on."""
    if isinstance(node, core.Operate):
        return node.operands[0] if node.operands else None
    return node.left if isinstance(node, core.Both | core.Either | core.Coalesce) else None


def _end(label: int) -> str:
    return f"end {label}"


def _operands(operand: core.OperandValue) -> tuple[Any, ...]:
    return () if operand is None else (operand,)


def _too_large(error: Unverifiable, program: core.CoreProgram) -> Diagnostic:
    """What the verifier found, at the function that it is about: only sizes are left to be wrong."""
    found = next(
        (function.span for function in program.functions if error.function and function.name == error.function), None
    )
    return Diagnostic(found or program.span, f"too large to compile: {error.reason}")
