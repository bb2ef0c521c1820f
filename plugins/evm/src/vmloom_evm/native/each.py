"""Calls that do not depend on one another, from columns and into columns: each runs on the state as it is.

A row for each would be half a kilobyte that Python writes and native code reads back from far away. So a call is put
together where the last one was, from a few columns, and what everybody asks for goes into columns, too.

What such a run has loaded from its base it can load again. So it forgets that now and then: its tables then stay in the
processor's nearer caches, which threads do not share, however many accounts the calls meet.
"""

from __future__ import annotations

from vmloom.kernel import copy, inline, is_null, u8, u64

from .journal import undo
from .layout import ADDRESS_BYTES, BEGINNING, DONE, Calls, Run
from .run import perform
from .table import forget_loaded

LOADED_TOGETHER = 16
"""Calls after which it is looked at how much is loaded: what all of them need is loaded once for so many."""


def perform_each(run: Run) -> u64:
    """`perform` for each of `run.calls`, taken back before the next one. Returns 0 or a need."""
    calls = run.calls
    if run.phase == BEGINNING and calls.next == 0:
        run.outcome_size = 0
        run.first_stamp = run.stamp + 1
    while calls.next < calls.count:
        if run.phase == BEGINNING:  # else it goes on, or ends, after a need
            take_call(run, calls)
        stopped = perform(run)
        if stopped != 0:
            return stopped
        end_apart(run, calls.next)
        put_result(run, calls)
    return DONE


@inline
def take_call(run: Run, calls: Calls) -> None:
    """Let `run.call` be the next call."""
    tx = run.call
    run.transaction = tx
    number = calls.next
    copy(tx.given_sender, calls.callers + ADDRESS_BYTES * number, ADDRESS_BYTES)
    copy(tx.given_origin, calls.callers + ADDRESS_BYTES * number, ADDRESS_BYTES)
    copy(tx.given_to, calls.addresses + calls.address_step * number, ADDRESS_BYTES)
    tx.value = 0
    tx.max_fee = calls.gas_price
    tx.gas_limit = calls.gas_limits[calls.gas_limit_step * number]
    tx.data = calls.data
    tx.data_size = calls.data_sizes[calls.data_size_step * number]
    tx.blob_count = 0
    tx.code = calls.codes[calls.code_step * number]
    tx.is_static = False


@inline
def put_result(run: Run, calls: Calls) -> None:
    """Write what came of the call into the columns, and go on to the next one."""
    tx = run.call
    number = calls.next
    calls.statuses[number] = u8(tx.status)
    calls.gas_used[number] = u64(tx.gas_limit - u64(tx.gas_left))
    calls.outcomes[number] = tx.outcome_offset
    calls.data += tx.data_size
    calls.next = number + 1


@inline
def end_apart(run: Run, number: u64) -> None:
    """Take back call `number`, and maybe what it and those before it have loaded."""
    undo(run, run.first_entry)
    if number % LOADED_TOGETHER == LOADED_TOGETHER - 1 and is_crowded(run):
        forget_loaded(run)


@inline
def is_crowded(run: Run) -> bool:
    """Whether so much is loaded, and nothing changed, that it had better be forgotten."""
    if is_null(run.base) or run.journal_count != 0:
        return False
    return run.account_count > run.account_room >> 1 or run.slot_count > run.slot_room >> 1
