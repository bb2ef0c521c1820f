"""0x05: modular exponentiation of numbers of any size.

The header may declare lengths up to 2**256 - 1. Prices are computed from the header and the first 32 bytes of the
exponent alone; numbers are only built once their price is paid, for then their lengths are bounded by it.
"""

from __future__ import annotations

from gmpy2 import powmod  # type: ignore[import-untyped]
from vmloom.precompile import PrecompileFailure, PrecompileKernel, PurePrecompile

HEADER_SIZE = 96
EXPONENT_HEAD_SIZE = 32
BUILDABLE_SIZE = 2**30
"""The largest operand in bytes that we build: more would exhaust the host before the gas of any real block."""


class ModExp(PurePrecompile):
    """MODEXP at 0x05 from Byzantium to Istanbul. EIP-198.

    Input, zero-padded without end: base length B (32) | exponent length E (32) | modulus length M (32) |
    base (B) | exponent (E) | modulus (M). Output: base ** exponent % modulus (M), 0 for a modulus of 0.
    Gas: complexity of max(B, M) * iterations // 20. Never fails for a price that could be paid.
    """

    name = "MODEXP"

    def gas_cost(self, input: bytes) -> int:
        """The price of the declared lengths and the exponent's head; it may exceed 2**512."""
        base_size, exponent_size, modulus_size = declared_sizes(input)
        head_size = min(exponent_size, EXPONENT_HEAD_SIZE)
        head = number(input, HEADER_SIZE + base_size, head_size)
        return self.price(max(base_size, modulus_size), exponent_size, head)

    def price(self, size: int, exponent_size: int, head: int) -> int:
        """Gas for operands of `size` bytes and an exponent of `exponent_size` bytes whose first 32 make `head`."""
        return eip198_complexity(size) * iterations(exponent_size, head, 8) // 20

    def compute(self, input: bytes) -> bytes:
        """The power, in as many bytes as the modulus has."""
        base_size, exponent_size, modulus_size = declared_sizes(input)
        if modulus_size == 0:
            return b""

        base = number(input, HEADER_SIZE, base_size)
        exponent = number(input, HEADER_SIZE + base_size, exponent_size)
        modulus = number(input, HEADER_SIZE + base_size + exponent_size, modulus_size)
        if modulus == 0:
            return bytes(buildable(modulus_size))
        return int(powmod(base, exponent, modulus)).to_bytes(modulus_size, "big")

    @property
    def kernel(self) -> PrecompileKernel:
        """The same in the kernel language."""
        from .kernels import modexp

        return PrecompileKernel(modexp.gas_byzantium, modexp.run, modexp.room)


class ModExpBerlin(ModExp):
    """MODEXP from Berlin to Prague: the same function at the price of EIP-2565.

    Gas: max(200, words(max(B, M)) ** 2 * iterations // 3), in words of 8 bytes.
    """

    def price(self, size: int, exponent_size: int, head: int) -> int:
        """As EIP-2565 has it; 200 at least."""
        words = (size + 7) // 8
        return max(200, words**2 * iterations(exponent_size, head, 8) // 3)

    @property
    def kernel(self) -> PrecompileKernel:
        """The same in the kernel language."""
        from .kernels import modexp

        return PrecompileKernel(modexp.gas_berlin, modexp.run, modexp.room)


class ModExpOsaka(ModExp):
    """MODEXP since Osaka: the price of EIP-7883, and the limits of EIP-7823.

    Gas: max(500, complexity of max(B, M) * iterations). Fails if B, E or M is above 1024.
    """

    MAX_SIZE = 1024
    """bytes"""

    def price(self, size: int, exponent_size: int, head: int) -> int:
        """As EIP-7883 has it; 500 at least."""
        complexity = 16 if size <= 32 else 2 * ((size + 7) // 8) ** 2
        return max(500, complexity * iterations(exponent_size, head, 16))

    def compute(self, input: bytes) -> bytes:
        """The power. Raises `PrecompileFailure` if an operand is declared longer than 1024 bytes."""
        for what, size in zip(("base", "exponent", "modulus"), declared_sizes(input), strict=True):
            if size > self.MAX_SIZE:
                raise PrecompileFailure(f"the {what} has {size} bytes, more than {self.MAX_SIZE}")
        return super().compute(input)

    @property
    def kernel(self) -> PrecompileKernel:
        """The same in the kernel language."""
        from .kernels import modexp

        return PrecompileKernel(modexp.gas_osaka, modexp.run, modexp.room_osaka)


def declared_sizes(input: bytes) -> tuple[int, int, int]:
    """Bytes of base, exponent and modulus, as the header says."""
    return number(input, 0, 32), number(input, 32, 32), number(input, 64, 32)


def number(input: bytes, start: int, size: int) -> int:
    """The big-endian number in the `size` bytes of `input` from `start`; zeros follow the end of `input`.

    Raises `PrecompileFailure` if it is neither 0 nor of a size that can be built.
    """
    present = input[start : start + size]
    value = int.from_bytes(present, "big")
    return value << 8 * (buildable(size) - len(present)) if value else 0


def buildable(size: int) -> int:
    """`size` itself. Raises `PrecompileFailure` if an operand of that many bytes cannot be built."""
    if size > BUILDABLE_SIZE:
        raise PrecompileFailure(f"an operand of {size} bytes is beyond the {BUILDABLE_SIZE} that can be computed with")
    return size


def eip198_complexity(size: int) -> int:
    """EIP-198's estimate of what multiplying two numbers of `size` bytes costs."""
    if size <= 64:
        return size**2
    if size <= 1024:
        return size**2 // 4 + 96 * size - 3072
    return size**2 // 16 + 480 * size - 199_680


def iterations(exponent_size: int, head: int, per_byte: int) -> int:
    """EIP-198's "adjusted exponent length", 1 at least: `per_byte` a byte after the head, and the head's top bit."""
    after_head = max(0, exponent_size - EXPONENT_HEAD_SIZE)
    return max(1, per_byte * after_head + max(0, head.bit_length() - 1))
