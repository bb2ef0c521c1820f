"""Calls of batches on accelerators: when they get some, what they cannot do, and that it does not show in results."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from vmloom import Account, BlockContext, ExecutionContext, ExecutionResult, ExecutionState, MemoryState, StateAccess
from vmloom.accelerator import Accelerator, AcceleratorStatus, Capability, Executed, Executions
from vmloom.engine import ExecutionEngine
from vmloom.engine import batch as batch_module
from vmloom.engine.batch import Cancellation
from vmloom.engine.columns import CallColumns, FilledColumns, JoinedColumns, ResultColumns
from vmloom.engine.config import EngineConfig
from vmloom.engine.offload import Offload
from vmloom.engine.overlay import OverlayState
from vmloom.engine.router import Router
from vmloom.errors import VmloomError
from vmloom.factory import VmFactory
from vmloom.vm import VirtualMachine, VmVersion

CHEAP, DEAR = 1e-12, 1e3
"""Seconds for a call: less and more than anything takes."""
CALLER, ONE, OTHER = (bytes([number]) * 20 for number in (1, 2, 3))
COUNT = 60
EMPTY, LOCK = BlockContext(), threading.Lock()
Run = Callable[[CallColumns], Executed | None]


def answer(code: bytes, data: bytes) -> ExecutionResult:
    """What a contract comes to: the gas is its first byte, and it fails where its input is empty."""
    state = ExecutionState.SUCCESS if data else ExecutionState.FAILED
    return ExecutionResult(state, code[0], data[::-1], error="" if data else "no input")


class Answering(VirtualMachine):
    """A VM that answers."""

    vm_type = "evm"
    vm_version = VmVersion(1, 0, 0)

    def execute(self, code: bytes, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
        return answer(code, context.input)

    def validate_code(self, code: bytes) -> None:
        return None


class Answers(ResultColumns):
    """Results of an accelerator; those in `escaped` are nonsense."""

    def __init__(self, calls: CallColumns, escaped: Sequence[int] = ()) -> None:
        self.results = [answer(code, context.input) for code, context in calls]
        for place in escaped:
            self.results[place] = ExecutionResult(ExecutionState.PENDING, -1)
        super().__init__([one.state for one in self.results], [one.gas_used for one in self.results])

    def make(self) -> list[ExecutionResult]:
        return list(self.results)


class Fake(Accelerator):
    """Runs calls as a test wants."""

    def __init__(self, per_item: float = CHEAP, name: str = "fake") -> None:
        self._name, self.per_item = name, per_item
        self.run_calls: Run = lambda calls: Executed(Answers(calls), ())
        self.sizes: list[int] = []
        self.opened = self.closed = 0
        self.refusing: Exception | None = None
        self.unmeasurable: Exception | None = None

    @property
    def name(self) -> str:
        return self._name

    def status(self) -> AcceleratorStatus:
        return AcceleratorStatus(True)

    def capabilities(self) -> Mapping[str, Capability]:
        return {}

    def run(self, operation: str, columns: Sequence[Any]) -> Sequence[Any]:
        raise KeyError(operation)

    def executions(self, vm: VirtualMachine, state: StateAccess) -> Executions | None:
        if self.refusing is not None:
            raise self.refusing
        assert isinstance(vm, Answering)
        assert isinstance(state, MemoryState)
        self.opened += 1
        return Calls(self)


class Calls(Executions):
    operation = "answers"

    def __init__(self, accelerator: Fake) -> None:
        self._accelerator = accelerator

    def capability(self, calls: CallColumns) -> Capability:
        if self._accelerator.unmeasurable is not None:
            raise self._accelerator.unmeasurable
        return Capability(self.operation, 0.0, self._accelerator.per_item)

    def run(self, calls: CallColumns) -> Executed | None:
        self._accelerator.sizes.append(len(calls))
        return self._accelerator.run_calls(calls)

    def close(self) -> None:
        self._accelerator.closed += 1


class Factory(VmFactory):
    """One VM, some accelerators."""

    def __init__(self, *found: Accelerator) -> None:
        super().__init__()
        self.found = {one.name: one for one in found}

    def get_vm(self, vm_type: str) -> VirtualMachine:
        return Answering()

    def accelerator(self, name: str) -> Accelerator:
        return self.found[name]

    def accelerators(self) -> list[Accelerator]:
        return list(self.found.values())


def engine_on(*accelerators: Accelerator, **options: Any) -> ExecutionEngine:
    state = MemoryState({ONE: Account(code=b"\x05"), OTHER: Account(code=b"\x09")})
    config = EngineConfig.model_validate({"accelerate_from": COUNT, "threads": 2, **options})
    return ExecutionEngine(Factory(*accelerators), state, config=config)


def items(count: int = COUNT) -> tuple[list[Any], list[Any]]:
    """Calls of two contracts, some of which fail."""
    contracts = [(ONE, OTHER)[number % 2] for number in range(count)]
    return contracts, [{"caller": CALLER, "data": bytes([number]) * (number % 7)} for number in range(count)]


def expected(batch: tuple[list[Any], list[Any]]) -> list[ExecutionResult]:
    return list(engine_on(accelerators=()).execute_contracts_batch(*batch))


def ran(engine: ExecutionEngine) -> dict[str, int]:
    found = engine.get_performance_metrics()["independent"]
    return {name: found.get(name, 0) for name in ("on_accelerators", "escaped")}


def test_calls_go_where_they_take_least_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first ones, which tell what calls take here."""
    monkeypatch.setattr(batch_module, "_WORTH_THREADS", 0.0)
    dear, cheap, cheaper = Fake(DEAR, "dear"), Fake(2 * CHEAP, "cheap"), Fake(CHEAP, "cheaper")
    engine = engine_on(dear, cheap, cheaper)
    assert engine.execute_contracts_batch(*items()) == expected(items())
    assert (dear.sizes, cheap.sizes) == ([], [])
    told = engine.get_performance_metrics()
    (operation,) = told["operations"]
    assert sum(cheaper.sizes) == told["independent"]["on_accelerators"] == operation["rows"]
    assert (operation["operation"], operation["path"]) == ("answers", "cheaper")
    assert told["independent"]["on_accelerators"] + told["independent"]["alone"] == COUNT
    assert told["executions"] == COUNT
    assert (cheaper.opened, cheaper.closed, dear.closed) == (1, 1, 1)


@pytest.mark.parametrize(
    ("accelerator", "options"),
    [
        (Fake(DEAR), {}),
        (Fake(), {"accelerate_from": COUNT + 1}),
        (Fake(), {"accelerators": ()}),
        (Fake(), {"opcode_metrics": True}),
    ],
)
def test_they_run_here_otherwise(accelerator: Fake, options: dict[str, Any]) -> None:
    engine = engine_on(accelerator, **options)
    if not options.get("opcode_metrics"):
        assert engine.execute_contracts_batch(*items()) == expected(items())
    else:
        engine.execute_contracts_batch([ONE] * COUNT, [{"caller": CALLER}] * COUNT)
    assert accelerator.sizes == []
    assert "on_accelerators" not in engine.get_performance_metrics()["independent"]


def test_accelerators_that_run_no_calls_are_not_asked() -> None:
    class Hashing(Fake):
        executions = Accelerator.executions

    fake = Fake()
    assert Offload(Router([Hashing(), fake], None)).accelerators == [fake]
    engine = engine_on(Hashing())
    assert engine.execute_contracts_batch(*items()) == expected(items())


def test_items_of_iterators_run_here() -> None:
    fake = Fake()
    contracts, data = items()
    assert engine_on(fake).execute_contracts_batch(iter(contracts), iter(data)) == expected(items())
    assert (fake.sizes, fake.opened) == ([], 0)


def test_what_costs_nothing_gets_all() -> None:
    fake = Fake(0.0)
    engine = engine_on(fake)
    assert engine.execute_contracts_batch(*items()) == expected(items())
    assert fake.sizes == [COUNT]
    assert engine.get_performance_metrics()["independent"] == {"alone": 0, "on_threads": 0, "on_accelerators": COUNT}


@pytest.mark.parametrize("escaped", [(0,), (3, 4, 5, 9, 59), tuple(range(COUNT))])
def test_what_escapes_runs_here(escaped: tuple[int, ...]) -> None:
    fake = Fake(0.0)
    fake.run_calls = lambda calls: Executed(Answers(calls, escaped), escaped)
    engine = engine_on(fake)
    found = engine.execute_contracts_batch(*items())
    assert found.gas_used == [one.gas_used for one in expected(items())]
    assert found == expected(items())
    assert ran(engine) == {"on_accelerators": COUNT - len(escaped), "escaped": len(escaped)}


def test_items_that_are_not_alike_run_here_and_the_others_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_module, "_UNLIKE", 4)
    contracts, data = items()
    contracts[20], data[30], data[31] = b"\x77" * 20, {"caller": CALLER, "gas_limit": -1}, {"caller": CALLER}
    fake = Fake(0.0)
    engine = engine_on(fake)
    found = engine.execute_contracts_batch(contracts, data)
    assert found == expected((contracts, data))
    assert [place for place, one in enumerate(found) if "index" in one.metadata] == [20, 30]
    assert found[20].metadata["index"] == 20
    counts = engine.get_performance_metrics()["independent"]
    assert counts["on_accelerators"] == sum(fake.sizes) == COUNT - counts["alone"]
    assert 3 <= counts["alone"] <= 16
    assert fake.opened == 1


def fail(calls: CallColumns) -> Executed:
    raise VmloomError("the device has gone")


def lose(calls: CallColumns) -> Executed:
    return Executed(Answers(calls[1:]), ())


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda fake: setattr(fake, "run_calls", fail), "answers: VmloomError: the device has gone"),
        (lambda fake: setattr(fake, "run_calls", lose), f"answers: ValueError: {COUNT - 1} results for {COUNT} calls"),
        (lambda fake: setattr(fake, "refusing", OSError("no driver")), "evm: OSError: no driver"),
        (lambda fake: setattr(fake, "unmeasurable", OSError("no clock")), "answers: OSError: no clock"),
    ],
)
def test_one_that_fails_is_counted_and_asked_for_nothing_else_of_the_batch(
    spoil: Callable[[Fake], None], reason: str
) -> None:
    broken, sound = Fake(0.0, "broken"), Fake(0.0, "sound")
    spoil(broken)
    engine = engine_on(broken)
    assert engine.execute_contracts_batch(*items()) == expected(items())
    failures = engine.get_performance_metrics()["accelerator_failures"]
    assert failures == [{"accelerator": "broken", "count": 1, "reason": reason}]
    assert ran(engine) == {"on_accelerators": 0, "escaped": 0}
    assert broken.opened == broken.closed
    assert engine_on(broken, sound).execute_contracts_batch(*items()) == expected(items())
    assert len(broken.sizes) <= 2


def test_calls_that_it_does_not_take_run_here() -> None:
    fake = Fake(0.0)
    fake.run_calls = lambda _: None
    engine = engine_on(fake)
    assert engine.execute_contracts_batch(*items()) == expected(items())
    assert engine.get_performance_metrics()["accelerator_failures"] == []
    assert (fake.sizes, ran(engine)) == ([COUNT], {"on_accelerators": 0, "escaped": 0})


def test_a_cancelled_batch_ends_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has run has run; what escaped and has not begun again is not begun, nor is what comes after it."""
    monkeypatch.setattr(batch_module, "_OFFLOADED", (20, 20))
    cancellation = Cancellation()
    fake = Fake(0.0)

    def run(calls: CallColumns) -> Executed:
        if len(fake.sizes) == 2:
            cancellation.cancel()
        escaped = (5, 6) if cancellation.is_cancelled else ()
        return Executed(Answers(calls, escaped), escaped)

    fake.run_calls = run
    engine = engine_on(fake)
    found = engine.execute_contracts_batch(*items(), cancellation=cancellation)
    assert found[:25] == expected(items())[:25]
    assert {one.state for one in found[25:]} == {ExecutionState.PENDING}
    assert [one.metadata["index"] for one in found[25:]] == list(range(25, COUNT))
    assert ran(engine) == {"on_accelerators": 25, "escaped": 0}
    assert engine.get_performance_metrics()["executions"] == 25
    assert fake.closed == 1


def test_a_batch_that_is_left_lets_go_of_the_state() -> None:
    fake = Fake(0.0)
    results = engine_on(fake).iterate_contracts_batch(*items())
    assert next(results) == expected(items())[0]
    assert fake.closed == 0
    results.close()
    assert fake.closed == 1


def test_contracts_whose_calls_take_longer_there_are_tried_again_by_and_by() -> None:
    fake = Fake(1.0)
    router = Router([fake], None)
    offload = Offload(router)
    calls = CallColumns([ONE], [b"\x05"], [CALLER], [b""], [1], gas_price=0, block=EMPTY)
    overlay = OverlayState(MemoryState(), LOCK)
    opened = offload.open(Factory(fake), overlay)
    choice = opened.best("evm", calls, 10)
    assert choice is not None
    assert choice.seconds == 10.0
    opened.learn(choice, "evm", calls, 3.0)
    seconds = [opened.best("evm", calls, 10).seconds for _ in range(30)]  # type: ignore[union-attr]
    assert seconds[0] == 30.0
    assert seconds == sorted(seconds, reverse=True)
    assert 10.0 < seconds[-1] < 11.0
    others = CallColumns([ONE], [b"\x06"], [CALLER], [b""], [1], gas_price=0, block=EMPTY)
    assert opened.best("evm", others, 10) == choice._replace(code=b"\x06")
    opened.learn(choice, "evm", calls, 0.5)
    assert [opened.best("evm", calls, 10).seconds for _ in range(2)] == [5.0, 5.0]  # type: ignore[union-attr]
    overlay.close()


def test_results_in_several_columns_are_one_sequence() -> None:
    contracts, data = items(6)
    calls = CallColumns(
        contracts,
        [b"\x05", b"\x09"] * 3,
        [CALLER] * 6,
        [one["data"] for one in data],
        [9] * 6,
        gas_price=0,
        block=EMPTY,
    )
    whole, joined = Answers(calls), JoinedColumns([Answers(calls[:2]), Answers(calls[2:])])
    assert (joined.states, joined.gas_used) == (whole.states, whole.gas_used)
    assert list(joined) == list(whole)
    other = ExecutionResult(ExecutionState.REVERTED, 77)
    filled = FilledColumns(joined, {3: other})
    assert (filled.states[3], filled.gas_used[3], filled[3]) == (ExecutionState.REVERTED, 77, other)
    assert [*filled[:3], *filled[4:]] == [*whole[:3], *whole[4:]]
    assert list(joined) == list(whole)
