"""Batches on this processor's lanes: what comes of them is what comes of the native engine, escapes included."""

from __future__ import annotations

from typing import Any

import pytest
from vmloom import Account, MemoryState
from vmloom.errors import StateError
from vmloom_cuda.device.interface import OutOfDeviceMemory
from vmloom_cuda.device.on_host import HostAllocation
from vmloom_cuda.evm import EvmBatch, HostDevice
from vmloom_evm.assembly import (
    Bytecode,
    call,
    create_from,
    deployer,
    op,
    pop,
    push,
    raw,
    ret_top,
    selfdestruct,
    sload,
    sstore,
    tstore,
)
from vmloom_evm.forks import fork_named
from vmloom_evm.native.lane_build import LaneSizes
from vmloom_evm.native.state import NativeState
from vmloom_evm.testing import CONTRACT, SENDER
from vmloom_evm.transaction.types import AccessListEntry, Transaction, TransactionRefused, TransactionType

from .conftest import (
    BLOCK,
    DELEGATING,
    DOOMED,
    OSAKA,
    PROGRAMS,
    STORE,
    VM,
    batch_on,
    changes,
    columns,
    comparable,
    natively,
)

SMALL = LaneSizes(
    frames=3, stack_items=32, memory=1024, return_data=64, accounts=6, slots=4, transients=2, codes=3, code_bytes=128,
    journal=200, logs=2, log_bytes=40, outcome=640,
)  # fmt: skip


def test_calls_come_to_what_they_come_to_on_the_native_engine(state: NativeState, lanes: EvmBatch) -> None:
    """More of them than run at a time, in another order than theirs."""
    calls = columns(list(PROGRAMS.values()) * 2)
    before = changes(state)
    escaped = lanes.statistics.escapes.total()
    found = lanes.call(state, calls)
    wanted = natively(state, calls)
    assert lanes.statistics.escapes.total() == escaped
    for name, one, other in zip([*PROGRAMS, *PROGRAMS], found, wanted, strict=True):
        assert comparable(one) == comparable(other), name
    assert [one.gas_used for one in found] == [one.gas_used for one in wanted]
    assert changes(state) == before
    assert {one.success for one in wanted} == {True, False}


def test_no_calls_are_no_results(state: NativeState, lanes: EvmBatch) -> None:
    assert list(lanes.call(state, columns([]))) == []
    assert lanes.transact(state, BLOCK, [], []) == []


@pytest.mark.parametrize(
    ("cause", "code"),
    {
        "stack": push(1) * 40,
        "frames": pop(call(STORE)) + pop(call(DELEGATING)),
        "memory": op("MSTORE8")(3000, 1),
        "return data": op("RETURN")(0, 100),
        "accounts": raw(b"".join(bytes(pop(op("BALANCE")(number))) for number in range(1000, 1010))),
        "slots": raw(b"".join(bytes(pop(sload(number))) for number in range(10))),
        "transient slots": raw(b"".join(bytes(tstore(number, 1)) for number in range(4))),
        "bytes of created code": create_from(deployer(bytes(200))),
        "logs": op("LOG0")(0, 0) * 3,
        "bytes of logs": op("LOG0")(0, 41),
        "outcome": raw(b"".join(bytes(sstore(n % 4, n + 1)) for n in range(40))),
        "a precompile or another VM": pop(op("STATICCALL")(op("GAS")(), 9, 0, 0, 0, 0)),
        "a block hash is not at hand": ret_top(op("BLOCKHASH")(999)),
    }.items(),
)
def test_what_does_not_fit_a_lane_escapes_and_is_counted(state: NativeState, cause: str, code: Bytecode) -> None:
    """The others of the batch do not."""
    small = batch_on("host", SMALL)
    calls = columns([PROGRAMS["what is not there"], code, PROGRAMS["stack underflow"]])
    before = small.statistics.escapes.copy()
    found = small.call(state, calls)
    assert small.statistics.escapes - before == {cause: 1}
    assert [comparable(one) for one in found] == [comparable(one) for one in natively(state, calls)]
    assert [one.gas_used for one in found] == found.gas_used  # type: ignore[attr-defined]


def test_a_state_is_uploaded_again_only_when_it_has_changed(state: NativeState, lanes: EvmBatch) -> None:
    calls = columns([ret_top(sload(1))] * 3)
    natively(state, calls)  # rows of what is looked at are there from now on
    first = lanes.call(state, calls)
    uploads = lanes.statistics.uploads
    natively(state, calls)  # which notes in rows what it has looked at
    assert list(lanes.call(state, calls)) == list(first)
    assert lanes.statistics.uploads == uploads
    state.set_storage(CONTRACT, 1, 12)
    again = lanes.call(state, calls)
    assert lanes.statistics.uploads == uploads + 1
    assert [one.return_data[-1] for one in (*first, *again)] == [11] * 3 + [12] * 3
    state.set_account(b"\x05" * 20, Account(1, 2, b"\x01"))
    lanes.call(state, calls)
    assert lanes.statistics.uploads == uploads + 2


def test_what_the_state_has_yet_to_load_escapes_once(lanes: EvmBatch) -> None:
    """The processor loads it, and from then on lanes find it."""
    source = MemoryState({CONTRACT: Account(1, 5)})
    source.set_storage(CONTRACT, 1, 44)
    state = NativeState(source=source)
    calls = columns([ret_top(sload(1))])
    before = lanes.statistics.escapes.copy()
    assert [one.return_data[-1] for one in lanes.call(state, calls)] == [44]
    assert (lanes.statistics.escapes - before).total() == 1
    assert [one.return_data[-1] for one in lanes.call(state, calls)] == [44]
    assert (lanes.statistics.escapes - before).total() == 1


def test_a_batch_is_split_where_the_device_has_too_little_memory(state: NativeState) -> None:
    class Tight(HostDevice):
        def allocate(self, size: int) -> HostAllocation:
            if size > 40 << 20:
                raise OutOfDeviceMemory("40 MiB are all there is")
            return super().allocate(size)

    tight = EvmBatch(OSAKA, Tight(), lanes=1 << 12)
    calls = columns([PROGRAMS["storage"]] * 600)
    assert [one.gas_used for one in tight.call(state, calls)] == [one.gas_used for one in natively(state, calls)]
    assert tight.statistics.launches > 1
    assert tight.lanes < 600


def test_where_the_device_fails_the_processor_runs_all_and_it_is_told(state: NativeState) -> None:
    class Full(HostDevice):
        def allocate(self, size: int) -> HostAllocation:
            raise OutOfDeviceMemory(f"{size} bytes are too many")

    full = EvmBatch(OSAKA, Full())
    calls = columns([PROGRAMS["storage"], PROGRAMS["calls"]])
    found = full.call(state, calls)
    assert [comparable(one) for one in found] == [comparable(one) for one in natively(state, calls)]
    assert full.statistics.escapes == {"the device failed": 2}
    assert "too many" in full.statistics.failure


def test_a_state_that_something_runs_on_is_refused(state: NativeState, lanes: EvmBatch) -> None:
    with state.in_use, pytest.raises(StateError):
        lanes.call(state, columns([PROGRAMS["storage"]]))


def test_transactions_each_find_the_state_as_it_is(state: NativeState, lanes: EvmBatch) -> None:
    """Of all types, refused ones and one that a lane cannot hold among them."""
    typed: dict[str, Any] = {"chain_id": BLOCK.chain_id, "gas_limit": 200_000, "max_fee_per_gas": 10, "to": STORE}
    transactions = [
        Transaction(gas_limit=100_000, to=STORE, value=5, data=b"\x01" * 40),
        Transaction(gas_limit=200_000, to=None, data=bytes(deployer(sstore(1, 1)))),
        Transaction(gas_limit=20_000, to=STORE),
        Transaction(gas_limit=100_000, to=STORE, nonce=9),
        Transaction(gas_limit=100_000, to=DOOMED),
        Transaction(
            type=TransactionType.ACCESS_LIST,
            access_list=(AccessListEntry(STORE, (3, 7)), AccessListEntry(DOOMED, ()), AccessListEntry(CONTRACT, (1,))),
            **typed,
        ),
        Transaction(type=TransactionType.BLOB, blob_hashes=(b"\x01" + bytes(31),), max_fee_per_blob_gas=100, **typed),
        Transaction(gas_limit=1 << 63, to=STORE),
    ]
    senders = [SENDER] * len(transactions)
    before = changes(state)
    found = lanes.transact(state, BLOCK, transactions, senders)
    assert changes(state) == before
    wanted = []
    for tx in transactions:
        begun = state.snapshot()
        try:
            result = VM.executor.transact(OSAKA, state, BLOCK, tx, SENDER)
            wanted.append(comparable(result))
        except TransactionRefused as refusal:
            wanted.append(comparable(refusal))
        state.revert(begun)
    assert [comparable(one) for one in found] == wanted
    assert [isinstance(one, TransactionRefused) for one in found] == [
        False,
        False,
        True,
        True,
        False,
        False,
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ({"frames": 1}, "frames: 1"),
        ({"stack_items": 100}, "stack_items: 100"),
        ({"stack_items": 16}, "stack_items: 16"),
        ({"journal": 0}, "journal: 0"),
        ({"interleave": 3}, "interleave: 3"),
        ({"interleave": 1 << 17}, "interleave: 131072"),
    ],
)
def test_sizes_that_no_lane_can_have_are_refused(sizes: dict[str, int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        LaneSizes(**sizes)


def test_no_lanes_are_refused() -> None:
    with pytest.raises(ValueError, match="lanes: 0"):
        EvmBatch(OSAKA, HostDevice(), lanes=0)


def test_words_that_go_unseen_are_told_of_transactions_whenever_they_are_read() -> None:
    """They are in the source, which may be changed after the batch."""
    fork = VM.specification(fork_named("shanghai"))  # where contracts that destroy themselves are gone
    older = EvmBatch(fork, HostDevice(), lanes=8)
    source = MemoryState({SENDER: Account(balance=10**20), CONTRACT: Account(1, 5, bytes(selfdestruct(SENDER)))})
    source.set_storage(CONTRACT, 1, 44)
    state = NativeState(source=source)
    tx = Transaction(max_fee_per_gas=10**9, max_priority_fee_per_gas=10**9, gas_limit=100_000, to=CONTRACT)
    for address in (SENDER, CONTRACT, BLOCK.coinbase):
        state.get_account(address)
    (found,) = older.transact(state, BLOCK, [tx], [SENDER])
    begun = state.snapshot()
    wanted = comparable(VM.executor.transact(fork, state, BLOCK, tx, SENDER))
    state.revert(begun)
    source.set_storage(CONTRACT, 1, 55)
    assert not older.statistics.escapes
    assert comparable(found) == wanted
    assert "44" in repr(wanted)
