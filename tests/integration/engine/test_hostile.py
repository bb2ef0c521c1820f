"""What breaks its promises costs nobody else anything: items, iterables, VMs, callers that go away, logs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from vmloom import (
    Account,
    BlockContext,
    ExecutionContext,
    ExecutionResult,
    ExecutionState,
    MemoryState,
    StateAccess,
    VirtualMachine,
    VmVersion,
)
from vmloom.engine import EngineConfig, ExecutionEngine, SmartContract
from vmloom.engine.batch import Cancellation
from vmloom.errors import InputError, StateError, UnknownVm
from vmloom.precompile import PrecompileSet
from vmloom_evm.assembly import add, call, pop, raw, ret_top, sload, sstore

MakeEngine = Callable[..., ExecutionEngine]
CALLER, CONTRACT, OTHER = b"\1" * 20, b"\2" * 20, b"\3" * 20
FROM = {"caller": CALLER}
COUNTING = bytes(sstore(0, add(sload(0), 1)) + ret_top(sload(0)))


class OddVm(VirtualMachine):
    """Does what the input says: counts in slot 0, unless it is told to misbehave."""

    vm_type = "odd"
    vm_version = VmVersion(1, 0, 0)

    def __init__(self) -> None:
        self.together: Callable[[Any], Any] = lambda results: results
        self.started = threading.Event()
        self.go_on = threading.Event()

    def validate_code(self, code: bytes) -> None: ...

    def execute(self, code: bytes, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
        state.begin_transaction()
        checkpoint = state.snapshot()
        count = state.get_storage(context.address, 0) + 1
        state.set_storage(context.address, 0, count)
        if context.input == b"raise":
            raise ZeroDivisionError("no")
        if context.input == b"raise silently":
            raise _Unspeakable
        if context.input == b"exit":
            raise SystemExit(3)
        if context.input == b"nothing":
            return None  # type: ignore[return-value]
        if context.input == b"commit":
            state.commit()
        if context.input == b"wait":
            self.started.set()
            assert self.go_on.wait(60)
        changes = () if context.input == b"hide" else tuple(state.changes_since(checkpoint))
        return ExecutionResult(ExecutionState.SUCCESS, 1, count.to_bytes(4, "big"), state_changes=changes)

    def execute_each(self, calls: Any, state: StateAccess) -> Any:
        return self.together(super().execute_each(calls, state))


class _Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no message")


class Host:
    """Only the odd VM."""

    default_vm = "odd"

    def __init__(self) -> None:
        self.vm = OddVm()

    def get_vm(self, vm_type: str) -> VirtualMachine:
        if vm_type != "odd":
            raise UnknownVm(vm_type)
        return self.vm

    def vm_of_code(self, code: bytes) -> str:
        return "odd"

    def precompile_sets(self, vm: str) -> list[PrecompileSet]:
        return []


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture(params=[1, 3])
def odd(request: pytest.FixtureRequest, host: Host) -> ExecutionEngine:
    """An engine with the odd VM on one thread, or on three."""
    state = MemoryState({CONTRACT: Account(code=b"x"), OTHER: Account(code=b"y")})
    config = EngineConfig(threads=request.param, serial_below=2, ahead_from=0)
    return ExecutionEngine(host, state, config=config)  # type: ignore[arg-type]  # all that it asks for is there


def count(result: ExecutionResult) -> int:
    return int.from_bytes(result.return_data, "big")


# VMs


@pytest.mark.parametrize("told", [b"raise", b"raise silently", b"nothing", b"commit"])
def test_a_vm_that_breaks_down_for_one_call_runs_the_others(odd: ExecutionEngine, told: bytes) -> None:
    data = [{**FROM, "data": told if number == 7 else b""} for number in range(40)]
    results = odd.execute_contracts_batch([CONTRACT] * 40, data)
    assert [number for number, result in enumerate(results) if not result.success] == [7]
    assert {count(result) for result in results if result.success} == {1}
    assert results[7].error.startswith("item 7: ")
    assert odd.state.get_storage(CONTRACT, 0) == 0


@pytest.mark.parametrize("told", [b"raise", b"raise silently", b"nothing"])
def test_a_vm_that_breaks_down_in_a_block_runs_the_others(odd: ExecutionEngine, told: bytes) -> None:
    data = [{**FROM, "data": told if number == 7 else b""} for number in range(40)]
    results = odd.execute_contracts_batch([CONTRACT] * 40, data, mode="block")
    assert [count(result) for result in results] == [*range(1, 8), 0, *range(8, 40)]
    assert odd.state.get_storage(CONTRACT, 0) == 39


def test_a_vm_that_hides_its_changes_has_made_them(odd: ExecutionEngine) -> None:
    data = [{**FROM, "data": b"hide"}] * 20
    results = odd.execute_contracts_batch([CONTRACT, OTHER] * 10, data, mode="block")
    assert [count(result) for result in results] == [number // 2 + 1 for number in range(20)]
    assert [odd.state.get_storage(address, 0) for address in (CONTRACT, OTHER)] == [10, 10]


@pytest.mark.parametrize(
    "together",
    [
        lambda results: results[:-1],
        lambda results: [*results, results[0]],
        lambda results: results and [],
        lambda results: results and None,
        lambda results: results // 0,
        lambda results: (1 // 0 for _ in results),
        lambda results: iter(results[1:]),
    ],
)
def test_results_that_do_not_fit_the_calls_are_made_one_by_one(
    odd: ExecutionEngine, host: Host, together: Callable[[Any], Any]
) -> None:
    host.vm.together = together
    results = odd.execute_contracts_batch([CONTRACT] * 40, [FROM] * 40)
    assert [count(result) for result in results] == [1] * 40


def test_results_of_the_wrong_kind_are_failures_of_their_calls(odd: ExecutionEngine, host: Host) -> None:
    host.vm.together = lambda results: [None, *results[1:]]
    results = odd.execute_contracts_batch([CONTRACT] * 2, [FROM] * 2)
    assert [result.success for result in results] == [False, True]
    assert results[0].error == "item 0: odd gave a NoneType for a result"


def test_what_many_calls_leave_behind_is_taken_back(odd: ExecutionEngine, host: Host) -> None:
    def dirty(calls: Any, state: StateAccess) -> Any:
        found = VirtualMachine.execute_each(host.vm, calls, state)
        state.set_storage(CONTRACT, 0, 77)
        state.set_balance(CONTRACT, 1)
        return found

    host.vm.execute_each = dirty  # type: ignore[method-assign]
    results = odd.execute_contracts_batch([CONTRACT] * 600, [FROM] * 600)
    assert {count(result) for result in results} == {1}
    assert odd.state.get_storage(CONTRACT, 0) == 0


@pytest.mark.parametrize("mode", ["independent", "block"])
def test_what_ends_the_program_ends_the_batch(odd: ExecutionEngine, mode: Any) -> None:
    data = [{**FROM, "data": b"exit" if number == 30 else b""} for number in range(40)]
    before = threading.active_count()
    with pytest.raises(SystemExit) as raised:
        odd.execute_contracts_batch([CONTRACT, OTHER] * 20, data, mode=mode)
    assert raised.tb is not None  # whoever holds it holds no threads
    assert threading.active_count() == before
    assert [odd.state.get_storage(address, 0) for address in (CONTRACT, OTHER)] == [0, 0]


# Callers


class _Stop(BaseException):
    """As an interrupt."""


@pytest.mark.parametrize("mode", ["independent", "block"])
@pytest.mark.parametrize("at", [1, 17, 40])
def test_progress_that_raises_ends_threads_and_changes(odd: ExecutionEngine, mode: Any, at: int) -> None:
    def progress(done: int) -> None:
        assert odd.state.get_storage(CONTRACT, 0) == (min(at, done) if mode == "block" else 0)
        if done == at:
            raise _Stop

    before = threading.active_count()
    with pytest.raises(_Stop) as raised:
        odd.execute_contracts_batch([CONTRACT] * 40, [FROM] * 40, mode=mode, progress=progress)
    assert raised.tb is not None
    assert threading.active_count() == before
    assert odd.state.get_storage(CONTRACT, 0) == 0
    assert odd.execute_contract(CONTRACT, CALLER).return_data[-1] == 1


def test_closing_an_iterator_ends_its_threads_and_cancels_nothing_else(odd: ExecutionEngine) -> None:
    before = threading.active_count()
    cancellation = Cancellation()
    results = odd.iterate_contracts_batch([CONTRACT] * 5000, [FROM] * 5000, cancellation=cancellation)
    assert count(next(results)) == 1
    results.close()
    assert threading.active_count() == before
    assert not cancellation.is_cancelled


def test_an_iterator_that_is_left_alone_waits(host: Host) -> None:
    """No more is taken than the queue has room for, and none is computed anew."""
    taken = 0

    def contracts() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield CONTRACT

    state = MemoryState({CONTRACT: Account(code=b"x")})
    config = EngineConfig(threads=3, queue=10, serial_below=16)
    engine = ExecutionEngine(host, state, config=config)  # type: ignore[arg-type]
    results = engine.iterate_contracts_batch(contracts(), iter(lambda: FROM, None))
    for handed_out in range(1, 200):
        next(results)
        assert taken <= handed_out + 20
    results.close()


def test_results_do_not_wait_for_items_that_are_long_in_coming(host: Host) -> None:
    """What the queue has no room for is handed out before more is taken: items may depend on results."""
    engine = ExecutionEngine(
        host,  # type: ignore[arg-type]
        MemoryState({CONTRACT: Account(code=b"x")}),
        config=EngineConfig(threads=2, serial_below=2, queue=8),
    )
    ended = threading.Semaphore(0)

    def contracts() -> Iterator[bytes]:
        for number in range(40):
            if number >= 20:
                assert ended.acquire(timeout=60)  # one more for each result
            yield CONTRACT

    for _ in engine.iterate_contracts_batch(contracts(), iter([FROM] * 40)):
        ended.release()


def test_a_slow_call_is_the_last_after_a_cancellation(host: Host) -> None:
    engine = ExecutionEngine(
        host,  # type: ignore[arg-type]
        MemoryState({CONTRACT: Account(code=b"x")}),
        config=EngineConfig(threads=2, serial_below=2, ahead_from=0),
    )
    cancellation = Cancellation()

    def cancel() -> None:
        assert host.vm.started.wait(60)
        cancellation.cancel()
        host.vm.go_on.set()

    thread = threading.Thread(target=cancel)
    thread.start()
    data = [{**FROM, "data": b"wait"}] * 4000
    results = engine.execute_contracts_batch([CONTRACT] * 4000, data, cancellation=cancellation)
    thread.join()
    assert sum(result.success for result in results) < 100
    assert results[-1].state is ExecutionState.PENDING


@pytest.mark.parametrize("mode", ["independent", "block"])
def test_an_iterable_that_raises_ends_the_batch(odd: ExecutionEngine, mode: Any) -> None:
    def contracts() -> Iterator[bytes]:
        for _ in range(700):
            yield CONTRACT
        raise OSError("the disk is gone")

    before = threading.active_count()
    with pytest.raises(OSError, match="the disk is gone"):
        odd.execute_contracts_batch(contracts(), iter(lambda: FROM, None), mode=mode)
    assert threading.active_count() == before
    assert odd.state.get_storage(CONTRACT, 0) == 0


@pytest.mark.parametrize(("contracts", "data", "missing"), [(3, 2, "data for item 2"), (2, 3, "contract for item 2")])
def test_iterables_of_different_length_are_refused(
    odd: ExecutionEngine, contracts: int, data: int, missing: str
) -> None:
    with pytest.raises(InputError, match=missing):
        odd.execute_contracts_batch(iter([CONTRACT] * contracts), iter([FROM] * data))


# States


class Stored(MemoryState):
    """A state with a store behind it, which is asked for what is not known."""

    def is_complete(self, address: bytes) -> bool:
        return StateAccess.is_complete(self, address)

    def load_account(self, address: bytes) -> Account | None:
        return Account(balance=5) if address == CONTRACT else None

    def load_storage(self, address: bytes, slot: int) -> int:
        return 9 if address == CONTRACT and slot == 1 else 0

    def load_slots(self, address: bytes) -> tuple[int, ...]:
        return (1,) if address == CONTRACT else ()


def test_a_deletion_that_is_taken_back_gives_the_storage_back() -> None:
    state = Stored()
    checkpoint = state.snapshot()
    state.delete_account(CONTRACT)
    assert state.get_storage(CONTRACT, 1) == 0
    state.revert(checkpoint)
    assert (state.get_balance(CONTRACT), state.get_storage(CONTRACT, 1), state.get_slots(CONTRACT)) == (5, 9, [1])


def test_a_contract_that_destroys_itself_harms_no_call_after_it(make_engine: MakeEngine) -> None:
    """Of a batch, on a fork where the account goes: each call finds the storage that there is."""
    code = bytes(raw("3615600757") + raw("33ff5b") + ret_top(sload(0)))  # destroys itself if there is input
    engine = make_engine({CONTRACT: Account(code=code)}, threads=1)
    from vmloom.factory import VmFactory
    from vmloom.settings import Settings

    settings = engine.factory.get_vm("evm").config  # type: ignore[attr-defined]
    factory = VmFactory(Settings({"vm": {"evm": {"engine": settings.engine, "revision": "london"}}}))
    engine = ExecutionEngine(factory, engine.state, config=engine.config)
    engine.state.set_storage(CONTRACT, 0, 5)
    calls = [{**FROM, "data": b"!"}, FROM] * 3
    results = engine.execute_contracts_batch([CONTRACT] * 6, calls)
    assert all(result.success for result in results), [result.error for result in results]
    assert [count(result) for result in results[1::2]] == [5, 5, 5]


def test_a_call_cannot_commit_what_is_not_its_own(odd: ExecutionEngine) -> None:
    (result,) = odd.execute_contracts_batch([CONTRACT], [{**FROM, "data": b"commit"}])
    assert result.metadata["fault"] == StateError.__name__


class _Interrupted(dict[Any, Any]):
    """A container in which the next change is interrupted, before or after it is made."""

    def __init__(self, after: bool) -> None:
        super().__init__()
        self.after = after
        self.is_over = False

    def __setitem__(self, key: Any, value: Any) -> None:
        if self.after or self.is_over:
            super().__setitem__(key, value)
        if not self.is_over:
            raise _Stop


@pytest.mark.parametrize("after", [False, True])
def test_an_interrupted_change_is_undone(after: bool) -> None:
    from vmloom.journal import Journal

    journal = Journal()
    container = _Interrupted(after)
    with pytest.raises(_Stop):
        journal.set(container, 1, 1)
    journal.revert(0)
    assert container == {}


def test_an_interrupted_revert_can_be_repeated() -> None:
    from vmloom.journal import Journal

    journal = Journal()
    items: list[int] = []
    container = _Interrupted(after=False)
    dict.__setitem__(container, 1, "old")
    journal.append(items, 5)
    with pytest.raises(_Stop):
        journal.set(container, 1, "new")
    dict.__setitem__(container, 1, "new")
    with pytest.raises(_Stop):
        journal.revert(0)
    assert (container, items) == ({1: "new"}, [5])
    container.is_over = True
    journal.revert(0)
    assert (container, items) == ({1: "old"}, [])


# Input


class _Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"value": 10**6000}, "value: must be from 0 .* a number of 19932 bits"),
        ({"value": _Unshowable()}, "value: a whole number is needed, got a _Unshowable"),
        ({"caller": "0x" + " 1" * 20 + "1" * 20}, "caller: an address"),
        ({"caller": "0x" + "11 " * 20}, "caller: an address"),
        ({"data": "0x11 22"}, "data: bytes or hexadecimal"),
        ({"data": "x" * 10**6}, "data: bytes or hexadecimal digits are needed, got .{1,60}$"),
        ({"data": range(10**9)}, "data: bytes or hexadecimal"),
        ({"block_context": {7: 1}}, "block_context.7: keys are names"),
        ({"block_context": {"n" * 10**6: 1}}, "block_context.n{60}...: there is no such key"),
        ({"contract": {CONTRACT: 1}}, "keys are names"),
    ],
)
def test_odd_input_is_refused_in_one_short_line(odd: ExecutionEngine, arguments: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        odd.execute_contract(**{"contract": CONTRACT, **FROM, **arguments})
    assert len(str(raised.value)) < 250


def test_static_calls_send_nothing_and_calls_are_transactions(odd: ExecutionEngine) -> None:
    nested = ExecutionContext(caller=CALLER, address=CONTRACT, depth=1)
    sending = {**FROM, "is_static": True, "value": 1}
    results = odd.execute_contracts_batch([CONTRACT] * 2, [nested, sending])  # type: ignore[list-item]
    assert [result.error.partition(",")[0] for result in results] == [
        "item 0: context.depth: a call of the engine is a transaction of its own",
        "item 1: value: a static call cannot send any",
    ]


@pytest.mark.parametrize("size", [64, 200, 256])
def test_blocks_of_any_numbers_are_taken(make_engine: MakeEngine, size: int) -> None:
    """By the EVM, whose words they are."""
    block = dict.fromkeys(("number", "timestamp", "gas_limit", "base_fee", "chain_id"), 2**size - 1)
    code = bytes(ret_top(add(raw("42"), add(raw("45"), raw("43")))))  # TIMESTAMP, GASLIMIT, NUMBER
    results = make_engine().execute_contracts_batch(
        [SmartContract(CONTRACT, code)] * 2,
        [{**FROM, "block_context": block}, {**FROM, "block_context": BlockContext()}],
    )
    assert count(results[0]) == (3 * (2**size - 1)) % 2**256, results[0].error


# What is remembered


def test_batches_of_several_threads_are_all_counted(make_engine: MakeEngine) -> None:
    engine = make_engine({CONTRACT: Account(code=COUNTING)}, threads=2, history=10_000)
    stop = threading.Event()
    broken: list[BaseException] = []

    def ask() -> None:
        try:
            while not stop.is_set():
                engine.get_performance_metrics()
                engine.get_error_analysis()
                engine.get_execution_history(5)
                time.sleep(0)
        except BaseException as error:
            broken.append(error)

    def run() -> None:
        try:
            for _ in range(5):
                engine.execute_contracts_batch([CONTRACT] * 100, [{**FROM, "gas_limit": 30_000}, FROM] * 50)
        except BaseException as error:
            broken.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    asking = threading.Thread(target=ask)
    for thread in (*threads, asking):
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    asking.join()
    assert not broken
    assert engine.get_performance_metrics()["executions"] == 2000
    assert sorted(one["number"] for one in engine.get_execution_history()) == list(range(1, 2001))


def test_measuring_survives_what_raises_and_counts_nothing(odd: ExecutionEngine) -> None:
    items: list[Any] = [
        {"contract": CONTRACT, **FROM},
        {"contract": CONTRACT, **FROM, "data": b"raise"},
        {"contract": CONTRACT, **FROM, "data": b"nothing"},
        {**FROM},
        7,
    ]
    report = odd.benchmark_vm_performance(items, 2)
    assert [one["error"] for one in report["calls"]][1] == "item 1: ZeroDivisionError: no"
    assert [bool(one["error"]) for one in report["calls"]] == [False, True, True, True, True]
    assert report["batch"]["items"] == 3
    assert odd.get_performance_metrics()["executions"] == 0
    assert odd.state.get_storage(CONTRACT, 0) == 0


@pytest.mark.parametrize("told", [b"raise", b"exit"])
def test_a_guest_that_breaks_down_in_a_batch_leaves_nothing(
    make_engine: MakeEngine, host: Host, monkeypatch: pytest.MonkeyPatch, told: bytes
) -> None:
    """A contract of the EVM has changed the state when it calls one whose VM raises."""
    code = bytes(sstore(0, add(sload(0), 1)) + pop(call(OTHER, gas=50_000)) + ret_top(sload(0)))
    engine = make_engine(
        {CONTRACT: Account(code=code), OTHER: Account(code=b"z", vm="prozvm")}, threads=2, serial_below=2
    )
    broken = threading.Event()

    def run(_self: Any, _code: bytes, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
        state.set_storage(OTHER, 0, 9)
        if not broken.is_set():
            broken.set()
            raise SystemExit if told == b"exit" else ZeroDivisionError("no")
        return ExecutionResult(ExecutionState.SUCCESS, 1)

    monkeypatch.setattr(type(engine.factory.get_vm("prozvm")), "execute", run)
    if told == b"exit":
        with pytest.raises(SystemExit):
            engine.execute_contracts_batch([CONTRACT] * 20, [FROM] * 20)
    else:
        results = engine.execute_contracts_batch([CONTRACT] * 20, [FROM] * 20)
        assert {count(result) for result in results if result.success} == {1}
        assert sum(not result.success for result in results) <= 1
    assert list(engine.state.changes_since(0)) == []
    assert count(engine.execute_contract(CONTRACT, CALLER)) == 1
    assert engine.state.get_storage(OTHER, 0) == 9
