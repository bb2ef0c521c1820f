"""What native code did to the state and the ledger, done again through the `TransactionStack` when it leaves.

Native code keeps the last value of each key in a slot, and, per open transaction, what the slots held before. Nothing
that is written through can fail, for it was checked when it was written first.
"""

from __future__ import annotations

from collections.abc import Sequence

from vmloom.errors import StateError

from ...errors import ProzError
from ...runtime.transactions import TransactionStack
from ...values import Value
from . import layout as at
from .facts import INT_MAX, INT_MIN
from .layout import BOOL, CELL, FOREIGN, INT, NONE, UNSET
from .memory import Memory


def load(memory: Memory, transactions: TransactionStack, keys: Sequence[str], slot: int) -> bool:
    """Read a key into its slot. False for what native code leaves to the interpreter, errors included."""
    place = memory.begin[at.SLOTS] + slot * at.SLOT
    words = memory.words
    try:
        value = transactions.read(keys[slot])
    except (ProzError, StateError):
        words[place] = FOREIGN
        return False
    if type(value) is int and INT_MIN <= value <= INT_MAX:
        words[place], words[place + at.SLOT_WORD] = INT, value
    elif type(value) is bool:
        words[place], words[place + at.SLOT_WORD] = BOOL, value
    elif value is None:
        words[place], words[place + at.SLOT_WORD] = NONE, 0
    else:
        words[place] = FOREIGN
        return False
    return True


def may_write(memory: Memory, transactions: TransactionStack, slot: int) -> bool:
    """Whether an integer may be written: an account that must not change refuses it, and the interpreter says so."""
    try:
        transactions.check(0)
    except (ProzError, StateError):
        return False
    memory.words[memory.begin[at.SLOTS] + slot * at.SLOT + at.SLOT_WRITABLE] = 1
    return True


def may_append(memory: Memory, transactions: TransactionStack, which: int) -> bool:
    """Whether the ledger takes a constant, any small integer or any digest."""
    scalars: dict[int, Value] = {memory.constants: 0, memory.constants + 1: "0" * 64}
    try:
        transactions.stamp(scalars[which] if which in scalars else memory.objects[which])
    except (ProzError, StateError):
        return False
    memory.words[memory.begin[at.CHECKED] + which] = 1
    return True


def prepare(memory: Memory, transactions: TransactionStack, *, strict: bool) -> None:
    """Before native code begins: no key is known, no transaction is its own."""
    words = memory.words
    words[at.UNDONE] = words[at.OPEN] = words[at.APPENDED] = words[at.STAMP] = words[at.ORDER] = 0
    words[at.WRITABLE] = transactions.depth > 0 or not strict


def write_through(memory: Memory, transactions: TransactionStack, keys: Sequence[str]) -> None:
    """Bring the transactions up to date: what is done for good first, then each open transaction."""
    words = memory.words
    levels = words[at.OPEN]
    written, marks = _levels(memory, levels)
    if written[0] or marks[0]:
        transactions.begin()
        _replay(memory, transactions, keys, written[0], range(marks[0]))
        transactions.commit()
    for level in range(1, levels + 1):
        transactions.begin()
        _replay(memory, transactions, keys, written[level], range(marks[level - 1], marks[level]))
    first = memory.begin[at.SLOTS]
    for slot in range(memory.slots):
        place = first + slot * at.SLOT
        words[place] = UNSET
        words[place + at.SLOT_DIRTY] = words[place + at.SLOT_STAMP] = 0


def _levels(memory: Memory, levels: int) -> tuple[list[dict[int, tuple[int, int]]], list[int]]:
    """By how deep: (kind, word) of the slots that were written there, at its end; and where its ledger's entries end.

    Goes back from the present through the undo log.
    """
    words = memory.words
    first = memory.begin[at.SLOTS]
    now: dict[int, tuple[int, int, int]] = {}
    for slot in range(memory.slots):
        place = first + slot * at.SLOT
        if words[place + at.SLOT_DIRTY]:
            now[slot] = words[place], words[place + at.SLOT_WORD], 1
    written: list[dict[int, tuple[int, int]]] = [{} for _ in range(levels + 1)]
    ends = [0] * levels + [words[at.APPENDED]]
    top = words[at.UNDONE]
    for level in range(levels, 0, -1):
        mark = memory.begin[at.MARKS] + (level - 1) * at.MARK
        bottom, ends[level - 1] = words[mark], words[mark + 1]
        end = dict(now)
        for entry in range(top - 1, bottom - 1, -1):
            place = memory.begin[at.UNDO] + entry * at.UNDO_ENTRY
            slot, kind, word, dirty = words[place : place + at.UNDO_ENTRY]
            written[level][slot] = end[slot][:2]
            now[slot] = kind, word, dirty
        top = bottom
    written[0] = {slot: (kind, word) for slot, (kind, word, dirty) in now.items() if dirty}
    return written, ends


def _replay(
    memory: Memory,
    transactions: TransactionStack,
    keys: Sequence[str],
    written: dict[int, tuple[int, int]],
    entries: range,
) -> None:
    words, first = memory.words, memory.begin[at.SLOTS]
    for slot in sorted(written, key=lambda slot: words[first + slot * at.SLOT + at.SLOT_ORDER]):
        kind, word = written[slot]
        transactions.write(keys[slot], bool(word) if kind == BOOL else word)
    if entries:
        ledger = memory.begin[at.LEDGER]
        transactions.append_all([memory.get(ledger + entry * CELL) for entry in entries])
