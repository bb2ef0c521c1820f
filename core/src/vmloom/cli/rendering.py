"""Results and disassemblies as tables for people."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..result import ExecutionResult, ExecutionState
from ..vm import Instruction

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_COLOURS = {ExecutionState.SUCCESS: "green", ExecutionState.REVERTED: "yellow", ExecutionState.FAILED: "red"}


def print_result(console: Console, result: ExecutionResult, gas_limit: int) -> None:
    """Status, gas and output, then events and state changes if there are any."""
    from rich.table import Table
    from rich.text import Text

    summary = Table(title="result", title_justify="left", box=None, show_header=False, pad_edge=False)
    summary.add_row("status", Text(result.state.value, _COLOURS.get(result.state, "")))
    if result.error:
        summary.add_row("error", Text(result.error))
    summary.add_row("gas used", f"{result.gas_used:,} of {gas_limit:,}")
    if result.gas_refunded:
        summary.add_row("gas refunded", f"{result.gas_refunded:,}")
    summary.add_row("output", Text(_hex(result.return_data), overflow="fold"))
    for key, value in result.metadata.items():
        parts = {f"{key} {name}": part for name, part in value.items()} if isinstance(value, dict) else {key: value}
        for name, part in parts.items():
            shown = ", ".join(map(str, part)) if isinstance(part, list | tuple) else str(part)
            summary.add_row(Text(name), Text(shown, overflow="fold"))
    console.print(summary)
    if result.events:
        console.print(_events(result))
    if result.state_changes:
        console.print(_changes(result))


def disassembly_table(instructions: Iterable[Instruction]) -> Table:
    """One row for each instruction."""
    from rich.text import Text

    table = _table("", ("offset", "instruction", "operand", "remark"))
    for one in instructions:
        cells = (f"{one.offset:#06x}", one.name, one.operand, one.remark)
        table.add_row(*(Text(cell, overflow="fold") for cell in cells))
    return table


def table_of(columns: Sequence[str], rows: Iterable[Sequence[str]], *, left: Container[str]) -> Table:
    """A table of texts; columns that are not `left` are numbers, which stand at the right."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="left" if column in left else "right")
    for row in rows:
        table.add_row(*(Text(cell, overflow="fold") for cell in row))
    return table


def _events(result: ExecutionResult) -> Table:
    from rich.text import Text

    table = _table("events", ("address", "topics", "data"))
    for event in result.events:
        topics = "\n".join(f"{topic:#066x}" for topic in event.topics)
        cells = ("0x" + event.address.hex(), topics, _hex(event.data))
        table.add_row(*(Text(cell, overflow="fold") for cell in cells))
    return table


def _changes(result: ExecutionResult) -> Table:
    from rich.text import Text

    table = _table("state changes", ("address", "field", "key", "before", "after"))
    for change in result.state_changes:
        plain = change.to_dict()
        cells = (plain["address"], plain["field"], plain["key"], plain["old"], plain["new"])
        table.add_row(*(Text(_cell(cell), overflow="fold") for cell in cells))
    return table


def _table(title: str, columns: Iterable[str]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column)
    return table


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def _cell(value: Any) -> str:
    return "" if value is None else str(value)
