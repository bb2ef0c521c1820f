"""What has changed since the last commit, laid down as items for the tries: kernel functions of the native state."""

from __future__ import annotations

from vmloom.kernel import address_of, byteswap, pointer, store, u64, u256
from vmloom.kernel.memory import size_of

from ..trie.kernels import ACCOUNT_OF_SAME_STORAGE, REMOVE, SAME_ACCOUNT, WORD, Item
from .layout import BALANCE, CODE, EPOCH, EVM, EXISTS, FLAGS, NONCE, SLOT, Entry, Run
from .outcome import reserve_outcome

ITEM_SIZE = size_of(Item)


def put_items(run: Run) -> u64:
    """Write an item for each account, and behind those one for each word, of which the undo log tells, to `outcome`.

    Returns how many accounts they are, 0 also where items cannot tell all: where there is other code, an account or a
    storage has gone, or another VM than the EVM has a contract. What was changed back is told, too.
    """
    run.telling += 1
    run.outcome_size = 0
    accounts = u64(0)
    for index in range(run.journal_count):
        entry = run.journal[index]
        if entry.kind == CODE or entry.kind == EPOCH:
            return 0
        is_word = entry.kind == SLOT
        if is_word or entry.kind == BALANCE or entry.kind == NONCE or entry.kind == FLAGS:
            row = u64(run.slots[entry.row].account) if is_word else entry.row
            account = run.accounts[row]
            if account.telling != run.telling:
                if account.flags & EXISTS == 0 or account.vm > EVM:
                    return 0
                account.telling = run.telling
                account.told = accounts
                accounts += 1
                put_account(run, row)
            if not is_word:
                item_at(run, account.told).kind = ACCOUNT_OF_SAME_STORAGE
    for index in range(run.journal_count):
        put_word(run, run.journal[index])
    return accounts


def put_account(run: Run, row: u64) -> None:
    """Append the item of an account, of which only words are known to have changed so far."""
    account = run.accounts[row]
    item = next_item(run)
    item.kind = SAME_ACCOUNT
    item.vm = account.vm
    item.nonce = account.nonce
    item.number = account.balance
    store(u256, item.key, byteswap(u256, u256(account.address) << 96))
    store(u256, item.code_hash, byteswap(u256, run.codes[account.code].hash))


def put_word(run: Run, entry: Entry) -> None:
    """Append the item of the word that `entry` tells of, unless another one has told of it."""
    if entry.kind == SLOT and run.slots[entry.row].telling != run.telling:
        slot = run.slots[entry.row]
        account = run.accounts[slot.account]
        item = next_item(run)
        slot.telling = run.telling
        word = slot.word if slot.epoch == account.epoch else 0
        item.kind = REMOVE if word == 0 else WORD
        item.account = account.told
        item.number = word
        store(u256, item.key, byteswap(u256, slot.key))


def next_item(run: Run) -> Item:
    """Another item, behind those that there are."""
    end = run.outcome_size + ITEM_SIZE
    reserve_outcome(run, end)
    item = pointer(Item, address_of(run.outcome) + run.outcome_size)[0]
    run.outcome_size = end
    item.account = 0
    item.leaf = 0
    return item


def item_at(run: Run, place: u64) -> Item:
    """The item at a place."""
    return pointer(Item, address_of(run.outcome))[place]
