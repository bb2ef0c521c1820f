"""Kernels that generated code calls for the state and the ledger: slots, transactions and their undo log.

They refuse what the interpreter is to do: then they have changed nothing that it could see.
"""

from __future__ import annotations

from vmloom.kernel import Ptr, i64, outline, pointer, u64, unlikely

from .layout import (
    APPEND,
    INT,
    LEDGER_ROOM,
    MARKS_ROOM,
    NONE,
    READ,
    UNDO_ROOM,
    UNSET,
    WHAT_BITS,
    WRITE,
    Cell,
    Run,
)


@outline
def need(run: Run, what: u64, which: u64) -> bool:
    """Ask Python for what native code needs; whether native code may go on."""
    return run.need(which << WHAT_BITS | what) != 0


@outline
def read(run: Run, number: u64) -> u64:
    """The kind of a slot's value, which Python reads if it was not read yet; 0 if native code cannot have it."""
    slot = run.slots[number]
    if slot.kind == UNSET:
        need(run, READ, number)
    return slot.kind if slot.kind >= INT and slot.kind <= NONE else 0


def write(run: Run, number: u64, kind: u64, word: i64) -> bool:
    """Write a slot, and save what it was if that is its first time in this transaction. False if it may not be."""
    if run.open == 0 and run.writable == 0:
        return False
    slot = run.slots[number]
    if unlikely(slot.writable == 0) and not need(run, WRITE, number):
        return False
    if run.open != 0 and slot.stamp != run.stamp:
        if unlikely(run.undone >= UNDO_ROOM):
            return False
        saved = run.undo[run.undone]
        saved.slot = number
        saved.kind = slot.kind
        saved.word = slot.word
        saved.dirty = slot.dirty
        run.undone += 1
        slot.stamp = run.stamp
    if slot.dirty == 0:
        slot.dirty = 1
        slot.order = run.order
        run.order += 1
    slot.kind = kind
    slot.word = word
    return True


def begin(run: Run) -> bool:
    """Begin a transaction. False if too many are open."""
    if unlikely(run.open >= MARKS_ROOM):
        return False
    mark = run.marks[run.open]
    mark.undone = run.undone
    mark.appended = run.appended
    mark.stamp = run.stamp
    run.stamps += 1
    run.stamp = run.stamps
    run.open += 1
    return True


def commit(run: Run) -> bool:
    """Let what the innermost transaction did be part of the one around it. False if native code opened none."""
    if run.open == 0:
        return False
    run.open -= 1
    run.stamp = run.marks[run.open].stamp
    if run.open == 0:
        run.undone = 0
    return True


def revert(run: Run) -> bool:
    """Undo what the innermost transaction did. False if native code opened none."""
    if run.open == 0:
        return False
    run.open -= 1
    mark = run.marks[run.open]
    run.appended = mark.appended
    run.stamp = mark.stamp
    while run.undone > mark.undone:
        run.undone -= 1
        saved = run.undo[run.undone]
        slot = run.slots[saved.slot]
        slot.kind = saved.kind
        slot.word = saved.word
        slot.dirty = saved.dirty
    return True


def append(run: Run, check: u64) -> Ptr[Cell]:
    """The cell of a new entry of the ledger; null if there is no room or the ledger refuses it.

    `check` is the number of a constant or, above those, of all integers and of all digests.
    """
    if unlikely(run.checked[check] == 0) and not need(run, APPEND, check):
        return pointer(Cell, 0)
    if unlikely(run.appended >= LEDGER_ROOM):
        return pointer(Cell, 0)
    run.appended += 1
    return run.ledger + (run.appended - 1)
