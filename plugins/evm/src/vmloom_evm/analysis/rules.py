"""The rules by which code is made shorter or cheaper, each a function of neighbouring instructions of one block.

A rule looks at a window of instructions and says what stands there instead, or nothing. None of them changes what the
code does: results, memory, storage, logs and their order; gas only falls. What pushes a jump's target is a `label` and
is never computed with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, TypeAlias

from vmloom.kernel import U256_MAX

from ..table import OpKind, OpRow

POP: Final = "POP"
_SYMMETRIC: Final = frozenset(("ADD", "MUL", "AND", "OR", "XOR", "EQ"))
"""x op y is y op x."""
_INVOLUTIONS: Final = frozenset(("NOT",))
"""Twice is nothing."""
_BOOLEAN: Final = frozenset(("ISZERO", "EQ", "LT", "GT", "SLT", "SGT"))
"""Makes 0 or 1."""
_NEUTRAL: Final = {"ADD": 0, "OR": 0, "XOR": 0, "MUL": 1, "AND": U256_MAX, "SHL": 0, "SHR": 0, "SAR": 0}
"""With this constant on top they leave the item below as it is."""


@dataclass(frozen=True, slots=True)
class Op:
    """An instruction on its way to new code. `label` is the offset in the original that its constant stands for."""

    row: OpRow
    value: int | None = None
    label: int | None = None
    offset: int = field(default=0, compare=False)
    """In the original."""

    @property
    def name(self) -> str:
        """Of the instruction; PUSH for every size of it."""
        return "PUSH" if self.row.kind is OpKind.PUSH else self.row.name

    @property
    def is_constant(self) -> bool:
        """Whether it pushes a number that no jump uses."""
        return self.row.kind is OpKind.PUSH and self.label is None


class Pushes:
    """The pushes that a fork has."""

    def __init__(self, rows: Mapping[int, OpRow]) -> None:
        self._rows: Final = {row.immediate: row for row in rows.values() if row.kind is OpKind.PUSH}

    def of(self, value: int, offset: int) -> Op:
        """The shortest push of `value`."""
        size = (value.bit_length() + 7) // 8
        return Op(self._rows[size] if size in self._rows else self._rows[max(size, 1)], value, None, offset)


Window: TypeAlias = Sequence[Op]
Change: TypeAlias = tuple[int, Sequence[Op]]
"""How many instructions go, and what comes in their place."""
Rule: TypeAlias = Callable[[Window, Pushes], Change | None]


def drop_unused(window: Window, _pushes: Pushes) -> Change | None:
    """PUSH or DUP, then POP: nothing. SWAP1 POP POP: POP POP."""
    names = [op.name for op in window[:3]]
    if len(window) > 1 and names[1] == POP and (names[0] == "PUSH" or window[0].row.kind is OpKind.DUP):
        return 2, ()
    return (3, window[1:3]) if names == ["SWAP1", POP, POP] else None


def cancel_pairs(window: Window, _pushes: Pushes) -> Change | None:
    """An exchange or a NOT twice: nothing. ISZERO of ISZERO of what is 0 or 1: that."""
    names = [op.name for op in window[:3]]
    if len(window) > 1 and names[0] == names[1] and (window[0].row.kind is OpKind.SWAP or names[0] in _INVOLUTIONS):
        return 2, ()
    if len(window) > 2 and names[0] in _BOOLEAN and names[1:] == ["ISZERO", "ISZERO"]:
        return 3, window[:1]
    return None


def order_operands(window: Window, _pushes: Pushes) -> Change | None:
    """SWAP1 before what takes its operands in any order: without the SWAP1."""
    if len(window) > 1 and window[0].name == "SWAP1" and window[1].name in _SYMMETRIC:
        return 2, window[1:2]
    return None


def fold_constants(window: Window, pushes: Pushes) -> Change | None:
    """Arithmetic on constants: the result, unless its push is longer than what it replaces."""
    for count in (1, 2, 3):
        if len(window) > count and all(op.is_constant for op in window[:count]):
            row = window[count].row
            if row.pops == count and _is_pure(row):
                assert row.function is not None
                operands = [op.value for op in reversed(window[:count])]
                folded = pushes.of(int(row.function(*operands)) & U256_MAX, window[0].offset)
                return (count + 1, (folded,)) if _size((folded,)) <= _size(window[: count + 1]) else None
    return None


def drop_neutral(window: Window, _pushes: Pushes) -> Change | None:
    """A constant that leaves the other operand as it is, and its instruction: nothing."""
    if len(window) > 1 and window[0].is_constant and window[0].value == _NEUTRAL.get(window[1].name, -1):
        return 2, ()
    return None


def jump_on_number(window: Window, _pushes: Pushes) -> Change | None:
    """ISZERO ISZERO before a conditional jump: the jump, which asks for not zero by itself."""
    names = [op.name for op in window[:4]]
    if names == ["ISZERO", "ISZERO", "PUSH", "JUMPI"]:
        return 2, ()
    return None


def shorten_pushes(window: Window, pushes: Pushes) -> Change | None:
    """A push with leading zeros: the shortest one."""
    if window and window[0].is_constant:
        assert window[0].value is not None
        shorter = pushes.of(window[0].value, window[0].offset)
        if shorter.row.immediate < window[0].row.immediate:
            return 1, (shorter,)
    return None


WINDOW: Final = 4
"""Instructions that a rule may look at."""
PEEPHOLES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        "drop-unused": drop_unused,
        "cancel-pairs": cancel_pairs,
        "order-operands": order_operands,
        "fold-constants": fold_constants,
        "drop-neutral": drop_neutral,
        "jump-on-number": jump_on_number,
        "shorten-pushes": shorten_pushes,
    }
)
"""Rules on neighbouring instructions, in the order in which they are tried."""


def _is_pure(row: OpRow) -> bool:
    """Whether the result follows from the operands alone, and costs nothing that depends on them."""
    return row.kind is OpKind.VALUE and row.pushes == 1 and not row.takes_machine and row.function is not None


def _size(ops: Sequence[Op]) -> int:
    return sum(1 + op.row.immediate for op in ops)
