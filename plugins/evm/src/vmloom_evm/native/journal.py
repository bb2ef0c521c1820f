"""The undo log: what each change took away, and how it is put back."""

from __future__ import annotations

from vmloom.kernel import Halt, inline, outline, u64, u256

from .layout import (
    BALANCE,
    CODE,
    EPOCH,
    FLAGS,
    HOST,
    JOURNAL_HEADROOM,
    LOG,
    MARKED_HEADROOM,
    MARKS,
    NEED_JOURNAL_ROOM,
    NEED_MARKED_ROOM,
    NONCE,
    SLOT,
    SLOT_WARM,
    TRANSIENT,
    Entry,
    Run,
)
from .table import clear_transients, locate_slot


@inline
def reserve_journal(run: Run, count: u64) -> None:
    """Make sure that `count` entries have room."""
    if run.journal_count + count > run.journal_room:
        run.needed_bytes = count
        raise Halt(NEED_JOURNAL_ROOM)


@inline
def record(run: Run, kind: u64, row: u64, word: u256, number: u64) -> None:
    """Append an entry; `reserve_journal` has seen to its room."""
    entry = run.journal[run.journal_count]
    run.journal_count += 1
    entry.kind = kind
    entry.row = row
    entry.word = word
    entry.number = number
    entry.stamp = run.stamp


def undo(run: Run, checkpoint: u64) -> None:
    """Take back every change since the log had `checkpoint` entries."""
    while run.journal_count > checkpoint:
        run.journal_count -= 1
        undo_entry(run, run.journal[run.journal_count])


def undo_entry(run: Run, entry: Entry) -> None:
    """Put back what one change took away."""
    row = entry.row
    if entry.kind == SLOT:
        run.slots[row].word = entry.word
        run.slots[row].epoch = entry.number
    elif entry.kind == SLOT_WARM:
        run.slots[row].warm_stamp = entry.number
    elif entry.kind == MARKS:
        if run.accounts[row].stamp == entry.stamp:
            run.accounts[row].marks = entry.number
    elif entry.kind == BALANCE:
        run.accounts[row].balance = entry.word
    elif entry.kind == NONCE:
        run.accounts[row].nonce = entry.number
    elif entry.kind == FLAGS:
        run.accounts[row].flags = entry.number
    else:
        undo_rare_entry(run, entry)


@outline
def undo_rare_entry(run: Run, entry: Entry) -> None:
    """`undo_entry` for the rest."""
    row = entry.row
    if entry.kind == CODE:
        run.accounts[row].code = entry.number
        run.accounts[row].vm = u64(entry.word)
    elif entry.kind == EPOCH:
        run.accounts[row].epoch = entry.number
    elif entry.kind == TRANSIENT:
        if entry.stamp == run.stamp:
            run.transients[row].word = entry.word
    elif entry.kind == LOG:
        if entry.stamp == run.stamp:
            run.log_count = row
            run.log_bytes_count = entry.number
    elif entry.kind == HOST:
        run.host_undone = min(run.host_undone, entry.number)


# What an instruction, or a step of a transaction, may have to take back to begin again


@inline
def begin_instruction(run: Run, words: u64) -> None:
    """Note where things stand, so that a need can take the instruction back. `words` is the size of memory."""
    run.begun_journal = run.journal_count
    run.begun_words = words
    run.begun_return_size = run.return_size
    reserve_journal(run, JOURNAL_HEADROOM)
    # A need may not arise once another frame is current, so there is room for what an instruction marks.
    if run.marked_count + MARKED_HEADROOM > run.marked_room:
        raise Halt(NEED_MARKED_ROOM)


# Changes


@inline
def set_balance(run: Run, row: u64, balance: u256) -> None:
    """Set the balance in wei of an account that exists."""
    record(run, BALANCE, row, run.accounts[row].balance, 0)
    run.accounts[row].balance = balance


@inline
def set_nonce(run: Run, row: u64, nonce: u64) -> None:
    """Set the nonce of an account that exists."""
    record(run, NONCE, row, 0, run.accounts[row].nonce)
    run.accounts[row].nonce = nonce


@inline
def set_flags(run: Run, row: u64, flags: u64) -> None:
    """Set the flags of an account."""
    record(run, FLAGS, row, 0, run.accounts[row].flags)
    run.accounts[row].flags = flags


def set_code_row(run: Run, row: u64, code: u64, vm: u64) -> None:
    """Give an account the code in row `code`, for the VM with number `vm`."""
    record(run, CODE, row, run.accounts[row].vm, run.accounts[row].code)
    run.accounts[row].code = code
    run.accounts[row].vm = vm


def clear_storage(run: Run, row: u64) -> None:
    """Set every word of the account to zero, by beginning a new epoch."""
    record(run, EPOCH, row, 0, run.accounts[row].epoch)
    run.last_epoch += 1
    run.accounts[row].epoch = run.last_epoch


@inline
def marks_of(run: Run, row: u64) -> u64:
    """What this transaction has marked the account with."""
    account = run.accounts[row]
    return account.marks if account.stamp == run.stamp else 0


@inline
def set_marks(run: Run, row: u64, marks: u64) -> None:
    """Set what this transaction has marked the account with."""
    record(run, MARKS, row, 0, marks_of(run, row))
    run.accounts[row].marks = marks
    run.accounts[row].stamp = run.stamp


@outline
def list_marked(run: Run, row: u64) -> None:
    """Put the account among those that the end of the transaction looks at; `begin_instruction` made room."""
    if run.accounts[row].listed != run.stamp:
        run.marked[run.marked_count] = row
        run.marked_count += 1
        run.accounts[row].listed = run.stamp


@inline
def set_slot(run: Run, row: u64, word: u256) -> None:
    """Set a word of storage that is loaded; the transaction's first write keeps the original."""
    slot = run.slots[row]
    epoch = run.accounts[slot.account].epoch
    current = slot.word if slot.epoch == epoch else 0
    if slot.original_stamp != run.stamp:
        slot.original = current
        slot.original_stamp = run.stamp
    if word != current:
        record(run, SLOT, row, slot.word, slot.epoch)
        slot.word = word
        slot.epoch = epoch


@inline
def warm_slot(run: Run, row: u64) -> None:
    """Note an access to a slot."""
    record(run, SLOT_WARM, row, 0, run.slots[row].warm_stamp)
    run.slots[row].warm_stamp = run.stamp


def warm_slot_of(run: Run, account: u64, key: u256) -> None:
    """Note an access to a slot, loaded or not."""
    row = locate_slot(run, account, key)
    if run.slots[row].warm_stamp != run.stamp:
        reserve_journal(run, 1)
        warm_slot(run, row)


def begin_transaction(run: Run) -> None:
    """Forget the former transaction's marks, transient words, logs and original values."""
    run.stamp += 1
    run.log_count = 0
    run.log_bytes_count = 0
    run.marked_count = 0
    clear_transients(run)
