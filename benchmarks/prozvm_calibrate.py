"""What the prices of ProzVM stand for: nanoseconds of each instruction on the interpreter, beside what it costs.

    uv run python benchmarks/prozvm_calibrate.py [--repeats N] [--filter TEXT] [--json]

Each row is a contract of many copies of a piece of code, without a loop. The same contract with the rest of the piece
only (such as what makes its operands) is measured in turns with it and subtracted; the best of each counts, as whatever
disturbs a run makes it slower. Operands come small and as large as the limits allow, since a price has to be right
for both: what a row costs is taken from the gas that the same runs used. Values that programs can choose so that
Python is slow with them (keys whose hashes collide) have rows of their own.

A schedule is fair where nanoseconds for a gas are alike. What reads the state or makes it grow costs more than its
time, as on the EVM, and is not part of the median. Prices are part of what all machines agree on, so the output is for
whoever writes a schedule, and changes nothing by itself.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from statistics import median
from typing import Any, Final, Literal

import coincurve
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from rich.console import Console
from rich.table import Table
from vmloom import Account, BlockContext, ExecutionContext, MemoryState
from vmloom.errors import VmloomError
from vmloom.factory import VmFactory
from vmloom.settings import Settings
from vmloom_prozvm.bytecode import Bytecode, BytecodeBuilder, Opcode, function, pack
from vmloom_prozvm.config import ProzVmConfig
from vmloom_prozvm.prozvm import ProzVm
from vmloom_prozvm.values import canonical

COPIES: Final = 128
"""Of a piece of code in one contract."""
FAR: Final = 3.0
"""How many times the median a row must be above it to be pointed out."""
WIDTH: Final = 110
"""Characters of a table that goes to a file."""
GAS: Final = 1 << 50
CONTRACT, CALLER, OTHER = (bytes([number]) * 20 for number in (0xC0, 0xCA, 0xE0))
BLOCK: Final = BlockContext(number=7, timestamp=1_700_000_000)
PRIME: Final = 2**61 - 1
"""Multiples of it have the same hash in CPython."""

Step = str | tuple[Any, ...]
Group = Literal["simple", "sized", "call", "crypto", "state"]


@dataclass(frozen=True)
class Row:
    """A piece of code and what is subtracted of it; `{}` in a label or name is the number of the copy."""

    group: Group
    name: str
    piece: Sequence[Step]
    base: Sequence[Step] = ()
    before: Sequence[Step] = ()
    """Once, at the beginning."""
    after: Sequence[Step] = ()
    """Once, at the end."""
    copies: int = COPIES


@dataclass(frozen=True)
class Measured:
    """Nanoseconds and gas of one piece, without its base."""

    group: Group
    name: str
    nanoseconds: float
    gas: float

    @property
    def rate(self) -> float:
        """Nanoseconds for a gas; infinite for what is free."""
        return self.nanoseconds / self.gas if self.gas else float("inf")


# The rows

HUGE: Final = (1 << 4096) - 1 - (1 << 77)
NUMBERS: Final = list(range(4096))
WIDE: Final = [0] * 4096
TEXT: Final = "x" * 60_000
DATA: Final = b"\xab" * 60_000
TABLE: Final = {f"key {number}": number for number in range(2_000)}
COLLIDING: Final = {number * PRIME: number for number in range(511)}
NESTED: Final = [[[[number] * 4] * 4] * 4 for number in range(32)]


def load(value: Any) -> Step:
    """The instruction that pushes `value`."""
    return ("LOAD_CONST", value)


def taken(group: Group, name: str, title: str, *operands: Any, operand: Any = None, copies: int = COPIES) -> Row:
    """An instruction on constants that leaves one value."""
    loads = tuple(map(load, operands))
    step = name if operand is None else (name, operand)
    return Row(group, f"{name}, {title}" if title else name, (*loads, step), loads, copies=copies)


def binary_rows() -> Iterator[Row]:
    """Arithmetic, comparison and logic."""
    half = 1 << 2047
    for name in ("ADD", "SUB", "MUL", "DIV", "MOD"):
        yield taken("simple", name, "small", 123_456_789, 97)
        right = half if name in ("MUL", "DIV", "MOD") else HUGE >> 2
        left = half - 1 if name == "MUL" else HUGE >> 1
        yield taken("sized", name, "4,000 bits", left, right)
    yield taken("sized", "MOD", "wide by narrow", HUGE, (1 << 64) - 59)
    yield taken("sized", "ADD", "text", TEXT[:30_000], TEXT[:30_000])
    yield taken("sized", "ADD", "lists", NUMBERS[:2_000], NUMBERS[:2_000])
    yield taken("simple", "POW", "small", 3, 7)
    yield taken("sized", "POW", "4,000 bits, power of 3", 3, 2_523)
    yield taken("sized", "POW", "4,000 bits, square", (1 << 2_000) - 1, 2)
    for name in ("EQ", "LT", "GTE"):
        yield taken("simple", name, "small", 5, 7)
        yield taken("sized", name, "4,096 bits", HUGE, HUGE ^ 1)
        yield taken("sized", name, "60,000 bytes", DATA, DATA[:-1] + b"\0")
    yield taken("sized", "EQ", "lists", NUMBERS, [*NUMBERS[:-1], -1])
    yield taken("sized", "EQ", "maps", TABLE, {**TABLE, "key 1999": 0})
    yield taken("sized", "EQ", "maps of keys that collide", COLLIDING, {**COLLIDING, 510 * PRIME: 0}, copies=2)
    yield taken("sized", "EQ", "nested", NESTED, [*NESTED[:-1], 0])
    for name in ("NEQ", "GT", "LTE"):
        yield taken("simple", name, "small", 5, 7)
    for name in ("AND", "OR"):
        yield taken("simple", name, "", 1, 0)
    yield taken("simple", "NEG", "small", 5)
    yield taken("sized", "NEG", "4,096 bits", HUGE)
    yield taken("simple", "NOT", "", 5)


def name_rows() -> Iterator[Row]:
    """The stack and variables."""
    yield Row("simple", "LOAD_CONST", (load(1),))
    yield Row("simple", "POP", (load(1), "POP"), (load(1),))
    yield Row("simple", "DUP", (load(1), "DUP"), (load(1),))
    before = (("STORE_CONST", "a", 1),)
    yield Row("simple", "LOAD_NAME", (("LOAD_NAME", "a"),), before=before)
    yield Row("simple", "STORE_NAME", (load(1), ("STORE_NAME", "a")), (load(1),))
    yield Row("simple", "STORE_GLOBAL", (load(1), ("STORE_GLOBAL", "a")), (load(1),))
    yield Row("simple", "STORE_CONST", (("STORE_CONST", "a", 1),))
    yield Row("simple", "JUMP", (("JUMP", "next{}"), ":next{}"))
    yield Row("simple", "JUMP_IF_FALSE", (load(0), ("JUMP_IF_FALSE", "next{}"), ":next{}"), (load(0),))


def collection_rows() -> Iterator[Row]:
    """Lists, maps, text and bytes."""
    yield taken("simple", "BUILD_LIST", "2 items", 1, 2, operand=2)
    yield taken("sized", "BUILD_LIST", "200 items", *range(200), operand=200, copies=4)
    yield taken("simple", "BUILD_MAP", "1 pair", "a", 1, operand=1)
    pairs = [item for number in range(100) for item in (f"key {number}", number)]
    yield taken("sized", "BUILD_MAP", "100 pairs", *pairs, operand=100, copies=4)
    pairs = [item for number in range(100) for item in (number * PRIME, number)]
    yield taken("sized", "BUILD_MAP", "100 keys that collide", *pairs, operand=100, copies=4)
    yield taken("simple", "INDEX", "list", NUMBERS, 7)
    yield taken("simple", "INDEX", "map", TABLE, "key 1999")
    yield taken("sized", "INDEX", "map, long key", {DATA: 1}, DATA[:-1] + b"\0")
    yield taken("sized", "INDEX", "map of keys that collide", COLLIDING, 510 * PRIME)
    yield taken("simple", "STORE_INDEX", "list of 2", [1, 2], 1, 5)
    yield taken("sized", "STORE_INDEX", "list of 4,096", NUMBERS, 7, 5)
    yield taken("sized", "STORE_INDEX", "map of 2,000", TABLE, "new", 5)
    yield taken("sized", "STORE_INDEX", "map of keys that collide", COLLIDING, 511 * PRIME, 5, copies=16)
    yield taken("simple", "LENGTH", "", NUMBERS)
    yield taken("simple", "ITEMS", "list of 2", [1, 2])
    yield taken("sized", "ITEMS", "list of 4,096", NUMBERS)
    yield taken("sized", "ITEMS", "map of 2,000", TABLE, copies=16)
    yield taken("sized", "ITEMS", "60,000 bytes", DATA, copies=4)
    yield taken("sized", "ITEMS", "60,000 letters", TEXT, copies=4)
    yield taken("simple", "SLICE", "list of 2", [1, 2], 0, 1)
    yield taken("sized", "SLICE", "list of 4,096", NUMBERS, 1, 4_096)
    yield taken("sized", "SLICE", "60,000 bytes", DATA, 1, 60_000)
    yield taken("simple", "CONTAINS", "map", TABLE, "key 1999")
    yield taken("sized", "CONTAINS", "list of 4,096", NUMBERS, -1, copies=16)
    yield taken("sized", "CONTAINS", "list of lists", NESTED, [0], copies=16)
    yield taken("sized", "CONTAINS", "text in text", "ab" * 15_000, "ab" * 7_000 + "b" + "ab" * 499, copies=4)
    yield taken("sized", "CONTAINS", "bytes in bytes", b"ab" * 15_000, b"ab" * 7_000 + b"b" + b"ab" * 499, copies=4)
    yield taken("simple", "RANGE", "2 items", 0, 2)
    yield taken("sized", "RANGE", "4,096 items", 0, 4_096, copies=16)
    yield taken("sized", "RANGE", "4,096 items from 2^4000", 1 << 4_000, (1 << 4_000) + 4_096, copies=2)


def conversion_rows() -> Iterator[Row]:
    """Kinds and encodings."""
    yield taken("simple", "TO_STRING", "small", 1234)
    yield taken("sized", "TO_STRING", "4,096 bits", HUGE, copies=32)
    yield taken("sized", "TO_STRING", "20,000 bytes", DATA[:20_000])
    yield taken("simple", "TO_INTEGER", "small", "1234")
    yield taken("sized", "TO_INTEGER", "1,230 digits", str(HUGE)[:1_230], copies=32)
    yield taken("sized", "TO_INTEGER", "512 bytes", DATA[:512])
    yield taken("simple", "TO_BYTES", "small", 1234, 8)
    yield taken("sized", "TO_BYTES", "60,000 bytes", 1234, 60_000)
    yield taken("sized", "TO_BYTES", "text", TEXT, None)
    yield taken("simple", "KIND", "", NUMBERS)
    shapes = (("list of 4,096", NUMBERS), ("map of 2,000", TABLE), ("nested", NESTED), ("60,000 bytes", DATA))
    yield taken("simple", "ENCODE", "small", 1234)
    for title, value in shapes:
        yield taken("sized", "ENCODE", title, value, copies=8)
    yield taken("simple", "DECODE", "small", canonical(1234))
    yield taken("simple", "TRY_DECODE", "small", canonical(1234))
    yield taken("sized", "TRY_DECODE", "list of 4,096, cut short", canonical(NUMBERS)[:-1], copies=8)
    for title, value in (*shapes, ("map of keys that collide", COLLIDING), ("list of small", WIDE)):
        yield taken("sized", "DECODE", title, canonical(value), copies=8)


def returning(*steps: Step, parameters: Sequence[str] = ()) -> Any:
    """A function of these instructions that returns what they leave."""
    return function("f", parameters, built((*steps, "RETURN")))


def call_rows() -> Iterator[Row]:
    """Functions, cells and tasks; what the function itself does is in the row."""
    empty, wide = returning(load(1)), returning(load(1), parameters=[f"p{number}" for number in range(16)])
    many = tuple(map(load, range(16)))
    yield Row("call", "CALL_FUNC_CONST, LOAD_CONST, RETURN", (("CALL_FUNC_CONST", empty, 0),))
    yield Row(
        "call",
        "CALL_FUNC_CONST, 16 arguments",
        (*many, ("CALL_FUNC_CONST", wide, 16)),
        many,
        copies=32,
    )
    before = (("STORE_CONST", "f", empty),)
    yield Row("call", "CALL_NAME, LOAD_CONST, RETURN", (("CALL_NAME", "f", 0),), before=before)
    yield Row("call", "CALL_TOP, LOAD_CONST, RETURN", (load(empty), ("CALL_TOP", 0)), (load(empty),))
    yield Row("call", "SPAWN", (load(empty), ("SPAWN", 0)), (load(empty),))
    yield Row("call", "SPAWN, AWAIT, LOAD_CONST, RETURN", (load(empty), ("SPAWN", 0), "AWAIT"), (load(empty),))
    yield Row("call", "CLOSURE, 16 values", (*many, ("CLOSURE", wide, 16)), many, copies=32)
    yield Row("simple", "NEW_CELL", (load(1), "NEW_CELL"), (load(1),))
    cell = (load(1), "NEW_CELL", ("STORE_NAME", "c"))
    yield Row("simple", "CELL_READ", (("LOAD_NAME", "c"), "CELL_READ"), (("LOAD_NAME", "c"),), before=cell)
    write = (("LOAD_NAME", "c"), load(1), "CELL_WRITE")
    yield Row("simple", "CELL_WRITE", write, (("LOAD_NAME", "c"), load(1)), before=cell)


def crypto_rows() -> Iterator[Row]:
    """Hashes and signatures."""
    message = b"m" * 32
    key = coincurve.PrivateKey(b"\1" * 32)
    signature = key.sign_recoverable(message)[:64]
    edwards = Ed25519PrivateKey.from_private_bytes(b"\1" * 32)
    public = edwards.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    long = b"m" * 60_000
    yield taken("crypto", "HASH_BLOCK", "small", 1)
    for title, value in (
        ("list of 4,096", NUMBERS),
        ("map of 2,000", TABLE),
        ("60,000 bytes", DATA),
        ("nested", NESTED),
    ):
        yield taken("crypto", "HASH_BLOCK", title, value, copies=8)
    yield taken("crypto", "VERIFY_SIGNATURE", "secp256k1", signature, message, key.public_key.format(), copies=4)
    yield taken("crypto", "VERIFY_SIGNATURE", "ed25519", edwards.sign(message), message, public, copies=4)
    yield taken("crypto", "VERIFY_SIGNATURE", "ed25519, 60,000 bytes", edwards.sign(long), long, public, copies=4)
    yield taken("crypto", "MERKLE_ROOT", "1 leaf", 1, operand=1)
    yield taken("crypto", "MERKLE_ROOT", "100 leaves", *range(100), operand=100, copies=4)


def state_rows() -> Iterator[Row]:
    """The state, the ledger and other contracts, in one transaction."""
    begin, commit = ("TX_BEGIN",), ("TX_COMMIT",)
    reads = (("STATE_READ", "known"), ("STATE_READ", "large"), ("STATE_READ", "missing"))
    for title, step in zip(("committed", "committed, 20,000 bytes", "missing"), reads, strict=True):
        yield Row("state", f"STATE_READ, {title}", (step,), copies=32)
    yield Row(
        "state", "STATE_READ, pending", (reads[0],), before=(*begin, load(1), ("STATE_WRITE", "known")), after=commit
    )
    write = (load(1), ("STATE_WRITE", "key{}"))
    yield Row("state", "STATE_WRITE, new, with its commit", write, (load(1),), begin, commit)
    again = (load(1), ("STATE_WRITE", "known"))
    yield Row("state", "STATE_WRITE, same key", again, (load(1),), begin, commit)
    large = (load(DATA[:20_000]), ("STATE_WRITE", "key{}"))
    yield Row("state", "STATE_WRITE, 20,000 bytes", large, (large[0],), begin, commit, copies=16)
    path = (load("balances"), load(OTHER))
    yield Row("state", "STATE_READ_AT, committed", (*path, ("STATE_READ_AT", 2)), path, copies=32)
    number = (load("balances"), load(123), load(1))
    at = (*number[:1], ("LOAD_CONST", "number {}"), number[2])
    yield Row("state", "STATE_WRITE_AT, new, with its commit", (*at, ("STATE_WRITE_AT", 2)), at, begin, commit)
    known = (*path, load(1))
    yield Row("state", "STATE_WRITE_AT, same path", (*known, ("STATE_WRITE_AT", 2)), known, begin, commit)
    wide = (load("x" * 900), ("LOAD_CONST", "number {}"), load(1))
    yield Row("state", "STATE_WRITE_AT, new, 900 bytes", (*wide, ("STATE_WRITE_AT", 2)), wide, begin, commit)
    pair = ("TX_BEGIN", "TX_COMMIT")
    yield Row("state", "TX_BEGIN, TX_COMMIT", pair)
    yield Row("state", "TX_BEGIN, TX_REVERT", ("TX_BEGIN", "TX_REVERT"))
    yield Row("state", "LEDGER_APPEND, small", (load(1), "LEDGER_APPEND"), (load(1),))
    entry = load(NUMBERS[:2_000])
    yield Row("state", "LEDGER_APPEND, list of 2,000", (entry, "LEDGER_APPEND"), (entry,), copies=8)
    emit = (load([1, 2]), load(b"d" * 32))
    yield Row("state", "EMIT, 2 topics, 32 bytes", (*emit, "EMIT"), emit)
    call = (load(OTHER), load(b""), load(0))
    yield Row("state", "CALL_CONTRACT, no code", (*call, "CALL_CONTRACT"), call, copies=32)
    yield Row("simple", "GAS_CHARGE", (("GAS_CHARGE", 0),))
    for name in ("INPUT", "CALLER", "ADDRESS", "VALUE"):
        yield Row("simple", name, (name,))
    yield Row("simple", "BLOCK", (("BLOCK", "timestamp"),))


def loaded_programs() -> Iterator[tuple[str, Bytecode]]:
    """Programs of all that takes time to read and verify; each returns at once."""
    ending = [("LOAD_CONST", 0), ("RETURN", None)]
    many = range(7_000)
    yield "equal instructions", Bytecode([1], [*ending, *(("LOAD_CONST", 0), ("POP", None)) * 7_000, *ending])
    jumps = [step for at in many for step in (("LOAD_CONST", 0), ("JUMP_IF_FALSE", 2 * at + 2))]
    yield "jumps to all over", Bytecode([1], [*jumps, *ending])
    small = [function(f"f{number}", (), Bytecode([1], ending)) for number in range(1_000)]
    yield "small functions", Bytecode([1, *small], ending)
    yield "small constants", Bytecode([1, *([[] for _ in range(1_000)] for _ in range(10))], ending)
    yield "a large constant", Bytecode([1, DATA], ending)


def rows() -> list[Row]:
    """All of them."""
    parts = (name_rows, binary_rows, collection_rows, conversion_rows, call_rows, crypto_rows, state_rows)
    return [row for part in parts for row in part()]


def unmeasured() -> list[str]:
    """Instructions that are in no row. REVERT and RETURN end a program; RETURN is in the rows of calls."""
    known = {word.strip(",") for row in rows() for word in row.name.split()}
    return sorted(opcode.name for opcode in Opcode if opcode.name not in known and opcode is not Opcode.REVERT)


# Measuring


def built(steps: Sequence[Step]) -> Bytecode:
    """The program of these instructions; `:x` sets a label."""
    builder = BytecodeBuilder()
    for step in steps:
        if isinstance(step, str) and step.startswith(":"):
            builder.label(step[1:])
        else:
            builder.emit(*((step,) if isinstance(step, str) else step))
    return builder.build()


def numbered(steps: Sequence[Step], copy: int) -> Iterator[Step]:
    """The steps with the number of their copy in names and labels."""
    for step in steps:
        if isinstance(step, str):
            yield step.replace("{}", str(copy))
        else:
            yield tuple(part.replace("{}", str(copy)) if isinstance(part, str) else part for part in step)


def contract(row: Row, piece: Sequence[Step]) -> bytes:
    """A container of the row's copies."""
    steps = [step for copy in range(row.copies) for step in numbered(piece, copy)]
    return pack(built([*row.before, *steps, *row.after, load(None), "RETURN"]))


class Bench:
    """Runs contracts on one machine that compiles nothing."""

    def __init__(self) -> None:
        code = {"size": 1 << 24, "instructions": 1 << 16, "constants": 1 << 16}
        own = {"jit": {"enabled": False}, "load_gas_per_byte": 0, "stack_limit": 65_536, "code": code}
        vm = VmFactory(Settings({"vm": {"prozvm": own}})).get_vm("prozvm")
        assert isinstance(vm, ProzVm)
        self._vm = vm
        self._records = self._prepared()

    def _prepared(self) -> MemoryState:
        """A state in which there are the records that the rows read."""
        steps: list[Step] = [
            "TX_BEGIN",
            load(1),
            ("STATE_WRITE", "known"),
            load(DATA[:20_000]),
            ("STATE_WRITE", "large"),
        ]
        steps += ["TX_COMMIT", load(None), "RETURN"]
        code = pack(built(steps))
        state = MemoryState({CONTRACT: Account(1, 1000, code, "prozvm"), CALLER: Account(1, 10**18)})
        self.once(code, state)
        state.commit()
        return state

    def once(self, code: bytes, state: MemoryState) -> tuple[float, int]:
        """Seconds and gas of one run. Raises `RuntimeError` if it fails."""
        context = ExecutionContext(caller=CALLER, address=CONTRACT, origin=CALLER, gas_limit=GAS, block=BLOCK)
        begin = time.perf_counter()
        result = self._vm.execute(code, context, state)
        taken = time.perf_counter() - begin
        if not result.success:
            raise RuntimeError(result.error)
        return taken, result.gas_used

    def loading(self, title: str, program: Bytecode, repeats: int) -> Measured:
        """Nanoseconds and gas of a byte of a program that is read and verified each time."""
        vm, code = ProzVm(ProzVmConfig(cache_size=0)), pack(program)
        seconds = float("inf")
        for _ in range(repeats + 1):
            begin = time.perf_counter()
            vm.validate_code(code)
            seconds = min(seconds, time.perf_counter() - begin)
        return Measured("load", title, seconds * 1e9 / len(code), vm.config.load_gas_per_byte)

    def measured(self, row: Row, repeats: int) -> Measured:
        """Nanoseconds and gas of one copy of the row's piece, less its base. Raises `RuntimeError`."""
        codes = [contract(row, piece) for piece in (row.piece, row.base)]
        seconds, gas = [float("inf")] * 2, [0, 0]
        for _ in range(repeats + 1):
            for side, code in enumerate(codes):
                checkpoint = self._records.snapshot()
                taken, gas[side] = self.once(code, self._records)
                self._records.revert(checkpoint)
                seconds[side] = min(seconds[side], taken)
        scale = 1e9 / row.copies
        return Measured(row.group, row.name, max(0.0, seconds[0] - seconds[1]) * scale, (gas[0] - gas[1]) / row.copies)


# Output


def middle_of(found: Sequence[Measured]) -> float:
    """The median nanoseconds for a gas of small arithmetic, by which the others are judged; of all if there is none."""
    names = ("ADD,", "SUB,", "MUL,", "DIV,", "MOD,")
    rates = [row.rate for row in found if row.group == "simple" and row.name.startswith(names)]
    return median(rates or [row.rate for row in found if row.gas] or [0.0])


def printed(found: Sequence[Measured], failed: Sequence[str], about: dict[str, str]) -> None:
    """A table for people, the cheapest for its time first; rows far above the median are red."""
    console = Console()
    middle = middle_of(found)
    shown = Table(
        title="nanoseconds and prices of ProzVM's interpreter",
        caption=f"median of arithmetic: {middle:.1f} ns for a gas; red: {FAR:g} times that and more. "
        + ", ".join(map(" ".join, about.items())),
    )
    headings: tuple[tuple[str, Literal["left", "right"]], ...] = (
        ("group", "left"), ("what", "left"), ("ns", "right"), ("gas", "right"), ("ns for a gas", "right"),
        ("times the median", "right"),
    )  # fmt: skip
    for heading, justify in headings:
        shown.add_column(heading, justify=justify)
    for row in sorted(found, key=lambda row: -row.rate):
        times = row.rate / middle if middle else 0.0
        cells = (f"{row.nanoseconds:,.0f}", f"{row.gas:,.1f}", f"{row.rate:,.2f}", f"{times:,.2f}")
        shown.add_row(row.group, row.name, *cells, style="red" if times > FAR else "")
    (console if console.is_terminal else Console(width=WIDTH)).print(shown)
    for line in failed:
        console.print(line, style="red", markup=False)


def main() -> int:
    """Measure, and print a table or JSON; 1 if a row could not be measured."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=15, help="measurements of each row")
    parser.add_argument("--filter", default="", help="only rows in whose group or name this is")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    gc.disable()
    bench = Bench()
    found, failed = [], []
    for row in rows():
        if options.filter not in f"{row.group} {row.name}":
            continue
        try:
            found.append(bench.measured(row, options.repeats))
        except (RuntimeError, VmloomError) as error:
            failed.append(f"{row.name}: {error}")
    for title, program in loaded_programs():
        if options.filter in f"load {title}":
            found.append(bench.loading(title, program, options.repeats))
    about = {"python": platform.python_version(), "coincurve": version("coincurve"), "machine": platform.machine()}
    if options.json:
        middle = middle_of(found)
        data = [
            {
                "group": row.group,
                "name": row.name,
                "nanoseconds": round(row.nanoseconds, 1),
                "gas": row.gas,
                "nanoseconds_each": round(row.rate, 3) if row.gas else None,
                "times_the_median": round(row.rate / middle, 3) if row.gas and middle else None,
            }
            for row in sorted(found, key=lambda row: -row.rate)
        ]
        print(json.dumps({**about, "rows": data, "failed": failed, "unmeasured": unmeasured()}, indent=1))
    else:
        printed(found, failed, about)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
