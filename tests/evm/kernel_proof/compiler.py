"""A compiler in small: kernel functions to LLVM IR, to show that op bodies are enough to make a native engine.

Types come from annotations and from a machine's protocol, the fork's rules are constants, and calls are inlined. It
is a proof and not an engine: divisions are LLVM's own, which are slow, and every field of the machine is in memory.
"""

from __future__ import annotations

import ast
import ctypes
import inspect
import operator
import sys
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from llvmlite import binding, ir
from vmloom.kernel import UInt
from vmloom.kernel.subset import check


@dataclass(frozen=True)
class Kind:
    """An integer type."""

    bits: int
    signed: bool = False

    @property
    def max(self) -> int:
        return (1 << (self.bits - self.signed)) - 1

    def holds(self, number: int) -> bool:
        return (-self.max - 1 if self.signed else 0) <= number <= self.max

    @property
    def type(self) -> Any:
        return ir.IntType(self.bits)


@dataclass(frozen=True)
class Value:
    """A value computed at run time. It is at most `limit`, so a masked word may become a byte without a cast."""

    code: Any
    kind: Kind
    limit: int


Operand = Any  # a Value, or an int: a constant, whose type is that of what it meets

BOOL, U64, U256, U512, I64 = Kind(1), Kind(64), Kind(256), Kind(512), Kind(64, signed=True)
OPERATORS: dict[type[ast.AST], str] = {  # syntax node: LLVM's name for it, and Python's, which folds constants
    ast.Add: "add add",
    ast.Sub: "sub sub",
    ast.Mult: "mul mul",
    ast.FloorDiv: "udiv floordiv",
    ast.Mod: "urem mod",
    ast.LShift: "shl lshift",
    ast.RShift: "lshr rshift",
    ast.BitAnd: "and_ and_",
    ast.BitOr: "or_ or_",
    ast.BitXor: "xor xor",
    ast.Eq: "== eq",
    ast.NotEq: "!= ne",
    ast.Lt: "< lt",
    ast.LtE: "<= le",
    ast.Gt: "> gt",
    ast.GtE: ">= ge",
}


def kind_named(name: Any, names: dict[str, Any]) -> Kind | None:
    """The type that an annotation names; None for the machine. `i64` is `int` to CPython, so its name decides."""
    if name == "i64":
        return I64
    target = names.get(name)
    return Kind(target.bits) if isinstance(target, UInt) else BOOL if name == "bool" else None


@dataclass(frozen=True)
class Target:
    """A machine: its layout, its vocabulary, and the vocabulary's verbs and the builtins that are kernels here."""

    layout: type[ctypes.Structure]
    protocol: type
    verbs: dict[str, Callable[..., Any]]
    kernels: dict[Any, Callable[..., Any]]
    rules: Any

    def kinds(self, name: str) -> list[Kind]:
        """The type of a field, or those of a verb's operands, as the protocol declares them."""
        owner = next(it for it in self.protocol.__mro__ if name in {**vars(it), **it.__annotations__})
        verb = vars(owner).get(name)
        declared = list(verb.__annotations__.values())[:-1] if verb else [owner.__annotations__[name]]
        return [kind_named(it, vars(sys.modules[owner.__module__])) or BOOL for it in declared]


def limit(operand: Operand) -> int:
    return operand.limit if isinstance(operand, Value) else operand if operand >= 0 else U512.max


def join(a: Operand, b: Operand) -> Kind:
    """The type in which two operands meet: the wider one; a constant takes the other's if that holds it."""
    kinds = [it.kind for it in (a, b) if isinstance(it, Value)] or [I64]
    widest = max(kinds, key=lambda kind: (kind.bits, kind.signed))
    wider = (kind for kind in (U64, U256, U512) if kind.bits > widest.bits)
    return next(kind for kind in (widest, *wider) if all(kind.holds(it) for it in (a, b) if isinstance(it, int)))


class Body:
    """One function under translation. What it calls is inlined, as a further body on the same builder."""

    def __init__(self, function: Callable[..., Any], builder: Any, machine: Any, target: Target) -> None:
        check(function)
        definition = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
        assert isinstance(definition, ast.FunctionDef)
        assert inspect.isfunction(function)
        self.definition, self.names = definition, function.__globals__
        self.b, self.machine, self.target = builder, machine, target
        self.locals: dict[str, tuple[Any, Kind]] = {}
        self.loops: list[tuple[Any, Any]] = []  # where `continue` and `break` go
        self.parameters = {it.arg: kind_named(it.annotation.id, self.names) for it in definition.args.args}  # type: ignore

    def inline(self, arguments: list[Operand]) -> Operand:
        returns = self.definition.returns
        self.kind = kind_named(returns.id, self.names) if isinstance(returns, ast.Name) else None
        self.result = self.slot(self.kind or BOOL)
        self.done = self.b.append_basic_block("done")
        for (name, kind), argument in zip(self.parameters.items(), arguments, strict=True):
            if kind is not None:
                self.declare(name, argument, kind)
        self.block(self.definition.body)
        self.go(self.done)
        self.b.position_at_end(self.done)
        return Value(self.b.load(self.result), self.kind, self.kind.max) if self.kind else 0

    # Statements

    def block(self, statements: list[ast.stmt]) -> None:
        for statement in statements:
            if not self.b.block.is_terminated:
                self.statement(statement)

    def statement(self, node: ast.stmt) -> None:
        match node:
            case ast.Expr(value=ast.Call() as call):
                self.expression(call)
            case ast.Return(value=value):
                if value is not None and self.kind is not None:
                    self.b.store(self.convert(self.expression(value), self.kind).code, self.result)
                self.go(self.done)
            case ast.Raise(exc=ast.Call(args=[reason])):
                self.b.ret(self.convert(self.expression(reason), I64).code)
            case ast.Assign(targets=[target], value=value):
                self.assign(target, self.expression(value))
            case ast.AugAssign(target=target, op=op, value=value):
                self.assign(target, self.binary(op, self.expression(target), self.expression(value)))
            case ast.AnnAssign(target=ast.Name(id=name), annotation=ast.Name(id=kind), value=ast.expr() as value):
                self.declare(name, self.expression(value), kind_named(kind, self.names))
            case ast.If(test=test, body=body, orelse=orelse):
                self.choose(self.truth(test), lambda: self.block(body), lambda: self.block(orelse))
            case ast.While(test=test, body=body):
                self.loop(lambda: self.truth(test), body, lambda: None)
            case ast.For(target=ast.Name(id=name), iter=ast.Call(args=bounds), body=body):
                start, stop = [0, *map(self.expression, bounds)][-2:]
                counter = ast.Name(f"counter of {name}", ast.Load())  # no Python name, so the body cannot change it
                self.declare(counter.id, start, join(start, stop))
                end = self.convert(stop, join(start, stop))
                self.loop(
                    lambda: self.binary(ast.Lt(), self.expression(counter), end),
                    [ast.Assign([ast.Name(name, ast.Store())], counter), *body],
                    lambda: self.assign(counter, self.binary(ast.Add(), self.expression(counter), 1)),
                )
            case ast.Break():
                self.go(self.loops[-1][1])
            case ast.Continue():
                self.go(self.loops[-1][0])

    def go(self, block: Any) -> None:
        if not self.b.block.is_terminated:
            self.b.branch(block)

    def slot(self, kind: Kind) -> Any:
        with self.b.goto_entry_block():
            return self.b.alloca(kind.type)

    def declare(self, name: str, operand: Operand, kind: Kind | None) -> None:
        if name not in self.locals and kind:
            self.locals[name] = self.slot(kind), kind
        slot, kind = self.locals[name]
        self.b.store(self.convert(operand, kind).code, slot)

    def assign(self, target: ast.expr, operand: Operand) -> None:
        if isinstance(target, ast.Attribute):
            self.b.store(self.convert(operand, self.target.kinds(target.attr)[0]).code, self.field(target.attr))
        elif isinstance(target, ast.Name):
            if target.id not in self.locals and isinstance(operand, int):
                raise TypeError(f"`{target.id}` begins as a constant, which has no type: write a cast or an annotation")
            self.declare(target.id, operand, None if isinstance(operand, int) else operand.kind)

    def loop(self, test: Callable[[], Operand], body: list[ast.stmt], step: Callable[[], None]) -> None:
        head, inside, again, end = (self.b.append_basic_block(it) for it in ("head", "body", "again", "end"))
        self.go(head)
        self.b.position_at_end(head)
        self.b.cbranch(self.convert(test(), BOOL).code, inside, end)
        self.b.position_at_end(inside)
        self.loops.append((again, end))
        self.block(body)
        self.loops.pop()
        self.go(again)
        self.b.position_at_end(again)
        step()
        self.go(head)
        self.b.position_at_end(end)

    def choose(self, test: Operand, then: Callable[[], Any], otherwise: Callable[[], Any]) -> Any:
        """Run one side only: always a branch, since both sides of a `select` are computed, a division by 0 too."""
        if isinstance(test, int):
            return then() if test else otherwise()
        first, second, end = (self.b.append_basic_block(it) for it in ("then", "else", "end"))
        self.b.cbranch(test.code, first, second)
        sides: list[tuple[Any, Any]] = []
        for block, side in ((first, then), (second, otherwise)):
            self.b.position_at_end(block)
            sides.append((side(), self.b.block))
        kind = None if sides[0][0] is None else join(sides[0][0], sides[1][0])  # None: statements have no value
        values = []
        for operand, block in sides:
            self.b.position_at_end(block)
            values.append(self.convert(operand, kind).code if kind else None)
            self.go(end)
        self.b.position_at_end(end)
        if kind is None:
            return None
        phi = self.b.phi(kind.type)
        for value, (_, block) in zip(values, sides, strict=True):
            phi.add_incoming(value, block)
        return Value(phi, kind, max(limit(operand) for operand, _ in sides))

    # Expressions

    def expression(self, node: ast.expr) -> Operand:
        match node:
            case ast.Constant(value=int() as value):
                return value
            case ast.Name(id=name):
                if name not in self.locals:  # the machine has no value; others are constants of the module
                    return 0 if name in self.parameters else self.names[name]
                slot, kind = self.locals[name]
                return Value(self.b.load(slot), kind, kind.max)
            case ast.Attribute(value=ast.Attribute(attr="rules"), attr=name):
                return getattr(self.target.rules, name)
            case ast.Attribute(attr=name):
                kind = self.target.kinds(name)[0]
                return Value(self.b.load(self.field(name), typ=kind.type), kind, kind.max)
            case ast.BinOp(left=left, op=op, right=right):
                return self.binary(op, self.expression(left), self.expression(right))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self.binary(ast.Sub(), 0, self.expression(operand))
            case ast.UnaryOp(operand=operand):
                return self.binary(ast.Eq(), self.truth(operand), 0)
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                return self.binary(op, self.expression(left), self.expression(right))
            case ast.BoolOp(op=op, values=[first, *rest]):
                more = rest[0] if len(rest) == 1 else ast.BoolOp(op, rest)
                sides = (lambda: self.truth(more)), (lambda: isinstance(op, ast.Or))
                return self.choose(self.truth(first), *(sides if isinstance(op, ast.And) else reversed(sides)))
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return self.choose(self.truth(test), lambda: self.expression(body), lambda: self.expression(orelse))
            case ast.Call(func=ast.Attribute(value=value, attr="bit_length")):
                code, kind = (number := self.expression(value)).code, number.kind
                length = self.b.sub(kind.type(kind.bits), self.b.ctlz(code, BOOL.type(0)))
                return self.convert(Value(length, kind, kind.bits), U64)
            case ast.Call(func=ast.Attribute(attr=verb), args=arguments):
                operands = [self.expression(it) for it in arguments]
                kernel = self.target.verbs.get(verb)
                return self.call(kernel, [0, *operands]) if kernel else self.primitive(verb, operands)
            case ast.Call(func=ast.Name(id=name), args=arguments):
                given = [self.expression(it) for it in arguments]
                if name in ("max", "min"):
                    chosen = self.binary(ast.Gt() if name == "max" else ast.Lt(), *given)
                    return self.choose(chosen, lambda: given[0], lambda: given[1])
                cast = kind_named(name, self.names)
                return self.convert(given[0], cast, cast=True) if cast else self.call(self.names[name], given)
        raise NotImplementedError(ast.unparse(node))

    def call(self, function: Callable[..., Any], arguments: list[Operand]) -> Operand:
        kernel = self.target.kernels.get(function, function)
        return Body(kernel, self.b, self.machine, self.target).inline(arguments)

    def truth(self, node: ast.expr) -> Operand:
        operand = self.expression(node)
        return bool(operand) if isinstance(operand, int) else self.binary(ast.NotEq(), operand, 0)

    def binary(self, op: ast.AST, a: Operand, b: Operand) -> Operand:
        name, fold = OPERATORS[type(op)].split()
        if isinstance(a, int) and isinstance(b, int):
            return getattr(operator, fold)(a, b)
        kind, comparison = join(a, b), isinstance(op, ast.cmpop)
        if comparison and isinstance(a, Value) and isinstance(b, Value) and a.kind.signed != b.kind.signed:
            kind = Kind(2 * kind.bits, signed=True)  # `m.gas < amount`: exact, whatever the amount
        x, y = self.convert(a, kind).code, self.convert(b, kind).code
        if comparison:
            return Value((self.b.icmp_signed if kind.signed else self.b.icmp_unsigned)(name, x, y), BOOL, 1)
        if kind.signed and isinstance(op, ast.FloorDiv | ast.Mod | ast.RShift):
            raise NotImplementedError("signed division rounds down in Python only")
        limits: dict[Any, int] = {ast.BitAnd: min(limit(a), limit(b)), ast.Mod: limit(b)}
        limits |= dict.fromkeys((ast.FloorDiv, ast.RShift), limit(a))
        return Value(getattr(self.b, name)(x, y), kind, min(kind.max, limits.get(type(op), kind.max)))

    def convert(self, operand: Operand, kind: Kind, cast: bool = False) -> Value:
        """`operand` as a `kind`; only a cast may lose bits."""
        if isinstance(operand, int):
            if not cast and not kind.holds(operand):
                raise TypeError(f"constant {operand} does not fit {kind}")
            return Value(kind.type(operand if kind.signed else operand & kind.max), kind, operand & kind.max)
        if kind.bits < operand.kind.bits and not cast and operand.limit > kind.max:
            raise TypeError(f"{operand.kind} becomes {kind} without a cast")
        resize = self.b.trunc if kind.bits < operand.kind.bits else self.b.sext if operand.kind.signed else self.b.zext
        code = operand.code if kind.bits == operand.kind.bits else resize(operand.code, kind.type)
        return Value(code, kind, min(operand.limit, kind.max))

    # The machine

    def field(self, name: str) -> Any:
        return self.at(self.machine, ir.IntType(64)(getattr(self.target.layout, name).offset))

    def at(self, base: Any, offset: Any) -> Any:
        return self.b.gep(base, [offset], source_etype=ir.IntType(8))

    def primitive(self, verb: str, operands: list[Operand]) -> Operand:
        """A verb that is a few instructions. Operands take the types that the protocol declares."""
        v = [self.convert(it, kind).code for it, kind in zip(operands, self.target.kinds(verb), strict=True)]
        if verb == "grow_memory":  # the region is reserved and zero
            self.b.store(v[0], self.field("memory_words"))
            return 0
        base = self.b.load(self.field("slots" if "slot" in verb else "memory"), typ=ir.PointerType())
        place = self.at(base, v[0])
        match verb:
            case "slot_word" | "memory_read":
                word = self.b.load(place, typ=U256.type, align=1)
                return Value(word if verb == "slot_word" else self.b.bswap(word), U256, U256.max)
            case "memory_write":
                self.b.store(self.b.bswap(v[1]), place, align=1)
            case "set_slot_word" | "memory_write_byte":
                self.b.store(v[1], place, align=1)
            case "memory_move":
                move = self.b.module.declare_intrinsic("llvm.memmove", [ir.PointerType(), ir.PointerType(), U64.type])
                self.b.call(move, [place, self.at(base, v[1]), v[2], BOOL.type(0)])
            case _:
                raise NotImplementedError(verb)
        return 0


def compile_kernels(functions: Iterable[Callable[..., Any]], target: Target) -> tuple[Any, dict[Any, int]]:
    """The engine that owns the code, and for each function the address of `status f(machine, words)`.

    `words` holds the operands, 32 bytes each in native order, and then the result.
    """
    module, names = ir.Module("kernels"), {}
    for number, function in enumerate(functions):
        names[function] = f"kernel_{number}"
        pointer = ir.PointerType()
        code = ir.Function(module, ir.FunctionType(U64.type, [pointer, pointer]), names[function])
        builder = ir.IRBuilder(code.append_basic_block("entry"))
        body, words = Body(function, builder, code.args[0], target), code.args[1]
        arguments: list[Operand] = []
        for kind in filter(None, body.parameters.values()):
            place = body.at(words, U64.type(32 * len(arguments)))
            word = Value(builder.load(place, typ=U256.type, align=8), U256, U256.max)
            arguments.append(body.convert(word, kind, cast=True))
        arguments = [0] * (len(body.parameters) - len(arguments)) + arguments  # the machine is the first parameter
        result = body.inline(arguments)
        if isinstance(result, Value):
            builder.store(body.convert(result, U256).code, words, align=8)
        builder.ret(U64.type(0))
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    machine = binding.Target.from_default_triple().create_target_machine(opt=1)
    native = binding.parse_assembly(str(module))
    native.verify()
    passes = binding.create_pass_builder(machine, binding.create_pipeline_tuning_options(speed_level=1))
    passes.getModulePassManager().run(native, passes)
    engine = binding.create_mcjit_compiler(native, machine)
    engine.finalize_object()
    return engine, {function: engine.get_function_address(name) for function, name in names.items()}
