"""Changes modules: some remain valid, most do not. On their parts, on their code, and on their bytes."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from vmloom.errors import CodeError
from vmloom_wasm.binary.code import instructions
from vmloom_wasm.binary.module import (
    MAGIC,
    VERSION,
    Body,
    Custom,
    Data,
    Element,
    Export,
    FunctionType,
    Global,
    GlobalType,
    Import,
    Kind,
    Limits,
    Module,
    Section,
    TableType,
)
from vmloom_wasm.binary.opcodes import OPCODES, Immediate, Opcode
from vmloom_wasm.binary.reader import Reader
from vmloom_wasm.binary.writer import encode, sized, unsigned

NUMBERS: Final = (0, 1, 2, 3, 63, 64, 127, 128, 1023, 1024, 1025, 9999, 10_001, 65_535, 65_536, 65_537, 1 << 20,
                  (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 63))  # fmt: skip
"""Counts and indices at limits of ours, of the format, and beyond it."""
_VALUE_TYPES = (0x7F, 0x7E, 0x7D, 0x7C, 0x7B, 0x70, 0x6F, 0x40, 0x60, 0x00)
_NAMES = ("main", "memory", "vmloom:gas_left", "vmloom:", "", "env", "note", "ask", "a" * 5000, "\0", "é.x")
_LARGEST: Final = 400_000
"""Bytes beyond which a module is not made larger."""
_ALIKE: dict[tuple[Any, ...], list[int]] = {}
for _op in OPCODES.values():
    if _op.pops is not None:
        _ALIKE.setdefault((_op.pops, _op.pushes, _op.immediates), []).append(_op.code)


def mutated(rng: random.Random, module: Module) -> bytes:
    """A few changes to `module`, encoded. May be valid."""
    if rng.random() < 0.7:
        for _ in range(rng.choice((1, 1, 2, 4))):
            module = rng.choice(_PARTS)(rng, module)
    code = encode(module)
    if rng.random() < 0.45:
        for _ in range(rng.choice((1, 1, 2, 5))):
            code = rng.choice(_BYTES)(rng, code)
            if len(code) > _LARGEST:
                break
    return code


def number(rng: random.Random) -> int:
    """A count or an index, often one too large."""
    return rng.choice(NUMBERS) if rng.random() < 0.4 else rng.randrange(12)


# Parts of modules


def _listed(field: str, change: Callable[[random.Random, Any], Any], fresh: Callable[[random.Random], Any]) -> Any:
    """A mutation of one of the tuples of a module: change, drop, repeat, move or add an item."""

    def mutate(rng: random.Random, module: Module) -> Module:
        items = list(getattr(module, field))
        index = rng.randrange(len(items)) if items else 0
        way = rng.randrange(8)
        if not items or way == 0:
            items.insert(index, fresh(rng))
        elif way == 1:
            del items[index]
        elif way == 2:
            items.insert(rng.randrange(len(items) + 1), items[index])
        elif way == 3:
            rng.shuffle(items)
        else:
            items[index] = change(rng, items[index])
        fields: dict[str, Any] = {field: tuple(items)}
        return replace(module, **fields)

    return mutate


def _types(rng: random.Random) -> bytes:
    return bytes(
        rng.choices(_VALUE_TYPES, weights=(9, 9, 4, 4, 1, 1, 1, 1, 1, 1), k=rng.choice((0, 1, 2, 5, 150, 1500)))
    )


def _function_type(rng: random.Random, kind: FunctionType | None = None) -> FunctionType:
    if kind is None or rng.random() < 0.2:
        return FunctionType(_types(rng), _types(rng))
    sides = [bytearray(kind.params), bytearray(kind.results)]
    side = rng.choice(sides)
    if side:
        side[rng.randrange(len(side))] = rng.choice(_VALUE_TYPES)
    else:
        side.append(0x7F)
    return FunctionType(bytes(sides[0]), bytes(sides[1]))


def _limits(rng: random.Random, _: object = None) -> Limits:
    return Limits(number(rng), rng.choice((None, number(rng))))


def _table(rng: random.Random, _: object = None) -> TableType:
    return TableType(rng.choice((0x70, 0x70, 0x70, 0x6F, 0x7F)), _limits(rng))


_INITIAL: Final = (
    *(b"\x41\0\x0b", b"\x42\0\x0b", b"\x41\x7f\x0b", b"\x23\0\x0b", b"\xd2\0\x0b", b"\xd0\x70\x0b"),
    *(b"\x0b", b"\x41\0", b"\x41\1\x41\2\x6a\x0b", b"\x41\0\x41\0\x0b"),
)


def _initial(rng: random.Random) -> bytes:
    return b"\x23" + unsigned(number(rng)) + b"\x0b" if rng.random() < 0.1 else rng.choice(_INITIAL)


def _global(rng: random.Random, entry: Global | None = None) -> Global:
    if entry is not None and rng.random() < 0.5:
        return replace(entry, type=GlobalType(entry.type.value, not entry.type.mutable))
    return Global(GlobalType(rng.choice(_VALUE_TYPES), rng.random() < 0.5), _initial(rng))


def _import(rng: random.Random, entry: Import | None = None) -> Import:
    kind = rng.choice(list(Kind)) if rng.random() < 0.2 else Kind.FUNCTION
    described: Any = {
        Kind.FUNCTION: number(rng),
        Kind.TABLE: _table(rng),
        Kind.MEMORY: _limits(rng),
        Kind.GLOBAL: GlobalType(0x7F, rng.random() < 0.5),
    }[kind]
    if entry is not None and rng.random() < 0.5:
        return replace(entry, kind=kind, description=described)
    return Import("env" if rng.random() < 0.8 else rng.choice(_NAMES), rng.choice(_NAMES), kind, described)


def _export(rng: random.Random, entry: Export | None = None) -> Export:
    if entry is None:
        return Export(rng.choice(_NAMES), rng.choice(list(Kind)), number(rng))
    return rng.choice(
        (replace(entry, name=rng.choice(_NAMES)), replace(entry, index=number(rng)),
         replace(entry, kind=rng.choice(list(Kind))))
    )  # fmt: skip


def _element(rng: random.Random, segment: Element | None = None) -> Element:
    flags = rng.choice((0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7))
    position = b"" if flags & 1 else _initial(rng)
    functions = tuple(number(rng) for _ in range(rng.choice((0, 1, 5, 2000))))
    if segment is not None and rng.random() < 0.5 and not flags & 4:
        functions = segment.functions
    expressions = tuple(_initial(rng) for _ in range(rng.choice((0, 1, 5)))) if flags & 4 else ()
    return Element(flags, number(rng), position, rng.choice((0x70, 0x70, 0x6F, 0x7F)), functions, expressions)


def _data(rng: random.Random, segment: Data | None = None) -> Data:
    content = rng.randbytes(rng.choice((0, 1, 100, 70_000)))
    if segment is not None and rng.random() < 0.5:
        content = segment.content
    flags = rng.choice((0, 0, 1, 2))
    return Data(flags, number(rng), b"" if flags == 1 else _initial(rng), content)


def _custom(rng: random.Random, _: object = None) -> Custom:
    data = rng.randbytes(rng.choice((0, 5, 50, 100_000)))
    return Custom(rng.choice(("name", *_NAMES)), data, rng.choice((None, *Section)))


def _single(rng: random.Random, module: Module) -> Module:
    """Change the start function, or how many data segments there are said to be."""
    value = rng.choice((None, number(rng)))
    return replace(module, start=value) if rng.random() < 0.5 else replace(module, data_count=value)


def _index(rng: random.Random, _: int = 0) -> int:
    return number(rng)


# Code


def _body(rng: random.Random, body: Body | None = None) -> Body:
    if body is None:
        return Body((), rng.choice((b"\x0b", b"\x41\0\x0b", b"\x00\x0b", b"\x03\x40\x0c\x00\x0b\x0b")))
    if rng.random() < 0.2:
        runs = [(number(rng), rng.choice(_VALUE_TYPES)) for _ in range(rng.choice((1, 2, 300)))]
        return replace(body, locals=(*body.locals, *runs) if rng.random() < 0.5 else tuple(runs))
    try:
        pieces = [body.code[it.begin : it.end] for it in instructions(body.code)]
    except CodeError:  # it was changed before
        return replace(body, code=body.code[: rng.randrange(len(body.code) + 1)] + b"\x0b")
    for _ in range(rng.choice((1, 1, 1, 3, 10))):
        rng.choice(_CODE)(rng, pieces)
    return replace(body, code=b"".join(pieces))


def _drop_piece(rng: random.Random, pieces: list[bytes]) -> None:
    if pieces:
        del pieces[rng.randrange(len(pieces))]


def _repeat_pieces(rng: random.Random, pieces: list[bytes]) -> None:
    begin = rng.randrange(len(pieces) + 1)
    copied = pieces[begin : begin + rng.choice((1, 2, 10))]
    at = rng.randrange(len(pieces) + 1)
    if len(pieces) < 20_000:
        pieces[at:at] = copied * rng.choice((1, 1, 1, 50))


def _swap_pieces(rng: random.Random, pieces: list[bytes]) -> None:
    if pieces:
        first, second = (rng.randrange(len(pieces)) for _ in range(2))
        pieces[first], pieces[second] = pieces[second], pieces[first]


def _other_piece(rng: random.Random, pieces: list[bytes]) -> None:
    """Replace or insert any instruction."""
    at = rng.randrange(len(pieces) + 1)
    pieces[at : at + rng.randrange(2)] = [instruction(rng, rng.choice(list(OPCODES)))]


def _alike_piece(rng: random.Random, pieces: list[bytes]) -> None:
    """Replace instructions by others of the same type: the module remains valid."""
    for _ in range(min(len(pieces), 20)):
        at = rng.randrange(len(pieces))
        op = _opcode(pieces[at])
        if op is None or op.pops is None:
            continue
        code = rng.choice(_ALIKE[op.pops, op.pushes, op.immediates])
        if op.code < 0x100 and code < 0x100:
            pieces[at] = bytes((code,)) + pieces[at][1:]


def _immediate(rng: random.Random, pieces: list[bytes]) -> None:
    """Give an instruction other immediates."""
    if pieces:
        at = rng.randrange(len(pieces))
        op = _opcode(pieces[at])
        if op is not None:
            pieces[at] = instruction(rng, op.code)


def _opcode(piece: bytes) -> Opcode | None:
    """What the first instruction of `piece` is, if there is a whole one."""
    try:
        return next((OPCODES[it.code] for it in instructions(piece)), None)
    except CodeError:
        return None


def _nest(rng: random.Random, pieces: list[bytes]) -> None:
    """Put all of it into very many blocks."""
    depth = rng.choice((1, 5, 1000, 1022, 1023, 1024, 5000))
    opening = rng.choice((b"\x02\x40", b"\x03\x40", b"\x41\0\x04\x40"))
    pieces[:] = [opening * depth, *pieces[:-1], b"\x0b" * depth, *pieces[-1:]]


def _labels(rng: random.Random, pieces: list[bytes]) -> None:
    """Insert a `br_table` of many labels."""
    count = rng.choice((0, 3, 1023, 1024, 1025, 20_000))
    labels = b"\0" * count if rng.random() < 0.7 else b"".join(unsigned(number(rng)) for _ in range(count % 3000))
    pieces.insert(rng.randrange(len(pieces) + 1), b"\x41\0\x0e" + unsigned(count) + labels + b"\0")


_CODE = (_drop_piece, _repeat_pieces, _swap_pieces, _other_piece, _alike_piece, _alike_piece, _alike_piece, _immediate,
         _immediate, _nest, _labels)  # fmt: skip


def instruction(rng: random.Random, code: int) -> bytes:
    """An instruction with immediates at random, which may name what there is not."""
    op = OPCODES[code]
    if code < 0x100:
        out = bytes((code,))
    else:  # the number after a prefix has 8 bits or, behind 0xFD, 16
        wide = code > 0xFFFF
        out = bytes((code >> (16 if wide else 8),)) + unsigned(code & (0xFFFF if wide else 0xFF))
    for kind in op.immediates:
        match kind:
            case Immediate.BLOCK_TYPE:
                out += rng.choice((b"\x40", b"\x7f", b"\x7e", b"\x7b", b"\x6f", unsigned(rng.randrange(8))))
            case Immediate.LABELS:
                count = rng.randrange(4)
                out += unsigned(count) + b"".join(unsigned(rng.randrange(3)) for _ in range(count + 1))
            case Immediate.MEMORY_ARGUMENT:
                out += unsigned(rng.choice((0, 0, 1, 2, 3, 4, 31, 32, 64))) + unsigned(number(rng))
            case Immediate.I32 | Immediate.I64:
                out += rng.choice((b"\0", b"\x7f", b"\xff\xff\xff\xff\x07", b"\x80\x80\x80\x80\x78", rng.randbytes(3)))
            case Immediate.F32:
                out += rng.randbytes(4)
            case Immediate.F64:
                out += rng.randbytes(8)
            case Immediate.BYTES16:
                out += rng.randbytes(16)
            case Immediate.VALUE_TYPES:
                out += sized(bytes(rng.choices(_VALUE_TYPES, k=rng.choice((0, 1, 1, 2)))))
            case Immediate.REFERENCE_TYPE:
                out += bytes((rng.choice(_VALUE_TYPES),))
            case _:
                out += unsigned(number(rng) if rng.random() < 0.3 else rng.randrange(3))
    return out


_PARTS: Final[tuple[Callable[[random.Random, Module], Module], ...]] = (
    _listed("types", _function_type, _function_type),
    _listed("imports", _import, _import),
    _listed("functions", _index, _index),
    _listed("tables", _table, _table),
    _listed("memories", _limits, _limits),
    _listed("globals", _global, _global),
    _listed("exports", _export, _export),
    _listed("elements", _element, _element),
    _listed("datas", _data, _data),
    _listed("customs", _custom, _custom),
    *[_listed("bodies", _body, _body)] * 8,
    _single,
)


# Bytes


def _sections(code: bytes) -> list[tuple[int, bytes]]:
    """Number and content of each section, as far as they can be told apart."""
    reader, found = Reader(code, 8), []
    try:
        while not reader.at_end:
            found.append((reader.u8(), reader.take(reader.u32())))
    except CodeError:
        pass
    return found


def _resection(rng: random.Random, code: bytes) -> bytes:
    """Drop, repeat, move, renumber, lengthen or shorten sections."""
    sections = _sections(code)
    if not sections:
        return code
    index = rng.randrange(len(sections))
    kind, content = sections[index]
    way = rng.randrange(7)
    if way == 0:
        del sections[index]
    elif way == 1:
        sections.insert(rng.randrange(len(sections) + 1), sections[index])
    elif way == 2:
        rng.shuffle(sections)
    elif way == 3:
        sections[index] = (rng.choice((*range(14), 127, 255)), content)
    elif way == 4:
        sections[index] = (kind, content + rng.randbytes(rng.choice((1, 1, 9))))
    elif way == 5:
        sections[index] = (kind, content[: rng.randrange(len(content) + 1)])
    else:  # another number of things
        reader = Reader(content)
        try:
            count = reader.u32()
        except CodeError:
            return code
        other = rng.choice((count + 1, count - 1 if count else 0, number(rng)))
        sections[index] = (kind, unsigned(other) + content[reader.offset :])
    return MAGIC + VERSION + b"".join(bytes((kind,)) + sized(content) for kind, content in sections)


def _overlong(rng: random.Random, code: bytes) -> bytes:
    """Write the size of a section, or what may be an integer, with more bytes than it takes."""
    at = rng.randrange(8, len(code)) if len(code) > 8 else 0
    if not at or code[at] > 0x7F:
        return code
    zeros = rng.choice((1, 2, 3, 4, 5, 9, 10))
    return code[:at] + bytes((code[at] | 0x80,)) + b"\x80" * (zeros - 1) + b"\0" + code[at + 1 :]


def _overlong_size(rng: random.Random, code: bytes) -> bytes:
    """The same for the size of a section, which cannot shift anything else."""
    sections = _sections(code)
    chosen = rng.randrange(len(sections)) if sections else -1
    out = [MAGIC + VERSION]
    for index, (kind, content) in enumerate(sections):
        size = unsigned(len(content))
        if index == chosen:
            size = size[:-1] + bytes((size[-1] | 0x80,)) + b"\x80" * rng.randrange(3) + b"\0"
        out += [bytes((kind,)), size, content]
    return b"".join(out)


def _flip(rng: random.Random, code: bytes) -> bytes:
    out = bytearray(code)
    for _ in range(rng.choice((1, 1, 2, 8))):
        if out:
            at = rng.randrange(len(out))
            out[at] = out[at] ^ 1 << rng.randrange(8) if rng.random() < 0.5 else rng.randrange(256)
    return bytes(out)


def _cut(rng: random.Random, code: bytes) -> bytes:
    begin = rng.randrange(len(code) + 1)
    return code[:begin] if rng.random() < 0.3 else code[:begin] + code[begin + rng.choice((1, 1, 4, 40)) :]


def _insert(rng: random.Random, code: bytes) -> bytes:
    at = rng.randrange(len(code) + 1)
    return code[:at] + rng.choice((rng.randbytes(1), rng.randbytes(5), b"\xff" * 5, b"\0" * 9)) + code[at:]


_BYTES: Final[tuple[Callable[[random.Random, bytes], bytes], ...]] = (
    _resection, _resection, _overlong, _overlong_size, _flip, _flip, _cut, _insert,
)  # fmt: skip
