"""What a module consists of, and how to read one. Core specification 2.0, section 5.5.

`decode` checks the structure only: whether indices exist and types fit is for the validator of wasmtime. Code is left
as bytes, for `code.instructions`. `writer.encode` is the inverse.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple, TypeVar

from .code import read_instruction
from .opcodes import OPCODES
from .reader import MalformedModule, Reader

T = TypeVar("T")

MAGIC = b"\0asm"
VERSION = b"\1\0\0\0"

I32, I64, F32, F64, V128, FUNCREF, EXTERNREF = 0x7F, 0x7E, 0x7D, 0x7C, 0x7B, 0x70, 0x6F
VALUE_TYPES = {I32: "i32", I64: "i64", F32: "f32", F64: "f64", V128: "v128", FUNCREF: "funcref", EXTERNREF: "externref"}
"""Names of value types by their byte. Section 5.3.4."""

MAX_LOCALS = 2**32 - 1


class Section(IntEnum):
    """Sections, by their number in the file."""

    CUSTOM = 0
    TYPE = 1
    IMPORT = 2
    FUNCTION = 3
    TABLE = 4
    MEMORY = 5
    GLOBAL = 6
    EXPORT = 7
    START = 8
    ELEMENT = 9
    CODE = 10
    DATA = 11
    DATA_COUNT = 12

    @property
    def title(self) -> str:
        """Its name in messages."""
        return self.name.lower().replace("_", " ")


ORDER = tuple(Section(number) for number in (1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 10, 11))
"""Sections in the order in which they must come; custom ones may be anywhere."""


class Kind(IntEnum):
    """What is imported or exported."""

    FUNCTION = 0
    TABLE = 1
    MEMORY = 2
    GLOBAL = 3


@dataclass(frozen=True, slots=True)
class FunctionType:
    """A signature; each byte is a value type."""

    params: bytes
    results: bytes

    def __str__(self) -> str:
        return f"({_names(self.params)}) -> ({_names(self.results)})"


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes of a memory in pages of 65536 bytes, or of a table in elements. Without a maximum, `maximum` is None."""

    minimum: int
    maximum: int | None = None


@dataclass(frozen=True, slots=True)
class TableType:
    """`element` is a reference type."""

    element: int
    limits: Limits


@dataclass(frozen=True, slots=True)
class GlobalType:
    """`value` is a value type."""

    value: int
    mutable: bool


@dataclass(frozen=True, slots=True)
class Import:
    """An import. `description` is a function's type index, or the type of a table, memory or global."""

    module: str
    name: str
    kind: Kind
    description: int | TableType | Limits | GlobalType


@dataclass(frozen=True, slots=True)
class Export:
    """An export. `index` counts things of that kind, imported ones first."""

    name: str
    kind: Kind
    index: int


@dataclass(frozen=True, slots=True)
class Global:
    """A global; `initial` is a constant expression with its `end`."""

    type: GlobalType
    initial: bytes


@dataclass(frozen=True, slots=True)
class Element:
    """References for a table.

    `flags` is the form, 0 to 7, as in section 5.5.12: bit 0 passive or declarative, bit 1 explicit table or
    declarative, bit 2 expressions rather than function indices. `position` is empty unless active.
    """

    flags: int
    table: int
    position: bytes
    reference: int
    """The reference type; 0x70 where the form leaves it out."""
    functions: tuple[int, ...] = ()
    expressions: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes for a memory. `flags`: 0 active, 1 passive, 2 active with explicit memory; `position` as in `Element`."""

    flags: int
    memory: int
    position: bytes
    content: bytes


@dataclass(frozen=True, slots=True)
class Body:
    """A function's body. `code` begins at `offset` in the module and includes the last `end`."""

    locals: tuple[tuple[int, int], ...]
    """Runs (count, value type); the sum of counts is at most 2**32 - 1."""
    code: bytes
    offset: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Custom:
    """A custom section and the last other section before it, None if it is the first."""

    name: str
    data: bytes
    after: Section | None = Section.DATA


@dataclass(frozen=True, slots=True)
class Module:
    """A module. Index spaces begin with what is imported; the tuples here do not."""

    types: tuple[FunctionType, ...] = ()
    imports: tuple[Import, ...] = ()
    functions: tuple[int, ...] = ()
    """The type index of each function in `bodies`."""
    tables: tuple[TableType, ...] = ()
    memories: tuple[Limits, ...] = ()
    globals: tuple[Global, ...] = ()
    exports: tuple[Export, ...] = ()
    start: int | None = None
    elements: tuple[Element, ...] = ()
    data_count: int | None = None
    bodies: tuple[Body, ...] = ()
    datas: tuple[Data, ...] = ()
    customs: tuple[Custom, ...] = ()
    section_offsets: Mapping[Section, int] = field(default_factory=dict, compare=False, repr=False)
    """Where the content of each section begins, as far as the module was read from bytes."""

    def imported(self, kind: Kind) -> tuple[Import, ...]:
        """Return the imports of one kind, in the order of their indices."""
        return tuple(entry for entry in self.imports if entry.kind is kind)


def decode(data: bytes) -> Module:
    """Read a module.

    Raises:
        MalformedModule: `data` is not the binary format; the error has the section and the offset.
    """
    data = bytes(data)  # a bytearray would make everything that is cut from it mutable
    if data[:4] != MAGIC:
        raise MalformedModule("not WebAssembly: the first four bytes are not 00 61 73 6d", offset=0)
    if data[4:8] != VERSION:
        raise MalformedModule(f"version {data[4:8].hex(' ') or 'missing'}, not 01 00 00 00", offset=4)
    reader = Reader(data, 8)
    fields: dict[str, object] = {}
    customs: list[Custom] = []
    offsets: dict[Section, int] = {}
    previous: Section | None = None
    while not reader.at_end:
        section = _section(reader, previous)
        part = _part(reader, section)
        if section is Section.CUSTOM:
            customs.append(Custom(part.name(), part.take(part.end - part.offset), previous))
            continue
        offsets[section] = part.offset
        name, read = _SECTIONS[section]
        fields[name] = read(part)
        if not part.at_end:
            part.fail(f"{part.end - part.offset} bytes too many")
        previous = section
    module = Module(**fields, customs=tuple(customs), section_offsets=offsets)  # type: ignore[arg-type]
    _check_counts(module)
    return module


class SectionHead(NamedTuple):
    """What a section announces: how many things, and how many bytes; and at which offset it does so."""

    things: int
    offset: int
    size: int


def section_heads(data: bytes) -> dict[Section, SectionHead]:
    """Return what each section announces. Of a section that is there twice, the larger count and both sizes.

    Costs next to nothing, so that limits can be checked before `decode`, and a module priced without it.

    Raises:
        MalformedModule: a section that is not whole; its content is not looked at.
    """
    heads: dict[Section, SectionHead] = {}
    reader = Reader(data, min(8, len(data)))
    while not reader.at_end:
        section = _section(reader, None)
        part = _part(reader, section)
        if section is not Section.CUSTOM:
            offset, size = part.offset, part.end - part.offset
            former = heads.get(section, SectionHead(0, 0, 0))
            count, place = max(former[:2], (part.u32(), offset))
            heads[section] = SectionHead(count, place, former.size + size)
    return heads


def read_expression(reader: Reader) -> bytes:
    """Read a constant expression, with its `end`. Section 3.3.10 and extended constant expressions."""
    begin = reader.offset
    while True:
        instruction = read_instruction(reader)
        if instruction.code == 0x0B:
            return reader.data[begin : reader.offset]
        if instruction.code not in _CONSTANT:
            reader.fail(f"{OPCODES[instruction.code].name} in a constant expression", instruction.begin)


_CONSTANT = frozenset((0x41, 0x42, 0x43, 0x44, 0x23, 0xD0, 0xD2, 0x6A, 0x6B, 0x6C, 0x7C, 0x7D, 0x7E, 0xFD0C))


def _names(types: bytes) -> str:
    return ", ".join(VALUE_TYPES.get(code, f"{code:#x}") for code in types)


def _check_counts(module: Module) -> None:
    """Compare what sections say of each other. Section 5.5.16."""
    if len(module.functions) != len(module.bodies):
        section = Section.CODE if module.bodies else Section.FUNCTION
        message = f"{len(module.functions)} functions are declared, {len(module.bodies)} have a body"
        raise MalformedModule(message, offset=module.section_offsets[section], section=section.title)
    if module.data_count not in (None, len(module.datas)):
        message = f"{module.data_count} data segments are announced, there are {len(module.datas)}"
        offset = module.section_offsets[Section.DATA_COUNT]
        raise MalformedModule(message, offset=offset, section=Section.DATA_COUNT.title)


def _section(reader: Reader, previous: Section | None) -> Section:
    begin = reader.offset
    number = reader.u8()
    if number > max(Section):
        reader.fail(f"unknown section {number}", begin)
    section = Section(number)
    if section is not Section.CUSTOM and previous is not None and ORDER.index(section) <= ORDER.index(previous):
        reader.fail(f"{section.title} section after the {previous.title} section", begin)
    return section


def _part(reader: Reader, section: Section) -> Reader:
    """Return a reader of the section's content, and move on behind it."""
    size = Reader(reader.data, reader.offset, section=section.title)
    length = size.u32()
    begin = size.offset
    size.take(length)
    reader.offset = size.offset
    return Reader(reader.data, begin, size.offset, section=section.title)


def _vector(what: str, read: Callable[[Reader], T]) -> Callable[[Reader], tuple[T, ...]]:
    """Return a function that reads a vector of what `read` reads."""

    def read_all(reader: Reader) -> tuple[T, ...]:
        return tuple(read(reader) for _ in range(reader.count(what)))

    return read_all


def _value_type(reader: Reader) -> int:
    begin = reader.offset
    code = reader.u8()
    if code not in VALUE_TYPES:
        reader.fail(f"unknown value type {code:#04x}", begin)
    return code


def _reference_type(reader: Reader) -> int:
    begin = reader.offset
    code = reader.u8()
    if code not in (FUNCREF, EXTERNREF):
        reader.fail(f"unknown reference type {code:#04x}", begin)
    return code


def _function_type(reader: Reader) -> FunctionType:
    begin = reader.offset
    if reader.u8() != 0x60:
        reader.fail("not a function type", begin)
    params, results = (bytes(_value_type(reader) for _ in range(reader.count("types"))) for _ in range(2))
    return FunctionType(params, results)


def _limits(reader: Reader) -> Limits:
    begin = reader.offset
    flags = reader.u8()
    if flags > 1:
        reader.fail(f"limits of form {flags:#x} (shared or 64 bits wide) are not supported", begin)
    return Limits(reader.u32(), reader.u32() if flags else None)


def _table_type(reader: Reader) -> TableType:
    return TableType(_reference_type(reader), _limits(reader))


def _global_type(reader: Reader) -> GlobalType:
    value = _value_type(reader)
    begin = reader.offset
    mutable = reader.u8()
    if mutable > 1:
        reader.fail(f"mutability {mutable:#x} is neither 0 nor 1", begin)
    return GlobalType(value, bool(mutable))


def _kind(reader: Reader) -> Kind:
    begin = reader.offset
    number = reader.u8()
    if number > max(Kind):
        reader.fail(f"unknown kind {number:#x} of import or export", begin)
    return Kind(number)


_DESCRIPTIONS: dict[Kind, Callable[[Reader], int | TableType | Limits | GlobalType]] = {
    Kind.FUNCTION: Reader.u32,
    Kind.TABLE: _table_type,
    Kind.MEMORY: _limits,
    Kind.GLOBAL: _global_type,
}


def _import(reader: Reader) -> Import:
    module, name = reader.name(), reader.name()
    kind = _kind(reader)
    return Import(module, name, kind, _DESCRIPTIONS[kind](reader))


def _export(reader: Reader) -> Export:
    return Export(reader.name(), _kind(reader), reader.u32())


def _global(reader: Reader) -> Global:
    return Global(_global_type(reader), read_expression(reader))


def _element(reader: Reader) -> Element:
    begin = reader.offset
    flags = reader.u32()
    if flags > 7:
        reader.fail(f"unknown form {flags} of element segment", begin)
    table = reader.u32() if flags & 3 == 2 else 0
    position = b"" if flags & 1 else read_expression(reader)
    reference = FUNCREF
    if flags & 3:
        if flags & 4:
            reference = _reference_type(reader)
        elif reader.u8() != 0:
            reader.fail("unknown kind of element", reader.offset - 1)
    if flags & 4:
        return Element(flags, table, position, reference, (), _vector("expressions", read_expression)(reader))
    return Element(flags, table, position, reference, _vector("functions", Reader.u32)(reader))


def _data(reader: Reader) -> Data:
    begin = reader.offset
    flags = reader.u32()
    if flags > 2:
        reader.fail(f"unknown form {flags} of data segment", begin)
    memory = reader.u32() if flags == 2 else 0
    position = b"" if flags == 1 else read_expression(reader)
    return Data(flags, memory, position, reader.take(reader.u32()))


def _body(reader: Reader) -> Body:
    size = reader.u32()
    begin = reader.offset
    reader.take(size)
    part = Reader(reader.data, begin, reader.offset, section=reader.section)
    runs: list[tuple[int, int]] = []
    total = 0
    for _ in range(part.count("runs of locals")):
        at = part.offset
        count = part.u32()
        total += count
        if total > MAX_LOCALS:
            part.fail(f"{total} locals, more than {MAX_LOCALS}", at)
        runs.append((count, _value_type(part)))
    offset = part.offset
    code = part.take(part.end - offset)
    if code[-1:] != b"\x0b":
        part.fail("function does not finish with `end`", max(begin, part.end - 1))
    return Body(tuple(runs), code, offset)


_SECTIONS: dict[Section, tuple[str, Callable[[Reader], object]]] = {
    Section.TYPE: ("types", _vector("types", _function_type)),
    Section.IMPORT: ("imports", _vector("imports", _import)),
    Section.FUNCTION: ("functions", _vector("functions", Reader.u32)),
    Section.TABLE: ("tables", _vector("tables", _table_type)),
    Section.MEMORY: ("memories", _vector("memories", _limits)),
    Section.GLOBAL: ("globals", _vector("globals", _global)),
    Section.EXPORT: ("exports", _vector("exports", _export)),
    Section.START: ("start", Reader.u32),
    Section.ELEMENT: ("elements", _vector("element segments", _element)),
    Section.DATA_COUNT: ("data_count", Reader.u32),
    Section.CODE: ("bodies", _vector("functions", _body)),
    Section.DATA: ("datas", _vector("data segments", _data)),
}
"""For each section the field of `Module` and what reads it."""
