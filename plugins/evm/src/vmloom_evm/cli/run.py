"""`vmloom evm run`: one call or creation, with the flags and output of geth's `evm run`."""

from __future__ import annotations

import sys
import time
import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

import click
from vmloom import BlockContext, MemoryState
from vmloom.cli import GAS, NUMBER, App, pass_app
from vmloom.errors import InputError
from vmloom.hashing import create_address
from vmloom.hexadecimal import parse_hex

from ..dump import dump_state, go_json
from ..forks import LATEST, fork_named
from ..halts import HALT_NAMES, SUCCESS
from ..reference.frame import VM_NAME
from ..specification import Specification
from ..trace.hooks import Tracer
from ..trace.steps import FrameExit, StepTracer
from ..trace.structlog import hex_dump
from ..transaction.types import Transaction
from ..vm import Evm
from .flags import GethCommand, ends_as_geth, switch
from .genesis import INITIAL_BASE_FEE, Genesis, read_genesis
from .tracing_options import end_trace, tracing_of, tracing_options

GAS_LIMIT = 10_000_000_000
SENDER = b"sender".rjust(20, b"\0")
RECEIVER = b"receiver".rjust(20, b"\0")
BENCH_SECONDS = 1.0
"""How long `--bench` repeats the run."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be run. `code` replaces that of the receiver, or is what creates a contract."""

    code: bytes
    input: bytes
    create: bool
    sender: bytes
    receiver: bytes
    value: int
    price: int
    gas: int
    block: BlockContext
    state: MemoryState


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended. `error` is empty if it succeeded."""

    output: bytes
    gas_used: int
    status: int

    @property
    def error(self) -> str:
        """Why it failed."""
        return HALT_NAMES[self.status]


def _address(text: str, what: str) -> bytes:
    """An address as geth reads it: of a short one the front is zero, of a long one the end counts."""
    digits = text.strip().removeprefix("0x")
    return parse_hex("0" * (len(digits) % 2) + digits, what).rjust(20, b"\0")[-20:]


@click.command(cls=GethCommand)
@click.argument("code", required=False, default="")
@click.option("--codefile", metavar="FILE", help="File with the code in hex; - is stdin.")
@switch("--create", help="Create a contract with the code instead of calling it.")
@click.option("--gas", type=GAS, default=GAS_LIMIT, show_default=True, help="Gas limit; a genesis file's goes before.")
@click.option("--prestate", metavar="FILE", help="Genesis file (JSON): state, block and forks.")
@click.option("--input", "data", default="", metavar="HEX", help="Call data, or what is appended to creation code.")
@click.option("--inputfile", metavar="FILE", help="File with the input in hex.")
@click.option("--price", type=NUMBER, default=0, help="What GASPRICE says, wei; nothing is charged.")
@click.option("--receiver", default="", metavar="ADDRESS", help="Who is called.")
@click.option("--sender", default="", metavar="ADDRESS", help="Who calls.")
@click.option("--value", type=NUMBER, default=0, help="Wei that the sender, who must have it, sends along.")
@click.option(
    "--state.fork", "--fork", "fork", metavar="FORK", help=f"The fork.  [{LATEST.name}, or the genesis file's]"
)
@click.option("--engine", metavar="NAME", help="Engine of the EVM: sets vm.evm.engine.")
@switch("--bench", help="Repeat the run for a second and show what it costs, on stderr.")
@switch("--statdump", help="Show gas, time and memory on stderr.")
@switch("--dump", help="Print the state after the run.")
@switch("--json", "machine", hidden=True, help="Old for --trace.")
@tracing_options
@pass_app
@ends_as_geth
def run(
    app: App, /, fork: str | None, engine: str | None, bench: bool, statdump: bool, dump: bool, **options: Any
) -> None:
    """Run CODE (hex) and print what it returns, and its error if it fails.

    Exits with 0 whatever the code does, as geth's tool does; with 1 if an input cannot be used.
    """
    debug = options["debug"]
    tracing = tracing_of(options, machine=options.pop("machine"))
    prestate = options.pop("prestate")
    genesis = read_genesis(prestate) if prestate else None
    job = _job(genesis, **options)
    chosen = fork_named(fork) if fork else (genesis.fork if genesis is not None else None) or LATEST
    factory = app.factory_with("--engine", {"vm": {"evm": {"engine": engine}}}) if engine else app.factory
    vm = factory.get_vm("evm")
    if not isinstance(vm, Evm):
        raise InputError(f"the configured VM `evm` is {type(vm).__name__}, not that of vmloom-evm")
    specification = vm.specification(chosen)
    tracer = tracing.tracer(sys.stderr, specification.rows)
    runner = Runner(vm, specification, job)
    if bench:
        outcome, stats = runner.measured([tracer] if tracer else [])
    else:
        outcome, stats = runner.timed([tracer] if tracer else [])
    end_trace(tracer, sys.stderr, outcome.output, outcome.gas_used, outcome.error)
    if dump:
        click.echo(go_json(dump_state(job.state), indent=4))
    if debug and job.state.events:
        _write_logs(sys.stderr, job)
    if bench or statdump:
        click.echo(stats, err=True)
    if tracer is None:
        click.echo("0x" + outcome.output.hex())
        if outcome.error:
            click.echo(f" error: {runner.error_text(outcome)}")


class Runner:
    """Runs a job, as often as asked; the job's state is that after the last run."""

    def __init__(self, vm: Evm, specification: Specification, job: Job) -> None:
        self._vm = vm
        self._specification = specification
        self._job = job
        if job.code and not job.create:
            job.state.set_code(job.receiver, job.code, VM_NAME)
            job.state.commit()

    def timed(self, tracers: Sequence[Tracer]) -> tuple[Outcome, str]:
        """Run once. Returns what `--statdump` shows, too."""
        blocks = sys.getallocatedblocks()
        started = time.perf_counter()
        outcome = self.run(tracers)
        elapsed = time.perf_counter() - started
        return outcome, _stats(outcome, elapsed, max(0, sys.getallocatedblocks() - blocks), 0)

    def measured(self, tracers: Sequence[Tracer]) -> tuple[Outcome, str]:
        """Run for a while and take the mean, then once more to see the memory."""
        times: list[float] = []
        until = time.perf_counter() + BENCH_SECONDS
        while not times or time.perf_counter() < until:
            started = time.perf_counter()
            self.run(tracers, undo=True)
            times.append(time.perf_counter() - started)
        blocks = sys.getallocatedblocks()
        tracemalloc.start()
        outcome = self.run(tracers)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        elapsed = sum(times) / len(times)
        return outcome, _stats(outcome, elapsed, max(0, sys.getallocatedblocks() - blocks), peak)

    def run(self, tracers: Sequence[Tracer], *, undo: bool = False) -> Outcome:
        """Run once; `undo` leaves the state as it was."""
        state = self._job.state
        checkpoint = state.snapshot()
        outcome = self._run(tracers)
        if undo:
            state.revert(checkpoint)
        return outcome

    def error_text(self, outcome: Outcome) -> str:
        """Why the run failed, in geth's words, which take a traced run where they name an instruction or a number."""
        state = self._job.state
        state.revert(0)
        tracer = _LastError()
        again = self.run([tracer], undo=True)
        return tracer.error if again == outcome and tracer.error else outcome.error

    def _run(self, tracers: Sequence[Tracer]) -> Outcome:
        job, state = self._job, self._job.state
        nonce = state.get_nonce(job.sender)
        message = Transaction(
            to=None if job.create else job.receiver,
            value=job.value,
            data=job.code + job.input if job.create else job.input,
            gas_limit=job.gas,
            max_fee_per_gas=job.price,
        )
        result = self._vm.executor.send(
            self._specification, state, job.block, message, job.sender, tracers=tracers, host=self._vm.host
        )
        output = result.return_data
        if job.create and result.status == SUCCESS:
            output = state.get_code(create_address(job.sender, nonce))
        return Outcome(output, result.gas_used, result.status)


class _LastError(StepTracer):
    """Keeps why the first frame failed."""

    def __init__(self) -> None:
        super().__init__()
        self.error = ""

    def on_exit(self, leaving: FrameExit) -> None:
        if leaving.depth == 0:
            self.error = leaving.error


def _job(
    genesis: Genesis | None,
    *,
    code: str,
    codefile: str | None,
    create: bool,
    gas: int,
    data: str,
    inputfile: str | None,
    price: int,
    receiver: str,
    sender: str,
    value: int,
) -> Job:
    """What the options describe. Raises `InputError`."""
    if genesis is not None and genesis.gas_limit:
        gas = genesis.gas_limit
    block = (
        genesis.block
        if genesis is not None
        else BlockContext(number=0, base_fee=INITIAL_BASE_FEE, blob_base_fee=0, chain_id=1337)
    )
    return Job(
        code=_hex_of(codefile, "--codefile") if codefile else parse_hex(code, "CODE"),
        input=_hex_of(inputfile, "--inputfile") if inputfile else parse_hex(data, "--input"),
        create=create,
        sender=_address(sender, "--sender") if sender else SENDER,
        receiver=_address(receiver, "--receiver") if receiver else RECEIVER,
        value=value,
        price=price,
        gas=gas,
        block=replace(block, gas_limit=gas),
        state=genesis.state if genesis is not None else MemoryState(),
    )


def _hex_of(path: str, option: str) -> bytes:
    """The bytes that a file spells in hex; - is stdin."""
    if path == "-":
        return parse_hex(sys.stdin.read(), "stdin")
    try:
        return parse_hex(Path(path).read_text("utf-8"), path)
    except OSError as error:
        raise InputError(f"{option} {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{option} {path}: not text in hex") from None


def _stats(outcome: Outcome, seconds: float, blocks: int, size: int) -> str:
    shown = next(
        f"{seconds / unit:.3f}{name}"
        for unit, name in ((1, "s"), (1e-3, "ms"), (1e-6, "µs"), (0, ""))
        if seconds >= unit
    )
    return (
        f"EVM gas used:    {outcome.gas_used}\n"
        f"execution time:  {shown}\n"
        f"allocations:     {blocks}\n"
        f"allocated bytes: {size}"
    )


def _write_logs(sink: TextIO, job: Job) -> None:
    """The logs, as the old `--debug` shows them."""
    sink.write("### LOGS\n")
    for event in job.state.events:
        sink.write(f"LOG{len(event.topics)}: {event.address.hex()} bn={job.block.number} txi=0\n")
        sink.writelines(f"{index:08d}  {topic:064x}\n" for index, topic in enumerate(event.topics))
        sink.writelines(f"{line}\n" for line in hex_dump(event.data))
        sink.write("\n")
