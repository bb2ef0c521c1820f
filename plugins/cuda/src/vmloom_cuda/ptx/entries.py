"""Entry points around row bodies: a thread for each row on a GPU, a loop over rows on the host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

BLOCK: Final = 128
"""Threads of a block: what kernels are compiled for at most."""
_ROW: Final = """\
  %tid.32 = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
  %size.32 = call i32 @llvm.nvvm.read.ptx.sreg.ntid.x()
  %block.32 = call i32 @llvm.nvvm.read.ptx.sreg.ctaid.x()
  %tid = zext i32 %tid.32 to i64
  %size = zext i32 %size.32 to i64
  %block = zext i32 %block.32 to i64
  %first = mul nuw nsw i64 %block, %size
  %row = add nuw nsw i64 %first, %tid
  %within = icmp ult i64 %row, %count
  br i1 %within, label %run, label %done
"""
_REGISTERS: Final = """\
declare i32 @llvm.nvvm.read.ptx.sreg.tid.x()
declare i32 @llvm.nvvm.read.ptx.sreg.ntid.x()
declare i32 @llvm.nvvm.read.ptx.sreg.ctaid.x()
"""


@dataclass(frozen=True, slots=True)
class Row:
    """A row body by its symbol in the IR: `void (i64 row, i64 count, parameters...)`.

    `parameters` are LLVM's types of what follows row and count: `ptr`, or integers of at most 64 bits.
    """

    symbol: str
    parameters: tuple[str, ...]


def device_entries(rows: dict[str, Row]) -> str:
    """For each body a kernel `name(count, parameters...)`, for at most `BLOCK` threads in a block."""
    return _REGISTERS + "\n".join(_device_entry(name, row) for name, row in rows.items())


def _device_entry(name: str, row: Row) -> str:
    attributes = f'nounwind "nvvm.maxntid"="{BLOCK}"'
    return (
        f"define ptx_kernel void @{name}({_parameters('i64 %count', row)}) {attributes} {{\n{_ROW}"
        f"run:\n  call void @{row.symbol}(i64 %row, i64 %count{_given(row)})\n  br label %done\n"
        "done:\n  ret void\n}\n"
    )


def host_entries(rows: dict[str, Row]) -> str:
    """For each body a C function `name(first, end, count, parameters...)`, which runs rows `first` to `end`."""
    return "\n".join(_host_entry(name, row) for name, row in rows.items())


def _host_entry(name: str, row: Row) -> str:
    head = _parameters("i64 %first, i64 %end, i64 %count", row)
    return (
        f"define void @{name}({head}) nounwind {{\nstart:\n  br label %test\n"
        "test:\n  %row = phi i64 [%first, %start], [%next, %run]\n"
        "  %within = icmp ult i64 %row, %end\n  br i1 %within, label %run, label %done\n"
        f"run:\n  call void @{row.symbol}(i64 %row, i64 %count{_given(row)})\n"
        "  %next = add nuw i64 %row, 1\n  br label %test\n"
        "done:\n  ret void\n}\n"
    )


def _parameters(first: str, row: Row) -> str:
    return ", ".join((first, *(f"{_c_type(kind)} %a{index}" for index, kind in enumerate(row.parameters))))


def _c_type(kind: str) -> str:
    return kind if kind in ("ptr", "i64") else f"{kind} zeroext"


def _given(row: Row) -> str:
    return "".join(f", {kind} %a{index}" for index, kind in enumerate(row.parameters))
