"""A state whose accounts, storage, logs and undo log live in native memory, where compiled code works on them.

`NativeState` is a `StateAccess` like any other: Python reads and writes it, every engine runs on it, and the native
engine does so without a copy. With a `source` it loads from another state what it does not know.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from struct import Struct
from threading import Lock
from typing import TYPE_CHECKING, Final, TypeVar

from vmloom import Account, Event, StateAccess, StateChange
from vmloom.deadline import check_time
from vmloom.errors import StateError
from vmloom.kernel import Ptr
from vmloom.kernel.memory import size_of
from vmloom.kernel.structs import fields_of
from vmloom.marks import CREATED, WARM_ACCOUNTS, WARM_SLOTS
from vmloom.state import Slots, StateDiff

from ..marks import DESTROYED, TOUCHED
from . import layout
from .changes import Names, ReadSet, cleared_accounts, decode_changes, decode_events, decode_reads, read_diff
from .memory import NativeMemory, address_of_bytes, little
from .pages import Pages, refer

if TYPE_CHECKING:
    from ..jit.tiers import Installation, Tier
    from .session import Session

T = TypeVar("T")
KEPT_CODES: Final = 1024
KEPT_CODE_BYTES: Final = 1 << 23
KEPT_ROOM: Final = 1 << 15
"""Rows of a table, at most, in a state that is used again."""


class NativeState(StateAccess):
    """Accounts and storage in native memory.

    `accounts` and `block_hashes` are as `MemoryState` takes them. `source` is a state from which what is not known here
    is loaded, and into which `commit` writes; without one, what is not known does not exist. `guarded` puts guard pages
    behind every table. A state is used by one thread at a time.
    """

    def __init__(
        self,
        accounts: Mapping[bytes, Account] | None = None,
        block_hashes: Mapping[int, bytes] | None = None,
        *,
        source: StateAccess | None = None,
        guarded: bool = False,
    ) -> None:
        self.memory = NativeMemory(guarded=guarded)
        self.block_hashes = dict(block_hashes or {})
        self.names = Names()
        self._code_rows: dict[bytes, int] = {b"": 0}
        self._functions = self.memory.functions
        self._run = self.memory.run
        self._scratch = self.memory.field("scratch")
        self._first_result = ctypes.c_uint64.from_address(self._scratch)
        self._journal_count = ctypes.c_uint64.from_address(self.memory.field("journal_count"))
        self._host_undone = ctypes.c_uint64.from_address(self.memory.field("host_undone"))
        self._noted = 0
        self._notes: list[tuple[int, int]] = []
        """Where in the native undo log Python's is tied to it, and to which position there; both increase."""
        self.in_use = Lock()
        self.session: Session | None = None
        """What ran here last."""
        self.installation: Installation | None = None
        """What brings in machine code of contracts."""
        self.knows_block_hashes = False
        self._lent_stamp = 0
        self.source = source
        self._base: NativeState | None = None
        self._readers = 0
        """Native states whose base this one is."""
        self._spare_readers: list[NativeState] = []
        """Such as were lent before, and know codes and what was compiled of them."""
        self._has_lent = False
        """Whether codes of others may stand in memory of this one."""
        self._passed_over: dict[tuple[bytes, int | None], None] = {}
        """Accounts and slots that were not loaded because of them."""
        self._borrowed: list[list[Pages]] = []
        """Memory of other states, in which codes are that this one has from them."""
        self.meet_guest: Callable[[NativeState], None] = _no_guest
        super().__init__()
        self.rebind(source)
        for address, account in (accounts or {}).items():
            self.set_account(address, account)
        self._journal_count.value = 0

    def rebind(self, source: StateAccess | None) -> None:
        """Load from `source` from now on; what was loaded before is to be forgotten by `clear`."""
        self.source = source
        self.memory.set("is_complete", int(source is None))

    def clear(self) -> None:
        """Forget everything. Raises `StateError` for the base of another state."""
        self._check_still("clear")
        self._code_rows = {b"": 0}
        self.names = Names(self.names.vms)
        self._borrowed = [] if self._base is None else [self._base.memory.chunks]
        if self._has_lent:
            self.memory.leave_code()
            self._spare_readers.clear()
            self._has_lent = False
        self._forget_rows()
        self.memory.clear()
        if self.installation is not None:
            self.installation.forget()

    def reuse(self, source: StateAccess) -> bool:
        """Forget all but codes, which say what they are, and load from `source`. False if it has grown too large."""
        if self._has_many_rows():
            return False
        if self._has_many_codes():
            self.clear()
        else:
            self._functions["forget_rows"](self._run)
            self._forget_rows()
        self.rebind(source)
        return True

    def _has_many_rows(self) -> bool:
        memory = self.memory
        return max(memory.room("accounts"), memory.room("slots"), memory.room("outcome") >> 8) > KEPT_ROOM

    def _has_many_codes(self) -> bool:
        memory = self.memory
        return memory.get("code_count") > KEPT_CODES or sum(chunk.size for chunk in memory.chunks) > KEPT_CODE_BYTES

    def _forget_rows(self) -> None:
        """Forget what Python keeps of accounts."""
        self._noted = 0
        self._notes.clear()
        self._records.clear()
        self.journal.clear()

    # Reading through another native state

    def read_through(self, base: NativeState | None) -> bool:
        """Let native code load from `base` what is not known here, before the source is asked; None ends that.

        The source must say the same as `base`, whose native memory stays as it is for that long: until the last of its
        readers has ended this, it refuses changes and runs, with `StateError`, and keeps nothing that it loads when
        Python reads it. Readers may run in threads, but begin, end, and read it from Python one at a time. What was
        known here before has to be forgotten. False, and nothing done, while something runs on `base`.
        """
        if base is not None and not base._lend():
            return False
        former, self._base = self._base, base
        self.memory.set("base", 0 if base is None else base.memory.run)
        if former is not None:
            former._take_back()
        if base is not None:
            self.names.vms = base.names.vms  # accounts name their VMs by their places there
            if all(chunks is not base.memory.chunks for chunks in self._borrowed):
                self._borrowed.append(base.memory.chunks)
        return True

    def lend_reader(self, source: StateAccess) -> NativeState | None:
        """An empty state that reads through this one, to be handed back; None while something runs here.

        `source` is what it asks for what is not known here.
        """
        if self._readers == 0 and self.in_use.locked():
            return None
        reader = self._spare_readers.pop() if self._spare_readers else NativeState()
        reader.reuse(source)
        reader.read_through(self)
        return reader

    def take_reader_back(self, reader: NativeState) -> None:
        """Nothing runs any more on what was lent. Results that are read late may still ask it for its codes."""
        reader.read_through(None)
        reader.rebind(None)  # lest it keep the source alive
        if not (reader.in_use.locked() or reader._has_many_rows() or reader._has_many_codes()):
            self._spare_readers.append(reader)

    def hold_still(self) -> None:
        """Refuse changes and runs until `let_go`, as for a reader. Raises `StateError` while something runs here."""
        if not self._readers and not self.in_use.acquire(False):
            raise StateError(IN_USE)
        self._readers += 1

    def let_go(self) -> None:
        """End what `hold_still` has begun."""
        self._take_back()

    def _lend(self) -> bool:
        """There is one more reader, if nothing runs here."""
        if not self._readers and not self.in_use.acquire(False):
            return False
        self._readers += 1
        self._has_lent = True
        return True

    def _take_back(self) -> None:
        """There is one reader less. After the last one, load what was only passed on for their sake."""
        self._readers -= 1
        if not self._readers:
            self.in_use.release()
            passed_over, self._passed_over = self._passed_over, {}
            for address, slot in passed_over:
                if slot is None:
                    self.get_account(address)
                else:
                    self.get_storage(address, slot)

    def _check_still(self, what: str) -> None:
        """Raises `StateError` for what would change the memory that others read."""
        if self._readers:
            raise StateError(f"{what}: this state stays as it is until the batch that reads it has ended")

    # Calls of native functions

    def call(self, name: str, *words: int) -> None:
        """Call a function of `access` with `words` as its arguments, and meet its needs.

        Raises `StateError` for one that may change the memory that others read.
        """
        if self._readers and name not in _STILL:
            self._check_still(name)
        try:
            arguments = b"".join([word.to_bytes(32, "little") for word in words])
        except OverflowError:
            raise ValueError("slots, words and topics are 0 to 2**256 - 1") from None
        ctypes.memmove(self._scratch, arguments, len(arguments))
        function = self._functions[name]
        stopped = function(self._run)
        while stopped:
            self.meet(stopped)
            ctypes.memmove(self._scratch, arguments, len(arguments))
            stopped = function(self._run)

    def result(self, number: int = 0) -> int:
        """A word that the function has returned."""
        return int.from_bytes(ctypes.string_at(self._scratch + 32 * number, 32), "little")

    def meet(self, need: int) -> None:
        """Supply what native code stopped for."""
        loader = _LOADERS.get(need)
        if loader is not None:
            loader(self)
            return
        table = _ROOMS.get(need)
        if table is not None:
            least = self.memory.get("needed_bytes") + self.memory.room(table) if table in _BY_SIZE else 0
            self.memory.grow(table, least)
        elif need == layout.NEED_MEMORY_ROOM:
            self.memory.grow_memory(self.memory.get("needed_bytes"))
        elif need == layout.NEED_CODE_BYTES:
            self.memory.add_code_chunk(self.memory.get("needed_bytes"))
        elif need == layout.NEED_GUEST:
            self.meet_guest(self)
        elif need == layout.NEED_PAUSE:
            check_time()
            if self.installation is not None:  # signals are handled between steps of Python anyway
                self.installation.paused()
        elif need == layout.NEED_HOT:
            if self.installation is not None:
                self.installation.hot()
        else:
            raise StateError(f"native code stopped for an unknown need {need:#x}")

    def _needed_address(self) -> bytes:
        return ctypes.string_at(self.memory.field("needed_account"), 20)[::-1]

    def _load_account(self) -> None:
        address = self._needed_address()
        assert self.source is not None
        found = self.source.get_account(address)
        if found is None:
            flags = layout.KNOWN | (0 if self.source.has_storage(address) else layout.COMPLETE)
            packed = LOADED_ACCOUNT.pack(b"", 0, 0, flags, 0)
        else:
            flags = layout.KNOWN | layout.EXISTS
            code, vm = self.code_row(found.code), self.names.number_of(found.vm)
            packed = LOADED_ACCOUNT.pack(little(found.balance), found.nonce, code, flags, vm)
        row = self.memory.get("accounts") + size_of(layout.Account) * self.memory.get("needed_row")
        ctypes.memmove(row + BALANCE_OFFSET, packed, LOADED_ACCOUNT.size)

    def _load_slot(self) -> None:
        assert self.source is not None
        address, row, key = self.memory.needed()
        word = self.source.get_storage(address[::-1], int.from_bytes(key, "little"))
        at = self.memory.get("slots") + SLOT_ROW * row
        ctypes.memmove(at + WORD_OFFSET, little(word), 32)
        ctypes.memset(at + EPOCH_OFFSET, 0, 8)

    def _load_block_hash(self) -> None:
        number = int.from_bytes(ctypes.string_at(self.memory.field("needed_key"), 32), "little")
        place = number & 0xFF
        self.knows_block_hashes = True
        word = little(int.from_bytes(self.get_block_hash(number), "big"))
        ctypes.memmove(self.memory.get("block_hashes") + 32 * place, word, 32)
        ctypes.c_uint64.from_address(self.memory.get("block_hash_numbers") + 8 * place).value = number + 1

    def forget_block_hashes(self) -> None:
        """Ask for them again: who supplies them may have got others since the last run."""
        self.knows_block_hashes = False
        ctypes.memset(self.memory.get("block_hash_numbers"), 0, 8 * 256)

    def _load_has_storage(self) -> None:
        row = self.memory.get("needed_row")
        answer = self.has_storage(self._needed_address())
        self.memory.set("answer", int(answer))
        self.memory.set("answered", row + 1)

    def code_row(self, code: bytes) -> int:
        """Row of `code`."""
        if type(code) is not bytes:  # whose address would not be where its bytes are
            code = bytes(code)
        row = self._code_rows.get(code)
        if row is None:
            self.call("keep_code", address_of_bytes(code), len(code))
            row = self._code_rows[code] = self.result()
            self.names.codes[row] = code
            if self.installation is not None:
                self.installation.met(row)
        return row

    def compile_with(self, tier: Tier | None) -> None:
        """Let `tier` compile what runs here; None for nobody. Nothing may run meanwhile."""
        former = self.installation
        if former is not None and former.tier is not tier:
            former.remove()
            self.installation = None
        if tier is not None and self.installation is None:
            self.installation = tier.installation(self.memory)

    def code_of_row(self, row: int) -> bytes:
        """The code in `row`."""
        code = self.names.codes.get(row)
        if code is None:
            at = self.memory.get("codes") + size_of(layout.Code) * row
            data, size = Struct("<QQ").unpack(ctypes.string_at(at, 16))
            code = self.names.codes[row] = ctypes.string_at(data, size)
            self._code_rows.setdefault(code, row)
        return code

    # What a store supplies

    def load_account(self, address: bytes) -> Account | None:
        """From the source."""
        return None if self.source is None else self.source.get_account(address)

    def load_storage(self, address: bytes, slot: int) -> int:
        """From the source."""
        return 0 if self.source is None else self.source.get_storage(address, slot)

    def load_record(self, address: bytes, key: bytes) -> bytes | None:
        """From the source."""
        return None if self.source is None else self.source.get_record(address, key)

    def load_slots(self, address: bytes) -> Iterable[int]:
        """From the source: what it has committed, and what it has not."""
        source = self.source
        if source is None:
            return ()
        return source.get_slots(address)

    def is_complete(self, address: bytes) -> bool:
        """Always without a source, never with one: that a source has no store behind it says nothing of itself."""
        return self.source is None

    def get_block_hash(self, number: int) -> bytes:
        """From `block_hashes`, or the source."""
        found = self.block_hashes.get(number)
        if found is not None:
            return found
        return bytes(32) if self.source is None else self.source.get_block_hash(number)

    def persist(self, changes: Iterable[StateChange]) -> None:
        """Write `changes` to the source and commit it; without one they are where they belong."""
        if self.source is not None:
            self.write_to(self.source)
            self.source.commit()

    def write_to(self, target: StateAccess) -> None:
        """Do to `target`, which is the source or like it, what has happened here since the last commit."""
        changes, cleared = self.changes_and_cleared(0)
        seen: set[bytes] = set()
        for address in self._cleared()[1]:  # removed, and there again perhaps: without records that nobody has loaded
            seen.add(address)
            target.delete_account(address)
            account = self.get_account(address)
            if account is not None:
                target.set_account(address, account)
            for key, value in self.records_of(address).items():
                target.set_record(address, key, value)
        for address in cleared:
            target.clear_storage(address)
            for slot, word in self.storage_of(address).items():
                target.set_storage(address, slot, word)
        for change in changes:
            if change.field == "storage":
                target.set_storage(change.address, change.key, change.new)  # type: ignore[arg-type]
            elif change.field == "record":
                target.set_record(change.address, change.key, change.new)  # type: ignore[arg-type]
            elif change.address not in seen:
                seen.add(change.address)
                account = self.get_account(change.address)
                if account is None:
                    target.delete_account(change.address)
                else:
                    target.set_account(change.address, account)

    # Snapshots

    def snapshot(self) -> int:
        """See `StateAccess.snapshot`."""
        self.note_host()
        return self._journal_count.value

    def note_host(self) -> None:
        """Tie the undo log of Python's containers (records, marks) to the native one.

        What they record before this is undone with the native changes before it.
        """
        position = self.journal.checkpoint()
        if position != self._noted:
            self._notes.append((self._journal_count.value, self._noted))
            self.call("note_host", self._noted)
            self._noted = position

    def revert(self, checkpoint: int) -> None:
        """See `StateAccess.revert`."""
        self.note_host()
        self._check(checkpoint)
        if checkpoint == self._journal_count.value:
            return
        self.call("undo_to", checkpoint)
        self.undo_host()

    def _check(self, checkpoint: int) -> None:
        """Raises `StateError` for one that is not in the undo log, where native code would look outside of it."""
        count = self._journal_count.value
        if not 0 <= checkpoint <= count:
            raise StateError(f"checkpoint {checkpoint} is not in the undo log, which has {count} entries")

    def undo_host(self) -> None:
        """Undo in Python's containers what native code has passed while undoing."""
        position = self._host_undone.value
        if position != NOTHING_UNDONE:
            self.journal.revert(position)
            self._noted = position
            while self._notes and self._notes[-1][1] >= position:
                self._notes.pop()
            self._host_undone.value = NOTHING_UNDONE

    def commit(self) -> None:
        """See `StateAccess.commit`."""
        self.persist(self.changes_since(0))
        self.settle()

    def settle(self) -> None:
        """See `StateAccess.settle`."""
        self.journal.clear()
        self._journal_count.value = 0
        self._noted = 0
        self._notes.clear()

    def diff(self) -> StateDiff:
        """See `StateAccess.diff`."""
        data = self._changes(0)
        found = None if self.journal.checkpoint() else read_diff(data)
        if found is None:  # something was cleared, or records have changed
            changes, cleared = self.changes_and_cleared(0)
            return self._diff(changes, cleared, self._cleared()[1])
        addresses, storage = found
        diff = StateDiff({address: self.get_account(address) for address in addresses}, storage, {}, set(), set())
        for address, account in diff.accounts.items():
            if account is None:
                diff.cleared_storage.add(address)
                diff.cleared_records.add(address)
                diff.storage[address] = self._words_known(address)
                diff.records[address] = {}
        return diff

    def _words_known(self, address: bytes) -> dict[int, int]:
        return self.storage_of(address)

    def changed_items(self) -> tuple[bytearray, int] | None:
        """What `diff` tells, as an array of `trie.kernels.Item`, of which so many are accounts.

        None where items cannot tell it: see `native.diff`. Records are none of theirs, either. Nor are they told while
        a run has its outcome where they would be.
        """
        if self.journal.checkpoint() or self.in_use.locked():
            return None
        collect = self._functions["collect_items"]
        while need := collect(self._run):
            self.meet(need)
        accounts = self._first_result.value
        return (bytearray(self._outcome()), accounts) if accounts or not self._journal_count.value else None

    def begin_transaction(self) -> None:
        """See `StateAccess.begin_transaction`."""
        super().begin_transaction()
        self._host_undone.value = NOTHING_UNDONE
        self.call("start_transaction")

    def changes_since(self, checkpoint: int) -> Iterator[StateChange]:
        """See `StateAccess.changes_since`."""
        return iter(self.changes_and_cleared(checkpoint)[0])

    def changes_and_cleared(self, checkpoint: int) -> tuple[list[StateChange], set[bytes]]:
        """The changes since `checkpoint`, and the accounts whose storage has been cleared since."""
        data = self._changes(checkpoint)
        begun = min((position for place, position in self._notes if place >= checkpoint), default=self._noted)
        return [*decode_changes(data, self), *self.record_changes(begun)], cleared_accounts(data)

    def _changes(self, checkpoint: int) -> bytes:
        """The changes since `checkpoint` as native code tells them."""
        self.note_host()
        self._check(checkpoint)
        with self._outcome_kept():
            self.call("collect_changes", checkpoint)
            return self._outcome()

    def record_changes(self, begun: int) -> list[StateChange]:
        """The changes of records since Python's undo log was at `begun`."""
        return [change for change in super().changes_since(begun) if change.field == "record"]

    def read_set(self) -> ReadSet:
        """What the last call, transaction or batch that ran natively on this state has looked at.

        What it has written is in the state changes of its results. Reads of this state from Python do not count, and of
        independent calls in columns over a base those may be missing that were forgotten on the way.
        """
        with self._outcome_kept():
            self.call("collect_reads")
            return decode_reads(self._outcome())

    def _outcome(self) -> bytes:
        return ctypes.string_at(self.memory.get("outcome"), self.memory.get("outcome_size"))

    @contextmanager
    def _outcome_kept(self) -> Iterator[None]:
        """Lend the place of outcomes, which a run may need that waits for a guest: it has those of the batch so far."""
        kept = self._outcome() if self.in_use.locked() else b""
        first_entry = self.memory.get("first_entry")
        self.memory.set("outcome_size", 0)
        yield
        ctypes.memmove(self.memory.get("outcome"), kept, len(kept))
        self.memory.set("outcome_size", len(kept))
        self.memory.set("first_entry", first_entry)

    # Marks of the transaction, which Python's VMs keep in dicts and native code in rows

    @contextmanager
    def lent_to_python(self) -> Iterator[None]:
        """Let a VM of Python go on with the running transaction's marks."""
        self._lent_stamp = 0  # reverts may have taken marks since they were lent last
        self.lend_marks()
        yield
        self._take_marks()
        self._lent_stamp = 0

    def lend_marks(self) -> None:
        """Put the transaction's marks where Python's VMs look for them, unless they have them already."""
        stamp = self.memory.get("stamp")
        if self._lent_stamp != stamp:
            self._lent_stamp = stamp
            for kind in (WARM_SLOTS, *(kind for _, kind in MARKS)):
                self._marks[kind] = {}  # other kinds are kept by Python alone
            self._give_account_marks(self, stamp)
            self._give_slot_marks(self, stamp)

    def give_marks(self, target: StateAccess) -> None:
        """Put the transaction's marks and transient words into another state, which has none."""
        stamp = self.memory.get("stamp")
        self._give_account_marks(target, stamp)
        self._give_slot_marks(target, stamp)
        rows, size = self.memory.get("transients"), size_of(layout.Slot)
        for number in range(1, self.memory.get("transient_count")):
            slot = Ptr(layout.Slot, rows + size * number)[0]
            target.set_transient(self._address_of_row(slot.account).to_bytes(20, "big"), slot.key, slot.word)

    def _give_account_marks(self, target: StateAccess, stamp: int) -> None:
        rows, size = self.memory.get("accounts"), size_of(layout.Account)
        for number in range(1, self.memory.get("account_count")):
            account = Ptr(layout.Account, rows + size * number)[0]
            if account.stamp == stamp and account.marks:
                address = account.address.to_bytes(20, "big")
                for bit, kind in MARKS:
                    if account.marks & bit:
                        target.marks(kind)[account.address if kind == WARM_ACCOUNTS else address] = True
        if self.memory.get("precompiles_stamp") == stamp:
            rows, size = self.memory.get("precompiles"), size_of(layout.Precompile)
            for number in range(self.memory.get("precompile_count")):
                target.marks(WARM_ACCOUNTS)[Ptr(layout.Precompile, rows + size * number)[0].address] = True

    def _give_slot_marks(self, target: StateAccess, stamp: int) -> None:
        rows, size = self.memory.get("slots"), size_of(layout.Slot)
        for number in range(1, self.memory.get("slot_count")):
            slot = Ptr(layout.Slot, rows + size * number)[0]
            if slot.warm_stamp == stamp:
                target.marks(WARM_SLOTS)[self._address_of_row(slot.account), slot.key] = True

    def _address_of_row(self, row: int) -> int:
        return int(Ptr(layout.Account, self.memory.get("accounts") + size_of(layout.Account) * row)[0].address)

    def _take_marks(self) -> None:
        for bit, kind in MARKS:
            for key in self.marks(kind):
                self.call("mark_account", key if isinstance(key, int) else int.from_bytes(key, "big"), bit)  # type: ignore[arg-type]
        for key in self.marks(WARM_SLOTS):
            self.call("mark_slot", *key)  # type: ignore[misc]

    # Accounts

    def get_account(self, address: bytes) -> Account | None:
        """See `StateAccess.get_account`."""
        row = self._account_row(address)
        if not row:
            return self._passed_on(address, None, None if self.source is None else self.source.get_account(address))
        at = self.memory.get("accounts") + ACCOUNT_ROW * row
        balance, nonce, code, flags, vm = ACCOUNT.unpack(ctypes.string_at(at, ACCOUNT.size))
        if not flags & layout.EXISTS:
            return None
        return Account(
            nonce,
            int.from_bytes(balance, "little"),
            self.names.codes.get(code) or self.code_of_row(code),
            self.names.vms[vm],
        )

    def _account_row(self, address: bytes) -> int:
        """The account's row, where it is loaded; 0 if it is not and has to stay so."""
        if len(address) != ADDRESS_SIZE:
            raise ValueError(WRONG_ADDRESS.format(len(address)))
        look = self._functions["seek_account" if self._readers else "fetch_account"]
        argument = address[::-1]
        ctypes.memmove(self._scratch, argument, ADDRESS_SIZE)
        while stopped := look(self._run):
            self.meet(stopped)
            ctypes.memmove(self._scratch, argument, ADDRESS_SIZE)
        return self._first_result.value

    def _passed_on(self, address: bytes, slot: int | None, value: T) -> T:
        """A value from the source that is not kept yet."""
        if self.source is not None and len(self._passed_over) < KEPT_ROOM:
            self._passed_over[address, slot] = None
        return value

    def set_account(self, address: bytes, account: Account) -> None:
        """See `StateAccess.set_account`."""
        if account.nonce >> 64 or account.balance >> 256:
            raise ValueError(f"nonce or balance of 0x{address.hex()} does not fit 64 or 256 bits")
        code, vm = self.code_row(account.code), self.names.number_of(account.vm)
        self.call("write_account", _number(address), account.nonce, account.balance, code, vm)

    def delete_account(self, address: bytes) -> None:
        """See `StateAccess.delete_account`."""
        self.call("remove_account", _number(address))
        self.clear_storage(address)
        records = self._open_records(address)
        if records or not records.complete:
            self.journal.set(self._records, address, Slots("record", address, complete=True))

    # Storage

    def get_storage(self, address: bytes, slot: int) -> int:
        """See `StateAccess.get_storage`."""
        return self._word(address, slot, 0)

    def get_original_storage(self, address: bytes, slot: int) -> int:
        """See `StateAccess.get_original_storage`."""
        return self._word(address, slot, 1)

    def _word(self, address: bytes, slot: int, which: int) -> int:
        """The word of a slot, or the one when the transaction began."""
        if self._readers:
            self.call("seek_slot", _number(address), slot)
            if not self.result(2):
                word = 0 if self.source is None else self.source.get_storage(address, slot)
                return self._passed_on(address, slot, word)
        else:
            self.call("fetch_slot", _number(address), slot)
        return self.result(which)

    def set_storage(self, address: bytes, slot: int, value: int) -> None:
        """See `StateAccess.set_storage`."""
        self.call("write_slot", _number(address), slot, value)

    def clear_storage(self, address: bytes) -> None:
        """See `StateAccess.clear_storage`."""
        self.call("forget_storage", _number(address))

    def _rows_of(self, address: bytes) -> Iterator[tuple[int, int, bool]]:
        """(slot, word, loaded) of each slot of the account that is in the table."""
        epoch, slots = self._slots_of(address)
        for slot in slots:
            stands = slot.epoch == epoch
            yield slot.key, slot.word if stands else 0, stands or epoch != 0

    def _slots_of(self, address: bytes) -> tuple[int, Iterator[layout.Slot]]:
        """Epoch of the account, and its rows in the table of slots."""
        account = self._account_at(address)

        def walk(row: int, slots: int) -> Iterator[layout.Slot]:
            while row:
                slot = refer(layout.Slot, slots + size_of(layout.Slot) * row)
                yield slot
                row = slot.following

        return account.epoch, walk(account.first_slot, self.memory.get("slots"))

    def has_storage(self, address: bytes) -> bool:
        """See `StateAccess.has_storage`."""
        known = {slot: word for slot, word, loaded in self._rows_of(address) if loaded}
        if any(known.values()):
            return True
        if self.source is None or self._epoch(address):
            return False
        if not known:
            return self.source.has_storage(address)
        return any(slot not in known for slot in self.load_slots(address))

    def get_slots(self, address: bytes) -> list[int]:
        """See `StateAccess.get_slots`."""
        known = {slot: word for slot, word, loaded in self._rows_of(address) if loaded}
        found = [slot for slot, word in known.items() if word]
        if self.source is not None and not self._epoch(address):
            found += [slot for slot in self.load_slots(address) if slot not in known]
        return found

    def _epoch(self, address: bytes) -> int:
        return int(self._account_at(address).epoch)

    def _account_at(self, address: bytes) -> layout.Account:
        """The account's row, or nobody's, in which all is zero."""
        return refer(layout.Account, self.memory.get("accounts") + ACCOUNT_ROW * self._account_row(address))

    def storage_of(self, address: bytes) -> dict[int, int]:
        """The account's words that are not zero and are known here, by slot, in order."""
        return dict(sorted((slot, word) for slot, word, _ in self._rows_of(address) if word))

    def accounts(self) -> Iterator[tuple[bytes, Account]]:
        """Every account that exists and is known here, in order of address."""
        rows, size = self.memory.get("accounts"), size_of(layout.Account)
        addresses = [
            ctypes.string_at(rows + size * row, 20)[::-1] for row in range(1, self.memory.get("account_count"))
        ]
        for address in sorted(addresses):
            account = self.get_account(address)
            if account is not None:
                yield address, account

    def set_record(self, address: bytes, key: bytes, value: bytes | None) -> None:
        """See `StateAccess.set_record`."""
        self._check_still("set_record")  # native code knows no records, so it cannot refuse that
        super().set_record(address, key, value)

    def records_of(self, address: bytes) -> dict[bytes, bytes]:
        """The account's records by key, in order."""
        return {key: value for key, value in sorted(self._records.get(address, {}).items()) if value is not None}

    # The running transaction

    def get_transient(self, address: bytes, slot: int) -> int:
        """See `StateAccess.get_transient`."""
        self.call("fetch_transient", _number(address), slot)
        return self.result()

    def set_transient(self, address: bytes, slot: int, value: int) -> None:
        """See `StateAccess.set_transient`."""
        self.call("write_transient", _number(address), slot, value)

    @property
    def events(self) -> list[Event]:
        """See `StateAccess`; a copy."""
        count, size = self.memory.get("log_count"), self.memory.get("log_bytes_count")
        logs = ctypes.string_at(self.memory.get("logs"), size_of(layout.Log) * count)
        return decode_events(logs, ctypes.string_at(self.memory.get("log_bytes"), size))

    @events.setter
    def events(self, events: list[Event]) -> None:
        if events:
            raise StateError("events of a native state are added with `emit`")

    def emit(self, event: Event) -> None:
        """See `StateAccess.emit`."""
        if len(event.topics) > 4:
            raise StateError(f"an event has at most 4 topics, got {len(event.topics)}")
        topics = [*event.topics, 0, 0, 0, 0][:4]
        place = self.memory.get("log_bytes_count")
        self.call("write_log", _number(event.address), len(event.topics), len(event.data), *topics)
        ctypes.memmove(self.memory.get("log_bytes") + place, event.data, len(event.data))


MARKS: Final = (
    (layout.WARM, WARM_ACCOUNTS),
    (layout.CREATED, CREATED),
    (layout.DESTROYED, DESTROYED),
    (layout.TOUCHED, TOUCHED),
)
IN_USE: Final = "a native state is used by one run at a time: another thread's, or the one that this call is made in"
NOTHING_UNDONE: Final = (1 << 64) - 1
ACCOUNT: Final = Struct("@24x32sQQQQ")
ACCOUNT_ROW: Final = size_of(layout.Account)
SLOT_ROW: Final = size_of(layout.Slot)
ADDRESS_SIZE: Final = 20
WRONG_ADDRESS: Final = "an address has 20 bytes, got {}"
LOADED_ACCOUNT: Final = Struct("@32sQQQQ")
BALANCE_OFFSET: Final = fields_of(layout.Account)["balance"].offset
WORD_OFFSET: Final = fields_of(layout.Slot)["word"].offset
EPOCH_OFFSET: Final = fields_of(layout.Slot)["epoch"].offset
_LOADERS: Final[dict[int, Callable[[NativeState], None]]] = {
    layout.NEED_ACCOUNT: NativeState._load_account,
    layout.NEED_SLOT: NativeState._load_slot,
    layout.NEED_BLOCK_HASH: NativeState._load_block_hash,
    layout.NEED_HAS_STORAGE: NativeState._load_has_storage,
}
_ROOMS: Final = {
    layout.NEED_ACCOUNT_ROOM: "accounts",
    layout.NEED_SLOT_ROOM: "slots",
    layout.NEED_TRANSIENT_ROOM: "transients",
    layout.NEED_CODE_ROOM: "codes",
    layout.NEED_JOURNAL_ROOM: "journal",
    layout.NEED_LOG_ROOM: "logs",
    layout.NEED_LOG_BYTES: "log_bytes",
    layout.NEED_MARKED_ROOM: "marked",
    layout.NEED_RETURN_ROOM: "return_data",
    layout.NEED_OUTCOME_ROOM: "outcome",
}
_STILL: Final = frozenset({"seek_account", "seek_slot"})
"""Functions that change nothing but their results."""
_BY_SIZE: Final = frozenset({"journal", "log_bytes", "return_data", "outcome"})


def _number(address: bytes) -> int:
    """An address as native code has it. Raises `ValueError` for what is none: native code would cut it to size."""
    if len(address) != ADDRESS_SIZE:
        raise ValueError(WRONG_ADDRESS.format(len(address)))
    return int.from_bytes(address, "big")


def _no_guest(state: NativeState) -> None:
    raise StateError(f"a frame of a guest outside a run: {state!r}")
