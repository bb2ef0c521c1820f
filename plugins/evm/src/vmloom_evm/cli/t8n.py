"""`vmloom evm t8n`: the flags of geth's `evm t8n` and of EELS' `ethereum-spec-evm t8n`."""

from __future__ import annotations

from typing import Any

import click
from vmloom.cli import App, pass_app

from ..block.rewards import NO_REWARD
from ..t8n.failure import TransitionError
from ..t8n.rulesets import DEFAULT_RULESET
from .flags import GethCommand, switch


class _Integer(click.ParamType):  # type: ignore[type-arg] # generic since click 8.4 only
    """A whole number in any of Go's notations: `1`, `-1`, `0x80`."""

    name = "integer"

    def __init__(self, least: int) -> None:
        self.least = least

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number; fails for anything but digits, and for what is too small or has more than 63 bits."""
        if isinstance(value, int):
            return value
        text = str(value)
        try:
            number = int(text[:64], 0)
        except ValueError:
            number = None
        if number is None or len(text) > 64:
            self.fail(f"{text[:20]!r} is no whole number", param, ctx)
        if number.bit_length() >= 64 or number < self.least:
            self.fail(f"{text[:20]} is not in {self.least} .. 2**63 - 1", param, ctx)
        return number


@click.command("t8n", cls=GethCommand, short_help="Run a block of transactions on a state, as geth's `evm t8n` does.")
@click.option("--input.alloc", "alloc", default="alloc.json", show_default=True, help="Pre-state: file or `stdin`.")
@click.option("--input.env", "env", default="env.json", show_default=True, help="Environment: file or `stdin`.")
@click.option(
    "--input.txs",
    "txs",
    default="txs.json",
    show_default=True,
    help="Transactions: a file with a JSON list, or with the RLP of a body as a JSON string; or `stdin`.",
)
@click.option("--output.basedir", "folder", default="", help="Folder of all output files; made if it is not there.")
@click.option(
    "--output.alloc",
    "output_alloc",
    default="alloc.json",
    show_default=True,
    help="Post-state: file, `stdout`, `stderr` or empty.",
)
@click.option(
    "--output.result",
    "output_result",
    default="result.json",
    show_default=True,
    help="Roots and receipts: file, `stdout`, `stderr`.",
)
@click.option(
    "--output.body", "output_body", default="", help="RLP of the included transactions: file, `stdout`, `stderr`."
)
@click.option(
    "--state.fork", "fork", default=DEFAULT_RULESET, show_default=True, help="Ruleset, also `BerlinToLondonAt5`."
)
@click.option("--state.chainid", "chain_id", type=_Integer(0), default=1, show_default=True, help="Chain id.")
@click.option(
    "--state.reward",
    "reward",
    type=_Integer(NO_REWARD),
    default=0,
    show_default=True,
    help="Reward in wei; -1: none.",
)
@click.option("--state-test", "transactions_only", is_flag=True, help="Only the transactions: no system calls etc.")
@switch("--trace", help="Write trace-<index>-<hash>.jsonl for each transaction (EIP-3155).")
@click.option(
    "--trace.tracer",
    "tracer",
    default="",
    help="Write trace-<index>-<hash>.json instead: `callTracer` or `prestateTracer`.",
)
@click.option("--trace.jsonconfig", "tracer_config", default="", help="Options of that tracer, as JSON.")
@switch("--trace.memory", "memory", help="With memory.")
@switch("--trace.nomemory", "no_memory", help="Without memory, which is the default.")
@switch("--trace.nostack", "no_stack", help="Without the stack.")
@switch("--trace.returndata", "return_data", help="With return data.")
@switch("--trace.noreturndata", "no_return_data", help="Without return data, which is the default.")
@switch("--trace.callframes", "call_frames", help="With a line where a call begins.")
@click.option("--engine", metavar="NAME", help="Engine of the EVM: sets vm.evm.engine.")
@click.option("--opcode.count", "opcode_count", default="", help="How often each instruction ran: file or `stdout`.")
@click.option(
    "--verbosity",
    type=_Integer(0),
    default=3,
    expose_value=False,
    help="Accepted for geth's sake; see `vmloom --log-level`.",
)
@pass_app
@click.pass_context
def t8n(
    ctx: click.Context,
    app: App,
    /,
    *,
    engine: str | None,
    trace: bool,
    memory: bool,
    no_memory: bool,
    no_stack: bool,
    return_data: bool,
    no_return_data: bool,
    call_frames: bool,
    **options: Any,
) -> None:
    """Run a block of transactions on a state: system calls, transactions, rewards, withdrawals, requests.

    Transactions that may not run are listed in the result as `rejected`. Exit codes are those of geth: 2 the block is
    invalid; 3 the fork or the environment cannot be used; 4 a block hash is missing; 10 JSON, 11 files, 12 RLP.
    """
    # Imported here, since `--help` of the group should not wait for the EVM.
    from ..t8n.transition import Options, TraceOptions, run
    from ..vm import Evm

    traced = TraceOptions(memory and not no_memory, not no_stack, return_data and not no_return_data, call_frames)
    factory = app.factory_with("--engine", {"vm": {"evm": {"engine": engine}}}) if engine else app.factory
    evm = factory.get_vm("evm")
    assert isinstance(evm, Evm)
    try:
        run(Options(trace=traced if trace else None, **options), evm)
    except TransitionError as error:
        click.echo(f"ERROR({error.code.value}): {' '.join(str(error).split())}", err=True)
        ctx.exit(error.code)
