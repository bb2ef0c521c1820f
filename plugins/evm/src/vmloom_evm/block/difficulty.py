"""Difficulty of a proof-of-work block, from its parent. Yellow paper, section 4.4.4; EIP-2, EIP-100 and the delays.

Some clients raise a difficulty to the minimum before they add the bomb; the yellow paper does it after, and so do we.
The two differ only for difficulties that no network has had.
"""

from __future__ import annotations

from typing import Final

from ..rules import Rules

MINIMUM_DIFFICULTY: Final = 131_072
FRONTIER_LIMIT: Final = 13
"""Seconds: Frontier makes blocks that come sooner harder, and the others easier."""
BOMB_PERIOD: Final = 100_000
"""Blocks after which the bomb doubles."""
BOMB_DELAYS: Final = {
    "frontier": 0,
    "homestead": 0,
    "tangerine_whistle": 0,
    "spurious_dragon": 0,
    "byzantium": 3_000_000,  # EIP-649
    "constantinople": 5_000_000,  # EIP-1234
    "petersburg": 5_000_000,
    "istanbul": 5_000_000,
    "muir_glacier": 9_000_000,  # EIP-2384
    "berlin": 9_000_000,
    "london": 9_700_000,  # EIP-3554
    "arrow_glacier": 10_700_000,  # EIP-4345
    "gray_glacier": 11_400_000,  # EIP-5133
}
"""Blocks by which a fork's bomb is late. The glaciers changed nothing else, so they are no forks of their own here."""
WORD_BITS: Final = 256
_DIVISOR = 2_048
_LEAST_STEP = -99


def difficulty(
    rules: Rules,
    number: int,
    *,
    timestamp: int,
    parent_timestamp: int,
    parent_difficulty: int,
    parent_has_ommers: bool,
    bomb_delay: int,
) -> int:
    """Difficulty of block `number` under its fork's `rules`; times are UNIX seconds, `bomb_delay` blocks.

    Raises `ValueError` for a block that is not later than its parent, and where the bomb alone exceeds 256 bits.
    """
    seconds = timestamp - parent_timestamp
    if seconds <= 0:
        raise ValueError(f"a block of time {timestamp} cannot follow one of time {parent_timestamp}")
    if rules.status_receipts:  # Byzantium, EIP-100
        step = max((2 if parent_has_ommers else 1) - seconds // 9, _LEAST_STEP)
    elif rules.deposit_failure_reverts:  # Homestead, EIP-2
        step = max(1 - seconds // 10, _LEAST_STEP)
    else:
        step = 1 if seconds < FRONTIER_LIMIT else -1
    bomb = max(0, number - bomb_delay) // BOMB_PERIOD - 2
    if bomb >= WORD_BITS:
        raise ValueError(f"the difficulty of block {number} has more than {WORD_BITS} bits")
    value = parent_difficulty + parent_difficulty // _DIVISOR * step + (1 << bomb if bomb >= 0 else 0)
    return max(value, MINIMUM_DIFFICULTY)
