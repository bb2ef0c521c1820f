"""`vmloom demo`: one token on every machine that is installed, side by side."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from ..demo import LOOM, PEOPLE, REFUSED, STEPS, Chapter, DemoToken, Finale, Story, tell
from ..errors import InputError, PluginError, UnknownVm
from ..hookspecs import VmSpec
from ..result import ExecutionResult
from .app import EXIT_FAILED, EXIT_OK, App, pass_app

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

_WIDEST = 120
"""Columns of source code."""


@click.command()
@click.argument("machines", nargs=-1, metavar="[VM]...")
@click.option("--source", "with_source", is_flag=True, help="Show how each contract moves an amount.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_app
def demo(app: App, machines: tuple[str, ...], with_source: bool, as_json: bool) -> int:
    """Run one token on each VM that is installed, or on those named, and then one transaction through all of them.

    A token is created, minted, sent, refused and taken by the same six steps everywhere. Needs no network, no account
    and no file. Exits with 1 if a step does not end as it should.
    """
    story = tell(app.factory, _tokens(app, machines))
    if as_json:
        click.echo(json.dumps(_as_data(story), indent=2))
    else:
        from rich.console import Console

        _show(Console(highlight=False), story, with_source)
    return EXIT_OK if story.is_as_told else EXIT_FAILED


def _tokens(app: App, wanted: tuple[str, ...]) -> dict[str, DemoToken]:
    """The tokens of the machines that are `wanted`, or of all that have one, by name."""
    offers = {offer.spec.name: offer for offer in app.plugins.offers("vm")}
    able = {name for name, offer in offers.items() if isinstance(offer.spec, VmSpec) and offer.spec.demo}
    for name in wanted:
        if name not in able:
            app.plugins.find("vm", name)
            raise InputError(f"VM '{name}' has nothing to show").with_fix(f"one of {', '.join(sorted(able))}")
    chosen = sorted(set(wanted) or able)
    if not chosen:
        raise UnknownVm("no VM that is installed has something to show").with_fix("pip install vmloom-evm")
    found = {}
    for name in chosen:
        try:
            app.factory.get_vm(name)  # a machine that cannot be made must not take the others with it
            token = app.plugins.load_demo(offers[name])
        except PluginError as error:
            if wanted:
                raise
            click.echo(f"warning: {error}", err=True)
            continue
        if not isinstance(token, DemoToken):
            raise PluginError(f"VM '{name}': what its plugin shows is no DemoToken")
        found[name] = token
    return found


# For programs


def _as_data(story: Story) -> dict[str, Any]:
    """The story as a JSON-ready value. Amounts are in units of the token; times are left out."""
    finale = story.finale
    return {
        "machines": {chapter.vm: _chapter_data(chapter) for chapter in story.chapters},
        "one_transaction": None
        if finale is None
        else [
            {"wants": wants, "carol": dict(balances), **result.to_dict()}
            for wants, result, balances in zip(finale.wants, finale.results, finale.balances, strict=True)
        ],
    }


def _chapter_data(chapter: Chapter) -> dict[str, Any]:
    return {
        "written_in": chapter.token.written_in,
        "address": "0x" + chapter.address.hex(),
        "code_size": chapter.size,
        "steps": [
            {"who": step.who, "wants": step.wants, **result.to_dict()}
            for step, result in zip(STEPS, chapter.results, strict=True)
        ],
        "refusal": chapter.refusal,
        "balances": dict(chapter.balances),
    }


# For people


def _show(console: Console, story: Story, with_source: bool) -> None:
    from rich.text import Text

    names = [chapter.vm for chapter in story.chapters]
    console.print()
    console.print(Text.assemble(("One token, the same six steps", "bold"), f" on {_joined(names)}"))
    _section(console, "Contracts", _contracts(story))
    _section(console, "Steps, with the gas that they took", _steps(story))
    console.print(Text.assemble((f"{REFUSED + 1} reverted: {_refusals(story)}", "yellow"), ". Nothing changed."))
    _section(console, "In the end", _balances(story))
    if story.finale is not None:
        title = f"One transaction through {'both' if len(names) == 2 else f'all {len(names)}'}, and what carol has then"
        _section(console, title, _finale(story, story.finale))
        console.print(Text("The second was refused by its last contract, which took back what the others did.", "dim"))
    if with_source:
        for chapter in story.chapters:
            _section(console, f"{chapter.vm}: {chapter.token.written_in}", _source(console, chapter))
    hint = "" if with_source else "--source shows how each moves an amount; "
    console.print(Text(f"\n{hint}--json prints everything, with events and state changes", "dim"))


def _section(console: Console, title: str, content: RenderableType) -> None:
    from rich.text import Text

    console.print()
    console.print(Text(title, "bold"))
    console.print(content)


def _contracts(story: Story) -> Table:
    table = _table("machine", "written in", ">code", ">time")
    for chapter in story.chapters:
        table.add_row(
            chapter.vm, chapter.token.written_in, f"{chapter.size:,} bytes", f"{chapter.seconds * 1e3:,.0f} ms"
        )
    return table


def _steps(story: Story) -> Table:
    table = _table("#", "who", "wants to", *(f">{chapter.vm}" for chapter in story.chapters))
    for index, step in enumerate(STEPS):
        cells = (_gas(chapter.results[index]) for chapter in story.chapters)
        table.add_row(str(index + 1), step.who, step.wants, *cells)
    return table


def _gas(result: ExecutionResult) -> Text:
    """Gas in the colour of the result."""
    from rich.text import Text

    text = f"{result.gas_used:,}"
    return Text(text, "green") if result.success else Text(f"{result.state.value} {text}", "yellow")


def _refusals(story: Story) -> str:
    """What the contracts said to the step that none of them let through; once if they agree."""
    words: dict[str, list[str]] = {}
    for chapter in story.chapters:
        words.setdefault(chapter.refusal, []).append(chapter.vm)
    return "; ".join(f"{reason} ({_joined(vms)})" if len(words) > 1 else reason for reason, vms in words.items())


def _balances(story: Story) -> Table:
    table = _table("who", *(f">{chapter.vm}" for chapter in story.chapters))
    for person in PEOPLE:
        table.add_row(person, *(_loom(chapter.balances[person]) for chapter in story.chapters))
    return table


def _finale(story: Story, finale: Finale) -> Table:
    columns = (f">{chapter.vm}" for chapter in story.chapters)
    table = _table(f"a contract of {finale.vm} sends carol", ">gas", *columns)
    for wants, result, balances in zip(finale.wants, finale.results, finale.balances, strict=True):
        table.add_row(wants, _gas(result), *(_loom(balances[chapter.vm]) for chapter in story.chapters))
    return table


def _source(console: Console, chapter: Chapter) -> RenderableType:
    from rich.syntax import Syntax

    return Syntax(
        chapter.token.source.strip("\n"),
        chapter.token.lexer,
        theme="ansi_dark",
        background_color="default",
        code_width=min(console.width, _WIDEST),
        word_wrap=True,
    )


def _table(*columns: str) -> Table:
    """A table; columns whose name begins with `>` are aligned to the right."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in columns:
        right = column.startswith(">")
        table.add_column(column.removeprefix(">"), justify="right" if right else "left", overflow="fold")
    return table


def _joined(names: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _loom(units: int) -> str:
    return f"{units // LOOM:,} LOOM"
