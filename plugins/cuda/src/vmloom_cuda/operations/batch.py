"""A batch, and running a part of it on a device: memory, copies, launches, and their times.

An operation says what its rows weigh and what is launched for some of them; how many rows make a part, and what runs
at the same time as what, is decided here.
"""

from __future__ import annotations

import contextlib
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from ..device.column import DeviceColumn
from ..device.interface import (
    Allocation,
    Array,
    Device,
    DeviceError,
    Event,
    Function,
    Occupancy,
    OutOfDeviceMemory,
    Stream,
)
from ..device.on_host import loaded
from ..ptx import PtxModule

STREAMS: Final = 2
"""Parts on their way at the same time."""
Column = Array | DeviceColumn


@dataclass(frozen=True, slots=True)
class Output:
    """A column of results: its type and the shape of a row."""

    dtype: str
    row: tuple[int, ...] = ()

    def size(self, rows: int) -> int:
        """Bytes."""
        return rows * np.dtype(self.dtype).itemsize * math.prod(self.row)

    def empty(self, rows: int) -> Array:
        """Room for it."""
        return np.empty((rows, *self.row), self.dtype)


class Batch(ABC):
    """Rows of one operation. They do not depend on one another, so that any range of them can run by itself."""

    rows: int
    outputs: tuple[Output, ...]

    @abstractmethod
    def weights(self) -> int | Array:
        """Bytes that a row takes on a device; or where sizes differ, those of all rows before each and before the end.

        u64 (rows + 1) then, which need not begin with 0.
        """

    @abstractmethod
    def issue(self, part: Part, first: int, end: int) -> None:
        """Give the stream all that is to be done for a range of rows."""

    @property
    @abstractmethod
    def columns(self) -> Sequence[Column]:
        """What it was made of."""

    def device(self) -> Device | None:
        """The device that some of its columns are on, None if none is. Raises `ValueError` if they are on several."""
        found = {id(one.device): one.device for one in self.columns if isinstance(one, DeviceColumn)}
        if len(found) > 1:
            raise ValueError(f"columns are on {' and '.join(sorted(one.name for one in found.values()))}")
        return next(iter(found.values()), None)


@dataclass(slots=True)
class Counts:
    """What running a batch, or some of it, came to. Seconds are of the device, but for `seconds`."""

    rows: int = 0
    seconds: float = 0.0
    """From the first copy to the last one's end, as this computer's clock has it."""
    kernel_seconds: float = 0.0
    bytes_in: int = 0
    bytes_out: int = 0
    launches: int = 0
    parts: int = 0
    halvings: int = 0
    """How often a part was made smaller, since the device had not as much memory."""
    kernels: dict[str, Occupancy] = field(default_factory=dict)

    def add(self, other: Counts) -> None:
        """Count what another came to as well; seconds of the clock are those of the one that took longer."""
        self.seconds = max(self.seconds, other.seconds)
        for name in ("rows", "kernel_seconds", "bytes_in", "bytes_out", "launches", "parts", "halvings"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.kernels.update(other.kernels)


class Loaded:
    """A device with the modules that it has loaded. For one thread at a time."""

    def __init__(self, device: Device, *, block: int, part_bytes: int, memory_fraction: float) -> None:
        self.device, self.block = device, block
        self._part_bytes, self._memory_fraction = part_bytes, memory_fraction
        self._functions: dict[tuple[PtxModule, str], Function] = {}
        self._modules: dict[PtxModule, Any] = {}
        self._occupancies: dict[Function, Occupancy] = {}

    def function(self, module: PtxModule, kernel: str) -> Function:
        """A kernel of a module, which is emitted and loaded when it is first asked for."""
        found = self._functions.get((module, kernel))
        if found is None:
            if module not in self._modules:
                self._modules[module] = loaded(self.device, module)
            found = self._functions[module, kernel] = self._modules[module].function(kernel)
        return found

    def occupancy(self, function: Function) -> Occupancy:
        """What is known of a kernel, asked once."""
        found = self._occupancies.get(function)
        if found is None:
            found = self._occupancies[function] = function.occupancy(self.block)
        return found

    def room(self) -> int:
        """Bytes that a part may take."""
        return max(1, min(self._part_bytes, int(self.device.memory().free * self._memory_fraction) // STREAMS))

    # Running

    def run(self, batch: Batch, first: int, end: int, targets: Sequence[Array]) -> Counts:
        """Run rows `first` to `end`, and write their results into the same rows of `targets`.

        Raises `OutOfDeviceMemory` if not even one row has room, `DeviceError`.
        """
        counts, began = Counts(rows=end - first), time.perf_counter()
        streams = [self.device.stream() for _ in range(STREAMS)]
        try:
            self._run(batch, streams, first, end, targets, counts)
        except BaseException:
            for stream in streams:  # nothing may be let go of while copies of it are on their way
                with contextlib.suppress(DeviceError):
                    stream.synchronize()
            raise
        counts.seconds = time.perf_counter() - began
        return counts

    def _run(
        self, batch: Batch, streams: Sequence[Stream], first: int, end: int, targets: Sequence[Array], counts: Counts
    ) -> None:
        """Part after part, on streams in turn."""
        open_: list[Part] = []
        room, weights = self.room(), batch.weights()
        while first < end:
            size = rows_within(weights, first, end, room)
            if len(open_) == STREAMS:
                open_.pop(0).finish(counts)
            stream = streams[counts.parts % STREAMS]
            try:
                open_.append(self._begin(batch, stream, first, first + size, targets))
            except OutOfDeviceMemory:
                while open_:  # what they hold is free then
                    open_.pop(0).finish(counts)
                if size == 1:
                    raise
                counts.halvings += 1
                room = max(1, weight_of(weights, first, first + size) // 2)
                continue
            counts.parts += 1
            first += size
        while open_:
            open_.pop(0).finish(counts)

    def _begin(self, batch: Batch, stream: Stream, first: int, end: int, targets: Sequence[Array]) -> Part:
        part = Part(self, stream, [output.size(end - first) for output in batch.outputs])
        try:
            batch.issue(part, first, end)
            part.fetch([target[first:end] for target in targets])
        except OutOfDeviceMemory:
            part.finish(Counts())  # copies into what it has may be on their way
            raise
        return part

    def keep(self, batch: Batch) -> tuple[list[DeviceColumn], Counts]:
        """Run all rows, and leave the results on the device. Raises `OutOfDeviceMemory`, `DeviceError`."""
        counts, began = Counts(rows=batch.rows, parts=1), time.perf_counter()
        part = Part(self, self.device.stream(), [output.size(batch.rows) for output in batch.outputs])
        batch.issue(part, 0, batch.rows)
        part.finish(counts)
        counts.seconds = time.perf_counter() - began
        kept = [
            DeviceColumn(self.device, memory, output.dtype, (batch.rows, *output.row))
            for memory, output in zip(part.results, batch.outputs, strict=True)
        ]
        return kept, counts


class Part:
    """Some rows of a batch on their way: what was allocated and launched for them."""

    def __init__(self, loaded: Loaded, stream: Stream, result_sizes: Sequence[int]) -> None:
        self._loaded, self._stream = loaded, stream
        self._held: list[Allocation] = []
        self._sources: list[Array] = []
        """Arrays that copies on their way may read."""
        self._spans: list[tuple[Event, Event]] = []
        self.counts = Counts()
        self.results = [loaded.device.allocate(size) for size in result_sizes]

    def result(self, number: int = 0) -> int:
        """The address of a column of results."""
        return self.results[number].address

    def room(self, size: int) -> int:
        """The address of so many bytes, which are nobody's once the part has ended."""
        memory = self._loaded.device.allocate(size)
        self._held.append(memory)
        return memory.address

    def upload(self, column: Array) -> int:
        """The address of a copy of an array."""
        packed = np.ascontiguousarray(column)
        address = self.room(packed.nbytes)
        self._stream.copy_in(address, packed)
        self._sources.append(packed)
        self.counts.bytes_in += packed.nbytes
        return address

    def rows_of(self, column: Column, first: int, end: int) -> int:
        """The address of some rows of a column, copied unless they are on the device."""
        if isinstance(column, DeviceColumn):
            self._sources.append(column)  # type: ignore[arg-type]  # for as long as the part needs it
            return column.address + column.nbytes // max(1, len(column)) * first
        return self.upload(column[first:end])

    def launch(self, module: PtxModule, kernel: str, rows: int, *arguments: int) -> None:
        """Run a kernel after what the stream was given so far."""
        function = self._loaded.function(module, kernel)
        began = self._stream.record()
        self._stream.launch(function, rows, arguments, self._loaded.block)
        self._spans.append((began, self._stream.record()))
        self.counts.launches += 1
        self.counts.kernels[kernel] = self._loaded.occupancy(function)

    def fetch(self, targets: Sequence[Array]) -> None:
        """Copy the results to `targets` once they are there."""
        for target, memory in zip(targets, self.results, strict=True):
            self._stream.copy_out(target, memory.address)
            self.counts.bytes_out += target.nbytes

    def finish(self, counts: Counts) -> None:
        """Wait for all of it, count it, and let go of what it held."""
        self._stream.synchronize()
        self.counts.kernel_seconds = sum(ended.seconds_since(began) for began, ended in self._spans)
        counts.add(self.counts)
        for memory in self._held:
            memory.release()
        self._held.clear()
        self._sources.clear()


def weight_of(weights: int | Array, first: int, end: int) -> int:
    """Bytes that some rows take on a device."""
    return weights * (end - first) if isinstance(weights, int) else int(weights[end] - weights[first])


def rows_within(weights: int | Array, first: int, end: int, room: int) -> int:
    """How many rows from `first` on take at most `room` bytes, but one at least."""
    if isinstance(weights, int):
        found = room // max(1, weights)
    else:
        found = int(np.searchsorted(weights[first : end + 1], weights[first] + np.uint64(room), side="right")) - 1
    return max(1, min(found, end - first))


def shares(weights: int | Array, rows: int, parts: int) -> Iterator[tuple[int, int]]:
    """Ranges of rows of about the same weight, as many as `parts` if there are that many rows."""
    total = weight_of(weights, 0, rows)
    first = 0
    for number in range(1, parts + 1):
        if first == rows:
            return
        end = rows if number == parts else first + rows_within(weights, first, rows, total // parts)
        yield first, end
        first = end
