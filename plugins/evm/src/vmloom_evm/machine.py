"""The vocabulary of the EVM: the verbs and fields through which op functions, and the life of a transaction, speak.

Containers exist once per engine (Python objects in `reference`, native arenas in compiled engines); rules
never do. Op functions know only this protocol. Offsets and sizes given to memory verbs lie inside memory
that the op has already paid for and grown; gas is never charged by a verb. An op function sees a `Machine`; what begins
and ends a transaction sees a `TransactionMachine`, which is the root frame above the first.
"""

from __future__ import annotations

from typing import Protocol, TypeAlias

from vmloom.kernel import i64, u8, u64, u160, u256

from .rules import Rules

Buffer: TypeAlias = bytes
"""Read-only bytes of any length: code, call data or return data. Compiled engines pass a pointer and a length."""


class Machine(Protocol):
    """One frame of a running transaction, as its op functions see it."""

    # What this frame is
    rules: Rules
    """The fork's rules: compile-time constants for compiled engines."""
    depth: i64
    """Calls above this frame; the transaction's first frame has depth 0, its sender's root frame -1."""
    is_static: bool
    is_create: bool
    address: u160
    """The account whose storage and balance this frame uses."""
    caller: u160
    value: u256
    """wei"""
    code: Buffer
    input: Buffer
    checkpoint: u64
    """Where the undo log stood when the frame opened."""
    output_offset: u64
    """Where in the parent's memory the output goes, and at most how many bytes of it."""
    output_size: u64

    # What changes as it runs
    gas: i64
    """Gas left."""
    refund: i64
    """Gas to be refunded at the end of the transaction; may be below zero inside a frame."""
    pc: u64
    """Offset of the instruction being run in code; a jump op writes the next one."""
    memory_words: u64
    """Size of memory in 32-byte words."""
    return_data: Buffer
    """Output of the last frame that this frame opened."""

    # Stack and flow
    def push(self, value: u256) -> None:
        """Push the result of a frame op; a driver handles operands and results of all others."""

    def is_jump_destination(self, destination: u64) -> bool:
        """Whether a JUMPDEST that is not inside push data stands at `destination` of the code."""

    # Memory; offsets and sizes in bytes
    def grow_memory(self, words: u64) -> None:
        """Extend memory with zeros to `words` words."""

    def memory_read(self, offset: u64) -> u256:
        """The word at `offset`, big-endian."""

    def memory_read_byte(self, offset: u64) -> u8:
        """The byte at `offset`."""

    def memory_write(self, offset: u64, value: u256) -> None:
        """Write a word at `offset`, big-endian."""

    def memory_write_byte(self, offset: u64, value: u8) -> None:
        """Write a byte at `offset`."""

    def memory_move(self, destination: u64, source: u64, size: u64) -> None:
        """Copy inside memory as if through a buffer: the ranges may overlap."""

    def memory_fill(self, destination: u64, source: Buffer, offset: u256, size: u64) -> None:
        """Copy `source[offset:]` to memory, with zeros beyond its end."""

    def memory_hash(self, offset: u64, size: u64) -> u256:
        """keccak256 of a range of memory."""

    def read_word(self, source: Buffer, offset: u256) -> u256:
        """The 32 bytes of `source` at `offset`, with zeros beyond its end, as a big-endian integer."""

    # Accounts
    def exists(self, account: u160) -> bool:
        """Whether the account is in the state, be it empty."""

    def is_empty(self, account: u160) -> bool:
        """EIP-161: absent, or nonce 0, balance 0 and no code."""

    def balance(self, account: u160) -> u256:
        """wei"""

    def nonce(self, account: u160) -> u64:
        """Transactions sent, or contracts created."""

    def set_nonce(self, account: u160, nonce: u64) -> None:
        """Set the nonce; the account comes to exist."""

    def code_of(self, account: u160) -> Buffer:
        """The account's code; empty if it has none."""

    def code_hash(self, account: u160) -> u256:
        """keccak256 of the account's code."""

    def set_code(self, account: u160, offset: u64, size: u64) -> None:
        """Make a range of memory the account's code."""

    def delegate_of(self, account: u160) -> u256:
        """EIP-7702: 2**160 plus the address that the account's code delegates to; 0 if it does not delegate."""

    def move_balance(self, source: u160, destination: u160, value: u256) -> None:
        """Move `value` wei, which `source` has; `destination` comes to exist if `value` is not 0."""

    def burn_balance(self, account: u160) -> None:
        """Set the account's balance to zero."""

    def bring_about(self, account: u160) -> None:
        """Let the account exist, empty, if it does not."""

    def touch(self, account: u160) -> None:
        """EIP-161: the account is deleted at the end of the transaction if it is empty then."""

    def is_warm(self, account: u160) -> bool:
        """Whether the transaction has accessed the account."""

    def warm(self, account: u160) -> None:
        """Note an access to the account."""

    # Storage of this frame's account
    def load_slot(self, key: u256) -> u256:
        """The slot's value."""

    def original_slot(self, key: u256) -> u256:
        """The slot's value when the transaction began."""

    def store_slot(self, key: u256, value: u256) -> None:
        """Set the slot."""

    def is_warm_slot(self, key: u256) -> bool:
        """Whether the transaction has accessed the slot."""

    def warm_slot(self, key: u256) -> None:
        """Note an access to the slot."""

    def load_transient(self, key: u256) -> u256:
        """The transient slot's value."""

    def store_transient(self, key: u256, value: u256) -> None:
        """Set the transient slot."""

    # Creation and destruction
    def create_address(self, nonce: u64) -> u160:
        """The address of a contract that this frame's account creates at `nonce`."""

    def create2_address(self, salt: u256, offset: u64, size: u64) -> u160:
        """EIP-1014: the address of a contract created from init code in memory."""

    def has_storage(self, account: u160) -> bool:
        """Whether any slot of the account is not zero."""

    def begin_account(self, account: u160) -> None:
        """Mark the account as created in this transaction and clear what storage it had."""

    def was_created(self, account: u160) -> bool:
        """Whether the account was created in this transaction."""

    def was_destroyed(self, account: u160) -> bool:
        """Whether the account is marked for deletion at the end of the transaction."""

    def destroy(self, account: u160) -> None:
        """Mark the account for deletion at the end of the transaction."""

    # Logs: topics beyond `count` are ignored
    def record(self, offset: u64, size: u64, count: u64, a: u256, b: u256, c: u256, d: u256) -> None:
        """Append a log of this account with data from memory and `count` topics."""

    # Surroundings
    def origin(self) -> u160:
        """Sender of the transaction."""

    def gas_price(self) -> u256:
        """wei per gas that the transaction pays in effect."""

    def blob_hash(self, index: u256) -> u256:
        """Versioned hash `index` of the transaction, 0 out of range."""

    def block_hash(self, number: u256) -> u256:
        """Hash of one of the 256 blocks before this one."""

    def block_number(self) -> u256:
        """Number of this block."""

    def coinbase(self) -> u160:
        """Fee recipient of this block."""

    def timestamp(self) -> u256:
        """Seconds of UNIX time."""

    def randomness(self) -> u256:
        """DIFFICULTY before Paris, PREVRANDAO since."""

    def block_gas_limit(self) -> u256:
        """Gas limit of this block."""

    def chain_id(self) -> u256:
        """EIP-155"""

    def base_fee(self) -> u256:
        """wei per gas"""

    def blob_base_fee(self) -> u256:
        """wei per blob gas"""

    # Frames. After any of these only the returned machine may be used.
    def open_call(
        self,
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
    ) -> Machine:
        """Open a child frame that runs the code of `code_address`; input is a range of this frame's memory."""

    def open_create(self, gas: u64, address: u160, value: u256, input_offset: u64, input_size: u64) -> Machine:
        """Open a child frame that runs init code from this frame's memory."""

    def close(self, status: u64, offset: u64, size: u64) -> Machine:
        """Leave this frame: a range of its memory becomes the parent's return data. Returns the parent."""

    def close_empty(self, status: u64) -> Machine:
        """Leave this frame with no output. Returns the parent."""

    def clear_return_data(self) -> None:
        """Make `return_data` empty."""

    def decline(self, status: u64, gas: u64) -> None:
        """Refuse to open a frame, which is no failure of this one: push 0 and take back `gas`."""

    def undo(self, checkpoint: u64) -> None:
        """Take back every change of state since the undo log stood at `checkpoint`."""


class TransactionData(Protocol):
    """What a transaction says of itself, which is all that can be known of it without state or block."""

    rules: Rules

    def tx_type(self) -> u64:
        """EIP-2718"""

    def tx_is_create(self) -> bool:
        """Whether it creates a contract."""

    def tx_to(self) -> u160:
        """The account that it calls; 0 if it creates a contract."""

    def tx_nonce(self) -> u64:
        """The sender's nonce that it is for."""

    def tx_gas_limit(self) -> u64:
        """Gas"""

    def tx_max_fee(self) -> u256:
        """wei per gas, at most; the gas price of types that have one."""

    def tx_max_priority_fee(self) -> u256:
        """wei per gas for the fee recipient, at most; the gas price of types that have one."""

    def tx_max_blob_fee(self) -> u256:
        """wei per blob gas, at most. EIP-4844."""

    def tx_value(self) -> u256:
        """wei"""

    def tx_data_size(self) -> u64:
        """Bytes of call data or init code."""

    def tx_zero_bytes(self) -> u64:
        """How many of them are zero."""

    def access_accounts(self) -> u64:
        """Entries of the access list. EIP-2930."""

    def access_slots(self) -> u64:
        """Slots of all its entries."""

    def authorizations(self) -> u64:
        """How many authorisations there are. EIP-7702."""

    def blobs(self) -> u64:
        """How many blobs it carries. EIP-4844."""

    def blob_version(self, index: u64) -> u8:
        """First byte of versioned hash `index`."""


class TransactionMachine(TransactionData, Machine, Protocol):
    """The root frame: its account is the sender, its memory the transaction's data. Indices lie below their counts."""

    # What comes of the transaction
    created: u160
    """The contract that it creates, be it with success or not; 0 for a call."""
    gas_used: i64
    """Gas paid for, after refunds."""
    max_gas_used: i64
    """Gas that the limit must cover: before refunds, and at least the floor."""

    # The transaction's lists
    def access_account(self, entry: u64) -> u160:
        """The account of an entry of the access list."""

    def access_slots_of(self, entry: u64) -> u64:
        """How many slots the entry has."""

    def access_slot(self, entry: u64, index: u64) -> u256:
        """One of them."""

    def authority(self, index: u64) -> u256:
        """2**160 plus the address that signed the authorisation; 0 if nobody can have signed it."""

    def authorization_chain_id(self, index: u64) -> u256:
        """The chain that it is for; 0 is any."""

    def authorization_nonce(self, index: u64) -> u64:
        """The authority's nonce that it is for."""

    def authorization_target(self, index: u64) -> u160:
        """Whose code the authority is to run; 0 ends its delegation."""

    # How it is to be run
    def gas_available(self) -> u64:
        """Gas that the block has left."""

    def blob_gas_available(self) -> u64:
        """Blob gas that the block has left."""

    def checks_nonce(self) -> bool:
        """Whether the sender's nonce and code are checked."""

    def checks_balance(self) -> bool:
        """Whether the sender must be able to pay."""

    def checks_base_fee(self) -> bool:
        """Whether fees must cover those of the block."""

    def set_gas_price(self, price: u256) -> None:
        """Set what `gas_price` returns from now on."""

    # State beyond what instructions need
    def begin_transaction(self) -> None:
        """Forget what belonged to the former transaction: warm, created, destroyed, touched; events, original words."""

    def warm_precompiles(self) -> None:
        """Note an access to every precompile."""

    def warm_slot_of(self, account: u160, key: u256) -> None:
        """Note an access to a slot of any account."""

    def set_balance(self, account: u160, balance: u256) -> None:
        """Set the balance in wei; the account comes to exist."""

    def set_delegation(self, account: u160, target: u160) -> None:
        """Make the designator of `target` the account's code. EIP-7702."""

    def clear_code(self, account: u160) -> None:
        """Leave the account without code; it comes to exist."""

    def delete_account(self, account: u160) -> None:
        """Remove the account with its storage."""

    def destroyed_count(self) -> u64:
        """How many accounts are marked for deletion; stays as it is while accounts are deleted."""

    def destroyed(self, index: u64) -> u160:
        """One of them."""

    def touched_count(self) -> u64:
        """How many accounts have been touched; stays as it is while accounts are deleted."""

    def touched(self, index: u64) -> u160:
        """One of them."""
