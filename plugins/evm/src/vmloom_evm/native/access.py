"""What Python asks of a native state, one call for each: arguments and results are words in `run.scratch`.

Every function may have a need, returned as its status.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from vmloom.kernel import Halt, Ptr, pointer, u8, u64, u160

from .arena import rebase_memory
from .base import has_all_words, search_base_account, search_base_slot
from .codes import add_code, index_codes
from .diff import put_items
from .hashing import hash_bytes
from .journal import (
    begin_transaction,
    clear_storage,
    list_marked,
    marks_of,
    record,
    reserve_journal,
    set_balance,
    set_code_row,
    set_flags,
    set_marks,
    set_nonce,
    set_slot,
    undo,
    warm_slot_of,
)
from .layout import (
    EXISTS,
    FLAGS,
    HOST,
    JOURNAL_HEADROOM,
    KNOWN,
    LOG,
    NEED_LOG_BYTES,
    NEED_LOG_ROOM,
    NEED_MARKED_ROOM,
    NO_EPOCH,
    SLOT,
    TRANSIENT,
    Run,
)
from .outcome import put_changes, put_read
from .table import (
    find_account,
    find_transient,
    forget_index,
    forget_loaded,
    index_accounts,
    index_slots,
    index_transients,
    locate_account,
    locate_slot,
    locate_transient,
    slot_word,
)


def fetch_account(run: Run) -> None:
    """Address -> row of the account, loaded."""
    run.scratch[0] = find_account(run, u160(run.scratch[0]))


def seek_account(run: Run) -> None:
    """Address -> row of the account if it is there and loaded, else 0. Nothing is added, nor changed."""
    row = search_base_account(run, u160(run.scratch[0]))
    run.scratch[0] = row if run.accounts[row].flags & KNOWN != 0 else u64(0)


def seek_slot(run: Run) -> None:
    """Address, key -> the word, the one when the transaction began, and whether they are known. Nothing is added."""
    account = search_base_account(run, u160(run.scratch[0]))
    row = search_base_slot(run, account, run.scratch[1])
    run.scratch[0] = 0
    run.scratch[1] = 0
    run.scratch[2] = 0
    if run.accounts[account].flags & KNOWN != 0:
        origin = run.accounts[account]
        slot = run.slots[row]
        if row != 0 and slot.epoch == origin.epoch:
            run.scratch[0] = slot.word
        if (row != 0 and slot.epoch != NO_EPOCH) or has_all_words(origin):
            run.scratch[2] = 1
        run.scratch[1] = slot.original if row != 0 and slot.original_stamp == run.stamp else run.scratch[0]


def write_account(run: Run) -> None:
    """Address, nonce, balance, code row, number of the VM -> the account exists and has them."""
    row = find_account(run, u160(run.scratch[0]))
    reserve_journal(run, JOURNAL_HEADROOM)
    account = run.accounts[row]
    if account.flags & EXISTS == 0:
        set_flags(run, row, account.flags | EXISTS)
    if account.nonce != u64(run.scratch[1]):
        set_nonce(run, row, u64(run.scratch[1]))
    if account.balance != run.scratch[2]:
        set_balance(run, row, run.scratch[2])
    if account.code != u64(run.scratch[3]) or account.vm != u64(run.scratch[4]):
        set_code_row(run, row, u64(run.scratch[3]), u64(run.scratch[4]))


def remove_account(run: Run) -> None:
    """Address -> the account does not exist; its storage is not looked at."""
    row = find_account(run, u160(run.scratch[0]))
    reserve_journal(run, JOURNAL_HEADROOM)
    account = run.accounts[row]
    if account.flags & EXISTS != 0:
        set_balance(run, row, 0)
        set_nonce(run, row, 0)
        set_code_row(run, row, 0, 0)
        set_flags(run, row, account.flags - EXISTS)


def forget_storage(run: Run) -> None:
    """Address -> every word of the account is zero."""
    row = find_account(run, u160(run.scratch[0]))
    reserve_journal(run, JOURNAL_HEADROOM)
    clear_storage(run, row)


def fetch_slot(run: Run) -> None:
    """Address, key -> the word, and the one when the transaction began."""
    account = find_account(run, u160(run.scratch[0]))
    row = locate_slot(run, account, run.scratch[1])
    slot = run.slots[row]
    run.scratch[0] = slot_word(run, row)
    run.scratch[1] = slot.original if slot.original_stamp == run.stamp else run.scratch[0]


def write_slot(run: Run) -> None:
    """Address, key, word -> the slot has the word."""
    account = find_account(run, u160(run.scratch[0]))
    row = locate_slot(run, account, run.scratch[1])
    slot_word(run, row)
    reserve_journal(run, JOURNAL_HEADROOM)
    set_slot(run, row, run.scratch[2])


def fetch_transient(run: Run) -> None:
    """Address, key -> the transient word."""
    account = find_account(run, u160(run.scratch[0]))
    run.scratch[0] = run.transients[find_transient(run, account, run.scratch[1])].word


def write_transient(run: Run) -> None:
    """Address, key, word -> the transient slot has the word."""
    account = find_account(run, u160(run.scratch[0]))
    row = locate_transient(run, account, run.scratch[1])
    reserve_journal(run, JOURNAL_HEADROOM)
    record(run, TRANSIENT, row, run.transients[row].word, 0)
    run.transients[row].word = run.scratch[2]


def keep_code(run: Run) -> None:
    """Address in memory, size -> row of the code."""
    data: Ptr[u8] = pointer(u8, u64(run.scratch[0]))
    size = u64(run.scratch[1])
    run.scratch[0] = add_code(run, data, size, hash_bytes(data, size)) if size != 0 else u64(0)


def write_log(run: Run) -> None:
    """Address, count of topics, size of data, four topics -> a log is there; Python copies the data."""
    size = u64(run.scratch[2])
    if run.log_count >= run.log_room:
        raise Halt(NEED_LOG_ROOM)
    if run.log_bytes_count + size > run.log_bytes_room:
        run.needed_bytes = size
        raise Halt(NEED_LOG_BYTES)
    reserve_journal(run, JOURNAL_HEADROOM)
    record(run, LOG, run.log_count, 0, run.log_bytes_count)
    log = run.logs[run.log_count]
    log.address = u160(run.scratch[0])
    log.count = u64(run.scratch[1])
    log.offset = run.log_bytes_count
    log.size = size
    for number in range(4):
        log.topics[number] = run.scratch[3 + number]
    run.log_count += 1
    run.log_bytes_count += size


def note_host(run: Run) -> None:
    """Position in the Python side's undo log -> an entry that tells of it when it is undone."""
    reserve_journal(run, JOURNAL_HEADROOM)
    record(run, HOST, 0, 0, u64(run.scratch[0]))


def undo_to(run: Run) -> None:
    """Position in the undo log -> every change since is taken back."""
    undo(run, u64(run.scratch[0]))


def start_transaction(run: Run) -> None:
    """The former transaction is forgotten."""
    begin_transaction(run)


def collect_changes(run: Run) -> None:
    """Position in the undo log -> the changes since are in `run.outcome`."""
    run.first_entry = u64(run.scratch[0])
    run.outcome_size = put_changes(run, 0)


def collect_items(run: Run) -> None:
    """How many accounts have changed since the last commit; they and changed words are items in `run.outcome`."""
    run.scratch[0] = put_items(run)


def forget_rows(run: Run) -> None:
    """There are no accounts and slots any more, and nothing to undo."""
    forget_loaded(run)
    forget_index(run.transient_index, run.transient_mask)
    run.transient_count = 1
    run.journal_count = 0
    run.log_count = 0
    run.log_bytes_count = 0
    run.stamp += 1
    run.first_stamp = NO_EPOCH


def forget_codes(run: Run) -> None:
    """There are no codes any more; no account may have one."""
    forget_index(run.code_index, run.code_mask)
    run.code_count = 1


def collect_reads(run: Run) -> None:
    """Accounts and slots that the last run has looked at are in `run.outcome`, each as a change."""
    end = u64(0)
    for row in range(1, run.account_count):
        if run.accounts[row].read_stamp >= run.first_stamp:
            end = put_read(run, end, FLAGS, row, 0)
    for row in range(1, run.slot_count):
        if run.slots[row].read_stamp >= run.first_stamp:
            end = put_read(run, end, SLOT, run.slots[row].account, run.slots[row].key)
    run.outcome_size = end


def mark_account(run: Run) -> None:
    """Address, mark -> the account bears the mark."""
    row = locate_account(run, u160(run.scratch[0]))
    reserve_journal(run, JOURNAL_HEADROOM)
    mark = u64(run.scratch[1])
    if run.marked_count >= run.marked_room:
        raise Halt(NEED_MARKED_ROOM)
    if marks_of(run, row) & mark == 0:
        list_marked(run, row)
        set_marks(run, row, marks_of(run, row) | mark)


def mark_slot(run: Run) -> None:
    """Address, key -> the slot is warm."""
    warm_slot_of(run, locate_account(run, u160(run.scratch[0])), run.scratch[1])


def move_memory(run: Run) -> None:
    """Former address and size, present address and size of the memory of frames -> it and their pointers are there."""
    run.memory = pointer(u8, u64(run.scratch[2]))
    run.memory_end = run.memory + u64(run.scratch[3])
    rebase_memory(run, u64(run.scratch[0]), u64(run.scratch[1]), u64(run.scratch[2]))


FUNCTIONS: Final[tuple[Callable[..., Any], ...]] = (
    fetch_account,
    seek_account,
    seek_slot,
    write_account,
    remove_account,
    forget_storage,
    fetch_slot,
    write_slot,
    fetch_transient,
    write_transient,
    keep_code,
    write_log,
    note_host,
    undo_to,
    start_transaction,
    forget_rows,
    forget_codes,
    collect_changes,
    collect_items,
    collect_reads,
    mark_account,
    mark_slot,
    move_memory,
    index_accounts,
    index_slots,
    index_transients,
    index_codes,
)
"""Those that Python calls, by their names."""
