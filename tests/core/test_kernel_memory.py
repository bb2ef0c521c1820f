"""Pointers, structs and tables of the kernel language as CPython runs them."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Callable
from typing import Any, ClassVar, Final, Protocol

import pytest
from vmloom.kernel import (
    Ptr,
    address_of,
    copy,
    embedded,
    fields_of,
    fill,
    i64,
    is_null,
    load,
    local,
    size_of,
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
from vmloom.kernel import pointer as at
from vmloom.kernel.memory import FunctionKind

PRIMES: Final = table(u32, (2, 3, 5, 7))


class Machine(Protocol):
    address: u160

    def double(self) -> u256: ...


@struct
class Slot:
    """A struct with a field of each kind."""

    KNOWN: ClassVar[int] = 7

    flag: bool
    small: u16
    count: u32
    balance: i64
    key: u256
    owner: u160
    words: Ptr[u64] = embedded(3)
    next: Slot
    data: Ptr[u8]
    other: Other
    others: Ptr[Other] = embedded(2)
    run: Callable[[Ptr[u8], u64], u64]
    last: u8

    def sum(self) -> u64:
        """Of the embedded words."""
        return self.words[0] + self.words[1] + self.words[2]

    @property
    def twice(self) -> u64:
        """Twice the count."""
        return self.count * 2

    @twice.setter
    def twice(self, value: u64) -> None:
        self.count = value // 2


@struct
class Other:
    size: u64
    fields: u8
    at: u128


@struct
class Account(Machine):
    address: u160
    balance: u256

    def double(self) -> u256:
        return self.balance * 2


@pytest.mark.parametrize(
    ("kind", "size"),
    [(u8, 1), (bool, 1), (u16, 2), (u32, 4), (u64, 8), (i64, 8), (u128, 16), (u160, 24), (u256, 32), (u512, 64)],
)
def test_elements_have_the_documented_sizes(kind: Any, size: int) -> None:
    assert size_of(kind) == size
    pointer = local(kind, 2)
    assert (pointer + 1).address - pointer.address == size


@pytest.mark.parametrize("kind", [u8, u16, u32, u64, u128, u160, u256, u512])
def test_unsigned_elements_keep_every_value_and_refuse_others(kind: Any) -> None:
    pointer = local(kind, 3)
    pointer[1] = kind(-1)
    assert [pointer[0], pointer[1], pointer[2]] == [0, kind(-1), 0]
    with pytest.raises(OverflowError):
        pointer[1] = kind(-1) + 1
    with pytest.raises(OverflowError):
        pointer[1] = -1


def test_u160_is_zero_extended_in_memory() -> None:
    pointer = local(u160, 1)
    fill(Ptr(u8, pointer.address), 0xFF, 24)
    pointer[0] = 1
    assert view(Ptr(u8, pointer.address), 24) == b"\1" + bytes(23)


def test_signed_and_boolean_elements() -> None:
    numbers, flags = local(i64, 1), local(bool, 1)
    numbers[0], flags[0] = -5, True
    assert numbers[0] == -5
    assert flags[0] is True
    numbers[0] -= 10
    assert numbers[0] == -15


def test_pointer_arithmetic_moves_by_elements() -> None:
    pointer = local(u32, 8)
    pointer[3] = 9
    assert (pointer + 5 - 2)[0] == 9
    assert pointer + 5 - 5 == pointer
    assert len({pointer, pointer + 0}) == 1
    assert at(u32, pointer.address + 12)[0] == 9


def test_load_and_store_are_unaligned_and_little_endian() -> None:
    memory = local(u8, 40)
    store(u256, memory + 3, 0x0102)
    assert [memory[3], memory[4]] == [2, 1]
    assert load(u256, memory + 3) == 0x0102
    assert load(u16, memory + 4) == 1
    store(u160, memory, (1 << 160) - 1)
    assert memory[20] == 0


def test_copy_may_overlap() -> None:
    memory = local(u8, 8)
    store(u64, memory, 0x0807060504030201)
    copy(memory + 2, memory, 6)
    assert view(memory, 8) == bytes([1, 2, 1, 2, 3, 4, 5, 6])


def test_views_remember_where_they_came_from() -> None:
    memory = local(u8, 4)
    fill(memory, 7, 4)
    seen = view(memory + 1, 2)
    assert (len(seen), seen[0]) == (2, 7)
    assert start(seen) == memory + 1


def test_start_of_python_bytes_points_to_them() -> None:
    pointer = start(bytes(range(10)))
    assert [pointer[0], pointer[9]] == [0, 9]


def test_layout_follows_the_declaration() -> None:
    assert {name: it.offset for name, it in fields_of(Slot).items()} == {
        "flag": 0,
        "small": 2,
        "count": 4,
        "balance": 8,
        "key": 16,
        "owner": 48,
        "words": 72,
        "next": 96,
        "data": 104,
        "other": 112,
        "others": 120,
        "run": 184,
        "last": 192,
    }
    kind: Any = Slot
    assert (kind.size, size_of(Slot), size_of(Other)) == (200, 200, 32)
    assert kind.fields["words"].count == 3
    assert kind.fields["words"].kind is Ptr[u64]
    assert kind.fields["next"].kind is Slot
    assert kind.fields["next"].count == 0


def test_attributes_read_and_write_memory() -> None:
    slot = local(Slot, 1)[0]
    slot.flag, slot.small, slot.count, slot.balance, slot.key = True, 1, 2, -3, 1 << 255
    slot.owner = (1 << 160) - 1
    slot.last = 255
    slot.words[2] = 40
    slot.words[0] = 2
    again = Ptr(Slot, address_of(slot))[0]
    assert (again.flag, again.small, again.count, again.balance, again.key) == (True, 1, 2, -3, 1 << 255)
    assert (again.owner, again.last, again.sum(), again.twice) == ((1 << 160) - 1, 255, 42, 4)
    again.twice = 100
    assert slot.count == 50
    assert load(u32, Ptr(u8, address_of(slot) + 4)) == 50


def test_pointers_in_fields() -> None:
    slots = local(Slot, 2)
    first, second = slots[0], slots[1]
    assert is_null(first.next)
    assert is_null(first.data)
    first.next = second
    first.next.count = 6
    assert second.count == 6
    assert not is_null(first.next)
    first.others[1].size = 8
    assert load(u64, Ptr(u8, address_of(first) + 152)) == 8
    assert first.others[1].size == 8


def test_local_memory_lives_while_local_memory_points_to_it() -> None:
    slot = local(Slot, 1)[0]
    slot.data = local(u8, 100_000)
    fill(slot.data, 7, 100_000)
    blocks = [local(u8, 100_000) for _ in range(8)]
    assert view(slot.data, 100_000) == bytes([7]) * 100_000
    assert len(blocks) == 8


def test_field_names_do_not_collide_with_the_class() -> None:
    other = local(Other, 1)[0]
    other.size, other.fields, other.at = 1, 2, 3
    assert (other.size, other.fields, other.at, size_of(Other)) == (1, 2, 3, 32)


def test_a_struct_implements_a_protocol() -> None:
    account = local(Account, 1)[0]
    account.address, account.balance = 5, 21
    machine: Machine = account
    assert (machine.double(), machine.address) == (42, 5)
    assert address_of(account) != 5


def test_functions_in_fields_are_called_as_c_functions() -> None:
    def total(data: Ptr[u8], size: u64) -> u64:
        return sum(view(data, size))

    slot = local(Slot, 1)[0]
    slot.run = total
    memory = local(u8, 3)
    fill(memory, 5, 3)
    assert slot.run(memory, 3) == 15
    assert repr(fields_of(Slot)["run"].kind) == "Callable[[Ptr[u8], u64], u64]"

    prototype = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p, ctypes.c_uint64)
    given = prototype(lambda _, size: size + 1)
    slot.run = given
    assert slot.run(memory, 3) == 4
    kind = fields_of(Slot)["run"].kind
    assert isinstance(kind, FunctionKind)
    assert (kind.parameters, kind.result) == ((Ptr[u8], u64), u64)


def test_structs_that_cannot_be() -> None:
    slot: Any = local(Slot, 1)[0]
    with pytest.raises(AttributeError):
        slot.sise = 1
    with pytest.raises(TypeError, match="embedded array"):
        slot.words = local(u64, 3)
    with pytest.raises(TypeError, match="Slot is a struct"):
        Slot()
    with pytest.raises(TypeError, match="cannot be assigned"):
        local(Slot, 2)[0] = slot
    with pytest.raises(ValueError, match="at least 1"):
        embedded(0)
    with pytest.raises(TypeError, match="inherits"):

        @struct
        class _Longer(Slot):
            more: u8

    @struct
    class _Odd:
        name: str

    with pytest.raises(TypeError, match=r"_Odd\.name: .*str.* is not an unsigned integer type"):
        size_of(_Odd)

    @struct
    class _Preset:
        count: u64 = 3

    with pytest.raises(TypeError, match=r"_Preset\.count: a field has no default value"):
        size_of(_Preset)


def test_tables_are_constant_and_checked() -> None:
    assert PRIMES[3] == 7
    assert PRIMES.kind is u32
    with pytest.raises(IndexError):
        PRIMES[4]
    with pytest.raises(ValueError, match="256 is not a u8"):
        table(u8, (256,))


def test_importing_the_markers_does_not_load_ctypes() -> None:
    program = "import sys; before = set(sys.modules); from vmloom.kernel import halt, inline, bits, u64, byteswap;"
    program += "sys.exit('vmloom.kernel.memory' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
