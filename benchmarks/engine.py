"""The execution engine: batches against pyrevm, threads, metrics, blocks, and the accelerator `cpu` against libraries.

    uv run --group bench python benchmarks/engine.py [--parts WORD ...] [--rounds N] [--mixed N] [--quick] [--json]

All sides of a part run in this process, in turns. A figure is a ratio to a side that ran beside it, of two runs in one
turn: the median of all turns. What runs on one thread counts the processor's time, which does not depend on who else
is running; what runs on several counts time on the wall, which does. Five parts:

* batch: independent ERC-20 transfers by `execute_contracts_batch` on each number of threads, against a loop of
  pyrevm's `message_call` on the same contract and state; of each result, success and gas are looked at.
* threads: how many times as fast a batch is on several threads as on one, for transfers and for calls of many
  transfers each, beside hashlib on large buffers, which needs no interpreter lock: where cores are shared with others,
  hashes do not gain either, and nothing can be said of threads.
* metrics: the same batch with metrics and without.
* block: random blocks, with calls of which a share depends on others: on threads, as the engine chooses between order
  and running ahead; all ahead; and in order: the same results and state, and their processor time.
* operations: rows per second on one thread by the accelerator, from columns to columns, against one call of a library
  for each row; and by `execute_operations_batch`, from dictionaries to dictionaries.

What a target says is met or missed. Wrong results end the run with exit code 1; a missed target does not.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache, partial
from random import Random
from statistics import median
from typing import Any, Final

import numpy as np
from coincurve import PrivateKey, PublicKey
from Crypto.Hash import keccak
from peers import is_installed
from peers.ours import FREE
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from suite.blocks import token_transfers
from suite.conflicts import ACCOUNTS, contents, outcome, random_block
from suite.contracts import PLENTY, artifact, token
from suite.work import CALLER, REVISION, TARGET, Block, World
from vmloom import Account, ExecutionState, MemoryState
from vmloom.engine import ExecutionEngine
from vmloom.engine.config import EngineConfig
from vmloom.factory import VmFactory
from vmloom.settings import Settings
from vmloom_evm.native.state import NativeState
from vmloom_native.config import CpuConfig
from vmloom_native.cpu import CpuAccelerator

SUCCESS: Final = ExecutionState.SUCCESS
WIDTH: Final = 120
"""Characters of a table that goes to a file."""
LONG_CALLS: Final = 64
"""Calls of many transfers, for each processor."""
TRANSFERS_EACH: Final = 1_000
BUFFER: Final = 1 << 22
"""Bytes that hashlib hashes at once."""
LEAST_GAIN: Final = 0.8
"""What hashes have to gain for each processor, if it is to be a processor."""
BLOCK_SIZE: Final = 60
CONFLICTS: Final = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)


@dataclass
class Side:
    """Something that is timed; `reset` is not, and follows each run."""

    name: str
    run: Callable[[], Any]
    count: int
    """How many items a run does."""
    reset: Callable[[], Any] = lambda: None
    wall: list[float] = field(default_factory=list)
    """Seconds of each turn."""
    processor: list[float] = field(default_factory=list)
    """Seconds of all processors in each turn."""

    @property
    def each(self) -> float:
        """Microseconds for an item in the best turn."""
        return min(self.wall) / self.count * 1e6

    @property
    def each_on_processors(self) -> float:
        """Microseconds of processors for an item in the turn that took least of them."""
        return min(self.processor) / self.count * 1e6


def gain(side: Side, other: Side) -> float:
    """How many times the rate of `other` that of `side` is, by time on the wall."""
    return _ratio(other.wall, side.wall) * side.count / other.count


def gain_on_processors(side: Side, other: Side) -> float:
    """How many times the rate of `other` that of `side` is, by the time of processors."""
    return _ratio(other.processor, side.processor) * side.count / other.count


def _ratio(seconds: Sequence[float], others: Sequence[float]) -> float:
    """Of turn to turn: what slows a turn down, such as a busy machine, slows both sides."""
    return median(one / other for one, other in zip(seconds, others, strict=True))


@dataclass(frozen=True)
class Target:
    """What should be reached; `least` is a ratio, or the most where `at_most`."""

    name: str
    ratio: float
    wanted: float
    at_most: bool = False

    @property
    def met(self) -> bool:
        """Whether it was."""
        return self.ratio <= self.wanted if self.at_most else self.ratio >= self.wanted

    def to_json(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return {"target": self.name, "ratio": self.ratio, "wanted": self.wanted, "met": self.met}


@dataclass
class Part:
    """What a part found: rows for people, and the targets that it decides."""

    name: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What the figures cannot tell."""


@dataclass(frozen=True)
class Options:
    """How long to measure."""

    rounds: int
    transfers: int
    blocks: int
    rows: int
    signatures: int
    mixed: int


def measure(sides: Sequence[Side], rounds: int) -> None:
    """Time them in turns, each after a run that is not timed: a side shall not pay for what another one has left."""
    for _ in range(rounds):
        for side in sides:
            side.run()
            side.reset()
            gc.collect()
            gc.disable()
            try:
                begun = time.perf_counter(), time.process_time()
                side.run()
                taken = time.perf_counter() - begun[0], time.process_time() - begun[1]
            finally:
                gc.enable()
            side.reset()
            side.wall.append(taken[0])
            side.processor.append(taken[1])


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def thread_counts() -> list[int]:
    """1, 2, 4 and so on, and all."""
    most = processors()
    return sorted({most, *(1 << bits for bits in range(most.bit_length()) if 1 << bits <= most)})


# Engines and what they run


@cache
def factory() -> VmFactory:
    """VMs, the EVM of the fork that pyrevm has too."""
    return VmFactory(Settings({"vm": {"evm": {"engine": "native", "revision": REVISION}}}))


def make_engine(world: World, **options: Any) -> ExecutionEngine:
    """An engine on a new state."""
    state = NativeState({at: Account(one.nonce, one.balance, one.code) for at, one in world.items()})
    for at, one in world.items():
        for slot, word in one.storage.items():
            state.set_storage(at, slot, word)
    state.commit()
    return ExecutionEngine(factory(), state, config=EngineConfig.model_validate(options))


def as_items(work: Block) -> tuple[list[bytes], list[Mapping[str, Any]]]:
    """Contracts and data of a batch."""
    data = [
        {"caller": sender, "data": tx.data, "gas_limit": tx.gas_limit, "block_context": FREE}
        for sender, tx in work.transactions
    ]
    return [tx.to or b"" for _, tx in work.transactions], data


def batch_side(name: str, world: World, items: tuple[Any, Any], **options: Any) -> Side:
    """A batch on an engine of its own, whose results were looked at."""
    engine = make_engine(world, **options)
    results = engine.execute_contracts_batch(*items)
    failed = next((result for result in results if not result.success or len(result.events) < 1), None)
    if failed is not None:
        raise AssertionError(f"{name}: {failed.error or 'no event'}")
    return Side(name, partial(_run_batch, engine, items, sum(result.gas_used for result in results)), len(items[0]))


def _run_batch(engine: ExecutionEngine, items: tuple[Any, Any], expected: int) -> None:
    """Looks at success and gas of each result, as whoever asks for a batch does at least."""
    results = engine.execute_contracts_batch(*items)
    gas = sum(used for used, state in zip(results.gas_used, results.states, strict=True) if state is SUCCESS)
    assert gas == expected, f"the batch used {gas} gas in place of {expected}"


# Batches


def batch(options: Options) -> Part:
    """Transfers on each number of threads, against pyrevm."""
    work = token_transfers(options.transfers)
    items = as_items(work)
    sides = [batch_side(f"{threads} threads", work.world, items, threads=threads) for threads in thread_counts()]
    peer = _pyrevm_side(work) if is_installed("pyrevm", None) else None
    measure([*sides, *([peer] if peer else [])], options.rounds)
    columns = (f"{len(items[0]):,} ERC-20 transfers", "us each", "CPU us each", "times pyrevm's rate", "by CPU time")
    part = Part("batch", columns)
    for side in (*sides, *([peer] if peer else [])):
        ratios = (gain(side, peer), gain_on_processors(side, peer)) if peer else (None, None)
        part.rows.append((side.name, side.each, side.each_on_processors, *ratios))
    if peer is not None:
        name = "batch on one thread: rate of pyrevm, by processor time"
        part.targets.append(Target(name, gain_on_processors(sides[0], peer), 3.0))
        part.targets.append(Target("batch on all cores: rate of pyrevm", gain(sides[-1], peer), 3.0))
    return part


def _pyrevm_side(work: Block) -> Side:
    from peers.revm import as_hex, evm_of

    evm = evm_of(work.world)
    calls = [(as_hex(sender), as_hex(tx.to or b""), tx.data, 0, tx.gas_limit) for sender, tx in work.transactions]
    checkpoints = [evm.snapshot()]
    message_call = evm.message_call

    def run() -> None:
        gas = 0
        for call in calls:
            message_call(*call)
            result = evm.result
            if result.is_success:
                gas += result.gas_used
        assert gas, "pyrevm: all transfers failed"

    def reset() -> None:
        evm.revert(checkpoints.pop())
        checkpoints.append(evm.snapshot())

    run()
    assert evm.result.is_success, "pyrevm: the last transfer failed"
    reset()
    return Side("pyrevm, a loop", run, len(calls), reset)


# Threads


def threads(options: Options) -> Part:
    """How both kinds of batch and hashes gain by threads."""
    most = processors()
    counts = [count for count in thread_counts() if count > 1] or [1]
    work = token_transfers(options.transfers)
    call = artifact("token").encode_call("transfer_many", TRANSFERS_EACH)
    long_world = {TARGET: token({CALLER: PLENTY})}
    item = {"caller": CALLER, "data": call, "gas_limit": 1 << 32, "block_context": FREE}
    long_items = [TARGET] * LONG_CALLS * most, [item] * LONG_CALLS * most
    buffer = bytes(BUFFER)
    hashes: list[Side] = []
    kinds: dict[str, list[Side]] = {"hashlib on large buffers": hashes, "transfers": [], "calls of 1,000 transfers": []}
    for count in (1, *counts):
        hashes.append(Side("", partial(_hash, buffer, 4 * most, count), 4 * most))
        kinds["transfers"].append(batch_side("transfers", work.world, as_items(work), threads=count))
        kinds["calls of 1,000 transfers"].append(
            batch_side("calls", long_world, long_items, threads=count, serial_below=2)
        )
    measure([side for sides in kinds.values() for side in sides], 3 * options.rounds)
    part = Part("threads", ("threads", *(str(count) for count in (1, *counts)), "of what hashes gain"))
    gained = gain(hashes[-1], hashes[0])
    for name, sides in kinds.items():
        gains = [gain(side, sides[0]) for side in sides]
        part.rows.append((name, *(f"{one:.2f}x" for one in gains), gains[-1] / gained))
        if sides is not hashes:
            part.targets.append(Target(f"threads: {name}, of what hashes gain", gains[-1] / gained, 0.85))
    if gained < LEAST_GAIN * most:
        part.notes.append(
            f"Hashes, which threads compute without any lock, gain {gained:.2f}x on {most} processors: they are shared "
            "with others, or not real. What threads gain elsewhere cannot be told here."
        )
    return part


def _hash(buffer: bytes, times: int, count: int) -> None:
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(lambda _: hashlib.sha256(buffer).digest(), range(times)))


# Metrics


def metrics(options: Options) -> Part:
    """The same batch with metrics and without, on one thread, where nothing hides their cost, in its own time."""
    work = token_transfers(options.transfers)
    items = as_items(work)
    sides = [
        batch_side(f"metrics {name}", work.world, items, threads=1, metrics=name == "on") for name in ("off", "on")
    ]
    measure(sides, 3 * options.rounds)
    part = Part("metrics", ("one thread", "CPU us each", "of that without"))
    part.rows += [(side.name, side.each_on_processors, gain_on_processors(sides[0], side)) for side in sides]
    ratio = gain_on_processors(sides[0], sides[1])
    part.targets.append(Target("metrics: time of a batch, of that without", ratio, 1.05, True))
    return part


# Blocks


WAYS: Final[dict[str, dict[str, Any]]] = {
    "in order": {"threads": 1},
    "on threads": {"threads": max(2, processors())},
    "all ahead": {"threads": max(2, processors()), "ahead_from": 0},
}
"""How blocks run: options of the engine."""


def block(options: Options) -> Part:
    """Blocks on threads and in order: the same, and how long each way takes."""
    part = Part("block", ("calls that depend on others", "blocks", *(f"{way}, CPU us" for way in WAYS), "gain"))
    each = max(1, options.blocks // len(CONFLICTS))
    compared = 0
    for share in CONFLICTS:
        seconds = dict.fromkeys(WAYS, 0.0)
        number_of_blocks = options.blocks - compared if share == CONFLICTS[-1] else each
        for number in range(number_of_blocks):
            contracts, data = random_block(Random(f"{share} {number}"), share, BLOCK_SIZE)
            found = []
            for way, how in WAYS.items():
                config = EngineConfig(serial_below=2, metrics=False, **how)
                engine = ExecutionEngine(factory(), NativeState(ACCOUNTS), config=config)
                begun = time.process_time()
                results = engine.execute_contracts_batch(contracts, data, mode="block")
                seconds[way] += time.process_time() - begun
                found.append((list(map(outcome, results)), contents(engine.state, BLOCK_SIZE)))
            assert found[0] == found[1] == found[2], f"block {number} with {share:.0%} conflicts differs"
            compared += 1
        times = [one / number_of_blocks / BLOCK_SIZE * 1e6 for one in seconds.values()]
        part.rows.append((f"{share:.0%}", str(number_of_blocks), *times, times[0] / times[1]))
    part.targets.append(Target("block: blocks that are as in order, of 1,000", compared / options.blocks, 1.0))
    part.notes.append("Calls this short run in order on threads, too: what running ahead costs is in its own column.")
    _check_mixed(options.mixed)
    return part


def _check_mixed(seeds: int) -> None:
    """Random blocks and batches of all VMs, on both engines, two forks and two kinds of state."""
    if not seeds:
        return
    from suite.mixed import check_block, check_independent, vms

    for engine in ("reference", "native"):
        for revision in ("cancun", "shanghai"):
            machines = vms(engine, revision)
            for kind in (MemoryState, NativeState):
                for seed in range(seeds):
                    check_block(machines, kind, seed)
                    check_independent(machines, kind, seed)


# Operations


def operations(options: Options) -> Part:
    """Each operation on one thread against a library, and through the engine."""
    cpu = CpuAccelerator(CpuConfig(threads=1))
    engine = ExecutionEngine(VmFactory(Settings({"accelerator": {"cpu": {"threads": 1}}})))
    part = Part("operations", ("operation", "CPU ns a row", "peer", "CPU ns a row", "ratio", "engine, CPU ns", "path"))
    for name, columns, peer, run, items, wanted in _operations(options):
        rows = len(items)
        ours = Side(name, partial(cpu.run, name, columns), rows)
        theirs = Side(peer, run, rows)
        whole = Side("engine", partial(engine.execute_operations_batch, items), rows)
        path = engine.execute_operations_batch(items)[0]["path"]
        measure([ours, theirs, whole], options.rounds)
        ratio = gain_on_processors(ours, theirs)
        times = [side.each_on_processors * 1e3 for side in (ours, theirs, whole)]
        part.rows.append((name, times[0], peer, times[1], ratio, times[2], path))
        if wanted:
            part.targets.append(Target(f"operations: {name}, rate of {peer}", ratio, wanted))
    return part


def _operations(
    options: Options,
) -> Iterator[tuple[str, Sequence[Any], str, Callable[[], None], list[dict[str, Any]], float | None]]:
    """Name, columns, the peer and its loop, items for the engine, and the ratio that is wanted."""
    column = np.random.default_rng(0).integers(0, 256, (options.rows, 64), dtype=np.uint8)
    data = [row.tobytes() for row in column]
    hashes: dict[str, tuple[str, Callable[[bytes], bytes], float | None]] = {
        "keccak256": ("pycryptodome", lambda row: keccak.new(data=row, digest_bits=256).digest(), 20.0),
        "sha256": ("hashlib", lambda row: hashlib.sha256(row).digest(), 4.0),
        "blake2b_256": ("hashlib", lambda row: hashlib.blake2b(row, digest_size=32).digest(), None),
    }
    accelerator = CpuAccelerator(CpuConfig(threads=1))
    for name, (peer, function, wanted) in hashes.items():
        (digests,) = accelerator.run(name, [column])
        assert [row.tobytes() for row in digests[:100]] == [function(row) for row in data[:100]], name
        yield name, [column], peer, _loop(name, data), [{"operation": name, "data": row} for row in data], wanted
    yield _signatures(options, accelerator)
    random = Random(0)
    pairs = [(random.getrandbits(256), random.getrandbits(256)) for _ in range(options.rows)]
    for name, plain in (("u256_mul", _products), ("u256_div", _quotients)):
        words = [
            np.frombuffer(b"".join(x.to_bytes(32, "little") for x in one), np.uint64)
            for one in zip(*pairs, strict=True)
        ]
        items = [{"operation": name, "a": a, "b": b} for a, b in pairs]
        yield name, [one.reshape(-1, 4) for one in words], "Python", partial(plain, pairs), items, None


def _loop(name: str, data: Sequence[bytes]) -> Callable[[], None]:
    """The library's function on each row, with nothing else in the loop."""

    def pycryptodome() -> None:
        new = keccak.new
        for row in data:
            new(data=row, digest_bits=256).digest()

    def sha256() -> None:
        function = hashlib.sha256
        for row in data:
            function(row).digest()

    def blake2b() -> None:
        function = hashlib.blake2b
        for row in data:
            function(row, digest_size=32).digest()

    return {"keccak256": pycryptodome, "sha256": sha256, "blake2b_256": blake2b}[name]


def _products(pairs: Sequence[tuple[int, int]]) -> None:
    for a, b in pairs:
        a * b & (1 << 256) - 1


def _quotients(pairs: Sequence[tuple[int, int]]) -> None:
    for a, b in pairs:
        a // b


def _signatures(options: Options, accelerator: CpuAccelerator) -> Any:
    signed = []
    for number in range(options.signatures):
        secret, digest = (hashlib.sha256(b"%d %d" % (number, which)).digest() for which in range(2))
        signed.append((PrivateKey(secret).sign_recoverable(digest, hasher=None), digest))
    rows = [digest + (27 + one[64]).to_bytes(32, "big") + one[:64] for one, digest in signed]
    column = np.frombuffer(b"".join(rows), np.uint8).reshape(-1, 128)
    recover = PublicKey.from_signature_and_message

    def run() -> None:
        for one, digest in signed:
            recover(one, digest, hasher=None)

    addresses, found = accelerator.run("ecrecover", [column])
    key = recover(*signed[0], hasher=None).format(compressed=False)[1:]
    assert found.all()
    assert addresses[0].tobytes() == keccak.new(data=key, digest_bits=256).digest()[12:]
    items = [
        {
            "operation": "ecrecover",
            "hash": digest,
            "v": 27 + one[64],
            "r": int.from_bytes(one[:32], "big"),
            "s": int.from_bytes(one[32:64], "big"),
        }
        for one, digest in signed
    ]
    return "ecrecover", [column], "coincurve", run, items, 1.0


# The report

PARTS: Final[dict[str, Callable[[Options], Part]]] = {
    "batch": batch,
    "threads": threads,
    "metrics": metrics,
    "block": block,
    "operations": operations,
}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), metavar="WORD", help=", ".join(PARTS))
    parser.add_argument("--rounds", type=int, default=7, help="turns of each side (7)")
    parser.add_argument("--mixed", type=int, default=0, metavar="N", help="check so many blocks of all VMs, too (0)")
    parser.add_argument("--quick", action="store_true", help="little work, once: shows that all run, not how fast")
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    return parser.parse_args(arguments)


def main() -> int:
    """Measure and show; 1 if any result is wrong."""
    arguments = parse()
    mixed: int = arguments.mixed
    options = Options(arguments.rounds, transfers=10_000, blocks=1_000, rows=20_000, signatures=200, mixed=mixed)
    if arguments.quick:
        options = Options(1, transfers=300, blocks=12, rows=200, signatures=20, mixed=mixed)
    found: list[Part] = []
    try:
        with Progress(console=Console(stderr=True), transient=True) as progress:
            found.extend(PARTS[name](options) for name in progress.track(arguments.parts, description="measuring"))
    except AssertionError as error:
        print(f"error: not the expected result: {error}", file=sys.stderr)
        return 1
    if arguments.json:
        print(json.dumps(_as_json(found), indent=2))
    else:
        _print(found)
    return 0


def _as_json(found: Sequence[Part]) -> dict[str, Any]:
    return {
        "machine": {"processors": processors(), "machine": platform.machine(), "python": platform.python_version()},
        "parts": {
            part.name: {
                "rows": [dict(zip(_keys(part.columns), row, strict=True)) for row in part.rows],
                "targets": [target.to_json() for target in part.targets],
                "notes": part.notes,
            }
            for part in found
        },
    }


def _keys(columns: Sequence[str]) -> list[str]:
    """Names of columns; one that comes twice has its number."""
    return [name if columns.index(name) == at else f"{name} {at}" for at, name in enumerate(columns)]


def _print(found: Sequence[Part]) -> None:
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    for part in found:
        table = Table(*part.columns, title=part.name, title_justify="left")
        for column in table.columns[1:]:
            column.justify = "right"
        for row in part.rows:
            table.add_row(*(_cell(value) for value in row))
        console.print(table)
        for note in part.notes:
            console.print(note)
    table = Table("target", "measured", "wanted", "", title="targets", title_justify="left")
    for target in (target for part in found for target in part.targets):
        sign, verdict = ("<=" if target.at_most else ">="), ("met" if target.met else "[red]missed[/red]")
        table.add_row(target.name, f"{target.ratio:.2f}x", f"{sign} {target.wanted:g}x", verdict)
    console.print(table)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 1000 else f"{value:.2f}"
    return "-" if value is None else str(value)


if __name__ == "__main__":
    sys.exit(main())
