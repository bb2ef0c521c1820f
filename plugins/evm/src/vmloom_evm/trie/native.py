"""The state's tries in native memory, where they stay from block to block: only what a block touches is hashed.

Nodes come from the store when a key first leads to them. What comes of it goes into the store as with `StateTrie`,
which has the same roots and does what this cannot.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from vmloom.kernel.memory import size_of
from vmloom.kernel.structs import fields_of
from vmloom.object_keys import source_digest
from vmloom.state import StateDiff
from vmloom.store import ACCOUNT, SLOT, Changes, StoreView
from vmloom.store.encoding import StoredAccount
from vmloom_native.build import compiled

from ..native.changes import EVM_NAME
from ..native.memory import address_of_bytes
from ..native.packing import struct_of
from ..native.pages import Pages
from . import kernels
from .nodes import EMPTY_TRIE_ROOT
from .state import ACCOUNTS, STORAGE, StateTrie

if TYPE_CHECKING:
    from ..native.state import NativeState

KEPT_NODES: Final = 1 << 17
"""Nodes in memory, above which all are forgotten after a commit."""
FIRST_ROOM: Final = 1 << 10
OUTPUT_ROOM: Final = 1 << 17
ITEM: Final = struct_of(kernels.Item, "kind", "code_hash")
ITEM_SIZE: Final = size_of(kernels.Item)
_NOTES: Final = bytes(ITEM_SIZE - ITEM.size)
_OFFSETS: Final = {name: field.offset for name, field in fields_of(kernels.Tries).items()}
_WORDS: Final = {name: offset // 8 for name, offset in _OFFSETS.items()}
_ROOT_OF_ITEM: Final = fields_of(kernels.Item)["storage_root"].offset
_DIGEST: Final = slice(_OFFSETS["digest"], _OFFSETS["digest"] + 32)
_WORK: Final = struct_of(kernels.Tries, "items", "next_item")
_NO_WORD: Final = bytes(32)
assert bytes([kernels.NODES, kernels.NODES_OF_ACCOUNTS]) == ACCOUNTS
assert bytes([kernels.NODES, kernels.NODES_OF_STORAGE]) == STORAGE
assert bytes([kernels.STORED_ACCOUNT, kernels.STORED_WORD]) == ACCOUNT + SLOT
assert kernels.EVM_NAME.to_bytes(3, "big") == EVM_NAME.encode()


class Items(NamedTuple):
    """What has changed, as `kernels.Item`: so many accounts, and so many items in all."""

    packed: bytearray
    accounts: int
    items: int


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
        self._is_uncommitted = False
        output = self._allot("output", OUTPUT_ROOM)
        self._set("output", output.address)
        self._set("output_room", output.size)
        self._output = output.view()
        ends = self._allot("ends", OUTPUT_ROOM // 2)
        self._set("ends", ends.address)
        self._set("record_room", ends.size // 8)
        self._ends = ends.view().cast("I")
        self._grow(FIRST_ROOM)
        self.forget()

    def update(self, diff: StateDiff) -> tuple[bytes, Changes]:
        """See `StateTrie.update`. `settle` is to be called when the changes are committed, `forget` if they are not."""
        changes: dict[bytes, bytes | None] = {}
        try:
            return self._update(self._items_of(diff, changes), changes, with_values=False), changes
        except _NotHere:
            self._forget_until_settled()
            return self._trie.update(diff)

    def update_from(self, state: NativeState) -> tuple[bytes, dict[bytes, bytes | None]] | None:
        """The root after all that has changed in `state` since the last commit, and what the store gets for it.

        That is accounts and words, too, beside the nodes that `update` gives. None where there is more to it, such as
        new code, than these: then `update` and `StateAccess.diff` are to be asked. As there, `settle` or `forget` is to
        be called afterwards.
        """
        found = state.changed_items()
        if found is None:
            return None
        packed, accounts = found
        changes: dict[bytes, bytes | None] = {}
        try:
            items = Items(packed, accounts, len(packed) // ITEM_SIZE)
            return self._update(items, changes, with_values=True), changes
        except _NotHere:
            return None

    def settle(self) -> None:
        """The last changes have been committed."""
        self._is_uncommitted = False
        if self._get("node_count") > KEPT_NODES:
            self.forget()

    def forget(self) -> None:
        """Ask the store again."""
        for name in ("current", "root", "is_known", "accounts_root", "accounts_known", "prefix_size", *_WRITTEN):
            self._set(name, 0)
        self._set("node_count", 1)
        self._set("children_count", 1)
        self._is_uncommitted = False

    def _forget_until_settled(self) -> None:
        """Ask the store again, and once more after what it has now."""
        self.forget()
        self._is_uncommitted = True

    def _items_of(self, diff: StateDiff, changes: dict[bytes, bytes | None]) -> Items:
        """What `diff` tells; the nodes of storage that was cleared go into `changes`. Raises `_NotHere`."""
        for address in diff.cleared_storage:
            for key, _ in self._view.scan(STORAGE + address):
                changes[key] = None
        accounts: list[bytes] = []
        words: list[bytes] = []
        for address in dict.fromkeys((*diff.accounts, *diff.cleared_storage, *diff.storage)):
            changed = diff.storage.get(address)
            if address in diff.accounts or address in diff.cleared_storage:
                account = self._trie.account(address, diff.accounts)
                if account is None and changed:
                    raise _NotHere  # words of an account that is not there
                accounts.append(_account_item(address, account, is_cleared=address in diff.cleared_storage))
            elif changed:
                accounts.append(_packed(kernels.SAME_ACCOUNT, address))
            else:
                continue
            if changed:
                place = len(accounts) - 1
                words += [_word_item(place, slot, word) for slot, word in changed.items()]
        return Items(bytearray(b"".join((*accounts, *words))), len(accounts), len(accounts) + len(words))

    def _update(self, items: Items, changes: dict[bytes, bytes | None], *, with_values: bool) -> bytes:
        """Do `items`; what the store gets goes into `changes`. Returns the root. Raises `_NotHere`."""
        if self._is_uncommitted:
            self.forget()
        self._is_uncommitted = True
        packed, accounts, count = items
        try:
            place = ctypes.addressof(ctypes.c_char.from_buffer(packed or bytearray(1)))
            _WORK.pack_into(self._control, _OFFSETS["items"], place, accounts, count, with_values, 0, 0)
            update = self._functions["update"]
            while need := update(self._address):
                self._meet(need, packed, changes)
        except BaseException:
            self._forget_until_settled()  # unless all goes well nobody knows anything any more
            raise
        self._read_output(changes)
        return bytes(self._control[_DIGEST])

    def _meet(self, need: int, packed: bytearray, changes: dict[bytes, bytes | None]) -> None:
        """Supply what a kernel stopped for. Raises `_NotHere` where that cannot be."""
        if need == kernels.NEED_NODE:
            self._bring(packed, changes)
        elif need == kernels.NEED_ROOM:
            self._grow(2 * self._get("node_room"))
        elif need == kernels.NEED_OUTPUT:
            self._read_output(changes)
        elif need == kernels.NEED_STORAGE_ROOT:
            at = ITEM_SIZE * self._get("next_item")
            address = bytes(packed[at + _KEY_OF_ITEM : at + _KEY_OF_ITEM + 20])
            packed[at : at + 8] = kernels.ACCOUNT.to_bytes(8, "little")
            packed[at + _ROOT_OF_ITEM : at + _ROOT_OF_ITEM + 32] = self._trie.storage_root(address)
        else:
            raise _NotHere

    def _bring(self, packed: bytearray, changes: dict[bytes, bytes | None]) -> None:
        """Bring the node that was needed."""
        prefix = ctypes.string_at(self._address + _OFFSETS["prefix"], self._get("prefix_size"))
        digits = ctypes.string_at(self._address + _OFFSETS["needed_path"], self._get("needed_length"))
        encoded = self._view.get(prefix + digits.translate(_DIGITS))
        if encoded is None:
            if digits:
                raise _NotHere  # `Trie` says what is wrong with the store
            self._set("root", 0)
            self._set("is_known", 1)
            return
        self._set("brought", address_of_bytes(encoded))
        self._set("brought_size", len(encoded))
        while need := self._functions["take_node"](self._address):
            self._meet(need, packed, changes)

    def _read_output(self, changes: dict[bytes, bytes | None]) -> None:
        """Put what was written into `changes`."""
        size, count, removed = map(self._get, _WRITTEN)
        data = bytes(self._output[:size])
        ends = self._ends[: 2 * count].tolist()
        pieces = map(data.__getitem__, map(slice, (0, *ends), ends))  # no step of Python for each
        changes.update(zip(pieces, pieces, strict=True))
        if removed:
            changes.update((key, None) for key, value in changes.items() if not value)
        for name in _WRITTEN:
            self._set(name, 0)

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


_WRITTEN: Final = ("output_size", "record_count", "removed_count")
_KEY_OF_ITEM: Final = fields_of(kernels.Item)["key"].offset
_DIGITS: Final = bytes(b"0123456789abcdef"[number & 15] for number in range(256))


def _packed(
    kind: int,
    key: bytes,
    *,
    account: int = 0,
    nonce: int = 0,
    number: int = 0,
    storage_root: bytes = _NO_WORD,
    code_hash: bytes = _NO_WORD,
) -> bytes:
    return ITEM.pack(kind, account, 0, nonce, number.to_bytes(32, "little"), key, storage_root, code_hash) + _NOTES


def _account_item(address: bytes, account: StoredAccount | None, *, is_cleared: bool) -> bytes:
    if account is None:
        return _packed(kernels.REMOVE, address)
    kind = kernels.ACCOUNT if is_cleared else kernels.ACCOUNT_OF_SAME_STORAGE
    return _packed(
        kind,
        address,
        nonce=account.nonce,
        number=account.balance,
        storage_root=EMPTY_TRIE_ROOT,
        code_hash=account.code_hash,
    )


def _word_item(account: int, slot: int, word: int) -> bytes:
    kind = kernels.WORD if word else kernels.REMOVE
    return _packed(kind, slot.to_bytes(32, "big"), account=account, number=word)


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
