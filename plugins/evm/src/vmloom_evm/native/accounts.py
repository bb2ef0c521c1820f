"""What the rules do to accounts beyond reading a field: rows of tables, each change in the undo log."""

from __future__ import annotations

from vmloom.kernel import U64_MAX, Halt, byteswap, inline, load, local, outline, store, u8, u64, u160, u256

from .arena import find_precompile
from .base import SOME, UNKNOWN, ask_for_words
from .codes import add_code
from .hashing import hash_bytes
from .journal import (
    clear_storage,
    list_marked,
    marks_of,
    reserve_journal,
    set_balance,
    set_code_row,
    set_flags,
    set_marks,
    set_nonce,
)
from .layout import DEFAULT_VM, EVM, EXISTS, JOURNAL_HEADROOM, NEED_HAS_STORAGE, TOUCHED, Run
from .table import code_row, find_account

RIPEMD160_ADDRESS = 3
DELEGATION_PREFIX = 0xEF0100
"""EIP-7702: the first three bytes of a designator."""
DELEGATION_SIZE = 23


@inline
def exist(run: Run, row: u64) -> None:
    """Bring the account about if there is none."""
    flags = run.accounts[row].flags
    if flags & EXISTS == 0:
        set_flags(run, row, flags | EXISTS)


@outline
def move_balance(run: Run, source: u160, destination: u160, value: u256) -> None:
    """Move `value` wei; the sum wraps as a word does where a made-up state has 2**256 wei."""
    giver = find_account(run, source)
    taker = find_account(run, destination)
    set_balance(run, giver, u256(run.accounts[giver].balance - value))
    exist(run, taker)
    set_balance(run, taker, u256(run.accounts[taker].balance + value))


@outline
def touch(run: Run, row: u64, account: u160) -> None:
    """Note that the account is to go if it is empty. Mainnet keeps the touch of RIPEMD160 through a revert."""
    list_marked(run, row)
    if account == RIPEMD160_ADDRESS:
        run.ripemd_stamp = run.stamp
    set_marks(run, row, marks_of(run, row) | TOUCHED)


def delegate_in(run: Run, row: u64) -> u256:
    """EIP-7702: 2**160 plus the address that the account's code delegates to; 0 if it does not delegate."""
    code = code_row(run, row)
    if code.size != DELEGATION_SIZE:
        return 0
    word = byteswap(u256, load(u256, code.data))
    if word >> 232 != DELEGATION_PREFIX:
        return 0
    return (u256(1) << 160) | u160(word >> 72)


@outline
def has_storage(run: Run, account: u160) -> bool:
    """Whether any slot of the account is not zero: where native code does not know all of them, Python does."""
    row = find_account(run, account)
    known = ask_for_words(run, row)
    if known != UNKNOWN:
        return known == SOME
    if run.answered != row + 1:
        run.needed_account = account
        run.needed_row = row
        raise Halt(NEED_HAS_STORAGE)
    run.answered = 0
    return run.answer != 0


@outline
def is_warm_precompile(run: Run, account: u160) -> bool:
    """Whether it is a precompile, all of which are warm from the beginning. EIP-2929."""
    return run.precompiles_stamp == run.stamp and find_precompile(run, account) != 0


def set_delegation(run: Run, account: u160, target: u160) -> None:
    """Make the designator of `target` the account's code. EIP-7702."""
    row = find_account(run, account)
    reserve_journal(run, JOURNAL_HEADROOM)
    exist(run, row)
    data = local(u8, 32)
    store(u256, data, byteswap(u256, (u256(DELEGATION_PREFIX) << 232) | (u256(target) << 72)))
    set_code_row(run, row, add_code(run, data, DELEGATION_SIZE, hash_bytes(data, DELEGATION_SIZE)), EVM)


def delete_account(run: Run, address: u160) -> None:
    """Remove the account with its storage."""
    row = find_account(run, address)
    reserve_journal(run, JOURNAL_HEADROOM)
    account = run.accounts[row]
    set_balance(run, row, 0)
    set_nonce(run, row, 0)
    set_code_row(run, row, 0, DEFAULT_VM)
    set_flags(run, row, u64(account.flags & (U64_MAX ^ EXISTS)))
    clear_storage(run, row)


def select_marked(run: Run, mark: u64) -> u64:
    """List the accounts that bear `mark`. Returns how many they are."""
    count = u64(0)
    for index in range(run.marked_count):
        row = run.marked[index]
        kept = mark == TOUCHED and run.accounts[row].address == RIPEMD160_ADDRESS and run.ripemd_stamp == run.stamp
        if kept or marks_of(run, row) & mark != 0:
            run.selected[count] = row
            count += 1
    return count
