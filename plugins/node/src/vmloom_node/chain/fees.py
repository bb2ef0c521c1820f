"""What gas costs: history of fees, and what a wallet is told to offer. EIP-1559, EIP-4844; `eth_feeHistory`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from vmloom_evm.fees import GAS_PER_BLOB, blob_base_fee
from vmloom_evm.rules import Rules

from .block import Block, TransactionReceipt
from .genesis import ForkSchedule
from .header import Header, base_fee_after, excess_blob_gas_after

MAX_FEE_HISTORY: Final = 1_024
"""Blocks that one question may ask for, as with geth."""
SUGGESTED_TIP: Final = 10**9
"""wei per gas"""


@dataclass(frozen=True, slots=True)
class FeeHistory:
    """Fees of a range of blocks, oldest first; base fees and blob base fees go one further, to the next block.

    `rewards` has, for each block, the tips (wei per gas) at the percentiles that were asked for, None if none were.
    """

    oldest: int
    base_fees: tuple[int, ...]
    gas_used_ratios: tuple[float, ...]
    blob_base_fees: tuple[int, ...]
    blob_gas_used_ratios: tuple[float, ...]
    rewards: tuple[tuple[int, ...], ...] | None


def blob_price(header: Header, rules: Rules) -> int:
    """Blob base fee of a block in wei per blob gas; 0 before Cancun."""
    return blob_base_fee(header.excess_blob_gas or 0, rules) if rules.blobs else 0


def next_blob_price(header: Header, rules: Rules) -> int:
    """Blob base fee of the block after `header`, under its own `rules`."""
    return blob_base_fee(excess_blob_gas_after(header, rules) or 0, rules)


def gas_used_ratio(header: Header) -> float:
    """Part of the gas limit that was used."""
    return header.gas_used / header.gas_limit if header.gas_limit else 0.0


def blob_gas_used_ratio(header: Header, rules: Rules) -> float:
    """Part of the blobs that fit which were there."""
    limit = rules.blob_limit * GAS_PER_BLOB
    return (header.blob_gas_used or 0) / limit if limit else 0.0


def tips_at(block: Block, receipts: Sequence[TransactionReceipt], percentiles: Sequence[float]) -> tuple[int, ...]:
    """The tips that lie at `percentiles` (0 to 100, rising) of the gas used; 0 for a block without transactions."""
    if not receipts:
        return (0,) * len(percentiles)
    base_fee = block.header.base_fee or 0
    tips = sorted((one.gas_price - base_fee, one.gas_used) for one in receipts)
    found: list[int] = []
    place, seen = 0, tips[0][1]
    for percentile in percentiles:
        threshold = int(block.header.gas_used * percentile / 100)
        while seen < threshold and place < len(tips) - 1:
            place += 1
            seen += tips[place][1]
        found.append(tips[place][0])
    return tuple(found)


def next_base_fee_of(header: Header, rules: Rules) -> int:
    """Base fee of the block after `header` under its `rules`; 0 before London."""
    return base_fee_after(header, rules) or 0


def history(
    blocks: Sequence[Block],
    schedule: ForkSchedule,
    next_rules: Rules | None,
    rewards: Sequence[tuple[int, ...]] | None,
    *,
    next_base_fee: int | None,
) -> FeeHistory:
    """The history of consecutive blocks.

    `next_rules` are those of the block after the last one, None where it has the same fork as its parent;
    `next_base_fee` is what it will have, None where the rules say.
    """
    headers = [block.header for block in blocks]
    rules = [schedule.fork_at(header.number, header.timestamp).rules for header in headers]
    following = next_rules or rules[-1]
    return FeeHistory(
        oldest=headers[0].number,
        base_fees=(
            *(header.base_fee or 0 for header in headers),
            next_base_fee_of(headers[-1], following) if next_base_fee is None else next_base_fee,
        ),
        gas_used_ratios=tuple(map(gas_used_ratio, headers)),
        blob_base_fees=(*map(blob_price, headers, rules), next_blob_price(headers[-1], following)),
        blob_gas_used_ratios=tuple(map(blob_gas_used_ratio, headers, rules)),
        rewards=None if rewards is None else tuple(rewards),
    )
