"""Bit operations of the kernel language against definitions by strings of digits, and its hints."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vmloom.kernel import (
    Halt,
    attempt,
    byteswap,
    count_ones,
    inline,
    intrinsic,
    outline,
    rotate_left,
    rotate_right,
    trailing_zeros,
    u8,
    u16,
    u32,
    u64,
    u128,
    u160,
    u256,
    u512,
    unlikely,
)

KINDS: list[Any] = [u8, u16, u32, u64, u128, u160, u256, u512]


@given(st.sampled_from(KINDS), st.integers(0, (1 << 512) - 1), st.integers(0, 1100))
def test_bit_operations_agree_with_digits(kind: Any, number: int, count: int) -> None:
    x, bits = kind(number), kind.bits
    digits = f"{x:0{bits}b}"
    turn = count % bits
    assert rotate_left(kind, x, count) == int(digits[turn:] + digits[:turn], 2)
    assert rotate_right(kind, rotate_left(kind, x, count), count) == x
    assert byteswap(kind, x).to_bytes(bits // 8, "big") == x.to_bytes(bits // 8, "little")
    assert count_ones(kind, x) == digits.count("1")
    assert trailing_zeros(kind, x) == (len(digits) - len(digits.rstrip("0")))


@pytest.mark.parametrize("kind", KINDS)
def test_zero_has_as_many_trailing_zeros_as_the_type_has_bits(kind: Any) -> None:
    assert trailing_zeros(kind, 0) == kind.bits


def test_only_unsigned_types_have_bits() -> None:
    with pytest.raises(TypeError, match="not an unsigned integer type"):
        byteswap(bool, 1)


def test_inlining_marks_only_mark() -> None:
    def plain() -> None: ...

    assert inline(plain) is plain
    assert vars(plain)["__kernel_inline__"] is True
    assert vars(outline(plain))["__kernel_inline__"] is False


@pytest.mark.parametrize("condition", [True, False])
def test_unlikely_changes_nothing(condition: bool) -> None:
    assert unlikely(condition) is condition


def test_bodies_for_processors_stand_in_the_order_of_the_decorators() -> None:
    @intrinsic("a,b", "first")
    @intrinsic("c", "second")
    def twice(x: int) -> int:
        return 2 * x

    assert twice(4) == 8
    assert vars(twice)["__kernel_intrinsics__"] == ((frozenset("ab"), "first"), (frozenset("c"), "second"))


def test_attempts_give_the_reason_of_a_halt() -> None:
    def stop(reason: int) -> None:
        if reason:
            raise Halt(reason)

    assert [attempt(stop, reason) for reason in (0, 7)] == [0, 7]
