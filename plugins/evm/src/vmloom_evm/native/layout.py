"""What lies where in native memory: structs that kernel functions and Python share.

Everything hangs on one `Run`. Rows of tables are found by number, not by address, so that a table may move when it
grows; row 0 of every table is nobody's, so that 0 means "none". Native code never allocates: where room is missing it
stops with a need, and Python makes room.
"""

from __future__ import annotations

from collections.abc import Callable

from vmloom.kernel import Ptr, embedded, i64, struct, u8, u32, u64, u160, u256

# What a frame runs
EVM_CODE = 0
ROOT = 1
"""Nothing: the frame above the first, or one at which a run begins."""
KERNEL_PRECOMPILE = 2
"""A precompile that is a kernel."""
GUEST = 3
"""A precompile of Python, or a contract of another VM."""

# Account.flags
KNOWN = 1
"""Loaded: the fields mean something."""
EXISTS = 2
COMPLETE = 4
"""No source has storage for it: slots that are not in the table are zero."""

# Account.vm
DEFAULT_VM = 0
"""No name: the EVM."""
EVM = 1

# Account.marks
WARM = 1
CREATED = 2
DESTROYED = 4
TOUCHED = 8

NO_EPOCH = (1 << 64) - 1
"""Epoch of a slot that has not been loaded."""

# Entry.kind
SLOT = 1
SLOT_WARM = 2
BALANCE = 3
NONCE = 4
FLAGS = 5
CODE = 6
EPOCH = 7
MARKS = 8
TRANSIENT = 9
LOG = 10
HOST = 11
"""A position in the undo log of the Python side."""

# Transaction.mode
TRANSACTION = 0
MESSAGE = 1
"""Unchecked, and nobody pays."""
SYSTEM_CALL = 2
EXECUTION = 3
"""Given code runs as an account; no value moves."""

# Run.phase
BEGINNING = 0
RUNNING = 1
ENDING = 2

# Why native code stopped: 0, or a need. Needs are halts beyond those of the EVM.
DONE = 0
NEED = 0x100
NEED_ACCOUNT = 0x100
NEED_SLOT = 0x101
NEED_BLOCK_HASH = 0x102
NEED_HAS_STORAGE = 0x103
NEED_GUEST = 0x104
"""The current frame is a guest's: run it and close it."""
NEED_ACCOUNT_ROOM = 0x110
NEED_SLOT_ROOM = 0x111
NEED_TRANSIENT_ROOM = 0x112
NEED_CODE_ROOM = 0x113
NEED_JOURNAL_ROOM = 0x114
NEED_LOG_ROOM = 0x115
NEED_MEMORY_ROOM = 0x116
NEED_RETURN_ROOM = 0x117
NEED_MARKED_ROOM = 0x118
NEED_CODE_BYTES = 0x119
NEED_LOG_BYTES = 0x11A
NEED_OUTCOME_ROOM = 0x11B
NEED_PAUSE = 0x11C
"""Nothing is missing: Python gets a chance to handle signals."""
NEED_HOT = 0x11D
"""Nothing is missing: the code in row `needed_row` has run as often as was agreed, and Python may have it compiled."""
NEED_FRAME_ROOM = 0x11E
"""Of a build with fewer frames than calls may nest."""
NEED_STACK_ROOM = 0x11F
"""Of a build with less room than the stack limit."""
NEED_CLEARED_WORDS = 0x120
"""Of a lane that has cleared a storage of which it cannot tell all that was in it."""
ABORTED = 0x1FF
"""A tracer raised an error."""

CODE_PADDING = 40
"""Zero bytes after code, so that reading an opcode or push data beyond its end finds STOP and zeros."""
JOURNAL_HEADROOM = 64
"""Entries that one instruction writes at most."""
PAUSE_INTERVAL = 1 << 18
"""Jumps, calls and creations from one pause to the next: some milliseconds."""
HASHED_PAIRS = 1024
ADDRESS_BYTES = 20
MARKED_HEADROOM = 8
"""Accounts that one instruction marks at most."""


@struct
class Code:
    """Code that accounts share. `jump_destinations` has a bit for each byte, and is null until the code first runs."""

    data: Ptr[u8]
    size: u64
    hash: u256
    jump_destinations: Ptr[u8]
    compiled: u64
    """Where its machine code is; 0 for none."""
    patience: u64
    """How often it runs until Python is asked about it (`NEED_HOT`); 0 for ever."""


@struct
class Account:
    """An account. `epoch` counts how often its storage was cleared: words of slots of other epochs are zero."""

    address: u160
    balance: u256
    nonce: u64
    code: u64
    flags: u64
    vm: u64
    """Number of the name of the VM that runs its code."""
    epoch: u64
    marks: u64
    """Of the transaction `stamp`; those of another one are none."""
    stamp: u64
    listed: u64
    """The transaction in whose list of marked accounts it stands."""
    first_slot: u64
    """Row of the slot that was added last, from which `Slot.following` leads to the others."""
    read_stamp: u64
    """The transaction that has looked at it last, be it undone since; Python's looks do not count."""
    base_row: u64
    """Its row in `Run.base`, if it was loaded from there; else 0."""
    telling: u64
    """The last list of items in which it stands, and its place there."""
    told: u64


@struct
class Slot:
    """A word of storage, or of transient storage."""

    key: u256
    word: u256
    original: u256
    """When the transaction `original_stamp` began."""
    account: u32
    following: u32
    epoch: u64
    warm_stamp: u64
    """The transaction that has accessed it."""
    original_stamp: u64
    read_stamp: u64
    """The transaction that has looked at it last, be it undone since; Python's looks do not count."""
    telling: u64
    """The last list of changes in which it stands."""


@struct
class Entry:
    """A change to take back: `word` or `number` is what stood there, `stamp` the transaction."""

    kind: u64
    row: u64
    word: u256
    number: u64
    stamp: u64


@struct
class Change:
    """A change for Python: of `kind`, what stood there and what stands there now, numbers and codes as words.

    `epoch` is that of a former word, which counts if it was the account's when the run began; `account_epoch` is the
    account's now.
    """

    kind: u64
    epoch: u64
    account_epoch: u64
    address: u160
    key: u256
    former: u256
    now: u256


@struct
class Log:
    """A log: `topics` of them count; the data stands in `Run.log_bytes`."""

    address: u160
    count: u64
    offset: u64
    size: u64
    topics: Ptr[u256] = embedded(4)


@struct
class HashedPair:
    """Two words, as they stand in memory, and the keccak256 of their bytes; that is 0 where nothing is kept."""

    left: u256
    right: u256
    digest: u256


@struct
class Precompile:
    """A precompile that is a kernel: three C functions, as `vmloom.precompile.PrecompileKernel` has them."""

    gas: Callable[[Ptr[u8], u64], u64]
    room: Callable[[Ptr[u8], u64], u64]
    run: Callable[[Ptr[u8], u64, Ptr[u8]], u64]
    address: u160
    number: u64
    """Of the specification's precompiles."""
    is_kernel: u64


@struct
class Frame:
    """A frame. pc, gas and stack are those of a frame that does not run now, or has been left by native code."""

    # Set once, when the arena is made: run, bottom, parent and child.
    run: Run
    pc: u64
    gas: i64
    top: Ptr[u256]
    """Where the next item is pushed."""
    code: Ptr[u8]
    code_size: u64
    jump_destinations: Ptr[u8]
    compiled: u64
    """Where the machine code of `code` is; 0 for none."""
    memory: Ptr[u8]
    memory_words: u64
    input: Ptr[u8]
    input_size: u64
    account: u64
    refund: i64
    kind: u64
    guest: u64
    depth: i64
    checkpoint: u64
    output_offset: u64
    output_size: u64
    is_static: bool
    is_create: bool
    address: u160
    caller: u160
    code_address: u160
    value: u256
    bottom: Ptr[u256]
    """Where its stack begins."""
    parent: Frame
    child: Frame


@struct
class AccessEntry:
    """An entry of an access list. EIP-2930."""

    account: u160
    slots: Ptr[u256]
    count: u64


@struct
class Authorization:
    """EIP-7702. `authority` is 2**160 plus the signer's address, or 0."""

    authority: u256
    chain_id: u256
    nonce: u64
    target: u160


@struct
class Transaction:
    """A transaction or a call, how it is to be run, and what the rules have made of it so far."""

    # All that a call has. Addresses are 20 bytes, as Python has them.
    given_sender: Ptr[u8] = embedded(24)
    given_to: Ptr[u8] = embedded(24)
    given_origin: Ptr[u8] = embedded(24)
    """Of a call; that of a transaction is its sender."""
    value: u256
    max_fee: u256
    """Of a call: what GASPRICE tells."""
    gas_limit: u64
    data: Ptr[u8]
    data_size: u64
    blob_hashes: Ptr[u256]
    blob_count: u64
    code: u64
    """Of a call: the row of the code that runs."""
    is_static: bool
    # What only a transaction has
    mode: u64
    type: u64
    is_create: bool
    checks_nonce: bool
    checks_balance: bool
    checks_base_fee: bool
    nonce: u64
    max_priority_fee: u256
    max_blob_fee: u256
    access: Ptr[AccessEntry]
    access_count: u64
    access_slots: u64
    authorizations: Ptr[Authorization]
    authorization_count: u64
    gas_available: u64
    blob_gas_available: u64
    # What has become of it
    sender: u160
    to: u160
    zero_bytes: u64
    refusal: u64
    created: u160
    gas_used: i64
    max_gas_used: i64
    # What everybody asks for, where Python reads it of all that ran at once without a look at each outcome
    outcome_offset: u64
    """Where in `Run.outcome` its outcome begins."""
    status: u64
    gas_left: i64


@struct
class Calls:
    """Plain calls, of depth 0 and without value, column by column, and what has come of them.

    A step leads from an item to the next one, in its own units: it is 0 where one item is that of all calls.
    """

    count: u64
    next: u64
    """Number of the one that runs, or comes next."""
    callers: Ptr[u8]
    """20 bytes each. A caller is the origin, too."""
    addresses: Ptr[u8]
    """20 bytes each"""
    address_step: u64
    codes: Ptr[u64]
    """Rows"""
    code_step: u64
    gas_limits: Ptr[u64]
    gas_limit_step: u64
    gas_price: u256
    data: Ptr[u8]
    """Of the next call; that of those after it follows."""
    data_sizes: Ptr[u64]
    data_size_step: u64
    statuses: Ptr[u8]
    gas_used: Ptr[u64]
    outcomes: Ptr[u64]
    """Where in `Run.outcome` that of each begins."""


@struct
class Outcome:
    """What came of a run. It is followed by return data, logs, their data and changes, each from a multiple of 8."""

    refusal: u64
    end: u64
    """Where in `Run.outcome` the next one begins."""
    status: u64
    gas_left: i64
    refund: i64
    gas_used: i64
    max_gas_used: i64
    return_size: u64
    log_count: u64
    log_bytes: u64
    change_count: u64
    created: u160
    gas_price: u256
    # Of a refused transaction: what it found
    sender_nonce: u64
    gas_available: u64
    blob_gas_available: u64
    sender_balance: u256


@struct
class Block:
    """What contracts see of the block."""

    number: u256
    timestamp: u256
    randomness: u256
    gas_limit: u256
    chain_id: u256
    base_fee: u256
    blob_base_fee: u256
    coinbase: u160


@struct
class Run:
    """One native state and what runs on it."""

    # Tables: rows, how many, room for how many; and an open-addressing index of row numbers with a power-of-two size
    accounts: Ptr[Account]
    account_count: u64
    account_room: u64
    account_index: Ptr[u32]
    account_mask: u64
    slots: Ptr[Slot]
    slot_count: u64
    slot_room: u64
    slot_index: Ptr[u32]
    slot_mask: u64
    transients: Ptr[Slot]
    transient_count: u64
    transient_room: u64
    transient_index: Ptr[u32]
    transient_mask: u64
    codes: Ptr[Code]
    code_count: u64
    code_room: u64
    code_index: Ptr[u32]
    code_mask: u64
    code_bytes: Ptr[u8]
    """What is left of the chunk into which new code goes."""
    code_bytes_left: u64
    patience: u64
    """What a new code has of it."""
    journal: Ptr[Entry]
    journal_count: u64
    journal_room: u64
    logs: Ptr[Log]
    log_count: u64
    log_room: u64
    log_bytes: Ptr[u8]
    log_bytes_count: u64
    log_bytes_room: u64
    marked: Ptr[u64]
    """Accounts that the transaction touched or destroyed, be it undone since."""
    marked_count: u64
    selected: Ptr[u64]
    """Those of them that bear a certain mark."""
    marked_room: u64
    """Of both lists."""
    secret: u64
    """Keys of the tables' hash function, so that nobody can aim at collisions."""
    second_secret: u64
    is_complete: u64
    """Whether accounts that are not in the table do not exist, rather than have to be loaded."""
    base: Run
    """Of the native state from which native code loads what is not in the tables; null for none. See `base`."""
    last_account: u64
    last_slot: u64
    last_epoch: u64
    """The newest epoch of any storage."""

    # Arenas of frames
    frames: Ptr[Frame]
    memory: Ptr[u8]
    memory_end: Ptr[u8]
    return_data: Ptr[u8]
    return_size: u64
    return_room: u64
    hashed_pairs: Ptr[HashedPair]
    """`HASHED_PAIRS` of them, by a hash of the words: contracts ask for the place of the same key again and again."""

    # The run
    frame: Frame
    transaction: Transaction
    call: Transaction
    batch: Ptr[Transaction]
    batch_count: u64
    batch_next: u64
    batch_apart: u64
    """Whether each transaction of the batch is taken back before the next one."""
    calls: Calls
    """What `perform_each` runs."""
    phase: u64
    """How far the transaction has come."""
    first_entry: u64
    """Where the undo log stood when it began."""
    telling: u64
    """Number of the list of changes that was laid down last."""
    outcome: Ptr[u8]
    outcome_size: u64
    outcome_room: u64
    stamp: u64
    """Number of the transaction."""
    first_stamp: u64
    """That of the first one of the batch."""
    reading_stamp: u64
    """That which rows get that are looked at; 0 while nothing runs."""
    precompiles_stamp: u64
    """The transaction in which precompiles are warm from the beginning."""
    deoptimised: u64
    """How often compiled code has left an instruction to the interpreter that it could not run itself."""
    countdown: u64
    """Jumps, calls and creations until the next pause."""
    status: u64
    """How the last frame ended or was declined."""
    exit: u64
    halt: u64
    host_undone: u64
    """The least position in the Python side's undo log that has been passed while undoing."""

    # What a need asks for, and how the instruction that has it began
    needed_account: u160
    needed_row: u64
    needed_key: u256
    needed_bytes: u64
    answered: u64
    """1 plus the row of the account for which a need was answered; 0 none."""
    answer: u64
    begun: u64
    """Whether the instruction has noted where things stood."""
    begun_journal: u64
    begun_words: u64
    begun_return_size: u64
    begun_refund: i64
    resumed: u64
    """Whether the next instruction has been shown to the tracers before."""
    watched: u64
    """1 plus the opcode of the instruction that a tracer has been shown and waits for the end of; 0 none."""
    ripemd_stamp: u64
    """The transaction that touched RIPEMD160, be it undone since."""

    # Surroundings
    origin: u160
    gas_price: u256
    blob_hashes: Ptr[u256]
    blob_count: u64
    block: Block
    block_hashes: Ptr[u256]
    """Ring of 256 by number."""
    block_hash_numbers: Ptr[u64]
    """1 plus the number of the block whose hash stands there."""
    near_precompiles: Ptr[u8]
    """For addresses below 1024: 1 plus the number in `precompiles`."""
    precompiles: Ptr[Precompile]
    precompile_count: u64
    far_precompiles: u64
    """How many of them stand at other addresses."""
    interpret: Callable[[Frame], u64]
    trace: Callable[[u64, Frame, u64, u64], u64]
    hooks: Ptr[u8]
    """For each opcode whether a tracer watches it."""
    scratch: Ptr[u256] = embedded(16)
    """Arguments and results of calls from Python."""
