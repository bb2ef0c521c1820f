"""Op functions written out for one place in a contract: with constants folded, and no wider than their operands are.

`Specialiser` walks the typed tree of a kernel function, as `vmloom_native` has it, with what is known of each operand:
its range, and so the width in which it is computed. What is rare there (a halt, memory that has to grow, anything
out of line) is not written at all: control leaves for the interpreter, which runs the instruction from its beginning.
So this knows no instruction, and an instruction's semantics stand in its op function alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from vmloom_native.kinds import U64, Integer, Kind, Pointer, Reference, View, alignment, memory_type
from vmloom_native.lower import PREDICATES
from vmloom_native.operators import FOLDS
from vmloom_native.ranges import RANGES
from vmloom_native.shifts import shifted
from vmloom_native.tree import (
    Assign,
    Builtin,
    Call,
    Choice,
    Comparison,
    Constant,
    Conversion,
    Element,
    Evaluate,
    Expression,
    If,
    Local,
    Logic,
    Negation,
    Operation,
    Read,
    Return,
    Statement,
    Write,
    ends,
)

from ..ops.arithmetic import word_of_byte
from . import divisors
from .products import WRAPPING, product, wrapping_product
from .values import WIDTHS, Given, Returned, Value, Writer, narrowest, number

if TYPE_CHECKING:
    from vmloom_native.program import FunctionRef

OPCODES: Final = {"+": "add", "-": "sub", "*": "mul", "&": "and", "|": "or", "^": "xor", "<<": "shl", ">>": "lshr"}
DIVISIONS: Final = {
    f"{verb}_u{bits}": operator for bits in (128, 256, 512) for verb, operator in (("divide", "//"), ("remainder", "%"))
}
"""Kernels that stand for operators whose operands are wide; narrow ones need no kernel."""
LONGEST_SHIFT: Final = 128
"""Bits of the longest integers whose shifts by what is not known are left to LLVM."""
MOST_INLINED: Final = 400
"""Nodes of trees that one instruction may come to."""
COLD: Final = '!prof !{!"branch_weights", i32 4000, i32 1}'
WORD: Final = 256


class Rare(Exception):
    """Control comes to what is left to the interpreter."""


class Unsuited(Exception):
    """The function cannot be written out here."""


class Specialiser:
    """Writes one instruction through `writer`.

    `leave` gives the label of the way to the interpreter, `kernel` the typed tree of a kernel function.
    """

    def __init__(self, writer: Writer, leave: Callable[[], str], registers: Registers, kernel: KernelOf) -> None:
        self.writer = writer
        self.leave = leave
        self.kernel = kernel
        self.registers = registers
        self.wrote = False
        self.nodes = 0

    def kernel_of(self, function: Callable[..., Any], *arguments: Value) -> Value:
        """The result of a kernel function that has one."""
        result = self.call(self.kernel(function), list(arguments))
        assert isinstance(result, Value)
        return result

    def call(self, function: FunctionRef, arguments: list[Given]) -> Given | None:
        """The result of a kernel function. Raises `Rare` where nothing else can come, `Unsuited`."""
        if function.body is None or function.replaced is not None:
            raise Unsuited(function.name)
        if function.inline is False:
            raise Rare(function.name)
        names = dict(zip((name for name, _ in function.arguments), arguments, strict=True))
        returned = self.statements(function.body.statements, names)
        return returned.value if returned is not None else None

    # Statements

    def statements(self, statements: tuple[Statement, ...], names: dict[str, Given]) -> Returned | None:
        """Run them. What they return, if control never comes past them."""
        for position, statement in enumerate(statements):
            self.count()
            match statement:
                case Assign(name=name, value=value):
                    names[name] = self.value(value, names)
                case Evaluate(value=value):
                    self.value(value, names)
                case Write(address=address, value=value):
                    self.write(self.value(address, names), self.value(value, names), value.kind)
                case Return(value=value):
                    return Returned(None if value is None else self.value(value, names))
                case If(test=test, then=then, otherwise=otherwise):
                    rest = statements[position + 1 :]
                    if ends(then) and not otherwise:
                        return self.choose(test, then, rest, names)
                    found = self.choose(test, then, otherwise, names)
                    if found is not None:
                        return found
                case _:
                    raise Rare(type(statement).__name__)
        return None

    def choose(
        self, test: Expression, then: tuple[Statement, ...], otherwise: tuple[Statement, ...], names: dict[str, Given]
    ) -> Returned | None:
        """An `if`. Sides that go on must not assign, for nothing here merges names but results."""
        condition = self.value(test, names)
        if condition.constant is not None:
            return self.statements(then if condition.constant else otherwise, names)
        return self.two_ways(
            condition,
            lambda: self.statements(then, names),
            lambda: self.statements(otherwise, names),
            names,
            self.bound_by(test, names),
        )

    def bound_by(self, test: Expression, names: dict[str, Given]) -> tuple[Value, int] | None:
        """A field and the least that it is unless `test` holds, which says that it is less than a known number."""
        match test:
            case Comparison(name=">", left=Local(name=name), right=Read() | Call() as right):
                least = names.get(name)
                if isinstance(least, Value) and least.constant is not None:
                    field = self.value(right, names)  # it is at hand
                    if isinstance(field, Value) and field.low < least.low <= field.high:
                        return field, least.low
        return None

    def two_ways(
        self,
        condition: Value,
        then: Callable[[], Returned | None],
        otherwise: Callable[[], Returned | None],
        names: dict[str, Given],
        bound: tuple[Value, int] | None = None,
    ) -> Returned | None:
        """Branch; a side that is rare leaves, and both sides meet again with what they return.

        `bound` is a value and the least that it is where the condition does not hold.
        """
        writer = self.writer
        yes, no, after = writer.new_label(), writer.new_label(), writer.new_label()
        branch = len(writer.lines)
        writer.put("")
        before = dict(names)
        sides: list[Side | None] = []
        ways: list[str] = []
        begun = self.registers.copy()
        ended = begun
        for label, side in ((yes, then), (no, otherwise)):
            mark = len(writer.lines)
            wrote = self.wrote
            self.registers.restore(begun)
            names.clear()
            names.update(before)
            writer.begin(label)
            try:
                returned = side()
                if any(names[name] is not value for name, value in before.items()):
                    raise Unsuited("assigns on one side")
                if self.wrote and not wrote:
                    raise Unsuited("writes on one side")
                sides.append(Side(returned, writer.label, len(writer.lines)))
                writer.put(f"br label %{after}")
                ways.append(label)
                ended = self.registers.copy()
            except Rare:
                if self.wrote:
                    raise Unsuited("writes before what is rare") from None
                del writer.lines[mark:]
                sides.append(None)
                ways.append("")
            finally:
                names.clear()
                names.update(before)
        self.registers.restore(ended if None in sides else begun)
        if sides[0] is None and sides[1] is None:
            del writer.lines[branch:]
            raise Rare
        if sides[0] is None and bound is not None:
            self.registers.refine(*bound)
        hint = ""
        for index, way in enumerate(ways):
            if not way:
                ways[index] = self.leave()
                hint = f", {COLD}" if index else ', !prof !{!"branch_weights", i32 1, i32 4000}'
        writer.lines[branch] = f"  br i1 {condition.text}, label %{ways[0]}, label %{ways[1]}{hint}"
        writer.begin(after)
        met = [side for side in sides if side is not None]
        if len(met) == 1:
            return met[0].returned
        first, second = met
        if first.returned is None or second.returned is None:
            if first.returned is not second.returned:
                raise Unsuited("returns on one side")
            return None
        return Returned(self.merged(first, first.returned.value, second, second.returned.value))

    def merged(self, first: Side, one: Given, second: Side, other: Given) -> Given:
        """What is `one` if control comes from the first side and `other` if from the second."""
        if one is None and other is None:
            return None
        if not isinstance(one, Value) or not isinstance(other, Value):
            raise Unsuited("merges what is no integer")
        if one == other:
            return one
        low, high = min(one.low, other.low), max(one.high, other.high)
        width = max(one.width, other.width)
        last = self.cast_at(second, other, width)
        texts = self.cast_at(first, one, width), last
        ways = ", ".join(f"[{text}, %{side.label}]" for text, side in zip(texts, (first, second), strict=True))
        return Value(self.writer.emit(f"phi i{width} {ways}"), width, low, high)

    def cast_at(self, side: Side, value: Value, width: int) -> str:
        """`value` in `width` bits, where the side ends."""
        after = self.writer.lines[side.end :]
        del self.writer.lines[side.end :]
        text = self.writer.cast(value, width)
        self.writer.lines += after
        return text

    def write(self, address: Given, value: Given, kind: Kind) -> None:
        """Put a value of `kind` into memory."""
        if isinstance(address, Register):
            raise Rare("pays gas")
        self.wrote = True
        memory = memory_type(kind)
        assert isinstance(kind, Integer)
        text = self.writer.cast(value, int(memory[1:]))
        self.writer.put(f"store {memory} {text}, ptr {address.text}, align {alignment(kind)}")
        self.registers.forget()

    # Expressions

    def count(self) -> None:
        """One more node. Raises `Unsuited` where they are too many for one instruction."""
        self.nodes += 1
        if self.nodes > MOST_INLINED:
            raise Unsuited("too long")

    def value(self, it: Expression, names: dict[str, Given]) -> Given:
        """What an expression gives."""
        self.count()
        match it:
            case Constant():
                assert isinstance(it.kind, Integer)
                return number(
                    it.value & it.kind.high if not it.kind.signed else it.value, 1 if it.kind.bits == 1 else 0
                )
            case Local(name=name):
                return names[name]
            case Operation():
                return self.operation(it.name, it.kind, self.value(it.left, names), self.value(it.right, names))
            case Comparison():
                return self.comparison(it, self.value(it.left, names), self.value(it.right, names))
            case Conversion():
                return self.conversion(it, self.value(it.operand, names))
            case Negation(operand=operand):
                return self.negation(self.value(operand, names))
            case Logic():
                return self.logic(it, names)
            case Choice():
                return self.choice(it, names)
            case Call():
                return self.called(it, names)
            case Read():
                return self.read(it, names)
            case Element():
                return self.element(it, names)
            case Builtin():
                return self.builtin(it, [self.value(argument, names) for argument in it.arguments])
        raise Rare(type(it).__name__)

    def operation(self, name: str, kind: Kind, left: Value, right: Value) -> Value:
        """An operator of `kind`, computed in the least width in which the result is the same."""
        assert isinstance(kind, Integer)
        if left.constant is not None and right.constant is not None and name not in ("//", "%"):
            exact = FOLDS[name](left.low, right.low) if name != "<<" or right.low <= 512 else 0
            return number(exact & kind.high) if not kind.signed else Value(str(exact), 64, exact, exact)
        if name in ("//", "%"):
            return self.division(name, left, right)
        identity = self.identity(name, kind, left, right)
        if identity is not None:
            return identity
        low, high = RANGES[name]((left.low, left.high), (right.low, right.high))
        fits = low >= 0 and high <= kind.high and not kind.signed
        if name == "-" and low < 0 and kind.bits > 64 and not kind.signed and _are_short(left, right):
            return self.short_difference(kind, left, right)
        if not fits:
            low, high = kind.low, kind.high
        width = max(narrowest(high), 64) if fits else kind.bits
        if name == "&":
            width = max(narrowest(high), 1 if left.width == right.width == 1 else 64)
        elif name in (">>", "<<"):
            width = max(width, left.width if name == ">>" else 0, 64)
            return self.shift(name, width, left, right, low, high)
        elif left.width == right.width == 1 and name in ("|", "^"):
            width = 1
        else:
            width = max(width, *(self.needed(value) for value in (left, right) if fits), 64)
        if name == "*" and fits and width > WORD and min(left.low, right.low) >= 0 and self.writer.products:
            self.writer.products -= 1
            return self.writer.fitted(Value(product(self.writer, left, right, width), width, low, high))
        if name == "*" and not fits and width == WORD and self.wraps_in_rows(left, right):
            return self.product_in_rows(left, right)
        flags = " nuw" if fits and name in ("+", "-", "*") else ""
        texts = self.writer.cast(left, width), self.writer.cast(right, width)
        result = Value(self.writer.emit(f"{OPCODES[name]}{flags} i{width} {texts[0]}, {texts[1]}"), width, low, high)
        result = self.writer.fitted(result)
        if name == "*" and flags and (left.constant is None) != (right.constant is None):
            factor, known = (right, left) if left.constant is not None else (left, right)
            return replace(result, multiple=(factor.bare, known.low))
        return result

    def wraps_in_rows(self, left: Value, right: Value) -> bool:
        """Whether a product modulo 2**256 is written out. For lanes of GPUs it is LLVM's."""
        writer = self.writer
        return min(left.low, right.low) >= 0 and min(writer.products, writer.wrapping) > 0 and not writer.packed

    def product_in_rows(self, left: Value, right: Value) -> Value:
        """The product modulo 2**256, row by row."""
        self.writer.wrapping -= 1
        self.writer.tables[wrapping_product()] = None
        if left.constant is not None:
            left, right = right, left
        factors = ", ".join(f"i{WORD} {self.writer.cast(it, WORD)}" for it in (left, right))
        return Value(self.writer.emit(f"call i{WORD} @{WRAPPING}({factors})"), WORD, 0, (1 << WORD) - 1)

    def short_difference(self, kind: Integer, left: Value, right: Value) -> Value:
        """The difference of numbers below 2**63: a word and its sign, instead of borrows from word to word."""
        texts = self.writer.cast(left, 64), self.writer.cast(right, 64)
        word = self.writer.emit(f"sub nsw i64 {texts[0]}, {texts[1]}")
        return Value(self.writer.emit(f"sext i64 {word} to {kind.llvm}"), kind.bits, kind.low, kind.high)

    def needed(self, value: Value) -> int:
        """The least width for a value as it is."""
        return narrowest(value.high) if value.constant is not None else value.width

    def identity(self, name: str, kind: Integer, left: Value, right: Value) -> Value | None:
        """The operand that the result is, for operations that change nothing."""
        for one, other in ((left, right), (right, left)):
            known = other.constant
            if known == 0 and name in ("+", "|", "^"):
                return one
            if known == 0 and name in ("&", "*"):
                return number(0)
            if known == 1 and name == "*":
                return one
            if name == "&" and known is not None and known & (known + 1) == 0 and one.low >= 0 and one.high <= known:
                return one
            if known == 0 and name in ("-", "<<", ">>"):
                return one if one is left else None
        return None

    def shift(self, name: str, width: int, left: Value, right: Value, low: int, high: int) -> Value:
        """A shift by the width or more gives 0 here."""
        if right.low >= width:
            return number(0)
        if name == "<<" and (moved := self.moved_by_bytes(width, left, right)):
            return self.writer.fitted(Value(moved, width, low, high))
        text = self.writer.cast(left, width)
        # Amounts beyond the width are looked at before their high bits are lost.
        amount = self.writer.cast(right, width)
        if width > LONGEST_SHIFT and right.constant is None:
            result = shifted(self.writer, text, width, amount, right.high, left=name == "<<")
        else:
            result = self.writer.emit(f"{OPCODES[name]} i{width} {text}, {amount}")
        if right.high >= width:
            by = max(right.width, 64)
            inside = self.writer.emit(f"icmp ult i{by} {self.writer.cast(right, by)}, {width}")
            result = self.writer.emit(f"select i1 {inside}, i{width} {result}, i{width} 0")
        return self.writer.fitted(Value(result, width, low, high))

    def moved_by_bytes(self, width: int, known: Value, count: Value) -> str:
        """A constant shifted left by whole bytes, as it stands in memory with zeros below it; "" where that is not so.

        Lanes of GPUs can read no word from between two.
        """
        if known.constant is None or count.multiple is None or count.multiple[1] % 8 or count.high > width:
            return ""
        if width <= LONGEST_SHIFT or self.writer.packed:
            return ""
        places = self.writer.cast(self.operation("*", U64, count.multiple[0], number(count.multiple[1] // 8)), 64)
        back = self.writer.emit(f"sub i64 0, {places}")
        return self.writer.moved(known.low, width, back)

    def division(self, name: str, left: Value, right: Value) -> Value:
        """Shifts, masks and the processor's instruction; wider ones are their kernels'."""
        divisor = right.constant
        if divisor == 0:
            return number(0)
        if divisor is not None and divisor & (divisor - 1) == 0:
            if name == "%":
                return self.operation("&", Integer(max(left.width, 64)), left, number(divisor - 1))
            return self.operation(">>", Integer(max(left.width, 64)), left, number(divisor.bit_length() - 1))
        if divisor is not None and left.low >= 0 and left.high >> 64:
            return divisors.divided(self, name, left, divisor)
        if left.low >> 64 or right.low >> 64:
            raise Unsuited("divides wide numbers")
        left, right = (self.narrowed(value) for value in (left, right))
        low, high = RANGES[name]((left.low, left.high), (right.low, right.high))
        verb = "udiv" if name == "//" else "urem"
        first, second = self.writer.cast(left, 64), self.writer.cast(right, 64)
        if right.low == 0:
            zero = self.writer.emit(f"icmp eq i64 {second}, 0")
            second = self.writer.emit(f"select i1 {zero}, i64 1, i64 {second}")
            result = self.writer.emit(f"{verb} i64 {first}, {second}")
            return Value(self.writer.emit(f"select i1 {zero}, i64 0, i64 {result}"), 64, low, high)
        return Value(self.writer.emit(f"{verb} i64 {first}, {second}"), 64, low, high)

    def narrowed(self, value: Value) -> Value:
        """`value` in 64 bits; where it has more, control leaves."""
        if value.high >> 64 == 0:
            return value
        limit = (1 << 64) - 1
        self.leave_unless(self.writer.emit(f"icmp ule i{value.width} {value.text}, {limit}"))
        return Value(self.writer.cast(value, 64), 64, value.low, limit)

    def leave_unless(self, condition: str) -> None:
        """Control leaves where the condition does not hold."""
        holds = self.writer.new_label()
        self.writer.put(f"br i1 {condition}, label %{holds}, label %{self.leave()}")
        self.writer.begin(holds)

    def comparison(self, it: Comparison, left: Given, right: Given) -> Value:
        """A bit; known now, if the ranges say so."""
        if not isinstance(left, Value) or left.width == 0:
            raise Unsuited("compares pointers")
        if left.constant is not None and right.constant is not None:
            return number(int(FOLDS[it.name](left.low, right.low)), 1)
        decided = _decided(it.name, left, right)
        if decided is not None:
            return number(int(decided), 1)
        for one, other in ((left, right), (right, left)):
            if one.width == 1 and other.constant in (0, 1) and it.name in ("==", "!="):
                return one if (other.constant == 1) == (it.name == "==") else self.negation(one)
        signed = left.low < 0 or right.low < 0
        width = max(self.needed(left), self.needed(right), 64)
        predicate = PREDICATES[it.name]
        if it.name not in ("==", "!="):
            predicate = ("s" if signed else "u") + predicate
        texts = self.writer.cast(left, width), self.writer.cast(right, width)
        return Value(self.writer.emit(f"icmp {predicate} i{width} {texts[0]}, {texts[1]}"), 1, 0, 1)

    def conversion(self, it: Conversion, value: Value) -> Value:
        """The value, or its low bits where it may have more."""
        kind = it.kind
        assert isinstance(kind, Integer)
        if kind.holds(value.low, value.high):
            return value
        if value.constant is not None:
            return number(value.low & kind.high)
        if value.low < 0 or kind.signed:
            if value.width != kind.bits:
                raise Unsuited("changes the width of a signed number")
            return Value(value.text, value.width, kind.low, kind.high)
        if kind.bits in WIDTHS:
            return Value(self.writer.cast(value, kind.bits), kind.bits, 0, kind.high)
        return self.operation("&", Integer(max(64, narrowest(kind.high))), value, number(kind.high))

    def negation(self, value: Value) -> Value:
        """The other bit."""
        if value.constant is not None:
            return number(1 - value.low, 1)
        return Value(self.writer.emit(f"xor i1 {value.text}, true"), 1, 0, 1)

    def logic(self, it: Logic, names: dict[str, Given]) -> Value:
        """`and` or `or`."""
        left: Value = self.value(it.left, names)
        deciding = it.name == "or"
        if left.constant is not None:
            return left if bool(left.low) == deciding else self.bit(it.right, names)
        if self.is_simple(it.right):
            right: Value = self.value(it.right, names)
            if right.constant is not None:
                return right if bool(right.low) == deciding else left
            sides = f"i1 true, i1 {right.text}" if deciding else f"i1 {right.text}, i1 false"
            return Value(self.writer.emit(f"select i1 {left.text}, {sides}"), 1, 0, 1)
        short, long = (lambda: Returned(number(int(deciding), 1))), (lambda: Returned(self.value(it.right, names)))
        found = self.two_ways(left, *((short, long) if deciding else (long, short)), names)
        assert found is not None
        return found.value  # type: ignore[no-any-return]

    def bit(self, it: Expression, names: dict[str, Given]) -> Value:
        """The value of a condition."""
        found: Value = self.value(it, names)
        return found

    def choice(self, it: Choice, names: dict[str, Given]) -> Given:
        """One of two values; a branch, unless both may be computed."""
        test = self.value(it.test, names)
        if test.constant is not None:
            return self.value(it.then if test.constant else it.otherwise, names)
        if self.is_simple(it.then) and self.is_simple(it.otherwise):
            then, otherwise = self.value(it.then, names), self.value(it.otherwise, names)
            if then.constant == 1 and otherwise.constant == 0:
                return test
            if then.constant == 0 and otherwise.constant == 1:
                return self.negation(test)
            width = max(self.needed(then), self.needed(otherwise), 64)
            sides = f"i{width} {self.writer.cast(then, width)}, i{width} {self.writer.cast(otherwise, width)}"
            low, high = min(then.low, otherwise.low), max(then.high, otherwise.high)
            return Value(self.writer.emit(f"select i1 {test.text}, {sides}"), width, low, high)
        found = self.two_ways(
            test, lambda: Returned(self.value(it.then, names)), lambda: Returned(self.value(it.otherwise, names)), names
        )
        assert found is not None
        return found.value

    def is_simple(self, it: Expression) -> bool:
        """Whether it may be computed in vain."""
        match it:
            case Constant() | Local():
                return True
            case Conversion(operand=operand) | Negation(operand=operand):
                return self.is_simple(operand)
            case Comparison(left=left, right=right) | Logic(left=left, right=right):
                return self.is_simple(left) and self.is_simple(right)
            case Operation(name=name, left=left, right=right):
                return name not in ("//", "%", "*") and self.is_simple(left) and self.is_simple(right)
            case Call(function=function, arguments=arguments, attempt=False):
                return all(map(self.is_simple, arguments)) and self.is_formula(function)
        return False

    def is_formula(self, function: FunctionRef) -> bool:
        """Whether a function does nothing but compute something simple."""
        if function.body is None or function.replaced is not None or function.inline is False:
            return False
        match function.body.statements:
            case (Return(value=value),) if value is not None:
                return self.is_simple(value)
        return False

    # Calls and memory

    def called(self, it: Call, names: dict[str, Given]) -> Given:
        """What another kernel function gives, written out here, too."""
        if it.attempt:
            raise Rare("attempt")
        if it.function.function is word_of_byte:
            return self.word_of_byte(it.function, [self.value(argument, names) for argument in it.arguments])
        operator = DIVISIONS.get(it.function.name)
        if operator is None or it.function.function.__module__ != "vmloom_native.wide.divide":
            return self.call(it.function, [self.value(argument, names) for argument in it.arguments])
        dividend, divisor = it.arguments
        right = self.value(divisor, names)
        if it.function.name != "remainder_u512" or not right.constant:
            return self.division(operator, self.value(dividend, names), right)
        if isinstance(dividend, Operation) and dividend.name in ("+", "*"):
            self.count()
            operands = self.value(dividend.left, names), self.value(dividend.right, names)
            operands = divisors.unreduced(self, dividend.name, *operands, right.low)
            left = self.operation(dividend.name, dividend.kind, *operands)
        else:
            left = self.value(dividend, names)
        if left.low < 0:
            return self.division(operator, left, right)
        return divisors.remainder_of_wide(self, left, right.low)

    def word_of_byte(self, function: FunctionRef, arguments: list[Value]) -> Given:
        """What `word_of_byte` gives, by two choices in a row. LLVM sees not what the words are of that it chooses from.

        Lanes of GPUs have the kernel's own way, and so have arguments of which something is known.
        """
        x, place = arguments
        if x.width < WORD or place.constant is not None or self.writer.packed:
            return self.call(function, arguments)
        writer = self.writer
        words = [self.writer.word(x, index) for index in range(4)]
        words[1:3] = [writer.emit(f'call i64 asm "", "=r,0"(i64 {word})') for word in words[1:3]]
        for bit in (8, 16):
            masked = writer.emit(f"and i64 {writer.cast(place, 64)}, {bit}")
            is_above = writer.emit(f"icmp ne i64 {masked}, 0")
            pairs = zip(words[::2], words[1::2], strict=True)
            words = [writer.emit(f"select i1 {is_above}, i64 {above}, i64 {below}") for below, above in pairs]
        return Value(words[0], 64, 0, U64.high)

    def read(self, it: Read, names: dict[str, Given]) -> Given:
        """A value in memory, or a register of the machine."""
        address = self.value(it.address, names)
        if isinstance(address, Register):
            return self.registers.get(address.name)
        if isinstance(address, Field):
            known = self.registers.field(address, it.kind)
            if known is not None:
                return known
            address = address.place(self.writer)
        return load(self.writer, address.text, it.kind, packed=it.packed)

    def element(self, it: Element, names: dict[str, Given]) -> Given:
        """An address."""
        base = self.value(it.base, names)
        index = self.value(it.index, names)
        if isinstance(base, MachineValue):
            return Register(base.field_at(index.low))
        offset = index.constant
        if isinstance(base, FrameValue) and offset is not None and it.stride == 1 and not it.backwards:
            return Field(base.text, offset)
        if isinstance(base, Field):
            base = base.place(self.writer)
        if it.backwards:
            raise Unsuited("goes back from a pointer")
        if offset == 0:
            return base
        unit = "i8" if it.stride == 1 else f"[{it.stride} x i8]"
        return Value(self.writer.emit(f"getelementptr {unit}, ptr {base.text}, i64 {self.writer.cast(index, 64)}"), 0)

    def builtin(self, it: Builtin, arguments: list[Given]) -> Given:
        """What LLVM has for it, of what instructions use on their short ways; the rest is rare."""
        writer = self.writer
        match it.name:
            case "unlikely":
                return arguments[0]
            case "view":
                return arguments[0], arguments[1]
            case "start":
                return arguments[0][0]
            case "length":
                return arguments[0][1]
            case "bit_length":
                value = arguments[0]
                if value.constant is not None:
                    return number(value.low.bit_length())
                width = max(value.width, 64)
                text = writer.cast(value, width)
                zeros = writer.intrinsic(f"i{width}", f"llvm.ctlz.i{width}", f"i{width} {text}", "i1 false")
                result = writer.emit(f"sub i{width} {width}, {zeros}")
                return writer.fitted(Value(result, width, value.low.bit_length(), value.high.bit_length()))
            case "byteswap":
                assert isinstance(it.kind, Integer)
                width = it.kind.bits
                if arguments[0].constant is not None:
                    swapped = int.from_bytes(arguments[0].low.to_bytes(width // 8, "little"), "big")
                    return number(swapped)
                text = writer.cast(arguments[0], width)
                swapped_text = writer.intrinsic(f"i{width}", f"llvm.bswap.i{width}", f"i{width} {text}")
                return Value(swapped_text, width, 0, it.kind.high)
            case "max" | "min":
                first, second = arguments
                if first.constant is not None and second.constant is not None:
                    return number((max if it.name == "max" else min)(first.low, second.low))
                if first.low < 0 or second.low < 0:
                    raise Unsuited("signed extremes")
                pick = max if it.name == "max" else min
                width = max(self.needed(first), self.needed(second), 64)
                texts = [f"i{width} {writer.cast(value, width)}" for value in (first, second)]
                result = writer.intrinsic(f"i{width}", f"llvm.u{it.name}.i{width}", *texts)
                return Value(result, width, pick(first.low, second.low), pick(first.high, second.high))
            case "store":
                address, value = arguments
                if isinstance(address, Field):
                    address = address.place(writer)
                self.wrote = True
                kind = it.arguments[1].kind
                assert isinstance(kind, Integer)
                store(writer, address.text, f"{kind.llvm} {writer.cast(value, kind.bits)}", kind)
                return None
        raise Rare(it.name)


def load(writer: Writer, address: str, kind: Kind, *, packed: bool = False) -> Given:
    """Read a value of `kind`."""
    if isinstance(kind, View):
        raise Unsuited("reads a view")
    if not isinstance(kind, Integer):
        text = writer.emit(f"load ptr, ptr {address}, align 8")
        return FrameValue(text, 0) if isinstance(kind, Reference) else Value(text, 0)
    memory = kind.llvm if packed else memory_type(kind)
    reader = writer.packed.get(("load", kind.bits)) if packed else None
    if reader is not None:
        text = writer.emit(f"call {memory} @{reader}(ptr {address})")
    else:
        text = writer.emit(f"load {memory}, ptr {address}, align {1 if packed else alignment(kind)}")
    if memory != kind.llvm:
        text = writer.emit(f"icmp ne i8 {text}, 0" if memory == "i8" else f"trunc {memory} {text} to {kind.llvm}")
    if kind.bits in WIDTHS:
        return Value(text, kind.bits, kind.low, kind.high)
    width = narrowest(kind.high)
    return Value(writer.emit(f"zext {kind.llvm} {text} to i{width}"), width, 0, kind.high)


def store(writer: Writer, address: str, value: str, kind: Integer) -> None:
    """Write a value, with its type, of `kind`, aligned or not."""
    replacement = writer.packed.get(("store", kind.bits))
    if replacement is not None:
        writer.put(f"call void @{replacement}(ptr {address}, {value})")
    else:
        writer.put(f"store {value}, ptr {address}, align 1")


def _are_short(*values: Value) -> bool:
    """Whether all are from 0 to 2**63 - 1."""
    return all(value.low >= 0 and value.high >> 63 == 0 for value in values)


def _decided(name: str, left: Value, right: Value) -> bool | None:
    """The answer of a comparison that the ranges give."""
    if name in ("==", "!="):
        apart = left.high < right.low or right.high < left.low
        return name == "!=" if apart else None
    if name in (">", ">="):
        left, right, name = right, left, {">": "<", ">=": "<="}[name]
    if name == "<":
        return True if left.high < right.low else False if left.low >= right.high else None
    return True if left.high <= right.low else False if left.low > right.high else None


class FrameValue(Value):
    """A reference to a struct, whose fields are told by their offsets."""


@dataclass(frozen=True, slots=True)
class Field:
    """The address of a field of a struct."""

    base: str
    offset: int

    def place(self, writer: Writer) -> Value:
        """The address as a pointer."""
        return Value(writer.emit(f"getelementptr i8, ptr {self.base}, i64 {self.offset}"), 0)


@dataclass(frozen=True, slots=True)
class Register:
    """The address of a field of the machine, which is in no memory."""

    name: str


@dataclass(frozen=True, slots=True)
class MachineValue:
    """`m`: the names of its fields by their offsets."""

    fields: Mapping[int, str]

    def field_at(self, offset: int) -> str:
        """The field that stands there."""
        return self.fields[offset]


class Side(NamedTuple):
    """One way through an `if` that has been written: what it returns, the block in which it ends, and the line."""

    returned: Returned | None
    label: str
    end: int


KernelOf: TypeAlias = "Callable[[Callable[..., Any]], FunctionRef]"
"""Gives the typed tree of a kernel function."""
Fields: TypeAlias = tuple[dict[tuple[str, int], Given], dict[tuple[str, int], int]]
"""Fields that are at hand, and the least that some can be."""


class Registers:
    """What a body finds of the running frame; the emitter fills it."""

    def __init__(self, writer: Writer, values: dict[str, Given], constant_fields: frozenset[tuple[str, int]]) -> None:
        self.writer = writer
        self.values = values
        self.constant_fields = constant_fields
        self.fields: dict[tuple[str, int], Given] = {}
        self.least: dict[tuple[str, int], int] = {}
        """The least that fields can be which only grow."""

    def get(self, name: str) -> Given:
        """A field of the machine."""
        if name not in self.values:
            raise Unsuited(f"asks for {name}")
        return self.values[name]

    def field(self, field: Field, kind: Kind) -> Given | None:
        """A field of a struct as it was read before, or is read now."""
        key = (field.base, field.offset)
        if key not in self.fields:
            value = load(self.writer, field.place(self.writer).text, kind)
            self.fields[key] = replace(value, low=self.least[key]) if key in self.least else value
        return self.fields[key]

    def refine(self, value: Value, low: int) -> None:
        """A field that is at hand is `low` at least."""
        for key, field in self.fields.items():
            if field is value:
                self.least[key] = max(low, self.least.get(key, 0))
                self.fields[key] = replace(value, low=self.least[key])

    def forget(self) -> None:
        """Memory has changed: fields that may have are read again."""
        self.fields = {key: value for key, value in self.fields.items() if key in self.constant_fields}

    def copy(self) -> Fields:
        """What is known now, for `restore`."""
        return dict(self.fields), dict(self.least)

    def restore(self, fields: Fields) -> None:
        """Back to a `copy`, since what was read in between was read on one way only."""
        self.fields, self.least = dict(fields[0]), dict(fields[1])


__all__ = ["Pointer", "Rare", "Registers", "Specialiser", "Unsuited", "Value", "Writer", "number"]
