"""`ExecutionEngine`: every VM, one state, batches, accelerators, and what is known of what ran."""

from __future__ import annotations

import asyncio
import functools
import itertools
import os
import threading
import time
from collections import Counter
from collections.abc import AsyncGenerator, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final, Literal

from ..accelerator import Accelerator
from ..bytecode import CodeAnalysis, OptimisationReport
from ..errors import InputError, Unsupported
from ..factory import VmFactory
from ..result import ExecutionResult, ExecutionState
from ..state import StateAccess
from ..vm import VmHost
from . import requests
from .asynchronous import Turn, in_thread, next_few, undone_if_cancelled
from .batch import (
    Cancellation,
    GivenSource,
    ItemSource,
    Part,
    Progress,
    Schedule,
    Source,
    ThreadCounts,
    run_independent,
)
from .columns import BatchResults
from .contract import SmartContract
from .counting import CountingHost
from .history import Ended, ErrorAnalysis, History, ended
from .intake import Given, Intake
from .logs import count_states, listener, log_batch, log_executions
from .measuring import measure
from .metrics import Metrics, with_packing
from .offload import Offload
from .operations import Operation, known_operations
from .optimising import check_bytes, optimise
from .optimistic import BlockCounts, run_block
from .requests import AddressLike, BlockLike
from .router import Router, run_operations
from .running import Item

if TYPE_CHECKING:
    from .config import EngineConfig

Mode = Literal["independent", "block"]
"""How the items of a batch stand to one another: see `ExecutionEngine.execute_contracts_batch`."""
CUDA: Final = "cuda"
_REMEMBERED_AT_ONCE: Final = 1024
_NOTHING: Final[Any] = object()
"""In place of what there is none of, where one iterable is longer than the other."""


class ExecutionEngine:
    """Executes contracts of every installed VM on one state, and remembers what it did.

    `factory` finds VMs and accelerators, by default with default settings; `state` is what single calls and blocks
    change, by default an empty one in memory; `config` is by default the section `[engine]` of the factory's settings.
    Changes stay in the state's undo log until its owner commits. One thread at a time may run on the state; an engine
    runs threads of its own.
    """

    def __init__(
        self,
        factory: VmFactory | None = None,
        state: StateAccess | None = None,
        *,
        config: EngineConfig | None = None,
    ) -> None:
        self.factory: Final = factory or VmFactory()
        self.state: Final = self.factory.create_state() if state is None else state
        self.config: Final = config or self.factory.settings.engine
        self._host: Final[VmHost] = CountingHost(self.factory) if self.config.opcode_metrics else self.factory
        self._reading = threading.Lock()
        """Held by whichever thread of a batch reads the state, which is made for one at a time."""
        self._remembering = threading.Lock()
        """Held by whoever changes or reads what is remembered: several batches may run at once."""
        self._turn = Turn()
        self._metrics = Metrics()
        self._history = History(self.config.history)
        self._errors = ErrorAnalysis(self.config.error_causes, self.config.error_examples)

    # Single calls

    def execute_contract(
        self,
        contract: SmartContract | AddressLike | Mapping[str, Any],
        caller: AddressLike,
        value: int = 0,
        data: bytes | str = b"",
        gas_limit: int = requests.DEFAULT_GAS_LIMIT,
        block_context: BlockLike = None,
    ) -> ExecutionResult:
        """Call `contract` as a transaction of its own. `value` is wei, `gas_limit` gas.

        A success leaves its changes in the engine's state. A contract that fails is a result. Raises `InputError` for
        what is no call, `UnknownContract` where there is no code, `UnknownVm`, and `CodeError` for code that its VM
        cannot run at all.
        """
        found = requests.contract_of(contract)
        given = {"caller": caller, "value": value, "data": data, "gas_limit": gas_limit, "block_context": block_context}
        call = requests.call_of(found, requests.context_of(found, given), self.state, self._host)
        begun = time.perf_counter()
        result = self._host.get_vm(call.vm).execute_call(call.code, call.context, self.state)
        self._remember([Part.of_one(call, result, time.perf_counter() - begun)])
        return result

    # Batches

    def execute_contracts_batch(
        self,
        contracts: Iterable[SmartContract | AddressLike | Mapping[str, Any]],
        execution_data: Iterable[Mapping[str, Any]],
        *,
        mode: Mode = "independent",
        progress: Progress | None = None,
        cancellation: Cancellation | None = None,
    ) -> BatchResults:
        """One result for each contract and its data, in their order, used as a list of them.

        The keys of data are the parameters of `execute_contract`. In mode `independent` every item runs on the state
        as it is and leaves it so: its changes are in its result. In mode `block` each runs on what those before it
        left, as they would one after the other, and the state has all changes at the end; those of what ran, if it is
        cancelled, and none if it is interrupted or `progress` raises.

        What is wrong with an item is its result, FAILED, whose error and metadata have its index: nothing else is lost.
        Raises `InputError` if there are not as many data as contracts. What is handed in for an item may be read, by a
        thread, any time until its result is there, so an iterable must not hand out one object again with other values.
        """
        checkpoint = self.state.snapshot()
        try:
            with closing(self._run_batch(contracts, execution_data, mode, progress, cancellation)) as parts:
                return BatchResults([part.results for part in parts])
        except BaseException:  # which may come after all has run
            self.state.revert(checkpoint)
            raise

    def iterate_contracts_batch(
        self,
        contracts: Iterable[SmartContract | AddressLike | Mapping[str, Any]],
        execution_data: Iterable[Mapping[str, Any]],
        *,
        cancellation: Cancellation | None = None,
    ) -> Generator[ExecutionResult, None, None]:
        """As `execute_contracts_batch` with independent items, one result after the other.

        Items are taken no further ahead than `EngineConfig.queue`; closing the iterator cancels what has not begun.
        Until it is closed or at its end, threads read the state: neither use nor change it.
        """
        with closing(self._run_batch(contracts, execution_data, "independent", None, cancellation)) as parts:
            for part in parts:
                yield from part.results

    def _source(self, contracts: Iterable[Any], execution_data: Iterable[Any]) -> Source:
        """What independent items are taken from.

        What is in sequences, where nobody changes it on the way, is left for threads to make items of.
        """
        if isinstance(contracts, Sequence) and isinstance(execution_data, Sequence):
            _check_lengths(contracts, execution_data)
            return GivenSource(contracts, execution_data)
        intake = self._intake()
        return ItemSource(intake.item(Given(*both)) for both in _pairs(contracts, execution_data))

    def _intake(self) -> Intake:
        return Intake(self.state, self._host, self._reading)

    def _run_batch(
        self,
        contracts: Iterable[Any],
        execution_data: Iterable[Any],
        mode: Mode,
        progress: Progress | None,
        cancellation: Cancellation | None,
    ) -> Generator[Part, None, None]:
        """All items in their order, some at once."""
        config = self.config
        schedule = Schedule(config.threads or _processors(), config.queue, config.serial_below, config.ahead_from)
        if mode == "independent":
            parts = self._run_independent(self._source(contracts, execution_data), schedule, progress, cancellation)
        elif mode == "block":
            items = [requests.request_of(*both) for both in _pairs(contracts, execution_data)]
            parts = self._run_block(items, schedule, progress, cancellation)
        else:
            raise InputError(f"mode: independent or block, not {mode!r}")
        with closing(parts):
            yield from self._remembered(parts, mode)

    def _remembered(self, parts: Iterable[Part], mode: Mode) -> Iterator[Part]:
        """`parts`, of which a number of items at once is remembered and logged."""
        if self.config.metrics:
            self._metrics.add_batch(mode)
        log, states = listener(), Counter[ExecutionState]()
        pending: list[Part] = []
        count = 0
        begun = time.perf_counter()
        try:
            for part in parts:
                pending.append(part)
                count += len(part.results)
                if count >= _REMEMBERED_AT_ONCE:
                    self._remember(pending)
                    if log is not None:
                        states += count_states(pending)
                    pending, count = [], 0
                yield part
        finally:
            self._remember(pending)
            if log is not None:
                log_batch(log, mode, states + count_states(pending), time.perf_counter() - begun)

    # Operations and bytecode

    def execute_operations_batch(self, operations: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """One result for each operation, in their order: `{"operation", "result", "path"}`.

        An item names its `operation` and has the fields that this one takes; see `operations`. Those of one name run as
        one batch on the path that should take least time, an accelerator or Python. What is wrong with an item is its
        result, `{"operation", "index", "error"}`.
        """
        return run_operations(operations, self._operations, self._router)

    @functools.cached_property
    def _operations(self) -> Mapping[str, Operation]:
        return known_operations(self.factory.precompile_sets(self.factory.default_vm))

    @functools.cached_property
    def _router(self) -> Router:
        names = self.config.accelerators
        found = self.factory.accelerators() if names is None else [self.factory.accelerator(name) for name in names]
        return Router(found, self._metrics if self.config.metrics else None)

    @functools.cached_property
    def _offload(self) -> Offload:
        return Offload(self._router)

    def _is_worth_asking(self, source: Source) -> bool:
        """Whether accelerators may have calls of a batch. They do not count instructions."""
        config = self.config
        is_long = source.left is not None and source.left >= config.accelerate_from
        return is_long and config.accelerators != () and not config.opcode_metrics and bool(self._offload.accelerators)

    def optimization_reports(
        self,
        bytecode_list: Iterable[bytes],
        *,
        optimization_rules: Sequence[str] | None = None,
        optimization_level: int = 1,
        vm: str = "",
    ) -> list[OptimisationReport]:
        """What optimising each code came to; `vm` is the VM of all, by default the one that each begins like.

        Code that its VM refuses, cannot optimise, or fails at is left as it is, with the reason in its report. Raises
        `InputError` for what is not bytes, a rule or a level that does not exist, and `UnknownVm`.
        """
        codes = list(bytecode_list)
        check_bytes(codes)
        return [
            optimise(
                self.factory.get_vm(vm or self.factory.vm_of_code(code)), code, optimization_rules, optimization_level
            )
            for code in codes
        ]

    def process_bytecode_batch(
        self, bytecode_list: Iterable[bytes], optimization_level: int = 1, *, vm: str = ""
    ) -> list[bytes]:
        """Each code optimised by the rules of a level, 0 (none) to 3 (all). See `optimization_reports`."""
        reports = self.optimization_reports(bytecode_list, optimization_level=optimization_level, vm=vm)
        return [report.code for report in reports]

    def optimize_bytecode_batch(
        self, bytecode_list: Iterable[bytes], optimization_rules: Sequence[str], *, vm: str = ""
    ) -> list[bytes]:
        """Each code optimised by the rules of these names. See `optimization_reports`."""
        reports = self.optimization_reports(bytecode_list, optimization_rules=optimization_rules, vm=vm)
        return [report.code for report in reports]

    def analyse_bytecode(self, code: bytes, *, vm: str = "") -> CodeAnalysis:
        """What can be told of `code` without running it. Raises `CodeError`, `UnknownVm` and `Unsupported`."""
        return self.factory.get_vm(vm or self.factory.vm_of_code(code)).analyse(code)

    def benchmark_vm_performance(
        self,
        test_data: Sequence[Mapping[str, Any]],
        num_iterations: int = 10,
        *,
        cancellation: Cancellation | None = None,
    ) -> dict[str, Any]:
        """Times of calling each of `test_data`, and of calling all as a batch, over `num_iterations` turns.

        An item has `contract` beside the keys of `execute_contracts_batch`, and maybe a `name`. Nothing stays changed,
        nor is it counted. Times are in seconds; what fails is reported with its error. Raises `InputError` for no
        turns, and `concurrent.futures.CancelledError` between two turns once it is cancelled.
        """
        return measure(self, test_data, num_iterations, cancellation or Cancellation())

    def _run_independent(
        self, source: Source, schedule: Schedule, progress: Progress | None, cancellation: Cancellation | None
    ) -> Generator[Part, None, None]:
        counts = ThreadCounts()
        parts = run_independent(
            source,
            self.state,
            self._host,
            schedule,
            intake=self._intake(),
            lock=self._reading,
            counts=counts,
            offload=self._offload if self._is_worth_asking(source) else None,
            progress=progress,
            cancellation=cancellation,
        )
        try:
            with closing(parts):
                yield from parts
        finally:
            if self.config.metrics:
                self._metrics.add_independent(**counts.to_dict())

    def _run_block(
        self, items: Sequence[Item], schedule: Schedule, progress: Progress | None, cancellation: Cancellation | None
    ) -> Generator[Part, None, None]:
        counts = BlockCounts()
        parts = run_block(
            items,
            self.state,
            self._host,
            schedule,
            conflict_limit=self.config.conflict_limit,
            counts=counts,
            progress=progress,
            cancellation=cancellation,
        )
        with closing(parts):
            yield from parts
        if self.config.metrics:
            self._metrics.add_block(**asdict(counts))

    # What is known of what ran

    def get_performance_metrics(self) -> dict[str, Any]:
        """Executions, gas and times since the last reset, by VM and contract; batches and operations by their path."""
        return self._metrics.to_dict()

    def get_opcode_usage_stats(self) -> dict[str, Any]:
        """What instructions did, by VM and name, where `opcode_metrics` is on; the costliest first."""
        return self._metrics.instructions()

    def get_error_analysis(self) -> dict[str, Any]:
        """Failures by cause, with examples; the most frequent first."""
        with self._remembering:
            return self._errors.to_dict()

    def prometheus_metrics(self) -> str:
        """The counts of `get_performance_metrics` in Prometheus's text format.

        Raises `Unsupported` where `vmloom-core[metrics]` is not installed.
        """
        try:
            from .exposition import exposition
        except ModuleNotFoundError as error:
            raise Unsupported(f"metrics for Prometheus need {error.name}").with_fix(
                'pip install "vmloom-core[metrics]"'
            ) from None
        return exposition(self.get_performance_metrics(), self.get_error_analysis())

    def get_execution_history(
        self,
        limit: int | None = None,
        *,
        vm: str | None = None,
        contract: AddressLike | None = None,
        state: ExecutionState | None = None,
    ) -> list[dict[str, Any]]:
        """The latest executions first, up to `limit`; of a VM, contract or way to end, where they are given."""
        if limit is not None and limit < 0:
            raise InputError(f"limit: must not be negative, got {limit}")
        address = None if contract is None else requests.address(contract, "contract")
        with self._remembering:
            found = self._history.select(vm=vm, contract=address, state=state)
            return [one.to_dict() for one in itertools.islice(found, limit)]

    def reset_metrics(self) -> None:
        """Forget all counts, the history and the errors."""
        with self._remembering:
            self._metrics.clear()
            self._history.clear()
            self._errors.clear()

    def _remember(self, parts: Sequence[Part]) -> None:
        """Count and log calls that ran, and keep the last ones."""
        log = listener() if self.config.log_executions else None
        if not self.config.metrics and log is None:
            return
        for executions, results in ended(parts):
            if log is not None:
                log_executions(log, executions)
            if self.config.metrics:
                self._count(executions, results)

    def _count(self, executions: Ended, results: Sequence[ExecutionResult]) -> None:
        with self._remembering:
            for place in executions.failures():
                number = self._history.count + 1 + place
                self._errors.add(executions.vm, executions.contracts[place], results[place], number)
            if self.config.opcode_metrics:
                for result in results:
                    self._metrics.add_instructions(executions.vm, result)
            self._history.add(executions, time.time())
            self._metrics.add(executions)

    # Accelerators

    @functools.cached_property
    def cuda_accelerator(self) -> Accelerator | None:
        """The accelerator called `cuda`, looked for when first asked; None where none is installed."""
        return self.factory.accelerator(CUDA) if CUDA in self.factory.plugins.names("accelerator") else None

    def get_cuda_performance_metrics(self) -> dict[str, Any]:
        """What the accelerator called `cuda` is and did: `available`, `reason`, `device`, `path` and `operations`.

        Of each operation: what the accelerator has counted, such as `kernel_seconds` and `seconds_with_copies`, and
        `seconds_with_packing`, which this engine has measured around it. What else the accelerator tells, such as its
        `devices`, `kernels` and `fallbacks`, is there as well; see `Accelerator.performance`.
        """
        accelerator = self.cuda_accelerator
        if accelerator is None:
            return {
                "available": False,
                "reason": "no accelerator called 'cuda' is installed: pip install vmloom-cuda",
                "device": "",
                "path": "",
                "operations": [],
            }
        status, told = accelerator.status(), accelerator.performance()
        ran = [one for one in self._metrics.to_dict()["operations"] if one["path"] == accelerator.name]
        return {
            **told,
            "available": status.available,
            "reason": status.reason or self._router.failures.get(accelerator.name, ""),
            "device": status.device,
            "path": status.path,
            "operations": with_packing(told.get("operations", []), ran),
        }

    # The same, without blocking an event loop. Those that use the state take turns.

    async def aexecute_contract(
        self,
        contract: SmartContract | AddressLike | Mapping[str, Any],
        caller: AddressLike,
        value: int = 0,
        data: bytes | str = b"",
        gas_limit: int = requests.DEFAULT_GAS_LIMIT,
        block_context: BlockLike = None,
    ) -> ExecutionResult:
        """`execute_contract` in a thread. Cancelled, it leaves the state as it was, once the call has ended."""
        call = functools.partial(self.execute_contract, contract, caller, value, data, gas_limit, block_context)
        async with self._turn.taken():
            return await undone_if_cancelled(self.state, call, Cancellation())

    async def aexecute_contracts_batch(
        self,
        contracts: Iterable[SmartContract | AddressLike | Mapping[str, Any]],
        execution_data: Iterable[Mapping[str, Any]],
        *,
        mode: Mode = "independent",
        progress: Progress | None = None,
        cancellation: Cancellation | None = None,
    ) -> BatchResults:
        """`execute_contracts_batch` in a thread, which is also where `progress` is called and items are taken.

        Cancelling the awaiting task cancels items that have not begun, and leaves the state as it was before the batch.
        """
        own = Cancellation(cancellation)
        batch = functools.partial(
            self.execute_contracts_batch, contracts, execution_data, mode=mode, progress=progress, cancellation=own
        )
        async with self._turn.taken():
            return await undone_if_cancelled(self.state, batch, own)

    async def aiterate_contracts_batch(
        self,
        contracts: Iterable[SmartContract | AddressLike | Mapping[str, Any]],
        execution_data: Iterable[Mapping[str, Any]],
        *,
        cancellation: Cancellation | None = None,
    ) -> AsyncGenerator[ExecutionResult, None]:
        """`iterate_contracts_batch` in threads: no item is taken that neither the queue nor the loop has room for.

        Cancelling the task, or `aclose`, cancels what has not begun. Until then neither use nor change the state.
        """
        own = Cancellation(cancellation)
        results = self.iterate_contracts_batch(contracts, execution_data, cancellation=own)
        try:
            while found := await in_thread(functools.partial(next_few, results), own):
                for result in found:
                    yield result
        finally:
            await in_thread(results.close, own)

    async def aexecute_operations_batch(self, operations: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """`execute_operations_batch` in a thread."""
        return await asyncio.to_thread(self.execute_operations_batch, operations)

    async def aprocess_bytecode_batch(
        self, bytecode_list: Iterable[bytes], optimization_level: int = 1, *, vm: str = ""
    ) -> list[bytes]:
        """`process_bytecode_batch` in a thread."""
        return await asyncio.to_thread(self.process_bytecode_batch, bytecode_list, optimization_level, vm=vm)

    async def aoptimize_bytecode_batch(
        self, bytecode_list: Iterable[bytes], optimization_rules: Sequence[str], *, vm: str = ""
    ) -> list[bytes]:
        """`optimize_bytecode_batch` in a thread."""
        return await asyncio.to_thread(self.optimize_bytecode_batch, bytecode_list, optimization_rules, vm=vm)

    async def abenchmark_vm_performance(
        self, test_data: Sequence[Mapping[str, Any]], num_iterations: int = 10
    ) -> dict[str, Any]:
        """`benchmark_vm_performance` in a thread; cancelling the awaiting task ends it after the turn that it is at."""
        own = Cancellation()
        work = functools.partial(self.benchmark_vm_performance, test_data, num_iterations, cancellation=own)
        async with self._turn.taken():
            return await undone_if_cancelled(self.state, work, own)


def _check_lengths(contracts: Sequence[Any], execution_data: Sequence[Any]) -> None:
    """Raises `InputError` where there are more of one than of the other."""
    both = len(contracts), len(execution_data)
    if both[0] != both[1]:
        raise InputError(f"execution_data: there are {both[0]} contracts, but data of {both[1]}")


def _pairs(contracts: Iterable[Any], execution_data: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    """Each contract with its data. Raises `InputError` at the first that has no other."""
    if isinstance(contracts, Sequence) and isinstance(execution_data, Sequence):
        _check_lengths(contracts, execution_data)
    for number, both in enumerate(itertools.zip_longest(contracts, execution_data, fillvalue=_NOTHING)):
        if both[0] is _NOTHING or both[1] is _NOTHING:
            missing = "contract" if both[0] is _NOTHING else "data"
            raise InputError(f"execution_data: there is no {missing} for item {number}")
        yield both


def _processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
