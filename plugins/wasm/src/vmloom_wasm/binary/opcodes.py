"""Which instructions there are, what follows each in the code, and what it does to the stack.

Core specification 2.0, section 5.4, with the SIMD and threads instructions there so that they can be named and
skipped. Data only; `code` reads instructions with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum, auto
from types import MappingProxyType
from typing import NamedTuple


class Immediate(Enum):
    """What may follow an opcode. As a value, each is an int unless said otherwise."""

    BLOCK_TYPE = auto()
    """A type's index; -64 for none; another negative number is a value type less 128: -1 is i32."""
    LABEL = auto()
    LABELS = auto()
    """A tuple of labels; the last is the default one."""
    FUNCTION = auto()
    TYPE = auto()
    TABLE = auto()
    LOCAL = auto()
    GLOBAL = auto()
    MEMORY_ARGUMENT = auto()
    """A tuple (alignment as an exponent of 2, offset in bytes)."""
    MEMORY = auto()
    I32 = auto()
    """Signed."""
    I64 = auto()
    """Signed."""
    F32 = auto()
    """The bits."""
    F64 = auto()
    """The bits."""
    DATA = auto()
    ELEMENT = auto()
    REFERENCE_TYPE = auto()
    VALUE_TYPES = auto()
    """Bytes, one for each type."""
    BYTE = auto()
    """A lane, or the flags of a fence."""
    BYTES16 = auto()
    """Sixteen bytes: a vector, or the lanes of a shuffle."""


class Group(Enum):
    """Which proposal brought an instruction; the value is its name in messages."""

    MVP = "MVP"
    SIGN_EXTENSION = "sign-extension"
    SATURATING = "saturating-conversion"
    BULK_MEMORY = "bulk-memory"
    REFERENCE_TYPES = "reference-types"
    SIMD = "SIMD"
    RELAXED_SIMD = "relaxed-SIMD"
    THREADS = "threads"
    TAIL_CALL = "tail-call"
    EXCEPTIONS = "exceptions"


class Opcode(NamedTuple):
    """One instruction."""

    code: int
    """The byte; of instructions with a prefix 0xFC00 | n, 0xFD00 | n or 0xFE00 | n; see `prefixed`."""
    name: str
    immediates: tuple[Immediate, ...]
    pops: str | None
    """Types of the operands, the top one last: i = i32, I = i64, f = f32, F = f64. None: depends on the context."""
    pushes: str | None
    """Types of the results, as `pops`."""
    group: Group

    @property
    def is_float(self) -> bool:
        """Whether it computes with, converts, loads or stores floats."""
        return not {"f", "F"}.isdisjoint((self.pops or "") + (self.pushes or ""))


PREFIXES = (0xFC, 0xFD, 0xFE)
"""First bytes after which the opcode proper follows as an integer: bulk memory and saturation, SIMD, threads."""


def prefixed(prefix: int, number: int) -> int:
    """Return the key of `number`, of 32 bits, after `prefix` in `OPCODES`."""
    if number < 0x100:
        return prefix << 8 | number
    return prefix << (16 if number < 0x10000 else 32) | number


_LETTERS = {"i32": "i", "i64": "I", "f32": "f", "f64": "F"}
_SIZES = {"8": 1, "16": 2, "32": 4, "64": 8}


def _control() -> Iterator[Opcode]:
    """Yield what is not arithmetic: blocks, branches, calls, variables, constants."""
    i = Immediate
    mvp, references = Group.MVP, Group.REFERENCE_TYPES
    yield Opcode(0x00, "unreachable", (), None, None, mvp)
    yield Opcode(0x01, "nop", (), "", "", mvp)
    yield Opcode(0x02, "block", (i.BLOCK_TYPE,), None, None, mvp)
    yield Opcode(0x03, "loop", (i.BLOCK_TYPE,), None, None, mvp)
    yield Opcode(0x04, "if", (i.BLOCK_TYPE,), None, None, mvp)
    yield Opcode(0x05, "else", (), None, None, mvp)
    yield Opcode(0x0B, "end", (), None, None, mvp)
    yield Opcode(0x0C, "br", (i.LABEL,), None, None, mvp)
    yield Opcode(0x0D, "br_if", (i.LABEL,), None, None, mvp)
    yield Opcode(0x0E, "br_table", (i.LABELS,), None, None, mvp)
    yield Opcode(0x0F, "return", (), None, None, mvp)
    yield Opcode(0x10, "call", (i.FUNCTION,), None, None, mvp)
    yield Opcode(0x11, "call_indirect", (i.TYPE, i.TABLE), None, None, mvp)
    yield Opcode(0x1A, "drop", (), None, None, mvp)
    yield Opcode(0x1B, "select", (), None, None, mvp)
    yield Opcode(0x1C, "select", (i.VALUE_TYPES,), None, None, references)
    for code, name in enumerate(("local.get", "local.set", "local.tee"), 0x20):
        yield Opcode(code, name, (i.LOCAL,), None, None, mvp)
    for code, name in enumerate(("global.get", "global.set"), 0x23):
        yield Opcode(code, name, (i.GLOBAL,), None, None, mvp)
    for code, name in enumerate(("table.get", "table.set"), 0x25):
        yield Opcode(code, name, (i.TABLE,), None, None, references)
    yield Opcode(0x3F, "memory.size", (i.MEMORY,), "", "i", mvp)
    yield Opcode(0x40, "memory.grow", (i.MEMORY,), "i", "i", mvp)
    for code, kind in enumerate((i.I32, i.I64, i.F32, i.F64), 0x41):
        name = kind.name.lower()
        yield Opcode(code, f"{name}.const", (kind,), "", _LETTERS[name], mvp)
    yield Opcode(0xD0, "ref.null", (i.REFERENCE_TYPE,), None, None, references)
    yield Opcode(0xD1, "ref.is_null", (), None, None, references)
    yield Opcode(0xD2, "ref.func", (i.FUNCTION,), None, None, references)


def _memory() -> Iterator[Opcode]:
    """Yield loads and stores."""
    loads = (
        "i32.load i64.load f32.load f64.load i32.load8_s i32.load8_u i32.load16_s i32.load16_u i64.load8_s "
        "i64.load8_u i64.load16_s i64.load16_u i64.load32_s i64.load32_u"
    )
    stores = "i32.store i64.store f32.store f64.store i32.store8 i32.store16 i64.store8 i64.store16 i64.store32"
    for code, name in enumerate(loads.split(), 0x28):
        yield Opcode(code, name, (Immediate.MEMORY_ARGUMENT,), "i", _LETTERS[name[:3]], Group.MVP)
    for code, name in enumerate(stores.split(), 0x36):
        yield Opcode(code, name, (Immediate.MEMORY_ARGUMENT,), "i" + _LETTERS[name[:3]], "", Group.MVP)


def _numeric() -> Iterator[Opcode]:
    """Yield tests, comparisons, arithmetic and conversions, in the order of their bytes from 0x45 on."""
    compare_integers = ["eq", "ne", "lt_s", "lt_u", "gt_s", "gt_u", "le_s", "le_u", "ge_s", "ge_u"]
    compare_floats = ["eq", "ne", "lt", "gt", "le", "ge"]
    integers = [
        "add",
        "sub",
        "mul",
        "div_s",
        "div_u",
        "rem_s",
        "rem_u",
        "and",
        "or",
        "xor",
        "shl",
        "shr_s",
        "shr_u",
        "rotl",
        "rotr",
    ]
    floats = ["add", "sub", "mul", "div", "min", "max", "copysign"]
    table: list[tuple[str, list[str], int, str]] = []  # type, names, operands, result or "" for the type's own
    for kind in ("i32", "i64"):
        table += [(kind, ["eqz"], 1, "i"), (kind, compare_integers, 2, "i")]
    table += [(kind, compare_floats, 2, "i") for kind in ("f32", "f64")]
    for kind in ("i32", "i64"):
        table += [(kind, ["clz", "ctz", "popcnt"], 1, ""), (kind, integers, 2, "")]
    for kind in ("f32", "f64"):
        table += [(kind, ["abs", "neg", "ceil", "floor", "trunc", "nearest", "sqrt"], 1, ""), (kind, floats, 2, "")]
    code = 0x45
    for kind, names, operands, result in table:
        for name in names:
            letter = _LETTERS[kind]
            yield Opcode(code, f"{kind}.{name}", (), letter * operands, result or letter, Group.MVP)
            code += 1
    conversions = (
        "i32.wrap_i64 i32.trunc_f32_s i32.trunc_f32_u i32.trunc_f64_s i32.trunc_f64_u i64.extend_i32_s "
        "i64.extend_i32_u i64.trunc_f32_s i64.trunc_f32_u i64.trunc_f64_s i64.trunc_f64_u f32.convert_i32_s "
        "f32.convert_i32_u f32.convert_i64_s f32.convert_i64_u f32.demote_f64 f64.convert_i32_s f64.convert_i32_u "
        "f64.convert_i64_s f64.convert_i64_u f64.promote_f32 i32.reinterpret_f32 i64.reinterpret_f64 "
        "f32.reinterpret_i32 f64.reinterpret_i64"
    )
    for code, name in enumerate(conversions.split(), 0xA7):
        yield _conversion(code, name, Group.MVP)
    extensions = "i32.extend8_s i32.extend16_s i64.extend8_s i64.extend16_s i64.extend32_s"
    for code, name in enumerate(extensions.split(), 0xC0):
        letter = _LETTERS[name[:3]]
        yield Opcode(code, name, (), letter, letter, Group.SIGN_EXTENSION)


def _conversion(code: int, name: str, group: Group) -> Opcode:
    source = next(part for part in name[4:].split("_") if part in _LETTERS)
    return Opcode(code, name, (), _LETTERS[source], _LETTERS[name[:3]], group)


def _bulk() -> Iterator[Opcode]:
    """Yield what follows 0xFC: saturating conversions, bulk memory, tables."""
    i = Immediate
    for number, (to, source, sign) in enumerate(
        (to, source, sign) for to in ("i32", "i64") for source in ("f32", "f64") for sign in "su"
    ):
        yield _conversion(prefixed(0xFC, number), f"{to}.trunc_sat_{source}_{sign}", Group.SATURATING)
    bulk, references = Group.BULK_MEMORY, Group.REFERENCE_TYPES
    yield Opcode(0xFC08, "memory.init", (i.DATA, i.MEMORY), "iii", "", bulk)
    yield Opcode(0xFC09, "data.drop", (i.DATA,), "", "", bulk)
    yield Opcode(0xFC0A, "memory.copy", (i.MEMORY, i.MEMORY), "iii", "", bulk)
    yield Opcode(0xFC0B, "memory.fill", (i.MEMORY,), "iii", "", bulk)
    yield Opcode(0xFC0C, "table.init", (i.ELEMENT, i.TABLE), "iii", "", bulk)
    yield Opcode(0xFC0D, "elem.drop", (i.ELEMENT,), "", "", bulk)
    yield Opcode(0xFC0E, "table.copy", (i.TABLE, i.TABLE), "iii", "", bulk)
    yield Opcode(0xFC0F, "table.grow", (i.TABLE,), None, "i", references)
    yield Opcode(0xFC10, "table.size", (i.TABLE,), "", "i", references)
    yield Opcode(0xFC11, "table.fill", (i.TABLE,), None, "", references)


def _vectors() -> Iterator[Opcode]:
    """Yield what follows 0xFD. Only the shape matters, as none of it is ever run; most are named by their number."""
    i = Immediate
    for number in range(0x100):
        immediates: tuple[Immediate, ...] = ()
        if number <= 11 or number in (92, 93):
            immediates = (i.MEMORY_ARGUMENT,)
        elif 84 <= number <= 91:
            immediates = (i.MEMORY_ARGUMENT, i.BYTE)
        elif number in (12, 13):
            immediates = (i.BYTES16,)
        elif 21 <= number <= 34:
            immediates = (i.BYTE,)
        name = {0: "v128.load", 11: "v128.store", 12: "v128.const", 13: "i8x16.shuffle"}.get(number)
        yield Opcode(0xFD00 | number, name or f"v128 instruction {number:#x}", immediates, None, None, Group.SIMD)
    for number in range(0x100, 0x114):
        name = f"v128 instruction {number:#x}"
        yield Opcode(prefixed(0xFD, number), name, (), None, None, Group.RELAXED_SIMD)


def _threads() -> Iterator[Opcode]:
    """Yield what follows 0xFE."""
    argument = (Immediate.MEMORY_ARGUMENT,)
    names = {0: "memory.atomic.notify", 1: "memory.atomic.wait32", 2: "memory.atomic.wait64"}
    shapes = ["i32.{}", "i64.{}", "i32.{}8{}", "i32.{}16{}", "i64.{}8{}", "i64.{}16{}", "i64.{}32{}"]
    number = 0x10
    for kind, operation in (
        ("load", ""),
        ("store", ""),
        *(("rmw", name) for name in ["add", "sub", "and", "or", "xor", "xchg", "cmpxchg"]),
    ):
        for shape in shapes:
            narrow = shape.count("{}") == 2
            name = shape.format(f"atomic.{kind}", "_u" if kind == "load" and narrow else "")
            names[number] = name + (f".{operation}" + ("_u" if narrow else "") if operation else "")
            number += 1
    for number, name in names.items():
        yield Opcode(0xFE00 | number, name, argument, None, None, Group.THREADS)
    yield Opcode(0xFE03, "atomic.fence", (Immediate.BYTE,), None, None, Group.THREADS)


def _later() -> Iterator[Opcode]:
    """Yield instructions of later proposals that can be told by their byte."""
    i = Immediate
    yield Opcode(0x12, "return_call", (i.FUNCTION,), None, None, Group.TAIL_CALL)
    yield Opcode(0x13, "return_call_indirect", (i.TYPE, i.TABLE), None, None, Group.TAIL_CALL)
    yield Opcode(0x08, "throw", (i.TYPE,), None, None, Group.EXCEPTIONS)
    yield Opcode(0x0A, "throw_ref", (), None, None, Group.EXCEPTIONS)


def _by_code(*families: Iterable[Opcode]) -> Mapping[int, Opcode]:
    table = {opcode.code: opcode for family in families for opcode in family}
    return MappingProxyType(table)


OPCODES: Mapping[int, Opcode] = _by_code(_control(), _memory(), _numeric(), _bulk(), _vectors(), _threads(), _later())
"""All instructions by their code; see `Opcode.code`."""
