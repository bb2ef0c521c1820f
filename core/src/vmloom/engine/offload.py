"""Plain calls of independent batches on accelerators: which of them should take least time, by what is measured.

An accelerator tells what usual calls cost it. What calls of a contract really took, with all that escaped and had to be
run again, corrects that for this contract, and is forgotten by and by, so that it is tried again.
"""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Final, NamedTuple

from ..accelerator import Accelerator, Capability, Executed, Executions
from ..vm import VmHost, VmType
from .columns import CallColumns
from .overlay import OverlayState

if TYPE_CHECKING:
    from .router import Router

_KEPT: Final = 4096
"""Contracts of which it is known how long their calls took."""
_FORGETTING: Final = 0.9
"""What is left, each time that somebody asks, of the doubt whether an accelerator suits a contract."""


class Choice(NamedTuple):
    """An accelerator for calls, what usual ones cost there, and the seconds that so many of these should take."""

    accelerator: Accelerator
    executions: Executions
    cost: Capability
    code: bytes
    seconds: float


class Offload:
    """The accelerators of an engine, and how they did. Safe to share by threads."""

    def __init__(self, router: Router) -> None:
        self.accelerators: Final = [
            one for one in router.accelerators if type(one).executions is not Accelerator.executions
        ]
        """Those that run calls at all."""
        self._router = router
        self._slowness: dict[tuple[str, VmType, bytes], float] = {}
        self._lock = threading.Lock()

    def open(self, host: VmHost, overlay: OverlayState) -> Opened:
        """Accelerators for a batch on the source of `overlay`, whose end is theirs."""
        return Opened(self, self._router, host, overlay)

    def slowness(self, accelerator: str, vm: VmType, code: bytes) -> float:
        """How many times as long as usual calls those of `code` take, as far as anybody knows."""
        key = accelerator, vm, code
        with self._lock:
            found = self._slowness.get(key, 1.0)
            if found > 1.0:
                self._slowness[key] = 1.0 + _FORGETTING * (found - 1.0)
            return found

    def learn(self, accelerator: str, vm: VmType, code: bytes, slowness: float) -> None:
        """What calls of `code` took is known."""
        with self._lock:
            if len(self._slowness) >= _KEPT:
                self._slowness.pop(next(iter(self._slowness)))
            self._slowness[accelerator, vm, code] = slowness


class Opened:
    """The accelerators that run calls of a batch. For one thread at a time."""

    def __init__(self, offload: Offload, router: Router, host: VmHost, overlay: OverlayState) -> None:
        self._offload, self._router = offload, router
        self._host, self._overlay = host, overlay
        self._found: dict[VmType, list[tuple[Accelerator, Executions]]] = {}

    def best(self, vm: VmType, calls: CallColumns, count: int) -> Choice | None:
        """Where `count` calls such as these should take least time; None if no accelerator runs them in finite time."""
        if vm not in self._found:
            self._found[vm] = self._open(vm)
        best, code = None, calls.codes[0]
        for accelerator, executions in tuple(self._found[vm]):
            try:
                cost = executions.capability(calls)
            except Exception as error:  # a driver may raise anything
                self._give_up(vm, accelerator, executions, error)
                continue
            seconds = _seconds(cost, count) * self._offload.slowness(accelerator.name, vm, code)
            if seconds < (math.inf if best is None else best.seconds):
                best = Choice(accelerator, executions, cost, code, seconds)
        return best

    def _open(self, vm: VmType) -> list[tuple[Accelerator, Executions]]:
        found = []
        for accelerator in self._offload.accelerators:
            try:
                with self._overlay.source_alone() as source:
                    executions = None if source is None else accelerator.executions(self._host.get_vm(vm), source)
            except Exception as error:  # a driver may raise anything
                self._router.fail(accelerator, vm, error)
                continue
            if executions is not None:
                self._overlay.when_done(executions.close)
                found.append((accelerator, executions))
        return found

    def run(self, choice: Choice, vm: VmType, calls: CallColumns) -> Executed | None:
        """What came of `calls`; None if the accelerator does not run them, or failed, which is counted.

        One that has failed is asked for no more of this batch.
        """
        try:
            with self._overlay.source_alone():
                executed = choice.executions.run(calls)
            if executed is not None and len(executed.results) != len(calls):
                raise ValueError(f"{len(executed.results)} results for {len(calls)} calls")
        except Exception as error:  # a driver may raise anything, and the VM can do it as well
            self._give_up(vm, choice.accelerator, choice.executions, error)
            return None
        return executed

    def _give_up(self, vm: VmType, accelerator: Accelerator, executions: Executions, error: Exception) -> None:
        self._router.fail(accelerator, executions.operation, error)
        self._found[vm].remove((accelerator, executions))

    def learn(self, choice: Choice, vm: VmType, calls: CallColumns, seconds: float) -> None:
        """All that had to be done for `calls` took so long. One who tells that it costs nothing is believed."""
        told = _seconds(choice.cost, len(calls))
        if told:
            self._offload.learn(choice.accelerator.name, vm, choice.code, seconds / told)
        self._router.count(choice.executions.operation, choice.accelerator, len(calls), seconds)


def _seconds(cost: Capability, count: int) -> float:
    """What `count` usual calls should take."""
    return cost.fixed + count * cost.per_item
