"""Writes modules: the inverse of `module.decode`. Core specification 2.0, chapter 5.

Used by instrumentation. Integers take as few bytes as they can, so a module that was read and written again may be
shorter than it was; it means the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from .module import (
    MAGIC,
    ORDER,
    VERSION,
    Body,
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

T = TypeVar("T")


def unsigned(value: int) -> bytes:
    """Return `value`, not negative, as LEB128. Section 5.2.2."""
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def signed(value: int) -> bytes:
    """Return `value` as signed LEB128."""
    out = bytearray()
    while not -64 <= value < 64:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value & 0x7F)
    return bytes(out)


def name(text: str) -> bytes:
    """Return a name: its length and its UTF-8."""
    return sized(text.encode())


def sized(content: bytes) -> bytes:
    """Return `content` after its length in bytes."""
    return unsigned(len(content)) + content


def vector(items: Iterable[bytes]) -> bytes:
    """Return encoded items after their number."""
    parts = list(items)
    return unsigned(len(parts)) + b"".join(parts)


def encode(module: Module) -> bytes:
    """Return `module` in the binary format. Custom sections come where `Custom.after` has them."""
    parts = [MAGIC, VERSION, *_customs(module, None)]
    for section in ORDER:
        content = _CONTENTS[section](module)
        if content is not None:
            parts += [bytes((section,)), sized(content)]
        parts += _customs(module, section)
    return b"".join(parts)


def body(content: Body) -> bytes:
    """Return a function's body, with its length before it."""
    runs = vector(unsigned(count) + bytes((kind,)) for count, kind in content.locals)
    return sized(runs + content.code)


def _customs(module: Module, after: Section | None) -> Iterator[bytes]:
    for custom in module.customs:
        if custom.after is after:
            yield b"\0" + sized(name(custom.name) + custom.data)


def _function_type(kind: FunctionType) -> bytes:
    return b"\x60" + sized(kind.params) + sized(kind.results)


def _limits(limits: Limits) -> bytes:
    if limits.maximum is None:
        return b"\0" + unsigned(limits.minimum)
    return b"\1" + unsigned(limits.minimum) + unsigned(limits.maximum)


def _table_type(kind: TableType) -> bytes:
    return bytes((kind.element,)) + _limits(kind.limits)


def _global_type(kind: GlobalType) -> bytes:
    return bytes((kind.value, kind.mutable))


def _import(entry: Import) -> bytes:
    match entry.description:
        case int(index):
            description = unsigned(index)
        case TableType() as table:
            description = _table_type(table)
        case Limits() as memory:
            description = _limits(memory)
        case GlobalType() as kind:
            description = _global_type(kind)
    return name(entry.module) + name(entry.name) + bytes((Kind(entry.kind),)) + description


def _export(entry: Export) -> bytes:
    return name(entry.name) + bytes((Kind(entry.kind),)) + unsigned(entry.index)


def _global(entry: Global) -> bytes:
    return _global_type(entry.type) + entry.initial


def _element(segment: Element) -> bytes:
    out = unsigned(segment.flags)
    if segment.flags & 3 == 2:
        out += unsigned(segment.table)
    out += segment.position
    if segment.flags & 3:
        out += bytes((segment.reference,)) if segment.flags & 4 else b"\0"
    return out + (vector(segment.expressions) if segment.flags & 4 else vector(map(unsigned, segment.functions)))


def _data(segment: Data) -> bytes:
    memory = unsigned(segment.memory) if segment.flags == 2 else b""
    return unsigned(segment.flags) + memory + segment.position + sized(segment.content)


def _optional(items: Iterable[T], write: Callable[[T], bytes]) -> bytes | None:
    """Return a vector, or None if it is empty: then the section is left out."""
    parts = [write(item) for item in items]
    return vector(parts) if parts else None


def _number(value: int | None) -> bytes | None:
    return None if value is None else unsigned(value)


_CONTENTS: dict[Section, Callable[[Module], bytes | None]] = {
    Section.TYPE: lambda module: _optional(module.types, _function_type),
    Section.IMPORT: lambda module: _optional(module.imports, _import),
    Section.FUNCTION: lambda module: _optional(module.functions, unsigned),
    Section.TABLE: lambda module: _optional(module.tables, _table_type),
    Section.MEMORY: lambda module: _optional(module.memories, _limits),
    Section.GLOBAL: lambda module: _optional(module.globals, _global),
    Section.EXPORT: lambda module: _optional(module.exports, _export),
    Section.START: lambda module: _number(module.start),
    Section.ELEMENT: lambda module: _optional(module.elements, _element),
    Section.DATA_COUNT: lambda module: _number(module.data_count),
    Section.CODE: lambda module: _optional(module.bodies, body),
    Section.DATA: lambda module: _optional(module.datas, _data),
}
