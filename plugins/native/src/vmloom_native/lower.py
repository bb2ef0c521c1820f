"""From the typed tree to LLVM's text. One function at a time, and every construct in one way.

Locals are stack slots, which LLVM's SROA turns into registers. Whatever a kernel is given, the code has no undefined
behaviour but for addresses that are wrong: division by zero and shifts beyond the width give 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from .kinds import NOTHING, U64, U128, Integer, Kind, alignment, memory_type
from .shifts import shifted
from .tree import (
    Assign,
    Body,
    Break,
    Builtin,
    Call,
    Choice,
    Comparison,
    Constant,
    Continue,
    Conversion,
    Element,
    Evaluate,
    Expression,
    Frame,
    If,
    Local,
    Logic,
    Loop,
    Negation,
    Operation,
    PointerCall,
    Read,
    Return,
    Statement,
    Stop,
    TableStart,
    Write,
    halts,
)

if TYPE_CHECKING:
    from .program import FunctionRef, Program

Weights: TypeAlias = "tuple[int, int] | None"
"""How often a branch goes each way, where that is known."""

RARE: Weights = (1, 2000)
USUAL: Weights = (2000, 1)

FEW_BYTES = 512
"""Of an array that is zeroed by as many stores as it has words."""

PREDICATES = {"==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}
OPCODES = {"+": "add", "-": "sub", "*": "mul", "&": "and", "|": "or", "^": "xor"}


def signature(function: FunctionRef) -> str:
    """LLVM's type of what the function returns."""
    result = function.result.llvm
    return result if not function.halts else "i64" if function.result == NOTHING else f"{{i64, {result}}}"


def lower(function: FunctionRef, program: Program) -> str:
    """The function's definition."""
    parameters = ", ".join(f"{kind.llvm} %{_register(name)}" for name, kind in function.arguments)
    attributes = {True: " alwaysinline", False: " noinline", None: ""}[function.inline]
    head = f"define internal {signature(function)} @{function.symbol}({parameters}) nounwind{attributes} {{\n"
    if function.replaced is not None:
        return f"{head}{function.replaced}\n}}\n"
    assert function.body is not None
    return f"{head}{_Lowering(function, function.body, program).text()}}}\n"


def _register(name: str) -> str:
    """A Python name as LLVM can spell it."""
    return name if name.isascii() else "".join(it if it.isascii() else f"${ord(it):x}" for it in name)


class _Lowering:
    """Writes one function. `label` is the block being written, "" where control does not come."""

    def __init__(self, function: FunctionRef, body: Body, program: Program) -> None:
        self.function, self.body, self.program = function, body, program
        self.entry: list[str] = []
        self.lines: list[str] = []
        self.count = 0
        self.label = ".start"
        self.loops: list[tuple[str, str]] = []
        self.slots = body.assigned | set(body.locals)

    def text(self) -> str:
        parameters = dict(self.function.arguments)
        for name, kind in (*self.body.locals.items(), *((it, parameters[it]) for it in sorted(self.body.assigned))):
            register = _register(name)
            self.entry.append(f"  %{register}.slot = alloca {kind.llvm}, align 8")
            first = f"%{register}" if name in parameters else "zeroinitializer"
            self.entry.append(f"  store {kind.llvm} {first}, ptr %{register}.slot, align 8")
        self.block(self.body.statements)
        if self.label:
            self.end("ret void" if self.function.result == NOTHING and not self.function.halts else self.no_result())
        return "\n".join((".entry:", *self.entry, "  br label %.start", ".start:", *self.lines)) + "\n"

    def no_result(self) -> str:
        return "ret i64 0" if self.function.result == NOTHING else "unreachable"

    # Writing

    def emit(self, text: str) -> str:
        """Write an instruction; its result."""
        self.count += 1
        self.lines.append(f"  %.{self.count} = {text}")
        return f"%.{self.count}"

    def end(self, text: str) -> None:
        """Write the instruction that ends the block."""
        self.lines.append(f"  {text}")
        self.label = ""

    def begin(self, label: str) -> None:
        """Begin a block, to which control falls through if it can."""
        if self.label:
            self.end(f"br label %{label}")
        self.lines.append(f"{label}:")
        self.label = label

    def labels(self, *names: str) -> list[str]:
        self.count += 1
        return [f"{name}.{self.count}" for name in names]

    def intrinsic(self, result: str, name: str, *arguments: str) -> str:
        """A call of one of LLVM's intrinsics, whose declaration follows from its arguments."""
        given = ", ".join(arguments)
        types = ", ".join(it.strip().rsplit(" ", 1)[0] for it in given.split(","))
        self.program.declare(f"declare {result} @{name}({types})")
        call = f"call {result} @{name}({given})"
        if result != "void":
            return self.emit(call)
        self.lines.append(f"  {call}")
        return ""

    def typed(self, value: Expression) -> str:
        return f"{value.kind.llvm} {self.value(value)}"

    # Statements

    def block(self, statements: tuple[Statement, ...]) -> None:
        for statement in statements:
            if not self.label:
                break
            _STATEMENTS[type(statement)](self, statement)

    def assign(self, it: Assign) -> None:
        self.lines.append(f"  store {self.typed(it.value)}, ptr %{_register(it.name)}.slot, align 8")

    def write(self, it: Write) -> None:
        value, address = self.value(it.value), self.value(it.address)
        self.put(value, it.value.kind, address)

    def put(self, value: str, kind: Kind, address: str) -> None:
        """Store a value in its form for memory."""
        memory = memory_type(kind)
        if memory != kind.llvm:
            value = self.emit(f"zext {kind.llvm} {value} to {memory}")
        self.lines.append(f"  store {memory} {value}, ptr {address}, align {alignment(kind)}")

    def evaluate(self, it: Evaluate) -> None:
        self.value(it.value)

    def choose(self, it: If) -> None:
        then, otherwise, after = self.labels("then", "else", "after")
        weights = RARE if halts(it.then) else USUAL if halts(it.otherwise) else None
        self.branch(it.test, then, otherwise if it.otherwise else after, weights)
        self.begin(then)
        self.block(it.then)
        reached = bool(self.label) or not it.otherwise
        if self.label:
            self.end(f"br label %{after}")
        if it.otherwise:
            self.begin(otherwise)
            self.block(it.otherwise)
            reached = reached or bool(self.label)
        if reached:
            self.begin(after)

    def loop(self, it: Loop) -> None:
        head, body, step, after = self.labels("head", "body", "step", "after")
        self.begin(head)
        self.branch(it.test, body, after, None)
        self.begin(body)
        self.loops.append((step, after))
        self.block(it.body)
        self.loops.pop()
        self.begin(step)
        self.block(it.step)
        self.end(f"br label %{head}")
        self.begin(after)

    def leave(self, it: Return) -> None:
        value = None if it.value is None else self.value(it.value)
        returns = self.function.result.llvm
        if not self.function.halts:
            self.end("ret void" if value is None else f"ret {returns} {value}")
        elif value is None:
            self.end("ret i64 0")
        else:
            result = self.emit(f"insertvalue {{i64, {returns}}} {{i64 0, {returns} poison}}, {returns} {value}, 1")
            self.end(f"ret {{i64, {returns}}} {result}")

    def stop(self, it: Stop) -> None:
        self.stop_with(self.value(it.reason))

    def stop_with(self, status: str) -> None:
        if self.function.result == NOTHING:
            self.end(f"ret i64 {status}")
            return
        returns = self.function.result.llvm
        result = self.emit(f"insertvalue {{i64, {returns}}} zeroinitializer, i64 {status}, 0")
        self.end(f"ret {{i64, {returns}}} {result}")

    def break_(self, _: Break) -> None:
        self.end(f"br label %{self.loops[-1][1]}")

    def continue_(self, _: Continue) -> None:
        self.end(f"br label %{self.loops[-1][0]}")

    def branch(self, test: Expression, then: str, otherwise: str, weights: Weights) -> None:
        """Go to one of two blocks. `and`, `or` and `not` become branches of their own."""
        match test:
            case Constant():
                self.end(f"br label %{then if test.value else otherwise}")
            case Negation(operand=operand):
                self.branch(operand, otherwise, then, weights and weights[::-1])
            case Builtin(name="unlikely", arguments=(operand,)):
                self.branch(operand, then, otherwise, RARE)
            case Logic(name=name, left=left, right=right):
                (middle,) = self.labels("test")
                first = weights if (weights == RARE) == (name == "or") else None
                self.branch(left, *((middle, otherwise) if name == "and" else (then, middle)), first)
                self.begin(middle)
                self.branch(right, then, otherwise, weights)
            case _:
                profile = f", {_profile(weights)}" if weights else ""
                self.end(f"br i1 {self.value(test)}, label %{then}, label %{otherwise}{profile}")

    # Expressions

    def value(self, value: Expression) -> str:
        """Compute it; the register or constant that holds it."""
        return _EXPRESSIONS[type(value)](self, value)

    def constant(self, it: Constant) -> str:
        if isinstance(it.kind, Integer) and it.kind.bits == 1:
            return "true" if it.value else "false"
        return str(it.value)

    def local(self, it: Local) -> str:
        if it.name not in self.slots:
            return f"%{_register(it.name)}"
        return self.emit(f"load {it.kind.llvm}, ptr %{_register(it.name)}.slot, align 8")

    def operation(self, it: Operation) -> str:
        left, right = self.value(it.left), self.value(it.right)
        kind = it.kind
        assert isinstance(kind, Integer)
        match it.name:
            case "//" | "%":
                return self.divide(it, left, right)
            case "<<" | ">>":
                return self.shift(it, kind, left, right)
        return self.emit(f"{OPCODES[it.name]} {kind.llvm} {left}, {right}")

    def divide(self, it: Operation, left: str, right: str) -> str:
        """LLVM may assume that a divisor is not 0, so it never is."""
        opcode, type_ = "udiv" if it.name == "//" else "urem", it.kind.llvm
        if it.right.low > 0:
            return self.emit(f"{opcode} {type_} {left}, {right}")
        zero = self.emit(f"icmp eq {type_} {right}, 0")
        divisor = self.emit(f"select i1 {zero}, {type_} 1, {type_} {right}")
        result = self.emit(f"{opcode} {type_} {left}, {divisor}")
        return self.emit(f"select i1 {zero}, {type_} 0, {type_} {result}")

    def shift(self, it: Operation, kind: Integer, left: str, right: str) -> str:
        """A shift by the width or more is undefined in LLVM, and 0 (or the sign) here."""
        opcode = "shl" if it.name == "<<" else "ashr" if kind.signed else "lshr"
        if isinstance(it.right, Constant) and it.right.value >= kind.bits:
            return self.emit(f"ashr {kind.llvm} {left}, {kind.bits - 1}") if kind.signed and opcode == "ashr" else "0"
        if kind.bits > U128.bits and not kind.signed and not isinstance(it.right, Constant):
            result = shifted(self, left, kind.bits, right, it.right.high, left=it.name == "<<")
        else:
            result = self.emit(f"{opcode} {kind.llvm} {left}, {right}")
        if it.right.high < kind.bits:
            return result
        inside = self.emit(f"icmp ult {kind.llvm} {right}, {kind.bits}")
        return self.emit(f"select i1 {inside}, {kind.llvm} {result}, {kind.llvm} 0")

    def comparison(self, it: Comparison) -> str:
        left, right = self.value(it.left), self.value(it.right)
        predicate = PREDICATES[it.name]
        if it.name not in ("==", "!="):
            signed = isinstance(it.left.kind, Integer) and it.left.kind.signed
            predicate = ("s" if signed else "u") + predicate
        return self.emit(f"icmp {predicate} {it.left.kind.llvm} {left}, {right}")

    def conversion(self, it: Conversion) -> str:
        value, source, target = self.value(it.operand), it.operand.kind, it.kind
        assert isinstance(source, Integer)
        assert isinstance(target, Integer)
        if source.bits == target.bits:
            return value
        opcode = "trunc" if target.bits < source.bits else "sext" if source.signed else "zext"
        return self.emit(f"{opcode} {source.llvm} {value} to {target.llvm}")

    def negation(self, it: Negation) -> str:
        return self.emit(f"xor i1 {self.value(it.operand)}, true")

    def logic(self, it: Logic) -> str:
        if simple(it.right):
            left, right = self.value(it.left), self.value(it.right)
            sides = f"i1 {right}, i1 false" if it.name == "and" else f"i1 true, i1 {right}"
            return self.emit(f"select i1 {left}, {sides}")
        return self.merge(it, it.kind)

    def choice(self, it: Choice) -> str:
        if simple(it.then) and simple(it.otherwise) and not _hinted(it.test):
            test, then, otherwise = self.value(it.test), self.value(it.then), self.value(it.otherwise)
            return self.emit(f"select i1 {test}, {it.kind.llvm} {then}, {it.kind.llvm} {otherwise}")
        then_label, else_label, after = self.labels("then", "else", "after")
        self.branch(it.test, then_label, else_label, None)
        sides = []
        for label, side in ((then_label, it.then), (else_label, it.otherwise)):
            self.begin(label)
            value = self.value(side)
            sides.append(f"[{value}, %{self.label}]")
            self.end(f"br label %{after}")
        self.begin(after)
        return self.emit(f"phi {it.kind.llvm} {', '.join(sides)}")

    def merge(self, it: Expression, kind: Kind) -> str:
        """A condition as a value."""
        true, false, after = self.labels("true", "false", "after")
        self.branch(it, true, false, None)
        self.begin(true)
        self.end(f"br label %{after}")
        self.begin(false)
        self.begin(after)
        return self.emit(f"phi {kind.llvm} [true, %{true}], [false, %{false}]")

    # Calls

    def call(self, it: Call) -> str:
        arguments = ", ".join([self.typed(argument) for argument in it.arguments])
        text = f"call {signature(it.function)} @{it.function.symbol}({arguments})"
        nothing = it.function.result == NOTHING
        if it.attempt:
            return self.attempted(text, it.function.halts)
        if not it.function.halts:
            if not nothing:
                return self.emit(text)
            self.lines.append(f"  {text}")
            return ""
        result = self.emit(text)
        type_ = signature(it.function)
        status = result if nothing else self.emit(f"extractvalue {type_} {result}, 0")
        halted, on = self.labels("halted", "on")
        test = self.emit(f"icmp ne i64 {status}, 0")
        self.end(f"br i1 {test}, label %{halted}, label %{on}, {_profile(RARE)}")
        self.begin(halted)
        self.stop_with(status)
        self.begin(on)
        return "" if nothing else self.emit(f"extractvalue {type_} {result}, 1")

    def attempted(self, text: str, halts: bool) -> str:
        if halts:
            return self.emit(text)
        self.lines.append(f"  {text}")
        return "0"

    def pointer_call(self, it: PointerCall) -> str:
        pointer = self.value(it.pointer)
        arguments = ", ".join([f"{_c_type(argument.kind)} {self.value(argument)}" for argument in it.arguments])
        text = f"{it.kind.llvm} {pointer}({arguments})"
        if it.kind == NOTHING:
            self.lines.append(f"  call {text}")
            return ""
        return self.emit(f"call {'zeroext ' if _narrow(it.kind) else ''}{text}")

    # Memory

    def read(self, it: Read) -> str:
        address = self.value(it.address)
        replacement = self.replacement("load", it.kind) if it.packed else ""
        if replacement:
            return self.emit(f"call {it.kind.llvm} @{replacement}(ptr {address})")
        memory = it.kind.llvm if it.packed else memory_type(it.kind)
        value = self.emit(f"load {memory}, ptr {address}, align {1 if it.packed else alignment(it.kind)}")
        if memory == it.kind.llvm:
            return value
        return self.emit(f"icmp ne i8 {value}, 0" if memory == "i8" else f"trunc {memory} {value} to {it.kind.llvm}")

    def element(self, it: Element) -> str:
        base, index = self.value(it.base), self.value(it.index)
        if it.backwards:
            index = self.emit(f"sub i64 0, {index}")
        if index == "0":
            return base
        unit = "i8" if it.stride == 1 else f"[{it.stride} x i8]"
        return self.emit(f"getelementptr {'inbounds ' if it.inside else ''}{unit}, ptr {base}, i64 {index}")

    def frame(self, it: Frame) -> str:
        (name,) = self.labels("frame")
        self.entry.append(f"  %{name} = alloca [{it.size} x i8], align 16")
        if it.size % 8 == 0 and it.size <= FEW_BYTES:  # for GPUs `memset` would be a loop over bytes
            self.lines.append(f"  store [{it.size // 8} x i64] zeroinitializer, ptr %{name}, align 16")
        else:
            self.intrinsic("void", "llvm.memset.p0.i64", f"ptr %{name}, i8 0, i64 {it.size}, i1 false")
        return f"%{name}"

    def table_start(self, it: TableStart) -> str:
        return f"@{it.symbol}"

    def builtin(self, it: Builtin) -> str:
        return _BUILTINS[it.name](self, it, *(self.value(argument) for argument in it.arguments))

    def bit_length(self, it: Builtin, value: str) -> str:
        kind = it.arguments[0].kind
        zeros = self.intrinsic(kind.llvm, f"llvm.ctlz.{kind.llvm}", f"{kind.llvm} {value}, i1 false")
        assert isinstance(kind, Integer)
        return self.resized(self.emit(f"sub {kind.llvm} {kind.bits % 2**kind.bits}, {zeros}"), kind)

    def resized(self, value: str, kind: Kind) -> str:
        """A small number as a u64."""
        assert isinstance(kind, Integer)
        if kind.bits == U64.bits:
            return value
        return self.emit(f"{'zext' if kind.bits < 64 else 'trunc'} {kind.llvm} {value} to i64")

    def trailing_zeros(self, it: Builtin, value: str) -> str:
        kind = it.arguments[0].kind
        return self.resized(self.intrinsic(kind.llvm, f"llvm.cttz.{kind.llvm}", f"{kind.llvm} {value}, i1 false"), kind)

    def count_ones(self, it: Builtin, value: str) -> str:
        kind = it.arguments[0].kind
        return self.resized(self.intrinsic(kind.llvm, f"llvm.ctpop.{kind.llvm}", f"{kind.llvm} {value}"), kind)

    def byteswap(self, it: Builtin, value: str) -> str:
        return self.intrinsic(it.kind.llvm, f"llvm.bswap.{it.kind.llvm}", f"{it.kind.llvm} {value}")

    def rotate(self, it: Builtin, value: str, count: str) -> str:
        """`count` is below the width. LLVM divides by a width that is no power of two, at a width it cannot divide."""
        kind, type_ = it.kind, it.kind.llvm
        assert isinstance(kind, Integer)
        if kind.bits & (kind.bits - 1) == 0:
            name = "llvm.fshl" if it.name == "rotate_left" else "llvm.fshr"
            arguments = f"{type_} {value}, {type_} {value}, {type_} {count}"
            return self.intrinsic(type_, f"{name}.{type_}", arguments)
        there, back = ("shl", "lshr") if it.name == "rotate_left" else ("lshr", "shl")
        rest = self.emit(f"sub {type_} {kind.bits - 1}, {count}")
        first, one = self.emit(f"{there} {type_} {value}, {count}"), self.emit(f"{back} {type_} {value}, 1")
        return self.emit(f"or {type_} {first}, {self.emit(f'{back} {type_} {one}, {rest}')}")

    def extreme(self, it: Builtin, left: str, right: str) -> str:
        assert isinstance(it.kind, Integer)
        name, type_ = f"{'s' if it.kind.signed else 'u'}{it.name}", it.kind.llvm
        return self.intrinsic(type_, f"llvm.{name}.{type_}", f"{type_} {left}, {type_} {right}")

    def is_null(self, _: Builtin, pointer: str) -> str:
        return self.emit(f"icmp eq ptr {pointer}, null")

    def unlikely(self, _: Builtin, value: str) -> str:
        return value

    def address_of(self, _: Builtin, pointer: str) -> str:
        return self.emit(f"ptrtoint ptr {pointer} to i64")

    def pointer(self, _: Builtin, address: str) -> str:
        return self.emit(f"inttoptr i64 {address} to ptr")

    def view(self, _: Builtin, pointer: str, size: str) -> str:
        half = self.emit(f"insertvalue {{ptr, i64}} poison, ptr {pointer}, 0")
        return self.emit(f"insertvalue {{ptr, i64}} {half}, i64 {size}, 1")

    def view_start(self, _: Builtin, view: str) -> str:
        return self.emit(f"extractvalue {{ptr, i64}} {view}, 0")

    def view_length(self, _: Builtin, view: str) -> str:
        return self.emit(f"extractvalue {{ptr, i64}} {view}, 1")

    def store(self, it: Builtin, address: str, value: str) -> str:
        kind = it.arguments[1].kind
        replacement = self.replacement("store", kind)
        if replacement:
            self.lines.append(f"  call void @{replacement}(ptr {address}, {kind.llvm} {value})")
        else:
            self.lines.append(f"  store {kind.llvm} {value}, ptr {address}, align 1")
        return ""

    def replacement(self, name: str, kind: Kind) -> str:
        """The symbol of what the program calls for a `load` or `store` of a kind; empty if LLVM's own will do."""
        return self.program.packed.get((name, kind.bits), "") if isinstance(kind, Integer) else ""

    def copy(self, _: Builtin, target: str, source: str, size: str) -> str:
        return self.intrinsic("void", "llvm.memmove.p0.p0.i64", f"ptr {target}, ptr {source}, i64 {size}, i1 false")

    def fill(self, _: Builtin, target: str, byte: str, size: str) -> str:
        return self.intrinsic("void", "llvm.memset.p0.i64", f"ptr {target}, i8 {byte}, i64 {size}, i1 false")


def _profile(weights: Weights) -> str:
    then, otherwise = weights or (1, 1)
    return f'!prof !{{!"branch_weights", i32 {then}, i32 {otherwise}}}'


def simple(value: Expression) -> bool:
    """Whether it may be computed in vain: cheap, and without effects or memory."""
    match value:
        case Constant() | Local():
            return True
        case Conversion(operand=operand) | Negation(operand=operand):
            return simple(operand)
        case Comparison(left=left, right=right) | Logic(left=left, right=right):
            return simple(left) and simple(right)
        case Operation(name=name, left=left, right=right):
            return name not in ("//", "%", "*") and simple(left) and simple(right)
    return False


def _hinted(test: Expression) -> bool:
    return isinstance(test, Builtin) and test.name == "unlikely"


def _narrow(kind: Kind) -> bool:
    return isinstance(kind, Integer) and kind.bits < 64


def _c_type(kind: Kind) -> str:
    return f"{kind.llvm} zeroext" if _narrow(kind) else kind.llvm


_STATEMENTS: dict[type[Statement], Callable[[_Lowering, Any], None]] = {
    Assign: _Lowering.assign,
    Write: _Lowering.write,
    Evaluate: _Lowering.evaluate,
    If: _Lowering.choose,
    Loop: _Lowering.loop,
    Return: _Lowering.leave,
    Stop: _Lowering.stop,
    Break: _Lowering.break_,
    Continue: _Lowering.continue_,
}
_EXPRESSIONS: dict[type[Expression], Callable[[_Lowering, Any], str]] = {
    Constant: _Lowering.constant,
    Local: _Lowering.local,
    Operation: _Lowering.operation,
    Comparison: _Lowering.comparison,
    Conversion: _Lowering.conversion,
    Negation: _Lowering.negation,
    Logic: _Lowering.logic,
    Choice: _Lowering.choice,
    Call: _Lowering.call,
    PointerCall: _Lowering.pointer_call,
    Read: _Lowering.read,
    Element: _Lowering.element,
    Builtin: _Lowering.builtin,
    Frame: _Lowering.frame,
    TableStart: _Lowering.table_start,
}
_BUILTINS: dict[str, Callable[..., str]] = {
    "bit_length": _Lowering.bit_length,
    "trailing_zeros": _Lowering.trailing_zeros,
    "count_ones": _Lowering.count_ones,
    "byteswap": _Lowering.byteswap,
    "rotate_left": _Lowering.rotate,
    "rotate_right": _Lowering.rotate,
    "min": _Lowering.extreme,
    "max": _Lowering.extreme,
    "is_null": _Lowering.is_null,
    "unlikely": _Lowering.unlikely,
    "address_of": _Lowering.address_of,
    "pointer": _Lowering.pointer,
    "view": _Lowering.view,
    "start": _Lowering.view_start,
    "length": _Lowering.view_length,
    "store": _Lowering.store,
    "copy": _Lowering.copy,
    "fill": _Lowering.fill,
}
