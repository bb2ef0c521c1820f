"""Gives a module of the test suite what it imports, as far as the engine can.

The engine links functions only. The memory, table and globals of the suite's host module `spectest`, and immutable
globals of other modules, become the importing module's own: as long as no two modules share them, that is the same.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from ..binary.code import instructions
from ..binary.module import F32, F64, FUNCREF, I32, I64, Global, GlobalType, Import, Kind, Limits, Module, TableType
from ..binary.writer import signed

PRINTING: Final = {
    "print": ":",
    "print_i32": "i:",
    "print_i64": "I:",
    "print_f32": "f:",
    "print_f64": "F:",
    "print_i32_f32": "if:",
    "print_f64_f64": "FF:",
}
"""Functions of `spectest` and their types. They do nothing here."""

_MEMORY: Final = Limits(1, 2)
_TABLE: Final = TableType(FUNCREF, Limits(10, 20))
_GLOBALS: Final = {
    "global_i32": (I32, 666),
    "global_i64": (I64, 666),
    "global_f32": (F32, struct.unpack("<I", struct.pack("<f", 666.6))[0]),
    "global_f64": (F64, struct.unpack("<Q", struct.pack("<d", 666.6))[0]),
}
_GLOBAL_GET: Final = 0x23

ConstantOf = Callable[[str, str], tuple[int, int] | None]
"""The value type and bits of an immutable global that a module offers, by the names of both; None if there is none."""


class LeftOut(Exception):
    """What cannot be run, and why."""


def with_own_imports(module: Module, constant_of: ConstantOf) -> Module:
    """Return `module` with functions as its only imports. Raises `LeftOut` if it shares more than that."""
    imported = {kind: module.imported(kind) for kind in Kind}
    if len(imported[Kind.FUNCTION]) == len(module.imports):
        return module
    constants = [_constant(entry, constant_of) for entry in imported[Kind.GLOBAL]]
    globals_ = (Global(GlobalType(type_, False), _instruction(type_, bits)) for type_, bits in constants)

    def inlined(expression: bytes) -> bytes:
        """`global.get` is allowed in constant expressions for imported globals only."""
        chunks = []
        for step in instructions(expression):
            is_constant = step.code == _GLOBAL_GET and step.immediates[0] < len(constants)
            chunks.append(
                _instruction(*constants[step.immediates[0]])[:-1] if is_constant else expression[step.begin : step.end]
            )
        return b"".join(chunks)

    return replace(
        module,
        imports=imported[Kind.FUNCTION],
        memories=(*(_memory(entry) for entry in imported[Kind.MEMORY]), *module.memories),
        tables=(*(_table(entry) for entry in imported[Kind.TABLE]), *module.tables),
        globals=(*globals_, *(replace(own, initial=inlined(own.initial)) for own in module.globals)),
        elements=tuple(
            replace(
                segment,
                position=inlined(segment.position),
                expressions=tuple(inlined(expression) for expression in segment.expressions),
            )
            for segment in module.elements
        ),
        datas=tuple(replace(segment, position=inlined(segment.position)) for segment in module.datas),
    )


def _constant(entry: Import, constant_of: ConstantOf) -> tuple[int, int]:
    found = _GLOBALS.get(entry.name) if entry.module == "spectest" else constant_of(entry.module, entry.name)
    wanted = entry.description
    if found is None or not isinstance(wanted, GlobalType) or wanted.mutable or wanted.value != found[0]:
        raise LeftOut("imports a global that is not a constant")
    return found


def _memory(entry: Import) -> Limits:
    if (entry.module, entry.name) != ("spectest", "memory") or not _fits(_MEMORY, entry.description):
        raise LeftOut("imports a memory of another module")
    return _MEMORY


def _table(entry: Import) -> TableType:
    wanted = entry.description
    if (entry.module, entry.name) != ("spectest", "table") or not isinstance(wanted, TableType):
        raise LeftOut("imports a table of another module")
    if wanted.element != FUNCREF or not _fits(_TABLE.limits, wanted.limits):
        raise LeftOut("imports a table of another module")
    return _TABLE


def _fits(offered: Limits, wanted: object) -> bool:
    """Whether limits match. Core specification 2.0, section 4.5.3.2."""
    if not isinstance(wanted, Limits) or offered.minimum < wanted.minimum:
        return False
    return wanted.maximum is None or (offered.maximum is not None and offered.maximum <= wanted.maximum)


def _instruction(type_: int, bits: int) -> bytes:
    """A constant as an expression."""
    if type_ in (F32, F64):
        code = b"\x43" + struct.pack("<I", bits) if type_ == F32 else b"\x44" + struct.pack("<Q", bits)
    else:
        width = 32 if type_ == I32 else 64
        code = (b"\x41" if type_ == I32 else b"\x42") + signed(bits - (1 << width) if bits >> width - 1 else bits)
    return code + b"\x0b"


def kinds_linked(imports: Iterable[Import]) -> bool:
    """Whether only functions are imported, of which the engine checks the types."""
    return all(entry.kind is Kind.FUNCTION for entry in imports)
