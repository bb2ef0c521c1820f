"""The state's tries in native memory, where they stay from block to block: only what a block touches is hashed.

Nodes come from the store when a key first leads to them. What comes of it goes into the store as with `StateTrie`,
which has the same roots and does what this cannot.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from functools import cache
from struct import Struct
from typing import Final

from vmloom.kernel.memory import size_of
from vmloom.kernel.structs import fields_of
from vmloom.object_keys import source_digest
from vmloom.state import StateDiff
from vmloom.store import Changes, StoreView
from vmloom.store.encoding import StoredAccount
from vmloom_native.build import compiled

from ..native.memory import address_of_bytes
from ..native.pages import Pages
from . import kernels
from .nodes import EMPTY_TRIE_ROOT
from .state import ACCOUNTS, STORAGE, StateTrie

KEPT_NODES: Final = 1 << 17
"""Nodes in memory, above which all are forgotten after a commit."""
FIRST_ROOM: Final = 1 << 10
OUTPUT_ROOM: Final = 1 << 17
_ITEM: Final = Struct("<QQ32sQ32s32s32s")
_RECORD: Final = Struct("<II")
assert _ITEM.size == size_of(kernels.Item)
_OFFSETS: Final = {name: field.offset for name, field in fields_of(kernels.Tries).items()}
_WORDS: Final = {name: offset // 8 for name, offset in _OFFSETS.items()}
_ROOT_OF_ITEM: Final = fields_of(kernels.Item)["storage_root"].offset
_DIGEST: Final = slice(_OFFSETS["digest"], _OFFSETS["digest"] + 32)
_WORK: Final = Struct("<32sQQQQQQ")
"""The fields from `prefix` to `next_item`."""
assert _OFFSETS["prefix"] + _WORK.size == _OFFSETS["needed_row"]
_NO_WORD: Final = bytes(32)


class _NotHere(Exception):
    """Something that only `StateTrie` does."""


class NativeTries:
    """The tries of the state in `view`, which is at the last commit whenever `update` is called."""

    def __init__(self, view: StoreView) -> None:
        self._view = view
        self._trie = StateTrie(view)
        self._functions = _library()
        self._pages: dict[str, Pages] = {}
        control = self._allot("control", size_of(kernels.Tries))
        self._address = control.address
        self._control = control.view()
        self._words = self._control.cast("Q")
        self._roots: dict[bytes, int] = {}
        """Rows of the roots that are known, 0 for an empty trie, by prefix."""
        self._is_uncommitted = False
        output = self._allot("output", OUTPUT_ROOM)
        self._set("output", output.address)
        self._set("output_room", output.size)
        self._output = output.view()
        self._grow(FIRST_ROOM)
        self.forget()

    def update(self, diff: StateDiff) -> tuple[bytes, Changes]:
        """See `StateTrie.update`. `settle` is to be called when the changes are committed, `forget` if they are not."""
        if not self._is_uncommitted:
            self._is_uncommitted = True
            try:
                return self._updated(diff)
            except _NotHere:
                pass
        self.forget()
        self._is_uncommitted = True
        return self._trie.update(diff)

    def settle(self) -> None:
        """The last changes have been committed."""
        self._is_uncommitted = False
        if self._get("node_count") > KEPT_NODES:
            self.forget()

    def forget(self) -> None:
        """Ask the store again."""
        self._roots.clear()
        self._set("node_count", 1)
        self._set("children_count", 1)
        self._is_uncommitted = False

    def _updated(self, diff: StateDiff) -> tuple[bytes, Changes]:
        changes: dict[bytes, bytes | None] = {}
        roots: dict[bytes, bytes] = {}
        for address in diff.cleared_storage:
            for key, _ in self._view.scan(STORAGE + address):
                changes[key] = None
            roots[address] = EMPTY_TRIE_ROOT
            self._roots[STORAGE + address] = 0
        for address, words in diff.storage.items():
            if words:
                items = [
                    _ITEM.pack(
                        kernels.WORD if word else kernels.REMOVE,
                        32,
                        slot.to_bytes(32, "big"),
                        0,
                        word.to_bytes(32, "little"),
                        _NO_WORD,
                        _NO_WORD,
                    )
                    for slot, word in words.items()
                ]
                roots[address] = self._change(STORAGE + address, items, changes)
        addresses = [*diff.accounts, *(address for address in roots if address not in diff.accounts)]
        items = [
            _account_item(address, self._trie.account(address, diff.accounts), roots.get(address))
            for address in addresses
        ]
        return self._change(ACCOUNTS, items, changes, addresses), changes

    def _change(
        self,
        prefix: bytes,
        items: list[bytes],
        changes: dict[bytes, bytes | None],
        addresses: list[bytes] | None = None,
    ) -> bytes:
        """Do `items` to the trie with that prefix; `addresses` are those of its accounts. Returns the root."""
        packed = bytearray(b"".join(items) or bytes(1))
        root = self._roots.pop(prefix, None)  # unless all goes well nobody knows it any more
        items_at = ctypes.addressof(ctypes.c_char.from_buffer(packed))
        size, begin, is_known = len(prefix), root or 0, root is not None
        _WORK.pack_into(self._control, _OFFSETS["prefix"], prefix, size, begin, is_known, items_at, len(items), 0)
        update = self._functions["update"]
        while need := update(self._address):
            self._meet(need, prefix, packed, changes, addresses)
        self._read_output(changes)
        self._roots[prefix] = self._get("root")
        return bytes(self._control[_DIGEST])

    def _meet(
        self,
        need: int,
        prefix: bytes,
        packed: bytearray,
        changes: dict[bytes, bytes | None],
        addresses: list[bytes] | None,
    ) -> None:
        """Supply what a kernel stopped for. Raises `_NotHere` where that cannot be."""
        if need == kernels.NEED_NODE:
            self._bring(prefix)
        elif need == kernels.NEED_ROOM:
            self._grow(2 * self._get("node_room"))
        elif need == kernels.NEED_OUTPUT:
            self._read_output(changes)
        elif need == kernels.NEED_STORAGE_ROOT and addresses is not None:
            number = self._get("next_item")
            root = self._trie.storage_root(addresses[number])
            at = _ITEM.size * number
            packed[at : at + 8] = kernels.ACCOUNT.to_bytes(8, "little")
            packed[at + _ROOT_OF_ITEM : at + _ROOT_OF_ITEM + 32] = root
        else:
            raise _NotHere

    def _bring(self, prefix: bytes) -> None:
        """Bring the node that was needed."""
        digits = ctypes.string_at(self._address + _OFFSETS["needed_path"], self._get("needed_length"))
        key = prefix + digits.translate(_DIGITS)
        encoded = self._view.get(key)
        if encoded is None:
            if digits:
                raise _NotHere  # `Trie` says what is wrong with the store
            self._set("root", 0)
            self._set("is_known", 1)
            return
        self._set("brought", address_of_bytes(encoded))
        self._set("brought_size", len(encoded))
        while need := self._functions["take_node"](self._address):
            self._meet(need, prefix, bytearray(), {}, None)

    def _read_output(self, changes: dict[bytes, bytes | None]) -> None:
        """Put what was written into `changes`."""
        data = bytes(self._output[: self._get("output_size")])
        at, end = 0, len(data)
        while at < end:
            key_size, size = _RECORD.unpack_from(data, at)
            at += 8
            key = data[at : at + key_size]
            at += key_size
            if size == kernels.REMOVED:
                changes[key] = None
            else:
                changes[key] = data[at : at + size]
                at += size
        self._set("output_size", 0)

    # Memory

    def _allot(self, name: str, size: int) -> Pages:
        pages = self._pages[name] = Pages(size)
        return pages

    def _grow(self, room: int) -> None:
        """Give both tables room for so many rows, which are more than they have, elsewhere."""
        for name, row, count in (
            ("nodes", kernels.Node, "node_count"),
            ("children", kernels.Children, "children_count"),
        ):
            former, pages = self._pages.get(name), self._allot(name, size_of(row) * room)
            if former is not None:
                ctypes.memmove(pages.address, former.address, size_of(row) * self._get(count))
            self._set(name, pages.address)
        self._set("node_room", room)

    def _get(self, name: str) -> int:
        return self._words[_WORDS[name]]

    def _set(self, name: str, value: int) -> None:
        self._words[_WORDS[name]] = value


_DIGITS: Final = bytes(b"0123456789abcdef"[number & 15] for number in range(256))


def _account_item(address: bytes, account: StoredAccount | None, root: bytes | None) -> bytes:
    if account is None:
        return _ITEM.pack(kernels.REMOVE, 20, address, 0, _NO_WORD, _NO_WORD, _NO_WORD)
    kind = kernels.ACCOUNT_OF_SAME_STORAGE if root is None else kernels.ACCOUNT
    balance = account.balance.to_bytes(32, "little")
    return _ITEM.pack(kind, 20, address, account.nonce, balance, root or _NO_WORD, account.code_hash)


@cache
def _library() -> Mapping[str, Callable[[int], int]]:
    """The kernels by name: each takes the address of `Tries` and returns 0 or a need."""

    def make() -> str:
        from vmloom_native.program import Program

        program = Program()
        for function in kernels.FUNCTIONS:
            program.export(function.__name__, function)
        return program.ir()

    library = compiled((source_digest("vmloom_evm.trie.kernels"), "tries"), make, subject="the state's tries")
    found: dict[str, Callable[[int], int]] = {}
    for one in kernels.FUNCTIONS:
        function = library.function(one.__name__, ctypes.c_uint64, ctypes.c_void_p)
        function.library = library  # the code lives as long as what calls it
        found[one.__name__] = function
    return found
