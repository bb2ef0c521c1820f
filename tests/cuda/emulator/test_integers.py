"""Each instruction on integers against what the PTX ISA says of it, in Python's exact integers."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from vmloom_cuda.emulator import Emulator
from vmloom_cuda.ptx import assembler

from .programs import HEAD, Program, operands, results

ROWS = 96
COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
}


def s(pattern: int, bits: int) -> int:
    return int.from_bytes(pattern.to_bytes(bits // 8, "little"), "little", signed=True)


def reader(sign: str, bits: int) -> Callable[[int], int]:
    """From a pattern to its number."""
    return (lambda pattern: s(pattern, bits)) if sign == "s" else int


def toward_zero(a: int, b: int) -> int:
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def bits_of(value: int, width: int) -> list[int]:
    """From the lowest one."""
    return [value >> place & 1 for place in range(width)]


def number(bits: list[int]) -> int:
    return sum(bit << place for place, bit in enumerate(bits))


CASES: dict[str, tuple[Program, Callable[..., Any]]] = {}


def case(
    name: str, text: str, takes: tuple[int, ...], gives: int | tuple[int, ...], expected: Callable[..., Any]
) -> None:
    """`expected` gives the results as any integers: their lowest bits count."""
    made = gives if isinstance(gives, tuple) else (gives,)
    assert name not in CASES
    CASES[name] = (Program(text, takes, made), expected)


def arithmetic() -> None:
    for w in (16, 32, 64):
        for sign in "us":
            t = f"{sign}{w}"
            read = reader(sign, w)
            case(f"add_{t}", f"add.{t} %x, %a, %b;", (w, w), w, lambda a, b: a + b)
            case(f"sub_{t}", f"sub.{t} %x, %a, %b;", (w, w), w, lambda a, b: a - b)
            case(f"mul_lo_{t}", f"mul.lo.{t} %x, %a, %b;", (w, w), w, lambda a, b: a * b)
            case(f"mul_hi_{t}", f"mul.hi.{t} %x, %a, %b;", (w, w), w, lambda a, b, r=read, w=w: r(a) * r(b) >> w)
            case(f"mad_lo_{t}", f"mad.lo.{t} %x, %a, %b, %c;", (w, w, w), w, lambda a, b, c: a * b + c)
            case(
                f"mad_hi_{t}",
                f"mad.hi.{t} %x, %a, %b, %c;",
                (w, w, w),
                w,
                lambda a, b, c, r=read, w=w: (r(a) * r(b) >> w) + c,
            )
            case(f"min_{t}", f"min.{t} %x, %a, %b;", (w, w), w, lambda a, b, r=read: min(r(a), r(b)))
            case(f"max_{t}", f"max.{t} %x, %a, %b;", (w, w), w, lambda a, b, r=read: max(r(a), r(b)))
            case(
                f"sad_{t}",
                f"sad.{t} %x, %a, %b, %c;",
                (w, w, w),
                w,
                lambda a, b, c, r=read: c + max(r(a), r(b)) - min(r(a), r(b)),
            )
            odd = f"or.b{w} %b, %b, 1;"  # so that nobody divides by zero
            case(f"div_{t}", f"{odd} div.{t} %x, %a, %b;", (w, w), w, lambda a, b, r=read: toward_zero(r(a), r(b | 1)))
            case(
                f"rem_{t}",
                f"{odd} rem.{t} %x, %a, %b;",
                (w, w),
                w,
                lambda a, b, r=read: r(a) - r(b | 1) * toward_zero(r(a), r(b | 1)),
            )
            if w < 64:
                case(f"mul_wide_{t}", f"mul.wide.{t} %x, %a, %b;", (w, w), 2 * w, lambda a, b, r=read: r(a) * r(b))
                case(
                    f"mad_wide_{t}",
                    f"mad.wide.{t} %x, %a, %b, %c;",
                    (w, w, 2 * w),
                    2 * w,
                    lambda a, b, c, r=read: r(a) * r(b) + c,
                )
        case(f"neg_s{w}", f"neg.s{w} %x, %a;", (w,), w, lambda a: -a)
        case(f"abs_s{w}", f"abs.s{w} %x, %a;", (w,), w, lambda a, w=w: max(s(a, w), -s(a, w)))
    case("add_sat", "add.sat.s32 %x, %a, %b;", (32, 32), 32, lambda a, b: clamp(s(a, 32) + s(b, 32)))
    case("sub_sat", "sub.sat.s32 %x, %a, %b;", (32, 32), 32, lambda a, b: clamp(s(a, 32) - s(b, 32)))
    case("add_immediate", "add.s32 %x, %a, -7;", (32,), 32, lambda a: a - 7)
    case("add_hexadecimal", "add.u64 %x, %a, 0xFFFFFFFFFFFFFFF0;", (64,), 64, lambda a: a - 16)


def clamp(value: int, bits: int = 32) -> int:
    return sorted((-(1 << bits - 1), value, (1 << bits - 1) - 1))[1]


def twenty_four() -> None:
    def low(value: int, sign: str) -> int:
        value &= 0xFFFFFF
        return value - (1 << 24) if sign == "s" and value >> 23 else value

    for sign in "us":
        for half, down in (("lo", 0), ("hi", 16)):
            name = f"{half}_{sign}32"
            case(
                f"mul24_{name}",
                f"mul24.{half}.{sign}32 %x, %a, %b;",
                (32, 32),
                32,
                lambda a, b, g=sign, d=down: low(a, g) * low(b, g) >> d,
            )
            case(
                f"mad24_{name}",
                f"mad24.{half}.{sign}32 %x, %a, %b, %c;",
                (32, 32, 32),
                32,
                lambda a, b, c, g=sign, d=down: (low(a, g) * low(b, g) >> d) + c,
            )


def carries() -> None:
    """Two words, so that the carry can be seen in the second one."""
    for w in (32, 64):
        words = (w, w, w, w)
        for sign in "us":
            t = f"{sign}{w}"

            def pair(low: int, high: int, w: int = w) -> int:
                return high << w | low

            def split(total: int, w: int = w) -> tuple[int, int]:
                return total & ((1 << w) - 1), total >> w

            case(
                f"addc_{t}",
                f"add.cc.{t} %x, %a, %c; addc.{t} %y, %b, %d;",
                words,
                (w, w),
                lambda a, b, c, d, p=pair, q=split: q(p(a, b) + p(c, d)),
            )
            case(
                f"subc_{t}",
                f"sub.cc.{t} %x, %a, %c; subc.{t} %y, %b, %d;",
                words,
                (w, w),
                lambda a, b, c, d, p=pair, q=split: q(p(a, b) - p(c, d)),
            )
            case(
                f"addc_cc_{t}",
                f"add.cc.{t} %x, %a, %b; addc.cc.{t} %x, %c, %d; addc.{t} %y, 0, 0;",
                words,
                (w, w),
                lambda a, b, c, d, w=w, q=split: q(c + d + (a + b >> w)),
            )
            case(
                f"subc_cc_{t}",
                f"sub.cc.{t} %x, %a, %b; subc.cc.{t} %x, %c, %d; subc.{t} %y, 0, 0;",
                words,
                (w, w),
                lambda a, b, c, d, q=split: q(c - d - (a < b)),
            )
        case(
            f"madc_{w}",
            f"mad.lo.cc.u{w} %x, %a, %b, %c; madc.hi.u{w} %y, %a, %b, %d;",
            words,
            (w, w),
            lambda a, b, c, d, p=pair, q=split: q(a * b + p(c, d)),
        )
        case(
            f"mad_hi_cc_{w}",
            f"mad.hi.cc.u{w} %x, %a, %b, %c; addc.u{w} %y, 0, 0;",
            (w, w, w),
            (w, w),
            lambda a, b, c, w=w, q=split: q((a * b >> w) + c),
        )
        case(
            f"madc_lo_cc_{w}",
            f"add.cc.u{w} %x, %a, %b; madc.lo.cc.u{w} %x, %a, %b, %c; addc.u{w} %y, 0, 0;",
            (w, w, w),
            (w, w),
            lambda a, b, c, w=w, q=split: q((a * b & ((1 << w) - 1)) + c + (a + b >> w)),
        )
        case(
            f"mad_hi_cc_s{w}",
            f"mad.hi.cc.s{w} %x, %a, %b, %c; addc.u{w} %y, 0, 0;",
            (w, w, w),
            (w, w),
            lambda a, b, c, w=w, q=split: q((s(a, w) * s(b, w) >> w & ((1 << w) - 1)) + c),
        )


def bits() -> None:
    for w in (16, 32, 64):
        case(f"and_{w}", f"and.b{w} %x, %a, %b;", (w, w), w, lambda a, b: a & b)
        case(f"or_{w}", f"or.b{w} %x, %a, %b;", (w, w), w, lambda a, b: a | b)
        case(f"xor_{w}", f"xor.b{w} %x, %a, %b;", (w, w), w, lambda a, b: a ^ b)
        case(f"not_{w}", f"not.b{w} %x, %a;", (w,), w, lambda a: ~a)
        case(f"cnot_{w}", f"cnot.b{w} %x, %a;", (w,), w, lambda a: int(a == 0))
        case(f"shl_{w}", f"shl.b{w} %x, %a, %b;", (w, 32), w, lambda a, b, w=w: a << min(b, w))
        case(f"shr_u{w}", f"shr.u{w} %x, %a, %b;", (w, 32), w, lambda a, b, w=w: a >> min(b, w))
        case(f"shr_b{w}", f"shr.b{w} %x, %a, %b;", (w, 32), w, lambda a, b, w=w: a >> min(b, w))
        case(f"shr_s{w}", f"shr.s{w} %x, %a, %b;", (w, 32), w, lambda a, b, w=w: s(a, w) >> min(b, w))
        for count in (0, 1, w - 1, w, w + 1):
            case(f"shl_{w}_by_{count}", f"shl.b{w} %x, %a, {count};", (w,), w, lambda a, c=count: a << c)
            case(f"shr_{w}_by_{count}", f"shr.s{w} %x, %a, {count};", (w,), w, lambda a, w=w, c=count: s(a, w) >> c)
    for w in (32, 64):
        case(f"brev_{w}", f"brev.b{w} %x, %a;", (w,), w, lambda a, w=w: number(bits_of(a, w)[::-1]))
        case(f"clz_{w}", f"clz.b{w} %x, %a;", (w,), 32, lambda a, w=w: [*bits_of(a, w)[::-1], 1].index(1))
        case(f"popc_{w}", f"popc.b{w} %x, %a;", (w,), 32, lambda a, w=w: sum(bits_of(a, w)))
        for sign in "us":
            t, signed = f"{sign}{w}", sign == "s"
            case(
                f"bfe_{t}",
                f"bfe.{t} %x, %a, %b, %c;",
                (w, 32, 32),
                w,
                lambda a, b, c, w=w, g=signed: bfe(a, b, c, w, g),
            )
            case(f"bfind_{t}", f"bfind.{t} %x, %a;", (w,), 32, lambda a, w=w, g=signed: bfind(a, w, g))
            case(
                f"bfind_shiftamt_{t}",
                f"bfind.shiftamt.{t} %x, %a;",
                (w,),
                32,
                lambda a, w=w, g=signed: -1 if bfind(a, w, g) < 0 else w - 1 - bfind(a, w, g),
            )
        case(
            f"bfi_b{w}", f"bfi.b{w} %x, %a, %b, %c, %d;", (w, w, 32, 32), w, lambda a, b, c, d, w=w: bfi(a, b, c, d, w)
        )
    case("and_pred", "and.pred %x, %a, %b;", (1, 1), 1, lambda a, b: a and b)
    case("or_pred", "or.pred %x, %a, %b;", (1, 1), 1, lambda a, b: a or b)
    case("xor_pred", "xor.pred %x, %a, %b;", (1, 1), 1, lambda a, b: a != b)
    case("not_pred", "not.pred %x, %a;", (1,), 1, lambda a: not a)


def bfe(a: int, b: int, c: int, w: int, signed: bool) -> int:
    """As the ISA writes it."""
    start, length = b & 0xFF, c & 0xFF
    source = bits_of(a, w)
    sign = 0 if not signed or length == 0 else source[min(start + length - 1, w - 1)]
    return number([source[i + start] if i < length and i + start < w else sign for i in range(w)])


def bfi(a: int, b: int, c: int, d: int, w: int) -> int:
    """As the ISA writes it."""
    start, length = c & 0xFF, d & 0xFF
    made, source = bits_of(b, w), bits_of(a, w)
    for i in range(length):
        if start + i < w and i < w:
            made[start + i] = source[i]
    return number(made)


def bfind(a: int, w: int, signed: bool) -> int:
    """As the ISA writes it."""
    source = bits_of(a, w)
    wanted = 0 if signed and source[-1] else 1
    return next((i for i in range(w - 1, -1, -1) if source[i] == wanted), -1)


def bytes_and_words() -> None:
    def shf(low: int, high: int, count: int, left: bool) -> int:
        return (high << 32 | low) << count >> 32 if left else (high << 32 | low) >> count

    words = (32, 32, 32)
    for side in "lr":
        case(
            f"shf_{side}_wrap",
            f"shf.{side}.wrap.b32 %x, %a, %b, %c;",
            words,
            32,
            lambda a, b, c, left=side == "l": shf(a, b, c % 32, left),
        )
        case(
            f"shf_{side}_clamp",
            f"shf.{side}.clamp.b32 %x, %a, %b, %c;",
            words,
            32,
            lambda a, b, c, left=side == "l": shf(a, b, min(c, 32), left),
        )
    case("shf_immediate", "shf.l.wrap.b32 %x, %a, %b, 5;", (32, 32), 32, lambda a, b: shf(a, b, 5, True))
    case("shf_clamp_immediate", "shf.r.clamp.b32 %x, %a, %b, 40;", (32, 32), 32, lambda a, b: shf(a, b, 32, False))
    case("prmt", "prmt.b32 %x, %a, %b, %c;", words, 32, prmt)
    case(
        "prmt_swap", "prmt.b32 %x, %a, 0, 0x0123;", (32,), 32, lambda a: int.from_bytes(a.to_bytes(4, "little"), "big")
    )
    modes = {  # table 24 of the ISA: the bytes chosen for the selectors 0 to 3, the highest one first
        "f4e": ("3210", "4321", "5432", "6543"),
        "b4e": ("5670", "6701", "7012", "0123"),
        "rc8": ("0000", "1111", "2222", "3333"),
        "ecl": ("3210", "3211", "3222", "3333"),
        "ecr": ("0000", "1110", "2210", "3210"),
        "rc16": ("1010", "3232", "1010", "3232"),
    }
    for mode, rows in modes.items():
        case(
            f"prmt_{mode}",
            f"prmt.b32.{mode} %x, %a, %b, %c;",
            words,
            32,
            lambda a, b, c, rows=rows: prmt(a, b, int(rows[c & 3], 16)),
        )
    for table in (0x80, 0xFE, 0x96, 0xE8, 0x01, 0x1B):
        case(
            f"lop3_{table:02x}",
            f"lop3.b32 %x, %a, %b, %c, {table:#x};",
            words,
            32,
            lambda a, b, c, t=table: number(
                [t >> (4 * i + 2 * j + k) & 1 for i, j, k in zip(*(bits_of(v, 32) for v in (a, b, c)), strict=True)]
            ),
        )
    for mode in ("wrap", "clamp"):
        for sign in "us":
            case(
                f"szext_{mode}_{sign}32",
                f"szext.{mode}.{sign}32 %x, %a, %b;",
                (32, 32),
                32,
                lambda a, b, m=mode, g=sign: szext(a, b % 32 if m == "wrap" else min(b, 32), g == "s"),
            )
        case(
            f"bmsk_{mode}",
            f"bmsk.{mode}.b32 %x, %a, %b;",
            (32, 32),
            32,
            lambda a, b, m=mode: ((1 << fold(b, m)) - 1) << fold(a, m),
        )
    for first in "us":
        for second in "us":
            t = f"{first}32.{second}32"
            case(
                f"dp4a_{first}{second}",
                f"dp4a.{t} %x, %a, %b, %c;",
                words,
                32,
                lambda a, b, c, f=first, g=second: (
                    c + sum(x * y for x, y in zip(parts(a, 1, f), parts(b, 1, g), strict=True))
                ),
            )
            for half in ("lo", "hi"):
                case(
                    f"dp2a_{half}_{first}{second}",
                    f"dp2a.{half}.{t} %x, %a, %b, %c;",
                    words,
                    32,
                    lambda a, b, c, f=first, g=second, h=half: (
                        c
                        + sum(x * y for x, y in zip(parts(a, 2, f), parts(b, 1, g)[2 * (h == "hi") :][:2], strict=True))
                    ),
                )


def fold(count: int, mode: str) -> int:
    return count % 32 if mode == "wrap" else min(count, 32)


def parts(value: int, size: int, sign: str) -> list[int]:
    data = value.to_bytes(4, "little")
    return [int.from_bytes(data[i : i + size], "little", signed=sign == "s") for i in range(0, 4, size)]


def prmt(a: int, b: int, c: int) -> int:
    data, made = a.to_bytes(4, "little") + b.to_bytes(4, "little"), []
    for place in range(4):
        selector = c >> 4 * place & 0xF
        byte = data[selector % 8]
        made.append(byte if selector < 8 else 0xFF * (byte >> 7))
    return int.from_bytes(bytes(made), "little")


def szext(a: int, size: int, signed: bool) -> int:
    kept = bits_of(a, 32)[:size]
    return number(kept + [kept[-1] if signed and kept else 0] * (32 - size))


def conversions() -> None:
    widths = (16, 32, 64)
    for to in widths:
        for source in widths:
            for g, h in ("uu", "us", "su", "ss"):
                case(
                    f"cvt_{g}{to}_{h}{source}",
                    f"cvt.{g}{to}.{h}{source} %x, %a;",
                    (source,),
                    to,
                    lambda a, h=h, w=source: s(a, w) if h == "s" else a,
                )
                if to < source or g + h == "us" or (g + h == "su" and to == source):  # others cannot saturate
                    case(
                        f"cvt_sat_{g}{to}_{h}{source}",
                        f"cvt.sat.{g}{to}.{h}{source} %x, %a;",
                        (source,),
                        to,
                        lambda a, g=g, h=h, w=source, to=to: nearest(s(a, w) if h == "s" else a, to, g),
                    )
    case("cvt_u8", "cvt.u32.u8 %x, %a;", (32,), 32, lambda a: a & 255)
    case("cvt_s8", "cvt.s32.s8 %x, %a;", (32,), 32, lambda a: s(a & 255, 8))
    case("cvt_s8_to_64", "cvt.s64.s8 %x, %a;", (64,), 64, lambda a: s(a & 255, 8))
    case("cvt_narrow_into_wide", "cvt.s16.s64 %x, %a;", (64,), 32, lambda a: s(a & 0xFFFF, 16))
    case("mov_unpack", "mov.b64 {%x, %y}, %a;", (64,), (32, 32), lambda a: (a, a >> 32))
    case("mov_upper", "mov.b64 {_, %x}, %a;", (64,), 32, lambda a: a >> 32)
    case("mov_pack", "mov.b64 %x, {%a, %b};", (32, 32), 64, lambda a, b: b << 32 | a)
    case("mov_pack_16", "mov.b32 %x, {%a, %b};", (16, 16), 32, lambda a, b: b << 16 | a)
    case(
        "mov_pack_4",
        "mov.b64 %x, {%a, %b, %c, %d};",
        (16,) * 4,
        64,
        lambda *v: sum(it << 16 * i for i, it in enumerate(v)),
    )
    case("mov_pred", "mov.pred %x, %a;", (1,), 1, lambda a: a)


def nearest(value: int, bits: int, sign: str) -> int:
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if sign == "s" else (0, (1 << bits) - 1)
    return sorted((low, value, high))[1]


def comparisons() -> None:
    for w in (16, 32, 64):
        for name, compare in COMPARISONS.items():
            case(f"setp_{name}_u{w}", f"setp.{name}.u{w} %x, %a, %b;", (w, w), 1, compare)
            case(
                f"setp_{name}_s{w}",
                f"setp.{name}.s{w} %x, %a, %b;",
                (w, w),
                1,
                lambda a, b, f=compare, w=w: f(s(a, w), s(b, w)),
            )
        for name, same in (("lo", "lt"), ("ls", "le"), ("hi", "gt"), ("hs", "ge")):
            case(f"setp_{name}_u{w}", f"setp.{name}.u{w} %x, %a, %b;", (w, w), 1, COMPARISONS[same])
        case(f"selp_{w}", f"selp.b{w} %x, %a, %b, %c;", (w, w, 1), w, lambda a, b, c: a if c else b)
        case(
            f"slct_{w}", f"slct.b{w}.s32 %x, %a, %b, %c;", (w, w, 32), w, lambda a, b, c: a if s(c, 32) >= 0 else b
        ) if w > 16 else None
    case("setp_immediate", "setp.lt.s32 %x, %a, -1;", (32,), 1, lambda a: s(a, 32) < -1)
    for name, join in (("and", lambda p, q: p and q), ("or", lambda p, q: p or q), ("xor", lambda p, q: p != q)):
        case(
            f"setp_{name}",
            f"setp.lt.{name}.u32 %x|%y, %a, %b, %c;",
            (32, 32, 1),
            (1, 1),
            lambda a, b, c, f=join: (f(a < b, bool(c)), f(a >= b, bool(c))),
        )
        case(
            f"setp_{name}_not",
            f"setp.ge.{name}.s64 %x, %a, %b, !%c;",
            (64, 64, 1),
            1,
            lambda a, b, c, f=join: f(s(a, 64) >= s(b, 64), not c),
        )
        case(
            f"set_{name}",
            f"set.eq.{name}.u32.u64 %x, %a, %b, %c;",
            (64, 64, 1),
            32,
            lambda a, b, c, f=join: -1 if f(a == b, bool(c)) else 0,
        )
    case("setp_both", "setp.eq.b64 %x|%y, %a, %b;", (64, 64), (1, 1), lambda a, b: (a == b, a != b))
    case("set", "set.gt.u32.s32 %x, %a, %b;", (32, 32), 32, lambda a, b: -1 if s(a, 32) > s(b, 32) else 0)
    case("guarded", "mov.u32 %x, %a; @%c mov.u32 %x, %b;", (32, 32, 1), 32, lambda a, b, c: b if c else a)
    case("guarded_not", "mov.u32 %x, %a; @!%c mov.u32 %x, %b;", (32, 32, 1), 32, lambda a, b, c: a if c else b)


for group in (arithmetic, twenty_four, carries, bits, bytes_and_words, conversions, comparisons):
    group()


def module() -> str:
    return HEAD + "\n".join(program.kernel(name) for name, (program, _) in CASES.items())


@pytest.fixture(scope="module")
def emulator() -> Emulator:
    return Emulator(module())


@pytest.mark.parametrize("name", CASES)
def test_instruction(emulator: Emulator, name: str) -> None:
    program, expected = CASES[name]
    rows = operands(random.Random(name), program.takes, ROWS)
    for row, found in zip(rows, results(emulator, name, program, rows), strict=True):
        wanted = expected(*row)
        together = wanted if isinstance(wanted, tuple) else (wanted,)
        assert found == tuple(int(it) & ((1 << w) - 1) for it, w in zip(together, program.gives, strict=True)), row


@pytest.mark.skipif(assembler.find() is None, reason="needs ptxas, of CUDA or the wheel nvidia-cuda-nvcc")
def test_all_of_them_are_instructions() -> None:
    """For NVIDIA's assembler, too: the emulator takes nothing that no GPU would."""
    assert assembler.assembled(module().encode(), "sm_75")[0]
