"""Stack and memory: reading, writing, copying, growing, and what growth costs."""

from __future__ import annotations

import pytest
from vmloom_evm.assembly import (
    Bytecode,
    calldatacopy,
    codecopy,
    dup,
    extcodecopy,
    joined,
    keccak256,
    log0,
    mcopy,
    mload,
    msize,
    mstore,
    mstore8,
    mstore_bytes,
    op,
    pop,
    push,
    push0,
    raw,
    ret_top,
    return_,
    returndatacopy,
    revert,
    swap,
)
from vmloom_evm.testing import EvmUnderTest

MAX = 2**256 - 1


def paid_for(words: int) -> int:
    """Yellow paper, equation 326: what a memory of so many words costs."""
    return 3 * words + words * words // 512


# Stack


@pytest.mark.parametrize("size", range(1, 33))
def test_push_takes_its_bytes_big_endian(evm: EvmUnderTest, size: int) -> None:
    data = bytes(range(1, size + 1))
    assert evm.value_of(push(data)) == int.from_bytes(data, "big")


@pytest.mark.parametrize("size", range(1, 33))
def test_push_cut_off_by_the_end_of_code_reads_zeros_to_the_right(evm: EvmUnderTest, size: int) -> None:
    """The push is the last instruction, so its word is looked at by its tracer."""
    from vmloom_evm.trace.hooks import Tracer

    class LastStack(Tracer):
        opcodes = frozenset([0x00])
        stack: tuple[int, ...] = ()

        def before(self, frame: object, opcode: int) -> None:
            self.stack = tuple(frame.stack)  # type: ignore[attr-defined]

    tracer = LastStack()
    outcome = evm.run(raw(bytes([0x5F + size])) + raw("ff") * (size - 1), tracers=[tracer])
    assert outcome.success
    assert tracer.stack == (int.from_bytes(b"\xff" * (size - 1) + b"\0", "big"),)


def test_push0_pushes_zero(evm: EvmUnderTest) -> None:
    assert evm.value_of(push(7) + push0) == 0


@pytest.mark.parametrize("n", range(1, 17))
def test_dup_copies_the_item_so_far_down(evm: EvmUnderTest, n: int) -> None:
    items = joined(*(push(100 + index) for index in range(16, 0, -1)))  # item n is 100 + n
    assert evm.value_of(items + dup(n)) == 100 + n


@pytest.mark.parametrize("n", range(1, 17))
def test_swap_exchanges_the_top_with_the_item_so_far_below(evm: EvmUnderTest, n: int) -> None:
    items = joined(*(push(100 + index) for index in range(17, 0, -1)))
    assert evm.value_of(items + swap(n)) == 100 + n + 1
    assert evm.value_of(items + swap(n) + pop * n) == 101


def test_pop_drops_the_top(evm: EvmUnderTest) -> None:
    assert evm.value_of(push(1) + push(2) + pop) == 1


# Reading and writing


def test_mload_of_fresh_memory_is_zero(evm: EvmUnderTest) -> None:
    assert evm.value_of(mload(1000)) == 0


def test_mstore_writes_a_word_at_any_offset(evm: EvmUnderTest) -> None:
    outcome = evm.run(mstore(5, MAX) + return_(0, 64))
    assert outcome.output == bytes(5) + b"\xff" * 32 + bytes(27)


def test_mstore8_writes_the_lowest_byte_only(evm: EvmUnderTest) -> None:
    outcome = evm.run(mstore8(1, 0xABCD) + return_(0, 4))
    assert outcome.output == b"\0\xcd\0\0"


def test_mload_reads_what_overlaps(evm: EvmUnderTest) -> None:
    program = mstore(0, 0x11 << 248) + mstore(32, 0x22 << 248) + mload(1)
    assert evm.value_of(program) == 0x22


# Size


@pytest.mark.parametrize(
    ("touch", "size"),
    [
        (Bytecode(), 0),
        (pop(mload(0)), 32),
        (pop(mload(1)), 64),
        (mstore(31, 1), 64),
        (mstore8(31, 1), 32),
        (mstore8(32, 1), 64),
        (calldatacopy(0, 0, 33), 64),
        (calldatacopy(1000, 0, 0), 0),
        (pop(keccak256(0, 96)), 96),
        (log0(60, 5), 96),
    ],
)
def test_msize_grows_by_words(evm: EvmUnderTest, touch: Bytecode, size: int) -> None:
    assert evm.value_of(touch + msize) == size


@pytest.mark.parametrize("words", [1, 2, 22, 23, 32, 724, 725, 1024, 10_000])
def test_growth_costs_a_linear_and_a_quadratic_part(evm: EvmUnderTest, words: int) -> None:
    offset = (words - 1) * 32
    access = evm.gas_of(mload(offset)) - evm.gas_of(push(offset))
    assert access == 3 + paid_for(words)


def test_growth_is_paid_once(evm: EvmUnderTest) -> None:
    twice = mload(320) + mload(320) + mload(0)
    assert evm.gas_of(twice) == 3 * 3 + 3 * 3 + paid_for(11)


def test_growth_costs_the_difference_to_what_was_paid(evm: EvmUnderTest) -> None:
    assert evm.gas_of(mload(31_968) + mload(63_968)) == 2 * 3 + 2 * 3 + paid_for(2000)


@pytest.mark.parametrize("offset", [2**32, 2**64 - 1, 2**64, 2**255, MAX])
@pytest.mark.parametrize("name", ["MLOAD", "MSTORE", "MSTORE8"])
def test_offset_that_no_gas_pays_for_is_out_of_gas(evm: EvmUnderTest, name: str, offset: int) -> None:
    outcome = evm.run(push(1) + op(name)(offset), gas=2**63)
    assert (outcome.error, outcome.gas_used) == ("out of gas", 2**63)


def test_end_of_a_range_does_not_wrap_around(evm: EvmUnderTest) -> None:
    for offset, size in [(MAX, 2), (1, MAX), (2**256 - 32, 64), (2**63, 2**63), (MAX, MAX)]:
        assert evm.run(return_(offset, size)).error == "out of gas"
        assert evm.run(keccak256(offset, size)).error == "out of gas"
        assert evm.run(calldatacopy(offset, 0, size)).error == "out of gas"


@pytest.mark.parametrize(
    "program",
    [
        keccak256(MAX, 0),
        calldatacopy(MAX, MAX, 0),
        codecopy(MAX, MAX, 0),
        extcodecopy(0, MAX, MAX, 0),
        returndatacopy(MAX, 0, 0),
        mcopy(MAX, MAX, 0),
        log0(MAX, 0),
    ],
    ids=repr,
)
def test_no_bytes_at_any_offset_cost_no_memory(evm: EvmUnderTest, program: Bytecode) -> None:
    assert evm.value_of(program + msize) == 0


def test_return_with_no_bytes_ignores_its_offset(evm: EvmUnderTest) -> None:
    outcome = evm.run(return_(MAX, 0))
    assert (outcome.error, outcome.output, outcome.gas_used) == ("", b"", 6)


def test_revert_with_no_bytes_ignores_its_offset(evm: EvmUnderTest) -> None:
    outcome = evm.run(revert(MAX, 0))
    assert (outcome.error, outcome.output) == ("execution reverted", b"")


# Copies


@pytest.mark.parametrize("size", [1, 32, 33, 64, 1000])
@pytest.mark.parametrize("name", ["CALLDATACOPY", "CODECOPY", "MCOPY"])
def test_copying_costs_three_a_word_beside_memory(evm: EvmUnderTest, name: str, size: int) -> None:
    words = (size + 31) // 32
    operands = push(size) + push(0) + push(0)
    assert evm.gas_of(operands + op(name)) - evm.gas_of(operands) == 3 + 3 * words + paid_for(words)


def test_calldatacopy_fills_with_zeros_beyond_the_input(evm: EvmUnderTest) -> None:
    program = mstore(0, MAX) + calldatacopy(0, 2, 6) + return_(0, 8)
    assert evm.run(program, input=b"abcd").output == b"cd\0\0\0\0\xff\xff"


def test_calldatacopy_from_far_beyond_the_input_is_zeros(evm: EvmUnderTest) -> None:
    program = mstore(0, MAX) + calldatacopy(0, MAX, 4) + return_(0, 5)
    assert evm.run(program, input=b"abcd").output == b"\0\0\0\0\xff"


def test_codecopy_fills_with_zeros_beyond_the_code(evm: EvmUnderTest) -> None:
    program = mstore(0, MAX) + codecopy(0, 0, 32) + return_(0, 32)
    assert evm.run(program).output == bytes(program).ljust(32, b"\0")[:32]
    program = mstore(0, MAX) + codecopy(0, 2**64, 3) + return_(0, 4)
    assert evm.run(program).output == b"\0\0\0\xff"


@pytest.mark.parametrize(
    ("destination", "source", "size", "result"),
    [
        (0, 4, 4, b"45674567"),
        (4, 0, 4, b"01230123"),
        (2, 0, 6, b"01012345"),  # overlapping forwards
        (0, 2, 6, b"23456767"),  # overlapping backwards
        (3, 3, 4, b"01234567"),
    ],
)
def test_mcopy_works_as_through_a_buffer(
    evm: EvmUnderTest, destination: int, source: int, size: int, result: bytes
) -> None:
    program = mstore_bytes(b"01234567") + mcopy(destination, source, size) + return_(0, 8)
    assert evm.run(program).output == result


@pytest.mark.parametrize(("destination", "source"), [(0, 320), (320, 0)])
def test_mcopy_expands_to_the_further_end_of_source_and_destination(
    evm: EvmUnderTest, destination: int, source: int
) -> None:
    assert evm.value_of(mcopy(destination, source, 32) + msize) == 352


def test_mcopy_of_fresh_memory_copies_zeros(evm: EvmUnderTest) -> None:
    assert evm.value_of(mstore(0, MAX) + mcopy(0, 64, 32) + mload(0)) == 0


# Hashing


@pytest.mark.parametrize(
    ("data", "digest"),
    [
        (b"", 0xC5D2460186F7233C927E7DB2DCC703C0E500B653CA82273B7BFAD8045D85A470),
        (b"\0", 0xBC36789E7A1E281436464229828F817D6612F7B477D66591FF96A9E064BCC98A),
        (b"abc", 0x4E03657AEA45A94FC7D47BA826C8D667C0D1E6E33A64A036EC44F58FA12D6C45),
    ],
)
def test_keccak256_of_memory(evm: EvmUnderTest, data: bytes, digest: int) -> None:
    assert evm.value_of(mstore_bytes(data) + keccak256(0, len(data))) == digest


@pytest.mark.parametrize("size", [1, 32, 33, 96])
def test_keccak256_costs_six_a_word(evm: EvmUnderTest, size: int) -> None:
    words = (size + 31) // 32
    assert evm.gas_of(keccak256(0, size)) == 6 + 30 + 6 * words + paid_for(words)


def test_ret_top_returns_the_top(evm: EvmUnderTest) -> None:
    assert evm.run(push(1) + push(2) + ret_top()).output == (2).to_bytes(32, "big")
