"""Arithmetic on words of 256 bits: the loops of the accelerator `cpu`, each of one turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from vmloom.kernel import Ptr, u64, u256
from vmloom_native.batches import add, addmod, div, exp, mod, mul, mulmod, sub


def add_row(row: u64, count: u64, x: Ptr[u256], y: Ptr[u256], result: Ptr[u256]) -> None:  # noqa: ARG001
    """The sum."""
    add(x + row, y + row, result + row, 1)


def sub_row(row: u64, count: u64, x: Ptr[u256], y: Ptr[u256], result: Ptr[u256]) -> None:  # noqa: ARG001
    """The difference."""
    sub(x + row, y + row, result + row, 1)


def mul_row(row: u64, count: u64, x: Ptr[u256], y: Ptr[u256], result: Ptr[u256]) -> None:  # noqa: ARG001
    """The product."""
    mul(x + row, y + row, result + row, 1)


def div_row(row: u64, count: u64, x: Ptr[u256], y: Ptr[u256], result: Ptr[u256]) -> None:  # noqa: ARG001
    """The quotient."""
    div(x + row, y + row, result + row, 1)


def mod_row(row: u64, count: u64, x: Ptr[u256], y: Ptr[u256], result: Ptr[u256]) -> None:  # noqa: ARG001
    """The remainder."""
    mod(x + row, y + row, result + row, 1)


def exp_row(row: u64, count: u64, x: Ptr[u256], y: Ptr[u256], result: Ptr[u256]) -> None:  # noqa: ARG001
    """The power."""
    exp(x + row, y + row, result + row, 1)


def addmod_row(
    row: u64,
    count: u64,  # noqa: ARG001
    x: Ptr[u256],
    y: Ptr[u256],
    modulus: Ptr[u256],
    result: Ptr[u256],
) -> None:
    """The remainder of the sum."""
    addmod(x + row, y + row, modulus + row, result + row, 1)


def mulmod_row(
    row: u64,
    count: u64,  # noqa: ARG001
    x: Ptr[u256],
    y: Ptr[u256],
    modulus: Ptr[u256],
    result: Ptr[u256],
) -> None:
    """The remainder of the product."""
    mulmod(x + row, y + row, modulus + row, result + row, 1)


ROWS: Final[Mapping[str, Callable[..., None]]] = {
    "u256_add": add_row,
    "u256_sub": sub_row,
    "u256_mul": mul_row,
    "u256_div": div_row,
    "u256_mod": mod_row,
    "u256_exp": exp_row,
    "u256_addmod": addmod_row,
    "u256_mulmod": mulmod_row,
}
