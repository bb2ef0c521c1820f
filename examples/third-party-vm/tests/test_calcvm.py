"""The calculator under vmloom's conformance kit, and what is its own."""

# ruff: noqa: D101, D102, D103 - the names of the tests say what they do

from __future__ import annotations

import pytest
from vmloom import ExecutionContext, MemoryState
from vmloom.errors import CodeTooLarge, ProhibitedOpcode
from vmloom.factory import VmFactory
from vmloom.settings import Settings
from vmloom.testing.conformance import VmConformance

STOP, ADD, SUB, MUL, JUMP, REVERT, EMIT, ECHO = (bytes([code]) for code in (0, 2, 3, 4, 7, 9, 10, 12))


def push(number: int) -> bytes:
    data = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return bytes([1, len(data)]) + data


def store(slot: int, value: int) -> bytes:
    return push(slot) + push(value) + b"\x05"


def say(data: bytes) -> bytes:
    chunks = [data[start : start + 255] for start in range(0, len(data), 255)]
    return b"".join(bytes([11, len(chunk)]) + chunk for chunk in chunks)


class TestConformance(VmConformance):
    vm_name = "calc"
    invalid_codes = (b"\x0d", b"\x01", b"\x01\x21" + bytes(33), b"\x0b\x02\x00", bytes(4097))

    def program_returning(self, data: bytes) -> bytes:
        return say(data)

    def program_reverting(self) -> bytes:
        return store(1, 1) + REVERT

    def program_looping_forever(self) -> bytes:
        return store(1, 1) + push(0) + JUMP

    def program_storing(self, slot: int, value: int) -> bytes:
        return store(slot, value)

    def program_echoing(self) -> bytes:
        return ECHO

    def program_emitting(self) -> bytes:
        return push(7) + EMIT


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        (push(2) + push(3) + ADD, 5),
        (push(2) + push(3) + SUB, 2**256 - 1),
        (push(2**255) + push(2) + MUL, 0),
    ],
)
def test_arithmetic_wraps_at_256_bits(vm_factory: VmFactory, program: bytes, expected: int) -> None:
    state = MemoryState()
    result = vm_factory.get_vm("calc").execute(push(0) + program + b"\x05", ExecutionContext(), state)
    assert result.success, result.error
    assert state.get_storage(ExecutionContext().address, 0) == expected


def test_configuration_limits_code() -> None:
    factory = VmFactory(Settings({"vm": {"calc": {"max_code_size": 2, "disabled": ["REVERT"]}}}))
    vm = factory.get_vm("calc")
    with pytest.raises(ProhibitedOpcode, match="offset 0x0: REVERT is disabled"):
        vm.validate_code(REVERT)
    with pytest.raises(CodeTooLarge):
        vm.validate_code(STOP * 3)
