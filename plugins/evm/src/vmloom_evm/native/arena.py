"""Frames and their memory: one region in which a child's memory begins where its parent's ends."""

from __future__ import annotations

from vmloom.kernel import (
    Halt,
    Ptr,
    address_of,
    byteswap,
    copy,
    fill,
    inline,
    is_null,
    load,
    local,
    outline,
    pointer,
    u8,
    u64,
    u160,
    u256,
)

from .codes import mark_jump_destinations, take_code_bytes
from .layout import (
    EVM_CODE,
    GUEST,
    KERNEL_PRECOMPILE,
    NEED_FRAME_ROOM,
    NEED_HOT,
    NEED_LOG_BYTES,
    NEED_LOG_ROOM,
    NEED_MEMORY_ROOM,
    NEED_RETURN_ROOM,
    Code,
    Frame,
    Run,
)
from .table import find_account

NEAR_PRECOMPILES = 1024
"""Addresses below this are looked up in an array."""

STACK_SPACING = 2048
"""Items from one frame's stack to the next: a power of two above the stack limit, so that the address of an item
tells how deep it lies."""


@inline
def end_of_memory(frame: Frame) -> Ptr[u8]:
    """Where the memory of a child would begin."""
    return frame.memory + frame.memory_words * 32


@outline
def need_memory(run: Run, size: u64) -> None:
    """Stop until the region of memory has `size` more bytes than it has now."""
    run.needed_bytes = size
    raise Halt(NEED_MEMORY_ROOM)


@inline
def reserve_memory(run: Run, begin: Ptr[u8], size: u64) -> None:
    """Make sure that the region of memory reaches `size` bytes beyond `begin`."""
    if address_of(begin) + size > address_of(run.memory_end):
        need_memory(run, size)


@inline
def reserve_child(frame: Frame, frames: u64) -> None:
    """Make sure that there is a frame above `frame`, of `frames` that there are. The first is at depth -1."""
    if u64(frame.depth + 3) > frames:
        raise Halt(NEED_FRAME_ROOM)


@inline
def clear_memory(begin: Ptr[u8], words: u64) -> None:
    """Zero so many words of 32 bytes."""
    fill(begin, 0, words * 32)


@outline
def grow_memory(frame: Frame, words: u64) -> None:
    """Extend the frame's memory with zeros to `words` words."""
    reserve_memory(frame.run, frame.memory, words * 32)
    clear_memory(end_of_memory(frame), words - frame.memory_words)
    frame.memory_words = words


@outline
def open_child(
    frame: Frame,
    gas: u64,
    caller: u160,
    address: u160,
    code_address: u160,
    value: u256,
    output_offset: u64,
    output_size: u64,
    is_static: bool,
    memory: Ptr[u8],
) -> Frame:
    """Make the frame above `frame` ready, but for what it runs, and make it the current one."""
    run = frame.run
    account = find_account(run, address)
    child = frame.child
    child.pc = 0
    child.gas = gas
    child.top = child.bottom
    child.memory = memory
    child.memory_words = 0
    child.account = account
    child.refund = 0
    child.kind = EVM_CODE
    child.guest = 0
    child.compiled = 0
    child.depth = frame.depth + 1
    child.checkpoint = run.journal_count
    child.output_offset = output_offset
    child.output_size = output_size
    child.is_static = is_static
    child.is_create = False
    child.address = address
    child.caller = caller
    child.code_address = code_address
    child.value = value
    run.frame = child
    return child


def run_code(frame: Frame, code: Code) -> None:
    """Let the frame run `code`, which is prepared."""
    frame.code = code.data
    frame.code_size = code.size
    frame.jump_destinations = code.jump_destinations
    frame.compiled = code.compiled


@inline
def prepare_code(run: Run, row: u64) -> None:
    """Find the jump destinations of the code in `row` before it first runs, and tell Python once it runs often."""
    code = run.codes[row]
    if is_null(code.jump_destinations):
        analyse(run, code)
    if code.patience != 0:
        code.patience -= 1
        if code.patience == 0:
            need_compiler(run, row)


@outline
def need_compiler(run: Run, row: u64) -> None:
    """Stop, so that Python may have the code in `row` compiled; it says when to be asked again."""
    run.needed_row = row
    raise Halt(NEED_HOT)


@outline
def analyse(run: Run, code: Code) -> None:
    """Find the jump destinations of `code`."""
    size = (code.size >> 3) + 1
    bits = take_code_bytes(run, size)
    fill(bits, 0, size)
    mark_jump_destinations(code.data, code.size, bits)
    code.jump_destinations = bits


@inline
def find_precompile(run: Run, address: u160) -> u64:
    """1 plus the number of the precompile at `address`, 0 if there is none."""
    if address < NEAR_PRECOMPILES:
        return run.near_precompiles[u64(address)]
    if run.far_precompiles != 0:
        return find_far_precompile(run, address)
    return 0


@outline
def find_far_precompile(run: Run, address: u160) -> u64:
    """`find_precompile` for addresses that the array does not reach."""
    for number in range(run.precompile_count):
        if run.precompiles[number].address == address:
            return number + 1
    return 0


def choose_guest(frame: Frame, number: u64) -> None:
    """Let the frame run the precompile 1 below `number`."""
    frame.guest = number
    frame.kind = KERNEL_PRECOMPILE if frame.run.precompiles[number - 1].is_kernel != 0 else GUEST


@outline
def give_output(frame: Frame, offset: u64, size: u64) -> None:
    """Make a range of the frame's memory the return data."""
    run = frame.run
    if size > run.return_room:
        run.needed_bytes = size
        raise Halt(NEED_RETURN_ROOM)
    copy(run.return_data, frame.memory + offset, size)
    run.return_size = size


@outline
def add_log(frame: Frame, offset: u64, size: u64, count: u64, a: u256, b: u256, c: u256, d: u256) -> None:
    """Append a log; its entry in the undo log is the caller's."""
    run = frame.run
    if run.log_count >= run.log_room:
        raise Halt(NEED_LOG_ROOM)
    if run.log_bytes_count + size > run.log_bytes_room:
        run.needed_bytes = size
        raise Halt(NEED_LOG_BYTES)
    log = run.logs[run.log_count]
    log.address = frame.address
    log.count = count
    log.offset = run.log_bytes_count
    log.size = size
    log.topics[0] = a
    log.topics[1] = b
    log.topics[2] = c
    log.topics[3] = d
    copy(run.log_bytes + run.log_bytes_count, frame.memory + offset, size)
    run.log_count += 1
    run.log_bytes_count += size


def rebase_memory(run: Run, former: u64, size: u64, now: u64) -> None:
    """Correct the pointers of all frames: `size` bytes of memory have moved from address `former` to `now`."""
    for number in range(u64(run.frame.depth - run.frames[0].depth) + 2):
        frame = run.frames[number]
        frame.memory = moved(frame.memory, former, size, now)
        frame.input = moved(frame.input, former, size, now)
        frame.code = moved(frame.code, former, size, now)
        frame.jump_destinations = moved(frame.jump_destinations, former, size, now)


def moved(place: Ptr[u8], former: u64, size: u64, now: u64) -> Ptr[u8]:
    """Where `place` has moved with the bytes it points at, which may be others that did not move."""
    offset = u64(address_of(place) - former)
    return pointer(u8, now + offset) if offset <= size else place


@outline
def fill_from(destination: Ptr[u8], source: Ptr[u8], available: u64, offset: u256, size: u64) -> None:
    """Copy `size` bytes at `offset` of a source of `available` bytes, with zeros beyond its end."""
    copied = u64(0)
    if offset < available:
        copied = min(size, available - u64(offset))
        copy(destination, source + u64(offset), copied)
    fill(destination + copied, 0, size - copied)


@outline
def read_end(source: Ptr[u8], size: u64) -> u256:
    """The word that begins with the last `size` bytes of a source, and goes on with zeros."""
    word = local(u8, 32)
    copy(word, source, size)
    return byteswap(u256, load(u256, word))
