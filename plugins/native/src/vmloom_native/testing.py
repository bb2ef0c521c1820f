"""For tests of kernels: call them compiled as one calls them in CPython, with integers of any width.

```python
kernels = Compiled(keccak256)
kernels(keccak256, data, 3)
```
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from vmloom.kernel import Halt, address_of

from .codegen import emit_object
from .kinds import BOOL, NOTHING, Integer, Kind, Pointer, Reference, View
from .library import Library
from .program import FunctionRef, Program

CELL = 64
"""Bytes that an argument has: as many as the widest integer."""


class Compiled:
    """Kernel functions, compiled together; `options` are those of `Program`. Not for two threads at once.

    Raises `KernelError` if one of them leaves the kernel language.
    """

    def __init__(self, *functions: Callable[..., Any], level: int = 1, **options: Any) -> None:
        self.program = Program(**options)
        self._refs = {function: self.program.function(function) for function in functions}
        for number, ref in enumerate(self._refs.values()):
            self.program.define(entry_of(f"entry{number}", ref))
        self.ir = self.program.ir()
        self.library = Library(emit_object(self.ir, level=level))
        self._entries = {
            function: self.library.function(f"entry{number}", ctypes.c_uint64, ctypes.c_void_p)
            for number, function in enumerate(self._refs)
        }

    def __call__(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What the function returns. Raises `Halt` if it does; `ValueError` for another number of arguments."""
        ref, kept = self._refs[function], []
        cells = (ctypes.c_char * (CELL * max(1, len(arguments))))()
        for number, (value, kind) in enumerate(zip(arguments, ref.parameters, strict=True)):
            if isinstance(value, bytes):
                kept.append(buffer := ctypes.create_string_buffer(value, max(len(value), 1)))
                data = ctypes.addressof(buffer).to_bytes(8, "little") + len(value).to_bytes(8, "little")
            else:
                number_ = value if isinstance(value, int) else address_of(value)
                data = (number_ & (1 << 8 * CELL) - 1).to_bytes(CELL, "little")
                assert not isinstance(kind, Integer) or kind.low <= number_ <= kind.high, (function, number_)
            ctypes.memmove(ctypes.addressof(cells) + CELL * number, data, len(data))
        status = self._entries[function](ctypes.addressof(cells))
        if status:
            raise Halt(status)
        return _result(cells.raw, ref.result)


def _result(cells: bytes, kind: Kind) -> Any:
    match kind:
        case Integer(bits=bits, signed=signed):
            value = int.from_bytes(cells[: max(bits // 8, 1)], "little", signed=signed)
            return value != 0 if kind == BOOL else value
        case View():
            return ctypes.string_at(int.from_bytes(cells[:8], "little"), int.from_bytes(cells[8:16], "little"))
        case Pointer() | Reference():
            return int.from_bytes(cells[:8], "little")
    return None


def entry_of(name: str, ref: FunctionRef) -> str:
    """IR of a C function that takes the address of the arguments' cells, and puts the result into the first one."""
    lines = []
    for number, kind in enumerate(ref.parameters):
        memory = "i8" if kind == BOOL else kind.llvm
        lines.append(f"  %place{number} = getelementptr i8, ptr %cells, i64 {CELL * number}")
        lines.append(f"  %cell{number} = load {memory}, ptr %place{number}, align 1")
        convert = f"trunc i8 %cell{number} to i1" if kind == BOOL else f"freeze {kind.llvm} %cell{number}"
        lines.append(f"  %a{number} = {convert}")
    given = ", ".join(f"{kind.llvm} %a{number}" for number, kind in enumerate(ref.parameters))
    value, status = "", "0"
    if not ref.may_halt:
        value = "%called"
    elif ref.result == NOTHING:
        status = "%called"
    else:
        value, status = "%value", "%status"
    returned = ref.result.llvm
    type_ = returned if not ref.may_halt else "i64" if ref.result == NOTHING else f"{{i64, {returned}}}"
    target = "" if type_ == "void" else "%called = "
    lines.append(f"  {target}call {type_} @{ref.symbol}({given})")
    if value == "%value":
        lines.append(f"  %status = extractvalue {type_} %called, 0")
        lines.append(f"  %value = extractvalue {type_} %called, 1")
    if ref.result == BOOL:
        lines.append(f"  %byte = zext i1 {value} to i8")
        lines.append("  store i8 %byte, ptr %cells, align 1")
    elif ref.result != NOTHING:
        lines.append(f"  store {returned} {value}, ptr %cells, align 1")
    lines.append(f"  ret i64 {status}")
    return "\n".join((f"define i64 @{name}(ptr %cells) nounwind {{", *lines, "}\n"))
