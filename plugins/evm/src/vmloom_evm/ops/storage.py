"""Persistent and transient storage of the executing account. Gas, then operation."""

from __future__ import annotations

from vmloom.kernel import Halt, u64, u256

from ..gas import use_gas
from ..halts import OUT_OF_GAS, WRITE_PROTECTION
from ..machine import Machine
from ..table import op

SSTORE_SENTRY = 2300
"""EIP-2200: SSTORE must leave more gas than a call's stipend, so that a stipend can never pay for a write."""


@op(0x54, "SLOAD")
def sload(m: Machine, key: u256) -> u256:
    """The value under `key`. EIP-2929: the first access in a transaction costs more."""
    if m.rules.access_lists and not m.is_warm_slot(key):
        use_gas(m, m.rules.cold_sload - m.rules.warm_access)
        m.warm_slot(key)
    return m.load_slot(key)


@op(0x55, "SSTORE")
def sstore(m: Machine, key: u256, value: u256) -> None:
    """Write `value` under `key`. EIP-2200, EIP-2929, EIP-3529; EIP-1283 in Constantinople; flat prices before."""
    if m.is_static:
        raise Halt(WRITE_PROTECTION)
    if m.rules.sstore_sentry and m.gas <= SSTORE_SENTRY:
        raise Halt(OUT_OF_GAS)
    current = m.load_slot(key)
    cost = u64(0)
    if m.rules.access_lists and not m.is_warm_slot(key):
        cost = m.rules.cold_sload
        m.warm_slot(key)
    if m.rules.net_metering:
        original = m.original_slot(key)
        cost += net_cost(m, original, current, value)
        use_gas(m, cost)
        count_net_refund(m, original, current, value)
    else:
        use_gas(m, m.rules.sstore_set if current == 0 and value != 0 else m.rules.sstore_reset)
        if current != 0 and value == 0:
            m.refund += m.rules.sstore_clear_refund
    m.store_slot(key, value)


def net_cost(m: Machine, original: u256, current: u256, value: u256) -> u64:
    """What a write costs by what it does to the transaction's net change of the slot."""
    if current == value or current != original:
        return m.rules.sstore_dirty
    return m.rules.sstore_set if original == 0 else m.rules.sstore_reset


def count_net_refund(m: Machine, original: u256, current: u256, value: u256) -> None:
    """Refund for clearing a slot, taken back when it is filled again, and for restoring its original value."""
    if current == value:
        return
    if original != 0:
        if current == 0:
            m.refund -= m.rules.sstore_clear_refund
        elif value == 0:
            m.refund += m.rules.sstore_clear_refund
    if value == original:
        m.refund += (m.rules.sstore_set if original == 0 else m.rules.sstore_reset) - m.rules.sstore_dirty


@op(0x5C, "TLOAD")
def tload(m: Machine, key: u256) -> u256:
    """The transient value under `key`. EIP-1153."""
    return m.load_transient(key)


@op(0x5D, "TSTORE")
def tstore(m: Machine, key: u256, value: u256) -> None:
    """Write `value` under `key` until the transaction ends. EIP-1153."""
    if m.is_static:
        raise Halt(WRITE_PROTECTION)
    m.store_transient(key, value)
