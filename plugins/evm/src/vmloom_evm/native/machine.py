"""The machine's vocabulary over native arenas and tables: what `reference.frame.EvmFrame` is to CPython.

A `NativeMachine` is the registers of the current frame: the driver keeps them in the processor's registers, so what
is called for seldom takes the frame or the run instead, lest they be forced into memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from vmloom.kernel import (
    Halt,
    Ptr,
    byteswap,
    copy,
    fill,
    i64,
    inline,
    load,
    outline,
    start,
    store,
    struct,
    u8,
    u64,
    u160,
    u256,
    view,
)

from ..rules import Rules
from .accounts import (
    delegate_in,
    delete_account,
    exist,
    has_storage,
    is_warm_precompile,
    move_balance,
    select_marked,
    set_delegation,
    touch,
)
from .arena import (
    STACK_SPACING,
    add_log,
    choose_guest,
    end_of_memory,
    fill_from,
    find_precompile,
    give_output,
    grow_memory,
    open_child,
    prepare_code,
    read_end,
    reserve_child,
    reserve_memory,
    run_code,
)
from .codes import add_code, mark_jump_destinations
from .hashing import address_by_nonce, address_by_salt, hash_bytes, hash_memory
from .journal import (
    begin_transaction,
    clear_storage,
    list_marked,
    marks_of,
    record,
    set_balance,
    set_code_row,
    set_marks,
    set_nonce,
    set_slot,
    undo,
    warm_slot,
    warm_slot_of,
)
from .layout import (
    CODE_PADDING,
    CREATED,
    DEFAULT_VM,
    DESTROYED,
    EVM,
    EXISTS,
    GUEST,
    LOG,
    NEED_BLOCK_HASH,
    NEED_PAUSE,
    PAUSE_INTERVAL,
    TOUCHED,
    TRANSIENT,
    WARM,
    Frame,
    Run,
)
from .table import (
    code_row,
    find_account,
    find_transient,
    locate_account,
    locate_slot,
    locate_transient,
    slot_word,
)

ITEM = 32
"""Bytes of an item of a stack."""
ENTER = 3
"""Events of a traced build."""
LEAVE = 4


@dataclass(frozen=True)
class Build:
    """What a build is made for, beside the fork's rules: a compile-time constant of `NativeMachine`."""

    traced: bool
    """Whether tracers are told of each instruction. If not, compiled code runs in its place where there is some."""
    frames: int = 0
    """Frames that there are, if they are fewer than calls may nest: whoever needs one more has `NEED_FRAME_ROOM`."""
    stack_spacing: int = STACK_SPACING
    """Items from one frame's stack to the next, a power of two. With no more than the stack limit it holds one item
    less than that, and whoever needs more has `NEED_STACK_ROOM`."""
    interleave: int = 1
    """Runs whose stacks are interleaved, a power of two: first the first items of all of them, then the second ones.
    With 1, items of a stack are neighbours."""

    @property
    def item_size(self) -> int:
        """Bytes from one item of a stack to the next."""
        return ITEM * self.interleave

    @property
    def stack_size(self) -> int:
        """Bytes from the stacks of one depth of calls to those of the next; they begin at multiples of it."""
        return self.stack_spacing * self.item_size

    @property
    def depth_mask(self) -> int:
        """What of the address where a stack ends tells how deep it is, in bytes of `item_size` for each item."""
        return self.stack_size - (1 if self.interleave == 1 else self.item_size)


@struct
class NativeMachine:
    """The registers of the current frame. Fields and verbs are those of `machine.Machine`."""

    build: ClassVar[Build]
    rules: ClassVar[Rules]
    gas: i64
    pc: u64
    top: Ptr[u256]
    frame: Frame

    # What this frame is

    @property
    def depth(m) -> i64:
        return m.frame.depth

    @property
    def is_static(m) -> bool:
        return m.frame.is_static

    @property
    def is_create(m) -> bool:
        return m.frame.is_create

    @property
    def address(m) -> u160:
        return m.frame.address

    @property
    def caller(m) -> u160:
        return m.frame.caller

    @property
    def value(m) -> u256:
        return m.frame.value

    @property
    def code(m) -> bytes:
        return view(m.frame.code, m.frame.code_size)

    @property
    def input(m) -> bytes:
        return view(m.frame.input, m.frame.input_size)

    @property
    def checkpoint(m) -> u64:
        return m.frame.checkpoint

    @property
    def output_offset(m) -> u64:
        return m.frame.output_offset

    @property
    def output_size(m) -> u64:
        return m.frame.output_size

    @property
    def refund(m) -> i64:
        return m.frame.refund

    @refund.setter
    def refund(m, refund: i64) -> None:
        m.frame.refund = refund

    @property
    def memory_words(m) -> u64:
        return m.frame.memory_words

    @property
    def return_data(m) -> bytes:
        return view(m.frame.run.return_data, m.frame.run.return_size)

    # Stack and flow

    @inline
    def push(m, value: u256) -> None:
        m.top[0] = value
        m.top = m.top + m.build.interleave

    @inline
    def is_jump_destination(m, destination: u64) -> bool:
        frame = m.frame
        pause(frame.run)
        if destination >= frame.code_size:
            return False
        return (frame.jump_destinations[destination >> 3] >> (destination & 7)) & 1 != 0

    # Memory

    @inline
    def grow_memory(m, words: u64) -> None:
        grow_memory(m.frame, words)

    @inline
    def memory_read(m, offset: u64) -> u256:
        return byteswap(u256, load(u256, m.frame.memory + offset))

    @inline
    def memory_read_byte(m, offset: u64) -> u8:
        return m.frame.memory[offset]

    @inline
    def memory_write(m, offset: u64, value: u256) -> None:
        store(u256, m.frame.memory + offset, byteswap(u256, value))

    @inline
    def memory_write_byte(m, offset: u64, value: u8) -> None:
        m.frame.memory[offset] = value

    @inline
    def memory_move(m, destination: u64, source: u64, size: u64) -> None:
        if size != 0:
            copy(m.frame.memory + destination, m.frame.memory + source, size)

    @inline
    def memory_fill(m, destination: u64, source: bytes, offset: u256, size: u64) -> None:
        if size != 0:
            fill_from(m.frame.memory + destination, start(source), len(source), offset, size)

    @inline
    def memory_hash(m, offset: u64, size: u64) -> u256:
        return hash_memory(m.frame.run, m.frame.memory + offset, size)

    @inline
    def read_word(m, source: bytes, offset: u256) -> u256:
        size = len(source)
        if offset >= size:
            return 0
        if size - u64(offset) >= 32:
            return byteswap(u256, load(u256, start(source) + u64(offset)))
        return read_end(start(source) + u64(offset), size - u64(offset))

    # Accounts

    @inline
    def exists(m, account: u160) -> bool:
        run = m.frame.run
        return run.accounts[find_account(run, account)].flags & EXISTS != 0

    @inline
    def is_empty(m, account: u160) -> bool:
        run = m.frame.run
        row = run.accounts[find_account(run, account)]
        return row.nonce == 0 and row.balance == 0 and row.code == 0

    @inline
    def balance(m, account: u160) -> u256:
        run = m.frame.run
        return run.accounts[find_account(run, account)].balance

    @inline
    def nonce(m, account: u160) -> u64:
        run = m.frame.run
        return run.accounts[find_account(run, account)].nonce

    def set_nonce(m, account: u160, nonce: u64) -> None:
        run = m.frame.run
        row = find_account(run, account)
        exist(run, row)
        set_nonce(run, row, nonce)

    @inline
    def code_of(m, account: u160) -> bytes:
        run = m.frame.run
        code = code_row(run, find_account(run, account))
        return view(code.data, code.size)

    @inline
    def code_hash(m, account: u160) -> u256:
        run = m.frame.run
        return code_row(run, find_account(run, account)).hash

    def set_code(m, account: u160, offset: u64, size: u64) -> None:
        run = m.frame.run
        row = find_account(run, account)
        exist(run, row)
        if size != 0:
            data = m.frame.memory + offset
            set_code_row(run, row, add_code(run, data, size, hash_bytes(data, size)), EVM)
        else:
            set_code_row(run, row, 0, DEFAULT_VM)

    def delegate_of(m, account: u160) -> u256:
        run = m.frame.run
        return delegate_in(run, find_account(run, account))

    @inline
    def move_balance(m, source: u160, destination: u160, value: u256) -> None:
        if value != 0:
            move_balance(m.frame.run, source, destination, value)

    def burn_balance(m, account: u160) -> None:
        run = m.frame.run
        row = find_account(run, account)
        exist(run, row)
        set_balance(run, row, 0)

    def bring_about(m, account: u160) -> None:
        run = m.frame.run
        exist(run, find_account(run, account))

    @inline
    def touch(m, account: u160) -> None:
        run = m.frame.run
        row = locate_account(run, account)
        marks = marks_of(run, row)
        if marks & TOUCHED == 0:
            touch(run, row, account)

    @inline
    def is_warm(m, account: u160) -> bool:
        run = m.frame.run
        return marks_of(run, locate_account(run, account)) & WARM != 0 or is_warm_precompile(run, account)

    @inline
    def warm(m, account: u160) -> None:
        run = m.frame.run
        row = locate_account(run, account)
        marks = marks_of(run, row)
        if marks & WARM == 0:
            set_marks(run, row, marks | WARM)

    # Storage

    @inline
    def load_slot(m, key: u256) -> u256:
        run = m.frame.run
        return slot_word(run, locate_slot(run, m.frame.account, key))

    @inline
    def original_slot(m, key: u256) -> u256:
        run = m.frame.run
        row = locate_slot(run, m.frame.account, key)
        slot = run.slots[row]
        return slot.original if slot.original_stamp == run.stamp else slot_word(run, row)

    @inline
    def store_slot(m, key: u256, value: u256) -> None:
        run = m.frame.run
        set_slot(run, locate_slot(run, m.frame.account, key), value)

    @inline
    def is_warm_slot(m, key: u256) -> bool:
        run = m.frame.run
        return run.slots[locate_slot(run, m.frame.account, key)].warm_stamp == run.stamp

    @inline
    def warm_slot(m, key: u256) -> None:
        run = m.frame.run
        warm_slot(run, locate_slot(run, m.frame.account, key))

    @inline
    def load_transient(m, key: u256) -> u256:
        run = m.frame.run
        return run.transients[find_transient(run, m.frame.account, key)].word

    @inline
    def store_transient(m, key: u256, value: u256) -> None:
        run = m.frame.run
        row = locate_transient(run, m.frame.account, key)
        record(run, TRANSIENT, row, run.transients[row].word, 0)
        run.transients[row].word = value

    # Creation and destruction

    def create_address(m, nonce: u64) -> u160:
        return address_by_nonce(m.frame.address, nonce)

    def create2_address(m, salt: u256, offset: u64, size: u64) -> u160:
        return address_by_salt(m.frame.address, salt, hash_bytes(m.frame.memory + offset, size))

    def has_storage(m, account: u160) -> bool:
        return has_storage(m.frame.run, account)

    def begin_account(m, account: u160) -> None:
        run = m.frame.run
        row = find_account(run, account)
        clear_storage(run, row)
        set_marks(run, row, marks_of(run, row) | CREATED)

    def was_created(m, account: u160) -> bool:
        run = m.frame.run
        return marks_of(run, locate_account(run, account)) & CREATED != 0

    def was_destroyed(m, account: u160) -> bool:
        run = m.frame.run
        return marks_of(run, locate_account(run, account)) & DESTROYED != 0

    def destroy(m, account: u160) -> None:
        run = m.frame.run
        row = locate_account(run, account)
        list_marked(run, row)
        set_marks(run, row, marks_of(run, row) | DESTROYED)

    # Logs

    @inline
    def record(m, offset: u64, size: u64, count: u64, a: u256, b: u256, c: u256, d: u256) -> None:
        run = m.frame.run
        row = run.log_count
        data = run.log_bytes_count
        add_log(m.frame, offset, size, count, a, b, c, d)
        record(run, LOG, row, 0, data)

    # Surroundings

    @inline
    def origin(m) -> u160:
        return m.frame.run.origin

    @inline
    def gas_price(m) -> u256:
        return m.frame.run.gas_price

    @inline
    def blob_hash(m, index: u256) -> u256:
        run = m.frame.run
        return run.blob_hashes[u64(index)] if index < run.blob_count else 0

    def block_hash(m, number: u256) -> u256:
        return block_hash(m.frame.run, number)

    @inline
    def block_number(m) -> u256:
        return m.frame.run.block.number

    @inline
    def coinbase(m) -> u160:
        return m.frame.run.block.coinbase

    @inline
    def timestamp(m) -> u256:
        return m.frame.run.block.timestamp

    @inline
    def randomness(m) -> u256:
        return m.frame.run.block.randomness

    @inline
    def block_gas_limit(m) -> u256:
        return m.frame.run.block.gas_limit

    @inline
    def chain_id(m) -> u256:
        return m.frame.run.block.chain_id

    @inline
    def base_fee(m) -> u256:
        return m.frame.run.block.base_fee

    @inline
    def blob_base_fee(m) -> u256:
        return m.frame.run.block.blob_base_fee

    # Frames

    @inline
    def spill(m) -> None:
        """Write the registers to the frame."""
        m.frame.gas = m.gas
        m.frame.pc = m.pc
        m.frame.top = m.top

    @inline
    def enter(m, frame: Frame) -> NativeMachine:
        """Go on as `frame`."""
        m.frame = frame
        m.gas = frame.gas
        m.pc = frame.pc
        m.top = frame.top
        return m

    def open_call(
        m,
        gas: u64,
        caller: u160,
        address: u160,
        code_address: u160,
        delegated: bool,
        value: u256,
        input_offset: u64,
        input_size: u64,
        output_offset: u64,
        output_size: u64,
        is_static: bool,
    ) -> NativeMachine:
        frame = m.frame
        run = frame.run
        pause(run)
        if m.build.frames != 0:
            reserve_child(frame, m.build.frames)
        row = find_account(run, code_address)
        find_account(run, address)
        precompile = u64(0) if delegated else find_precompile(run, code_address)
        prepare_code(run, run.accounts[row].code)  # the last need: from here on this frame is not the current one
        memory = end_of_memory(frame)
        m.spill()
        child = open_child(
            frame, gas, caller, address, code_address, value, output_offset, output_size, is_static, memory
        )
        child.input = frame.memory + input_offset if input_size != 0 else frame.memory
        child.input_size = input_size
        if precompile != 0:
            child.code_size = 0
            choose_guest(child, precompile)
        else:
            run_code(child, code_row(run, row))
            if run.accounts[row].vm > EVM and run.accounts[row].code != 0:
                child.kind = GUEST
        if m.build.traced:
            run.trace(ENTER, child, 0, 0)
        return m.enter(child)

    def open_create(m, gas: u64, address: u160, value: u256, input_offset: u64, input_size: u64) -> NativeMachine:
        frame = m.frame
        run = frame.run
        pause(run)
        if m.build.frames != 0:
            reserve_child(frame, m.build.frames)
        find_account(run, address)
        code = end_of_memory(frame)
        bits = code + (input_size + CODE_PADDING)
        size = (input_size + CODE_PADDING + (input_size >> 3) + 32) & ROUND_DOWN
        reserve_memory(run, code, size)
        m.spill()
        child = open_child(frame, gas, frame.address, address, address, value, 0, 0, False, code + size)
        if input_size != 0:
            copy(code, frame.memory + input_offset, input_size)
        fill(code + input_size, 0, size - input_size)
        mark_jump_destinations(code, input_size, bits)
        child.code = code
        child.code_size = input_size
        child.jump_destinations = bits
        child.input = code
        child.input_size = 0
        child.is_create = True
        if m.build.traced:
            run.trace(ENTER, child, 0, 0)
        return m.enter(child)

    def close(m, status: u64, offset: u64, size: u64) -> NativeMachine:
        if size != 0:
            give_output(m.frame, offset, size)
        else:
            m.frame.run.return_size = 0
        return m.leave(status)

    def close_empty(m, status: u64) -> NativeMachine:
        m.frame.run.return_size = 0
        return m.leave(status)

    @inline
    def leave(m, status: u64) -> NativeMachine:
        """Go on as the parent of this frame."""
        frame = m.frame
        run = frame.run
        run.status = status
        if m.build.traced:
            m.spill()
            run.trace(LEAVE, frame, 0, status)
        parent = frame.parent
        run.frame = parent
        return m.enter(parent)

    @inline
    def clear_return_data(m) -> None:
        m.frame.run.return_size = 0

    @inline
    def decline(m, status: u64, gas: u64) -> None:
        m.frame.run.status = status
        m.gas += gas
        m.push(0)

    @inline
    def undo(m, checkpoint: u64) -> None:
        undo(m.frame.run, checkpoint)

    # The transaction

    @property
    def created(m) -> u160:
        return m.frame.run.transaction.created

    @created.setter
    def created(m, created: u160) -> None:
        m.frame.run.transaction.created = created

    @property
    def gas_used(m) -> i64:
        return m.frame.run.transaction.gas_used

    @gas_used.setter
    def gas_used(m, gas: i64) -> None:
        m.frame.run.transaction.gas_used = gas

    @property
    def max_gas_used(m) -> i64:
        return m.frame.run.transaction.max_gas_used

    @max_gas_used.setter
    def max_gas_used(m, gas: i64) -> None:
        m.frame.run.transaction.max_gas_used = gas

    def tx_type(m) -> u64:
        return m.frame.run.transaction.type

    def tx_is_create(m) -> bool:
        return m.frame.run.transaction.is_create

    def tx_to(m) -> u160:
        return m.frame.run.transaction.to

    def tx_nonce(m) -> u64:
        return m.frame.run.transaction.nonce

    def tx_gas_limit(m) -> u64:
        return m.frame.run.transaction.gas_limit

    def tx_max_fee(m) -> u256:
        return m.frame.run.transaction.max_fee

    def tx_max_priority_fee(m) -> u256:
        return m.frame.run.transaction.max_priority_fee

    def tx_max_blob_fee(m) -> u256:
        return m.frame.run.transaction.max_blob_fee

    def tx_value(m) -> u256:
        return m.frame.run.transaction.value

    def tx_data_size(m) -> u64:
        return m.frame.run.transaction.data_size

    def tx_zero_bytes(m) -> u64:
        return m.frame.run.transaction.zero_bytes

    def access_accounts(m) -> u64:
        return m.frame.run.transaction.access_count

    def access_slots(m) -> u64:
        return m.frame.run.transaction.access_slots

    def access_account(m, entry: u64) -> u160:
        return m.frame.run.transaction.access[entry].account

    def access_slots_of(m, entry: u64) -> u64:
        return m.frame.run.transaction.access[entry].count

    def access_slot(m, entry: u64, index: u64) -> u256:
        return m.frame.run.transaction.access[entry].slots[index]

    def authorizations(m) -> u64:
        return m.frame.run.transaction.authorization_count

    def authority(m, index: u64) -> u256:
        return m.frame.run.transaction.authorizations[index].authority

    def authorization_chain_id(m, index: u64) -> u256:
        return m.frame.run.transaction.authorizations[index].chain_id

    def authorization_nonce(m, index: u64) -> u64:
        return m.frame.run.transaction.authorizations[index].nonce

    def authorization_target(m, index: u64) -> u160:
        return m.frame.run.transaction.authorizations[index].target

    def blobs(m) -> u64:
        return m.frame.run.transaction.blob_count

    def blob_version(m, index: u64) -> u8:
        return u8(m.frame.run.transaction.blob_hashes[index] >> 248)

    def gas_available(m) -> u64:
        return m.frame.run.transaction.gas_available

    def blob_gas_available(m) -> u64:
        return m.frame.run.transaction.blob_gas_available

    def checks_nonce(m) -> bool:
        return m.frame.run.transaction.checks_nonce

    def checks_balance(m) -> bool:
        return m.frame.run.transaction.checks_balance

    def checks_base_fee(m) -> bool:
        return m.frame.run.transaction.checks_base_fee

    def set_gas_price(m, price: u256) -> None:
        m.frame.run.gas_price = price

    def begin_transaction(m) -> None:
        begin_transaction(m.frame.run)

    def warm_precompiles(m) -> None:
        m.frame.run.precompiles_stamp = m.frame.run.stamp

    def warm_slot_of(m, account: u160, key: u256) -> None:
        run = m.frame.run
        warm_slot_of(run, locate_account(run, account), key)

    def set_balance(m, account: u160, balance: u256) -> None:
        run = m.frame.run
        row = find_account(run, account)
        exist(run, row)
        set_balance(run, row, balance)

    def set_delegation(m, account: u160, target: u160) -> None:
        set_delegation(m.frame.run, account, target)

    def clear_code(m, account: u160) -> None:
        run = m.frame.run
        row = find_account(run, account)
        exist(run, row)
        set_code_row(run, row, 0, DEFAULT_VM)

    def delete_account(m, account: u160) -> None:
        delete_account(m.frame.run, account)

    def destroyed_count(m) -> u64:
        return select_marked(m.frame.run, DESTROYED)

    def destroyed(m, index: u64) -> u160:
        run = m.frame.run
        return run.accounts[run.selected[index]].address

    def touched_count(m) -> u64:
        return select_marked(m.frame.run, TOUCHED)

    def touched(m, index: u64) -> u160:
        run = m.frame.run
        return run.accounts[run.selected[index]].address


ROUND_DOWN = (1 << 64) - 32


@inline
def pause(run: Run) -> None:
    """Stop now and then, so that Python may handle signals: without jumps, calls and creations nothing lasts."""
    run.countdown -= 1
    if run.countdown == 0:
        run.countdown = PAUSE_INTERVAL
        raise Halt(NEED_PAUSE)


@outline
def block_hash(run: Run, number: u256) -> u256:
    """The hash of one of the last 256 blocks."""
    place = u64(number) & 0xFF
    if run.block_hash_numbers[place] != u64(number) + 1:
        run.needed_key = number
        raise Halt(NEED_BLOCK_HASH)
    return run.block_hashes[place]
