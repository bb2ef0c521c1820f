"""A lane: one execution in a slab of memory of its own, for processors that run thousands of them at once.

It is a run like any other: the same transactions, calls and tables, by the same functions. But nobody meets its needs:
what it does not have it copies from a base, which all lanes of a launch read and none writes, and tables have the room
that the launch gives them. A need that is left is the reason for which an execution escapes: it has to be run again
elsewhere, from its beginning, and nothing of it counts.
"""

from __future__ import annotations

from vmloom.kernel import (
    Halt,
    Ptr,
    address_of,
    attempt,
    copy,
    embedded,
    i64,
    inline,
    pointer,
    struct,
    u8,
    u32,
    u64,
    u256,
)
from vmloom.kernel.memory import size_of

from .base import search_base_slot
from .codes import mark_jump_destinations, share_code
from .hashing import hash_bytes
from .lane_words import put_item
from .layout import (
    CODE,
    EPOCH,
    EXECUTION,
    NEED_CLEARED_WORDS,
    NO_EPOCH,
    SLOT,
    Account,
    Change,
    Code,
    Entry,
    Frame,
    Log,
    Outcome,
    Run,
    Slot,
    Transaction,
)
from .machine import ITEM
from .outcome import CHANGE_SIZE, put, reserve_outcome, start_change
from .run import perform
from .table import clear_account, fill_slot, locate_account

RUN_SIZE = size_of(Run)
TRANSACTION_WORDS = size_of(Transaction) // 8
FRAME_SIZE = size_of(Frame)
WORD = 8

# Regions of a slab. The first ones have an index.
ACCOUNTS = 0
SLOTS = 1
TRANSIENTS = 2
CODES = 3
CODE_BYTES = 4
JOURNAL = 5
LOGS = 6
LOG_BYTES = 7
MARKED = 8
SELECTED = 9
RETURN_DATA = 10
MEMORY = 11
FRAMES = 12
RUN = 13
REGION_COUNT = 14


@struct
class Region:
    """A part of a slab: from byte `offset` of it, with room for so many rows; and where its index is, if it has one."""

    offset: u64
    room: u64
    index_offset: u64
    index_mask: u64


@struct
class LaneResult:
    """What became of an execution. Its outcome is in `Launch.outcomes`."""

    stopped: u64
    """0, or the need for which it escapes."""
    status: u64
    gas_left: i64
    outcome_offset: u64
    outcome_end: u64
    """Behind the outcome, and the codes that its changes name; see `put_codes`."""


@struct
class Launch:
    """What the lanes of a launch have in common. Slab, transaction and result of a lane are those of its number."""

    base: Run
    transactions: Ptr[Transaction]
    results: Ptr[LaneResult]
    outcomes: Ptr[u8]
    outcome_room: u64
    """Bytes for the outcome of each, a multiple of 8."""
    slabs: Ptr[u8]
    slab_size: u64
    stacks: Ptr[u8]
    """The stacks of all lanes, from a multiple of `stack_size`."""
    stack_size: u64
    """Bytes from the stacks of one depth of calls to those of the next."""
    interleave: u64
    """Lanes whose stacks are interleaved."""
    countdown: u64
    """Jumps, calls and creations after which an execution has taken too long."""
    regions: Ptr[Region] = embedded(REGION_COUNT)


def run_lane(row: u64, _count: u64, launch: Launch) -> None:
    """Run transaction `row` of a launch."""
    slab = address_of(launch.slabs) + row * launch.slab_size
    run = pointer(Run, slab + launch.regions[RUN].offset)[0]
    place_tables(run, launch, slab)
    place_frames(run, launch, slab, place_stacks(launch, row))
    run.transaction = launch.transactions[row]
    run.outcome = launch.outcomes
    run.outcome_size = row * launch.outcome_room
    run.outcome_room = (row + 1) * launch.outcome_room
    stopped = attempt(take_code, run)
    if stopped == 0:
        stopped = perform(run)
    if stopped == 0:
        stopped = attempt(finish, run)
    result = launch.results[row]
    result.stopped = stopped
    result.status = run.transaction.status
    result.gas_left = run.transaction.gas_left
    result.outcome_offset = row * launch.outcome_room
    result.outcome_end = run.outcome_size


def place_tables(run: Run, launch: Launch, slab: u64) -> None:
    """Begin with nothing in the tables, which are in the slab, and with the surroundings of the base."""
    clear_words(address_of(run), RUN_SIZE // WORD)
    base = launch.base
    run.base = base
    run.secret = base.secret
    run.second_secret = base.second_secret
    run.block = base.block
    run.block_hashes = base.block_hashes
    run.block_hash_numbers = base.block_hash_numbers
    run.near_precompiles = base.near_precompiles
    run.precompiles = base.precompiles
    run.precompile_count = base.precompile_count
    run.far_precompiles = base.far_precompiles
    run.last_epoch = base.last_epoch
    run.countdown = launch.countdown
    run.accounts = pointer(Account, slab + launch.regions[ACCOUNTS].offset)
    run.account_room = launch.regions[ACCOUNTS].room
    run.account_count = 1
    run.account_index = empty_index(launch.regions[ACCOUNTS], slab)
    run.account_mask = launch.regions[ACCOUNTS].index_mask
    clear_account(run.accounts[0])
    run.slots = pointer(Slot, slab + launch.regions[SLOTS].offset)
    run.slot_room = launch.regions[SLOTS].room
    run.slot_count = 1
    run.slot_index = empty_index(launch.regions[SLOTS], slab)
    run.slot_mask = launch.regions[SLOTS].index_mask
    fill_slot(run.slots[0], 0, 0, NO_EPOCH)
    run.transients = pointer(Slot, slab + launch.regions[TRANSIENTS].offset)
    run.transient_room = launch.regions[TRANSIENTS].room
    run.transient_count = 1
    run.transient_index = empty_index(launch.regions[TRANSIENTS], slab)
    run.transient_mask = launch.regions[TRANSIENTS].index_mask
    fill_slot(run.transients[0], 0, 0, 0)
    place_codes(run, launch, slab)
    run.journal = pointer(Entry, slab + launch.regions[JOURNAL].offset)
    run.journal_room = launch.regions[JOURNAL].room
    run.logs = pointer(Log, slab + launch.regions[LOGS].offset)
    run.log_room = launch.regions[LOGS].room
    run.log_bytes = pointer(u8, slab + launch.regions[LOG_BYTES].offset)
    run.log_bytes_room = launch.regions[LOG_BYTES].room
    run.marked = pointer(u64, slab + launch.regions[MARKED].offset)
    run.selected = pointer(u64, slab + launch.regions[SELECTED].offset)
    run.marked_room = launch.regions[MARKED].room
    run.return_data = pointer(u8, slab + launch.regions[RETURN_DATA].offset)
    run.return_room = launch.regions[RETURN_DATA].room


@inline
def empty_index(region: Region, slab: u64) -> Ptr[u32]:
    """The index of a table without rows."""
    clear_words(slab + region.index_offset, (region.index_mask + 1) >> 1)
    return pointer(u32, slab + region.index_offset)


def place_codes(run: Run, launch: Launch, slab: u64) -> None:
    """`place_tables` for codes, the first of which is none."""
    run.codes = pointer(Code, slab + launch.regions[CODES].offset)
    run.code_room = launch.regions[CODES].room
    run.code_count = 1
    run.code_index = empty_index(launch.regions[CODES], slab)
    run.code_mask = launch.regions[CODES].index_mask
    run.code_bytes = pointer(u8, slab + launch.regions[CODE_BYTES].offset)
    run.code_bytes_left = launch.regions[CODE_BYTES].room
    none = run.base.codes[0]
    code = run.codes[0]
    code.data = none.data
    code.size = 0
    code.hash = none.hash
    code.jump_destinations = none.jump_destinations
    code.compiled = 0
    code.patience = 0


def place_stacks(launch: Launch, row: u64) -> u64:
    """Where the first stack of a lane begins."""
    frames = launch.regions[FRAMES].room
    group = address_of(launch.stacks) + row // launch.interleave * frames * launch.stack_size
    return group + row % launch.interleave * ITEM


def place_frames(run: Run, launch: Launch, slab: u64, stack: u64) -> None:
    """Lay the frames and their memory out in the slab; their stacks begin at `stack`, one behind the other."""
    run.memory = pointer(u8, slab + launch.regions[MEMORY].offset)
    run.memory_end = run.memory + launch.regions[MEMORY].room
    frames = pointer(Frame, slab + launch.regions[FRAMES].offset)
    run.frames = frames
    clear_words(address_of(frames), FRAME_SIZE // WORD)
    for number in range(launch.regions[FRAMES].room):
        frame = frames[number]
        frame.run = run
        frame.bottom = pointer(u256, stack + number * launch.stack_size)
        frame.child = frames[number + 1]  # that of the last one is none, which `reserve_child` knows
        if number != 0:
            frame.parent = frames[number - 1]
    first = frames[0]
    first.memory = run.memory
    first.code = run.codes[0].data
    first.depth = -1
    run.frame = first


def take_code(run: Run) -> None:
    """Let the transaction, whose code is a row of the base's, have one of the run's."""
    tx = run.transaction
    if tx.mode == EXECUTION and tx.code != 0:
        tx.code = share_code(run, run.base.codes[tx.code])


def finish(run: Run) -> None:
    """See to it that what lies in the outcome can be read without the run."""
    for index in range(run.first_entry, run.journal_count):
        entry = run.journal[index]
        if entry.kind == EPOCH:
            restore_former_words(run)
            put_unseen(run, entry.row)
    for index in range(run.first_entry, run.journal_count):
        entry = run.journal[index]
        if entry.kind == CODE:
            put_codes(run, entry)


def restore_former_words(run: Run) -> None:
    """Let changes of words that were not loaded, for their storage was cleared before, tell the base's word."""
    base = run.base
    end = run.outcome_size
    header = pointer(Outcome, address_of(run.outcome) + run.transaction.outcome_offset)[0]
    place = end - header.change_count * CHANGE_SIZE
    while place < end:
        change = pointer(Change, address_of(run.outcome) + place)[0]
        if change.kind == SLOT and change.epoch == NO_EPOCH:
            base_row = run.accounts[locate_account(run, change.address)].base_row
            if base_row != 0:
                found = search_base_slot(base, base_row, change.key)
                if found != 0 and base.slots[found].epoch == base.accounts[base_row].epoch:
                    change.former = base.slots[found].word
                    change.epoch = 0
        place += CHANGE_SIZE


def put_unseen(run: Run, row: u64) -> None:
    """Add a change for each word that went with the storage of an account without the run's having loaded it.

    The base knows them, but for those that it has yet to load from elsewhere, which are for Python to tell.
    """
    base = run.base
    account = run.accounts[row]
    if account.base_row == 0:
        return
    origin = base.accounts[account.base_row]
    if base.is_complete == 0 and origin.epoch != 0:  # Python would take words for lost that had been cleared before
        raise Halt(NEED_CLEARED_WORDS)
    number = origin.first_slot
    while number != 0:
        slot = base.slots[number]
        if slot.epoch == origin.epoch and slot.word != 0:
            own = search_base_slot(run, row, slot.key)
            if own == 0 or run.slots[own].epoch == NO_EPOCH:
                put_cleared_word(run, row, slot)
        number = u64(slot.following)


def put_cleared_word(run: Run, row: u64, slot: Slot) -> None:
    """Append the change of one word to the changes of the outcome."""
    end = run.outcome_size
    reserve_outcome(run, end + CHANGE_SIZE)
    change = pointer(Change, address_of(run.outcome) + end)[0]
    start_change(run, change, SLOT, row)
    change.key = slot.key
    change.former = slot.word
    change.now = 0
    run.outcome_size = end + CHANGE_SIZE
    header = pointer(Outcome, address_of(run.outcome) + run.transaction.outcome_offset)[0]
    header.change_count += 1
    header.end = run.outcome_size


def put_codes(run: Run, entry: Entry) -> None:
    """Put the code that an account had behind the outcome, and the one it has, in the order of the changes of code.

    Rows of codes are the run's own. Of each code first its size and then its bytes, up to a multiple of 8.
    """
    put_code(run, run.codes[entry.number])
    put_code(run, run.codes[run.accounts[entry.row].code])


def put_code(run: Run, code: Code) -> None:
    """One code of `put_codes`."""
    reserve_outcome(run, run.outcome_size + code.size + 16)
    pointer(u64, address_of(run.outcome) + run.outcome_size)[0] = code.size
    run.outcome_size = put(run, run.outcome_size + 8, code.data, code.size)


def analyse_code(row: u64, _count: u64, codes: Ptr[Code]) -> None:
    """Find the jump destinations of one of the codes, whose bits are zero so far."""
    code = codes[row]
    mark_jump_destinations(code.data, code.size, code.jump_destinations)


# What goes to a device and comes from it: no more than has to


def spread_transaction(
    row: u64, count: u64, transactions: Ptr[u64], template: Ptr[u64], places: Ptr[u64], varying: u64, columns: Ptr[u64]
) -> None:
    """Make transaction `row`: the words of `template`, and its own in `varying` of them.

    Of these `places` has the word of a transaction, and the number of the column of `count` words to take it from.
    """
    words = transactions + row * TRANSACTION_WORDS
    for word in range(TRANSACTION_WORDS):
        words[word] = template[word]
    for number in range(varying):
        words[places[2 * number]] = columns[places[2 * number + 1] * count + row]


def summarise(row: u64, _count: u64, results: Ptr[LaneResult], summaries: Ptr[u64]) -> None:
    """Write how many words the outcome of an execution has; of one that escapes none, and the need, from bit 32 on."""
    result = results[row]
    size = (result.outcome_end - result.outcome_offset) >> 3
    summaries[row] = size if result.stopped == 0 else result.stopped << 32


def pack_outcome(
    row: u64,
    _count: u64,
    results: Ptr[LaneResult],
    outcomes: Ptr[u8],
    places: Ptr[u32],
    before: u64,
    packed: Ptr[u8],
) -> None:
    """Move the outcome of an execution from its place in `outcomes` to word `places[row]` of `packed`.

    There are `before` bytes of outcomes of other launches before those of this one.
    """
    result = results[row]
    if result.stopped == 0:
        place = u64(places[row]) * 8
        copy(packed + place, outcomes + result.outcome_offset, result.outcome_end - result.outcome_offset)
        header = pointer(Outcome, address_of(packed) + place)[0]
        header.end = before + place + (header.end - result.outcome_offset)


@inline
def clear_words(address: u64, count: u64) -> None:
    """Zero so many words of 8 bytes from a multiple of 16. GPUs would `fill` byte by byte."""
    items = count >> 2
    clear_items(pointer(u8, address), items)
    words = pointer(u64, address)
    for index in range(items << 2, count):
        words[index] = 0


@inline
def clear_items(begin: Ptr[u8], count: u64) -> None:
    """Zero so many times 32 bytes from a multiple of 16."""
    for _ in range(count):
        put_item(begin, 0)
        begin += ITEM


def clear_memory_by_items(begin: Ptr[u8], words: u64) -> None:
    """`arena.clear_memory` where memory begins at a multiple of 16."""
    clear_items(begin, words)


def hash_memory_afresh(_run: Run, data: Ptr[u8], size: u64) -> u256:
    """`hashing.hash_memory` without what it keeps, for which a slab has no room."""
    return hash_bytes(data, size)
