"""Asynchronous callers: what they cancel has ended, and left the state as it was, before they go on."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from vmloom import Account, ExecutionState, MemoryState
from vmloom.engine import ExecutionEngine
from vmloom.engine.batch import Cancellation
from vmloom.engine.columns import BatchResults
from vmloom_evm.assembly import add, ret_top, sload, sstore

MakeEngine = Callable[..., ExecutionEngine]
CALLER, COUNTER = b"\1" * 20, b"\2" * 20
COUNTING = bytes(sstore(0, add(sload(0), 1)) + ret_top(sload(0)))
FROM = {"caller": CALLER}
MANY = 100_000


@pytest.fixture
def engine(make_engine: MakeEngine) -> ExecutionEngine:
    return make_engine({COUNTER: Account(code=COUNTING)}, threads=2, serial_below=4, queue=64)


def counts(results: list[Any]) -> list[int]:
    return [int.from_bytes(result.return_data, "big") for result in results]


def once(begun: asyncio.Event) -> Callable[[int], None]:
    """Progress that tells the running loop of the first call, and does not flood it with those after."""
    loop, told = asyncio.get_running_loop(), threading.Event()

    def progress(done: int) -> None:
        if not told.is_set():
            told.set()
            loop.call_soon_threadsafe(begun.set)

    return progress


async def cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_tasks_take_turns_on_the_state(engine: ExecutionEngine) -> None:
    async def run() -> list[Any]:
        block = engine.aexecute_contracts_batch([COUNTER] * 30, [FROM] * 30, mode="block")
        singles = [engine.aexecute_contract(COUNTER, CALLER) for _ in range(20)]
        found = await asyncio.gather(*singles[:10], block, *singles[10:])
        return [one for some in found for one in (some if isinstance(some, BatchResults) else [some])]

    assert sorted(counts(asyncio.run(run()))) == list(range(1, 51))
    assert sorted(counts(asyncio.run(run()))) == list(range(51, 101))  # of another loop, too


def test_a_cancelled_block_is_taken_back(engine: ExecutionEngine) -> None:
    async def run() -> None:
        begun = asyncio.Event()
        task = asyncio.create_task(
            engine.aexecute_contracts_batch([COUNTER] * MANY, [FROM] * MANY, mode="block", progress=once(begun))
        )
        await begun.wait()
        await cancelled(task)
        assert engine.state.get_storage(COUNTER, 0) == 0
        assert counts([await engine.aexecute_contract(COUNTER, CALLER)]) == [1]

    asyncio.run(run())


def test_a_cancelled_call_is_taken_back(engine: ExecutionEngine) -> None:
    evm = engine.factory.get_vm("evm")
    begun, go_on = threading.Event(), threading.Event()
    execute = evm.execute

    def wait(*arguments: Any) -> Any:
        begun.set()
        assert go_on.wait(60)
        return execute(*arguments)

    async def run() -> None:
        task = asyncio.create_task(engine.aexecute_contract(COUNTER, CALLER))
        await asyncio.to_thread(begun.wait, 60)
        asyncio.get_running_loop().call_later(0.05, go_on.set)
        task.cancel()
        await asyncio.sleep(0)
        await cancelled(task)  # twice, while it waits for the thread
        assert go_on.is_set()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evm, "execute", wait)
        asyncio.run(run())
    assert engine.state.get_storage(COUNTER, 0) == 0


class SlowToRevert(MemoryState):
    """A state that takes changes back only once it may."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.may_revert = threading.Event()

    def revert(self, checkpoint: int) -> None:
        assert self.may_revert.wait(30), "nobody else could go on"
        super().revert(checkpoint)


def test_the_loop_goes_on_while_changes_are_taken_back() -> None:
    state = SlowToRevert({CALLER: Account(balance=1), COUNTER: Account(code=COUNTING)})
    engine = ExecutionEngine(state=state)
    begun, go_on = threading.Event(), threading.Event()
    evm = engine.factory.get_vm("evm")
    execute = evm.execute

    def wait(*arguments: Any) -> Any:
        begun.set()
        assert go_on.wait(30)
        return execute(*arguments)

    async def run() -> None:
        task = asyncio.create_task(engine.aexecute_contract(COUNTER, CALLER))
        await asyncio.to_thread(begun.wait, 30)
        task.cancel()
        asyncio.get_running_loop().call_later(0.01, go_on.set)
        asyncio.get_running_loop().call_later(0.1, state.may_revert.set)
        with pytest.raises(asyncio.CancelledError):
            await task

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evm, "execute", wait)
        asyncio.run(run())
    assert state.get_storage(COUNTER, 0) == 0


def test_a_loop_that_ends_leaves_no_thread_at_the_state(engine: ExecutionEngine) -> None:
    progress: list[int] = []

    async def run() -> None:
        task = asyncio.create_task(
            engine.aexecute_contracts_batch([COUNTER] * MANY, [FROM] * MANY, mode="block", progress=progress.append)
        )
        while not progress:
            await asyncio.sleep(0.001)
        assert not task.done()

    asyncio.run(run())
    assert 0 < engine.get_performance_metrics()["executions"] < MANY
    assert engine.state.get_storage(COUNTER, 0) == 0
    assert not [one for one in threading.enumerate() if one.name.startswith("vmloom-")]


def test_results_come_in_order_as_they_are_asked_for(engine: ExecutionEngine) -> None:
    async def run() -> list[Any]:
        batch = engine.aiterate_contracts_batch(iter([COUNTER, b"\x09" * 20] * 500), iter([FROM] * 1000))
        return [result.state async for result in batch]

    assert asyncio.run(run()) == [ExecutionState.SUCCESS, ExecutionState.FAILED] * 500


def endless(taken: list[int]) -> Iterator[bytes]:
    for number in itertools.count():
        taken.append(number)
        yield COUNTER


def test_items_wait_for_who_reads_the_results(engine: ExecutionEngine) -> None:
    async def run() -> None:
        taken: list[int] = []
        batch = engine.aiterate_contracts_batch(endless(taken), iter(lambda: FROM, None))
        for handed_out in range(1, 2000):
            await anext(batch)
            assert len(taken) <= handed_out + 64 + 256 + 64
        await batch.aclose()
        stopped_at = len(taken)
        await asyncio.sleep(0.01)
        assert len(taken) == stopped_at

    before = threading.active_count()
    asyncio.run(run())
    assert threading.active_count() == before


def test_a_cancelled_reader_cancels_the_batch(engine: ExecutionEngine) -> None:
    taken: list[int] = []

    async def read(begun: asyncio.Event) -> None:
        async for _ in engine.aiterate_contracts_batch(endless(taken), iter(lambda: FROM, None)):
            begun.set()

    async def run() -> None:
        begun = asyncio.Event()
        task = asyncio.create_task(read(begun))
        await begun.wait()
        await cancelled(task)

    asyncio.run(run())
    assert taken
    assert not [one for one in threading.enumerate() if one.name.startswith("vmloom-")]


def test_a_reader_may_be_cancelled_by_others(engine: ExecutionEngine) -> None:
    async def run() -> list[Any]:
        cancellation = Cancellation()
        batch = engine.aiterate_contracts_batch([COUNTER] * MANY, [FROM] * MANY, cancellation=cancellation)
        states = []
        async for result in batch:
            cancellation.cancel()
            states.append(result.state)
        return states

    states = asyncio.run(run())
    assert (len(states), states[0], states[-1]) == (MANY, ExecutionState.SUCCESS, ExecutionState.PENDING)


def test_what_a_batch_raises_reaches_who_awaits_it(engine: ExecutionEngine) -> None:
    def failing() -> Iterator[bytes]:
        yield from [COUNTER] * 100
        raise OSError("the disk is gone")

    async def read() -> None:
        async for _ in engine.aiterate_contracts_batch(failing(), iter(lambda: FROM, None)):
            pass

    async def run(work: Awaitable[Any]) -> None:
        with pytest.raises(OSError, match="the disk is gone"):
            await work

    asyncio.run(run(read()))
    asyncio.run(run(engine.aexecute_contracts_batch(failing(), iter(lambda: FROM, None))))


def test_measuring_can_be_awaited_and_cancelled(engine: ExecutionEngine) -> None:
    data = [{"contract": COUNTER, **FROM}]

    async def run() -> dict[str, Any]:
        endless = asyncio.create_task(engine.abenchmark_vm_performance(data, 1 << 40))
        await asyncio.sleep(0.02)
        await cancelled(endless)
        return await engine.abenchmark_vm_performance(data, 2)

    report = asyncio.run(run())
    assert (report["iterations"], report["calls"][0]["error"]) == (2, "")
    assert engine.state.get_storage(COUNTER, 0) == 0
