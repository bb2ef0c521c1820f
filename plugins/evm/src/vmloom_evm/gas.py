"""Gas that depends on operands: kernel functions shared by op bodies."""

from __future__ import annotations

from vmloom.kernel import Halt, u64, u160, u256

from .halts import MEMORY_LIMIT, OUT_OF_GAS
from .machine import Machine

WORD = 32
MEMORY_OFFSET_LIMIT = 1 << 32
"""Bytes. No gas limit pays for memory beyond this: 2**27 words cost over 2**45 gas."""


def use_gas(m: Machine, amount: u64) -> None:
    """Charge `amount` gas; out of gas halts the frame."""
    if m.gas < amount:
        raise Halt(OUT_OF_GAS)
    m.gas -= amount


def words_of(size: u64) -> u64:
    """Words that `size` bytes take, rounded up."""
    return (size + 31) >> 5


def memory_cost(words: u64) -> u64:
    """Gas for a memory of `words` words in all. Yellow paper, appendix H: 3w + w**2 / 512."""
    return 3 * words + ((words * words) >> 9)


def expand_memory(m: Machine, offset: u256, size: u256) -> None:
    """Pay for and grow memory so that `size` bytes at `offset` exist. Size 0 ignores the offset."""
    if size == 0:
        return
    if offset >= MEMORY_OFFSET_LIMIT or size >= MEMORY_OFFSET_LIMIT:
        raise Halt(OUT_OF_GAS)
    words = words_of(u64(offset) + u64(size))
    if words > m.memory_words:
        if m.rules.memory_size_limit and words * WORD > m.rules.memory_size_limit:
            raise Halt(MEMORY_LIMIT)
        if m.rules.charge_memory_expansion:
            use_gas(m, memory_cost(words) - memory_cost(m.memory_words))
        m.grow_memory(words)


def charge_account_access(m: Machine, account: u160) -> None:
    """EIP-2929: the first access to an account in a transaction costs more than the static, warm price."""
    if m.rules.access_lists and not m.is_warm(account):
        use_gas(m, m.rules.cold_account - m.rules.warm_access)
        m.warm(account)


def charge_copy(m: Machine, destination: u256, size: u256) -> None:
    """Pay for `size` bytes copied to memory at `destination`: its growth and the words copied."""
    expand_memory(m, destination, size)
    use_gas(m, m.rules.copy_word * words_of(u64(size)))
