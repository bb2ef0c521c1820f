"""Loops over the rows of a batch, in the kernel language: what the accelerator `cpu` compiles.

Rows lie packed one behind the other. Of rows of any size, row i is `data[offsets[i]:offsets[i + 1]]`.
"""

from __future__ import annotations

from vmloom.kernel import U64_MAX, U256_MAX, Ptr, u8, u64, u256, u512, wrapping_pow

# Arithmetic modulo 2**256: what the EVM's instructions of these names compute


def add(x: Ptr[u256], y: Ptr[u256], result: Ptr[u256], count: u64) -> None:
    """Sums, wrapping."""
    for row in range(count):
        result[row] = (x[row] + y[row]) & U256_MAX


def sub(x: Ptr[u256], y: Ptr[u256], result: Ptr[u256], count: u64) -> None:
    """Differences, wrapping."""
    for row in range(count):
        result[row] = (x[row] - y[row]) & U256_MAX


def mul(x: Ptr[u256], y: Ptr[u256], result: Ptr[u256], count: u64) -> None:
    """Products, wrapping."""
    for row in range(count):
        result[row] = (x[row] * y[row]) & U256_MAX


def div(x: Ptr[u256], y: Ptr[u256], result: Ptr[u256], count: u64) -> None:
    """Quotients; by zero they are zero."""
    for row in range(count):
        divisor = y[row]
        result[row] = x[row] // divisor if divisor else 0


def mod(x: Ptr[u256], y: Ptr[u256], result: Ptr[u256], count: u64) -> None:
    """Remainders; by zero they are zero."""
    for row in range(count):
        divisor = y[row]
        result[row] = x[row] % divisor if divisor else 0


def addmod(x: Ptr[u256], y: Ptr[u256], modulus: Ptr[u256], result: Ptr[u256], count: u64) -> None:
    """Remainders of sums of 257 bits; by zero they are zero."""
    for row in range(count):
        divisor = modulus[row]
        result[row] = (u512(x[row]) + y[row]) % divisor if divisor else 0


def mulmod(x: Ptr[u256], y: Ptr[u256], modulus: Ptr[u256], result: Ptr[u256], count: u64) -> None:
    """Remainders of products of 512 bits; by zero they are zero."""
    for row in range(count):
        divisor = modulus[row]
        result[row] = (u512(x[row]) * y[row]) % divisor if divisor else 0


def exp(base: Ptr[u256], exponent: Ptr[u256], result: Ptr[u256], count: u64) -> None:
    """Powers, wrapping; 0 to the power of 0 is 1."""
    for row in range(count):
        result[row] = wrapping_pow(base[row], exponent[row])


# Rows of bytes


def precompile(input: Ptr[u8], size: u64, output: Ptr[u8]) -> u64:  # noqa: ARG001 (others need them)
    """Stands for the kernel of a precompile, which each build puts in its place. See `PrecompileKernel.run`."""
    return U64_MAX


def precompiled(data: Ptr[u8], offsets: Ptr[u64], room: Ptr[u8], output: Ptr[u8], sizes: Ptr[u64], count: u64) -> None:
    """Run a precompile on each row: 32 bytes of output a row, and how many it has written, U64_MAX if it failed.

    `room` is what precompiles may write to: as much as `PrecompileKernel.run` asks for.
    """
    for row in range(count):
        start = offsets[row]
        sizes[row] = precompile(data + start, offsets[row + 1] - start, room)
        for at in range(32):
            output[row * 32 + at] = room[at]
