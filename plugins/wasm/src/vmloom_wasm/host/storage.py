"""What contracts keep: words in slots, as the EVM has them, and records of any size under keys of any size."""

from __future__ import annotations

from ..abi import offered
from ..run import Run

WORD = 32
NONE = 0xFFFFFFFF
"""-1 as an unsigned i32: there is no such record."""


@offered("ii:")
def storage_load(run: Run, key: int, value: int) -> None:
    """Read the word in a slot. Key and value are 32 bytes, big-endian."""
    slot = run.read_word(key)
    prices = run.prices
    run.charge(prices.host_call + (prices.cold_slot if run.touch_slot(slot) else prices.warm_slot))
    run.write_word(value, run.state.get_storage(run.address, slot))


@offered("ii:")
def storage_store(run: Run, key: int, value: int) -> None:
    """Write a word into a slot. EIP-2200's prices and its condition, without refunds."""
    run.must_not_be_static("storage_store")
    prices, state, address = run.prices, run.state, run.address
    run.must_have_more_gas_than(prices.call_stipend)
    slot, word = run.read_word(key), run.read_word(value)
    cost = prices.host_call + (prices.cold_slot if run.touch_slot(slot) else 0)
    current = state.get_storage(address, slot)
    if word == current or current != state.get_original_storage(address, slot):
        cost += prices.warm_slot
    else:
        cost += prices.reset_slot if current else prices.set_slot
    run.charge(cost)
    state.set_storage(address, slot, word)


@offered("ii:")
def transient_load(run: Run, key: int, value: int) -> None:
    """Read a word that lasts until the transaction ends. EIP-1153."""
    run.charge(run.prices.host_call + run.prices.transient)
    run.write_word(value, run.state.get_transient(run.address, run.read_word(key)))


@offered("ii:")
def transient_store(run: Run, key: int, value: int) -> None:
    """Write a word that lasts until the transaction ends. EIP-1153."""
    run.must_not_be_static("transient_store")
    run.charge(run.prices.host_call + run.prices.transient)
    run.state.set_transient(run.address, run.read_word(key), run.read_word(value))


@offered("ii:i")
def record_size(run: Run, key: int, key_size: int) -> int:
    """Bytes of a record, -1 if there is none."""
    found = _record(run, key, key_size)
    return NONE if found is None else len(found)


@offered("iiiii:i")
def record_read(run: Run, key: int, key_size: int, destination: int, offset: int, capacity: int) -> int:
    """Copy a record from `offset` on, at most `capacity` bytes. Returns how many, -1 if there is no such record."""
    found = _record(run, key, key_size)
    if found is None:
        return NONE
    part = found[offset : offset + capacity]
    run.charge_copy(len(part))
    run.write(destination, part)
    return len(part)


@offered("iiii:")
def record_write(run: Run, key: int, key_size: int, value: int, value_size: int) -> None:
    """Write a record. An empty one is not the same as none."""
    run.must_not_be_static("record_write")
    prices = run.prices
    run.charge(prices.host_call + prices.record_write + prices.record_byte * (key_size + value_size))
    run.state.set_record(run.address, run.read(key, key_size), run.read(value, value_size))


@offered("ii:")
def record_remove(run: Run, key: int, key_size: int) -> None:
    """Remove a record, if there is one."""
    run.must_not_be_static("record_remove")
    run.charge(run.prices.host_call + run.prices.record_write)
    run.charge_copy(key_size)
    run.state.set_record(run.address, run.read(key, key_size), None)


def _record(run: Run, key: int, key_size: int) -> bytes | None:
    run.charge(run.prices.host_call + run.prices.record_read)
    run.charge_copy(key_size)
    return run.state.get_record(run.address, run.read(key, key_size))
