"""What goes to a device and comes from it, for a transaction: no more than differs, and no more than it came to."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from vmloom.kernel import pointer, u64
from vmloom_cuda.evm import EvmBatch, HostDevice, measuring
from vmloom_cuda.evm.outcomes import Executions, OutcomeCodes, Outcomes
from vmloom_cuda.evm.placing import FIELD, WORDS, Columns, PlacedTransactions
from vmloom_evm import Evm, EvmConfig
from vmloom_evm.native.lanes import spread_transaction
from vmloom_evm.native.state import NativeState

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


def test_what_became_of_executions(state: NativeState) -> None:
    """Of two launches, of one execution that escapes, and in another order."""
    ran, codes = Executions(4), OutcomeCodes(state)
    parts, before = [], 0
    for first, summaries in ((0, [30, 0x110 << 32, 40]), (3, [50])):
        sizes, begins = ran.summarise(first, np.array(summaries, np.uint64))
        parts.append(np.zeros(int(sizes.sum()), np.uint8))
        heads = parts[-1].view(np.uint64)
        for begin, size in zip(begins.tolist(), sizes.tolist(), strict=True):
            if size:
                heads[begin + 1] = before + 8 * begin + size  # the field `end`: there are no codes behind it
        ran.locate(first, sizes, before, parts[-1], codes)
        before += len(parts[-1])
    first, second = (part.ctypes.data for part in parts)
    assert ran.stopped.tolist() == [0, 0x110, 0, 0]
    assert ran.places[[0, 2, 3]].tolist() == [0, 240, 560]
    assert ran.addresses.tolist() == [first, 0, first + 240, second]
    back = ran.put_back(np.array([2, 0, 3, 1]))
    assert back.stopped.tolist() == [0x110, 0, 0, 0]
    assert back.addresses.tolist() == [0, second, first, first + 240]
    assert back.put_back(None) is back
    outcomes = Outcomes(parts)
    assert outcomes[560:576] == parts[1][:16].tobytes()
    assert outcomes[240:248] == parts[0][240:248].tobytes()


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
