"""Contracts from sources: the code to deploy, what runs before an action, and the description for callers.

The main program of a contract is the source's outermost statements, and then a dispatcher: it decodes the input, finds
the action, checks the arguments and calls it. A `construct` action runs at deployment, from a function of its own that
does the same with its arguments. All of it is core tree, so that it compiles and maps as what people write does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from vmloom import ExecutionResult, ExecutionState
from vmloom.context import ADDRESS_SIZE

from ..bytecode.container import pack
from ..bytecode.opcodes import Opcode
from ..bytecode.program import Bytecode
from ..errors import ProzError
from ..prozvm import CONSTRUCTOR as CONSTRUCT
from ..runtime.limits import Limits
from ..values import Value
from . import core, tree
from .abi import ACTION, CONSTRUCTOR, KINDS, decode_reason
from .bytecode_compiler import DEFAULT_LIMITS, compile_function, compile_program, verified
from .diagnostics import Diagnostic, LanguageError
from .lowering import Lowering
from .parser import parse
from .sourcemap import SourceMap, describe_error, without_maps

RECEIVE: Final = "receive"
"""The action that runs when the input is empty, if it is exported."""
_INPUT: Final = "~input"
_CALL: Final = "~call"
_NAME: Final = "~name"
_RESULT: Final = "~result"
_ANY: Final = "any"
_PLACE: Final = re.compile(r"^(?:function `.*?`, )?instruction \d+: ", re.DOTALL)
"""How the errors of results begin that have a place."""


@dataclass(frozen=True, slots=True)
class Contract:
    """A compiled contract."""

    name: str
    code: bytes
    """What is deployed. It holds nothing of the source but names, and a source map if that was asked for."""
    abi: list[dict[str, Any]]
    """What can be called: see `abi`."""
    source_map: SourceMap
    bytecode: Bytecode
    """The program with its source maps, for `describe_error`."""

    def explain(self, result: ExecutionResult, source: str) -> str:
        """What went wrong in a call or deployment that did not succeed, with lines of `source` where they are known.

        The result must be that of this contract itself, not of one that called it.
        """
        if result.state is ExecutionState.REVERTED:
            reason = decode_reason(result.return_data)
            return f"{self.name}: reverted" if reason is None else f"{self.name}: reverted: {reason!r}"
        fault = result.metadata.get("fault")
        if fault is None:
            return f"{self.name}: {result.error}"
        error = ProzError(_PLACE.sub("", result.error))
        error.trace = [(function, index) for function, index in fault["trace"]]
        return describe_error(error, self.bytecode, tree.Source(source, self.name))


def compile_contract(
    source: str, name: str = "contract", *, debug: bool = False, limits: Limits = DEFAULT_LIMITS
) -> Contract:
    """Compile a contract, which messages call `name`. With `debug` its code has source maps.

    Raises:
        LanguageError: With everything that is wrong; names that nothing declares are.
    """
    program = parse(source, name)
    lowering = Lowering(program, strict_names=True, reserved=(CONSTRUCT,))
    opening = lowering.opening(in_function=False)
    actions = [statement for statement in program.statements if isinstance(statement, tree.Action)]
    constructor = next((action for action in actions if action.name.identifier == CONSTRUCT), None)
    exported = [action for action in actions if action.export is not None and action is not constructor]
    lowering.errors.extend(_faults(program, exported, constructor))
    lowering.raise_errors()

    lowered = lowering.program((*opening, *_dispatcher(exported)))
    bytecode = compile_program(lowered, source_map=True)
    if constructor is not None:
        body = (*lowering.opening(in_function=True), *_construction(constructor))
        function = core.CoreFunction(CONSTRUCT, (), (), body, constructor.span)
        bytecode.add_constant(compile_function(function, program.source))
    verified(bytecode, lowered, limits)
    code = pack(bytecode if debug else without_maps(bytecode))
    if len(code) > limits.size:
        message = f"too large: the code has {len(code)} bytes; the limit is {limits.size}"
        raise LanguageError(program.source, [Diagnostic(program.span, message)])
    entries = [_described(CONSTRUCTOR, constructor)] if constructor is not None else []
    entries += [_described(ACTION, action) for action in exported]
    return Contract(name, code, entries, SourceMap(bytecode), bytecode)


def _faults(
    program: tree.Program, exported: list[tree.Action], constructor: tree.Action | None
) -> Iterator[Diagnostic]:
    if not exported:
        start = tree.Span(0, min(1, len(program.source.text)))
        yield Diagnostic(start, "the contract exports no action", "write `export action name() { }`")
    for action in exported:
        if action.name.identifier == RECEIVE and action.parameters:
            yield Diagnostic(action.name.span, f"`{RECEIVE}` takes no parameters, since it runs when there is no input")
    if constructor is not None and constructor.result is not None:
        yield Diagnostic(constructor.result.span, f"`{CONSTRUCT}` returns nothing")


def _described(kind: str, action: tree.Action) -> dict[str, Any]:
    return {
        "type": kind,
        "name": action.name.identifier,
        "inputs": [{"name": given.name.identifier, "type": _type(given)} for given in action.parameters],
        "output": action.result.name if action.result is not None else None,
        "payable": _is_payable(action),
    }


def _type(parameter: tree.Parameter) -> str:
    return parameter.type.name if parameter.type is not None else _ANY


def _is_payable(action: tree.Action) -> bool:
    return action.export is not None and action.export.payable


# What runs before an action


def _dispatcher(exported: list[tree.Action]) -> Iterator[core.Statement]:
    """Call the action that the input names."""
    make = _Maker(tree.Span(0, 0))
    receive = next((action for action in exported if action.name.identifier == RECEIVE), None)
    yield make.store(_INPUT, make.operate(Opcode.INPUT))
    yield core.If(make.span, make.is_empty(_INPUT), tuple(_receiving(receive)))
    yield make.store(_CALL, make.operate(Opcode.TRY_DECODE, make.load(_INPUT)))
    is_call = make.is_kind(make.load(_CALL), "list")
    yield make.require(
        is_call, "the input is no call: the canonical encoding of a list of an action's name and its arguments"
    )
    yield make.require(make.operate(Opcode.LENGTH, make.load(_CALL)), "the input names no action")
    yield make.store(_NAME, make.argument(0))
    for action in exported:
        here = _Maker(action.name.span)
        name = action.name.identifier
        is_it = here.operate(Opcode.EQ, here.load(_NAME), here.constant(name))
        arguments = tuple(here.argument(index + 1) for index in range(len(action.parameters)))
        yield core.If(
            here.span,
            is_it,
            (
                *_value_check(here, action),
                here.require(here.has_length(_CALL, len(action.parameters) + 1), _arity(name, action)),
                *_type_checks(here, action, 1),
                *_answer(here, action, arguments),
            ),
        )
    yield make.refuse("the contract has no action of this name")


def _receiving(receive: tree.Action | None) -> Iterator[core.Statement]:
    """What a call without input does."""
    if receive is None:
        make = _Maker(tree.Span(0, 0))
        is_free = make.operate(Opcode.NOT, make.operate(Opcode.VALUE))
        yield make.require(is_free, "the contract takes no value without a call")
        yield core.Return(make.span, make.constant(None))
        return
    make = _Maker(receive.name.span)
    yield from _value_check(make, receive)
    yield from _answer(make, receive, ())


def _construction(constructor: tree.Action) -> Iterator[core.Statement]:
    """Call the constructor with what the input has for it."""
    make = _Maker(constructor.name.span)
    yield from _value_check(make, constructor)
    yield make.store(_INPUT, make.operate(Opcode.INPUT))
    count = len(constructor.parameters)
    if count:
        yield make.require(make.operate(Opcode.LENGTH, make.load(_INPUT)), _arity(CONSTRUCT, constructor))
        yield make.store(_CALL, make.operate(Opcode.TRY_DECODE, make.load(_INPUT)))
        is_list = make.is_kind(make.load(_CALL), "list")
        yield make.require(is_list, "the input of a constructor is the canonical encoding of a list of its arguments")
        yield make.require(make.has_length(_CALL, count), _arity(CONSTRUCT, constructor))
        yield from _type_checks(make, constructor, 0)
    else:
        yield make.require(make.is_empty(_INPUT), _arity(CONSTRUCT, constructor))
    arguments = tuple(map(make.argument, range(count)))
    yield core.Do(make.span, core.Call(make.span, CONSTRUCT, arguments))


def _answer(make: _Maker, action: tree.Action, arguments: tuple[core.Expression, ...]) -> Iterator[core.Statement]:
    """Return what the action does, if that is of the type that it declares.

    Where it may be anything it is always encoded, so that one can tell what it was.
    """
    result: core.Expression = core.Call(make.span, action.name.identifier, arguments)
    if action.result is None:
        yield core.Return(make.span, result)
    elif action.result.name == _ANY:
        yield core.Return(make.span, make.operate(Opcode.ENCODE, result))
    else:
        name = action.result.name
        yield make.store(_RESULT, result)
        reason = f"the result must be of type {name}"  # without a name, so that the code has it once
        yield make.require(make.is_of_type(make.load(_RESULT), name), reason)
        yield core.Return(make.span, make.load(_RESULT))


def _value_check(make: _Maker, action: tree.Action) -> Iterator[core.Statement]:
    if not _is_payable(action):
        is_free = make.operate(Opcode.NOT, make.operate(Opcode.VALUE))
        yield make.require(is_free, f"{action.name.identifier} takes no value: it is not payable")


def _type_checks(make: _Maker, action: tree.Action, first: int) -> Iterator[core.Statement]:
    """Refuse arguments of other types; that of the first parameter is at `first` in the input's list."""
    for index, parameter in enumerate(action.parameters, first):
        name = _type(parameter)
        if name == _ANY:
            continue
        test = make.is_of_type(make.argument(index), name)
        yield make.require(test, f"{action.name.identifier}: {parameter.name.identifier} must be of type {name}")


def _arity(name: str, action: tree.Action) -> str:
    count = len(action.parameters)
    return f"{name} takes {count} argument{'' if count == 1 else 's'}"


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes nodes that nobody wrote, at the place of what they serve."""

    span: tree.Span

    def constant(self, value: Value) -> core.Constant:
        return core.Constant(self.span, value)

    def load(self, register: str) -> core.Load:
        return core.Load(self.span, register)

    def store(self, register: str, value: core.Expression) -> core.Store:
        return core.Store(self.span, register, value)

    def operate(self, opcode: Opcode, *operands: core.Expression) -> core.Operate:
        return core.Operate(self.span, opcode, operands)

    def argument(self, index: int) -> core.Operate:
        return self.operate(Opcode.INDEX, self.load(_CALL), self.constant(index))

    def is_kind(self, value: core.Expression, kind: str) -> core.Operate:
        return self.operate(Opcode.EQ, self.operate(Opcode.KIND, value), self.constant(kind))

    def is_of_type(self, value: core.Expression, name: str) -> core.Expression:
        """Whether a value, which is computed twice at most, is of a type other than any."""
        test = self.is_kind(value, KINDS[name])
        if name != "address":
            return test
        size = self.operate(Opcode.LENGTH, value)
        return core.Both(self.span, test, self.operate(Opcode.EQ, size, self.constant(ADDRESS_SIZE)))

    def is_empty(self, register: str) -> core.Operate:
        return self.has_length(register, 0)

    def has_length(self, register: str, length: int) -> core.Operate:
        return self.operate(Opcode.EQ, self.operate(Opcode.LENGTH, self.load(register)), self.constant(length))

    def require(self, test: core.Expression, reason: str) -> core.If:
        return core.If(self.span, test, (), (self.refuse(reason),))

    def refuse(self, reason: str) -> core.Effect:
        return core.Effect(self.span, Opcode.REVERT, (self.constant(reason),))
