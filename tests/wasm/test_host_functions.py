"""What contracts can ask of the chain: results, gas to the last unit, and what is refused."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from vmloom import BlockContext, Event, ExecutionContext, ExecutionState
from vmloom.hashing import keccak256
from vmloom_wasm.abi import FUNCTIONS
from vmloom_wasm.config import WasmConfig
from vmloom_wasm.engine import signature
from vmloom_wasm.prices import DEFAULT_PRICES as PRICES
from vmloom_wasm.vm import WasmVm

from .contracts import (
    BLOCK,
    CALLER,
    CONTRACT,
    GAS,
    ORIGIN,
    OTHER,
    WAT_TYPES,
    bytes_at,
    contract,
    returning,
    run,
    world,
)


@pytest.fixture(scope="module")
def vm() -> WasmVm:
    return WasmVm(WasmConfig(disk_cache=False))


def word(number: int) -> bytes:
    return number.to_bytes(32, "big")


def host_gas(vm: WasmVm, body: str, uses: str, **options: Any) -> int:
    """Gas that the host functions in `body` take: that of the run less that of its instructions."""
    rest = options.pop("rest", "")
    result = run(vm, contract(body, uses=f"{uses} finish", rest=rest), **options)
    assert result.success, result.error
    free = dict.fromkeys(type(PRICES).model_fields, 0) | {"entry": PRICES.entry, "segment": PRICES.segment}
    without = WasmVm(WasmConfig(disk_cache=False, host_gas=free))
    segments = vm.cache.get(contract(body, uses=f"{uses} finish", rest=rest)).segment_bytes
    copied = PRICES.copy_word * -(-segments // 32)
    return result.gas_used - copied - run(without, contract(body, uses=f"{uses} finish", rest=rest), **options).gas_used


# The call and the block


VALUES: dict[str, tuple[bytes, dict[str, Any]]] = {
    "address": (CONTRACT, {}),
    "caller": (CALLER, {}),
    "origin": (ORIGIN, {}),
    "value": (word(2**200 + 1), {"value": 2**200 + 1}),
    "gas_price": (word(2**99), {"gas_price": 2**99}),
    "block_coinbase": (BLOCK.coinbase, {}),
    "chain_id": (word(BLOCK.chain_id), {}),
    "base_fee": (word(BLOCK.base_fee), {}),
    "prev_randao": (word(BLOCK.prev_randao), {}),
}


@pytest.mark.parametrize("name", VALUES)
def test_value_is_written_where_it_is_wanted(vm: WasmVm, name: str) -> None:
    expected, fields = VALUES[name]
    body = f"(call ${name} (i32.const 9))"
    assert (
        run(vm, returning(body, len(expected) + 2, uses=name, at=8), **fields).return_data == b"\0" + expected + b"\0"
    )
    assert host_gas(vm, body, name, **fields) == PRICES.host_call


@pytest.mark.parametrize("name", ["block_number", "block_timestamp", "block_gas_limit"])
def test_number_of_the_block(vm: WasmVm, name: str) -> None:
    body = f"(i64.store (i32.const 0) (call ${name}))"
    expected = getattr(BLOCK, name.removeprefix("block_"))
    assert int.from_bytes(run(vm, returning(body, 8, uses=name)).return_data, "little") == expected


def test_gas_left_is_exact(vm: WasmVm) -> None:
    body = """(i64.store (i32.const 0) (call $gas_left)) (i64.store (i32.const 8) (call $gas_left))
        (call $finish (i32.const 0) (i32.const 16))"""
    code = contract(body, uses="gas_left finish")
    result = run(vm, code)
    first, second = (int.from_bytes(result.return_data[at : at + 8], "little") for at in (0, 8))
    assert first - second == PRICES.host_call  # the block of instructions is paid before it runs
    assert result.gas_used == GAS - second + PRICES.host_call + PRICES.copy_word


@pytest.mark.parametrize(
    ("number", "known"), [(999, True), (744, True), (743, False), (1000, False), (1001, False), (2**64 - 1, False)]
)
def test_hashes_of_the_last_256_blocks(vm: WasmVm, number: int, known: bool) -> None:
    state = world()
    state.block_hashes[number] = b"\xab" * 32
    body = f"(call $block_hash (i64.const {number}) (i32.const 0))"
    expected = (b"\xab" if known else b"\0") * 32
    assert run(vm, returning(body, 32, uses="block_hash"), state=state).return_data == expected
    assert host_gas(vm, body, "block_hash") == PRICES.host_call + PRICES.block_hash


# Storage


STORE = "(call $storage_store (i32.const 0) (i32.const 32))"
LOAD = "(call $storage_load (i32.const 0) (i32.const 64))"


def slots(key: int, value: int) -> str:
    return bytes_at(0, word(key) + word(value))


@pytest.mark.parametrize(
    ("original", "written", "price"),
    [
        (0, 5, PRICES.cold_slot + PRICES.set_slot),
        (7, 5, PRICES.cold_slot + PRICES.reset_slot),
        (7, 0, PRICES.cold_slot + PRICES.reset_slot),
        (7, 7, PRICES.cold_slot + PRICES.warm_slot),
        (0, 0, PRICES.cold_slot + PRICES.warm_slot),
    ],
)
def test_price_of_a_write_depends_on_what_was_there(vm: WasmVm, original: int, written: int, price: int) -> None:
    for twice in (False, True):
        state = world()
        state.set_storage(CONTRACT, 2**255 + 3, original)
        state.commit()
        gas = host_gas(vm, STORE * (1 + twice), "storage_store", rest=slots(2**255 + 3, written), state=state)
        assert gas == PRICES.host_call + price + twice * (PRICES.host_call + PRICES.warm_slot)


def test_second_access_to_a_slot_is_warm_and_a_dirty_slot_cheap(vm: WasmVm) -> None:
    state = world()
    state.set_storage(CONTRACT, 3, 7)
    state.commit()
    body = LOAD + LOAD + STORE + "(i32.store8 (i32.const 63) (i32.const 9))" + STORE
    gas = host_gas(vm, body, "storage_load storage_store", rest=slots(3, 5), state=state)
    assert gas == 4 * PRICES.host_call + PRICES.cold_slot + PRICES.warm_slot + PRICES.reset_slot + PRICES.warm_slot


def test_words_are_kept_between_runs(vm: WasmVm) -> None:
    state = world()
    assert run(vm, contract(STORE, uses="storage_store", rest=slots(3, 2**255 + 1)), state=state).success
    assert state.get_storage(CONTRACT, 3) == 2**255 + 1
    assert run(vm, returning(LOAD, 32, uses="storage_load", rest=slots(3, 0), at=64), state=state).return_data == word(
        2**255 + 1
    )


def test_nothing_is_written_with_no_more_than_the_stipend(vm: WasmVm) -> None:
    """EIP-2200, and so that a transfer of the EVM, which gives so much, cannot change anything."""
    state = world()
    state.set_storage(CONTRACT, 3, 7)
    state.commit()
    code = contract(LOAD + STORE, uses="storage_load storage_store finish", rest=slots(3, 7))
    before = run(vm, code, state=state).gas_used - PRICES.host_call - PRICES.warm_slot
    assert run(vm, code, state=state, gas=before + 2_300).error == "out of gas"
    assert run(vm, code, state=state, gas=before + 2_301).success


def test_transient_words_last_for_the_transaction(vm: WasmVm) -> None:
    body = (
        """(call $transient_store (i32.const 0) (i32.const 32)) (call $transient_load (i32.const 0) (i32.const 64))"""
    )
    code = returning(body, 32, uses="transient_store transient_load", rest=slots(3, 5), at=64)
    state = world()
    assert run(vm, code, state=state).return_data == word(5)
    assert state.get_storage(CONTRACT, 3) == 0
    gas = host_gas(vm, body, "transient_store transient_load", rest=slots(3, 5))
    assert gas == 2 * (PRICES.host_call + PRICES.transient)
    load = returning(
        "(call $transient_load (i32.const 0) (i32.const 64))", 32, uses="transient_load", rest=slots(3, 0), at=64
    )
    assert run(vm, load, state=state).return_data == word(0)


# Records


RECORDS = bytes_at(0, b"keyvalue")


def test_records_have_keys_and_values_of_any_size(vm: WasmVm) -> None:
    body = """
        (i32.store (i32.const 100) (call $record_size (i32.const 0) (i32.const 3)))
        (call $record_write (i32.const 0) (i32.const 3) (i32.const 3) (i32.const 5))
        (i32.store (i32.const 104) (call $record_size (i32.const 0) (i32.const 3)))
        (i32.store (i32.const 108)
            (call $record_read (i32.const 0) (i32.const 3) (i32.const 120) (i32.const 1) (i32.const 3)))
        (i32.store (i32.const 112)
            (call $record_read (i32.const 0) (i32.const 3) (i32.const 130) (i32.const 4) (i32.const 9)))
        (i32.store (i32.const 116)
            (call $record_read (i32.const 0) (i32.const 2) (i32.const 130) (i32.const 0) (i32.const 9)))"""
    code = returning(body, 40, uses="record_size record_write record_read", rest=RECORDS, at=100)
    state = world()
    data = run(vm, code, state=state).return_data
    sizes = [int.from_bytes(data[at : at + 4], "little", signed=True) for at in range(0, 20, 4)]
    assert sizes == [-1, 5, 3, 1, -1]
    assert (data[20:24], data[30:32]) == (b"alu\0", b"e\0")
    assert state.get_record(CONTRACT, b"key") == b"value"


def test_empty_record_is_not_the_same_as_none(vm: WasmVm) -> None:
    write = "(call $record_write (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))"
    remove = "(call $record_remove (i32.const 0) (i32.const 0))"
    size = "(i32.store (i32.const 0) (call $record_size (i32.const 0) (i32.const 0)))"
    uses = "record_write record_remove record_size"
    assert run(vm, returning(write + size, 4, uses=uses)).return_data == bytes(4)
    assert run(vm, returning(write + remove + size, 4, uses=uses)).return_data == b"\xff" * 4


def test_prices_of_records_go_with_their_sizes(vm: WasmVm) -> None:
    write = "(call $record_write (i32.const 0) (i32.const 3) (i32.const 3) (i32.const 50))"
    assert (
        host_gas(vm, write, "record_write", rest=RECORDS)
        == PRICES.host_call + PRICES.record_write + 53 * PRICES.record_byte
    )
    read = "(drop (call $record_read (i32.const 0) (i32.const 3) (i32.const 100) (i32.const 0) (i32.const 99)))"
    state = world()
    state.set_record(CONTRACT, b"key", bytes(40))
    state.commit()
    gas = host_gas(vm, read, "record_read", rest=RECORDS, state=state)
    assert gas == PRICES.host_call + PRICES.record_read + 3 * PRICES.copy_word


# Accounts


def test_balance_code_and_hash_of_accounts(vm: WasmVm) -> None:
    state = world((OTHER, b"\x60\x01", ""))
    rest = bytes_at(0, OTHER) + bytes_at(20, b"\x11" * 20)
    body = """(call $balance (i32.const 0) (i32.const 100)) (call $code_hash (i32.const 0) (i32.const 132))
        (call $code_hash (i32.const 20) (i32.const 164)) (i32.store (i32.const 196) (call $code_size (i32.const 0)))
        (i32.store (i32.const 200) (i32.const -1))
        (call $code_copy (i32.const 0) (i32.const 200) (i32.const 1) (i32.const 3))"""
    uses = "balance code_hash code_size code_copy"
    expected = word(1000) + keccak256(b"\x60\x01") + bytes(32) + b"\2\0\0\0" + b"\1\0\0\xff"
    assert run(vm, returning(body, 104, uses=uses, rest=rest, at=100), state=state).return_data == expected
    gas = host_gas(vm, body, uses, rest=rest, state=state)
    hashing = PRICES.keccak256 + PRICES.keccak256_word
    assert gas == 5 * PRICES.host_call + 2 * PRICES.cold_account + 3 * PRICES.warm_account + hashing + PRICES.copy_word


def test_accounts_of_the_call_are_warm(vm: WasmVm) -> None:
    for known in (CALLER, ORIGIN, CONTRACT):
        body = "(call $balance (i32.const 0) (i32.const 100))"
        assert host_gas(vm, body, "balance", rest=bytes_at(0, known)) == PRICES.host_call + PRICES.warm_account


# Events, hashes, data


@pytest.mark.parametrize("count", range(5))
def test_events(vm: WasmVm, count: int) -> None:
    topics = [2**255 + number for number in range(count)]
    rest = bytes_at(0, b"".join(map(word, topics))) + bytes_at(200, b"data!")
    body = f"(call $emit (i32.const 0) (i32.const {count}) (i32.const 200) (i32.const 5))"
    result = run(vm, contract(body, uses="emit", rest=rest))
    assert result.events == (Event(CONTRACT, tuple(topics), b"data!"),)
    gas = host_gas(vm, body, "emit", rest=rest)
    assert gas == PRICES.host_call + PRICES.event + count * PRICES.event_topic + 5 * PRICES.event_byte


def test_event_with_five_topics_is_a_failure(vm: WasmVm) -> None:
    result = run(vm, contract("(call $emit (i32.const 0) (i32.const 5) (i32.const 0) (i32.const 0))", uses="emit"))
    assert (result.state, result.error) == (ExecutionState.FAILED, "an event has at most 4 topics, got 5")


@pytest.mark.parametrize(
    ("name", "function"), [("keccak256", keccak256), ("sha256", lambda x: hashlib.sha256(x).digest())]
)
@pytest.mark.parametrize("size", [0, 1, 32, 33, 1000])
def test_hashes(vm: WasmVm, name: str, function: Any, size: int) -> None:
    data = bytes(range(250)) * 4
    body = f"(call ${name} (i32.const 0) (i32.const {size}) (i32.const 2000))"
    rest = bytes_at(0, data)
    assert run(vm, returning(body, 32, uses=name, rest=rest, at=2000)).return_data == function(data[:size])
    base, each = getattr(PRICES, name), getattr(PRICES, f"{name}_word")
    assert host_gas(vm, body, name, rest=rest) == PRICES.host_call + base + each * -(-size // 32)


def test_abort_of_assemblyscript_says_its_text(vm: WasmVm) -> None:
    def text(at: int, value: str) -> str:
        data = value.encode("utf-16-le")
        return bytes_at(at - 4, len(data).to_bytes(4, "little") + data)

    rest = text(100, "not enough") + text(200, "token.ts")
    code = contract(
        "(call $abort (i32.const 100) (i32.const 200) (i32.const 7) (i32.const 3))", uses="abort", rest=rest
    )
    result = run(vm, code)
    assert (result.state, result.error) == (ExecutionState.FAILED, "not enough (token.ts:7:3)")
    without = contract("(call $abort (i32.const 0) (i32.const 0) (i32.const 7) (i32.const 3))", uses="abort")
    assert run(vm, without).error == "abort (unknown:7:3)"


@pytest.mark.parametrize("name", ["finish", "revert"])
def test_ends_on_purpose(vm: WasmVm, name: str) -> None:
    body = f"(call ${name} (i32.const 0) (i32.const 3)) (unreachable)"
    state = world()
    result = run(
        vm, contract(STORE + body, uses=f"storage_store {name}", rest=slots(3, 5) + bytes_at(0, b"end")), state=state
    )
    assert result.return_data == b"end"
    assert result.state is (ExecutionState.SUCCESS if name == "finish" else ExecutionState.REVERTED)
    assert result.gas_used < GAS
    assert any(state.storage_of(CONTRACT).values()) == (name == "finish")


# What no function may do


POINTERS = {
    name: function
    for name, function in FUNCTIONS.items()
    if "i" in signature(function.types).parameters and name != "abort"
}


@pytest.mark.parametrize("place", [0xFFFFFFFF, 0xFFFFFFE0, 65_535])
@pytest.mark.parametrize("name", POINTERS)
def test_places_beyond_the_memory_are_failures(vm: WasmVm, name: str, place: int) -> None:
    """Every i32 at once is there: none of the functions can do with that."""
    kind = signature(POINTERS[name].types)
    values = " ".join(f"({WAT_TYPES[letter]}.const {place})" for letter in kind.parameters)
    body = f"(call ${name} {values})" + " (drop)" * len(kind.results)
    code = contract(body, uses=" ".join(sorted({name, "finish"})))
    result = run(vm, code, gas=10**13)
    assert result.state is ExecutionState.FAILED, result
    ways = ("not within the memory of 65536 bytes", "at most 4 topics", "beyond the return data")
    assert any(way in result.error for way in ways), result.error
    assert result.gas_used == 10**13


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if not name.startswith(("call_", "create"))])
def test_a_function_without_gas_changes_nothing(vm: WasmVm, name: str) -> None:
    """From too little for the call itself up to enough: out of gas, or what it does, and no third."""
    kind = signature(FUNCTIONS[name].types)
    values = " ".join(
        f"({WAT_TYPES[letter]}.const {64 * (number + 1)})" for number, letter in enumerate(kind.parameters)
    )
    body = f"(call ${name} {values})" + " (drop)" * len(kind.results)
    code = contract(body, uses=name if name in ("finish", "revert") else f"{name} finish")
    full = run(vm, code, gas=10**9, state=world())
    for gas in (0, 50, full.gas_used - 1):
        state = world()
        result = run(vm, code, gas=gas, state=state)
        if full.state is not ExecutionState.FAILED:
            assert result.state is ExecutionState.FAILED
            assert result.error == "out of gas"
        assert state.journal.checkpoint() == 0 or not list(state.changes_since(0))


@pytest.mark.parametrize(
    "name", ["storage_store", "transient_store", "record_write", "record_remove", "emit", "create", "create2"]
)
def test_static_calls_change_nothing(vm: WasmVm, name: str) -> None:
    kind = signature(FUNCTIONS[name].types)
    values = " ".join("(i32.const 0)" for _ in kind.parameters)
    code = contract(f"(call ${name} {values})" + " (drop)" * len(kind.results), uses=name)
    result = run(vm, code, is_static=True)
    assert result.state is ExecutionState.FAILED
    assert result.error.endswith(" in a static call")


def test_memory_under_another_name_is_none(vm: WasmVm) -> None:
    code = contract("(call $caller (i32.const 0))", uses="caller", memory='(memory (export "other") 1)')
    assert run(vm, code).error == "the module exports no memory"


def test_block_numbers_beyond_64_bits_are_cut(vm: WasmVm) -> None:
    code = returning("(i64.store (i32.const 0) (call $block_number))", 8, uses="block_number")
    block = BlockContext(number=2**64 + 5)
    context = ExecutionContext(caller=CALLER, address=CONTRACT, gas_limit=GAS, block=block)
    assert vm.execute(code, context, world()).return_data == b"\5" + bytes(7)
