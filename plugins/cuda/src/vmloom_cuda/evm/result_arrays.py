"""What came of calls, as arrays: each column is made of all outcomes at once, when it is first asked for.

What a call came to is read by the readers of the native engine, one result at a time. What is here goes over the same
bytes for all calls, as far as that takes no thought: words of an account whose storage was cleared are left to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from vmloom import ExecutionResult
from vmloom.engine.columns import FilledColumns, ResultColumns
from vmloom.kernel.memory import size_of
from vmloom.kernel.structs import fields_of
from vmloom_evm.halts import HALT_NAMES
from vmloom_evm.native import layout
from vmloom_evm.native.packing import OUTCOME
from vmloom_evm.native.reading import CHANGE_SIZE, LOG_SIZE, CallOutcomes, CallReading
from vmloom_evm.results import LateExecutionResult, late

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from vmloom import Event, StateChange

    from .outcomes import Executions, OutcomeCodes, Outcomes

    Bytes = NDArray[np.uint8]
    Words = NDArray[np.uint64]

STATUSES: Final = {name: status for status, name in HALT_NAMES.items()}


def _places(kind: Any) -> dict[str, slice]:
    """Where the fields of a struct are, in words."""
    return {
        name: slice(one.offset // 8, one.offset // 8 + size_of(one.kind) * max(1, one.count) // 8)
        for name, one in fields_of(kind).items()
    }


CHANGE: Final = _places(layout.Change)
LOG: Final = _places(layout.Log)
ADDRESS: Final = 20
TOPICS: Final = 4


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


class ResultArrays(Sequence[ExecutionResult]):
    """Results of `n` calls by columns, in their order; as a sequence, the results that the native engine gives.

    `escaped` are the places of calls that the device did not finish, intp (k,), in order. Where the processor has run
    them again, all columns are complete.
    """

    def __init__(self, gas_limits: Words, ran: Executions, outcomes: Outcomes, codes: OutcomeCodes) -> None:
        self.escaped: NDArray[np.intp] = np.flatnonzero(ran.stopped)
        self.status: Bytes = ran.headers(outcomes, "status").astype(np.uint8)
        """How each ended, u8 (n,): the numbers of `vmloom_evm.halts`, 0 for success."""
        self.gas_used: Words = gas_limits - ran.headers(outcomes, "gas_left")
        """Before refunds, u64 (n,)."""
        self._gas_limits, self._ran, self._outcomes, self._codes = gas_limits, ran, outcomes, codes
        self._kept: dict[int, ExecutionResult] = {}
        """Results that are not read from outcomes."""
        if codes.source is not None:
            self._keep_what_the_source_tells()

    def _keep_what_the_source_tells(self) -> None:
        """Read now what has to be asked of the state's source, whose words are others later."""
        owners, changes = self._changes()
        asks = (changes[:, CHANGE["kind"]] == layout.EPOCH) | (changes[:, CHANGE["epoch"]] == layout.NO_EPOCH)
        for place in np.unique(owners[asks[:, 0]]).tolist():
            result = self[place]
            assert result.state_changes is not None
            self._kept[place] = result

    def fill(self, results: Mapping[int, ExecutionResult]) -> None:
        """Take the results of calls that were run elsewhere, by their places. Before any other column is asked for."""
        self._kept.update(results)
        for place, result in results.items():
            self.status[place] = STATUSES[result.error]
            self.gas_used[place] = result.gas_used

    # As a sequence

    def __len__(self) -> int:
        return len(self.status)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        place = range(len(self))[place]
        kept = self._kept.get(place)
        if kept is not None:
            return kept
        given = self._outcomes, int(self._ran.places[place]), self._codes.as_state(), int(self._gas_limits[place])
        return late(LateExecutionResult, CallReading, *given)

    def columns(self) -> ResultColumns:
        """The results as columns of Python's objects."""
        gas_limits, ran = self._gas_limits.tolist(), self._ran
        gas_left = (self._gas_limits - self.gas_used).view(np.int64).tolist()
        lists = ran.places.tolist(), self.status.tolist(), gas_left
        found = CallOutcomes(self._outcomes.as_blob(), *lists, self._codes.as_state(), gas_limits)
        return FilledColumns(found, self._kept) if self._kept else found

    # Return data

    @cached_property
    def return_sizes(self) -> Words:
        """Bytes that each call returned, u64 (n,)."""
        sizes = self._read_sizes()
        for place, result in self._kept.items():
            sizes[place] = len(result.return_data)
        return sizes

    def return_data(self, width: int | None = None) -> Bytes:
        """What each call returned, u8 (n, width): cut, or with zeros behind it. By default nothing is cut.

        Then a single long one makes all rows as long. Raises `ValueError` for a negative width.
        """
        sizes = self.return_sizes
        if width is None:
            width = int(sizes.max(initial=0))
        if width < 0:
            raise ValueError(f"width: {width}; a row has 0 bytes at least")
        begins, theirs = self._ran.places + np.uint64(OUTCOME.size), np.minimum(sizes, np.uint64(width))
        theirs[list(self._kept)] = 0
        found = _rows_of(self._outcomes, begins, theirs, width)
        for place, result in self._kept.items():
            cut = result.return_data[:width]
            found[place, : len(cut)] = np.frombuffer(cut, np.uint8)
        return found

    # Storage and logs

    @cached_property
    def storage(self) -> StorageArrays:
        """The words of storage that calls have changed. What else they have changed, results tell."""
        owners, changes = self._changes()
        cleared = owners[(changes[:, CHANGE["kind"]] == layout.EPOCH)[:, 0]]
        told = {place: self[place] for place in np.unique(cleared).tolist()} | self._kept
        # As `decode_changes` has it: a word of another epoch than that in which the run began was zero then
        is_old = changes[:, CHANGE["epoch"]] == changes[:, CHANGE["account_epoch"]]
        former, now = np.where(is_old, changes[:, CHANGE["former"]], np.uint64(0)), changes[:, CHANGE["now"]]
        chosen = (changes[:, CHANGE["kind"]] == layout.SLOT)[:, 0] & (former != now).any(axis=1)
        if told:
            chosen &= ~np.isin(owners, list(told))
        columns = _addresses(changes[:, CHANGE["address"]]), changes[:, CHANGE["key"]], former, now
        words = [
            (place, change)
            for place, result in told.items()
            for change in result.state_changes or ()
            if change.field == "storage"
        ]
        others = _change_columns([change for _, change in words])
        offsets, order = _in_order(len(self), owners[chosen], [place for place, _ in words])
        return StorageArrays(offsets, *_joined([column[chosen] for column in columns], others, order))

    def _changes(self) -> tuple[NDArray[np.intp], Words]:
        """The changes that outcomes tell of, and whose each is."""
        counts = self._ran.headers(self._outcomes, "change_count")
        begins = self._ran.headers(self._outcomes, "end") - counts * np.uint64(CHANGE_SIZE)
        owners, places = _pieces(begins, counts, CHANGE_SIZE)
        return owners, self._outcomes.words(places, CHANGE_SIZE // 8)

    @cached_property
    def logs(self) -> LogArrays:
        """The logs of all calls."""
        counts = self._ran.headers(self._outcomes, "log_count")
        counts[list(self._kept)] = 0
        begins = self._ran.places + np.uint64(OUTCOME.size) + _whole_words(self._read_sizes())
        owners, places = _pieces(begins, counts, LOG_SIZE)
        logs = self._outcomes.words(places, LOG_SIZE // 8)
        data_begins = (begins + counts * np.uint64(LOG_SIZE))[owners] + logs[:, LOG["offset"]][:, 0]
        topics, topic_counts = logs[:, LOG["topics"]].reshape(-1, TOPICS, 4), logs[:, LOG["count"]]
        topics[np.arange(TOPICS) >= topic_counts] = 0
        sizes = logs[:, LOG["size"]][:, 0]
        columns = _addresses(logs[:, LOG["address"]]), topic_counts[:, 0].astype(np.uint8), topics, sizes
        told = [(place, event) for place, result in self._kept.items() for event in result.events]
        others = _log_columns([event for _, event in told])
        offsets, order = _in_order(len(self), owners, [place for place, _ in told])
        addresses, counted, words, all_sizes = _joined(columns, others, order)
        data = _flat(self._outcomes, data_begins, sizes)
        if order is not None:
            data = np.concatenate([data, np.frombuffer(b"".join(event.data for _, event in told), np.uint8)])
            data = _reordered(data, np.concatenate([sizes, others[-1]]), order)
        return LogArrays(offsets, addresses, counted, words, _offsets_of(all_sizes), data)

    def _read_sizes(self) -> Words:
        """Bytes that outcomes say were returned."""
        return self._ran.headers(self._outcomes, "return_size")


# Pieces of outcomes


def _whole_words(sizes: Words) -> Words:
    """Bytes that so many bytes take up."""
    return (sizes + np.uint64(7)) & ~np.uint64(7)


def _offsets_of(sizes: Words) -> Words:
    """Where each of so many begins, one behind the other, and where the last one ends."""
    return np.concatenate([np.zeros(1, np.uint64), np.cumsum(sizes, dtype=np.uint64)])


def _pieces(begins: Words, counts: Words, size: int) -> tuple[NDArray[np.intp], Words]:
    """Of so many pieces of a size from each of `begins` on: to which of these each belongs, and where it begins."""
    numbers = counts.astype(np.intp)
    owners = np.repeat(np.arange(len(counts)), numbers)
    firsts = np.cumsum(numbers) - numbers
    within = np.arange(len(owners)) - firsts[owners]
    return owners, begins[owners] + within.astype(np.uint64) * np.uint64(size)


def _addresses(words: Words) -> Bytes:
    """Addresses as Python has them, u8 (m, 20), of numbers in three words."""
    return np.ascontiguousarray(np.ascontiguousarray(words).view(np.uint8)[:, ADDRESS - 1 :: -1])


def _rows_of(outcomes: Outcomes, begins: Words, sizes: Words, width: int) -> Bytes:
    """Bytes from each of `begins` on with zeros behind them: u8 (n, width)."""
    if (sizes == width).all():
        return outcomes.bytes(begins, width)
    found = np.zeros((len(sizes), width), np.uint8)
    for size in np.flatnonzero(np.bincount(sizes.astype(np.intp))).tolist():
        rows = np.flatnonzero(sizes == size)
        found[rows, :size] = outcomes.bytes(begins[rows], size)
    return found


def _flat(outcomes: Outcomes, begins: Words, sizes: Words) -> Bytes:
    """Bytes from each of `begins` on, one behind the other."""
    if len(sizes) and (sizes == sizes[0]).all():
        return outcomes.bytes(begins, int(sizes[0])).reshape(-1)
    places = _offsets_of(sizes).astype(np.intp)
    found = np.empty(places[-1], np.uint8)
    for size in np.flatnonzero(np.bincount(sizes.astype(np.intp))).tolist():
        if size:
            rows = np.flatnonzero(sizes == size)
            windows = np.ndarray(len(found) - size + 1, f"V{size}", found.data, 0, (1,))
            windows[places[rows]] = outcomes.bytes(begins[rows], size).view(windows.dtype)[:, 0]
    return found


# Results that are not read from outcomes, among those that are


def _in_order(count: int, owners: NDArray[np.intp], others: Sequence[int]) -> tuple[Words, NDArray[np.intp] | None]:
    """Offsets by call of what calls `owners`, which rise, and then `others` own; and the order in which it stands.

    That is None where there are no others.
    """
    both = np.concatenate([owners, np.array(others, np.intp)])
    offsets = _offsets_of(np.bincount(both, minlength=count).astype(np.uint64))
    return offsets, np.argsort(both, kind="stable") if others else None


def _joined(
    columns: Sequence[NDArray[Any]], others: Sequence[NDArray[Any]], order: NDArray[np.intp] | None
) -> list[NDArray[Any]]:
    """Columns with others behind them, in order."""
    if order is None:
        return list(columns)
    return [np.concatenate([one, other])[order] for one, other in zip(columns, others, strict=True)]


def _reordered(data: Bytes, sizes: Words, order: NDArray[np.intp]) -> Bytes:
    """Pieces of these sizes that stand one behind the other, in another order."""
    begins, numbers = _offsets_of(sizes).astype(np.intp)[:-1][order], sizes.astype(np.intp)[order]
    firsts = np.cumsum(numbers) - numbers
    found: Bytes = data[np.arange(len(data)) + np.repeat(begins - firsts, numbers)]
    return found


def _change_columns(changes: Sequence[StateChange]) -> tuple[NDArray[Any], ...]:
    """The columns of `StorageArrays` but for the offsets."""
    keys, former, now = (
        _words_of([getattr(change, name) for change in changes]).reshape(-1, 4) for name in ("key", "old", "new")
    )
    return _address_column([change.address for change in changes]), keys, former, now


def _log_columns(events: Sequence[Event]) -> tuple[NDArray[Any], ...]:
    """The first columns of `LogArrays` but for the offsets, and how many bytes the data of each are."""
    padded = [topic for event in events for topic in (*event.topics, *repeat(0, TOPICS - len(event.topics)))]
    counts = np.array([len(event.topics) for event in events], np.uint8)
    sizes = np.array([len(event.data) for event in events], np.uint64)
    addresses = _address_column([event.address for event in events])
    return addresses, counts, _words_of(padded).reshape(-1, TOPICS, 4), sizes


def _address_column(addresses: Iterable[bytes]) -> Bytes:
    return np.frombuffer(b"".join(addresses), np.uint8).reshape(-1, ADDRESS)


def _words_of(numbers: Iterable[int]) -> Words:
    return np.frombuffer(b"".join(number.to_bytes(32, "little") for number in numbers), np.uint64)
