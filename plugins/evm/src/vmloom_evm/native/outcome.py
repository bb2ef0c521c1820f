"""What came of a run, laid down as bytes that Python copies at once and reads when asked: output, logs, changes."""

from __future__ import annotations

from vmloom.kernel import Halt, Ptr, address_of, copy, pointer, u8, u64, u256
from vmloom.kernel.memory import size_of

from .layout import (
    BALANCE,
    CODE,
    EPOCH,
    EXISTS,
    FLAGS,
    NEED_OUTCOME_ROOM,
    NONCE,
    SLOT,
    Change,
    Entry,
    Log,
    Outcome,
    Run,
    Transaction,
)
from .table import find_account

LOG_SIZE = size_of(Log)
CHANGE_SIZE = size_of(Change)
HEADER_SIZE = size_of(Outcome)


def keep_outcome(run: Run, tx: Transaction) -> None:
    """Append what came of the run to `run.outcome`."""
    begin = run.outcome_size
    reserve_outcome(run, begin + HEADER_SIZE + run.return_size + run.log_count * LOG_SIZE + run.log_bytes_count + 32)
    end = put(run, begin + HEADER_SIZE, run.return_data, run.return_size)
    if run.log_count != 0:
        end = put(run, end, pointer(u8, address_of(run.logs)), run.log_count * LOG_SIZE)
        end = put(run, end, run.log_bytes, run.log_bytes_count)
    changes = end
    end = put_changes(run, end)
    run.outcome_size = end
    tx.outcome_offset = begin
    tx.status = run.status
    tx.gas_left = run.frame.gas
    header = pointer(Outcome, address_of(run.outcome) + begin)[0]
    header.refusal = tx.refusal
    header.end = end
    header.status = run.status
    header.gas_left = run.frame.gas
    header.refund = run.frame.refund
    header.gas_used = tx.gas_used
    header.max_gas_used = tx.max_gas_used
    header.return_size = run.return_size
    header.log_count = run.log_count
    header.log_bytes = run.log_bytes_count
    header.change_count = (end - changes) // CHANGE_SIZE
    header.created = tx.created
    header.gas_price = run.gas_price
    if tx.refusal != 0:
        sender = run.accounts[find_account(run, tx.sender)]
        header.sender_nonce = sender.nonce
        header.sender_balance = sender.balance
        header.gas_available = tx.gas_available
        header.blob_gas_available = tx.blob_gas_available


def reserve_outcome(run: Run, end: u64) -> None:
    """Make sure that the outcome may reach `end`."""
    if end > run.outcome_room:
        run.needed_bytes = end
        raise Halt(NEED_OUTCOME_ROOM)


def put(run: Run, offset: u64, data: Ptr[u8], size: u64) -> u64:
    """Copy bytes to `offset` of the outcome. Returns where what follows begins."""
    copy(run.outcome + offset, data, size)
    return (offset + size + 7) & ROUND_DOWN


ROUND_DOWN = (1 << 64) - 8


def put_changes(run: Run, begin: u64) -> u64:
    """Write a change for each entry of the undo log that tells of one, from offset `begin`. Returns where they end.

    Of a slot the first one tells all: what stood there, and what stands there now.
    """
    end = begin
    run.telling += 1
    for index in range(run.first_entry, run.journal_count):
        entry = run.journal[index]
        reserve_outcome(run, end + CHANGE_SIZE)
        change = pointer(Change, address_of(run.outcome) + end)[0]
        if entry.kind == SLOT:
            if run.slots[entry.row].telling != run.telling:
                run.slots[entry.row].telling = run.telling
                put_slot(run, change, entry.row, entry.word, entry.number)
                end += CHANGE_SIZE
        elif entry.kind == BALANCE or entry.kind == NONCE or entry.kind == FLAGS:
            put_field(run, change, entry)
            end += CHANGE_SIZE
        elif entry.kind == CODE:
            put_code(run, change, entry)
            end += CHANGE_SIZE
        elif entry.kind == EPOCH:
            end = put_cleared(run, end, entry)
    return end


def put_slot(run: Run, change: Change, row: u64, former: u256, epoch: u64) -> None:
    """A word of storage, which was `former` in an epoch."""
    slot = run.slots[row]
    start_change(run, change, SLOT, slot.account)
    change.epoch = epoch
    change.key = slot.key
    change.former = former
    change.now = slot.word if slot.epoch == run.accounts[slot.account].epoch else 0


def put_cleared(run: Run, begin: u64, entry: Entry) -> u64:
    """A storage that was cleared, and each word that stood in it. Returns where they end.

    That includes zeros if it was the storage that the source has: what is not told here, was not known here.
    """
    account = run.accounts[entry.row]
    change = pointer(Change, address_of(run.outcome) + begin)[0]
    start_change(run, change, EPOCH, entry.row)
    change.former = entry.number
    change.now = account.epoch
    end = begin + CHANGE_SIZE
    row = account.first_slot
    while row != 0:
        slot = run.slots[row]
        if slot.epoch == entry.number and (slot.word != 0 or entry.number == 0):
            reserve_outcome(run, end + CHANGE_SIZE)
            put_slot(run, pointer(Change, address_of(run.outcome) + end)[0], row, slot.word, slot.epoch)
            end += CHANGE_SIZE
        row = u64(slot.following)
    return end


def put_field(run: Run, change: Change, entry: Entry) -> None:
    """A balance, a nonce, or whether the account exists."""
    account = run.accounts[entry.row]
    start_change(run, change, entry.kind, entry.row)
    if entry.kind == BALANCE:
        change.former = entry.word
        change.now = account.balance
    elif entry.kind == NONCE:
        change.former = entry.number
        change.now = account.nonce
    else:
        change.former = entry.number & EXISTS
        change.now = account.flags & EXISTS


def put_code(run: Run, change: Change, entry: Entry) -> None:
    """Code, by rows, with the numbers of the VMs that run it in the key: the former one above 64 bits."""
    account = run.accounts[entry.row]
    start_change(run, change, CODE, entry.row)
    change.key = (u256(u64(entry.word)) << 64) | account.vm
    change.former = entry.number
    change.now = account.code


def start_change(run: Run, change: Change, kind: u64, row: u64) -> None:
    """Kind and account."""
    change.kind = kind
    change.epoch = 0
    change.account_epoch = run.accounts[row].epoch
    change.address = run.accounts[row].address
    change.key = 0


def put_read(run: Run, begin: u64, kind: u64, row: u64, key: u256) -> u64:
    """Note that an account, or a slot of it, was looked at. Returns where what follows begins."""
    reserve_outcome(run, begin + CHANGE_SIZE)
    change = pointer(Change, address_of(run.outcome) + begin)[0]
    start_change(run, change, kind, row)
    change.key = key
    return begin + CHANGE_SIZE
