"""Many calls, and what came of them, column by column: no object for each until somebody asks for it.

Where calls are short, making objects of them takes longer than running them. So a batch hands its calls to a VM as
`CallColumns`, and a VM that reads columns may answer with `ResultColumns`. To all others both are sequences.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, chain
from operator import attrgetter
from typing import Any, Final, overload

from ..context import BlockContext, ExecutionContext
from ..result import ExecutionResult, ExecutionState

_STATE: Final = attrgetter("state")
_GAS_USED: Final = attrgetter("gas_used")


class CallColumns(Sequence[tuple[bytes, ExecutionContext]]):
    """Plain calls in one block: of depth 0, sending no value and no blobs, not static, each from its origin.

    A call has its place in each of `addresses` and `callers` (20 bytes), `codes`, `inputs` (all of them `bytes`) and
    `gas_limits`; `gas_price` is in wei per gas and that of all. As a sequence these are code and context of each call,
    made when they are asked for; a slice is columns, too.
    """

    __slots__ = ("addresses", "block", "callers", "codes", "gas_limits", "gas_price", "inputs")

    def __init__(
        self,
        addresses: Sequence[bytes],
        codes: Sequence[bytes],
        callers: Sequence[bytes],
        inputs: Sequence[bytes],
        gas_limits: Sequence[int],
        *,
        gas_price: int,
        block: BlockContext,
    ) -> None:
        self.addresses, self.codes, self.callers = addresses, codes, callers
        self.inputs, self.gas_limits = inputs, gas_limits
        self.gas_price, self.block = gas_price, block

    def __len__(self) -> int:
        return len(self.callers)

    @overload
    def __getitem__(self, place: int) -> tuple[bytes, ExecutionContext]: ...

    @overload
    def __getitem__(self, place: slice) -> CallColumns: ...

    def __getitem__(self, place: int | slice) -> tuple[bytes, ExecutionContext] | CallColumns:
        if isinstance(place, slice):
            columns = (self.addresses, self.codes, self.callers, self.inputs, self.gas_limits)
            return CallColumns(*(column[place] for column in columns), gas_price=self.gas_price, block=self.block)  # type: ignore[arg-type]
        caller = self.callers[place]
        context = ExecutionContext(
            caller=caller,
            address=self.addresses[place],
            origin=caller,
            input=self.inputs[place],
            gas_limit=self.gas_limits[place],
            gas_price=self.gas_price,
            block=self.block,
        )
        return self.codes[place], context


class ResultColumns(Sequence[ExecutionResult], ABC):
    """Results of which some fields are columns, by place: `states` and `gas_used`, in gas.

    As a sequence it is the results, all of which are made when one is asked for. A VM that gives these vouches for
    them: an engine looks at none before its caller does. Raises `ValueError` for columns of different lengths.
    """

    __slots__ = ("_made", "gas_used", "states")

    def __init__(self, states: Sequence[ExecutionState], gas_used: Sequence[int]) -> None:
        if len(states) != len(gas_used):
            raise ValueError(f"gas_used: {len(gas_used)} of {len(states)} results")
        self.states, self.gas_used = states, gas_used
        self._made: list[ExecutionResult] | None = None

    @abstractmethod
    def make(self) -> list[ExecutionResult]:
        """The results: they do not depend on when this is called, nor on what has become of the state."""

    def _results(self) -> list[ExecutionResult]:
        made = self._made
        if made is None:  # threads that come at once get objects of their own, which are equal
            made = self._made = self.make()
        return made

    def __len__(self) -> int:
        return len(self.states)

    @overload
    def __getitem__(self, place: int) -> ExecutionResult: ...

    @overload
    def __getitem__(self, place: slice) -> list[ExecutionResult]: ...

    def __getitem__(self, place: int | slice) -> ExecutionResult | list[ExecutionResult]:
        return self._results()[place]

    def __iter__(self) -> Iterator[ExecutionResult]:
        return iter(self._results())


class FilledColumns(ResultColumns):
    """`columns` with other results in some places."""

    __slots__ = ("_columns", "_filled")

    def __init__(self, columns: ResultColumns, filled: Mapping[int, ExecutionResult]) -> None:
        states, gas_used = list(columns.states), list(columns.gas_used)
        for place, result in filled.items():
            states[place], gas_used[place] = result.state, result.gas_used
        super().__init__(states, gas_used)
        self._columns, self._filled = columns, filled

    def make(self) -> list[ExecutionResult]:
        """See `ResultColumns.make`."""
        results = self._columns.make()
        for place, result in self._filled.items():
            results[place] = result
        return results


class JoinedColumns(ResultColumns):
    """`parts`, one behind the other."""

    __slots__ = ("_parts",)

    def __init__(self, parts: Sequence[ResultColumns]) -> None:
        states = [state for part in parts for state in part.states]
        super().__init__(states, [gas for part in parts for gas in part.gas_used])
        self._parts = parts

    def make(self) -> list[ExecutionResult]:
        """See `ResultColumns.make`."""
        return [result for part in self._parts for result in part.make()]


class BatchResults(Sequence[ExecutionResult]):
    """The results of a batch, in the order of its items. Used and compared as a list of them; not to be changed."""

    __slots__ = ("_ends", "_parts")

    def __init__(self, parts: Sequence[Sequence[ExecutionResult]]) -> None:
        self._parts = parts
        self._ends = list(accumulate(map(len, parts)))

    @property
    def states(self) -> list[ExecutionState]:
        """The state of each result, for which no result has to be made."""
        return [state for part in self._parts for state in states_of(part)]

    @property
    def gas_used(self) -> list[int]:
        """The gas that each has used, for which no result has to be made."""
        return [gas for part in self._parts for gas in gas_used_of(part)]

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, place: int) -> ExecutionResult: ...

    @overload
    def __getitem__(self, place: slice) -> list[ExecutionResult]: ...

    def __getitem__(self, place: int | slice) -> ExecutionResult | list[ExecutionResult]:
        places = range(len(self))[place]  # which says what is out of range
        if isinstance(places, range):
            return [self._at(one) for one in places]
        return self._at(places)

    def _at(self, place: int) -> ExecutionResult:
        number = bisect_right(self._ends, place)
        part = self._parts[number]
        return part[place - self._ends[number] + len(part)]

    def __iter__(self) -> Iterator[ExecutionResult]:
        return chain.from_iterable(self._parts)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (BatchResults, list)):
            return NotImplemented
        return len(self) == len(other) and all(one == another for one, another in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # as that of a list

    def __repr__(self) -> str:
        return repr(list(self))

    def __reduce__(self) -> tuple[type[list[ExecutionResult]], tuple[Any, ...]]:
        return list, (list(self),)


def states_of(results: Sequence[ExecutionResult]) -> Sequence[ExecutionState]:
    """The states of results, as columns if they are."""
    return results.states if isinstance(results, ResultColumns) else list(map(_STATE, results))


def gas_used_of(results: Sequence[ExecutionResult]) -> Sequence[int]:
    """The gas that results have used, as columns if they are."""
    return results.gas_used if isinstance(results, ResultColumns) else list(map(_GAS_USED, results))
