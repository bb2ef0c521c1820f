"""What WebAssembly instructions cost: tables by group of opcodes, with exceptions by opcode.

`blocks` sums a table over a stretch of code and `instrument` writes the sums into the module. A table is data: it
knows nothing of modules. Keys of opcodes are those of `binary.opcodes`: the first byte, or 0xFC00 | n after the
prefix 0xFC.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Final

from vmloom.errors import ConfigError

from ..binary import opcodes


class PriceGroup(Enum):
    """Instructions that take about the same time; each has one price in a table."""

    STRUCTURE = "structure"
    """`unreachable`, `nop`, `block`, `loop`, `else`, `end`: no machine code of their own."""
    BRANCH = "branch"
    BRANCH_TABLE = "branch_table"
    CALL = "call"
    CALL_INDIRECT = "call_indirect"
    LOCAL = "local"
    """Locals, `drop` and `select`."""
    GLOBAL = "global"
    CONSTANT = "constant"
    REFERENCE = "reference"
    TABLE = "table"
    """Reading or writing one element of a table, and its size."""
    LOAD = "load"
    STORE = "store"
    MEMORY_SIZE = "memory_size"
    INTEGER = "integer"
    """Integer arithmetic, logic, comparisons, and changes of width."""
    MULTIPLY = "multiply"
    DIVIDE = "divide"
    COUNT_BITS = "count_bits"
    FLOAT = "float"
    FLOAT_DIVIDE = "float_divide"
    """Division and square root."""
    FLOAT_CONVERT = "float_convert"
    GROW = "grow"
    """`memory.grow` and `table.grow`, before what they add."""
    BULK = "bulk"
    """`memory.copy` and its like, before what they move; also `data.drop` and `elem.drop`."""


def _group_by_opcode() -> Mapping[int, PriceGroup]:
    """The group of every opcode of the MVP, sign extension, saturating conversions, bulk memory and references."""
    members: dict[PriceGroup, Iterable[int]] = {
        PriceGroup.STRUCTURE: (0x00, 0x01, 0x02, 0x03, 0x05, 0x0B),
        PriceGroup.BRANCH: (0x04, 0x0C, 0x0D, 0x0F),
        PriceGroup.BRANCH_TABLE: (0x0E,),
        PriceGroup.CALL: (0x10,),
        PriceGroup.CALL_INDIRECT: (0x11,),
        PriceGroup.LOCAL: (0x1A, 0x1B, 0x1C, 0x20, 0x21, 0x22),
        PriceGroup.GLOBAL: (0x23, 0x24),
        PriceGroup.TABLE: (0x25, 0x26, 0xFC10),
        PriceGroup.LOAD: range(0x28, 0x36),
        PriceGroup.STORE: range(0x36, 0x3F),
        PriceGroup.MEMORY_SIZE: (0x3F,),
        PriceGroup.GROW: (0x40, 0xFC0F),
        PriceGroup.CONSTANT: range(0x41, 0x45),
        PriceGroup.INTEGER: (
            *range(0x45, 0x5B),
            *(0x6A, 0x6B, *range(0x71, 0x79)),
            *(0x7C, 0x7D, *range(0x83, 0x8B)),
            *(0xA7, 0xAC, 0xAD, *range(0xC0, 0xC5)),
        ),
        PriceGroup.COUNT_BITS: (*range(0x67, 0x6A), *range(0x79, 0x7C)),
        PriceGroup.MULTIPLY: (0x6C, 0x7E),
        PriceGroup.DIVIDE: (*range(0x6D, 0x71), *range(0x7F, 0x83)),
        PriceGroup.FLOAT: (
            *range(0x5B, 0x67),
            *(*range(0x8B, 0x91), 0x92, 0x93, 0x94, 0x96, 0x97, 0x98),
            *(*range(0x99, 0x9F), 0xA0, 0xA1, 0xA2, 0xA4, 0xA5, 0xA6),
        ),
        PriceGroup.FLOAT_DIVIDE: (0x91, 0x95, 0x9F, 0xA3),
        PriceGroup.FLOAT_CONVERT: (*range(0xA8, 0xAC), *range(0xAE, 0xC0), *range(0xFC00, 0xFC08)),
        PriceGroup.REFERENCE: (0xD0, 0xD1, 0xD2),
        PriceGroup.BULK: (*range(0xFC08, 0xFC0F), 0xFC11),
    }
    return MappingProxyType({code: group for group, codes in members.items() for code in codes})


GROUP_BY_OPCODE: Final = _group_by_opcode()
"""The group of each opcode that can be metered; others (threads, SIMD, tail calls, exceptions) have no price."""

LARGEST_COST: Final = (1 << 31) - 1
"""The largest price of one thing, in units: with it no product with a 32-bit size passes 63 bits."""

# `loop` and `end` are where control may come in, after the others it may be elsewhere: no straight line goes past them.
_SPLITTING = frozenset((0x03, 0x04, 0x05, 0x0B, 0x0C, 0x0D, 0x0E, 0x0F))


@dataclass(frozen=True, slots=True)
class Linear:
    """A price that grows with a size: `cost` units for each begun 2^`shift` of bytes, elements or pages."""

    cost: int
    shift: int = 0

    def of(self, size: int) -> int:
        """The price in units of `size` >= 0 bytes, elements or pages."""
        return (size + (1 << self.shift) - 1 >> self.shift) * self.cost


@dataclass(frozen=True, slots=True)
class WasmGasCosts:
    """A gas table, in units of its own.

    `groups` prices each group and `opcodes` single opcodes instead. `per_local` is paid at each entry of a function
    for each declared local after the first `free_locals` (parameters are not declared locals). `sizes` prices what
    bulk instructions move, by opcode, beside their fixed price. `ends` holds the opcodes that close a metered block;
    with `pays_ahead`, so does `unreachable`. A block is paid before its first instruction, or with `pays_ahead` False
    before its last one: the total of a run that returns is the same, that of one that traps is not.

    Raises `ConfigError` for a price outside 0..`LARGEST_COST`, or a free branch or call: such code could run forever.
    """

    name: str
    groups: Mapping[PriceGroup, int]
    opcodes: Mapping[int, int] = field(default_factory=dict)
    per_local: int = 0
    free_locals: int = 0
    sizes: Mapping[int, Linear] = field(default_factory=dict)
    ends: frozenset[int] = _SPLITTING
    pays_ahead: bool = True

    def __post_init__(self) -> None:
        prices = [*self.groups.values(), *self.opcodes.values(), self.per_local, *(x.cost for x in self.sizes.values())]
        for price in prices:
            if not 0 <= price <= LARGEST_COST:
                raise ConfigError(f"gas table {self.name}: {price} is outside 0..{LARGEST_COST}")
        if missing := [group.value for group in PriceGroup if group not in self.groups]:
            raise ConfigError(f"gas table {self.name}: no price for {', '.join(missing)}")
        for code in (0x0C, 0x0D, 0x0E, 0x10, 0x11):
            if not self.of(code):
                raise ConfigError(f"gas table {self.name}: {opcodes.OPCODES[code].name} must not be free")
        if not self.ends >= _SPLITTING:
            raise ConfigError(f"gas table {self.name}: a block must end wherever control may leave or enter")

    def of(self, code: int) -> int:
        """The fixed price in units of an opcode; KeyError for one that can not be metered."""
        price = self.opcodes.get(code)
        return self.groups[GROUP_BY_OPCODE[code]] if price is None else price

    def by_opcode(self) -> Mapping[int, int]:
        """The fixed price of every opcode that can be metered."""
        return {code: self.of(code) for code in GROUP_BY_OPCODE}

    def locals_surcharge(self, declared: int) -> int:
        """What entering a function with this many declared locals costs, in units."""
        return max(0, declared - self.free_locals) * self.per_local


DEFAULT: Final = WasmGasCosts(
    "default",
    # One unit is about a quarter of a nanosecond of compiled code on a current machine.
    groups={
        PriceGroup.STRUCTURE: 0,
        PriceGroup.BRANCH: 6,
        PriceGroup.BRANCH_TABLE: 12,
        PriceGroup.CALL: 20,
        PriceGroup.CALL_INDIRECT: 40,
        PriceGroup.LOCAL: 1,
        PriceGroup.GLOBAL: 3,
        PriceGroup.CONSTANT: 1,
        PriceGroup.REFERENCE: 2,
        PriceGroup.TABLE: 8,
        PriceGroup.LOAD: 6,
        PriceGroup.STORE: 5,
        PriceGroup.MEMORY_SIZE: 4,
        PriceGroup.INTEGER: 1,
        PriceGroup.MULTIPLY: 4,
        PriceGroup.DIVIDE: 30,
        PriceGroup.COUNT_BITS: 4,
        PriceGroup.FLOAT: 12,
        PriceGroup.FLOAT_DIVIDE: 24,
        PriceGroup.FLOAT_CONVERT: 8,
        PriceGroup.GROW: 10_000,
        PriceGroup.BULK: 80,
    },
    per_local=1,
    free_locals=8,
    sizes={
        0x40: Linear(200_000),
        0xFC08: Linear(1, 3),
        0xFC0A: Linear(1, 3),
        0xFC0B: Linear(1, 3),
        0xFC0C: Linear(8),
        0xFC0E: Linear(8),
        0xFC0F: Linear(8),
        0xFC11: Linear(8),
    },
)
"""The table of vmloom's own contracts."""

_COSMWASM_BRANCHES = _SPLITTING | {0x10, 0x11}

COSMWASM: Final = WasmGasCosts(
    "cosmwasm",
    # CosmWasm 3: 115 for an instruction, 14 times as much where Wasmer's metering closes a block.
    groups=dict.fromkeys(PriceGroup, 115),
    opcodes=dict.fromkeys(_COSMWASM_BRANCHES, 115 * 14),
    per_local=115,
    free_locals=29,
    sizes={},
    ends=_COSMWASM_BRANCHES,
    pays_ahead=False,
)
"""The table of CosmWasm 3, block by block as there. CosmWasm runs no bulk instructions: they cost 115 whatever they
move, so refuse them beside this table."""

TABLES: Final[Mapping[str, WasmGasCosts]] = MappingProxyType({table.name: table for table in (DEFAULT, COSMWASM)})
"""The tables that ship, by name."""
