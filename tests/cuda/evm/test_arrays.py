"""Calls from arrays to arrays: the columns say what the results say, and nothing from outside is believed."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from vmloom import Account, ExecutionContext, ExecutionResult, MemoryState
from vmloom.errors import StateError
from vmloom.kernel import U256_MAX
from vmloom_cuda.device.column import DeviceColumn
from vmloom_cuda.device.emulated import EmulatedDevice
from vmloom_cuda.device.interface import OutOfDeviceMemory
from vmloom_cuda.device.on_host import HostAllocation
from vmloom_cuda.evm import CallArrays, EvmBatch, Held, HostDevice, ResultArrays
from vmloom_cuda.evm.placing import calls_to_place, order_of
from vmloom_evm.assembly import log1, op, ret_top, sload, sstore
from vmloom_evm.delegation import designator
from vmloom_evm.forks import fork_named
from vmloom_evm.halts import HALT_NAMES
from vmloom_evm.native.lane_build import LaneSizes
from vmloom_evm.native.state import NativeState
from vmloom_evm.testing import CONTRACT, SENDER

from .conftest import BLOCK, CONTRACTS, DOOMED, OSAKA, PROGRAMS, STORE, VM, batch_on, changes, columns, comparable
from .test_batch import SMALL
from .test_random_programs_on_lanes import program

BLOCK_HASH = ret_top(op("BLOCKHASH")(999))
TOLD = op("ADD")(op("CALLVALUE")(), op("CALLER")()) + ret_top()


def natively(state: NativeState, calls: CallArrays, specification: Any = OSAKA) -> list[ExecutionResult]:
    """What the native engine says of each, one by one."""
    results = []
    for place in range(len(calls)):
        begun = state.snapshot()
        code = calls.code_of(calls.number(place), state)
        results.append(VM.executor.execute(specification, state, code, calls.context(place)))
        assert results[-1].state_changes is not None  # read while the state has them
        state.revert(begun)
    return results


def word(column: Any) -> int:
    """The number in a row of words."""
    return int.from_bytes(column.tobytes(), "little")


def agree(found: ResultArrays, wanted: list[ExecutionResult]) -> None:
    """Every column, and each result, with what is wanted."""
    assert [HALT_NAMES[status] for status in found.status.tolist()] == [one.error for one in wanted]
    assert found.gas_used.tolist() == [one.gas_used for one in wanted]
    assert found.return_sizes.tolist() == [len(one.return_data) for one in wanted]
    data, cut = found.return_data(), found.return_data(5)
    assert data.shape == (len(wanted), max((len(one.return_data) for one in wanted), default=0))
    logs, storage = found.logs, found.storage
    assert (logs.offsets[-1], storage.offsets[-1]) == (len(logs.addresses), len(storage.addresses))
    for place, (one, other) in enumerate(zip(found, wanted, strict=True)):
        assert comparable(one) == comparable(other), place
        assert data[place].tobytes() == other.return_data.ljust(data.shape[1], b"\0")
        assert cut[place].tobytes() == other.return_data[:5].ljust(5, b"\0")
        seen = []
        for log in range(int(logs.offsets[place]), int(logs.offsets[place + 1])):
            topics = [word(topic) for topic in logs.topics[log]]
            begin, end = logs.data_offsets[log : log + 2].tolist()
            count = int(logs.topic_counts[log])
            assert topics[count:] == [0] * (4 - count)
            seen.append((logs.addresses[log].tobytes(), tuple(topics[:count]), logs.data[begin:end].tobytes()))
        assert seen == [(event.address, event.topics, event.data) for event in other.events]
        rows = range(*storage.offsets[place : place + 2].tolist())
        keys = [(storage.addresses[at].tobytes(), word(storage.slots[at])) for at in rows]
        words = dict(zip(keys, ((word(storage.former[at]), word(storage.now[at])) for at in rows), strict=True))
        told = [change for change in other.state_changes if change.field == "storage"]
        assert words == {(change.address, change.key): (change.old, change.new) for change in told}
        assert len(told) == len(rows)


def arrays(codes: Any, seed: int, *, ragged: bool = True, gas: int = 200_000, **others: Any) -> CallArrays:
    """A random call of each code at `CONTRACT`, in random order."""
    source, count = random.Random(seed), len(codes)
    sizes = [source.randrange(70) if ragged else 36 for _ in range(count)]
    bytes_ = np.frombuffer(source.randbytes(sum(sizes)), np.uint8)
    senders = [SENDER, STORE, source.randbytes(20)]
    given: dict[str, Any] = {
        "data": bytes_ if ragged else bytes_.reshape(count, 36),
        "offsets": np.cumsum([0, *sizes]).astype(np.uint64) if ragged else None,
        "callers": np.frombuffer(b"".join(source.choice(senders) for _ in range(count)), np.uint8).reshape(count, 20),
        "gas": np.array([source.choice((gas, gas - 7, 30_000, 3_000)) for _ in range(count)], np.uint64),
        "contract": np.array(source.sample(range(count), count), np.int16),
        "value": np.frombuffer(source.randbytes(32 * count), np.uint64).reshape(count, 4),
        "gas_price": 3,
        "codes": [bytes(code) for code in codes],
    }
    return CallArrays([CONTRACT] * count, block=BLOCK, **{**given, **others})


# Arrays, lists and the native engine


@pytest.mark.parametrize("ragged", [True, False])
@pytest.mark.parametrize("seed", range(2))
def test_arrays_come_to_what_the_native_engine_comes_to(
    state: NativeState, lanes: EvmBatch, seed: int, ragged: bool
) -> None:
    """In several launches, sorted by contract and selector; block hashes escape."""
    source = random.Random(seed)
    codes = [*PROGRAMS.values(), TOLD, BLOCK_HASH, *(program(source) for _ in range(50))]
    calls = arrays(codes, seed, ragged=ragged)
    assert calls_to_place(calls, state).order is not None
    before, escapes = changes(state), lanes.statistics.escapes.total()
    found = lanes.call_arrays(state, calls)
    assert changes(state) == before
    assert lanes.statistics.escapes.total() - escapes == len(found.escaped) > 0
    agree(found, natively(state, calls))


def test_lists_come_to_the_same(state: NativeState, lanes: EvmBatch) -> None:
    calls = columns(list(PROGRAMS.values()))
    agree(lanes.call_arrays(state, CallArrays.of(calls)), list(lanes.call(state, calls)))


def test_results_of_what_escapes_are_in_the_columns(state: NativeState) -> None:
    """Nearly all of it, of lanes with little room."""
    small = batch_on("host", SMALL)
    calls = arrays([*PROGRAMS.values(), BLOCK_HASH, log1(0, 300, 5)] * 2, 5, value=0)
    found = small.call_arrays(state, calls)
    assert 8 < len(found.escaped) < len(calls)
    agree(found, natively(state, calls))


@pytest.mark.parametrize(
    ("name", "given"),
    {
        "gas": {"gas": 50_000},
        "callers": {"callers": SENDER},
        "contract": {"contract": 1},
        "value": {"value": U256_MAX},
        "nothing": {"data": np.zeros((9, 0), np.uint8), "offsets": None},
    }.items(),
)
def test_what_is_the_same_for_all_is_given_once(
    state: NativeState, lanes: EvmBatch, name: str, given: dict[str, Any]
) -> None:
    calls = arrays([TOLD, PROGRAMS["calls"], PROGRAMS["storage"]] * 3, 1, **given)
    found = lanes.call_arrays(state, calls)
    assert not len(found.escaped), name
    agree(found, natively(state, calls))


def test_contracts_run_what_the_state_has_there(state: NativeState, lanes: EvmBatch) -> None:
    places = [*CONTRACTS, CONTRACT, b"\xdd" * 20]
    calls = CallArrays(
        places, np.zeros((30, 32), np.uint8), SENDER, 100_000, BLOCK, contract=np.arange(30) % len(places)
    )
    found = lanes.call_arrays(state, calls)
    agree(found, natively(state, calls))
    assert set(found.status.tolist()) == {0, 1}


def test_no_calls_are_no_results(state: NativeState, lanes: EvmBatch) -> None:
    found = lanes.call_arrays(state, CallArrays([], np.zeros((0, 4), np.uint8), SENDER, 1, BLOCK))
    assert (len(found), list(found), found.columns().make()) == (0, [], [])
    assert found.return_data().shape == (0, 0)
    assert (found.logs.offsets.tolist(), found.storage.offsets.tolist()) == ([0], [0])


def test_results_are_a_sequence(state: NativeState, lanes: EvmBatch) -> None:
    found = lanes.call_arrays(state, arrays([PROGRAMS["storage"], BLOCK_HASH, PROGRAMS["hashes"]], 3))
    assert found[-1] == list(found)[2] == found[2:][0]
    assert [one.gas_used for one in found.columns()] == found.gas_used.tolist()
    with pytest.raises(IndexError):
        found[3]
    with pytest.raises(ValueError, match="width: -1"):
        found.return_data(-1)


def test_a_state_that_is_held_is_not_looked_at_again(
    state: NativeState, lanes: EvmBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it may be asked for more all the while, which escapes and new codes show."""
    made = []
    real = Held.image.fget
    monkeypatch.setattr(Held, "image", property(lambda held: made.append(real(held)) or made[-1]))
    with Held(state) as held:
        for gas in (60_000, 50_000):
            calls = arrays([PROGRAMS["storage"], BLOCK_HASH], 3, gas=gas)
            found = lanes.call_arrays(held, calls)
            with held.released():
                agree(found, natively(state, calls))
            assert len(found.escaped) == 1
        assert len({id(one) for one in made}) == 1
        other = arrays([ret_top(sload(7)) + ret_top(0xF00)] * 2, 3)
        assert [one.success for one in lanes.call_arrays(held, other)] == [True, True]
        assert len({id(one) for one in made}) == 2
        with pytest.raises(StateError):
            state.set_storage(CONTRACT, 1, 1)
    state.set_storage(CONTRACT, 1, 1)


def test_words_of_the_source_are_those_of_then() -> None:
    """Of a storage that is cleared, which the source alone knows; it may be changed after the batch."""
    fork = VM.specification(fork_named("shanghai"))  # where contracts that destroy themselves are gone
    older = EvmBatch(fork, HostDevice(), lanes=8)
    source = MemoryState({SENDER: Account(balance=9), CONTRACT: Account(1, 5), DOOMED: Account(1, 7)})
    source.set_code(DOOMED, bytes(CONTRACTS[DOOMED]))
    source.set_storage(DOOMED, 1, 44)
    source.set_storage(CONTRACT, 1, 5)
    state = NativeState(source=source)
    state.get_storage(CONTRACT, 1)
    calls = arrays([sstore(1, 6), CONTRACTS[DOOMED]], 1, value=0, gas=100_000)
    calls = CallArrays([CONTRACT, DOOMED], calls.data, SENDER, 100_000, BLOCK, offsets=calls.offsets,
                       contract=np.array([0, 1]), codes=calls.codes)  # fmt: skip
    for address in (SENDER, CONTRACT, DOOMED, BLOCK.coinbase):
        state.get_account(address)
    found = older.call_arrays(state, calls)
    wanted = natively(state, calls, fork)
    assert not older.statistics.escapes
    source.set_storage(DOOMED, 1, 55)
    agree(found, wanted)
    assert "44" in repr(wanted[1])


def test_a_device_that_fails_leaves_all_to_the_processor(state: NativeState) -> None:
    class Full(HostDevice):
        def allocate(self, size: int) -> HostAllocation:
            raise OutOfDeviceMemory(f"{size} bytes are too many")

    calls = arrays([PROGRAMS["storage"], PROGRAMS["calls"]], 3)
    found = EvmBatch(OSAKA, Full()).call_arrays(state, calls)
    assert found.escaped.tolist() == [0, 1]
    agree(found, natively(state, calls))


# On a device


def test_columns_that_are_on_the_device_are_used_there(state: NativeState, lanes: EvmBatch) -> None:
    """Escapes among them: then the processor gets a copy."""
    plain = arrays([PROGRAMS["storage"], TOLD, BLOCK_HASH] * 5, 2)
    there = {name: DeviceColumn.of(lanes.device, getattr(plain, name)) for name in ("data", "callers", "value")}
    others = {name: getattr(plain, name) for name in ("offsets", "gas", "contract", "codes")}
    calls = CallArrays(plain.contracts, block=BLOCK, gas_price=3, **there, **others)
    taken = []
    for one in (plain, calls):
        lanes.call_arrays(state, one)
        before = lanes.statistics.bytes_in
        found = lanes.call_arrays(state, one)
        taken.append(lanes.statistics.bytes_in - before)
    assert taken[0] - taken[1] >= sum(column.nbytes for column in there.values())
    assert len(found.escaped) == 5
    agree(found, natively(state, plain))


def test_arrays_of_others_that_are_on_the_device_are_taken(state: NativeState, lanes: EvmBatch) -> None:
    plain = arrays([TOLD, PROGRAMS["storage"]] * 3, 4, ragged=False)
    mine = {name: getattr(plain, name).copy() for name in ("data", "callers", "value")}
    there = {name: lanes.device.adopt(column) for name, column in mine.items()}
    assert there["data"].address == mine["data"].ctypes.data
    others = {name: getattr(plain, name) for name in ("gas", "contract", "codes", "gas_price")}
    calls = CallArrays(plain.contracts, block=BLOCK, **there, **others)
    agree(lanes.call_arrays(state, calls), natively(state, plain))
    odd = np.zeros(3 * 20 + 2, np.uint8)[2:].reshape(3, 20)
    with pytest.raises(ValueError, match="no multiple of 4"):
        arrays([TOLD] * 3, 4, callers=lanes.device.adopt(odd))


def test_columns_on_other_devices_are_refused(state: NativeState, lanes: EvmBatch) -> None:
    value, sender = np.zeros((1, 4), np.uint64), np.zeros((1, 20), np.uint8)
    other = EmulatedDevice()
    with pytest.raises(ValueError, match="emulated device 0, and the batch runs on this processor"):
        lanes.call_arrays(state, arrays([TOLD], 1, value=DeviceColumn.of(other, value)))
    both = {"callers": DeviceColumn.of(other, sender), "value": DeviceColumn.of(lanes.device, value)}
    with pytest.raises(ValueError, match="columns are on emulated device 0 and this processor"):
        lanes.call_arrays(state, arrays([TOLD], 1, **both))
    with pytest.raises(ValueError, match="gas: it is looked at here"):
        plain(gas=DeviceColumn.of(lanes.device, np.zeros(3, np.uint64)))


def test_the_emulator_comes_to_the_same(state: NativeState) -> None:
    """Ragged and not, sorted, on several launches; with columns that are there already."""
    emulated = batch_on("emulated")
    for ragged in (True, False):
        calls = arrays([*PROGRAMS.values(), TOLD, BLOCK_HASH], 9, ragged=ragged, gas=60_000)
        found = emulated.call_arrays(state, calls)
        assert len(found.escaped) == 1
        agree(found, natively(state, calls))
    there = DeviceColumn.of(emulated.device, calls.callers)
    given = {name: getattr(calls, name) for name in ("data", "gas", "contract", "value", "gas_price", "codes")}
    again = emulated.call_arrays(state, CallArrays(calls.contracts, callers=there, block=BLOCK, **given))
    assert again.gas_used.tolist() == found.gas_used.tolist()


# What is refused


def plain(**others: Any) -> CallArrays:
    """Three calls, but for what is given."""
    given: dict[str, Any] = {"data": np.zeros((3, 8), np.uint8), "callers": SENDER, "gas": 50_000}
    return CallArrays(**{"contracts": [CONTRACT], **given, **others})


@pytest.mark.parametrize(
    ("said", "given"),
    [
        ("data: a column should be uint8 .n, 8., not int64", {"data": np.zeros((3, 8), np.int64)}),
        ("data: a column should be uint8", {"data": np.zeros(24, np.uint8)}),
        ("data: a column should be uint8 .n., not uint8 .3, 8.", {"offsets": np.zeros(4, np.uint64)}),
        ("data: a column should be uint8", {"data": bytes(24)}),
        ("data: a column should be uint8", {"data": np.zeros((3, 2, 4), np.uint8)}),
        ("offsets should rise", {"data": np.zeros(9, np.uint8), "offsets": np.array([0, 5, 4, 9], np.uint64)}),
        ("to at most 9", {"data": np.zeros(9, np.uint8), "offsets": np.array([0, 5, 9, 10], np.uint64)}),
        ("to at most 9", {"data": np.zeros(9, np.uint8), "offsets": np.array([0, 5, 9, 1 << 63], np.uint64)}),
        ("offsets should rise", {"data": np.zeros(9, np.uint8), "offsets": np.zeros(0, np.uint64)}),
        ("not int64", {"data": np.zeros(9, np.uint8), "offsets": np.array([0, 5, 9])}),
        ("callers: a column should be uint8 .n, 20.", {"callers": np.zeros((3, 32), np.uint8)}),
        ("callers: 2 rows of 3 calls", {"callers": np.zeros((2, 20), np.uint8)}),
        ("callers: 19 bytes", {"callers": bytes(19)}),
        (
            "gas: 9223372036854775808 of call 1; a call has 9223372036854775807",
            {"gas": np.array([1, 1 << 63, 2], "u8")},
        ),
        ("gas: 9223372036854775808 is not", {"gas": 1 << 63}),
        ("gas: -1 is not", {"gas": -1}),
        ("gas: a column should be uint64", {"gas": np.zeros(3, np.int64)}),
        ("gas: a column should be uint64", {"gas": np.zeros(3, ">u8")}),
        ("gas: a column should be uint64", {"gas": 5.0}),
        ("gas: 4 rows of 3 calls", {"gas": np.zeros(4, np.uint64)}),
        ("contract: number 1, and there are 1", {"contract": 1}),
        ("contract: number -1, and there are 1", {"contract": -1}),
        ("contract: number 1 of call 2, and there are 1", {"contract": np.array([0, 0, 1])}),
        ("contract: number -1 of call 1", {"contract": np.array([0, -1, 0], np.int8)}),
        ("contract: a column should be integers .3,., not float64", {"contract": np.zeros(3)}),
        ("contract: a column should be integers .3,., not int64 .3, 1.", {"contract": np.zeros((3, 1), np.int64)}),
        ("value: a column should be uint64 .n, 4.", {"value": np.zeros((3, 3), np.uint64)}),
        ("value: .* is not from 0", {"value": 1 << 256}),
        ("gas_price: -5 is not from 0", {"gas_price": -5}),
        ("contracts: number 1 is b'ab', and an address is 20 bytes", {"contracts": [CONTRACT, b"ab"]}),
        ("contracts: number 0 is ", {"contracts": ["x" * 20]}),
        ("codes: 2 of 1 contracts", {"codes": [b"", b""]}),
    ],
)
def test_what_is_no_call_is_refused(said: str, given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=said):
        plain(**given)


def test_contracts_that_only_others_can_run_are_refused(state: NativeState, lanes: EvmBatch) -> None:
    state.set_code(CONTRACT, designator(STORE))
    state.set_code(STORE, b"\1", "wasm")
    with pytest.raises(ValueError, match=r"number 0, delegates to 0x.*hand in what is to run as `codes`"):
        lanes.call_arrays(state, plain())
    with pytest.raises(ValueError, match="is for the VM wasm"):
        lanes.call_arrays(state, plain(contracts=[STORE]))
    assert lanes.call_arrays(state, plain(contracts=[STORE], codes=[b""])).status.tolist() == [0, 0, 0]


def test_arrays_with_gaps_are_read_as_they_are(state: NativeState, lanes: EvmBatch) -> None:
    source = np.random.default_rng(1)
    wide = source.integers(0, 256, (6, 2, 40), dtype=np.uint8)
    value = np.asfortranarray(source.integers(0, 1 << 60, (3, 4), dtype=np.uint64))
    gas = np.array([[70_000, 1], [80_000, 2], [90_000, 3]], np.uint64)[:, 0]
    with_gaps = plain(data=wide[::2, 0, ::-1], callers=wide[1::2, 1, 5:25], value=value, gas=gas, codes=[bytes(TOLD)])
    without = plain(
        data=wide[::2, 0, ::-1].copy(), callers=wide[1::2, 1, 5:25].copy(), value=value.copy("C"), gas=gas.copy(),
        codes=[bytes(TOLD)],
    )  # fmt: skip
    found = lanes.call_arrays(state, with_gaps)
    agree(found, natively(state, without))


def test_what_was_checked_cannot_be_changed(state: NativeState, lanes: EvmBatch) -> None:
    """Columns that lead somewhere, and gas, are copies."""
    gas, offsets, contract = np.full(3, 60_000, np.uint64), np.arange(4, dtype=np.uint64), np.zeros(3, np.uint32)
    calls = plain(data=np.zeros(3, np.uint8), gas=gas, offsets=offsets, contract=contract)
    gas[:], offsets[:], contract[:] = 1 << 63, 1 << 40, 1 << 20
    assert calls.context(2) == ExecutionContext(
        SENDER, CONTRACT, SENDER, input=b"\0", gas_limit=60_000, block=calls.block
    )
    assert lanes.call_arrays(state, calls).gas_used.tolist() == [0, 0, 0]


def test_neighbours_run_the_same(state: NativeState) -> None:
    """By contract, then by selector, then as they stand."""
    data = np.frombuffer(bytes.fromhex("00000002 00000001 ffffffff 00000002 00000001"), np.uint8).reshape(5, 4)
    contract = np.array([1, 1, 0, 1, 0])
    placed = calls_to_place(plain(contracts=[CONTRACT, STORE], data=data, contract=contract), state)
    assert placed.order is not None
    assert placed.order.tolist() == [4, 2, 1, 0, 3]
    short = plain(data=np.frombuffer(b"\2\1\1", np.uint8), offsets=np.array([0, 1, 1, 3], np.uint64))
    placed = calls_to_place(short, state)
    assert placed.order is not None
    assert placed.order.tolist() == [1, 2, 0], "an input that is short ends in zeros"
    assert calls_to_place(plain(), state).order is None
    keys = np.random.default_rng(3).integers(0, 1 << 62, 500, dtype=np.uint64) % np.uint64(40) << np.uint64(29)
    found = order_of(keys)
    assert found is not None
    assert found.tolist() == np.argsort(keys, kind="stable").tolist()


def test_lanes_of_other_sizes_take_arrays(state: NativeState) -> None:
    """What a launch leaves in memory of the device is nothing to the next one."""
    lanes = EvmBatch(OSAKA, HostDevice(), lanes=5, sizes=LaneSizes(interleave=4))
    for seed in range(3):
        calls = arrays([PROGRAMS["storage"], PROGRAMS["hashes"], TOLD] * 4, seed)
        agree(lanes.call_arrays(state, calls), natively(state, calls))
