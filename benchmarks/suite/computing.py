"""Rows that compute on the stack: one kind of instruction each, in a loop that hands a value on and returns it.

A body finds the loop's counter on top of the stack and the value below it, and leaves new ones in their places.
Operands are pushed last to first, so a DUP among them reaches past those that come after it.
"""

from __future__ import annotations

from vmloom_evm.assembly import (
    Bytecode,
    add,
    addmod,
    and_,
    byte,
    div,
    dup,
    exp,
    jumpi,
    label,
    lt,
    mod,
    mul,
    mulmod,
    not_,
    or_,
    pop,
    push,
    repeat,
    ret_top,
    sar,
    sdiv,
    sgt,
    shl,
    shr,
    signextend,
    slt,
    smod,
    sub,
    swap,
    xor,
)

from .work import Call, Row, program

MULTIPLIER = 0x5851F42D4C957F2D14057B7EF767814F2360ED051FC65DA44385DF649FCCF645
"""Odd, all bits in use: x * MULTIPLIER + counter looks random."""
FIELD = 2**256 - 2**32 - 977
"""The prime of secp256k1."""
PAIRING_FIELD = 21888242871839275222246405745257275088696311157297823662689037894645226208583
"""The prime of bn254 (EIP-196)."""
SEED = 0x9E3779B97F4A7C15F39CC0605CEDC8341082276BF3A27251F86C6A11D0C18E95

# [counter, value] -> [value, counter], the value moved on
NEXT = swap(1) + mul(MULTIPLIER) + add(dup(2))
BACK = swap(1)


def _loop(body: Bytecode, count: int) -> Call:
    return program(push(SEED) + repeat(count, body) + ret_top())


def counting(count: int) -> Call:
    """Nothing but the loop."""
    return _loop(Bytecode(), count)


def arithmetic(count: int) -> Call:
    """ADD, MUL, SUB, XOR, AND, OR, NOT, SHL, SHR on words of 256 bits."""
    mixing = (
        xor(shr(29, dup(1)))
        + add(shl(7, dup(1)))
        + sub(not_(dup(1)))
        + or_(and_(0xFFFF, dup(1)))
        + xor(shr(113, dup(1)))
    )
    return _loop(NEXT + mixing + BACK, count)


def small_numbers(count: int) -> Call:
    """What contracts do most: sums, differences, products and comparisons of numbers below 2**64."""
    step = add(dup(2)) + mul(1_000_003) + and_(0xFFFFFFFF) + xor(lt(dup(2), 0x7FFFFFFF)) + add(17)
    return _loop(swap(1) + step + BACK, count)


def division(count: int) -> Call:
    """DIV, MOD, SDIV, SMOD of 256 bits by 64 to 256."""
    parts = (
        xor(div(dup(2), or_(1, shr(192, dup(1)))))
        + xor(mod(dup(2), or_(1, shr(128, mul(MULTIPLIER, dup(1))))))
        + xor(sdiv(dup(2), or_(1, sar(64, mul(MULTIPLIER, dup(1))))))
        + add(smod(dup(2), or_(1, mul(MULTIPLIER, dup(1)))))
    )
    return _loop(NEXT + parts + BACK, count)


def modular(count: int) -> Call:
    """MULMOD and ADDMOD by a prime of 256 bits: the arithmetic of curves and proofs."""
    parts = mulmod(dup(1), dup(2), FIELD) + addmod(dup(3), SEED, FIELD) + xor + xor
    return _loop(NEXT + parts + BACK, count)


def modular_of_pairing(count: int) -> Call:
    """The same by the prime of bn254, which is not near to a power of two, and of operands below it."""
    reduced = mod(dup(2), PAIRING_FIELD) + swap(1) + pop
    parts = mulmod(dup(1), dup(2), PAIRING_FIELD) + addmod(dup(3), SEED % PAIRING_FIELD, PAIRING_FIELD) + xor + xor
    return _loop(NEXT + reduced + parts + BACK, count)


def constant_division(count: int) -> Call:
    """DIV, MOD, SDIV and SMOD by what stands in the code: digits, shares, prices with 18 decimals, hashing."""
    parts = (
        xor(div(dup(2), 10))
        + xor(mod(dup(2), 1_000_003))
        + add(div(mul(shr(64, dup(3)), 997), 10**18))
        + xor(sdiv(dup(2), 10_000))
        + add(mod(dup(2), 2**160 - 47))
        + xor(smod(dup(2), 10**18))
    )
    return _loop(NEXT + parts + BACK, count)


def exponents(count: int) -> Call:
    """EXP with exponents of 256 bits."""
    return _loop(NEXT + exp(dup(1), dup(1)) + xor + BACK, count)


def bytes_and_signs(count: int) -> Call:
    """BYTE, SIGNEXTEND, SAR, SLT, SGT."""
    parts = (
        xor(signextend(and_(31, dup(1)), dup(1)))
        + add(byte(and_(31, dup(1)), dup(1)))
        + xor(sar(and_(255, dup(1)), dup(1)))
        + add(slt(dup(2), SEED))
        + add(sgt(dup(2), SEED))
    )
    return _loop(NEXT + parts + BACK, count)


def branches(count: int) -> Call:
    """Jumps that depend on values nobody can predict."""
    paths = Bytecode()
    for n, bit in enumerate((17, 91, 140, 203)):
        skip = f"skip{n}"
        paths += jumpi(skip, and_(1, shr(bit, dup(1)))) + add(MULTIPLIER >> bit) + label(skip)
    return _loop(NEXT + paths + BACK, count)


def shuffles(count: int) -> Call:
    """PUSH, DUP, SWAP and POP at all depths."""
    pushes = Bytecode()
    for n in range(14):
        pushes += push((1 << 8 * n) + n)
    moves = Bytecode()
    for n in range(1, 14):
        moves += swap(n) + dup(15 - n) + swap(n) + pop
    return _loop(pushes + moves + xor * 13 + swap(1) + swap(2) + xor + swap(1), count)


GROUP = "computing"
ROWS = (
    Row("counting loop", GROUP, counting, 1_000_000, 100),
    Row("arithmetic, 256 bits", GROUP, arithmetic, 150_000, 50),
    Row("arithmetic, small numbers", GROUP, small_numbers, 200_000, 50),
    Row("DIV, MOD, SDIV, SMOD", GROUP, division, 60_000, 50),
    Row("DIV, MOD by constants", GROUP, constant_division, 60_000, 50),
    Row("MULMOD, ADDMOD", GROUP, modular, 100_000, 50),
    Row("MULMOD, ADDMOD, bn254", GROUP, modular_of_pairing, 100_000, 50),
    Row("EXP", GROUP, exponents, 3_000, 5),
    Row("BYTE, SIGNEXTEND, SAR, SLT", GROUP, bytes_and_signs, 100_000, 50),
    Row("unpredictable jumps", GROUP, branches, 100_000, 50),
    Row("DUP, SWAP, PUSH, POP", GROUP, shuffles, 40_000, 20),
)
