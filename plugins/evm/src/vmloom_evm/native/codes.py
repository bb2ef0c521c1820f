"""The table of codes: each once, found by its hash, in memory where it stays."""

from __future__ import annotations

from vmloom.kernel import Halt, Ptr, copy, fill, pointer, u8, u32, u64, u256

from .layout import CODE_PADDING, NEED_CODE_BYTES, NEED_CODE_ROOM, Code, Run


def find_code(run: Run, digest: u256) -> u64:
    """Row of the code with this hash, 0 if it is not there."""
    position = u64(digest) & run.code_mask
    row = u64(run.code_index[position])
    while row != 0:
        if run.codes[row].hash == digest:
            return row
        position = (position + 1) & run.code_mask
        row = u64(run.code_index[position])
    return 0


def index_code(run: Run, row: u64) -> None:
    """Enter a row into the index."""
    position = u64(run.codes[row].hash) & run.code_mask
    while run.code_index[position] != 0:
        position = (position + 1) & run.code_mask
    run.code_index[position] = u32(row)


def index_codes(run: Run) -> None:
    """Address and mask of an empty index -> all rows are in it, and it is the table's."""
    run.code_index = pointer(u32, u64(run.scratch[0]))
    run.code_mask = u64(run.scratch[1])
    for row in range(1, run.code_count):
        index_code(run, row)


def mark_jump_destinations(code: Ptr[u8], size: u64, bits: Ptr[u8]) -> None:
    """Set the bit of each JUMPDEST that is not inside push data, in `bits`, which is zero."""
    offset = u64(0)
    while offset < size:
        opcode = u64(code[offset])
        if opcode == 0x5B:
            bits[offset >> 3] = u8(bits[offset >> 3] | (u64(1) << (offset & 7)))
        if opcode >= 0x60 and opcode <= 0x7F:
            offset += opcode - 0x5F
        offset += 1


def take_code_bytes(run: Run, size: u64) -> Ptr[u8]:
    """Room for `size` bytes that stay where they are."""
    if size > run.code_bytes_left:
        run.needed_bytes = size
        raise Halt(NEED_CODE_BYTES)
    taken = run.code_bytes
    run.code_bytes = taken + size
    run.code_bytes_left -= size
    return taken


def add_code(run: Run, data: Ptr[u8], size: u64, digest: u256) -> u64:
    """Row of the code that is a copy of `size` bytes at `data`, whose keccak256 is `digest`."""
    row = find_code(run, digest)
    if row != 0:
        return row
    reserve_code_row(run)
    kept = take_code_bytes(run, size + CODE_PADDING)
    copy(kept, data, size)
    fill(kept + size, 0, CODE_PADDING)
    return append_code(run, kept, size, digest, pointer(u8, 0))


def share_code(run: Run, code: Code) -> u64:
    """Row of a code of another state, whose bytes stay where they are; what is compiled of it is the run's, too."""
    row = find_code(run, code.hash)
    if row != 0:
        return row
    reserve_code_row(run)
    row = append_code(run, code.data, code.size, code.hash, code.jump_destinations)
    run.codes[row].compiled = code.compiled
    return row


def reserve_code_row(run: Run) -> None:
    """Make sure that a code has room."""
    if run.code_count >= run.code_room:
        raise Halt(NEED_CODE_ROOM)


def append_code(run: Run, data: Ptr[u8], size: u64, digest: u256, jump_destinations: Ptr[u8]) -> u64:
    """Add a row for code that is padded; what was compiled of it is for Python to bring in."""
    row = run.code_count
    run.code_count += 1
    code = run.codes[row]
    code.data = data
    code.size = size
    code.hash = digest
    code.jump_destinations = jump_destinations
    code.compiled = 0
    code.patience = run.patience
    index_code(run, row)
    return row
