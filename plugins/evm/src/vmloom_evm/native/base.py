"""Reading through another native state: what a run has not loaded is copied from its base, with no step of Python.

`Run.base` is the run of that state, or null. The base's memory is read here and never written, so any number of runs
may have one base at once; whoever sets it sees to it that nothing changes the base for that long, not even by loading.
What the base has not loaded either is a need, as without a base.
"""

from __future__ import annotations

from vmloom.kernel import outline, u64, u160, u256

from .codes import share_code
from .keys import hash_address, hash_slot
from .layout import COMPLETE, EXISTS, KNOWN, NO_EPOCH, Account, Run

UNKNOWN = 0
"""Answers of `ask_for_words`."""
NONE = 1
SOME = 2


@outline
def copy_account(run: Run, row: u64) -> bool:
    """Load the account in `row` from the base. False if the base does not know it."""
    base = run.base
    account = run.accounts[row]
    base_row = search_base_account(base, account.address)
    if base_row == 0:
        if base.is_complete == 0:
            return False
        account.flags = KNOWN + COMPLETE
        return True
    origin = base.accounts[base_row]
    if origin.flags & KNOWN == 0:
        return False
    code = share_code(run, base.codes[origin.code]) if origin.code != 0 else u64(0)
    account.code = code
    account.vm = origin.vm
    account.balance = origin.balance
    account.nonce = origin.nonce
    account.base_row = base_row
    account.flags = origin.flags & (KNOWN + EXISTS)
    if origin.first_slot == 0 and has_all_words(origin):
        account.flags |= COMPLETE
    return True


@outline
def copy_slot(run: Run, row: u64) -> bool:
    """Load the slot in `row`, whose account is loaded, from the base. False if the base does not know it."""
    slot = run.slots[row]
    base = run.base
    base_row = run.accounts[slot.account].base_row
    if base_row == 0:  # the account is from elsewhere, and its words are, too
        return False
    origin = base.accounts[base_row]
    found = search_base_slot(base, base_row, slot.key)
    word = u256(0)
    if found != 0 and base.slots[found].epoch == origin.epoch:
        word = base.slots[found].word
    elif not has_all_words(origin) and (found == 0 or base.slots[found].epoch == NO_EPOCH):
        return False
    slot.word = word
    slot.epoch = 0
    return True


def has_all_words(account: Account) -> bool:
    """Whether every word of the account that is not in its state's table is zero."""
    return account.epoch != 0 or account.flags & COMPLETE != 0


def search_base_account(base: Run, address: u160) -> u64:
    """Row of the account, 0 if it is not there."""
    position = hash_address(base, address) & base.account_mask
    row = u64(base.account_index[position])
    while row != 0:
        if base.accounts[row].address == address:
            return row
        position = (position + 1) & base.account_mask
        row = u64(base.account_index[position])
    return 0


def search_base_slot(base: Run, account: u64, key: u256) -> u64:
    """Row of the slot of the account in row `account`, 0 if it is not there."""
    position = hash_slot(base, account, key) & base.slot_mask
    row = u64(base.slot_index[position])
    while row != 0:
        slot = base.slots[row]
        if slot.key == key and slot.account == account:
            return row
        position = (position + 1) & base.slot_mask
        row = u64(base.slot_index[position])
    return 0


# Whether an account has storage


def ask_for_words(run: Run, row: u64) -> u64:
    """Whether any word of the account in `row`, which is loaded, is not zero: `SOME`, `NONE`, or `UNKNOWN`."""
    account = run.accounts[row]
    if has_word(run, row):
        return SOME
    if has_all_words(account):
        return NONE
    return ask_base(run, row) if account.base_row != 0 else u64(UNKNOWN)


def has_word(run: Run, row: u64) -> bool:
    """Whether a word that is loaded is not zero."""
    account = run.accounts[row]
    number = account.first_slot
    while number != 0:
        slot = run.slots[number]
        if slot.epoch == account.epoch and slot.word != 0:
            return True
        number = u64(slot.following)
    return False


def ask_base(run: Run, row: u64) -> u64:
    """`ask_for_words` for an account of which all words that are loaded here are zero."""
    base = run.base
    base_row = run.accounts[row].base_row
    origin = base.accounts[base_row]
    number = origin.first_slot
    while number != 0:
        slot = base.slots[number]
        if slot.epoch == origin.epoch and slot.word != 0:
            own = search_base_slot(run, row, slot.key)
            if own == 0 or run.slots[own].epoch == NO_EPOCH:
                return SOME
        number = u64(slot.following)
    return NONE if has_all_words(origin) else UNKNOWN
