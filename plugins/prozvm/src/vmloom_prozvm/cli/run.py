"""`vmloom proz run`: a program run once, as it is written, on state from a file or none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click
from vmloom.cli.app import EXIT_FAILED, EXIT_OK, App, pass_app
from vmloom.cli.parameters import GAS
from vmloom.errors import InputError
from vmloom.json_text import read_json

from ..literals import from_json, literal, path_text, state_from_json, state_to_json, to_json
from ..values import Value
from .execution import TIERS, Order, Outcome, run_source
from .failures import as_data, message_of, shown
from .sources import explaining_errors, read_bytes, read_source, shown_name, stderr, write_file

if TYPE_CHECKING:
    from rich.table import Table


@click.command()
@click.argument("file")
@click.option(
    "--tier", type=click.Choice(TIERS), default="auto", show_default=True,
    help="0 evaluates the tree, 1 interprets bytecode, 2 compiles it; the result is the same.",
)  # fmt: skip
@click.option("--gas", type=GAS, default=10_000_000, show_default=True, help="Gas limit.")
@click.option("--optimize", type=click.IntRange(0, 3), help="Level of the optimizer, for tiers 1 and 2.  [default: 0]")
@click.option("--state", "state_file", metavar="FILE", help="State and ledger (JSON) to begin with; it is only read.")
@click.option("--write-state", "out_file", metavar="FILE", help="Write state and ledger after the run to FILE.")
@click.option("--timestamp", type=click.IntRange(min=0), default=0, help="Time of the block, in UNIX seconds.")
@click.option("--profile", "with_profile", is_flag=True, help="Show the gas of each line; runs bytecode.")
@click.option("--stats", "with_stats", is_flag=True, help="Show what the tiers and the optimizer did.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_app
@explaining_errors
def run(
    app: App, /, file: str, tier: str, gas: int, optimize: int | None, state_file: str | None, out_file: str | None,
    timestamp: int, with_profile: bool, with_stats: bool, as_json: bool,
) -> int:  # fmt: skip
    """Run FILE, a source of the contract language (- for stdin), and show what it gives, changes and costs.

    It runs leniently, as on the workbench: the state may be written outside of TX, and there is no call to ask for
    CALLER or VALUE; `print` writes to stdout. Contracts are run by `vmloom run`. Exits with 0 if it succeeds, 1 if it
    fails or reverts, 2 if it cannot be run.
    """
    if optimize is not None and tier not in ("1", "2") and not with_profile:
        raise InputError("--optimize: only bytecode is optimized").with_fix("--tier 1 or --tier 2")
    if with_profile and tier != "auto" and tier != "1":
        raise InputError("--profile: gas by line is taken from bytecode").with_fix("--tier 1")
    order = Order(
        tier=tier,
        gas=gas,
        optimize=optimize or 0,
        timestamp=timestamp,
        with_profile=with_profile,
        functions={"print": lambda *values: _print(values, to_stderr=as_json)},
        **_state(state_file),
    )
    outcome = run_source(read_source(file), shown_name(file), order)
    if out_file is not None:
        after = {**state_to_json(outcome.state), "ledger": [to_json(one) for one in (*order.ledger, *outcome.entries)]}
        write_file(out_file, (json.dumps(after, indent=2) + "\n").encode())
    if outcome.exports:
        click.echo(
            f"note: a contract, of which no action was called; to call it: vmloom proz compile {file}, then vmloom run",
            err=True,
        )
    if as_json:
        click.echo(json.dumps(_as_data(outcome, with_stats), indent=2))
    else:
        _show(app, outcome, gas, with_stats)
    return EXIT_OK if outcome.error is None else EXIT_FAILED


def _print(values: tuple[Value, ...], *, to_stderr: bool) -> None:
    click.echo(" ".join(one if isinstance(one, str) else literal(one) for one in values), err=to_stderr)


def _state(path: str | None) -> dict[str, Any]:
    """State and ledger of a file. Raises `InputError`."""
    if path is None:
        return {}
    try:
        data = read_json(read_bytes(path))
    except ValueError as error:
        raise InputError(f"{shown_name(path)}: not JSON: {error}") from None
    try:
        state = state_from_json(data)
        return {"state": state, "ledger": tuple(from_json(one) for one in data.get("ledger", []))}
    except InputError as error:
        raise InputError(f"{shown_name(path)}: {error}") from None


def _as_data(outcome: Outcome, with_stats: bool) -> dict[str, Any]:
    """The outcome as JSON-ready data."""
    found: dict[str, Any] = {
        "success": outcome.error is None,
        "value": to_json(outcome.value),
        "error": None if outcome.error is None else as_data(outcome.error, outcome.trace),
        "gas_used": outcome.gas_used,
        "state_changes": [
            {"place": path_text(place), "old": to_json(old), "new": to_json(new)} for place, old, new in outcome.changes
        ],
        "ledger": [to_json(entry) for entry in outcome.entries],
    }
    if with_stats:
        found["stats"] = outcome.stats
    if outcome.profile is not None:
        found["profile"] = [
            {"line": line, "gas": gas, "instructions": count} for line, (gas, count) in outcome.profile.items()
        ]
    return found


def _show(app: App, outcome: Outcome, gas: int, with_stats: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    console = app.console
    if outcome.error is not None:
        stderr().print(shown(outcome.error, outcome.trace, outcome.source))
    summary = Table(box=None, show_header=False, pad_edge=False)
    if outcome.error is None:
        summary.add_row("value", Text(literal(outcome.value), "green", overflow="fold"))
    else:
        summary.add_row("failed", Text(message_of(outcome.error), "red", overflow="fold"))
    summary.add_row("gas used", f"{outcome.gas_used:,} of {gas:,}")
    console.print(summary)
    if outcome.changes:
        console.print(_changes(outcome))
    if outcome.entries:
        console.print(_ledger(outcome))
    if outcome.profile is not None:
        from .profiling import profile_table

        console.print(profile_table(outcome.profile, outcome.source))
    if with_stats:
        console.print(_stats(outcome))


def _changes(outcome: Outcome) -> Table:
    from rich.text import Text

    table = _table("state changes", "place", "before", "after")
    for place, old, new in outcome.changes:
        cells = (path_text(place), *("" if value is None else literal(value) for value in (old, new)))
        table.add_row(*(Text(cell, overflow="fold") for cell in cells))
    return table


def _ledger(outcome: Outcome) -> Table:
    from rich.text import Text

    table = _table("ledger", "entry")
    for entry in outcome.entries:
        table.add_row(Text(literal(entry), overflow="fold"))
    return table


def _stats(outcome: Outcome) -> Table:
    table = _table("statistics", "what", "", ">")
    table.add_row("run", "milliseconds", f"{outcome.seconds * 1e3:,.2f}")
    for part, counts in outcome.stats.items():
        for name, count in counts.items():
            shown_count = (
                f"{count:,.2f}" if isinstance(count, float) else f"{count:,}" if type(count) is int else str(count)
            )
            table.add_row(part, name.replace("_", " "), shown_count)
    return table


def _table(title: str, *columns: str) -> Table:
    """A table; columns whose name begins with `>` are aligned to the right."""
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        right = column.startswith(">")
        table.add_column(column.removeprefix(">"), justify="right" if right else "left")
    return table
