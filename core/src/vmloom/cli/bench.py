"""`vmloom bench`: how fast calls and operations are here, as a table, JSON, or a chart."""

from __future__ import annotations

import functools
import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import click

from ..alloc import load_alloc
from ..factory import VmFactory
from ..state import MemoryState
from .app import EXIT_FAILED, EXIT_OK, App, pass_app
from .execution import CALLER, GAS_LIMIT, json_option, vm_for, vm_option
from .parameters import GAS, HEX, NUMBER, read_code
from .rendering import table_of

if TYPE_CHECKING:  # engines take as long to import as all commands together
    from ..engine import ExecutionEngine, SmartContract
    from ..engine.operations import Operation

BATCH: Final = 1000
_FIRST_ADDRESS: Final = 0xC0DE
"""Of the first code; the others follow it."""
_BATCH_TURNS: Final = 3
_PATH_SECONDS: Final = 0.5
"""What one turn of an operation may take about: slower paths get fewer rows."""
_TRIAL: Final = 16
"""Rows from which that is told."""
_LEAVES: Final = 16
"""Of each Merkle tree."""
_BYTES: Final = 64
"""Hashed in each row."""

Row: TypeAlias = dict[str, Any]
"""Of a table: what was measured, by name."""
Advance: TypeAlias = Callable[[int], None]
Work: TypeAlias = Callable[[Sequence[Any]], Any]


@click.command()
@click.argument("codes", metavar="[CODE]...", nargs=-1)
@vm_option
@click.option("--input", type=HEX, default=b"", help="Call data of each call.")
@click.option("--gas", type=GAS, default=GAS_LIMIT, show_default=True, help="Gas limit of each call.")
@click.option("--value", type=NUMBER, default=0, help="Wei that each call sends along.")
@click.option("--state", "state_file", metavar="FILE", help="Alloc file (JSON) to begin with; it is only read.")
@click.option(
    "--iterations", metavar="NUMBER", type=click.IntRange(min=1), default=10, show_default=True, help="Turns of each."
)
@click.option(
    "--batch",
    metavar="NUMBER",
    type=click.IntRange(min=1),
    default=BATCH,
    show_default=True,
    help="Calls of a batch, or rows of an operation.",
)
@click.option(
    "--threads",
    metavar="NUMBER",
    type=click.IntRange(min=0),
    help="Threads of a batch of calls; 0 is one for each processor.  [default: what [engine] says]",
)
@json_option
@click.option("--plot", "plot_file", metavar="FILE", help="Draw a chart: .png, .svg or .pdf. Needs vmloom-core[plot].")
@pass_app
def bench(
    app: App,
    /,
    codes: Sequence[str],
    vm_name: str | None,
    input: bytes,
    gas: int,
    value: int,
    state_file: str | None,
    iterations: int,
    batch: int,
    threads: int | None,
    as_json: bool,
    plot_file: str | None,
) -> int:
    """Measure calls of each CODE (hex, a file, or - for stdin), one by one and as a batch of independent calls.

    Without CODE: the operations of batches (hashes, arithmetic, signatures, Merkle roots), in Python and on each
    accelerator. Times are those of this computer now. Exits with 1 if something could not be measured.
    """
    from ..engine import ExecutionEngine

    draw = None
    if plot_file is not None:
        from . import plotting

        draw = plotting.drawer(plot_file)  # before anything is measured, since it may not be possible
    if codes:
        state = _state(state_file, value)
        call = {"caller": CALLER, "data": input, "gas_limit": gas, "value": value}
        contracts = [(_name(text), _contract(app, state, index, text, vm_name)) for index, text in enumerate(codes)]
        engine = ExecutionEngine(app.factory, state, config=_config(app.factory, threads))
        with _progress(len(codes) * _BATCH_TURNS) as advance:
            rows = [_measure_call(engine, name, one, call, iterations, batch, advance) for name, one in contracts]
        document = {"iterations": iterations, "batch": batch, "threads": engine.config.threads, "calls": rows}
    else:
        operations = list(_operation_paths(app.factory))
        with _progress(len(operations)) as advance:
            rows = [_measure_operation(*one, iterations, batch, advance) for one in operations]
        document = {"iterations": iterations, "operations": rows}
    _show(app, document, as_json=as_json)
    if draw is not None:
        draw(document)
    return EXIT_FAILED if any(row["error"] for row in rows) else EXIT_OK


# Calls


def _state(state_file: str | None, value: int) -> MemoryState:
    if state_file is not None:
        return load_alloc(state_file)
    state = MemoryState()
    if value:  # with no state given, what is sent is there to be sent
        state.set_balance(CALLER, value)
    return state


def _contract(app: App, state: MemoryState, index: int, text: str, vm_name: str | None) -> SmartContract:
    """The contract, with its code in the state, where it may look at itself."""
    from ..engine import SmartContract

    code = read_code(text)
    vm = vm_for(app, vm_name, code)
    address = (_FIRST_ADDRESS + index).to_bytes(20, "big")
    if code:
        state.set_code(address, code, vm)
    state.commit()
    return SmartContract(address, code, vm)


def _name(text: str) -> str:
    """What a code is called: its file's name, or how its hex digits begin."""
    if text == "-":
        return "stdin"
    is_hex = not set(text.removeprefix("0x")) - set("0123456789abcdefABCDEF")
    if is_hex and not Path(text[:255]).exists():
        return text if len(text) <= 14 else f"{text[:12]}..."
    return Path(text).stem


def _config(factory: VmFactory, threads: int | None) -> Any:
    config = factory.settings.engine
    return config if threads is None else config.model_copy(update={"threads": threads})


def _measure_call(
    engine: ExecutionEngine,
    name: str,
    contract: SmartContract,
    call: Mapping[str, Any],
    iterations: int,
    batch: int,
    advance: Advance,
) -> Row:
    item = {"name": name, "contract": contract, **call}
    engine.benchmark_vm_performance([item], 1)  # the first call compiles, and fills caches
    (measured,) = engine.benchmark_vm_performance([item], iterations)["calls"]
    row = {
        "name": name,
        "vm": measured["vm"],
        "state": measured["state"],
        "error": measured["error"].removeprefix("item 0: "),
        "gas_used": measured["gas_used"],
        "median_seconds": measured["median"],
        "best_seconds": measured.get("best", 0.0),
        # What fails by an error uses all gas, however little it did: that is no speed.
        "gas_per_second": 0.0 if measured["state"] == "failed" else measured.get("gas_per_second", 0.0),
        "batch_items_per_second": 0.0,
    }
    if row["error"]:
        advance(_BATCH_TURNS)
        return row
    seconds = []
    for _ in range(_BATCH_TURNS):
        begun = time.perf_counter()
        engine.execute_contracts_batch([contract] * batch, [call] * batch)
        seconds.append(time.perf_counter() - begun)
        advance(1)  # not told of single items, which would take as long as they do
    row["batch_items_per_second"] = batch / statistics.median(seconds)
    return row


# Operations


def _operation_paths(factory: VmFactory) -> Iterator[tuple[Operation, str, Work]]:
    """Each operation on each path that has it: in Python, and on the accelerators that are available."""
    from ..engine.operations import known_operations
    from ..engine.router import PYTHON

    accelerators = [one for one in factory.accelerators() if one.status().available]
    for operation in known_operations(factory.precompile_sets(factory.default_vm)).values():
        yield operation, PYTHON, functools.partial(_compute, operation)
        for one in accelerators:
            if operation.name in one.capabilities():
                yield operation, one.name, functools.partial(_accelerate, operation, one)


def _compute(operation: Operation, rows: Sequence[Any]) -> list[Any]:
    return [operation.compute(row) for row in rows]


def _accelerate(operation: Operation, accelerator: Any, rows: Sequence[Any]) -> list[Any]:
    """As a batch runs there, with packing and unpacking."""
    return operation.unpack(accelerator.run(operation.name, operation.pack(rows)))


def _measure_operation(
    operation: Operation, path: str, run: Work, iterations: int, batch: int, advance: Advance
) -> Row:
    row: Row = {"operation": operation.name, "path": path, "rows": 0, "error": ""}
    row |= {"median_seconds": 0.0, "best_seconds": 0.0, "items_per_second": 0.0}
    samples = random.Random(operation.name)  # the same operands on every path, and each time
    operands = [operation.read(_operands(operation, samples)) for _ in range(batch)]
    try:
        trial = operands[:_TRIAL]
        run(trial)  # the first time compiles
        begun = time.perf_counter()
        run(trial)
        per_row = (time.perf_counter() - begun) / len(trial)
        operands = operands[: max(1, int(_PATH_SECONDS / max(per_row, 1e-9)))]
        seconds = []
        for _ in range(iterations):
            begun = time.perf_counter()
            run(operands)
            seconds.append(time.perf_counter() - begun)
    except Exception as error:  # a driver may raise anything
        row["error"] = f"{type(error).__name__}: {error}"
    else:
        median = statistics.median(seconds)
        row |= {"rows": len(operands), "median_seconds": median, "best_seconds": min(seconds)}
        row["items_per_second"] = len(operands) / median
    advance(1)
    return row


def _operands(operation: Operation, samples: random.Random) -> Row:
    """One item with random operands of usual size. Any hash and this signature have a signer."""
    from ..engine.operations import U256_MAX, WORD

    values: dict[str, Callable[[], Any]] = {
        "data": lambda: samples.randbytes(_BYTES),
        "leaves": lambda: [samples.randbytes(WORD) for _ in range(_LEAVES)],
        "hash": lambda: samples.randbytes(WORD),
        "v": lambda: 28,
        "r": lambda: 0x9242685BF161793CC25603C231BC2F568EB630EA16AA137D2664AC8038825608,
        "s": lambda: 0x4F8AE3BD7535248D0BD448298CC2E2071E56992D0774DC340C368AE950852ADA,
    }
    return {field: values[field]() if field in values else samples.randint(1, U256_MAX) for field in operation.fields}


# What is shown


def _show(app: App, document: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(document, indent=2))
        return
    if "calls" in document:
        columns = ["name", "VM", "gas", "median", "best", "Mgas/s", "batch items/s", ""]
        lines = [_call_cells(row) for row in document["calls"]]
        left = {"name", "VM", ""}
    else:
        columns = ["operation", "path", "rows", "median", "items/s", "against Python", ""]
        lines = [_operation_cells(row, document["operations"]) for row in document["operations"]]
        left = {"operation", "path", ""}
    app.console.print(table_of(columns, lines, left=left))


def _call_cells(row: Row) -> list[str]:
    if row["error"]:
        return [row["name"], row["vm"], "", "", "", "", "", row["error"]]
    remark = "" if row["state"] == "success" else row["state"]
    return [
        row["name"],
        row["vm"],
        f"{row['gas_used']:,}",
        _time(row["median_seconds"]),
        _time(row["best_seconds"]),
        f"{row['gas_per_second'] / 1e6:,.1f}" if row["gas_per_second"] else "",
        f"{row['batch_items_per_second']:,.0f}",
        remark,
    ]


def _operation_cells(row: Row, rows: Sequence[Row]) -> list[str]:
    from ..engine.router import PYTHON

    if row["error"]:
        return [row["operation"], row["path"], "", "", "", "", row["error"]]
    python = next(one for one in rows if one["operation"] == row["operation"] and one["path"] == PYTHON)
    slower = python["items_per_second"]
    ratio = "" if row is python or not slower else f"{row['items_per_second'] / slower:,.1f}x"
    cells = (f"{row['rows']:,}", _time(row["median_seconds"]), f"{row['items_per_second']:,.0f}", ratio)
    return [row["operation"], row["path"], *cells, ""]


def _time(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1e3:.2f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.1f} us"


@contextmanager
def _progress(total: int) -> Iterator[Advance]:
    """A bar on stderr while it lasts, where that is a terminal; what is yielded moves it on."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, refresh_per_second=2) as bar:
        task = bar.add_task("measuring", total=total)
        yield lambda step: bar.advance(task, step)
