"""Contracts that lanes run compiled: results are the interpreter's, to the last field, wherever control leaves them."""

from __future__ import annotations

import importlib
import json
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest
from pydantic import ValidationError
from vmloom import Account
from vmloom.engine.columns import CallColumns
from vmloom.hashing import keccak256
from vmloom_cuda.accelerator import CudaAccelerator
from vmloom_cuda.config import CudaConfig
from vmloom_cuda.device.emulated import EmulatedDevice
from vmloom_cuda.device.interface import DeviceError
from vmloom_cuda.evm import CallArrays, EvmBatch, HostDevice, lane_kernels
from vmloom_cuda.evm.batch import Held
from vmloom_cuda.evm.lane_kernels import LaneKernels
from vmloom_cuda.evm.measuring import TOKEN, TRANSFER, token
from vmloom_cuda.evm.placing import calls_to_place, transactions_to_place
from vmloom_cuda.ptx import EmissionError, PtxModule, assembler
from vmloom_evm.analysis.instructions import Listing
from vmloom_evm.assembly import call, op, pop, ret_top, sstore
from vmloom_evm.demo.abi import Artifact
from vmloom_evm.jit.compile import Uncompilable
from vmloom_evm.native import layout
from vmloom_evm.native.lane_build import LaneSizes
from vmloom_evm.native.packing import TRANSACTION_SIZE, pack_transaction
from vmloom_evm.native.state import NativeState
from vmloom_evm.testing import CONTRACT, SENDER
from vmloom_evm.transaction.outcome import ALL_CHECKS
from vmloom_evm.transaction.types import Transaction

from .conftest import BLOCK, CONTRACTS, OSAKA, PROGRAMS, STORE, columns, comparable, natively, world

ALL: Final = [bytes(code) for code in (*PROGRAMS.values(), *CONTRACTS.values())]
BENCHMARKS: Final = Path(__file__).parents[3] / "benchmarks"
HOT: Final = bytes(sstore(1, op("CALLDATASIZE")()) + ret_top(7))


def compared(lanes: EvmBatch, state: NativeState, calls: CallColumns) -> int:
    """How many succeed of calls whose results all are those of the native engine."""
    wanted = natively(state, calls)
    for place, (one, other) in enumerate(zip(lanes.call(state, calls), wanted, strict=True)):
        assert comparable(one) == comparable(other), f"program {place}: {calls.codes[place].hex()}"
    return sum(one.success for one in wanted)


def lanes_with(contracts: Sequence[bytes], **options: Any) -> EvmBatch:
    """Lanes of this processor that have these contracts compiled."""
    return EvmBatch(OSAKA, HostDevice(), lanes=8, contracts=contracts, hot=None, **options)


@pytest.fixture(scope="module")
def compiled() -> EvmBatch:
    """Lanes that have all of `ALL` compiled."""
    return lanes_with(ALL)


def test_compiled_contracts_come_to_what_they_come_to_interpreted(state: NativeState, compiled: EvmBatch) -> None:
    """Called and calling, with enough gas, and with too little at many places."""
    succeeded = compared(compiled, state, columns(ALL * 2))
    assert len(ALL) // 2 < succeeded < 2 * len(ALL)
    for gas in range(100, 6_000, 607):
        compared(compiled, state, columns(ALL, gas=gas))
    assert not compiled.statistics.escapes


def test_what_runs_is_what_was_compiled(
    state: NativeState, compiled: EvmBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the number of another contract, a contract does what that one does, until it is handed to the loop."""
    storage, other = ALL[0], bytes(PROGRAMS["arithmetic"])
    numbers = compiled.lane_kernels.numbers
    exchanged = {digest: ALL.index(other) + 1 if number == 1 else number for digest, number in numbers.items()}
    monkeypatch.setattr(compiled.lane_kernels, "_numbers", exchanged)
    (result,) = compiled.call(state, columns([storage]))
    own, wanted = natively(state, columns([storage])), natively(state, columns([other]))
    assert result.gas_used == wanted[0].gas_used != own[0].gas_used
    monkeypatch.undo()
    assert compared(compiled, state, columns([storage])) == 1


# Contracts that somebody has written


def artifact(name: str) -> Artifact:
    """One of the contracts that benchmarks run, as the compiler of Vyper has made it."""
    return Artifact.parse(json.loads((BENCHMARKS / "contracts" / f"{name}.json").read_text("utf-8")))


def test_contracts_of_compilers_come_to_what_they_come_to_interpreted() -> None:
    """Tokens and a counter: transfers, approvals, refusals, methods that are not there, and creation."""
    vyper, small = artifact("token"), bytes(token())
    state = world()
    created = compared_creation(state, vyper.bytecode + bytes(64))
    state.set_account(TOKEN, Account(1, 0, small))
    lanes = lanes_with([created, small])
    slots = [int.from_bytes(bytes(31) + bytes([number]), "big") for number in range(4)]
    for slot in slots:
        state.set_storage(CONTRACT, slot, 10**20)
    state.commit()
    state.begin_transaction()
    receiver, amount = (1 << 150).to_bytes(32, "big"), (5).to_bytes(32, "big")
    inputs = [
        TRANSFER + receiver + amount,
        TRANSFER + receiver,
        TRANSFER + b"\xff" * 32 + amount,
        TRANSFER + receiver + b"\xff" * 32,
        bytes.fromhex("095ea7b3") + receiver + amount,
        bytes.fromhex("23b872dd") + SENDER.rjust(32, b"\0") + receiver + amount,
        bytes.fromhex("70a08231") + receiver,
        bytes.fromhex("18160ddd"),
        b"",
        b"\1\2\3\4\5",
    ]
    for code in (created, small):
        count = len(inputs)
        many = [CONTRACT] * count, [code] * count, [SENDER] * count, inputs, [100_000] * count
        compared(lanes, state, CallColumns(*many, gas_price=0, block=BLOCK))
        short = [CONTRACT] * count, [code] * count, [SENDER] * count, inputs, [2_700] * count
        compared(lanes, state, CallColumns(*short, gas_price=0, block=BLOCK))
    assert not lanes.statistics.escapes


def compared_creation(state: NativeState, init_code: bytes) -> bytes:
    """The code that a contract's init code leaves."""
    (result,) = natively(state, columns([init_code], gas=5_000_000))
    assert result.success, result
    return result.return_data


# Random ones


@pytest.fixture
def generators(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The writers of random programs, which are of the benchmarks and not installed."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("differential.programs"), importlib.import_module("differential.functions")


def test_random_programs_come_to_what_they_come_to_interpreted(generators: Any) -> None:
    """Phrases, mazes of jumps, and functions, on stacks that lie side by side and have little room."""
    programs, functions = generators
    rng, grammar = Random(8), programs.grammar_of("osaka")
    codes = []
    for _ in range(14):
        codes.append(programs.Writer(grammar, rng).program(rng.randrange(3, 30)))
        codes.append(programs.Maze(grammar, rng).program())
        codes.append(functions.Functions(grammar, rng).program())
    lanes = lanes_with(codes, sizes=LaneSizes(interleave=2, stack_items=32))
    succeeded = sum(compared(lanes, world(), columns(codes, gas=gas)) for gas in (200_000, 22_222, 3_000, 777))
    assert succeeded > len(codes)
    assert 0 < lanes.statistics.escapes["stack"] < 2 * len(codes)


# What is chosen


def test_what_is_called_often_is_compiled(state: NativeState) -> None:
    """And runs compiled from then on."""
    lanes = EvmBatch(OSAKA, HostDevice(), lanes=64, hot=100)
    calls = columns([HOT] * 60)
    compared(lanes, state, calls)
    uploads, contracts = lanes.statistics.uploads, lanes.lane_kernels.contracts
    assert contracts == ()
    assert compared(lanes, state, calls) == 60
    assert lanes.lane_kernels.contracts == (HOT,)
    assert lanes.statistics.uploads > uploads, "codes have other numbers"
    assert not lanes.statistics.escapes


class Choosing(LaneKernels):
    """Kernels that are not made, for a device that takes all but one of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, failing: Exception | None = None, **options: Any) -> None:
        self.loads = 0

        def load(*_: object) -> object:
            self.loads += 1
            if failing is not None:
                raise failing
            return object()

        monkeypatch.setattr(lane_kernels, "loaded", load)
        monkeypatch.setattr(PtxModule, "ptx", b"")
        super().__init__(OSAKA, LaneSizes(), EmulatedDevice(), **options)

    def notice(self, state: NativeState, calls: CallColumns) -> None:
        """As if these calls were to run."""
        placed = calls_to_place(CallArrays.of(calls), state)
        with Held(state) as held:
            self.note(held.image, placed)
        self.wait()


def test_what_is_called_now_and_then_is_not(state: NativeState, monkeypatch: pytest.MonkeyPatch) -> None:
    kernels = Choosing(monkeypatch, hot=100)
    for _ in range(10):
        kernels.notice(state, columns([HOT] * 31))
    assert kernels.loads == 0
    kernels.notice(state, columns([HOT] * 100))
    kernels.notice(state, columns([HOT] * 100))
    assert (kernels.contracts, kernels.loads) == ((HOT,), 1)


def test_receivers_of_transactions_are_counted(state: NativeState, monkeypatch: pytest.MonkeyPatch) -> None:
    kernels = Choosing(monkeypatch, hot=64)
    transactions = [Transaction(gas_limit=100_000, to=to, data=b"\1") for to in [STORE] * 64 + [SENDER] * 64]
    batch, kept = bytearray(TRANSACTION_SIZE * 128), []
    for number, tx in enumerate(transactions):
        at = TRANSACTION_SIZE * number
        kept.append(pack_transaction(batch, at, tx, SENDER, layout.TRANSACTION, ALL_CHECKS))
    with Held(state) as held:
        kernels.note(held.image, transactions_to_place(batch, 128, BLOCK.gas_limit))
    kernels.wait()
    assert kernels.contracts == (bytes(CONTRACTS[STORE]),)
    assert len(kept) == 128


def test_no_more_than_some_are_compiled(state: NativeState, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is too long never is."""
    monkeypatch.setattr(lane_kernels, "MOST_CONTRACTS", 2)
    kernels = Choosing(monkeypatch, hot=32)
    long = HOT + bytes(lane_kernels.LONGEST)
    codes = [bytes(ret_top(number)) for number in range(4)]
    for code in (long, *codes, long):
        kernels.notice(state, columns([code] * 32))
    assert kernels.contracts == tuple(codes[:2])
    assert kernels.refused == {"size": 1}


def test_what_is_only_measured_does_not_count(state: NativeState, monkeypatch: pytest.MonkeyPatch) -> None:
    kernels = Choosing(monkeypatch, hot=32)
    with kernels.unnoticed():
        kernels.notice(state, columns([HOT] * 100))
    assert kernels.loads == 0
    kernels.notice(state, columns([HOT] * 100))
    assert kernels.loads == 1


def test_batches_go_on_while_kernels_are_made(state: NativeState, monkeypatch: pytest.MonkeyPatch) -> None:
    """With those that there are: until a device has taken the others, which another thread waits for."""
    kernels = Choosing(monkeypatch, hot=32)
    taken = threading.Event()
    monkeypatch.setattr(lane_kernels, "loaded", lambda *_: taken.wait(60))
    placed = calls_to_place(CallArrays.of(columns([HOT] * 32)), state)
    with Held(state) as held:
        kernels.note(held.image, placed)
        kernels.note(held.image, placed)
    assert kernels.contracts == ()
    taken.set()
    kernels.wait()
    assert kernels.contracts == (HOT,)


def test_how_often_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the accelerator, whose own executions heed it; 0 is never."""
    assert CudaConfig().hot == lane_kernels.HOT
    for hot in (0, 500):
        accelerator = CudaAccelerator(CudaConfig(hot=hot), devices=[HostDevice()])
        with accelerator.alone() as (device,):
            batch = accelerator.calls.on(device, OSAKA)
        assert batch.lane_kernels.hot == (hot or None)
    with pytest.raises(ValidationError):
        CudaConfig(hot=-1)


def test_nothing_is_compiled_where_nobody_wants_it(state: NativeState, monkeypatch: pytest.MonkeyPatch) -> None:
    kernels = Choosing(monkeypatch, hot=None)
    kernels.notice(state, columns([HOT] * 1000))
    assert (kernels.contracts, kernels.loads) == ((), 0)


@pytest.mark.parametrize("failure", [EmissionError("LLVM does not select it"), DeviceError("the driver refuses it")])
def test_kernels_that_cannot_be_made_leave_those_that_there_are(
    state: NativeState, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    """And are not tried again."""
    kernels = Choosing(monkeypatch, failure, hot=32)
    former = kernels.kernels
    for _ in range(3):
        kernels.notice(state, columns([HOT] * 32))
    assert kernels.refused == {type(failure).__name__: 1}
    assert kernels.loads == 1
    assert (kernels.contracts, kernels.kernels, kernels.numbers) == ((), former, {})


def test_contracts_that_are_asked_for_must_be_compilable() -> None:
    with pytest.raises(Uncompilable, match="16384 are compiled for lanes"):
        EvmBatch(OSAKA, HostDevice(), contracts=[HOT, bytes(1 << 15)])
    with pytest.raises(Uncompilable, match="no code"):
        EvmBatch(OSAKA, HostDevice(), contracts=[b""])


# As PTX

SMALL_TOKEN: Final = bytes(token())
CALLING: Final = bytes(pop(call(STORE, input=(0, 32), output=(64, 32))) + sstore(2, 3) + ret_top(call(STORE, gas=9)))


@pytest.fixture(scope="module")
def emulated() -> EvmBatch:
    """Lanes on stacks that lie side by side, with few instructions, to be quick."""
    codes = [SMALL_TOKEN, CALLING, bytes(CONTRACTS[STORE])]
    used = {it.code for code in codes for it in Listing(code, OSAKA.rows).items}
    few = replace(OSAKA, disabled_opcodes=frozenset(OSAKA.rows) - used, precompiles={})
    return EvmBatch(few, EmulatedDevice(), lanes=8, contracts=codes, hot=None, sizes=LaneSizes(interleave=4))


def test_compiled_contracts_come_to_the_same_emulated(state: NativeState, emulated: EvmBatch) -> None:
    """Transfers of a token, and calls."""
    state.set_storage(CONTRACT, int.from_bytes(keccak256(SENDER.rjust(32, b"\0") + bytes(32)), "big"), 100)
    state.commit()
    state.begin_transaction()
    receiver = (1 << 150).to_bytes(32, "big")
    inputs = [TRANSFER + receiver + number.to_bytes(32, "big") for number in (1, 100, 101)] + [b""] * 5
    chosen = [SMALL_TOKEN] * 4 + [CALLING] * 3 + [bytes(CONTRACTS[STORE])]
    gas = [100_000, 100_000, 100_000, 100_000, 100_000, 30_000, 4_000, 90_000]
    many = [CONTRACT] * 8, chosen, [SENDER] * 8, inputs, gas
    assert compared(emulated, state, CallColumns(*many, gas_price=0, block=BLOCK)) == 4
    assert not emulated.statistics.escapes
    assert emulated.device.path == "emulated"


@pytest.mark.skipif(assembler.find() is None, reason=f"needs ptxas: in CUDA, or in the wheel {assembler.WHEEL}")
def test_lanes_with_compiled_contracts_stay_within_bounds(emulated: EvmBatch) -> None:
    """With 168 registers 3 blocks of 128 threads run at once."""
    needs = emulated.kernels.resources("sm_90")["run_lane"]
    assert needs.registers <= 168, needs
    assert needs.stack <= 1024, needs
    assert needs.spill_stores + needs.spill_loads <= 1024, needs
