"""The code that metering puts into functions, as bytes. Core specification 2.0, section 5.4.

Called by `instrument` only. A sequence leaves the operand stack as it found it.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from .costs import Linear

_UNREACHABLE, _IF, _END, _BR = b"\x00", b"\x04\x40", b"\x0b", b"\x0c"
_LOCAL_GET, _LOCAL_SET, _LOCAL_TEE, _GLOBAL_GET, _GLOBAL_SET = b"\x20", b"\x21", b"\x22", b"\x23", b"\x24"
_I32_CONST, _I32_LT_U, _I32_ADD, _I32_SUB = b"\x41", b"\x49", b"\x6a", b"\x6b"
_I64_CONST, _I64_LT_U, _I64_ADD, _I64_SUB, _I64_MUL, _I64_SHR_U = b"\x42", b"\x54", b"\x7c", b"\x7d", b"\x7e", b"\x88"
_I64_EXTEND_I32_U = b"\xad"

LARGEST_CHARGE = (1 << 63) - 1
"""What a charge is cut to, in units."""


class Exhausted(IntEnum):
    """What a run has used up, in the global `EXHAUSTED_EXPORT`; with NOTHING, a trap is the contract's own."""

    NOTHING = 0
    GAS = 1
    STACK = 2


class Meters(NamedTuple):
    """Indices of the globals that metering adds to a module."""

    gas: int
    """i64, unsigned: units left."""
    exhausted: int
    """i32: an `Exhausted`."""
    stack: int
    """i32, unsigned: words left."""
    function_gas: int | None = None
    """i64, unsigned: units that the function paid; None if nobody asked for a profile."""
    function_calls: int | None = None
    """i64, unsigned: frames of the function; None likewise."""
    gas_local: int | None = None
    """A local of the function, an i64, that stands for the global `gas` between calls: in loops it is a register of the
    processor. None where the global itself is used."""

    def charge(self, cost: int) -> bytes:
        """Pay `cost` >= 0 units, or trap."""
        amount = _I64_CONST + signed(min(cost, LARGEST_CHARGE))
        return self._pay(amount)

    def charge_size(self, size: Linear, count: int, price: int) -> bytes:
        """Pay for the i32 on top of the stack, a size, which stays there.

        `count` and `price` are free locals of types i32 and i64.
        """
        units = _LOCAL_TEE + unsigned(count) + _LOCAL_GET + unsigned(count) + _I64_EXTEND_I32_U
        if size.shift:
            units += _I64_CONST + signed((1 << size.shift) - 1) + _I64_ADD
            units += _I64_CONST + signed(size.shift) + _I64_SHR_U
        units += _I64_CONST + signed(size.cost) + _I64_MUL + _LOCAL_SET + unsigned(price)
        return units + self._pay(_LOCAL_GET + unsigned(price))

    def enter(self, words: int) -> bytes:
        """Take `words` of the stack, or trap."""
        left, amount = _GLOBAL_GET + unsigned(self.stack), _I32_CONST + signed_word(words)
        check = left + amount + _I32_LT_U + self._trap_if(Exhausted.STACK)
        take = left + amount + _I32_SUB + _GLOBAL_SET + unsigned(self.stack)
        return check + take + _count(self.function_calls, _I64_CONST + signed(1))

    def leave(self, words: int) -> bytes:
        """Give `words` of the stack back."""
        left, amount = unsigned(self.stack), _I32_CONST + signed_word(words)
        return _GLOBAL_GET + left + amount + _I32_ADD + _GLOBAL_SET + left

    def borrow(self) -> bytes:
        """Take the gas from the global: where the function begins, and after calls."""
        if self.gas_local is None:
            return b""
        return _GLOBAL_GET + unsigned(self.gas) + _LOCAL_SET + unsigned(self.gas_local)

    def give_back(self) -> bytes:
        """Put the gas into the global: before calls, which look at it there, and where the function ends."""
        if self.gas_local is None:
            return b""
        return _LOCAL_GET + unsigned(self.gas_local) + _GLOBAL_SET + unsigned(self.gas)

    def _pay(self, amount: bytes) -> bytes:
        """Pay what the instructions `amount` give."""
        if self.gas_local is None:
            get, put = _GLOBAL_GET + unsigned(self.gas), _GLOBAL_SET + unsigned(self.gas)
        else:
            get, put = _LOCAL_GET + unsigned(self.gas_local), _LOCAL_SET + unsigned(self.gas_local)
        check = get + amount + _I64_LT_U + self._trap_if(Exhausted.GAS, self.give_back())
        return check + get + amount + _I64_SUB + put + _count(self.function_gas, amount)

    def _trap_if(self, reason: Exhausted, before: bytes = b"") -> bytes:
        mark = _I32_CONST + signed(reason) + _GLOBAL_SET + unsigned(self.exhausted)
        return _IF + before + mark + _UNREACHABLE + _END


def _count(counter: int | None, amount: bytes) -> bytes:
    """Add what the instructions `amount` give to an i64 global, if there is one."""
    if counter is None:
        return b""
    return _GLOBAL_GET + unsigned(counter) + amount + _I64_ADD + _GLOBAL_SET + unsigned(counter)


def branch(label: int) -> bytes:
    """Branch to the label `label`."""
    return _BR + unsigned(label)


def unsigned(number: int) -> bytes:
    """Encode `number` >= 0 as unsigned LEB128. Section 5.2.2."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def signed(number: int) -> bytes:
    """Encode `number` as signed LEB128. Section 5.2.2."""
    encoded = bytearray()
    while not -64 <= number < 64:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number & 0x7F)
    return bytes(encoded)


def signed_word(number: int) -> bytes:
    """Encode an unsigned 32-bit `number`, as the i32 with the same bits."""
    return signed(number - (1 << 32) if number >> 31 else number)
