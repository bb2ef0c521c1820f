"""What kernels, generated code and Python all know: kinds of values by number, and where things are in a run's memory.

A *cell* holds a value: its kind, and one word, or the four of a digest. Everything is in words of 64 bits, and Python
reads and writes it as such, for a memoryview is quicker than a field: each number below that says where something is
comes from the structs, in words.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from vmloom.kernel import Ptr, embedded, fields_of, i64, size_of, struct, u8, u64

# Kinds

UNSET: Final = 0
"""A register that nothing was stored in; a slot that was not read yet."""
INT: Final = 1
"""A signed integer of 64 bits."""
BOOL: Final = 2
"""0 or 1."""
NONE: Final = 3
"""Its word is 0."""
DIGEST: Final = 4
"""The string of 64 hexadecimal digits that HASH_BLOCK makes, as the 32 bytes that it stands for."""
OBJECT: Final = 5
"""Any other value: its number among the objects of the run, which begin with the program's constants."""
ANY: Final = 7
"""Known when it runs. Never in memory."""
LIST: Final = 8
"""Items that BUILD_LIST took. In memory it is followed by the cells of the items; only on the stack of a frame."""
MAP: Final = 9
"""The same of BUILD_MAP; its word counts keys and values."""
FOREIGN: Final = 10
"""A slot whose value or whose writing is left to the interpreter."""
LEFT: Final = 255
"""What a function returns instead of a kind when the interpreter is to go on."""

# Rooms

UNDO_ROOM: Final = 4096
MARKS_ROOM: Final = 256
LEDGER_ROOM: Final = 4096
SCRATCH_ROOM: Final = 4096
"""bytes"""

# What is asked of Python

WHAT_BITS: Final = 2
POLL: Final = 0
READ: Final = 1
WRITE: Final = 2
APPEND: Final = 3

MAX_PRICE: Final = 1 << 61
"""Gas of the instructions of one block; beyond it the interpreter counts."""
TURNS: Final = 1 << 20
"""Loop turns and calls between two polls."""
FRAME_HEAD: Final = 4
"""Words of a frame that is left, before its registers: function, instruction, values on the stack, words of it all."""


@struct
class Cell:
    """A value."""

    kind: u64
    words: Ptr[i64] = embedded(4)


@struct
class Slot:
    """What native code knows of a key of the state."""

    kind: u64
    word: i64
    dirty: u64
    """Whether it was written."""
    stamp: u64
    """The transaction in which it was saved last."""
    writable: u64
    """Whether Python has said that it may be written."""
    order: u64
    """How many others were written before it."""
    spare: Ptr[u64] = embedded(2)


@struct
class Undone:
    """An entry of the undo log: what a slot was before a transaction wrote it first."""

    slot: u64
    kind: u64
    word: i64
    dirty: u64


@struct
class Mark:
    """Where a transaction began."""

    undone: u64
    """Entries of the undo log."""
    appended: u64
    """Entries of the ledger."""
    stamp: u64
    """The transaction around it."""
    spare: u64


@struct
class Run:
    """The head of the memory of a run."""

    gas: i64
    entry: u64
    """Where to begin: a number from `Program.entries`."""
    depth: i64
    """How many more frames may begin."""
    need: Callable[[u64], u64]
    """Asks Python: (what, and which above `WHAT_BITS`) -> 1 to go on, 0 to leave."""
    sha256: Callable[[Ptr[u8], u64, Ptr[u8]], None]
    """(data, size, digest)"""
    spill: Ptr[u64]
    """Where the next frame goes that is left."""
    globals: Ptr[Cell]
    """The main program's registers."""
    incoming: Ptr[Cell]
    """What a run begins with: registers, then the stack."""
    slots: Ptr[Slot]
    undo: Ptr[Undone]
    undone: u64
    """Entries in the undo log."""
    marks: Ptr[Mark]
    open: u64
    """Transactions that native code has opened."""
    ledger: Ptr[Cell]
    appended: u64
    """Entries of the ledger."""
    stamp: u64
    """The number of the innermost transaction; no two have the same."""
    stamps: u64
    """The last number that was given."""
    order: u64
    """Counts slots that became dirty."""
    writable: u64
    """Whether the state may be written where native code has opened no transaction."""
    fuel: i64
    """Loop turns and calls until Python is asked whether to go on."""
    checked: Ptr[u64]
    """For each constant whether the ledger takes it; two more for integers and digests."""
    scratch: Ptr[u8]
    """Room for an encoding."""
    result: Ptr[Cell] = embedded(1)
    """What the function returns that Python called."""
    digest: Ptr[i64] = embedded(4)
    """The last digest, also of a result."""


def _words(kind: type) -> int:
    return size_of(kind) // 8


def _at(kind: type, field: str) -> int:
    return fields_of(kind)[field].offset // 8


CELL: Final = _words(Cell)
SLOT: Final = _words(Slot)
SLOT_KIND: Final = _at(Slot, "kind")
SLOT_WORD: Final = _at(Slot, "word")
SLOT_DIRTY: Final = _at(Slot, "dirty")
SLOT_STAMP: Final = _at(Slot, "stamp")
SLOT_WRITABLE: Final = _at(Slot, "writable")
SLOT_ORDER: Final = _at(Slot, "order")
UNDO_ENTRY: Final = _words(Undone)
MARK: Final = _words(Mark)
GAS: Final = _at(Run, "gas")
ENTRY: Final = _at(Run, "entry")
DEPTH: Final = _at(Run, "depth")
NEED: Final = _at(Run, "need")
SHA256: Final = _at(Run, "sha256")
SPILL: Final = _at(Run, "spill")
GLOBALS: Final = _at(Run, "globals")
INCOMING: Final = _at(Run, "incoming")
SLOTS: Final = _at(Run, "slots")
UNDO: Final = _at(Run, "undo")
UNDONE: Final = _at(Run, "undone")
MARKS: Final = _at(Run, "marks")
OPEN: Final = _at(Run, "open")
LEDGER: Final = _at(Run, "ledger")
APPENDED: Final = _at(Run, "appended")
STAMP: Final = _at(Run, "stamp")
STAMPS: Final = _at(Run, "stamps")
ORDER: Final = _at(Run, "order")
WRITABLE: Final = _at(Run, "writable")
FUEL: Final = _at(Run, "fuel")
CHECKED: Final = _at(Run, "checked")
SCRATCH: Final = _at(Run, "scratch")
RESULT: Final = _at(Run, "result")
DIGEST_WORDS: Final = _at(Run, "digest")
HEAD: Final = _words(Run)
