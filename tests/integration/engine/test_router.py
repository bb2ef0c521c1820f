"""Batches of operations: where they run, that it makes no difference to what comes out, and what is told of it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from vmloom.accelerator import Accelerator, AcceleratorStatus, Capability
from vmloom.engine import ExecutionEngine
from vmloom.engine.config import EngineConfig
from vmloom.engine.metrics import Metrics
from vmloom.engine.operations import Operation, known_operations
from vmloom.engine.router import PYTHON, Router
from vmloom.factory import VmFactory
from vmloom_native.config import CpuConfig
from vmloom_native.cpu import CpuAccelerator

KNOWN = known_operations(())
MANY = 200
CHEAP, DEAR = -1.0, 1.0
"""Seconds for a row: less and more than anything takes on a machine however busy, packing included."""
OPERANDS: dict[str, list[dict[str, Any]]] = {
    "keccak256": [{"data": bytes([at % 256]) * at} for at in range(MANY)],
    "sha256": [{"data": bytes([at % 256]) * at} for at in range(MANY)],
    "blake2b_256": [{"data": bytes([at % 256]) * at} for at in range(MANY)],
    "merkle_sha256": [{"leaves": [bytes([leaf]) * at for leaf in range(at % 9)]} for at in range(MANY)],
    "merkle_keccak256": [{"leaves": [bytes([leaf]) * at for leaf in range(at % 9)]} for at in range(MANY)],
    **{
        f"u256_{name}": [{"a": at**40 % 2**256, "b": at // 2} for at in range(MANY)]
        for name in ("add", "sub", "mul", "div", "mod", "exp")
    },
    **{
        f"u256_{name}": [{"a": at**40 % 2**256, "b": 2**256 - 1 - at, "modulus": at // 2} for at in range(MANY)]
        for name in ("addmod", "mulmod")
    },
    "ecrecover": [{"hash": b"\1" * 32, "v": 27 + at % 3, "r": at, "s": 7} for at in range(MANY)],
}


class Fake(Accelerator):
    """Adds, and hashes by another one; says that it costs what a test wants, and does what a test wants."""

    def __init__(self, per_item: float = 0.0, *, fixed: float = 0.0, item_size: int = 0, name: str = "fake") -> None:
        self._name = name
        self.known = {one: Capability(one, fixed, per_item, item_size) for one in ("u256_add", "sha256")}
        self.is_available = True
        self.asked: list[tuple[str, int]] = []
        self.raising: Exception | None = None
        self.lost = 0

    @property
    def name(self) -> str:
        return self._name

    def status(self) -> AcceleratorStatus:
        return AcceleratorStatus(self.is_available, "" if self.is_available else "switched off")

    def capabilities(self) -> Mapping[str, Capability]:
        return self.known

    def run(self, operation: str, columns: Sequence[Any]) -> Sequence[Any]:
        self.asked.append((operation, len(columns[-1])))
        if self.raising is not None:
            raise self.raising
        found = CpuAccelerator(CpuConfig(threads=1)).run(operation, columns)
        return [column[: len(column) - self.lost] for column in found]


class Unsteady(Fake):
    """Raises where it promised not to."""

    def status(self) -> AcceleratorStatus:
        raise OSError("no driver")


def add_rows(count: int) -> list[tuple[int, int]]:
    return [(at, 2 * at) for at in range(count)]


def sums(count: int) -> list[int]:
    return [3 * at for at in range(count)]


def route(accelerators: Sequence[Accelerator], count: int = MANY, times: int = 1) -> tuple[Router, str]:
    """The router after so many batches of sums, and where the last one ran."""
    router = Router(accelerators, None)
    for _ in range(times):
        routed = router.run(KNOWN["u256_add"], add_rows(count))
        assert routed.results == sums(count)
    return router, routed.path


# Which path


def test_a_cheap_accelerator_is_used() -> None:
    fake = Fake(CHEAP)
    assert route([fake])[1] == "fake"
    assert fake.asked == [("u256_add", MANY)]


def test_an_expensive_accelerator_is_not() -> None:
    fake = Fake(DEAR)
    assert route([fake])[1] == PYTHON
    assert fake.asked == []


def test_what_a_batch_costs_before_its_first_row_counts() -> None:
    fake = Fake(fixed=1000.0)
    assert route([fake])[1] == PYTHON
    assert fake.asked == []


def test_the_cheapest_of_several_is_used() -> None:
    fakes = [Fake(CHEAP, name="dear"), Fake(2 * CHEAP, name="cheap"), Fake(DEAR, name="dearest")]
    assert route(fakes)[1] == "cheap"
    assert [len(fake.asked) for fake in fakes] == [0, 1, 0]


def test_one_that_is_not_available_is_not_asked() -> None:
    fake = Fake(CHEAP)
    fake.is_available = False
    router, path = route([fake])
    assert (path, fake.asked, router.failures) == (PYTHON, [], {})


def test_few_rows_are_not_worth_the_question() -> None:
    fake = Fake(CHEAP)
    router, path = route([fake], 15)
    assert (path, fake.asked, router.costs()) == (PYTHON, [], [])
    assert route([fake], 16)[1] == "fake"


def test_no_rows_have_no_results() -> None:
    assert route([Fake(CHEAP)], 0)[1] == PYTHON


def test_an_operation_that_an_accelerator_has_not_runs_in_python() -> None:
    fake = Fake(CHEAP)
    routed = Router([fake], None).run(KNOWN["u256_mul"], add_rows(MANY))
    assert (routed.path, fake.asked) == (PYTHON, [])
    assert routed.results == [2 * at * at for at in range(MANY)]


class Slow(Operation):
    """Returns what it is given, in Python after `seconds`."""

    fields = ("data",)
    seconds = 0.002

    def size(self, operands: bytes) -> int:
        return len(operands)

    def read(self, item: Mapping[str, Any]) -> bytes:
        return bytes(item["data"])

    def compute(self, operands: bytes) -> bytes:
        time.sleep(self.seconds)
        return operands

    def pack(self, rows: Sequence[bytes]) -> Sequence[Any]:
        return rows

    def unpack(self, columns: Sequence[Any]) -> list[bytes]:
        return list(columns)


class Echo(Fake):
    """Gives back the columns of `slow`; costs as much for each row of 64 bytes as `per_item` says."""

    def __init__(self, per_item: float) -> None:
        super().__init__()
        self.known = {"slow": Capability("slow", 0.0, per_item, 64)}

    def run(self, operation: str, columns: Sequence[Any]) -> Sequence[Any]:
        self.asked.append((operation, len(columns)))
        return columns


def test_larger_rows_are_taken_to_cost_more() -> None:
    echo = Echo(per_item=Slow.seconds / 10)
    router = Router([echo], None)
    rows = [[bytes(size)] * 20 for size in (64, 64 * 1000)]
    paths = [router.run(Slow("slow"), one).path for one in rows]
    assert paths == ["fake", PYTHON]


def test_costs_are_those_of_rows_of_such_a_size() -> None:
    router = Router([Echo(1e-6)], None)
    for size in (64, 65, 127, 128):
        router.run(Slow("slow"), [bytes(size)] * 20)
    costs = router.costs()
    assert [(cost["path"], cost["row_size"]) for cost in costs] == [
        ("fake", 127),
        ("fake", 255),
        (PYTHON, 127),
        (PYTHON, 255),
    ]
    assert all(cost["operation"] == "slow" for cost in costs)
    assert all(cost["per_row"] >= Slow.seconds for cost in costs if cost["path"] == PYTHON)
    assert costs[1]["per_row"] >= 2e-6 > 1e-6 <= costs[0]["per_row"]


def test_rows_at_the_end_count_as_much_as_those_at_the_beginning() -> None:
    router = Router([Echo(1e-6)], None)
    router.run(Slow("slow"), [b""] * 16 + [bytes(1000)] * 16)
    assert {cost["row_size"] for cost in router.costs()} == {511}


# Failures


def test_what_fails_is_done_in_python_and_told() -> None:
    fake = Fake(CHEAP)
    fake.raising = RuntimeError("out of memory")
    router, path = route([fake], times=2)
    assert path == PYTHON
    assert router.failures == {"fake": "u256_add: RuntimeError: out of memory"}
    assert len(fake.asked) == 2
    fake.raising = None
    assert router.run(KNOWN["u256_add"], add_rows(MANY)).path == "fake"


def test_lost_results_are_a_failure() -> None:
    fake = Fake(CHEAP)
    fake.lost = 1
    router, path = route([fake])
    assert path == PYTHON
    assert router.failures == {"fake": f"u256_add: ValueError: {MANY - 1} results for {MANY} rows"}


def test_one_that_breaks_its_promises_hurts_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    fake, good = Fake(CHEAP, name="bad"), Fake(CHEAP)

    def capabilities() -> Mapping[str, Capability]:
        raise OSError("gone")

    monkeypatch.setattr(fake, "capabilities", capabilities)
    router, path = route([Unsteady(CHEAP, name="worse"), fake, good])
    assert path == "fake"
    assert router.failures == {"worse": "status: OSError: no driver", "bad": "u256_add: OSError: gone"}


def test_what_fails_in_python_too_is_raised() -> None:
    with pytest.raises(TypeError):
        Router([Fake(CHEAP)], None).run(KNOWN["sha256"], [b"a"] * 20 + [None])


def test_failures_are_counted() -> None:
    metrics = Metrics()
    fake = Fake(CHEAP)
    fake.raising = RuntimeError("out of memory")
    router = Router([fake], metrics)
    for _ in range(3):
        router.run(KNOWN["u256_add"], add_rows(MANY))
    assert metrics.to_dict()["accelerator_failures"] == [
        {"accelerator": "fake", "count": 3, "reason": "u256_add: RuntimeError: out of memory"}
    ]
    metrics.clear()
    assert metrics.to_dict()["accelerator_failures"] == []


# Through the engine


def engine_with(
    accelerators: Sequence[Accelerator], monkeypatch: pytest.MonkeyPatch, **options: Any
) -> ExecutionEngine:
    factory = VmFactory()
    monkeypatch.setattr(factory, "accelerators", lambda: accelerators)
    return ExecutionEngine(factory, config=EngineConfig.model_validate(options))


def test_results_and_metrics_name_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake(CHEAP)
    engine = engine_with([fake], monkeypatch)
    items = [
        item
        for at in range(MANY)
        for item in (
            {"operation": "u256_add", "a": at, "b": at},
            {"operation": "u256_sub", "a": at, "b": at},
            {"operation": "u256_add", "a": at},
        )
    ]
    results = engine.execute_operations_batch(items)
    assert results[0::3] == [{"operation": "u256_add", "result": 2 * at, "path": "fake"} for at in range(MANY)]
    assert results[1::3] == [{"operation": "u256_sub", "result": 0, "path": PYTHON}] * MANY
    assert all("b: is missing" in result["error"] for result in results[2::3])
    counted = [
        (one["operation"], one["path"], one["batches"], one["rows"])
        for one in engine.get_performance_metrics()["operations"]
    ]
    assert counted == [("u256_add", "fake", 1, MANY), ("u256_sub", PYTHON, 1, MANY)]


def test_failures_are_in_the_metrics_of_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake(CHEAP)
    fake.raising = RuntimeError("out of memory")
    engine = engine_with([fake], monkeypatch)
    results = engine.execute_operations_batch([{"operation": "u256_add", "a": at, "b": at} for at in range(MANY)])
    assert results == [{"operation": "u256_add", "result": 2 * at, "path": PYTHON} for at in range(MANY)]
    (failure,) = engine.get_performance_metrics()["accelerator_failures"]
    assert (failure["accelerator"], failure["count"]) == ("fake", 1)
    assert "out of memory" in failure["reason"]


@pytest.mark.parametrize("metrics", [True, False])
def test_results_are_the_same_on_every_path(monkeypatch: pytest.MonkeyPatch, metrics: bool) -> None:
    items = [{"operation": name, **fields} for name, rows in OPERANDS.items() for fields in rows]
    found = {}
    for accelerators in ((), (Eager(CpuConfig(threads=2)),)):
        engine = engine_with(accelerators, monkeypatch, metrics=metrics)
        assert set(OPERANDS) == set(engine._operations)
        results = engine.execute_operations_batch(items)
        paths = {result.pop("path") for result in results}
        assert len(paths) == 1
        found[paths.pop()] = results
    assert found[PYTHON] == found["cpu"]


class Eager(CpuAccelerator):
    """Says that it costs less than anything else."""

    def capabilities(self) -> Mapping[str, Capability]:
        return {name: Capability(name, 0.0, CHEAP) for name in super().capabilities()}
