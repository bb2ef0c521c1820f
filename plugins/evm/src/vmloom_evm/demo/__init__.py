"""`vmloom evm demo`: a token is created, minted, sent and refused, and everything that happened is shown."""

from __future__ import annotations

import json
from typing import Any

import click
from vmloom import ExecutionState
from vmloom.cli import EXIT_FAILED, EXIT_OK, App, pass_app
from vmloom.errors import InputError, PluginError

from ..forks import FORKS, fork_named
from ..transaction.types import TransactionType
from ..vm import Evm


@click.command()
@click.option("--revision", metavar="FORK", help="Run on this fork, London or later, instead of the configured one.")
@click.option("--no-trace", is_flag=True, help="Do not trace: faster, and without the excerpt.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_app
def demo(app: App, revision: str | None, no_trace: bool, as_json: bool) -> int:
    """Create an ERC-20 token, mint, send, be refused: results, gas, events, state changes and a trace.

    Needs no network, no account and no file. Exits with 1 if a transaction does not end as it should.
    """
    from .story import BLOCK, tell

    values: dict[str, Any] = {} if revision is None else {"revision": fork_named(revision).name, "network": ""}
    factory = app.factory_with("--revision", {"vm": {"evm": values}}) if values else app.factory
    evm = factory.get_vm("evm")
    if not isinstance(evm, Evm):
        raise PluginError(f"the demo runs on the EVM of vmloom-evm, not on {type(evm).__module__}.{type(evm).__name__}")
    fork = evm.fork_at(BLOCK)
    if fork.rules.typed_transactions < TransactionType.FEE_MARKET:
        known = [one.name for one in FORKS.values() if one.rules.typed_transactions >= TransactionType.FEE_MARKET]
        raise InputError(f"the demo needs transactions of type 2, which {fork.name} lacks").with_fix(
            f"--revision with one of {', '.join(known)}"
        )
    story = tell(evm, trace=not no_trace)
    if as_json:
        from .record import to_dict

        click.echo(json.dumps(to_dict(story), indent=2))
    else:
        from rich.console import Console

        from .show import show

        show(Console(highlight=False), story)
    expected = [ExecutionState.REVERTED if step.number == 4 else ExecutionState.SUCCESS for step in story.steps]
    return EXIT_OK if [step.result.state for step in story.steps] == expected else EXIT_FAILED
