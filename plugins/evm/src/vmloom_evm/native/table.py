"""Tables of accounts and slots: rows in order of arrival, and an index by a keyed hash.

Finding a row never fails but by a need; which row a key has never changes, however the table grows. What is not loaded
is loaded from the base if that knows it.
"""

from __future__ import annotations

from vmloom.kernel import Halt, Ptr, address_of, fill, inline, is_null, outline, pointer, u8, u32, u64, u160, u256

from .base import copy_account, copy_slot
from .keys import hash_address, hash_slot
from .layout import (
    COMPLETE,
    KNOWN,
    NEED_ACCOUNT,
    NEED_ACCOUNT_ROOM,
    NEED_SLOT,
    NEED_SLOT_ROOM,
    NEED_TRANSIENT_ROOM,
    NO_EPOCH,
    Account,
    Code,
    Run,
    Slot,
)

# Accounts


@inline
def locate_account(run: Run, address: u160) -> u64:
    """Row of the account, loaded or not."""
    row = run.last_account
    if run.accounts[row].address == address and row != 0:
        return row
    return search_account(run, address)


def search_account(run: Run, address: u160) -> u64:
    """Row of the account, which is added, unloaded, if it is not there."""
    position = hash_address(run, address) & run.account_mask
    row = u64(run.account_index[position])
    while row != 0:
        if run.accounts[row].address == address:
            run.last_account = row
            if run.reading_stamp != 0:
                run.accounts[row].read_stamp = run.reading_stamp
            return row
        position = (position + 1) & run.account_mask
        row = u64(run.account_index[position])
    return add_account(run, address, position)


@outline
def add_account(run: Run, address: u160, position: u64) -> u64:
    """Add a row for `address`, whose index entry is `position`."""
    if run.account_count >= run.account_room:
        raise Halt(NEED_ACCOUNT_ROOM)
    row = run.account_count
    run.account_count += 1
    run.account_index[position] = u32(row)
    account = run.accounts[row]
    clear_account(account)
    account.address = address
    if run.is_complete != 0:
        account.flags = KNOWN + COMPLETE
    account.read_stamp = run.reading_stamp
    run.last_account = row
    return row


def clear_account(account: Account) -> None:
    """All zeros: an account that is not loaded."""
    account.address = 0
    account.balance = 0
    account.nonce = 0
    account.code = 0
    account.flags = 0
    account.vm = 0
    account.epoch = 0
    account.marks = 0
    account.stamp = 0
    account.listed = 0
    account.first_slot = 0
    account.read_stamp = 0
    account.base_row = 0
    account.telling = 0


@inline
def find_account(run: Run, address: u160) -> u64:
    """Row of the account, loaded."""
    row = locate_account(run, address)
    if run.accounts[row].flags & KNOWN == 0:
        load_account(run, address, row)
    return row


@outline
def load_account(run: Run, address: u160, row: u64) -> None:
    """Load the account in `row` from the base, or else stop until it is loaded."""
    if not is_null(run.base) and copy_account(run, row):
        return
    run.needed_account = address
    run.needed_row = row
    raise Halt(NEED_ACCOUNT)


def index_accounts(run: Run) -> None:
    """Address and mask of an empty index -> all rows are in it, and it is the table's."""
    run.account_index = pointer(u32, u64(run.scratch[0]))
    run.account_mask = u64(run.scratch[1])
    for row in range(1, run.account_count):
        position = hash_address(run, run.accounts[row].address) & run.account_mask
        while run.account_index[position] != 0:
            position = (position + 1) & run.account_mask
        run.account_index[position] = u32(row)


# Slots


@inline
def locate_slot(run: Run, account: u64, key: u256) -> u64:
    """Row of the slot, loaded or not."""
    row = run.last_slot
    slot = run.slots[row]
    if slot.key == key and slot.account == account:
        return row
    return search_slot(run, account, key)


def search_slot(run: Run, account: u64, key: u256) -> u64:
    """Row of the slot, which is added, unloaded, if it is not there."""
    position = hash_slot(run, account, key) & run.slot_mask
    row = u64(run.slot_index[position])
    while row != 0:
        slot = run.slots[row]
        if slot.key == key and slot.account == account:
            run.last_slot = row
            if run.reading_stamp != 0:
                slot.read_stamp = run.reading_stamp
            return row
        position = (position + 1) & run.slot_mask
        row = u64(run.slot_index[position])
    return add_slot(run, account, key, position)


@outline
def add_slot(run: Run, account: u64, key: u256, position: u64) -> u64:
    """Add a row for a slot, whose index entry is `position`."""
    if run.slot_count >= run.slot_room:
        raise Halt(NEED_SLOT_ROOM)
    row = run.slot_count
    run.slot_count += 1
    run.slot_index[position] = u32(row)
    slot = run.slots[row]
    fill_slot(slot, account, key, NO_EPOCH)
    slot.read_stamp = run.reading_stamp
    slot.following = u32(run.accounts[account].first_slot)
    run.accounts[account].first_slot = row
    run.last_slot = row
    return row


def fill_slot(slot: Slot, account: u64, key: u256, epoch: u64) -> None:
    """A slot whose word is zero and that no transaction has met."""
    slot.key = key
    slot.word = 0
    slot.original = 0
    slot.account = u32(account)
    slot.following = 0
    slot.epoch = epoch
    slot.warm_stamp = 0
    slot.original_stamp = 0
    slot.read_stamp = 0
    slot.telling = 0


@inline
def slot_word(run: Run, row: u64) -> u256:
    """The word of the slot in `row`, which is loaded if it has to be."""
    slot = run.slots[row]
    account = run.accounts[slot.account]
    if slot.epoch == account.epoch:
        return slot.word
    if slot.epoch == NO_EPOCH and account.epoch == 0:
        load_slot(run, row)
        return slot.word
    return 0


@outline
def load_slot(run: Run, row: u64) -> None:
    """Load the slot in `row`: as zero where no other can be, or from the base; or else stop until it is loaded."""
    slot = run.slots[row]
    if run.accounts[slot.account].flags & COMPLETE != 0:
        slot.epoch = 0
        return
    if not is_null(run.base) and copy_slot(run, row):
        return
    run.needed_account = run.accounts[slot.account].address
    run.needed_row = row
    run.needed_key = slot.key
    raise Halt(NEED_SLOT)


def index_slots(run: Run) -> None:
    """Address and mask of an empty index -> all rows are in it, and it is the table's."""
    run.slot_index = pointer(u32, u64(run.scratch[0]))
    run.slot_mask = u64(run.scratch[1])
    for row in range(1, run.slot_count):
        slot = run.slots[row]
        position = hash_slot(run, slot.account, slot.key) & run.slot_mask
        while run.slot_index[position] != 0:
            position = (position + 1) & run.slot_mask
        run.slot_index[position] = u32(row)


# Both


@outline
def forget_loaded(run: Run) -> None:
    """There are no accounts and slots any more; nothing may be left to undo."""
    forget_index(run.account_index, run.account_mask)
    forget_index(run.slot_index, run.slot_mask)
    run.account_count = 1
    run.slot_count = 1
    run.marked_count = 0
    run.last_account = 0
    run.last_slot = 0
    run.answered = 0


def forget_index(index: Ptr[u32], mask: u64) -> None:
    """Empty an index."""
    fill(pointer(u8, address_of(index)), 0, (mask + 1) * 4)


# Transient storage: a table of slots that is emptied with each transaction


def find_transient(run: Run, account: u64, key: u256) -> u64:
    """Row of the transient slot, 0 if it was never set."""
    position = hash_slot(run, account, key) & run.transient_mask
    row = u64(run.transient_index[position])
    while row != 0:
        slot = run.transients[row]
        if slot.key == key and slot.account == account:
            return row
        position = (position + 1) & run.transient_mask
        row = u64(run.transient_index[position])
    return 0


def locate_transient(run: Run, account: u64, key: u256) -> u64:
    """Row of the transient slot, which is added if it is not there."""
    row = find_transient(run, account, key)
    if row != 0:
        return row
    if run.transient_count >= run.transient_room:
        raise Halt(NEED_TRANSIENT_ROOM)
    row = run.transient_count
    run.transient_count += 1
    fill_slot(run.transients[row], account, key, 0)
    index_transient(run, row)
    return row


def index_transient(run: Run, row: u64) -> None:
    """Enter a row into the index."""
    slot = run.transients[row]
    position = hash_slot(run, slot.account, slot.key) & run.transient_mask
    while run.transient_index[position] != 0:
        position = (position + 1) & run.transient_mask
    run.transient_index[position] = u32(row)


def index_transients(run: Run) -> None:
    """Address and mask of an empty index -> all rows are in it, and it is the table's."""
    run.transient_index = pointer(u32, u64(run.scratch[0]))
    run.transient_mask = u64(run.scratch[1])
    for row in range(1, run.transient_count):
        index_transient(run, row)


def clear_transients(run: Run) -> None:
    """Empty the table, in time proportional to what is in it."""
    if run.transient_count > 1:
        for row in range(1, run.transient_count):
            slot = run.transients[row]
            position = hash_slot(run, slot.account, slot.key) & run.transient_mask
            while run.transient_index[position] != 0:
                run.transient_index[position] = 0
                position = (position + 1) & run.transient_mask
        run.transient_count = 1


# Code


@inline
def code_row(run: Run, account: u64) -> Code:
    """The code of the account in row `account`."""
    return run.codes[run.accounts[account].code]
