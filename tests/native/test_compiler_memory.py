"""Structs, pointers, views, tables and halts in the middle of it all do the same compiled as in CPython.

Every kernel runs in both on the same memory at the same addresses; afterwards results and memory are compared.
"""

from __future__ import annotations

import ctypes
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol

import pytest
from vmloom.kernel import (
    U8_MAX,
    U16_MAX,
    U32_MAX,
    U64_MAX,
    U160_MAX,
    U256_MAX,
    U512_MAX,
    Halt,
    Ptr,
    address_of,
    attempt,
    byteswap,
    copy,
    embedded,
    fill,
    i64,
    inline,
    intrinsic,
    is_null,
    load,
    local,
    outline,
    pointer,
    rotate_left,
    start,
    store,
    struct,
    table,
    u8,
    u16,
    u32,
    u64,
    u128,
    u160,
    u256,
    u512,
    view,
)
from vmloom_native.testing import Compiled

BYTES: Final = table(u8, (3, 1, 255, 0))
WORDS: Final = table(u64, (U64_MAX, 0, 5))
ADDRESSES: Final = table(u160, (U160_MAX, 1, 1 << 159))
WIDE: Final = table(u512, (U512_MAX, 1 << 300, 7))
ORDER: Final = 2**256 - 2**32 - 977


@dataclass(frozen=True)
class RuleSet:
    """What is known when the kernels are compiled."""

    limit: int
    berlin: bool


RULES: Final = RuleSet(limit=7, berlin=True)


class Machine(Protocol):
    """What the kernels below may use."""

    rules: ClassVar[RuleSet]
    gas: i64

    def charge(self, amount: u64) -> None: ...


@struct
class Item:
    """An element of arrays in and outside of structs."""

    kind: u8
    value: u256


@struct
class Slot:
    """A field of each type, at offsets that no C compiler would have chosen."""

    rules: ClassVar[RuleSet] = RULES
    LIMIT: ClassVar[int] = 1 << 200

    flag: bool
    small: u16
    count: u32
    gas: i64
    key: u256
    owner: u160
    half: u128
    product: u512
    words: Ptr[u64] = embedded(5)
    flags: Ptr[bool] = embedded(3)
    items: Ptr[Item] = embedded(3)
    next: Slot
    data: Ptr[u8]
    table: Ptr[Ptr[u64]] = embedded(2)
    item: Item
    run: Callable[[Ptr[u8], u64], u64]
    last: u8

    def charge(self, amount: u64) -> None:
        """Take gas, which is small here, or halt."""
        amount &= 0xFFFF
        if self.gas < amount:
            raise Halt(3)
        self.gas -= amount

    def word(self, index: u64) -> u64:
        """An embedded word."""
        return self.words[index % 5]

    def other(self) -> Slot:
        """The next one, or itself."""
        return self if is_null(self.next) else self.next

    @property
    def twice(self) -> u64:
        """Twice the count."""
        return u64(self.count) * 2

    @twice.setter
    def twice(self, value: u64) -> None:
        self.count = u32(value // 2)

    @property
    def checked(self) -> u64:
        """The count, unless it is odd."""
        if self.count & 1:
            raise Halt(9)
        return self.count


# Structs


def fields(slot: Slot, q: Ptr[u8], data: bytes, x: u64, y: u64, w: u256) -> u256:
    slot.flag = x < y
    slot.small = u16(x)
    if slot.count < U32_MAX:
        slot.count += 1
    slot.key = (slot.key + w) & U256_MAX
    slot.owner = slot.owner ^ u160(w)
    slot.half = u128(slot.half * x)
    slot.product = u512(slot.product - w)
    slot.last ^= u8(y)
    slot.gas = i64(u64(slot.gas) & 0xFFFF) - i64(y & 0xFF)
    return (slot.key ^ slot.owner ^ slot.half ^ u256(slot.product)) & (U256_MAX - slot.flag)


def embedded_arrays(slot: Slot, q: Ptr[u8], data: bytes, x: u64, y: u64, w: u256) -> u256:
    words = slot.words
    total = u256(0)
    for index in range(5):
        words[index] = rotate_left(u64, words[index], x) ^ index
        total = (total + slot.words[index]) & U256_MAX
    for index in range(3):
        slot.flags[index] = not slot.flags[index] or slot.words[index] == 0
        slot.items[index].value = (slot.items[index].value * total) & U256_MAX
        slot.items[index].kind ^= u8(x)
    item = slot.items[y % 3]
    item.value >>= x % 300
    (slot.items + 1)[1].kind = BYTES[x & 3]
    return item.value if slot.flags[1] else total


def linked(slot: Slot, q: Ptr[u8], data: bytes, x: u64, y: u64, w: u256) -> u64:
    steps = 0
    at = slot
    while not is_null(at.next):
        at = at.next
        at.words[steps % 5] = x
        steps += 1
    at.next = slot if x == y else at.next
    return steps + is_null(at.next)


def pointers_in_fields(slot: Slot, q: Ptr[u8], data: bytes, x: u64, y: u64, w: u256) -> u64:
    first = slot.table[0]
    second = 0
    slot.table[0] = slot.table[1]
    slot.table[1] = first
    slot.table[0][1] = x
    slot.item = slot.items[x % 3]
    slot.item.value = w
    slot.data += 3
    slot.data[0] = u8(y)
    second += slot.table[1][2] & 0xFF
    return u64(slot.items[x % 3].value) ^ second


def methods(slot: Slot, q: Ptr[u8], data: bytes, x: u64, y: u64, w: u256) -> u64:
    slot.charge(x)
    slot.twice += y & 0xFFFF
    slot.next.twice = slot.word(x) & 0xFFFF
    total = slot.twice + slot.next.checked
    other = slot.other()
    other.charge(total & 7)
    return (total & 0xFFFF) + other.word(y) % 1000 + slot.next.word(total) % 10


def bump(slot: Slot) -> u64:
    slot.words[0] = (slot.words[0] & 0xFFFF) + 1
    return slot.words[0]


def orders(slot: Slot, q: Ptr[u8], data: bytes, x: u64, y: u64, w: u256) -> u64:
    """Python computes what is assigned before it looks where, and the place of an augmented assignment once."""
    slot.words[1 + bump(slot) % 4] = bump(slot) * 10
    slot.words[1 + bump(slot) % 4] += bump(slot) % 100
    slot.items[bump(slot) % 3].kind = u8(bump(slot))
    chain(slot).twice = bump(slot) + 5
    chain(slot).twice += bump(slot)
    return min(bump(slot), bump(slot)) + bump(slot) // (bump(slot) + 1)


def chain(slot: Slot) -> Slot:
    slot.words[0] = (slot.words[0] & 0xFFFF) + 7
    return slot.other() if slot.words[0] % 2 else slot


def folded(m: Machine, amount: u64) -> u64:
    """What is known when it is compiled decides; what is dead there need not have sound types."""
    if m.rules.limit > 8:
        return len(amount)  # type: ignore[arg-type]
    if not m.rules.berlin or amount > m.rules.limit << 8:
        m.charge(m.rules.limit)
    return amount // m.rules.limit if m.rules.limit else len(amount)  # type: ignore[arg-type]


def constants(slot: Slot, q: Ptr[u8], data: bytes, x: u64, y: u64, w: u256) -> u256:
    limit = slot.LIMIT if w > slot.LIMIT else ORDER
    return (w % limit + folded(slot, x & 0xFFFF)) & U256_MAX


# Pointers


def elements(slot: Slot, q: Ptr[u8], data: bytes, x: u64, y: u64, w: u256) -> u512:
    base = address_of(q) & (U64_MAX - 7)
    index = x % 4
    bytes_ = pointer(u8, base)
    halves = pointer(u16, base)
    singles = pointer(u32, base)
    bools = pointer(bool, base + 8)
    signed = pointer(i64, base + 16)
    doubles = pointer(u128, base)
    addresses = pointer(u160, base)
    words = pointer(u256, base)
    wides = pointer(u512, base)
    total = u512(bytes_[index]) + halves[index] + singles[index] + bools[index] + doubles[index]
    total = (total + addresses[index] + words[index] + u64(signed[index]) + (wides[index] >> 1)) & U512_MAX
    halves[index] = u16(total)
    singles[index + 1] = u32(total >> 16)
    addresses[index] = u160(w)
    bools[x % 7] = total & 1 == 1
    signed[2] = -(i64(y & U32_MAX))
    doubles[index] = u128(w >> 7)
    wides[1] = total
    words[index] ^= w
    if bytes_[y % 256] < U8_MAX:
        bytes_[y % 256] += 1
    return total


def pointer_arithmetic(slot: Slot, q: Ptr[u8], data: bytes, x: u64, y: u64, w: u256) -> u64:
    p = pointer(u64, address_of(q) & (U64_MAX - 7))
    end = p + 10
    total = 0
    while p != end:
        total ^= p[0]
        p += 1
    p = p - (x % 10) if x > y else p
    q += x % 100
    q = q - 1 if q == q + 0 else q
    return (total ^ q[1] ^ p[0]) + (address_of(end) - address_of(p)) % 1000


def unaligned(slot: Slot, q: Ptr[u8], data: bytes, x: u64, y: u64, w: u256) -> u512:
    q += x % 61
    a = load(u16, q + 1)
    b = load(u32, q + 3)
    c = load(u64, q + 5)
    d = load(u128, q + 9)
    e = load(u160, q + 30)
    f = load(u256, q + y % 100)
    g = load(u512, q + 2)
    store(u160, q, e ^ u160(w))
    store(u8, q + 3, u8(a))
    store(u256, q + 77, byteswap(u256, f))
    store(u16, q + 7, u16(b))
    store(u64, q + 21, c)
    store(u512, q + 130, g)
    store(u128, q + 201, d)
    store(u32, q + 99, u32(x))
    return u512(g - f - e) ^ d


def moves(slot: Slot, q: Ptr[u8], data: bytes, x: u64, y: u64, w: u256) -> None:
    copy(q + x % 50, q + y % 50, x % 200)
    fill(q + y % 300, u8(x), y % 33)
    copy(q + 400, start(data), min(len(data), 40))
    copy(q, q + 1, 0)
    if not is_null(slot.next):
        copy(pointer(u8, address_of(slot.next.words)), q, 5 * 8)


# Views


def longer(first: bytes, second: bytes) -> bytes:
    return first if len(first) >= len(second) else second


@outline
def part(data: bytes, offset: u64, size: u64) -> bytes:
    if offset > len(data) or size > len(data) - offset:
        raise Halt(4)
    return view(start(data) + offset, size)


def views(slot: Slot, q: Ptr[u8], data: bytes, x: u64, y: u64, w: u256) -> bytes:
    ours = view(q, y % 50)
    both = longer(data, ours)
    inside = part(both, x % 20, y % 9)
    slot.last = inside[0] if len(inside) else 1
    slot.words[2] = len(part(inside, x & 1, 1))
    return longer(inside, data) if x & 2 else both


def sum_of(slot: Slot, q: Ptr[u8], data: bytes, x: u64, y: u64, w: u256) -> u64:
    total = 0
    for index in range(len(data)):
        total = total * 31 % 1_000_003 + data[index]
    while len(data) > 3:
        data = view(start(data) + 1, len(data) - 2)
        total += data[0]
    return total


# Tables and local arrays


def tables(slot: Slot, q: Ptr[u8], data: bytes, x: u64, y: u64, w: u256) -> u512:
    total = u512(BYTES[x % 4]) + WORDS[y % 3] + ADDRESSES[x % 3] + ADDRESSES[2]
    return (total + WIDE[y % 3] + WIDE[1] * BYTES[0]) & U512_MAX


def local_arrays(slot: Slot, q: Ptr[u8], data: bytes, x: u64, y: u64, w: u256) -> u256:
    total = u256(0)
    for index in range(3 + x % 3):
        fresh = local(u64, 4)
        total = (total * 3 + fresh[index % 4]) & U256_MAX
        fresh[index % 4] = x ^ index
        fresh[(index + 1) % 4] += y & 0xFF
        total = (total + fresh[0] + fresh[3]) & U256_MAX
    items = local(Item, 2)
    items[1].value = w
    slots = local(Slot, 1)
    one = slots[0]
    one.item = items[1]
    one.words[4] = x
    one.next = slot
    one.table[0] = one.words
    one.flag = one.next.flag
    pairs = local(Ptr[u64], 2)
    pairs[0] = one.table[0] + 4
    pairs[1] = pairs[0] - 4
    return (total + one.item.value + pairs[0][0] + pairs[1][0] + one.flag) & U256_MAX


def no_struct_elements(slot: Slot, q: Ptr[u8], data: bytes, x: u64, y: u64, w: u256) -> u256:
    """What the caller gives a callee to write to is the caller's."""
    results = local(u256, 3)
    written = square(results, w) + square(results + 1, w >> 3)
    return (results[0] ^ results[1] ^ results[2]) & (U256_MAX >> written)


@inline
def square(target: Ptr[u256], w: u256) -> u64:
    scratch = local(u512, 1)
    scratch[0] = u512(w) * w
    target[0] = u256(scratch[0])
    target[1] = u256(scratch[0] >> 256)
    return 2


# Functions and halts


def c_functions(slot: Slot, q: Ptr[u8], data: bytes, x: u64, y: u64, w: u256) -> u64:
    before = slot.run(q, x)
    q[0] = u8(before)
    return before ^ slot.next.run(q + 1, slot.run(q, y) & 0xFFFF)


def write_or_halt(slot: Slot, amount: u64) -> None:
    slot.words[3] = amount
    slot.charge(amount)
    slot.words[4] = amount


def attempt_twice(slot: Slot, amount: u64) -> None:
    slot.words[1] = attempt(write_or_halt, slot, amount)
    slot.words[2] = attempt(write_or_halt, slot.other(), amount // 2)
    if slot.words[1] and slot.words[2]:
        raise Halt(slot.words[1] + slot.words[2])


def attempts(slot: Slot, q: Ptr[u8], data: bytes, x: u64, y: u64, w: u256) -> u64:
    total = 0
    for index in range(5):
        status = attempt(attempt_twice, slot, (x >> index) & 0xFFFF)
        total = total * 100 + status
        if attempt(write_or_halt, slot, y & 0x1FFF) == 3:
            break
    if total % 7 == 3:
        write_or_halt(slot, U16_MAX)
    return total


def halts_between_writes(slot: Slot, q: Ptr[u8], data: bytes, x: u64, y: u64, w: u256) -> None:
    slot.key = w
    slot.words[0] = slot.checked + (slot.checked if x > y else 1)
    slot.charge(y)
    slot.owner = 0
    if slot.next.flag and slot.next.checked > 5:
        raise Halt(11)
    slot.last = 1


@intrinsic("one-that-nobody-has", "  ret i64 0")
@intrinsic("popcnt,sse2", "  %r = call i64 @llvm.ctpop.i64(i64 %x)\n  %s = add i64 %r, %y\n  ret i64 %s")
def ones_and(x: u64, y: u64) -> u64:
    count = 0
    while x:
        x &= x - 1
        count += 1
    return count + y


def intrinsics(slot: Slot, q: Ptr[u8], data: bytes, x: u64, y: u64, w: u256) -> u64:
    return ones_and(x, y & 0xFF) * 1000 + ones_and(u64(w), 0)


KERNELS: tuple[Callable[..., Any], ...] = (
    *(fields, embedded_arrays, linked, pointers_in_fields, methods, orders, constants),
    *(elements, pointer_arithmetic, unaligned, moves),
    *(views, sum_of, tables, local_arrays, no_struct_elements),
    *(c_functions, attempts, halts_between_writes, intrinsics),
)
ARENA: Final = 4096
OPTIONS: dict[str, Any] = {"bindings": {Machine: Slot}, "constants": {"rules": RULES}}


class Memory:
    """Random memory with two slots, the second after the first, whose pointers point into it."""

    def __init__(self) -> None:
        self.block = (ctypes.c_uint64 * (ARENA // 8))()
        self.address = ctypes.addressof(self.block)
        self.slot: Any = Slot.at(self.address, self.block)  # type: ignore[attr-defined]
        self.second: Any = Slot.at(self.address + 1024, self.block)  # type: ignore[attr-defined]
        self.bytes: Ptr[int] = Ptr(u8, self.address + 2048, self.block)
        self.run = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p, ctypes.c_uint64)(self.called)

    def called(self, address: int, amount: int) -> int:
        """What the slots' function does: it reads and writes the memory, too."""
        byte = ctypes.c_uint8.from_address(address)
        byte.value ^= amount & 0xFF
        return (amount * 3 + byte.value) & U64_MAX

    def prepare(self, rng: random.Random) -> bytes:
        """Fill it; what is then in it."""
        ctypes.memmove(self.address, rng.randbytes(ARENA), ARENA)
        for slot in (self.slot, self.second):
            slot.next = self.second
            slot.data, slot.item = self.bytes, slot.items[1]
            slot.table[0], slot.table[1] = slot.words, Ptr(u64, self.address + 2048 + 512)
            slot.run = self.run
            slot.gas = rng.choice((0, 5, 0x1000, 0x8000, 1 << 40))
            slot.count = rng.choice((0, 1, 6, U32_MAX, U32_MAX - 1))
        if rng.random() < 0.9:
            self.second.next = Slot.at(0)  # type: ignore[attr-defined]
        return self.content()

    def content(self) -> bytes:
        return ctypes.string_at(self.address, ARENA)

    def restore(self, content: bytes) -> None:
        ctypes.memmove(self.address, content, ARENA)


@pytest.fixture(scope="module", params=[frozenset(), frozenset({"popcnt", "sse2"})], ids=["plain", "intrinsics"])
def compiled(request: pytest.FixtureRequest) -> Compiled:
    return Compiled(*KERNELS, cpu_features=request.param, **OPTIONS)


def outcome(run: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return run(*arguments)
    except Halt as halt:
        return f"halted for {halt.reason}"


def arguments(rng: random.Random) -> Iterator[Any]:
    """Of the kernels, behind the pointers: data, x, y, w."""
    yield rng.randbytes(rng.choice((0, 1, 2, 7, 30, 60)))
    for bits in (64, 64, 256):
        edges = (0, 1, 2, 3, (1 << bits) - 1, 1 << (bits - 1))
        yield rng.choice(edges) if rng.random() < 0.3 else rng.getrandbits(rng.randrange(1, bits + 1))


@pytest.mark.parametrize("function", KERNELS, ids=lambda it: it.__name__)
def test_a_kernel_does_the_same_to_memory_compiled(compiled: Compiled, function: Callable[..., Any]) -> None:
    rng, memory, outcomes = random.Random(function.__name__), Memory(), set()
    for _ in range(150):
        before, given = memory.prepare(rng), (memory.slot, memory.bytes, *arguments(rng))
        if function is linked and not is_null(memory.second.next):
            continue  # which would never end
        expected = outcome(function, *given)
        written = memory.content()
        memory.restore(before)
        assert outcome(compiled, function, *given) == expected, given
        assert memory.content() == written, given
        outcomes.add((str(expected), written != before))
    assert len(outcomes) > 1 or (function is moves and outcomes == {("None", True)})


def test_an_intrinsic_stands_for_the_function_only_where_the_processor_has_it() -> None:
    ours = "call i64 @llvm.ctpop.i64(i64 %x)"
    assert ours in Compiled(ones_and, cpu_features=frozenset({"popcnt", "sse2", "avx"})).ir
    assert ours not in Compiled(ones_and, cpu_features=frozenset({"popcnt"})).ir


def test_null_is_null_in_both() -> None:
    kernels = Compiled(is_nothing)
    for address in (0, 8):
        slot = Slot.at(address)  # type: ignore[attr-defined]
        assert kernels(is_nothing, slot, Ptr(u64, address)) == is_nothing(slot, Ptr(u64, address)) == (address == 0)


def is_nothing(slot: Slot, p: Ptr[u64]) -> bool:
    return is_null(slot) and is_null(p) and p == pointer(u64, 0)
