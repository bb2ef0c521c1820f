"""Batches of calls and transactions, each on the state as it is: on a device what fits there, on the CPU the rest.

Results are those of the native engine, to the last field. An execution that the device cannot finish escapes: the CPU
runs it again from its beginning, and why is counted.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from vmloom import BlockContext, ExecutionContext, ExecutionResult
from vmloom.engine.columns import CallColumns
from vmloom.kernel.memory import size_of
from vmloom.kernel.structs import fields_of
from vmloom_evm.config import EvmConfig
from vmloom_evm.engines import native_engine
from vmloom_evm.native import lanes, layout
from vmloom_evm.native.lane_build import PRECOMPILES, LaneSizes, Slab, slab_of
from vmloom_evm.native.packing import TRANSACTION_SIZE, DoesNotFit, pack_transaction
from vmloom_evm.native.reading import TransactionReading
from vmloom_evm.native.session import refusal_of
from vmloom_evm.results import LateTransactionResult, late
from vmloom_evm.transaction.checks import ACCEPTED
from vmloom_evm.transaction.outcome import ALL_CHECKS, Checks
from vmloom_evm.transaction.types import TransactionRefused

from ..device.interface import DeviceError, Occupancy, OutOfDeviceMemory
from ..ptx import BLOCK
from .arrays import CallArrays
from .image import StateImage, Surroundings
from .lane_kernels import HOT, LaneKernels
from .outcomes import Executions, OutcomeCodes, Outcomes
from .placing import Placed, calls_to_place, transactions_to_place
from .result_arrays import ResultArrays
from .spreading import given_to

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from vmloom_evm.engine import Engine
    from vmloom_evm.native.reading import Blob
    from vmloom_evm.native.state import NativeState
    from vmloom_evm.specification import Specification
    from vmloom_evm.transaction.outcome import TransactionResult
    from vmloom_evm.transaction.types import Transaction

    from ..device.interface import Allocation, Device, Module, Stream
    from ..ptx import PtxModule
    from .placing import PlacedCalls

    Bytes = NDArray[np.uint8]
    Words = NDArray[np.uint64]

LANES: Final = 1 << 14
"""Executions at a time, by default."""
FEWEST_LANES: Final = 32
PINNED_FROM: Final = 1 << 22
"""Bytes of outcomes for which it takes longer to copy them once more than to ask for pinned memory."""
SURROUNDINGS: Final = 1 << 16
"""Bytes for what lanes read besides the state, which is some kilobytes."""
RESULT_SIZE: Final = size_of(lanes.LaneResult)
LAUNCH_WORDS: Final = size_of(lanes.Launch) // 8
NEVER: Final = (1 << 62) - 1
"""A countdown that does not end while gas lasts."""
CAUSES: Final = {
    layout.NEED_ACCOUNT: "an account is not loaded",
    layout.NEED_SLOT: "a slot is not loaded",
    layout.NEED_BLOCK_HASH: "a block hash is not at hand",
    layout.NEED_HAS_STORAGE: "whether an account has storage is not known",
    layout.NEED_GUEST: "a precompile or another VM",
    layout.NEED_ACCOUNT_ROOM: "accounts",
    layout.NEED_SLOT_ROOM: "slots",
    layout.NEED_TRANSIENT_ROOM: "transient slots",
    layout.NEED_CODE_ROOM: "codes",
    layout.NEED_JOURNAL_ROOM: "journal",
    layout.NEED_LOG_ROOM: "logs",
    layout.NEED_MEMORY_ROOM: "memory",
    layout.NEED_RETURN_ROOM: "return data",
    layout.NEED_MARKED_ROOM: "touched accounts",
    layout.NEED_CODE_BYTES: "bytes of created code",
    layout.NEED_LOG_BYTES: "bytes of logs",
    layout.NEED_OUTCOME_ROOM: "outcome",
    layout.NEED_PAUSE: "took too long",
    layout.NEED_FRAME_ROOM: "frames",
    layout.NEED_STACK_ROOM: "stack",
    layout.ABORTED: "the device failed",
    layout.NEED_CLEARED_WORDS: "a storage with words was cleared",
}
"""Why an execution escapes: what was missing, or of what a lane has too little room."""


@dataclass(slots=True)
class EvmBatchStatistics:
    """What a batch object has done so far. `kernel_seconds` are the device's, by events on its stream."""

    executions: int = 0
    launches: int = 0
    uploads: int = 0
    """Of states: one that has not changed is not uploaded again."""
    bytes_in: int = 0
    bytes_out: int = 0
    kernel_seconds: float = 0.0
    launch_seconds: float = 0.0
    """By the clock: launches with all copies, but for those of states."""
    escapes: Counter[str] = field(default_factory=Counter)
    """By cause."""
    failure: str = ""
    """What the device or its driver said when it last failed; all executions of that batch escaped."""


class Held:
    """A state that nobody changes, as lanes see it, until it is closed: used by `with`, or closed by hand.

    Others may read it meanwhile, as readers of a native state do. Raises `StateError` while something runs on it.
    """

    def __init__(self, state: NativeState) -> None:
        state.hold_still()
        self.state = state
        self.codes = OutcomeCodes(state)
        self._image: StateImage | None = None

    @property
    def image(self) -> StateImage:
        """The image of the state, made once: anew only where it has loaded more while it was released."""
        if self._image is None:
            self._image = StateImage(self.state)
        return self._image

    @contextmanager
    def released(self) -> Iterator[None]:
        """Within it, codes may be added to the state, and calls run on it that leave it as it is."""
        rows = self._rows()
        self.state.let_go()
        try:
            yield
        finally:
            self.state.hold_still()
            if self._rows() != rows:
                self._image = None

    def _rows(self) -> list[int]:
        """How many rows there are that lanes would miss: what a complete state looks up in vain adds nothing."""
        tables = ["code_count"] if self.state.source is None else ["account_count", "slot_count", "code_count"]
        return [self.state.memory.get(table) for table in tables]

    def close(self) -> None:
        """The state may be changed again. Results that are read later do not mind."""
        self.codes.source = None
        self.state.let_go()

    def __enter__(self) -> Held:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(slots=True)
class _Base:
    """A state on the device."""

    image: StateImage
    memory: Allocation
    compiled: Mapping[bytes, int]
    """Numbers of compiled contracts that its codes have."""


class EvmBatch:
    """Runs batches of one specification on one device, for one thread at a time.

    `device` is a `vmloom_cuda.device` or a `HostDevice`; `lanes` executions run at a time, fewer where its memory does
    not suffice, each for up to `patience` jumps, calls and creations. `engine` runs what escapes, by default the native
    engine; where the device fails, that is all. Code that is among `contracts`, or has been called `hot` times, runs
    compiled; see `LaneKernels`. `precompiles` are those that lanes run, by name; calls of others escape.
    """

    def __init__(
        self,
        specification: Specification,
        device: Device,
        *,
        sizes: LaneSizes | None = None,
        lanes: int = LANES,
        patience: int = NEVER,
        engine: Engine | None = None,
        contracts: Sequence[bytes] = (),
        hot: int | None = HOT,
        precompiles: Set[str] = PRECOMPILES,
    ) -> None:
        if lanes < 1:
            raise ValueError(f"lanes: {lanes}; at least one execution runs at a time")
        self.specification = specification
        self.device = device
        self.sizes = sizes or LaneSizes()
        self.lanes = lanes
        self.patience = patience
        self.precompiles = precompiles
        self.engine: Engine = engine or native_engine(EvmConfig(engine="native"))
        self.statistics = EvmBatchStatistics()
        self.failure: DeviceError | None = None
        """Of the last batch."""
        self.lane_kernels = LaneKernels(
            specification, self.sizes, device, contracts=contracts, hot=hot, precompiles=precompiles
        )
        self._slab = slab_of(self.sizes)
        self._stream: Stream = device.stream()
        self._base: _Base | None = None
        self._room: _Room | None = None

    @property
    def kernels(self) -> PtxModule:
        """The kernels, by the names of `lane_kernels.BODIES`."""
        return self.lane_kernels.kernels

    @property
    def _module(self) -> Module:
        return self.lane_kernels.module

    @property
    def occupancy(self) -> Occupancy:
        """Of the kernel that runs executions."""
        return self._module.function("run_lane").occupancy(BLOCK)

    # What runs

    def call(self, state: NativeState, calls: CallColumns) -> Sequence[ExecutionResult]:
        """The results of `calls`, each on `state` as it is. Raises `StateError` while something runs on it."""
        if not calls:
            return []
        try:
            arrays = CallArrays.of(calls)
        except DoesNotFit:
            return self._again(state, list(calls))
        return self.call_arrays(state, arrays).columns()

    def call_arrays(self, state: NativeState | Held, calls: CallArrays) -> ResultArrays:
        """What came of `calls`, each on `state` as it is, column by column: nothing is done here for each call.

        What escapes, the processor runs, and its results are in the columns. A state that is `Held` is not looked at
        again for each batch. Raises `ValueError` for contracts that the EVM cannot run and for columns on another
        device, and `StateError` while something runs on the state.
        """
        if not isinstance(state, Held):
            with Held(state) as held:
                return self.call_arrays(held, calls)
        with state.released():
            placed = self.placed(state.state, calls)
        results = self.run(state, placed)
        escaped = results.escaped.tolist()
        if escaped:
            there = calls.on_host()
            with state.released():
                chosen = [(there.code_of(there.number(place), state.state), there.context(place)) for place in escaped]
                results.fill(dict(zip(escaped, self._again(state.state, chosen), strict=True)))
        return results

    def placed(self, state: NativeState, calls: CallArrays) -> PlacedCalls:
        """Calls as `run` takes them. Raises `ValueError` as `call_arrays` does."""
        where = calls.device()
        if where is not None and where is not self.device:
            raise ValueError(f"columns are on {where.name}, and the batch runs on {self.device.name}")
        return calls_to_place(calls, state)

    def run(self, held: Held, placed: PlacedCalls) -> ResultArrays:
        """What came of calls on a state that is held. Those that escaped are listed there, and have no results."""
        ran, outcomes = self._run(held, placed.calls.block, placed)
        return ResultArrays(placed.calls.gas_limits(), self._count(ran), ran, outcomes, held.codes)

    def transact(
        self,
        state: NativeState,
        block: BlockContext,
        transactions: Sequence[Transaction],
        senders: Sequence[bytes],
        *,
        checks: Checks = ALL_CHECKS,
    ) -> list[TransactionResult | TransactionRefused]:
        """What would become of each transaction, were it the block's first: `state` is left as it is.

        Raises `StateError` while something runs on it.
        """
        count = len(transactions)
        batch = bytearray(TRANSACTION_SIZE * count)
        kept = []
        fit: list[int] = []
        for number, (tx, sender) in enumerate(zip(transactions, senders, strict=True)):
            try:
                kept.append(
                    pack_transaction(batch, TRANSACTION_SIZE * len(fit), tx, sender, layout.TRANSACTION, checks)
                )
                fit.append(number)
            except DoesNotFit:
                continue
        placed = transactions_to_place(batch, len(fit), block.gas_limit)
        found: dict[int, TransactionResult | TransactionRefused] = {}
        with Held(state) as held:
            ran, outcomes = self._run(held, block, placed)
            escaped = set(self._count(ran).tolist())
            for place, number in enumerate(fit):
                if place not in escaped:
                    given = outcomes.as_blob(), int(ran.places[place]), held.codes.as_state(), transactions[number]
                    found[number] = self._read(given, block, senders[number])
        del kept
        for number in range(count):
            if number not in found:
                found[number] = self._transact_again(state, block, transactions[number], senders[number], checks)
        return [found[number] for number in range(count)]

    def _read(
        self, given: tuple[Blob, int, NativeState, Transaction], block: BlockContext, sender: bytes
    ) -> TransactionResult | TransactionRefused:
        """What came of a transaction that the device has run. `given` is what reads it."""
        reading = TransactionReading(*given)
        if reading.header.refusal != ACCEPTED:
            return refusal_of(self.specification, reading, block, sender)
        result = late(LateTransactionResult, TransactionReading, *given)
        assert given[2].source is None or result.state_changes is not None  # read while the source has the same words
        return result

    # What escapes

    def _count(self, ran: Executions) -> NDArray[np.intp]:
        """Count the executions of a batch, and the causes of those that escaped. Returns their places."""
        again = np.flatnonzero(ran.stopped)
        self.statistics.executions += len(ran)
        for need, times in Counter(ran.stopped[again].tolist()).items():
            self.statistics.escapes[CAUSES.get(need, f"need {need:#x}")] += times
        return again

    def _again(self, state: NativeState, calls: Sequence[tuple[bytes, ExecutionContext]]) -> Sequence[ExecutionResult]:
        """Run calls on the CPU, each on the state as it is."""
        found = self.engine.execute_each(self.specification, state, calls)
        if found is not None:
            return found
        results = []
        for code, context in calls:
            begun = state.snapshot()
            result = self.engine.execute(self.specification, state, code, context)
            assert result.state_changes is not None  # read while the state has them
            state.revert(begun)
            results.append(result)
        return results

    def _transact_again(
        self, state: NativeState, block: BlockContext, tx: Transaction, sender: bytes, checks: Checks
    ) -> TransactionResult | TransactionRefused:
        """Run a transaction on the CPU, and take it back."""
        begun = state.snapshot()
        try:
            result = self.engine.transact(self.specification, state, block, tx, sender, checks=checks)
            assert result.state_changes is not None  # read while the state has them
        except TransactionRefused as refusal:
            return refusal
        finally:
            state.revert(begun)
        return result

    # What the device does

    def _run(self, held: Held, block: BlockContext, placed: Placed) -> tuple[Executions, Outcomes]:
        """Run what has been placed. Returns what became of them, in the order given, and their outcomes."""
        if not len(placed):
            return Executions(0), Outcomes()
        surroundings = Surroundings(self.specification, held.state, block, self.precompiles)
        self.failure = None
        try:
            self.lane_kernels.note(held.image, placed)
            base = self._uploaded(held.image)
            began = time.perf_counter()
            ran, outcomes = self._launches(base, surroundings, placed, held.codes)
            self.statistics.launch_seconds += time.perf_counter() - began
        except DeviceError as error:
            self.failure = error
            self.statistics.failure = str(error)
            self._base = self._room = None
            ran, outcomes = Executions(len(placed), layout.ABORTED), Outcomes()
        return ran.put_back(placed.order), outcomes

    def _uploaded(self, image: StateImage) -> _Base:
        """The image on the device."""
        base, compiled = self._base, self.lane_kernels.numbers
        if base is None or base.compiled != compiled or not image.is_that_of(base.image):
            self._base = None  # which gives its memory back
            memory = self.device.allocate(image.size)
            self._copy_in(memory.address, image.bytes_at(memory.address, compiled))
            codes = memory.address + image.offsets["codes"]
            self._stream.launch(self._module.function("analyse_code"), image.code_count, [codes], BLOCK)
            base = self._base = _Base(image, memory, compiled)
            self.statistics.uploads += 1
        return base

    def _launches(
        self, base: _Base, surroundings: Surroundings, placed: Placed, codes: OutcomeCodes
    ) -> tuple[Executions, Outcomes]:
        """Run all, as many at a time as there is room for."""
        while True:
            at_once = min(self.lanes, len(placed))
            try:
                if self._room is None or self._room.lanes < at_once:
                    self._room = None  # which gives its memory back
                    self._room = _Room(self.device, self._slab, self.sizes, at_once)
                return _Launches(self, self._room, base, surroundings, placed).run(codes)
            except OutOfDeviceMemory:
                self._room = None
                if at_once <= FEWEST_LANES:
                    raise
                self.lanes = at_once // 2

    def _memory_for(self, size: int) -> Bytes:
        """Memory for outcomes: pinned, so that they need no detour, and of few sizes, so that it is used again."""
        if size < PINNED_FROM:
            return np.empty(size, np.uint8)
        try:
            return self.device.pinned(1 << (size - 1).bit_length())[:size]
        except DeviceError:  # there is no more of it
            return np.empty(size, np.uint8)

    def _copy_in(self, address: int, array: NDArray[Any]) -> None:
        self._stream.copy_in(address, array)
        self.statistics.bytes_in += array.nbytes


class _Room:
    """Memory of the device for so many lanes, which batches use one after the other."""

    def __init__(self, device: Device, slab: Slab, sizes: LaneSizes, lanes: int) -> None:
        self.lanes = lanes
        self.outcome = -(-sizes.outcome // 8) * 8
        self.transactions = device.allocate(TRANSACTION_SIZE * lanes)
        self.results = device.allocate(RESULT_SIZE * lanes)
        self.summaries = device.allocate(8 * lanes)
        self.places = device.allocate(4 * lanes)
        self.outcomes = device.allocate(self.outcome * lanes)
        self.packed = device.allocate(self.outcome * lanes)
        self.slabs = device.allocate(slab.size * lanes)
        self.stacks = device.allocate(sizes.stacks_size(lanes) + sizes.build.stack_size)
        self.surroundings = device.allocate(SURROUNDINGS)


class _Launches:
    """A batch on the device: as many launches as it takes."""

    def __init__(self, batch: EvmBatch, room: _Room, base: _Base, surroundings: Surroundings, placed: Placed) -> None:
        self.batch, self.room, self.count = batch, room, len(placed)
        address = room.surroundings.address + 8 * LAUNCH_WORDS
        around = surroundings.bytes_at(address, base.image, base.memory.address)
        launch = self._launch(address)
        batch._copy_in(room.surroundings.address, np.concatenate([launch.view(np.uint8), around]))
        self.given = given_to(batch.device, placed, batch._copy_in, self._start)

    def _launch(self, base: int) -> Words:
        """`lanes.Launch`."""
        slab, sizes = self.batch._slab, self.batch.sizes
        stack_size = sizes.build.stack_size
        words = np.zeros(LAUNCH_WORDS, np.uint64)
        values = {
            "base": base,
            "transactions": self.room.transactions.address,
            "results": self.room.results.address,
            "outcomes": self.room.outcomes.address,
            "outcome_room": self.room.outcome,
            "slabs": self.room.slabs.address,
            "slab_size": slab.size,
            "stacks": -(-self.room.stacks.address // stack_size) * stack_size,
            "stack_size": stack_size,
            "interleave": sizes.interleave,
            "countdown": self.batch.patience,
        }
        for name, value in values.items():
            words[fields_of(lanes.Launch)[name].offset // 8] = value
        first = fields_of(lanes.Launch)["regions"].offset // 8
        words[first : first + 4 * lanes.REGION_COUNT] = np.array(slab.regions, np.uint64).reshape(-1)
        return words

    def run(self, codes: OutcomeCodes) -> tuple[Executions, Outcomes]:
        """All launches. Returns what became of the executions, in the order in which they ran, and their outcomes."""
        ran = Executions(self.count)
        parts: list[Bytes] = []
        before = 0
        for first in range(0, self.count, self.room.lanes):
            summaries = self._launched(first, min(self.count, first + self.room.lanes))
            sizes, begins = ran.summarise(first, summaries)
            parts.append(self._packed(int(sizes.sum()), begins, before))
            ran.locate(first, sizes, before, parts[-1], codes)
            before += len(parts[-1])
        return ran, Outcomes(parts)

    def _launched(self, first: int, end: int) -> Words:
        """Run executions `first` to `end`. Returns their summaries."""
        stream, room, statistics, count = self.batch._stream, self.room, self.batch.statistics, end - first
        self.given.spread(first, end, room.transactions.address)
        begun = stream.record()
        self._start("run_lane", count, room.surroundings.address)
        ended = stream.record()
        self._start("summarise", count, room.results.address, room.summaries.address)
        summaries = np.empty(count, np.uint64)
        stream.copy_out(summaries, room.summaries.address)
        stream.synchronize()
        statistics.launches += 1
        statistics.bytes_out += summaries.nbytes
        statistics.kernel_seconds += ended.seconds_since(begun)
        return summaries

    def _packed(self, size: int, begins: NDArray[np.uint32], before: int) -> Bytes:
        """The outcomes of a launch, so many bytes, of which each begins at a word; behind `before` bytes of others."""
        batch, room = self.batch, self.room
        part = batch._memory_for(size)
        if size:
            batch._copy_in(room.places.address, begins)
            addresses = room.outcomes.address, room.places.address, before, room.packed.address
            self._start("pack_outcome", len(begins), room.results.address, *addresses)
            batch._stream.copy_out(part, room.packed.address)
        batch._stream.synchronize()
        batch.statistics.bytes_out += part.nbytes
        return part

    def _start(self, kernel: str, count: int, *arguments: int) -> None:
        self.batch._stream.launch(self.batch._module.function(kernel), count, arguments, BLOCK)
