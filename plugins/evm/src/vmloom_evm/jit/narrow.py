"""How large the words of a program can be: intervals of what an instruction makes, from those of what it takes.

Most words of a contract are small: counters, offsets, sizes, flags, addresses. Where that is known before the code
runs, the compiler computes with 64 or 128 bits, or not at all. An interval always contains what a run can see;
instructions about which nothing is said here make anything. Nothing here knows a compiler.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeAlias

from vmloom.kernel import U64_MAX, U256_MAX, wrapping_pow

from ..ops import arithmetic, bitwise, calls, creation, environment, flow, memory
from ..table import OPS, OpFunction

WORD_BITS: Final = 256
_MODULUS: Final = 1 << WORD_BITS
_ADDRESS_MAX: Final = (1 << 160) - 1
_SIGNED_MAX: Final = (1 << 255) - 1


class Range(NamedTuple):
    """The words from `low` to `high`, which is at least `low` and at most 2**256 - 1."""

    low: int
    high: int

    @property
    def value(self) -> int | None:
        """The word, if there is only one."""
        return self.low if self.low == self.high else None

    @property
    def bits(self) -> int:
        """All words are less than 2 to this power."""
        return self.high.bit_length()

    @property
    def is_flag(self) -> bool:
        """Whether all words are 0 or 1."""
        return self.high <= 1

    def contains(self, word: int) -> bool:
        """Whether `word` is one of them."""
        return self.low <= word <= self.high


ANY: Final = Range(0, U256_MAX)
FLAG: Final = Range(0, 1)
ZERO: Final = Range(0, 0)
ONE: Final = Range(1, 1)


def constant(word: int) -> Range:
    """One word alone. Raises `ValueError` for what is none."""
    if not 0 <= word <= U256_MAX:
        raise ValueError(f"{word:#x} is not a word: it has to be from 0 to 2**256 - 1")
    return Range(word, word)


def join(one: Range, other: Range) -> Range:
    """All words of both."""
    return Range(min(one.low, other.low), max(one.high, other.high))


def meet(one: Range, other: Range) -> Range | None:
    """The words that both have; None if there is none."""
    low, high = max(one.low, other.low), min(one.high, other.high)
    return Range(low, high) if low <= high else None


def after(function: OpFunction | None, operands: Sequence[Range]) -> Range:
    """What the instruction with this body pushes when it takes words of `operands`, the top of the stack first.

    The body, not the name, says what an instruction does: one that somebody has put in its place makes anything.
    """
    rule = _RULES.get(function) if function is not None else None
    if rule is None:
        return ANY
    if function in _FOLDED and all(it.low == it.high for it in operands):
        return constant(function(*(it.low for it in operands)))
    return rule(*operands)


def assumed(function: OpFunction | None, operands: Sequence[Range], *, holds: bool) -> Sequence[Range] | None:
    """What `operands` can be where the instruction has pushed a word that is not 0 (`holds`), or 0.

    None where it cannot have. What is not known to follow is left as it was.
    """
    rule = _ASSUMPTIONS.get(function) if function is not None else None
    return rule(*operands, holds) if rule is not None else operands


# What instructions make

Rule: TypeAlias = Callable[..., Range]


def _below(high: int) -> Rule:
    """Anything up to `high`, whatever the operands."""
    made = Range(0, high)
    return lambda *_operands: made


def _wrapped(low: int, high: int) -> Range:
    """Integers from `low` to `high`, modulo 2**256: known if all of them wrap as often."""
    turns = low // _MODULUS
    if turns != high // _MODULUS:
        return ANY
    return Range(low - turns * _MODULUS, high - turns * _MODULUS)


def _add(x: Range, y: Range) -> Range:
    return _wrapped(x.low + y.low, x.high + y.high)


def _sub(x: Range, y: Range) -> Range:
    return _wrapped(x.low - y.high, x.high - y.low)


def _mul(x: Range, y: Range) -> Range:
    return _wrapped(x.low * y.low, x.high * y.high)


def _div(x: Range, y: Range) -> Range:
    if y.high == 0:
        return ZERO
    least = 0 if y.low == 0 else x.low // y.high
    return Range(least, x.high // max(y.low, 1))


def _mod(x: Range, y: Range) -> Range:
    if y.high == 0:
        return ZERO
    if x.high < y.low:
        return x
    return Range(0, min(x.high, y.high - 1))


def _unless_negative(unsigned: Rule) -> Rule:
    """The rule of an instruction that does as the unsigned one does where no operand has its sign bit set."""

    def rule(*operands: Range) -> Range:
        return unsigned(*operands) if all(it.high <= _SIGNED_MAX for it in operands) else ANY

    return rule


def _addmod(x: Range, y: Range, modulus: Range) -> Range:
    return _mod_of(Range(x.low + y.low, x.high + y.high), modulus)


def _mulmod(x: Range, y: Range, modulus: Range) -> Range:
    return _mod_of(Range(x.low * y.low, x.high * y.high), modulus)


def _mod_of(exact: Range, modulus: Range) -> Range:
    """The remainder of an integer that may be wider than a word."""
    return _mod(exact, modulus)


def _exp(base: Range, exponent: Range) -> Range:
    if base.value is not None and exponent.value is not None:
        return constant(wrapping_pow(base.value, exponent.value))
    if base.high <= 1:
        return FLAG
    if exponent.high > WORD_BITS or base.high**exponent.high > U256_MAX:
        return ANY
    return Range(0 if base.low == 0 else base.low**exponent.low, base.high**exponent.high)


def _signextend(width: Range, value: Range) -> Range:
    # The sign bit of the least width, and all above it, are clear: nothing is extended.
    if width.low >= 31 or value.high >> (8 * width.low + 7) == 0:
        return value
    return ANY


def _lt(x: Range, y: Range) -> Range:
    if x.high < y.low:
        return ONE
    return ZERO if x.low >= y.high else FLAG


def _gt(x: Range, y: Range) -> Range:
    return _lt(y, x)


def _flipped(x: Range) -> Range | None:
    """The interval with sign bits flipped, which has signed words in unsigned order; None if it is two intervals."""
    if (x.low ^ x.high) >> 255:
        return None
    sign = arithmetic.SIGN_BIT
    return Range(x.low ^ sign, x.high ^ sign)


def _slt(x: Range, y: Range) -> Range:
    one, other = _flipped(x), _flipped(y)
    return FLAG if one is None or other is None else _lt(one, other)


def _sgt(x: Range, y: Range) -> Range:
    return _slt(y, x)


def _eq(x: Range, y: Range) -> Range:
    if meet(x, y) is None:
        return ZERO
    return ONE if x.value is not None and x.value == y.value else FLAG


def _iszero(x: Range) -> Range:
    return _eq(x, ZERO)


def _and(x: Range, y: Range) -> Range:
    for one, mask in ((x, y), (y, x)):
        # A mask of low bits that all words fit changes nothing.
        if mask.value is not None and one.bits <= _trailing_ones(mask.value):
            return one
    return Range(0, min(x.high, y.high))


def _trailing_ones(word: int) -> int:
    return ((word + 1) & ~word).bit_length() - 1


def _or(x: Range, y: Range) -> Range:
    return Range(max(x.low, y.low), (1 << max(x.bits, y.bits)) - 1)


def _xor(x: Range, y: Range) -> Range:
    return Range(0, (1 << max(x.bits, y.bits)) - 1)


def _not(x: Range) -> Range:
    return Range(U256_MAX - x.high, U256_MAX - x.low)


def _byte(index: Range, word: Range) -> Range:
    if index.low >= 32:
        return ZERO
    if index.value is None:
        return Range(0, min(word.high, 0xFF))
    shifted = Range(word.low >> 248 - 8 * index.value, word.high >> 248 - 8 * index.value)
    return shifted if shifted.high <= 0xFF else Range(0, 0xFF)


def _shl(shift: Range, value: Range) -> Range:
    if shift.low >= WORD_BITS or value.high == 0:
        return ZERO
    if value.bits + shift.high > WORD_BITS:
        return ANY
    return Range(value.low << shift.low, value.high << shift.high)


def _shr(shift: Range, value: Range) -> Range:
    return Range(value.low >> min(shift.high, WORD_BITS), value.high >> min(shift.low, WORD_BITS))


def _sar(shift: Range, value: Range) -> Range:
    if value.high <= _SIGNED_MAX:
        return _shr(shift, value)
    if value.low > _SIGNED_MAX:  # it moves towards -1
        return Range(value.low, U256_MAX)
    return ANY


def _clz(value: Range) -> Range:
    return Range(WORD_BITS - value.bits, WORD_BITS - value.low.bit_length())


_SIZE: Final = _below(U64_MAX)
_FLAG: Final = _below(1)
_ADDRESS: Final = _below(_ADDRESS_MAX)
_RULES: Final[dict[OpFunction, Rule]] = {
    arithmetic.add: _add,
    arithmetic.mul: _mul,
    arithmetic.sub: _sub,
    arithmetic.div: _div,
    arithmetic.sdiv: _unless_negative(_div),
    arithmetic.mod: _mod,
    arithmetic.smod: _unless_negative(_mod),
    arithmetic.addmod: _addmod,
    arithmetic.mulmod: _mulmod,
    arithmetic.exp: _exp,
    arithmetic.signextend: _signextend,
    bitwise.lt: _lt,
    bitwise.gt: _gt,
    bitwise.slt: _slt,
    bitwise.sgt: _sgt,
    bitwise.eq: _eq,
    bitwise.iszero: _iszero,
    bitwise.and_: _and,
    bitwise.or_: _or,
    bitwise.xor: _xor,
    bitwise.not_: _not,
    bitwise.byte: _byte,
    bitwise.shl: _shl,
    bitwise.shr: _shr,
    bitwise.sar: _sar,
    bitwise.clz: _clz,
    environment.address: _ADDRESS,
    environment.origin: _ADDRESS,
    environment.caller: _ADDRESS,
    environment.coinbase: _ADDRESS,
    environment.calldatasize: _SIZE,
    environment.codesize: _SIZE,
    environment.extcodesize: _SIZE,
    environment.returndatasize: _SIZE,
    flow.gas: _below(U64_MAX >> 1),
    flow.pc: _SIZE,
    memory.msize: _SIZE,
    calls.call: _FLAG,
    calls.callcode: _FLAG,
    calls.delegatecall: _FLAG,
    calls.staticcall: _FLAG,
    creation.create: _ADDRESS,
    creation.create2: _ADDRESS,
}
_FOLDED: Final = frozenset(row.function for row in OPS.values() if row.function in _RULES and not row.takes_machine)
"""What follows from words alone: of constants, the op function says itself what they make."""


# What follows from what they have made

Assumption: TypeAlias = Callable[..., Sequence[Range] | None]


def _assume_less(x: Range, y: Range) -> Sequence[Range] | None:
    """x < y"""
    if x.low >= y.high:
        return None
    return Range(x.low, min(x.high, y.high - 1)), Range(max(y.low, x.low + 1), y.high)


def _assume_at_least(x: Range, y: Range) -> Sequence[Range] | None:
    """x >= y"""
    if x.high < y.low:
        return None
    return Range(max(x.low, y.low), x.high), Range(y.low, min(y.high, x.high))


def _assume_lt(x: Range, y: Range, holds: bool) -> Sequence[Range] | None:
    return _assume_less(x, y) if holds else _assume_at_least(x, y)


def _assume_gt(x: Range, y: Range, holds: bool) -> Sequence[Range] | None:
    swapped = _assume_lt(y, x, holds)
    return None if swapped is None else (swapped[1], swapped[0])


def _signed(assumption: Assumption) -> Assumption:
    """What follows of a signed comparison where neither operand can be negative."""

    def assume(x: Range, y: Range, holds: bool) -> Sequence[Range] | None:
        return assumption(x, y, holds) if max(x.high, y.high) <= _SIGNED_MAX else (x, y)

    return assume


def _assume_eq(x: Range, y: Range, holds: bool) -> Sequence[Range] | None:
    if holds:
        both = meet(x, y)
        return None if both is None else (both, both)
    if x.value is not None and x.value == y.value:
        return None
    return _without(x, y.value), _without(y, x.value)


def _assume_iszero(x: Range, holds: bool) -> Sequence[Range] | None:
    assumed_both = _assume_eq(x, ZERO, holds)
    return None if assumed_both is None else (assumed_both[0],)


def _without(x: Range, word: int | None) -> Range:
    """`x` less `word` at one of its ends, unless nothing is left."""
    if word == x.low and x.low < x.high:
        return Range(x.low + 1, x.high)
    if word == x.high and x.low < x.high:
        return Range(x.low, x.high - 1)
    return x


_ASSUMPTIONS: Final[dict[OpFunction, Assumption]] = {
    bitwise.lt: _assume_lt,
    bitwise.gt: _assume_gt,
    bitwise.slt: _signed(_assume_lt),
    bitwise.sgt: _signed(_assume_gt),
    bitwise.eq: _assume_eq,
    bitwise.iszero: _assume_iszero,
}
