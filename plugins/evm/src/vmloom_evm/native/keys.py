"""Hashes by which rows are found in the tables of accounts, slots and code."""

from __future__ import annotations

from vmloom.kernel import inline, u64, u128, u160, u256

from .layout import Run


@inline
def mix(a: u64, b: u64) -> u64:
    """Fold the 128-bit product of `a` and `b` (wyhash): fast, and with a secret factor nobody can aim at collisions."""
    product = u128(a) * b
    return u64(product) ^ u64(product >> 64)


@inline
def hash_address(run: Run, address: u160) -> u64:
    """Hash of an address."""
    low = mix(u64(address) ^ run.secret, u64(address >> 64) ^ run.second_secret)
    return mix(low ^ u64(address >> 128), run.second_secret)


@inline
def mix_word(run: Run, word: u256) -> u64:
    """Hash of a word."""
    low = mix(u64(word) ^ run.secret, u64(word >> 64) ^ run.second_secret)
    high = mix(u64(word >> 128) ^ run.second_secret, u64(word >> 192) ^ run.secret)
    return mix(low, high ^ run.second_secret)


@inline
def hash_slot(run: Run, account: u64, key: u256) -> u64:
    """Hash of a slot of the account in row `account`."""
    return mix(mix_word(run, key) ^ account, run.second_secret)
