"""The memory of a native state: tables that grow, arenas of frames, and the `Run` on which they hang.

Whatever is in use must outlive an exception that arises between any two steps of Python, such as the one of an
interrupt: what the run says of its tables is the truth, each step leaves it consistent, and nothing is freed before the
run has let go of it.
"""

from __future__ import annotations

import ctypes
import os
from array import array
from struct import Struct
from typing import Any, Final

from vmloom.kernel import Ptr, u8
from vmloom.kernel.memory import size_of
from vmloom.kernel.structs import fields_of

from ..hashing import EMPTY_CODE_HASH
from . import layout
from .arena import STACK_SPACING
from .build import state_library
from .pages import Pages, forbid, refer
from .sheets import Sheet, blank_pages

BYTES_HEADER: Final = bytes.__basicsize__ - 1
"""Where in a bytes object its bytes begin."""
FRAMES: Final = 1026
"""Depths -1 to 1024, and one to spare."""
FIRST_MEMORY: Final = 1 << 20
CODE_CHUNK: Final = 1 << 18
HALF: Final = 2
LARGE_OUTCOME: Final = 1 << 15
MOST_SPACE: Final = 4
"""How many times as much memory as they read results may keep, at most."""

ROOMS: Final = {
    "journal": "journal_room",
    "logs": "log_room",
    "log_bytes": "log_bytes_room",
    "marked": "marked_room",
    "return_data": "return_room",
    "outcome": "outcome_room",
}


def little(number: int) -> bytes:
    """A word as native code has it."""
    return number.to_bytes(32, "little")


def address_of_bytes(data: bytes) -> int:
    """Where the bytes of `data`, which is of no derived or other class, are; valid as long as the object lives."""
    return id(data) + BYTES_HEADER


class Table:
    """Rows of one kind, and their index if they have one."""

    def __init__(self, name: str, row: Any, room: int, *, index: str = "", indexer: str = "") -> None:
        self.name = name
        self.row_size: int = row.size if hasattr(row, "size") else row
        self.room = room
        self.index = index
        self.indexer = indexer
        self.room_field = f"{index}_room" if index else ROOMS[name]


TABLES: Final = (
    Table("accounts", layout.Account, 512, index="account", indexer="index_accounts"),
    Table("slots", layout.Slot, 1024, index="slot", indexer="index_slots"),
    Table("transients", layout.Slot, 64, index="transient", indexer="index_transients"),
    Table("codes", layout.Code, 64, index="code", indexer="index_codes"),
    Table("journal", layout.Entry, 1024),
    Table("logs", layout.Log, 64),
    Table("log_bytes", 1, 1 << 14),
    Table("marked", 8, 256),
    Table("return_data", 1, 1 << 14),
    Table("outcome", 1, 1 << 16),
)


class NativeMemory:
    """The memory of a native state: its `Run`, tables and arenas, and how they grow."""

    def __init__(self, *, guarded: bool = False) -> None:
        self.guarded = guarded
        self.pages: dict[str, Pages] = {}
        run = self.allot("run", size_of(layout.Run))
        self.run = run.address
        self._fields = run.view()
        self._words = self._fields.cast("Q")
        self.outcome_size = ctypes.c_uint64.from_address(self.field("outcome_size"))
        self.functions = state_library()
        self.outcome = ctypes.POINTER(ctypes.c_char).from_address(self.field("outcome"))
        self._outcome_written = 0
        self.chunks: list[Pages] = []
        for table in TABLES:
            self._place(table, table.room)
        self._place_arenas()
        for secret in ("secret", "second_secret"):
            self.set(secret, int.from_bytes(os.urandom(8), "little") | 1)
        self.add_code_chunk(CODE_CHUNK)
        self._place_empty_code()
        self.clear()

    def allot(self, name: str, size: int, alignment: int = 64) -> Pages:
        """New zeroed memory under `name`; what had that name lives until `let_go`."""
        pages = Pages(size, alignment=alignment, guarded=self.guarded)
        pages.predecessor = self.pages.get(name)
        self.pages[name] = pages
        return pages

    def let_go(self, name: str) -> None:
        """Free what had this name before, which the run does not use any more."""
        self.pages[name].predecessor = None

    # Fields of the run

    def field(self, name: str) -> int:
        """Address of a field of the run."""
        return self.run + 8 * WORDS[name]

    def get(self, name: str) -> int:
        """A field of 64 bits."""
        return self._words[WORDS[name]]

    def set(self, name: str, value: int) -> None:
        """Set a field of 64 bits."""
        self._words[WORDS[name]] = value

    def needed(self) -> tuple[bytes, int, bytes]:
        """Address, row and key that a need asks for; both kinds of bytes little-endian."""
        found: tuple[bytes, int, bytes] = NEEDED.unpack_from(self._fields, 8 * WORDS["needed_account"])
        return found

    # Tables and arenas

    def clear(self) -> None:
        """Forget all rows but the first of each table, which is nobody's."""
        self.functions["forget_rows"](self.run)
        self.functions["forget_codes"](self.run)
        largest = max(self.chunks, key=lambda chunk: chunk.size)
        self.set("code_bytes_left", 0)
        self.set("code_bytes", largest.address)
        self.set("code_bytes_left", largest.size)
        self.chunks = [largest]

    def _place_empty_code(self) -> None:
        """Code 0 is no code."""
        empty = refer(layout.Code, self.pages["codes"].address)
        empty.data = Ptr(u8, self.pages["nothing"].address)
        empty.jump_destinations = Ptr(u8, self.pages["nothing"].address)
        empty.hash = int.from_bytes(EMPTY_CODE_HASH, "big")

    def room(self, name: str) -> int:
        """Rows that a table has room for."""
        return self.get(_TABLE[name].room_field)

    def _place(self, table: Table, room: int) -> None:
        """Give a table room for `room` rows, which are more than it has, elsewhere."""
        name = table.name
        pages = self.allot(name, table.row_size * room)
        if former := self.get(table.room_field):
            ctypes.memmove(pages.address, self.get(name), table.row_size * former)
        self.set(name, pages.address)
        self.let_go(name)
        if name == "marked":
            self.set("selected", self.allot("selected", table.row_size * room).address)
            self.let_go("selected")
        if table.index:
            places = 1 << (HALF * room).bit_length()
            index = self.allot(f"{table.index}_index", 4 * places)
            self._call(table.indexer, index.address, places - 1)
            self.let_go(f"{table.index}_index")
        self.set(table.room_field, room)

    def grow(self, name: str, least: int = 0) -> None:
        """Double the room of a table, or more if `least` rows must fit."""
        self._place(_TABLE[name], max(HALF * self.room(name), least))

    def _call(self, function: str, *words: int) -> None:
        """Call a function of `access` that has no needs."""
        ctypes.memmove(self.field("scratch"), b"".join(map(little, words)), 32 * len(words))
        self.functions[function](self.run)

    def _place_arenas(self) -> None:
        self.allot("nothing", 256)
        self.set("block_hashes", self.allot("block_hashes", 32 * 256).address)
        self.set("block_hash_numbers", self.allot("block_hash_numbers", 8 * 256).address)
        self.set("near_precompiles", self.allot("near_precompiles", 1024).address)
        self.set("hashed_pairs", self.allot("hashed_pairs", size_of(layout.HashedPair) * layout.HASHED_PAIRS).address)
        self.set("hooks", self.allot("hooks", 256).address)
        self.set("block", self.allot("block", size_of(layout.Block)).address)
        call = self.allot("call", size_of(layout.Transaction)).address
        self.set("call", call)
        ctypes.c_uint64.from_address(call + fields_of(layout.Transaction)["mode"].offset).value = layout.EXECUTION
        self.set("countdown", layout.PAUSE_INTERVAL)
        memory = self.allot("memory", FIRST_MEMORY)
        self.set("memory", memory.address)
        self.set("memory_end", memory.address + memory.size)
        spacing = STACK_SPACING * 32
        stacks = self.allot("stacks", spacing * FRAMES, alignment=spacing)
        if self.guarded:
            for end in range(stacks.address + spacing // 2, stacks.address + stacks.size, spacing):
                forbid(end, spacing // 2)  # what lies beyond the items that a stack may have
        size = size_of(layout.Frame)
        frames = self.allot("frames", size * FRAMES)
        self.set("frames", frames.address)
        self.set("frame", frames.address)
        words = frames.view().cast("Q")
        # By columns: a state is made for many a call, and to set the fields of a thousand frames each takes longer.
        numbers = range(FRAMES)
        for name, column in (
            ("run", [self.run] * FRAMES),
            ("bottom", [stacks.address + spacing * number for number in numbers]),
            ("parent", [frames.address + size * (number - 1) for number in numbers]),
            ("child", [frames.address + size * (number + 1) for number in numbers]),
        ):
            words[_FRAME_WORDS[name] :: size // 8] = memoryview(array("Q", column))
        words[_FRAME_WORDS["memory"]] = memory.address
        words[_FRAME_WORDS["code"]] = self.pages["nothing"].address
        words[_FRAME_WORDS["depth"]] = (1 << 64) - 1

    def add_code_chunk(self, least: int) -> None:
        """Room for new code; what is left of the former chunk is not used any more."""
        chunk = Pages(max(CODE_CHUNK, least), guarded=self.guarded)
        self.chunks.append(chunk)
        self.set("code_bytes_left", 0)
        self.set("code_bytes", chunk.address)
        self.set("code_bytes_left", chunk.size)

    def take_outcome(self) -> bytes | Sheet:
        """What the run has laid down: a copy, or the very memory where that is large and well filled."""
        size, room = self.outcome_size.value, self.room("outcome")
        if self.guarded or size < LARGE_OUTCOME or size < room // MOST_SPACE:
            return ctypes.string_at(self.get("outcome"), size)
        sheet = Sheet(self.pages["outcome"], size, self._outcome_written)
        self._outcome_written, blank = blank_pages(room)
        self.pages["outcome"] = blank
        self.set("outcome", blank.address)
        self.set("outcome_room", blank.size)
        return sheet

    def leave_code(self) -> None:
        """Leave all code where it is to those who hold the list of its chunks; no row may name it after this."""
        self.chunks = []
        self.add_code_chunk(CODE_CHUNK)

    def grow_memory(self, size: int) -> None:
        """Let the memory of frames have `size` bytes more than it has, at least, elsewhere."""
        former = self.get("memory")
        used = self.get("memory_end") - former
        pages = self.allot("memory", HALF * used + size)
        ctypes.memmove(pages.address, former, used)
        self._call("move_memory", former, used, pages.address, pages.size)
        self.let_go("memory")


_TABLE: Final = {table.name: table for table in TABLES}
NEEDED: Final = Struct("@20s4xQ32s")
"""`needed_account`, `needed_row` and `needed_key` of the run."""
WORDS: Final = {name: field.offset // 8 for name, field in fields_of(layout.Run).items()}
"""Where the fields of the run are, in words of 64 bits."""
_FRAME_WORDS: Final = {name: field.offset // 8 for name, field in fields_of(layout.Frame).items()}
"""Where those of a frame are, likewise."""
assert (WORDS["needed_row"], WORDS["needed_key"]) == (WORDS["needed_account"] + 3, WORDS["needed_account"] + 4)
