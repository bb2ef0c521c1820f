"""How native code goes from frame to frame, and how it stops: kernel functions that the interpreter calls.

`drive` is the entry from Python. It returns 0 when the frame at which the run began is current again, or a need;
called again once the need is met, it goes on.
"""

from __future__ import annotations

from vmloom.kernel import Ptr, attempt, byteswap, copy, i64, inline, load, local, outline, u8, u64, u160, u256

from ..fees import GAS_PER_BLOB
from ..frames import end_failure, end_revert, end_success
from ..halts import OUT_OF_GAS, PRECOMPILE_FAILURE, REVERT, SUCCESS
from ..machine import TransactionMachine
from ..transaction.checks import refusal
from ..transaction.life import begin, begin_execution, begin_message, begin_system_call, end, end_state
from .arena import end_of_memory, open_child, prepare_code, reserve_memory, run_code
from .journal import begin_instruction, reserve_journal, undo
from .layout import (
    ABORTED,
    BEGINNING,
    DONE,
    ENDING,
    EVM_CODE,
    EXECUTION,
    JOURNAL_HEADROOM,
    KERNEL_PRECOMPILE,
    NEED,
    NEED_GUEST,
    ROOT,
    RUNNING,
    SYSTEM_CALL,
    TRANSACTION,
    Frame,
    Run,
)
from .machine import ENTER, NativeMachine
from .outcome import keep_outcome
from .table import find_account

BEFORE = 0
"""Events of a traced build."""
AFTER = 1
FAULT = 2
FAILED = (1 << 64) - 1
"""What a precompile kernel returns where the call fails."""


def drive(run: Run) -> u64:
    """Run the current frame and all that it opens, until a root is current; or a need."""
    while True:
        frame = run.frame
        if frame.kind == EVM_CODE:
            stopped = interpret(frame)
        elif frame.kind == ROOT:
            return DONE
        elif frame.kind == KERNEL_PRECOMPILE:
            stopped = run_precompile(frame)
        else:
            return NEED_GUEST
        if stopped != 0:
            run.resumed = 1
            return stopped


@inline
def interpret(frame: Frame) -> u64:
    """Run the instructions of `frame`, and of all that it opens, until a frame is current that is no EVM code's."""
    return frame.run.interpret(frame)


@inline
def speaking(m: NativeMachine) -> TransactionMachine:
    """`m` as what rules speak to. Type checkers do not take a property for a variable."""
    return m  # type: ignore[return-value]


def begin_op(frame: Frame) -> None:
    """Note where things stand before an instruction that may have a need."""
    frame.run.begun_refund = frame.refund  # first, since what follows may itself have a need
    begin_instruction(frame.run, frame.memory_words)


@outline
def halted(frame: Frame) -> u64:
    """An instruction of `frame` has halted for `run.halt`: end the frame, or take the instruction back for a need."""
    run = frame.run
    if run.halt >= NEED:
        if run.begun != 0:
            take_back(run, frame)
        return run.halt
    m = local(NativeMachine, 1)[0]
    m.enter(frame)
    if m.build.traced and run.watched != 0:
        opcode = run.watched - 1
        run.watched = 0
        if run.trace(FAULT, frame, opcode, run.halt) != 0:
            return ABORTED
    end_failure(speaking(m), run.halt)
    m.spill()
    return 0


def take_back(run: Run, frame: Frame) -> None:
    """Undo what the instruction has done."""
    undo(run, run.begun_journal)
    frame.memory_words = run.begun_words
    frame.refund = run.begun_refund
    run.return_size = run.begun_return_size


def run_precompile(frame: Frame) -> u64:
    """Run a precompile that is a kernel, and close its frame. Returns 0 or a need."""
    return step(frame.run, frame, attempt(price_and_run, frame))


@inline
def step(run: Run, frame: Frame, halt: u64) -> u64:
    """What a step that is no instruction came to: `halt`, a need for which it is taken back, or 0."""
    if halt != 0:
        take_back(run, frame)
    return halt


def price_and_run(frame: Frame) -> None:
    """Run the precompile of the frame and close it."""
    run = frame.run
    m = local(NativeMachine, 1)[0]
    m.enter(frame)
    begin_op(frame)
    cost = price_precompile(frame, frame.guest - 1)
    if m.gas < cost:
        end_failure(speaking(m), OUT_OF_GAS)
    else:
        written = measure_precompile(frame, frame.guest - 1)
        if written != FAILED:
            reserve_memory(run, frame.memory, written)
            written = compute_precompile(frame, frame.guest - 1)
        if written == FAILED:
            end_failure(speaking(m), PRECOMPILE_FAILURE)
        else:
            m.gas -= cost
            end_success(speaking(m), 0, written)
    m.spill()


@inline
def price_precompile(frame: Frame, number: u64) -> u64:
    """What precompile `number` costs on the input of the frame."""
    return frame.run.precompiles[number].gas(frame.input, frame.input_size)


@inline
def measure_precompile(frame: Frame, number: u64) -> u64:
    """The bytes to which precompile `number` writes, or `FAILED`."""
    return frame.run.precompiles[number].room(frame.input, frame.input_size)


@inline
def compute_precompile(frame: Frame, number: u64) -> u64:
    """Run precompile `number`. Returns the size of its output, which is the beginning of the frame's memory."""
    return frame.run.precompiles[number].run(frame.input, frame.input_size, frame.memory)


def finish_guest(run: Run, status: u64, gas: u64, refund: i64, size: u64) -> u64:
    """Close the frame of a guest that Python has run: `gas` is left, its output is the beginning of its memory.

    Returns 0 or a need.
    """
    frame = run.frame
    return step(run, frame, attempt(close_guest, frame, status, gas, refund, size))


def close_guest(frame: Frame, status: u64, gas: u64, refund: i64, size: u64) -> None:
    """`finish_guest`, with needs."""
    m = local(NativeMachine, 1)[0]
    m.enter(frame)
    begin_op(frame)
    m.gas = gas
    frame.refund = refund
    if status == SUCCESS:
        end_success(speaking(m), 0, size)
    elif status == REVERT:
        end_revert(speaking(m), 0, size)
    else:
        end_failure(speaking(m), status)
    m.spill()


# Whole runs


def perform(run: Run) -> u64:
    """Run `run.transaction` to its end. Returns 0 or a need, after which it goes on where it was.

    Beginning and end are a step each: one that has a need is taken back and begun again.
    """
    root = run.frames[0]
    tx = run.transaction
    if run.phase == BEGINNING:
        stopped = step(run, root, attempt(begin_run, root))
        if stopped != 0:
            return stopped
        run.phase = RUNNING
    if run.phase == RUNNING:
        if tx.refusal == 0:
            stopped = drive(run)
            if stopped != 0:
                return stopped
        run.phase = ENDING
    stopped = step(run, root, attempt(end_run, root))
    if stopped == 0:
        run.phase = BEGINNING
        run.reading_stamp = 0
    return stopped


def perform_call(run: Run) -> u64:
    """Run `run.call`. Returns 0 or a need."""
    if run.phase == BEGINNING:
        run.transaction = run.call
        run.outcome_size = 0
        run.first_stamp = run.stamp + 1
    return perform(run)


def perform_all(run: Run) -> u64:
    """`perform` for each transaction of the batch, each with the gas that those before it left. Returns 0 or a need.

    Each finds what those before it left of the state, too, unless they are to be kept apart. Messages and system calls
    may stand among them; they take nothing of the block's gas.
    """
    if run.phase == BEGINNING and run.batch_next == 0:
        run.outcome_size = 0
        run.first_stamp = run.stamp + 1
    while run.batch_next < run.batch_count:
        tx = run.batch[run.batch_next]
        run.transaction = tx
        stopped = perform(run)
        if stopped != 0:
            return stopped
        if run.batch_apart != 0:
            undo(run, run.first_entry)
        run.batch_next += 1
        if run.batch_next < run.batch_count:
            following = run.batch[run.batch_next]
            following.gas_available = tx.gas_available
            following.blob_gas_available = tx.blob_gas_available
            if tx.mode == TRANSACTION and tx.refusal == 0:
                following.gas_available -= u64(tx.gas_used)
                following.blob_gas_available -= tx.blob_count * GAS_PER_BLOB
    return DONE


def begin_run(root: Frame) -> None:
    """Refuse what is to run, or open its first frame."""
    run = root.run
    tx = run.transaction
    tx.refusal = 0
    run.first_entry = run.journal_count
    run.reading_stamp = run.stamp + 1
    run.last_account = 0  # so that the next look at it is noted
    run.last_slot = 0
    tx.sender = address_in(tx.given_sender)
    tx.to = address_in(tx.given_to)
    begin_op(root)  # what makes the root may have a need, too, and must not undo what was before the run
    make_root(run, root)
    m = local(NativeMachine, 1)[0]
    m.enter(root)
    begin_op(root)
    reserve_journal(
        run, JOURNAL_HEADROOM * (1 + tx.authorization_count) + tx.access_count + tx.access_slots + run.precompile_count
    )
    if tx.mode == EXECUTION:
        begin_given_code(m)
    elif tx.mode == TRANSACTION:
        tx.zero_bytes = count_zeros(tx.data, tx.data_size)
        tx.refusal = refusal(speaking(m))
        if tx.refusal == 0:
            begin(speaking(m))
            m.spill()
    else:
        if tx.mode == SYSTEM_CALL:
            begin_system_call(speaking(m))
        else:
            begin_message(speaking(m))
        m.spill()


@inline
def address_in(data: Ptr[u8]) -> u160:
    """The address in the first 20 of 32 bytes."""
    return u160(byteswap(u256, load(u256, data)) >> 96)


def count_zeros(data: Ptr[u8], size: u64) -> u64:
    """How many of `size` bytes are zero."""
    zeros = u64(0)
    for index in range(size):
        zeros += u64(data[index] == 0)
    return zeros


def begin_given_code(m: NativeMachine) -> None:
    """Open a frame for the code in row `tx.code`, as a transaction of its own."""
    root = m.frame
    run = root.run
    tx = run.transaction
    run.origin = address_in(tx.given_origin)
    run.gas_price = tx.max_fee
    prepare_code(run, tx.code)
    begin_execution(speaking(m), tx.to)
    child = open_child(root, tx.gas_limit, tx.sender, tx.to, tx.to, tx.value, 0, 0, tx.is_static, end_of_memory(root))
    child.input = root.memory
    child.input_size = tx.data_size
    run_code(child, run.codes[tx.code])
    if m.build.traced:
        run.trace(ENTER, child, 0, 0)


def end_run(root: Frame) -> None:
    """Settle, and lay down what came of it."""
    run = root.run
    tx = run.transaction
    m = local(NativeMachine, 1)[0]
    m.enter(root)
    begin_op(root)
    if tx.refusal == 0:
        reserve_journal(run, JOURNAL_HEADROOM + run.marked_count * 16)
        if tx.mode == TRANSACTION:
            end(speaking(m))
        else:
            end_state(speaking(m))
    keep_outcome(run, tx)


def make_root(run: Run, root: Frame) -> None:
    """Make the frame above the first: the sender's, with the transaction's data as its memory."""
    tx = run.transaction
    run.frame = root
    if tx.mode != EXECUTION:
        run.origin = tx.sender
    run.blob_hashes = tx.blob_hashes
    run.blob_count = tx.blob_count
    run.return_size = 0
    run.status = 0
    root.kind = ROOT
    root.address = tx.sender
    root.caller = tx.sender
    root.gas = 0
    root.refund = 0
    root.pc = 0
    root.top = root.bottom
    root.memory_words = 0
    reserve_memory(run, root.memory, tx.data_size + 64)
    copy(root.memory, tx.data, tx.data_size)
    root.memory_words = (tx.data_size + 31) >> 5
    root.account = find_account(run, tx.sender)


# In a traced build


def trace_next(frame: Frame) -> u64:
    """Show the instruction that has ended, and the one that comes next, to the tracers that watch them."""
    run = frame.run
    if run.resumed != 0:
        run.resumed = 0
        if run.watched != 0:
            return 0
    if run.watched != 0 and trace_after(frame) != 0:
        return ABORTED
    opcode = u64(frame.code[frame.pc])
    if run.hooks[opcode] != 0:
        run.watched = opcode + 1
        if run.trace(BEFORE, frame, opcode, 0) != 0:
            return ABORTED
    return 0


def trace_after(frame: Frame) -> u64:
    """Show the end of the instruction that `frame` has run."""
    run = frame.run
    if run.watched == 0:
        return 0
    opcode = run.watched - 1
    run.watched = 0
    return run.trace(AFTER, frame, opcode, 0)
