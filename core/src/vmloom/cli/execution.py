"""`vmloom run`, `validate`, `estimate` and `disasm`: one piece of code on one VM."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import click

from ..alloc import load_alloc, save_alloc
from ..context import ExecutionContext
from ..errors import CodeError, GasEstimationError, InputError
from ..factory import VmFactory
from ..result import ExecutionResult
from ..state import MemoryState
from .app import EXIT_FAILED, EXIT_OK, App, pass_app
from .parameters import ADDRESS, CODE, GAS, HEX, NUMBER
from .rendering import disassembly_table, print_result

CALLER = bytes.fromhex("ca11e4").rjust(20, b"\0")
"""Who calls, unless told otherwise."""
ADDRESS_OF_CODE = bytes.fromhex("c0de").rjust(20, b"\0")
GAS_LIMIT = 10_000_000
VM_HELP = "Kind of VM; by default the only one, the one that the code begins like code of, or the EVM."

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Call:
    """What the options of `run` and `estimate` describe."""

    code: bytes
    vm: str
    context: ExecutionContext
    state: MemoryState


def vm_option(command: Command) -> Command:
    """The option `--vm`."""
    return click.option("--vm", "vm_name", metavar="NAME", help=VM_HELP)(command)


def json_option(command: Command) -> Command:
    """The option `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def call_options(command: Command) -> Command:
    """The options that describe a call."""
    options = [
        click.argument("code", type=CODE),
        click.option("--vm", "vm_name", metavar="NAME", help=VM_HELP),
        click.option("--input", type=HEX, default=b"", help="Call data."),
        click.option("--gas", type=GAS, default=GAS_LIMIT, show_default=True, help="Gas limit."),
        click.option("--value", type=NUMBER, default=0, help="Wei that the caller sends along."),
        click.option("--caller", type=ADDRESS, default=CALLER, help=f"Who calls.  [default: 0x{CALLER.hex()}]"),
        click.option(
            "--address",
            type=ADDRESS,
            default=ADDRESS_OF_CODE,
            help=f"Account that the code is placed in.  [default: 0x{ADDRESS_OF_CODE.hex()}]",
        ),
        click.option("--state", "state_file", metavar="FILE", help="Alloc file (JSON) to begin with; it is only read."),
        click.option("--engine", metavar="NAME", help="Engine of the VM: sets vm.<name>.engine."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@call_options
@click.option("--trace", "trace_file", metavar="FILE", help="Write one JSON line for each step to FILE.")
@click.option("--trace-memory", is_flag=True, help="With --trace: memory, return data and call frames, too.")
@click.option(
    "--write-state", "out_file", metavar="FILE", help="Write the state after the run to FILE, as an alloc file."
)
@json_option
@pass_app
def run(
    app: App,
    /,
    trace_file: str | None,
    trace_memory: bool,
    out_file: str | None,
    as_json: bool,
    engine: str | None,
    **options: Any,
) -> int:
    """Run CODE: hex, the path of a file, or - for stdin.

    Exits with 0 if it succeeds, 1 if it reverts or fails, 2 if it cannot be run.
    """
    if trace_memory and trace_file is None:
        raise click.UsageError("--trace-memory needs --trace FILE")
    call = described_call(app, **options)
    vm = _factory(app, call.vm, engine).get_vm(call.vm)
    if trace_file is None:
        result = execute_call(call, vm.execute)
    else:
        # Said only where asked for, so that a VM written before there were such options traces as it did.
        recorded: dict[str, Any] = {"memory": True, "return_data": True, "call_frames": True} if trace_memory else {}
        try:
            with open(trace_file, "w", encoding="utf-8") as sink:  # noqa: PTH123 - the file may be a device
                result = execute_call(call, functools.partial(vm.trace, sink=sink, **recorded))
        except OSError as error:
            raise InputError(f"--trace {trace_file}: {error.strerror}") from None
    if out_file is not None:
        save_alloc(out_file, call.state)
    if as_json:
        click.echo(json.dumps(result.to_dict(), indent=2))
    else:
        print_result(app.console, result, call.context.gas_limit)
    return EXIT_OK if result.success else EXIT_FAILED


@click.command()
@call_options
@json_option
@pass_app
def estimate(app: App, /, as_json: bool, engine: str | None, **options: Any) -> int:
    """Print the least gas limit, up to --gas, with which CODE succeeds.

    Exits with 1 if it succeeds with none.
    """
    call = described_call(app, **options)
    vm = _factory(app, call.vm, engine).get_vm(call.vm)
    _transfer(call)
    try:
        gas = vm.estimate_gas(call.code, call.context.input, call.context, call.state)
    except GasEstimationError as error:
        if as_json:
            click.echo(json.dumps({"error": str(error), "return_data": "0x" + error.return_data.hex()}))
        click.echo(f"error: {error}", err=True)
        return EXIT_FAILED
    click.echo(json.dumps({"gas": gas}) if as_json else gas)
    return EXIT_OK


@click.command()
@click.argument("code", type=CODE)
@vm_option
@json_option
@pass_app
def validate(app: App, code: bytes, vm_name: str | None, as_json: bool) -> int:
    """Say whether CODE may be deployed. Exits with 1 if not."""
    vm = app.factory.get_vm(vm_for(app, vm_name, code))
    try:
        vm.validate_code(code)
    except CodeError as error:
        if as_json:
            verdict = {"valid": False, "kind": type(error).__name__, "error": str(error), "offset": error.offset}
            click.echo(json.dumps(verdict))
        else:
            click.echo(f"error: {error}", err=True)
        return EXIT_FAILED
    click.echo(json.dumps({"valid": True}) if as_json else f"valid: {len(code)} bytes of {vm.vm_type} code")
    return EXIT_OK


@click.command()
@click.argument("code", type=CODE)
@vm_option
@json_option
@pass_app
def disasm(app: App, code: bytes, vm_name: str | None, as_json: bool) -> int:
    """Print CODE as instructions."""
    instructions = app.factory.get_vm(vm_for(app, vm_name, code)).disassemble(code)
    if as_json:
        for one in instructions:
            row = {"offset": one.offset, "name": one.name, "operand": one.operand, "remark": one.remark}
            click.echo(json.dumps(row))
    else:
        app.console.print(disassembly_table(instructions))
    return EXIT_OK


def vm_for(app: App, name: str | None, code: bytes) -> str:
    """The VM of the option `--vm`, or without it the one for `code`. Raises `UsageError` if that is not to be told."""
    if name is not None:
        return name
    available = app.plugins.names("vm")
    if len(available) == 1:
        return available[0]
    found = app.factory.vm_of_code(code)
    if found in available:
        return found
    usable = f"usable: {', '.join(available)}" if available else "none is installed"
    raise click.UsageError(f"--vm NAME is needed ({usable})")


def _factory(app: App, vm: str, engine: str | None) -> VmFactory:
    return app.factory if engine is None else app.factory_with("--engine", {"vm": {vm: {"engine": engine}}})


def described_call(
    app: App,
    code: bytes,
    vm_name: str | None,
    input: bytes,
    gas: int,
    value: int,
    caller: bytes,
    address: bytes,
    state_file: str | None,
) -> Call:
    """The call that `call_options` describe. Raises `InputError`."""
    vm = vm_for(app, vm_name, code)
    if state_file is None:
        state = MemoryState()
        if value:  # with no state given, what is sent is there to be sent
            state.set_balance(caller, value)
    else:
        state = load_alloc(state_file)
    state.set_code(address, code, vm)
    state.commit()
    state.begin_transaction()
    context = ExecutionContext(caller=caller, address=address, origin=caller, value=value, input=input, gas_limit=gas)
    return Call(code, vm, context, state)


def _transfer(call: Call) -> None:
    context, state = call.context, call.state
    balance = state.get_balance(context.caller)
    if balance < context.value:
        raise InputError(f"--value: 0x{context.caller.hex()} has {balance} wei, not the {context.value} to be sent")
    if context.value:  # an account that is not there must not come into being
        state.set_balance(context.caller, balance - context.value)
        state.set_balance(context.address, state.get_balance(context.address) + context.value)


def execute_call(call: Call, execute: Callable[..., ExecutionResult]) -> ExecutionResult:
    """Run the call with the transfer that is part of it; a failure takes both back."""
    checkpoint = call.state.snapshot()
    _transfer(call)
    result = execute(call.code, call.context, call.state)
    if not result.success:
        call.state.revert(checkpoint)
    return replace(result, state_changes=tuple(call.state.changes_since(checkpoint)))
