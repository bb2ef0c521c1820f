"""What came of a run, read from the bytes in which native code laid it down, field by field when somebody asks."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import repeat
from struct import Struct
from typing import Any, Final, NamedTuple, TypeAlias

from vmloom import Event, ExecutionResult, ExecutionState, StateChange
from vmloom.engine.columns import ResultColumns
from vmloom.kernel.memory import size_of

from ..fees import GAS_PER_BLOB
from ..halts import HALT_NAMES, SUCCESS
from ..reference.engine import STATES
from ..results import LateExecutionResult
from ..transaction.outcome import TransactionResult
from ..transaction.types import Transaction
from . import layout
from .changes import decode_changes, decode_events
from .packing import OUTCOME
from .sheets import Sheet
from .state import NativeState

LOG_SIZE: Final = size_of(layout.Log)
CHANGE_SIZE: Final = size_of(layout.Change)
FIRST: Final = Struct("@QQ")
"""`refusal` and `end`, the beginning of `layout.Outcome`."""
# What sets slots of frozen classes in half of the time of `object.__setattr__`, and without a step of Python for each
_new: Final = LateExecutionResult.__new__
_set_given: Final = LateExecutionResult.__dict__["_given"].__set__
_set_state: Final = ExecutionResult.__dict__["state"].__set__
_set_gas_used: Final = ExecutionResult.__dict__["gas_used"].__set__


Blob: TypeAlias = bytes | Sheet
"""Bytes of which slices are made; a sheet has to live as long as they are."""


class Header(NamedTuple):
    """`layout.Outcome`."""

    refusal: int
    end: int
    status: int
    gas_left: int
    refund: int
    gas_used: int
    max_gas_used: int
    return_size: int
    log_count: int
    log_bytes: int
    change_count: int
    created: bytes
    gas_price: bytes
    sender_nonce: int
    gas_available: int
    blob_gas_available: int
    sender_balance: bytes


class Reading:
    """The outcome at offset `at` of `blob`. `state` knows the codes that changes name by their rows.

    `records` are changes of records, which native code does not know.
    """

    __slots__ = ("_at", "_blob", "_header", "_records", "_state")

    def __init__(self, blob: Blob, at: int, state: NativeState, records: Sequence[StateChange] = ()) -> None:
        self._blob = blob
        self._at = at
        self._state = state
        self._records = records
        self._header: Header | None = None

    @property
    def header(self) -> Header:
        """Numbers and sizes."""
        header = self._header
        if header is None:
            header = self._header = Header._make(OUTCOME.unpack(self._blob[self._at : self._at + OUTCOME.size]))
        return header

    def read(self, name: str) -> Any:
        """The field `name` of the result."""
        return getattr(self, name)()

    # Fields that calls and transactions have alike

    def status(self) -> int:
        """How the first frame ended."""
        return self.header.status

    def state(self) -> ExecutionState:
        """See `ExecutionResult`."""
        return STATES.get(self.header.status, ExecutionState.FAILED)

    def error(self) -> str:
        """See `ExecutionResult`."""
        return HALT_NAMES[self.header.status]

    def return_data(self) -> bytes:
        """See `ExecutionResult`."""
        begin = self._at + OUTCOME.size
        return self._blob[begin : begin + self.header.return_size]

    def events(self) -> tuple[Event, ...]:
        """See `ExecutionResult`."""
        header = self.header
        if not header.log_count:
            return ()
        logs = self._at + OUTCOME.size + ((header.return_size + 7) & ~7)
        data = logs + LOG_SIZE * header.log_count
        return tuple(decode_events(self._blob[logs:data], self._blob[data : data + header.log_bytes]))

    def state_changes(self) -> tuple[StateChange, ...]:
        """See `ExecutionResult`."""
        header = self.header
        if not header.change_count:
            return tuple(self._records)
        begin = header.end - CHANGE_SIZE * header.change_count
        return (*decode_changes(self._blob[begin : header.end], self._state), *self._records)


class CallReading(Reading):
    """Reads the fields of an `ExecutionResult`."""

    __slots__ = ("_gas_limit",)

    def __init__(
        self, blob: Blob, at: int, state: NativeState, gas_limit: int, records: Sequence[StateChange] = ()
    ) -> None:
        self._blob = blob
        self._at = at
        self._state = state
        self._records = records
        self._header = None
        self._gas_limit = gas_limit

    def gas_used(self) -> int:
        """See `ExecutionResult`."""
        return self._gas_limit - self.header.gas_left

    def gas_refunded(self) -> int:
        """See `ExecutionResult`."""
        return max(0, self.header.refund)

    def metadata(self) -> dict[str, Any]:
        """See `ExecutionResult`."""
        return {}


class CallOutcomes(ResultColumns):
    """Results of calls that ran at once, from their outcomes, each at one of `offsets` in `blob`, and from columns.

    What everybody asks for are columns; all else each result reads from the blob, as one of a single call does.
    """

    __slots__ = ("_readings",)

    def __init__(
        self,
        blob: Blob,
        offsets: Sequence[int],
        statuses: Sequence[int],
        gas_used: Sequence[int],
        state: NativeState,
        gas_limits: Sequence[int],
    ) -> None:
        if statuses.count(SUCCESS) == len(statuses):
            states = [ExecutionState.SUCCESS] * len(statuses)
        else:
            states = [STATES.get(status, ExecutionState.FAILED) for status in statuses]
        super().__init__(states, gas_used)
        self._readings = CallReadings(blob, offsets, state, gas_limits)

    def make(self) -> list[ExecutionResult]:
        """See `ResultColumns.make`."""
        results: list[ExecutionResult] = list(map(_new, repeat(LateExecutionResult, len(self))))
        for steps in (
            map(_set_given, results, zip(repeat(self._readings.reading), range(len(self)), strict=False)),
            map(_set_state, results, self.states),
            map(_set_gas_used, results, self.gas_used),
        ):
            deque(steps, 0)
        return results


class CallReadings:
    """What results of `CallOutcomes` keep alive: not those, which keep them, lest memory wait for a collection."""

    __slots__ = ("_blob", "_gas_limits", "_offsets", "_state")

    def __init__(self, blob: Blob, offsets: Sequence[int], state: NativeState, gas_limits: Sequence[int]) -> None:
        self._blob, self._offsets, self._state, self._gas_limits = blob, offsets, state, gas_limits

    def reading(self, place: int) -> CallReading:
        """What reads the fields of one result."""
        return CallReading(self._blob, self._offsets[place], self._state, self._gas_limits[place])


def outcome_of(result: TransactionResult) -> tuple[bytes, int] | None:
    """The bytes of `layout.Outcome` that a result is read from, and where in them it is; None if there are none.

    A late result that `dataclasses.replace` has made is not read from anything.
    """
    given: tuple[Any, ...] | None = getattr(result, "_given", None)
    if given is None or given[0] is not TransactionReading or given[1].__class__ is not bytes:
        return None
    return given[1], given[2]


class TransactionReading(Reading):
    """Reads the fields of a `TransactionResult` of `tx`."""

    __slots__ = ("tx",)

    def __init__(
        self, blob: Blob, at: int, state: NativeState, tx: Transaction, records: Sequence[StateChange] = ()
    ) -> None:
        self._blob = blob
        self._at = at
        self._state = state
        self._records = records
        self._header = None
        self.tx = tx

    def gas_used(self) -> int:
        """See `TransactionResult`."""
        return self.header.gas_used

    def gas_refunded(self) -> int:
        """See `TransactionResult`."""
        return self.header.max_gas_used - self.header.gas_used

    def max_gas_used(self) -> int:
        """See `TransactionResult`."""
        return self.header.max_gas_used

    def gas_price(self) -> int:
        """See `TransactionResult`."""
        return int.from_bytes(self.header.gas_price, "little")

    def blob_gas_used(self) -> int:
        """See `TransactionResult`."""
        return GAS_PER_BLOB * len(self.tx.blob_hashes)

    def created(self) -> bytes | None:
        """See `TransactionResult`."""
        is_created = self.tx.to is None and self.header.status == SUCCESS
        return self.header.created[:20][::-1] if is_created else None
