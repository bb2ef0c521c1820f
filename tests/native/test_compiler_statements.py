"""Statements, calls and halts do the same compiled as in CPython."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import pytest
from vmloom.kernel import (
    U64_MAX,
    U256_MAX,
    Halt,
    attempt,
    i64,
    inline,
    outline,
    u8,
    u16,
    u32,
    u64,
    u160,
    u256,
    u512,
    unlikely,
    wrapping_pow,
)
from vmloom.kernel.subset import KernelError
from vmloom_native.testing import Compiled

EDGES = (0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 15, 16, 31, 99, 100, 101, 255, 256, U64_MAX - 1, U64_MAX)
WORDS = (*EDGES, 1 << 64, 1 << 128, 1 << 255, U256_MAX - 1, U256_MAX)
LIMIT = 100
BIG = 1 << 200
ENABLED = False


# Loops


def loops(x: u256, y: u256) -> u256:
    """Loops with their exits, and signed numbers beside unsigned ones."""
    total = u256(0)
    signed = i64(u64(x) & 0xFF) - 100
    if signed < u64(y) and not signed > -5:
        total = (total + 5) & U256_MAX
    for index in range(u64(x & 15)):
        if index == 3 or (not index and y > 100):
            continue
        if index == 9 and y % 3 == 1:
            break
        total = (total + (index * 3 if index % 2 else (min(x, y) >> 1) // (index + 1))) & U256_MAX
    while total > U256_MAX >> 4 or total == 77:
        total //= 16
    return total & U256_MAX


def nested(x: u64, y: u64) -> u64:
    found = 0
    for i in range(x % 20):
        for j in range(i, 20):
            if (i * j) % 7 == y % 7:
                found += i
                break
            if j % 5 == 4:
                continue
            found += 1
        while found % 3 == 2:
            found += 1
            if found > LIMIT:
                break
    return found


def forever(x: u64) -> u64:
    while True:
        if x % 2 == 0:
            return x
        x = x // 3


def forever_until(x: u64) -> u64:
    steps = 0
    while True:
        steps += 1
        if x < 10:
            break
        x //= 2
    return steps


def steps(x: u64, y: u64) -> u64:
    total = u64(0)
    for index in range(1, 40, 3):
        total += index
    for index in range(x % 100, y % 100, 7):
        total += index * 2
    for index in range(10, 3):
        total += index
    return total


def counter_is_its_own(x: u64) -> u64:
    """The body may change the name, and the bounds are computed once."""
    limit = x % 9
    rounds = 0
    for index in range(limit):
        index += 5
        limit = 3
        rounds += index
    return rounds


def last_index(x: u64) -> u64:
    index = U64_MAX
    for index in range(x % 5):  # noqa: B007
        pass
    return index


def signed_range(x: u64) -> i64:
    total = i64(0)
    for index in range(-5, i64(x % 7)):
        total += index
    return total


def counters_at_the_end(x: u64, y: u64) -> u64:
    """A step may leave the counter's type: then the loop is over."""
    rounds = 0
    narrow = u8(x)
    for index in range(narrow // 2, narrow, 200):
        rounds += index
    for index in range(0, narrow, 7):
        rounds += index
    for index in range(0, narrow, 300):
        rounds += u64(index) + 1
    low = x - x % 1000 if x > 5000 else x
    for offset in range(low, x, 99):
        rounds += offset & 0xFF
    end = i64(y // 2)
    begin = end - i64(y % 1000)
    for step in range(begin, end, 64):
        rounds += 1 if step < 0 else 2
    return rounds


def positional_only(x: u64, /, y: u64) -> u64:
    return x // 2 + y // 3


# Assignments


def augmented(x: u64, y: u64) -> u64:
    z = x & 0xFFFF
    z += 3
    z -= 1
    z *= 5
    z <<= 2
    z >>= 1
    z |= y & 0xFF
    z &= 0xFFFFFF
    z ^= 0x1234
    z //= 3
    z %= 1000
    return z


def annotated(x: u8) -> u256:
    wide: u256 = 0
    wide = (wide + x) & U256_MAX
    narrow: u16 = x
    flag: bool = True
    if flag:
        wide = (wide << 100 | narrow) & U256_MAX
    return wide


def branches(x: u64, y: u64) -> u64:
    if x < 5:
        result = 1
    elif x == 7 or y == 7:
        result = 2
    elif not y:
        if x > 100:
            return 9
        result = 3
    else:
        result = 4
    if ENABLED:
        result = len(x)  # type: ignore[arg-type]  # dead branches need no sound types
    return result


def parameters_change(x: u64, flag: bool) -> u64:
    if flag:
        x = x // 2
        flag = x > 5
    return x + 1 if flag and x < 1000 else x


def conditions(x: u64, y: u256, flag: bool) -> bool:
    both = flag and x > 3
    either = both or y == BIG or not flag
    return either != (x < 4 and (y != 0 or flag))


def sides(x: u256, y: u256) -> u256:
    """Only the side that is needed is computed."""
    a = x // y if y else 0
    b = 1 if y == 0 or x % y == 0 else 2
    return a ^ b


def constants(x: u64) -> u256:
    a = 1 if x > 3 else 0
    b = -1 if x > 4 else 1
    c = BIG if x > 5 else 7
    return (c + a + (2 if b < 0 else 0)) & U256_MAX


def signed(x: u64, y: u256) -> i64:
    """Comparisons are exact whatever the types."""
    s = i64(x & 0xFFFF) - 0x8000
    result = i64(0)
    if s < x:
        result += 1
    if s > y:
        result += 2
    if y >= s:
        result += 4
    if s == x:
        result += 8
    if s != 0x8000:
        result += 16
    return result * 100 + (s >> 3) - s // 16 + -s


def signed_and_large(x: u64, y: u64) -> u64:
    """Constants that no signed type of 64 bits holds are still compared with what is below 0."""
    s = i64(x & 0xFFFF) - 0x8000 - i64(y // 4)
    total = 1 if s < 0x8000000000000000 else 0
    total += 2 if s == U64_MAX else 0
    total += 4 if s < BIG else 0
    total += 8 if s >= -(1 << 63) else 0
    return total + (16 if s >= -BIG else 0) + (32 if s < 0 else 0)


def nested_remainders(x: u256, y: u256) -> u512:
    """Of integers wider than what any kernel divides by."""
    a = u512(x) << 256 | y
    b = u512(y) * x
    c = a >> 100 | 1
    d = b | 1 << 300
    return a % (b % (a % c | c) | 1) ^ (a % d) % (b % c | 1 << 257)


# Calls


@inline
def triple(x: u64) -> u64:
    return (x & 0xFFFFFFFF) * 3


@outline
def check_small(x: u64) -> None:
    if x > LIMIT:
        raise Halt(7)


def checked_half(x: u64) -> u64:
    if unlikely(x & 1 == 1):
        raise Halt((x & 0xFFFF) + 1)
    return x // 2


def checked_word(x: u256) -> u256:
    if x == BIG:
        raise Halt(3)
    return x ^ 1


def is_small(x: u64) -> bool:
    check_small(x // 2)
    return x < 50


def calls(x: u64, y: u64) -> u64:
    check_small(x % 128)
    z = triple(x & 0xFF) + checked_half(y)
    if is_small(z) and checked_half(z) > 3:
        return checked_half(z) if z > 5 else triple(z)
    return min(z, checked_half(x & 0xFF) << 1)


def words(x: u256) -> u256:
    y = checked_word(checked_word(x)) if x else checked_word(BIG)
    return wrapping_pow(y, 3)


def loop_that_halts(x: u64) -> u64:
    total = 0
    for index in range(x & 31):
        total += checked_half(index * (2 if index < 20 else 1))
    while checked_half(total) > 50:
        total -= 2
    return total


def attempts(x: u64) -> u64:
    status = attempt(check_small, x)
    never = attempt(nothing, x)
    return status * 10 + never


def nothing(x: u64) -> None:
    """Does nothing."""


def returns_early(x: u64) -> None:
    if x < 3:
        return
    if x == 99:
        raise Halt(x)


KERNELS: tuple[Callable[..., Any], ...] = (
    *(loops, nested, forever, forever_until, steps, counter_is_its_own, last_index, signed_range),
    *(counters_at_the_end, positional_only, signed_and_large, nested_remainders),
    *(augmented, annotated, branches, parameters_change, conditions, sides, constants, signed),
    *(calls, words, loop_that_halts, attempts, nothing, returns_early, triple, is_small),
)
RANGES = {"u8": 8, "u16": 16, "u32": 32, "u64": 64, "u160": 160, "u256": 256, "u512": 512, "bool": 1}


def outcome(run: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return run(*arguments)
    except Halt as halt:
        return f"halted for {halt.reason}"


def samples(function: Callable[..., Any]) -> list[tuple[Any, ...]]:
    rng = random.Random(function.__name__)
    columns = []
    for name, kind in function.__annotations__.items():
        if name == "return":
            continue
        bits = RANGES[kind]
        random_ones = [rng.getrandbits(rng.randrange(1, bits + 1)) for _ in range(12)]
        values = [it for it in (*(WORDS if bits > 64 else EDGES), *random_ones) if it < 1 << bits]
        columns.append([bool(it) for it in (0, 1)] if kind == "bool" else values)
    return list(itertools.product(*columns))


@pytest.fixture(scope="module")
def compiled() -> Compiled:
    return Compiled(*KERNELS)


@pytest.mark.parametrize("function", KERNELS, ids=lambda it: it.__name__)
def test_a_kernel_does_the_same_compiled(compiled: Compiled, function: Callable[..., Any]) -> None:
    outcomes = set()
    for given in samples(function):
        expected = outcome(function, *given)
        assert outcome(compiled, function, *given) == expected, given
        outcomes.add(str(expected))
    assert len(outcomes) > 1 or function is nothing


def test_division_by_zero_and_wide_shifts_are_zero_in_compiled_code() -> None:
    """Python raises or makes a number that no type holds; a kernel must branch before. The machine must not fault."""

    def run(function: Callable[..., Any], *arguments: int) -> Any:
        return compiled(function, *arguments)

    compiled = Compiled(quotient, remainder, wide_quotient, wide_remainder, widest, shifted, shifted_right)
    for function in (quotient, remainder, wide_quotient, wide_remainder, widest):
        assert run(function, 5, 0) == 0
    for amount in (256, 257, U64_MAX):
        assert run(shifted, 3, amount) == 0
        assert run(shifted_right, U256_MAX, amount) == 0
    assert run(shifted, 3, 255) == 1 << 255


def quotient(x: u64, y: u64) -> u64:
    return x // y


def remainder(x: u32, y: u32) -> u32:
    return x % y


def wide_quotient(x: u160, y: u160) -> u160:
    return x // y


def wide_remainder(x: u256, y: u256) -> u256:
    return x % y


def widest(x: u512, y: u512) -> u512:
    return x % y ^ x // y


def shifted(x: u256, n: u64) -> u256:
    return u256(x << n)


def shifted_right(x: u256, n: u64) -> u256:
    return x >> n


def test_recursion_through_another_function_is_refused() -> None:
    with pytest.raises(KernelError, match=r"recursion is not in the kernel language: `p[io]ng` comes back"):
        Compiled(ping)


def ping(x: u64) -> u64:
    return pong(x // 2) if x else 0


def pong(x: u64) -> u64:
    return ping(x) + 1
