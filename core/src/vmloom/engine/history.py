"""What ran lately, and why what failed did so: bounded, and safe to ask while more is running."""

from __future__ import annotations

import itertools
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final, NamedTuple, TypeAlias

from ..result import ExecutionResult, ExecutionState
from .batch import Part
from .columns import CallColumns, gas_used_of, states_of
from .requests import Call

_NUMBERS: Final = re.compile(r"0x[0-9a-fA-F]+|\b[0-9][0-9_]*\b")
_ITEM: Final = re.compile(r"^item \d+: ")
OTHER: Final = "other"
_ADDRESS, _CALLER, _GAS_LIMIT = map(attrgetter, ("address", "caller", "gas_limit"))


@dataclass(frozen=True, slots=True)
class Execution:
    """One execution that is remembered. `seconds` is what it took, `at` when it ended, in UNIX seconds."""

    number: int
    at: float
    vm: str
    contract: bytes
    caller: bytes
    state: ExecutionState
    gas_limit: int
    gas_used: int
    seconds: float
    error: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return {
            "number": self.number,
            "at": self.at,
            "vm": self.vm,
            "contract": "0x" + self.contract.hex(),
            "caller": "0x" + self.caller.hex(),
            "state": self.state.value,
            "gas_limit": self.gas_limit,
            "gas_used": self.gas_used,
            "seconds": self.seconds,
            "error": self.error,
        }


class Ended(NamedTuple):
    """Executions by one VM that ended, column by column: making an object for each takes ten times as long."""

    vm: str
    contracts: Sequence[bytes]
    callers: Sequence[bytes]
    states: Sequence[ExecutionState]
    gas_limits: Sequence[int]
    gas_used: Sequence[int]
    seconds: Sequence[float]
    errors: Sequence[str]
    """None at all where none failed."""

    def failures(self) -> list[int]:
        """The places of those that did not succeed."""
        if are_all(self.states, ExecutionState.SUCCESS):
            return []
        return [place for place, state in enumerate(self.states) if state is not ExecutionState.SUCCESS]


def are_all(column: Sequence[Any], value: Any) -> bool:
    """Whether a column holds nothing but `value`: found out in a hundredth of the time of going over it in Python."""
    return column.count(value) == len(column)


Executions: TypeAlias = tuple[Ended, Sequence[ExecutionResult]]
"""Their columns and their results."""


def ended(parts: Iterable[Part]) -> Iterator[Executions]:
    """The executions among `parts`, in their order, neighbours by one VM at once."""
    for (vm, are_columns), group in itertools.groupby(parts, _kind):
        if vm is None:
            continue
        if are_columns:
            yield from map(_of_columns, group)
        else:
            yield _of_calls(vm, list(group))


def _kind(part: Part) -> tuple[str | None, bool]:
    return part.vm, isinstance(part.items, CallColumns)


def _of_columns(part: Part) -> Executions:
    vm, calls, results, each = part
    assert vm is not None
    assert isinstance(calls, CallColumns)
    return _executions(vm, calls.addresses, calls.callers, calls.gas_limits, results, [each] * len(calls))


def _of_calls(vm: str, parts: Sequence[Part]) -> Executions:
    contexts = [call.context for part in parts for call in part.items if isinstance(call, Call)]
    results = [result for part in parts for result in part.results]
    seconds = [part.seconds for part in parts for _ in part.items]
    addresses, callers, gas_limits = (list(map(field, contexts)) for field in (_ADDRESS, _CALLER, _GAS_LIMIT))
    return _executions(vm, addresses, callers, gas_limits, results, seconds)


def _executions(
    vm: str,
    contracts: Sequence[bytes],
    callers: Sequence[bytes],
    gas_limits: Sequence[int],
    results: Sequence[ExecutionResult],
    seconds: Sequence[float],
) -> Executions:
    states, gas_used = states_of(results), gas_used_of(results)
    errors: Sequence[str] = ()
    if not are_all(states, ExecutionState.SUCCESS):
        errors = ["" if result.success else result.error for result in results]
    return Ended(vm, contracts, callers, states, gas_limits, gas_used, seconds, errors), results


class History:
    """The last `limit` executions."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: deque[tuple[int, float, Ended]] = deque()
        """Executions that were added at once: the first one's number, the time, and columns. The oldest come first."""
        self._held = 0
        self.count = 0

    def add(self, executions: Ended, at: float) -> None:
        """Remember the last of those that ended by the time `at`."""
        self._parts.append((self.count + 1, at, executions))
        self.count += len(executions.states)
        self._held += len(executions.states)
        while self._parts and self._held - len(self._parts[0][2].states) >= self._limit:
            self._held -= len(self._parts.popleft()[2].states)

    def clear(self) -> None:
        """Forget everything; numbers begin anew."""
        self._parts.clear()
        self._held = self.count = 0

    def select(self, *, vm: str | None, contract: bytes | None, state: ExecutionState | None) -> Iterator[Execution]:
        """Those that fit, the latest first."""
        for one in itertools.islice(self._latest(), self._limit):
            if (
                (vm is None or one.vm == vm)
                and (contract is None or one.contract == contract)
                and (state is None or one.state is state)
            ):
                yield one

    def _latest(self) -> Iterator[Execution]:
        for first, at, executions in reversed(tuple(self._parts)):
            columns = executions._replace(errors=executions.errors or [""] * len(executions.states))[1:]
            for place in reversed(range(len(executions.states))):
                row: list[Any] = [column[place] for column in columns]
                yield Execution(first + place, at, executions.vm, *row)


class ErrorAnalysis:
    """Failures by cause: messages that differ in numbers alone have one cause.

    `causes` are told apart at most, with `examples` of each; all others count as "other".
    """

    def __init__(self, causes: int, examples: int) -> None:
        self._limit = causes
        self._examples = examples
        self._causes: dict[str, dict[str, Any]] = {}
        self._total = 0

    def add(self, vm: str, contract: bytes, result: ExecutionResult, number: int) -> None:
        """Count a result that did not succeed."""
        self._total += 1
        cause = _cause(result)
        if cause not in self._causes and len(self._causes) >= self._limit:
            cause = OTHER
        found = self._causes.setdefault(cause, {"count": 0, "gas_used": 0, "vms": {}, "examples": []})
        found["count"] += 1
        found["gas_used"] += result.gas_used
        found["vms"][vm] = found["vms"].get(vm, 0) + 1
        if len(found["examples"]) < self._examples:
            found["examples"].append({"number": number, "contract": "0x" + contract.hex(), "error": result.error})

    def clear(self) -> None:
        """Forget everything."""
        self._causes.clear()
        self._total = 0

    def to_dict(self) -> dict[str, Any]:
        """`total`, and under `causes` what each one made of it, the most frequent first."""
        causes = sorted(self._causes.items(), key=lambda item: (-item[1]["count"], item[0]))
        return {
            "total": self._total,
            "causes": [
                {
                    "cause": name,
                    "count": found["count"],
                    "share": found["count"] / self._total,
                    "gas_used": found["gas_used"],
                    "vms": dict(found["vms"]),
                    "examples": list(found["examples"]),
                }
                for name, found in causes
            ],
        }


def _cause(result: ExecutionResult) -> str:
    """The error without what is special to one execution."""
    error = _ITEM.sub("", result.error) or result.state.value
    return _NUMBERS.sub("#", error)[:200]
