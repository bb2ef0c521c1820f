"""Arithmetic whose fast CPython form is a builtin; compiled engines bring a kernel of their own for each."""

from __future__ import annotations


def wrapping_pow(base: int, exponent: int) -> int:
    """`base ** exponent` modulo 2**256; both are in 0 .. 2**256 - 1. `0 ** 0` is 1."""
    return pow(base, exponent, 1 << 256)
