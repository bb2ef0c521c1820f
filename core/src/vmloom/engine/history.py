"""What ran lately, and why what failed did so: bounded, and safe to ask while more is running."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..result import ExecutionResult, ExecutionState
from .batch import Run
from .requests import Call

_NUMBERS: Final = re.compile(r"0x[0-9a-fA-F]+|\b[0-9][0-9_]*\b")
_ITEM: Final = re.compile(r"^item \d+: ")
OTHER: Final = "other"


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


class History:
    """The last `limit` executions, the oldest first."""

    def __init__(self, limit: int) -> None:
        self._executions: deque[Execution] = deque(maxlen=limit)
        self.count = 0

    def add(self, runs: Sequence[Run], at: float) -> None:
        """Remember the last of `runs`, calls that ended by the time `at`."""
        limit = self._executions.maxlen or 0
        first = max(0, len(runs) - limit)
        for number, (call, result, seconds) in enumerate(runs[first:], self.count + first + 1):
            assert isinstance(call, Call)
            context = call.context
            self._executions.append(
                Execution(
                    number,
                    at,
                    call.vm,
                    context.address,
                    context.caller,
                    result.state,
                    context.gas_limit,
                    result.gas_used,
                    seconds,
                    "" if result.success else result.error,
                )
            )
        self.count += len(runs)

    def clear(self) -> None:
        """Forget everything; numbers begin anew."""
        self._executions.clear()
        self.count = 0

    def select(self, *, vm: str | None, contract: bytes | None, state: ExecutionState | None) -> Iterator[Execution]:
        """Those that fit, the latest first."""
        for one in reversed(tuple(self._executions)):
            if (
                (vm is None or one.vm == vm)
                and (contract is None or one.contract == contract)
                and (state is None or one.state is state)
            ):
                yield one


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
