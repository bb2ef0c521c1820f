"""What generated code and Python both know: kinds of values by number, and where things are in a run's memory.

Everything is in words of 64 bits. A *cell* holds a value: its kind, and one word, or the four of a digest.
"""

from __future__ import annotations

from typing import Final

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

CELL: Final = 5
"""words"""

# The head of the memory

GAS: Final = 0
ENTRY: Final = 1
"""Where to begin: a number from `Program.entries`."""
DEPTH: Final = 2
"""How many more frames may begin."""
NEED: Final = 3
"""Address of the C function that asks Python: (what, and which above `WHAT_BITS`) -> 1 to go on, 0 to leave."""
SHA256: Final = 4
"""Address of the C function (data, size, digest)."""
SPILL: Final = 5
"""Address of where the next frame goes that is left."""
GLOBALS: Final = 6
"""Address of the cells of the main program's registers."""
INCOMING: Final = 7
"""Address of the cells that a run begins with: registers, then the stack."""
SLOTS: Final = 8
UNDO: Final = 9
UNDONE: Final = 10
"""Entries in the undo log."""
MARKS: Final = 11
OPEN: Final = 12
"""Transactions that native code has opened."""
LEDGER: Final = 13
APPENDED: Final = 14
STAMP: Final = 15
"""The number of the innermost transaction; no two have the same."""
STAMPS: Final = 16
"""The last number that was given."""
ORDER: Final = 17
"""Counts slots that became dirty."""
WRITABLE: Final = 18
"""Whether the state may be written where native code has opened no transaction."""
FUEL: Final = 19
"""Loop turns and calls until Python is asked whether to go on."""
CHECKED: Final = 20
"""Address of a word for each constant: whether the ledger takes it; two more for integers and digests."""
SCRATCH: Final = 21
"""Address of room for an encoding."""
RESULT: Final = 24
"""A cell: what the function returns that Python called."""
DIGEST_WORDS: Final = 32
"""Four words: the last digest, also of a result."""
HEAD: Final = 40

# A slot of the state, an entry of the undo log, a mark of a transaction

SLOT: Final = 8
SLOT_KIND: Final = 0
SLOT_WORD: Final = 1
SLOT_DIRTY: Final = 2
SLOT_STAMP: Final = 3
"""The transaction in which the slot was saved last."""
SLOT_WRITABLE: Final = 4
SLOT_ORDER: Final = 5

UNDO_ENTRY: Final = 4
"""Slot, kind, word, dirty."""
UNDO_ROOM: Final = 4096
MARK: Final = 4
"""Entries of the undo log, entries of the ledger, stamp of the transaction around."""
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
