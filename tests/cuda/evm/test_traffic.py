"""What goes to a device and comes from it, for a transaction: no more than differs, and no more than it came to."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from vmloom.kernel import pointer, u64
from vmloom_cuda.evm import EvmBatch, HostDevice, measuring
from vmloom_cuda.evm.outcomes import Executions, Outcomes
from vmloom_cuda.evm.placing import FIELD, WORDS, Columns, PlacedTransactions
from vmloom_evm import Evm, EvmConfig
from vmloom_evm.native.lanes import spread_transaction

ARENA = 1 << 40
DATA, GAS, TO = FIELD["data"], FIELD["gas_limit"], FIELD["given_to"]


def spread(columns: Columns, count: int) -> list[list[int]]:
    """The transactions that a device makes of columns, by the kernel as CPython runs it."""
    made = np.full((count, WORDS), 0xA5A5, np.uint64)

    def at(array: np.ndarray) -> object:
        return pointer(u64, array.ctypes.data)

    for row in range(count):
        varying = len(columns.places) // 2
        spread_transaction(row, count, at(made), at(columns.template), at(columns.places), varying, at(columns.columns))
    return made.tolist()


@pytest.mark.parametrize("seed", range(4))
def test_a_device_makes_the_same_transactions(seed: int) -> None:
    random = Random(seed)
    count = random.choice((1, 2, 7, 40))
    rows = np.tile(np.arange(WORDS, dtype=np.uint64), (count, 1))
    for word in random.sample(range(WORDS), 9):
        rows[:, word] = [random.randrange(3) for _ in range(count)]
    rows[:, TO] = rows[:, GAS]
    data = np.array([random.randrange(100) for _ in range(count)], np.uint64)
    order = np.array(random.sample(range(count), count)) if seed % 2 else None
    rows[:, DATA] = data
    before = rows.copy()
    columns = PlacedTransactions(rows, order, b"").columns().at(ARENA)
    expected = rows.copy()
    for name in ("data", "blob_hashes", "access", "authorizations"):
        expected[:, FIELD[name]] += np.uint64(ARENA)
    assert spread(columns, count) == expected[slice(None) if order is None else order].tolist()
    assert (rows == before).all(), "they are somebody else's"


def test_what_is_the_same_is_told_once() -> None:
    rows = np.zeros((5, WORDS), np.uint64)
    assert PlacedTransactions(rows, None, b"").columns().columns.shape == (0, 5)
    rows[3, GAS] = rows[3, TO] = 7
    rows[2, DATA] = 1
    found = PlacedTransactions(rows, None, b"").columns()
    assert found.columns.shape == (2, 5)
    assert sorted(found.places.reshape(-1, 2)[:, 0].tolist()) == sorted([GAS, TO, DATA])


def test_differences_in_any_row_are_seen() -> None:
    rows = np.zeros((5000, WORDS), np.uint64)
    rows[4999, GAS] = 1
    assert PlacedTransactions(rows, None, b"").columns().places.tolist() == [GAS, 0]


def test_what_became_of_executions() -> None:
    ran = Executions.summarised(np.array([3, 0x110 << 32, 2], np.uint64), before=40)
    assert ran.stopped.tolist() == [0, 0x110, 0]
    assert ran.sizes.tolist() == [24, 0, 16]
    assert ran.places.tolist() == [40, 64, 64]
    outcomes = Outcomes([np.arange(8, dtype=np.uint64).view(np.uint8), np.arange(8, 80, dtype=np.uint64).view(np.uint8)])
    assert ran.headers(outcomes, "end").tolist() == [6, 0, 9]
    both = Executions.concatenated([ran, Executions.all_stopped(1, 5)])
    assert both.stopped.tolist() == [0, 0x110, 0, 5]
    back = both.put_back(np.array([2, 0, 3, 1]))
    assert back.stopped.tolist() == [0x110, 5, 0, 0]
    assert back.sizes.tolist() == [0, 0, 24, 16]
    assert back.put_back(None) is back
    assert Executions.all_stopped(3, 5).headers(outcomes, "end").tolist() == [0, 0, 0]


def test_bytes_of_a_transfer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Up: the call data and what differs of a transaction; down: what it came to. In one launch or in many."""
    found = []

    def counted(case: object, device: HostDevice, state: object, calls: object, rounds: int) -> dict[str, object]:
        vm = Evm(EvmConfig(revision="osaka"))
        for lanes in (256, 100):
            batch = EvmBatch(vm.specification(vm.fork_at(calls.block)), device, lanes=lanes)
            batch.call(state, calls)
            told = batch.statistics
            uploaded, before = told.bytes_in, told.bytes_out
            results = batch.call(state, calls)
            found.append(
                ((told.bytes_in - uploaded) / len(calls), (told.bytes_out - before) / len(calls), list(results))
            )
        return {}

    monkeypatch.setattr(measuring, "measured", counted)
    measuring.transfers(HostDevice(), 256, 1)
    (up, down, results), (_, _, split) = found
    assert results == split
    assert all(one.success for one in results)
    assert up < 68 + 64 + 40, "call data, words that differ, and what a batch of this size has once"
    assert down < 750
