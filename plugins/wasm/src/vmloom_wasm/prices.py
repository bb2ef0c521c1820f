"""What host functions cost, in gas."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict, NonNegativeInt


class HostPrices(BaseModel):
    """Gas for what runs and host functions do.

    What is kept (slots, events, accounts) costs what it does on the EVM since Cancun, so that neither VM is a way
    around the other's prices. What only takes time is priced by that (`benchmarks/wasm_calibrate.py`), at about what
    the EVM's dearest instructions take for a gas. Words are 32 bytes, begun ones counted whole.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    entry: NonNegativeInt = 3_000
    """Each run of a contract, paid by it: what making an instance costs. The pages that its memory begins with are paid
    besides, as `memory.grow` would be, and the words of its segments at `copy_word`."""
    segment: NonNegativeInt = 1_000
    """Each segment of data or elements that a new instance gets."""
    host_call: NonNegativeInt = 300
    """Each call of a host function: the way out of compiled code and back."""
    copy_word: NonNegativeInt = 3
    """Each word that is copied into or out of memory."""

    cold_account: NonNegativeInt = 2_600
    """First access to an account in a transaction. EIP-2929."""
    warm_account: NonNegativeInt = 100
    cold_slot: NonNegativeInt = 2_100
    """First access to a slot in a transaction. EIP-2929."""
    warm_slot: NonNegativeInt = 100
    set_slot: NonNegativeInt = 20_000
    """Zero becomes something else. EIP-2200."""
    reset_slot: NonNegativeInt = 2_900
    """Something becomes something else, zero included. EIP-2200."""
    transient: NonNegativeInt = 100
    """EIP-1153."""
    record_read: NonNegativeInt = 2_100
    record_write: NonNegativeInt = 2_900
    record_byte: NonNegativeInt = 320
    """Each byte of key and value that is written: what the EVM takes for one of a slot's 64."""

    event: NonNegativeInt = 375
    event_topic: NonNegativeInt = 375
    event_byte: NonNegativeInt = 8

    call: NonNegativeInt = 2_500
    """Each call of another account: what it takes until the callee runs."""
    call_value: NonNegativeInt = 9_000
    call_stipend: NonNegativeInt = 2_300
    """Gas that a call with value gets for nothing, and with which nothing can be written."""
    new_account: NonNegativeInt = 25_000
    create: NonNegativeInt = 32_000
    init_code_word: NonNegativeInt = 2
    """EIP-3860."""
    block_hash: NonNegativeInt = 20

    keccak256: NonNegativeInt = 30
    keccak256_word: NonNegativeInt = 15
    sha256: NonNegativeInt = 60
    sha256_word: NonNegativeInt = 12


DEFAULT_PRICES: Final = HostPrices()
