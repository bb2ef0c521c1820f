"""`evm_*`, `anvil_*` and `hardhat_*` on blocks and their time: made on command, at regular times, as one likes.

Numbers may be JSON numbers or quantities, since the tools differ in it. Times are in seconds.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Final, TypeAlias

from vmloom.errors import InputError
from vmloom_evm.trace.calltree import revert_reason
from vmloom_evm.transaction.outcome import TransactionResult

from ...chain.calls import output_of
from ...chain.header import MAX_GAS_LIMIT
from ..encoding import Json, block_json, hexed
from ..limits import MAX_MINED_BLOCKS, MAX_TOLD_BLOCKS, check_deadline
from ..parameters import Address, Number, Shape, ShortNumber, Slot, field_of, read_short_number
from ..session import Session
from ..table import method
from ..tracing import Recorder

_MAX_INTERVAL: Final = 10**9
"""Seconds between blocks; many blocks must fit into the 64 bits of a header's time."""
_STRIDE: Final = 50
"""Blocks that are made between two looks at the clock."""

# Blocks and time


@method("evm_snapshot", "anvil_snapshot")
def snapshot(session: Session) -> str:
    """Remember blocks, state, mempool and time; an id for evm_revert."""
    return hex(session.chain.snapshot())


@method("evm_revert", "anvil_revert")
def revert(session: Session, id: ShortNumber) -> bool:
    """Go back to a snapshot, which is used up by it, as are all later ones; false if there is none of this id."""
    return session.chain.revert(id)


def _read_mine_options(value: Any, place: str) -> tuple[int | None, int]:
    """(timestamp, blocks): a timestamp alone, or an object with both."""
    if not isinstance(value, dict):
        return read_short_number(value, place), 1
    blocks = field_of(value, "blocks", read_short_number, place)
    return field_of(value, "timestamp", read_short_number, place), 1 if blocks is None else blocks


MineOptions: TypeAlias = Annotated[
    tuple[int | None, int], Shape("timestamp, or object with timestamp and blocks", _read_mine_options)
]


@method("evm_mine")
def mine(session: Session, options: MineOptions = (None, 1)) -> str:
    """Make a block of what waits, or as many as `blocks` says, the first at `timestamp`; `0x0`."""
    timestamp, blocks = options
    _mine(session, blocks, timestamp=timestamp)
    return "0x0"


@method("evm_mine_detailed", "anvil_mine_detailed")
def mine_detailed(session: Session, options: MineOptions = (None, 1)) -> list[Json]:
    """evm_mine, and the blocks: their transactions have `output` and, if they failed with one, `revertReason`."""
    timestamp, blocks = options
    if blocks > MAX_TOLD_BLOCKS:
        raise InputError(f"blocks: {blocks} at once, the limit is {MAX_TOLD_BLOCKS} if they are to be told")
    first = session.chain.head.number + 1
    _mine(session, blocks, timestamp=timestamp)
    return [_detailed(session, number) for number in range(first, first + blocks)]


def _detailed(session: Session, number: int) -> Json:
    block = session.chain.block(number)
    found = block_json(block, full=True)
    if block.transactions:
        recorder = Recorder(lambda *_: ((), _outcome), session.config.max_response_bytes)
        session.chain.trace_block(number, recorder)
        for fields, outcome in zip(found["transactions"], recorder.results, strict=True):
            fields.update(outcome)
    return found


def _outcome(result: TransactionResult) -> Json:
    output = output_of(result)
    reason = "" if result.success else revert_reason(output)
    return {"output": hexed(output), **({"revertReason": reason} if reason else {})}


@method("hardhat_intervalMine")
def interval_mine(session: Session) -> bool:
    """Make the block that would be made next at a regular time; true."""
    _mine(session, 1)
    return True


@method("anvil_mine")
def anvil_mine(session: Session, blocks: ShortNumber = 1, interval: ShortNumber | None = None) -> None:
    """Make blocks, `interval` seconds apart."""
    _mine(session, blocks, interval=interval)


@method("hardhat_mine")
def hardhat_mine(session: Session, blocks: ShortNumber = 1, interval: ShortNumber | None = None) -> bool:
    """Make blocks, `interval` seconds apart; true."""
    _mine(session, blocks, interval=interval)
    return True


def _mine(session: Session, blocks: int, *, timestamp: int | None = None, interval: int | None = None) -> None:
    """Make blocks, a few at a time, so that the time limit of the call holds."""
    interval = interval or None  # viem says 0 for an interval that it was not given
    if blocks > MAX_MINED_BLOCKS:
        raise InputError(f"blocks: {blocks} at once, the limit is {MAX_MINED_BLOCKS}")
    chain = session.chain
    for begin in range(0, blocks, _STRIDE):
        check_deadline()
        if begin and interval is not None:
            timestamp = chain.head.header.timestamp + interval
        chain.mine(min(_STRIDE, blocks - begin), timestamp=timestamp, interval=interval)
        timestamp = None


@method("evm_increaseTime", "anvil_increaseTime")
def increase_time(session: Session, seconds: ShortNumber) -> int:
    """Let the time of blocks run ahead by `seconds` more; how far it is ahead in all."""
    return session.chain.clock.increase(seconds)


@method("evm_setNextBlockTimestamp", "anvil_setNextBlockTimestamp")
def set_next_block_timestamp(session: Session, timestamp: ShortNumber) -> None:
    """Have the next block at exactly this time, and time go on from there."""
    session.chain.clock.set_next(timestamp, session.chain.head.header.timestamp)


@method("evm_setTime", "anvil_setTime")
def set_time(session: Session, timestamp: ShortNumber) -> int:
    """Have it be `timestamp` now; the seconds by which time moved."""
    return session.chain.clock.set(timestamp)


@method("anvil_setBlockTimestampInterval")
def set_timestamp_interval(session: Session, seconds: ShortNumber) -> None:
    """Have each block exactly so many seconds after its parent."""
    if not 0 < seconds <= _MAX_INTERVAL:
        raise InputError(f"seconds: a block is 1 to {_MAX_INTERVAL} seconds after its parent, not {seconds}")
    session.chain.clock.step = seconds


@method("anvil_removeBlockTimestampInterval")
def remove_timestamp_interval(session: Session) -> bool:
    """Have blocks at the time of the world again; false if they were."""
    clock = session.chain.clock
    was_set, clock.step = clock.step is not None, None
    return was_set


# Mining


@method("evm_setAutomine", "anvil_setAutomine")
def set_automine(session: Session, enabled: bool) -> bool:
    """Make a block for each transaction from now on, or none by itself; true."""
    session.chain.set_mining("transaction" if enabled else "manual")
    return True


@method("anvil_getAutomine", "hardhat_getAutomine")
def get_automine(session: Session) -> bool:
    """Whether there is a block for each transaction."""
    return session.chain.mining == "transaction"


@method("evm_setIntervalMining", "anvil_setIntervalMining")
def set_interval_mining(session: Session, seconds: ShortNumber) -> bool:
    """Make a block each `seconds`, or with 0 none by itself; true."""
    session.chain.set_mining("interval" if seconds else "manual", seconds or None)
    return True


@method("anvil_getIntervalMining", "hardhat_getIntervalMining")
def get_interval_mining(session: Session) -> float | None:
    """Seconds between blocks that are made at regular times; null if they are not."""
    seconds = session.chain.mining_interval
    return None if seconds is None else int(seconds) if seconds == int(seconds) else seconds


@method("evm_setBlockGasLimit", "anvil_setBlockGasLimit")
def set_block_gas_limit(session: Session, gas: ShortNumber) -> bool:
    """Give blocks this gas limit from the next one on; true."""
    if gas > MAX_GAS_LIMIT:
        raise InputError(f"gas: at most {MAX_GAS_LIMIT}, got {gas}")
    chain = session.chain
    if chain.options.gas_limit is not None:
        chain.options = replace(chain.options, gas_limit=gas)
    chain.next_block.gas_limit = gas
    return True


@method("anvil_setCoinbase", "hardhat_setCoinbase")
def set_coinbase(session: Session, address: Address) -> bool:
    """Name who gets the tips from the next block on; true."""
    session.chain.coinbase = address
    return True


@method("anvil_setNextBlockBaseFeePerGas", "hardhat_setNextBlockBaseFeePerGas")
def set_next_base_fee(session: Session, fee: Number) -> bool:
    """Give the next block this base fee, in wei per gas; true."""
    session.chain.next_block.base_fee = fee
    return True


@method("anvil_setPrevRandao", "hardhat_setPrevRandao", "anvil_setNextBlockPrevRandao")
def set_prev_randao(session: Session, value: Slot) -> bool:
    """Give the next block this randomness, 32 bytes; true."""
    session.chain.next_block.prev_randao = value.to_bytes(32, "big")
    return True


@method("anvil_setMinGasPrice", "hardhat_setMinGasPrice")
def set_min_gas_price(session: Session, price: Number) -> bool:
    """Take only transactions that offer so many wei per gas; true."""
    pool = session.chain.pool
    pool.limits = replace(pool.limits, min_gas_price=price)
    return True
