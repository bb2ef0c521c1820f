"""The EVM under vmloom's own conformance kit, as any VM author would run it."""

from __future__ import annotations

from typing import ClassVar

from vmloom.testing.conformance import VmConformance


def push(number: int, size: int = 32) -> bytes:
    return bytes([0x5F + size]) + number.to_bytes(size, "big")


def sstore(slot: int, value: int) -> bytes:
    return push(value) + push(slot) + b"\x55"


class TestEvmConformance(VmConformance):
    vm_name = "evm"
    invalid_codes: ClassVar = (bytes(24_577),)  # EIP-170; any bytes of a size that is allowed are EVM code

    def program_returning(self, data: bytes) -> bytes:
        """CODECOPY of what follows the code, and RETURN."""
        head = push(len(data), 2)
        code = head + push(len(head) + 14, 2) + b"\x5f\x39" + head + b"\x5f\xf3"
        return code.ljust(len(head) + 14, b"\x00") + data

    def program_reverting(self) -> bytes:
        return sstore(1, 1) + b"\x5f\x5f\xfd"

    def program_looping_forever(self) -> bytes:
        return sstore(1, 1) + b"\x5b" + push(66 + 1, 1) + b"\x56"

    def program_storing(self, slot: int, value: int) -> bytes:
        return sstore(slot, value)

    def program_echoing(self) -> bytes:
        return bytes.fromhex("365f5f37365ff3")  # CALLDATASIZE 0 0 CALLDATACOPY, RETURN it

    def program_emitting(self) -> bytes:
        return push(7, 1) + b"\x5f\x5f\xa1"
