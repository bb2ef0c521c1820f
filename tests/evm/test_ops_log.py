"""Logs: data, topics, order, and what they cost."""

from __future__ import annotations

import pytest
from vmloom import Event
from vmloom_evm.assembly import (
    call,
    delegatecall,
    invalid,
    log0,
    log1,
    log4,
    mstore_bytes,
    op,
    pop,
    push,
    revert,
    stop,
)
from vmloom_evm.commitment import logs_bloom
from vmloom_evm.testing import CONTRACT, EvmUnderTest


@pytest.mark.parametrize("topics", range(5))
def test_log_carries_its_topics_in_order(evm: EvmUnderTest, topics: int) -> None:
    words = tuple(range(1, topics + 1))
    outcome = evm.run(mstore_bytes(b"data") + op(f"LOG{topics}")(0, 4, *words))
    assert outcome.events == (Event(CONTRACT, words, b"data"),)


@pytest.mark.parametrize("topics", range(5))
@pytest.mark.parametrize("size", [0, 1, 100])
def test_log_costs_by_topics_bytes_and_memory(evm: EvmUnderTest, topics: int, size: int) -> None:
    operands = push(0) * topics + push(size) + push(0)
    words = (size + 31) // 32
    cost = evm.gas_of(operands + op(f"LOG{topics}")) - evm.gas_of(operands)
    assert cost == 375 + 375 * topics + 8 * size + 3 * words


def test_logs_stand_in_the_order_of_execution_across_frames(evm: EvmUnderTest) -> None:
    callee = evm.deploy(log1(0, 0, 2))
    outcome = evm.run(log1(0, 0, 1) + pop(call(callee)) + log1(0, 0, 3))
    assert [(event.address, event.topics) for event in outcome.events] == [
        (CONTRACT, (1,)),
        (callee, (2,)),
        (CONTRACT, (3,)),
    ]


def test_delegated_code_logs_as_the_account_that_runs_it(evm: EvmUnderTest) -> None:
    library = evm.deploy(log0(0, 0))
    assert [event.address for event in evm.run(delegatecall(library)).events] == [CONTRACT]


@pytest.mark.parametrize("ending", [revert(0, 0), invalid], ids=["revert", "invalid"])
def test_logs_of_a_failed_call_are_gone(evm: EvmUnderTest, ending: object) -> None:
    callee = evm.deploy(log0(0, 0) + ending)  # type: ignore[operator]
    outcome = evm.run(log1(0, 0, 1) + pop(call(callee, gas=50_000)) + stop)
    assert [event.topics for event in outcome.events] == [(1,)]


def test_bloom_filter_has_three_bits_for_each_address_and_topic() -> None:
    """The bits of an address and a topic as go-ethereum computes them: the low 11 bits of three pairs of the digest."""
    bloom = logs_bloom([Event(bytes(20), (), b"")])
    # keccak256 of 20 zero bytes begins 5380c7b7ae81
    assert {2047 - index for index, bit in enumerate(bits(bloom)) if bit} == {0x380, 0x7B7, 0x681}
    assert logs_bloom([]) == bytes(256)
    assert len(logs_bloom([Event(bytes(20), (1, 2, 3), b"")])) == 256


def bits(data: bytes) -> list[bool]:
    return [bool(byte >> (7 - n) & 1) for byte in data for n in range(8)]


def test_data_does_not_change_the_bloom_filter() -> None:
    assert logs_bloom([Event(bytes(20), (5,), b"a")]) == logs_bloom([Event(bytes(20), (5,), b"b")])


def test_log4_needs_gas_for_all_its_topics(evm: EvmUnderTest) -> None:
    needed = evm.gas_of(log4(0, 0, 1, 2, 3, 4))
    assert evm.run(log4(0, 0, 1, 2, 3, 4), gas=needed - 1).error == "out of gas"
    assert evm.run(log4(0, 0, 1, 2, 3, 4), gas=needed).success
