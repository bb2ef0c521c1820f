"""The story as tables for people. Each fits in 80 columns; a wider terminal sees more of the stack."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text
from vmloom import ExecutionState

from .story import LOOM, Step, Story, describe, ether, loom

COLOURS = {ExecutionState.SUCCESS: "green", ExecutionState.REVERTED: "yellow", ExecutionState.FAILED: "red"}
EXCERPT = 10
"""Instructions shown of a trace."""
NARROW = 100
"""Columns below which only two stack items are shown."""


def show(console: Console, story: Story) -> None:
    """Print everything."""
    console.print()
    console.print(Text.assemble(("An ERC-20 token on the EVM", "bold"), f", {story.revision} rules, {story.compiler}"))
    console.print(Text("Six transactions, signed, encoded, decoded, checked and run in this process.", "dim"))
    _print(console, "Transactions", _transactions(story))
    for step in story.steps:
        if not step.result.success:
            console.print(_refusal(step))
    _print(console, "Events", _events(story))
    _print(console, "State changes of the token", _changes(story))
    traced = next((step for step in story.steps if step.call.startswith("transfer(") and step.trace), None)
    if traced is not None:
        title = f"Trace of transaction {traced.number} up to its first write"
        _print(console, title, _excerpt(story, traced, 2 if console.width < NARROW else 4))
        console.print(
            Text(f"{len(traced.trace)} instructions in all; `vmloom run --trace` writes EIP-3155 lines", "dim")
        )
    _print(console, "In the end", _balances(story))
    gas = sum(step.result.gas_used for step in story.steps)
    tracing = " and tracing" if traced is not None else ""
    console.print(
        Text(f"\n{gas:,} gas in {story.seconds * 1e3:,.0f} ms, with signing{tracing}; --json prints everything", "dim")
    )


def _print(console: Console, title: str, table: Table) -> None:
    console.print()
    console.print(Text(title, "bold"))
    console.print(table)


def _transactions(story: Story) -> Table:
    table = _table("#", "who", "wants to", "result", ">gas used", ">fee")
    for step in story.steps:
        result = step.result
        status = Text(result.state.value, COLOURS.get(result.state, ""))
        fee = ether(result.gas_used * result.gas_price)
        table.add_row(str(step.number), step.sender, step.title, status, f"{result.gas_used:,}", fee)
    return table


def _refusal(step: Step) -> Text:
    reason = step.reason or step.result.error
    return Text.assemble(
        (f"{step.number} reverted: {reason}", "yellow"), f". Nothing changed, but {step.sender} paid the gas."
    )


def _events(story: Story) -> Table:
    table = _table("#", "event", "values")
    for step in story.steps:
        for event in step.events:
            values = (
                f"{name} {story.names.get(value, '0x' + value.hex()) if isinstance(value, bytes) else loom(value)}"
                for name, value in event.values.items()
            )
            table.add_row(str(step.number), event.name, Text(", ".join(values)))
    return table


def _changes(story: Story) -> Table:
    table = _table("#", "what", ">before", ">after")
    for step in story.steps:
        for change in step.result.state_changes:
            if change.address == story.token and change.field in ("storage", "code"):
                _, what, before, after = describe(story, change)
                table.add_row(str(step.number), Text(what), before, after)
    return table


def _excerpt(story: Story, step: Step, items: int) -> Table:
    table = _table(">pc", "instruction", ">gas left", ">cost", "stack, top first")
    for line in _up_to(step.trace, "SSTORE"):
        stack = [_word(story, word) for word in reversed(line["stack"])]
        more = f"  +{len(stack) - items}" if len(stack) > items else ""
        cells = (str(line["pc"]), line["opName"], f"{int(line['gas'], 16):,}", f"{int(line['gasCost'], 16):,}")
        style = "bold" if line["opName"] == "SSTORE" else ""
        table.add_row(*(Text(cell, style) for cell in (*cells, "  ".join(stack[:items]) + more)))
    return table


def _up_to(trace: tuple[dict[str, Any], ...], name: str) -> Iterable[dict[str, Any]]:
    """The last lines before the first instruction called `name`, and that one."""
    at = next((index for index, line in enumerate(trace) if line["opName"] == name), len(trace) - 1)
    return trace[max(0, at + 1 - EXCERPT) : at + 1]


def _word(story: Story, word: str) -> str:
    """A stack item by what it means here, or as hex, whose middle is left out if it is long."""
    number = int(word, 16)
    meant = story.slots.get(number) or story.names.get(
        (number % (1 << 160)).to_bytes(20, "big") if number >> 64 else b""
    )
    if meant:
        return meant
    if number and number % LOOM == 0 and number < 1_000_000 * LOOM:
        return loom(number)
    return word if len(word) <= 10 else f"{word[:6]}..{word[-4:]}"


def _balances(story: Story) -> Table:
    table = _table("who", ">token", ">ether")
    for person, (units, wei) in story.balances.items():
        table.add_row(person, loom(units), ether(wei))
    return table


def _table(*columns: str) -> Table:
    """A table; columns whose name begins with `>` are aligned to the right."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in columns:
        right = column.startswith(">")
        table.add_column(column.removeprefix(">"), justify="right" if right else "left", overflow="fold")
    return table
