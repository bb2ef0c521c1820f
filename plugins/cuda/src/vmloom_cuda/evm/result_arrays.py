"""What came of calls, as arrays: each column is made of all outcomes at once, when it is first asked for.

What a call came to is read by the readers of the native engine, one result at a time. Row bodies go over the same
bytes for all calls, as far as that takes no thought: words of an account whose storage was cleared are left to readers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from typing import TYPE_CHECKING, Any, Final, overload

import numpy as np
from vmloom import ExecutionResult
from vmloom.engine.columns import FilledColumns, ResultColumns
from vmloom_evm.halts import HALT_NAMES
from vmloom_evm.native.reading import CallOutcomes, CallReading
from vmloom_evm.results import LateExecutionResult, late

from .arrays import ADDRESS, WORD
from .telling import HAS_CLEARED, HAS_UNLOADED, TOPICS, host_bodies

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from vmloom import Event

    from .outcomes import Executions, OutcomeCodes, Outcomes

    Bytes = NDArray[np.uint8]
    Words = NDArray[np.uint64]

STATUSES: Final = {name: status for status, name in HALT_NAMES.items()}


@dataclass(frozen=True, slots=True, eq=False)
class StorageArrays:
    """Words of storage that calls have changed. Those of call `i` are `offsets[i]` to `offsets[i + 1]`.

    They stand in the order in which they were first written. `offsets` are u64 (n + 1,), `addresses` u8 (m, 20); slots
    and words, as they were and as they are, u64 (m, 4), least significant first.
    """

    offsets: Words
    addresses: Bytes
    slots: Words
    former: Words
    now: Words


@dataclass(frozen=True, slots=True, eq=False)
class LogArrays:
    """Logs, in their order. Those of call `i` are `offsets[i]` to `offsets[i + 1]`.

    `offsets` are u64 (n + 1,), `addresses` u8 (m, 20). `topics` are u64 (m, 4, 4), least significant first, of which
    `topic_counts`, u8 (m,), count; others are 0. The data of log `j` is `data[data_offsets[j] : data_offsets[j + 1]]`.
    """

    offsets: Words
    addresses: Bytes
    topic_counts: Bytes
    topics: Words
    data_offsets: Words
    data: Bytes

    @classmethod
    def empty(cls, offsets: Words, size: int) -> LogArrays:
        """Room for logs, whose data are so many bytes."""
        count = int(offsets[-1])
        topics = np.empty((count, TOPICS, WORD), np.uint64)
        counts = np.empty(count, np.uint8)
        data_offsets = np.zeros(count + 1, np.uint64)
        return cls(
            offsets, np.empty((count, ADDRESS), np.uint8), counts, topics, data_offsets, np.empty(size, np.uint8)
        )

    def put(self, place: int, begin: int, events: Iterable[Event]) -> None:
        """Write logs from a place on, whose data begin there."""
        for number, event in enumerate(events, place):
            self.addresses[number] = np.frombuffer(event.address, np.uint8)
            self.topic_counts[number] = len(event.topics)
            self.topics[number] = _words_of((*event.topics, *repeat(0, TOPICS - len(event.topics))))
            end = begin + len(event.data)
            self.data[begin:end] = np.frombuffer(event.data, np.uint8)
            self.data_offsets[number + 1] = begin = end


class ResultArrays(Sequence[ExecutionResult]):
    """Results of `n` calls by columns, in their order; as a sequence, the results that the native engine gives.

    `escaped` are the places of calls that the device did not finish, intp (k,), in order. Where the processor has run
    them again, all columns are complete.
    """

    def __init__(
        self, gas_limits: Words, escaped: NDArray[np.intp], ran: Executions, outcomes: Outcomes, codes: OutcomeCodes
    ) -> None:
        count = len(gas_limits)
        self.escaped = escaped
        self.status: Bytes = np.zeros(count, np.uint8)
        """How each ended, u8 (n,): the numbers of `vmloom_evm.halts`, 0 for success."""
        self.return_sizes: Words = np.zeros(count, np.uint64)
        """Bytes that each returned, u64 (n,)."""
        gas_left = np.zeros(count, np.uint64)
        self._gas_limits, self._places, self._outcomes, self._codes = gas_limits, ran.places, outcomes, codes
        self._addresses = ran.addresses
        self._tell("tell_heads", self.status, gas_left, self.return_sizes)
        self.gas_used: Words = gas_limits - gas_left
        """Before refunds, u64 (n,)."""
        self._kept: dict[int, ExecutionResult] = {}
        """Results that are not read from outcomes."""
        if codes.source is not None:
            self._keep(HAS_CLEARED | HAS_UNLOADED)  # what takes the source's words, which are others later

    def _tell(self, body: str, *columns: NDArray[Any] | int) -> None:
        """Let one of `telling` fill columns."""
        given = (one if isinstance(one, int) else one.ctypes.data for one in columns)
        host_bodies().run(body, len(self), self._addresses.ctypes.data, *given)

    def _keep(self, flags: int) -> Words:
        """Have the reader tell what takes more than to look at words. Returns how many each of the others changed."""
        counts, flagged = np.zeros(len(self), np.uint64), np.zeros(len(self), np.uint8)
        self._tell("count_words", counts, flagged)
        found = {place: self[place] for place in np.flatnonzero(flagged & np.uint8(flags)).tolist()}
        for result in found.values():
            assert result.state_changes is not None  # read now
        self._take(found)
        return counts

    def _take(self, results: Mapping[int, ExecutionResult]) -> None:
        self._kept.update(results)
        self._addresses[list(results)] = 0

    def fill(self, results: Mapping[int, ExecutionResult]) -> None:
        """Take the results of calls that were run elsewhere, by their places. Before columns are asked for."""
        self._take(results)
        for place, result in results.items():
            self.status[place] = STATUSES[result.error]
            self.gas_used[place] = result.gas_used
            self.return_sizes[place] = len(result.return_data)

    # As a sequence

    def __len__(self) -> int:
        return len(self.status)

    @overload
    def __getitem__(self, place: int) -> ExecutionResult: ...

    @overload
    def __getitem__(self, place: slice) -> list[ExecutionResult]: ...

    def __getitem__(self, place: int | slice) -> ExecutionResult | list[ExecutionResult]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        place = range(len(self))[place]
        kept = self._kept.get(place)
        if kept is not None:
            return kept
        given = self._outcomes.as_blob(), int(self._places[place]), self._codes.as_state()
        return late(LateExecutionResult, CallReading, *given, int(self._gas_limits[place]))

    def columns(self) -> ResultColumns:
        """The results as columns of Python's objects."""
        lists = self._places.tolist(), self.status.tolist(), self.gas_used.tolist()
        blob, state, gas_limits = self._outcomes.as_blob(), self._codes.as_state(), self._gas_limits.tolist()
        found = CallOutcomes(blob, *lists, state, gas_limits)
        return FilledColumns(found, self._kept) if self._kept else found

    # Columns that are made when they are asked for

    def return_data(self, width: int | None = None) -> Bytes:
        """What each call returned, u8 (n, width): cut, or with zeros behind it. By default nothing is cut.

        Then a single long one makes all rows as long. Raises `ValueError` for a negative width.
        """
        if width is None:
            width = int(self.return_sizes.max(initial=0))
        if width < 0:
            raise ValueError(f"width: {width}; a row has 0 bytes at least")
        is_full = bool((self.return_sizes >= width).all())
        found = (np.empty if is_full else np.zeros)((len(self), width), np.uint8)
        self._tell("tell_return_data", width, found)
        for place, result in self._kept.items():
            cut = result.return_data[:width]
            found[place, : len(cut)] = np.frombuffer(cut, np.uint8)
        return found

    @cached_property
    def storage(self) -> StorageArrays:
        """The words of storage that calls have changed. What else they have changed, results tell."""
        counts = self._keep(HAS_CLEARED)
        told = {
            place: [change for change in result.state_changes or () if change.field == "storage"]
            for place, result in self._kept.items()
        }
        for place, changes in told.items():
            counts[place] = len(changes)
        offsets = _offsets_of(counts)
        shapes = ((ADDRESS,), np.uint8), *(((WORD,), np.uint64) for _ in range(3))
        columns = [np.empty((int(offsets[-1]), *shape), kind) for shape, kind in shapes]
        self._tell("tell_words", offsets, *columns)
        for place, changes in told.items():
            theirs = (
                _addresses_of(change.address for change in changes),
                *(_words_of(getattr(change, name) for change in changes) for name in ("key", "old", "new")),
            )
            for column, rows in zip(columns, theirs, strict=True):
                column[int(offsets[place]) : int(offsets[place + 1])] = rows
        return StorageArrays(offsets, *columns)

    @cached_property
    def logs(self) -> LogArrays:
        """The logs of all calls."""
        counts, sizes = np.zeros(len(self), np.uint64), np.zeros(len(self), np.uint64)
        self._tell("count_logs", counts, sizes)
        for place, result in self._kept.items():
            counts[place] = len(result.events)
            sizes[place] = sum(len(event.data) for event in result.events)
        offsets, begins = _offsets_of(counts), _offsets_of(sizes)
        found = LogArrays.empty(offsets, int(begins[-1]))
        ends = found.data_offsets[1:]
        self._tell("tell_logs", offsets, begins, found.addresses, found.topic_counts, found.topics, ends, found.data)
        for place, result in self._kept.items():
            found.put(int(offsets[place]), int(begins[place]), result.events)
        return found


def _offsets_of(counts: Words) -> Words:
    """Where each of so many begins, one behind the other, and where the last one ends."""
    offsets = np.zeros(len(counts) + 1, np.uint64)
    np.cumsum(counts, out=offsets[1:])
    return offsets


def _addresses_of(addresses: Iterable[bytes]) -> Bytes:
    return np.frombuffer(b"".join(addresses), np.uint8).reshape(-1, ADDRESS)


def _words_of(numbers: Iterable[int]) -> Words:
    return np.frombuffer(b"".join(number.to_bytes(32, "little") for number in numbers), np.uint64).reshape(-1, WORD)
