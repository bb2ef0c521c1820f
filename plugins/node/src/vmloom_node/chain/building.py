"""Blocks in the making: what surrounds the transactions of the next one, and its header once they have run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from vmloom import BlockContext, StateAccess
from vmloom.hashing import create_address, keccak256
from vmloom_evm.block import BlockInput, BlockResult, Ommer, Withdrawal
from vmloom_evm.block.difficulty import difficulty
from vmloom_evm.fees import blob_base_fee
from vmloom_evm.forks import Fork
from vmloom_evm.rules import Rules

from .block import Block, encode_block
from .genesis import Genesis
from .header import EMPTY_OMMERS_HASH, Header, base_fee_after, excess_blob_gas_after, gas_limit_towards
from .records import StoredBlock

if TYPE_CHECKING:
    from .sealed import Written


class Plan(NamedTuple):
    """What is to be decided of a block before it is made. Fees are wei per gas; None leaves them to the rules."""

    timestamp: int
    coinbase: bytes
    gas_limit: int
    prev_randao: bytes
    base_fee: int | None = None
    extra_data: bytes = b""
    withdrawals: tuple[Withdrawal, ...] = ()
    parent_beacon_root: bytes = bytes(32)


class Draft(NamedTuple):
    """A block before its transactions: its fork, its input, and what only its header says."""

    fork: Fork
    input: BlockInput
    header: Header

    @property
    def rules(self) -> Rules:
        """The fork's."""
        return self.fork.rules


_BLANK: Final = Header()


def draft(genesis: Genesis, parent: Header, plan: Plan) -> Draft:
    """The block after `parent` that `plan` describes, without transactions."""
    number = parent.number + 1
    fork = genesis.schedule.fork_at(number, plan.timestamp)
    rules = fork.rules
    header = _BLANK.with_values(
        parent_hash=parent.hash,
        coinbase=plan.coinbase,
        difficulty=expected_difficulty(genesis, parent, number, plan.timestamp, rules) or 0,
        number=number,
        gas_limit=plan.gas_limit,
        timestamp=plan.timestamp,
        extra_data=plan.extra_data,
        mix_hash=plan.prev_randao if rules.proof_of_stake else bytes(32),
        base_fee=base_fee_after(parent, rules) if plan.base_fee is None or not rules.base_fee else plan.base_fee,
        excess_blob_gas=excess_blob_gas_after(parent, rules),
        parent_beacon_root=plan.parent_beacon_root if rules.beacon_root_contract else None,
    )
    return Draft(fork, block_input(genesis, header, rules, withdrawals=plan.withdrawals), header)


def expected_difficulty(genesis: Genesis, parent: Header, number: int, timestamp: int, rules: Rules) -> int | None:
    """Difficulty that a block must have, None since Paris."""
    if rules.proof_of_stake:
        return None
    return difficulty(
        rules,
        number,
        timestamp=timestamp,
        parent_timestamp=parent.timestamp,
        parent_difficulty=parent.difficulty,
        parent_has_ommers=parent.ommers_hash != EMPTY_OMMERS_HASH,
        bomb_delay=genesis.schedule.bomb_delay(number),
    )


def block_input(
    genesis: Genesis,
    header: Header,
    rules: Rules,
    *,
    withdrawals: Sequence[Withdrawal] = (),
    ommers: Iterable[Header] = (),
) -> BlockInput:
    """What a block with this header is to who runs it."""
    return BlockInput(
        context_of(genesis.chain_id, header, rules),
        parent_hash=header.parent_hash,
        parent_beacon_root=header.parent_beacon_root,
        ommers=tuple(Ommer(one.coinbase, header.number - one.number) for one in ommers),
        withdrawals=tuple(withdrawals),
        deposit_contract=genesis.deposit_contract,
    )


def context_of(chain_id: int, header: Header, rules: Rules) -> BlockContext:
    """The block with this header as code in it sees it."""
    return BlockContext(
        number=header.number,
        timestamp=header.timestamp,
        coinbase=header.coinbase,
        gas_limit=header.gas_limit,
        base_fee=header.base_fee or 0,
        difficulty=header.difficulty,
        prev_randao=int.from_bytes(header.mix_hash, "big") if rules.proof_of_stake else 0,
        blob_base_fee=blob_base_fee(header.excess_blob_gas or 0, rules),
        chain_id=chain_id,
    )


def sealed_header(made: Draft, result: BlockResult) -> Header:
    """The header once the transactions have run."""
    return made.header.with_values(
        state_root=result.state_root,
        transactions_root=result.transactions_root,
        receipts_root=result.receipts_root,
        logs_bloom=result.logs_bloom,
        gas_used=result.gas_used,
        withdrawals_root=result.withdrawals_root,
        blob_gas_used=result.blob_gas_used,
        requests_hash=result.requests_hash,
    )


def seal(
    made: Draft,
    result: BlockResult,
    vms: Sequence[str],
    *,
    parent_total_difficulty: int,
    is_pending: bool = False,
    is_native: bool = False,
) -> StoredBlock:
    """The block that `result` makes of a draft; `vms` are those that ran its transactions.

    `is_native` has native code write it, where it can.
    """
    header = sealed_header(made, result)
    encoded = tuple([one.encoded for one in result.signed])
    receipts, ran = result.encoded_receipts, tuple(vms)
    withdrawals = made.input.withdrawals if made.rules.withdrawals else None
    total = parent_total_difficulty + header.difficulty
    record = receipts_record = b""
    found = None
    if is_native and not withdrawals:
        found = _written()(header, result.signed, receipts, ran, total, has_withdrawals=withdrawals is not None)
    if found is None:
        raw = encode_block(header, encoded, (), withdrawals)
    else:
        head, digest, raw, record, receipts_record = found
        header.keep_encoded(head, digest)
    block = Block(
        header,
        tuple([one.tx for one in result.signed]),
        tuple([one.sender for one in result.signed]),
        tuple([one.hash for one in result.signed]),
        withdrawals=withdrawals,
        total_difficulty=total,
        size=len(raw),
        is_pending=is_pending,
    )
    return StoredBlock(block, raw, encoded, receipts, ran, record, receipts_record)


@cache
def _written() -> Callable[..., Written | None]:
    """`written`, which only native code needs."""
    from .sealed import written

    return written


def vms_of(state: StateAccess, result: BlockResult, default: str) -> list[str]:
    """Which VM ran each transaction's outermost call, or runs the code that it created."""
    known: dict[bytes, str] = {}
    found: list[str] = []
    for tx, sender, _, _ in result.signed:
        address = create_address(sender, tx.nonce) if tx.to is None else tx.to
        vm = known.get(address)
        if vm is None:
            vm = known[address] = state.get_vm(address) or default
        found.append(vm)
    return found


def plan_after(
    parent: Header, *, timestamp: int, coinbase: bytes, target_gas_limit: int | None, extra_data: bytes, salt: int
) -> Plan:
    """What a development chain puts into the next block.

    `salt` makes the randomness of two blocks with the same parent differ.
    """
    return Plan(
        timestamp=timestamp,
        coinbase=coinbase,
        gas_limit=parent.gas_limit if target_gas_limit is None else gas_limit_towards(parent, target_gas_limit),
        prev_randao=keccak256(parent.hash + salt.to_bytes(8, "big")),
        extra_data=extra_data,
    )
