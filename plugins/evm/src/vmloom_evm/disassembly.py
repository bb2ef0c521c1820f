"""Bytes of code as instructions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from vmloom import Instruction

from .reference.analysis import jump_destinations
from .table import OpRow


def disassemble(code: bytes, rows: Mapping[int, OpRow]) -> Iterator[Instruction]:
    """The instructions of `code`, named by `rows`; push data that the code's end cuts off are marked."""
    destinations = jump_destinations(code)
    offset = 0
    while offset < len(code):
        row = rows.get(code[offset])
        if row is None:
            yield Instruction(offset, "INVALID", f"0x{code[offset]:02x}")
            offset += 1
            continue
        data = code[offset + 1 : offset + 1 + row.immediate]
        remark = "jump destination" if offset in destinations else ""
        if len(data) < row.immediate:
            remark = f"{row.immediate - len(data)} bytes beyond the end of the code, read as zeros"
        yield Instruction(offset, row.name, f"0x{data.hex()}" if row.immediate else "", remark)
        offset += 1 + row.immediate
