//! The host functions of version 1 of vmloom's contract interface, for Rust without a standard library.
//!
//! A contract takes this file in with `#[path = "..."] mod vmloom;`. The linker exports its memory as `memory`; it
//! exports a function
//! ```text
//! #[export_name = "main"]
//! pub extern "C" fn entry(input_len: usize, input: *const u8, output: *mut u8) -> i32 { ... }
//! ```
//! that returns 1 for success and 0 to revert.
//!
//! Output is what `set_output` was given, else what the exported globals `output_ptr` and `output_len` say (mutable
//! ones are values, immutable ones addresses of 32-bit values), else the address and the length in the eight bytes at
//! `output`; the latter is null for contracts that have such globals or import `set_output`, `finish` or `revert`.
//! Input is where the exported function `allocate(size)` says, else behind the rest of the memory; a contract that
//! imports `input_copy` gets a null pointer instead.
//!
//! Words, topics and amounts of wei are 32 bytes, big-endian; addresses are 20 bytes. Bytes beyond the memory, a write
//! in a static call and return data beyond their end are failures that use up all gas. AssemblyScript's `abort` is not
//! here: it takes that language's strings.

#![allow(dead_code)]

/// What calls and creations return if they succeeded.
pub const SUCCESS: i32 = 0;
/// What calls and creations return if they reverted.
pub const REVERTED: i32 = 1;
/// What calls and creations return if they failed.
pub const FAILED: i32 = 2;

#[link(wasm_import_module = "env")]
extern "C" {
    // Storage: slots of 32 bytes, as the EVM's.

    /// Read the slot `key` into `value`; a slot never written has zeros.
    pub fn storage_load(key: *const u8, value: *mut u8);
    /// Write the slot `key`.
    pub fn storage_store(key: *const u8, value: *const u8);
    /// Read the slot `key` of the storage that lasts until the transaction ends.
    pub fn transient_load(key: *const u8, value: *mut u8);
    /// Write the slot `key` of the storage that lasts until the transaction ends.
    pub fn transient_store(key: *const u8, value: *const u8);

    // Storage: records of any size under keys of any size.

    /// Bytes of the record `key`; -1 if there is none.
    pub fn record_size(key: *const u8, key_len: u32) -> i32;
    /// Copy up to `capacity` bytes of the record `key` from `offset` on; how many, or -1 if there is none.
    pub fn record_read(key: *const u8, key_len: u32, destination: *mut u8, offset: u32, capacity: u32) -> i32;
    /// Write the record `key`.
    pub fn record_write(key: *const u8, key_len: u32, value: *const u8, value_len: u32);
    /// Remove the record `key`, if there is one.
    pub fn record_remove(key: *const u8, key_len: u32);

    // The call.

    /// 20 bytes: the account whose storage and balance this call uses.
    pub fn address(address: *mut u8);
    /// 20 bytes: who called.
    pub fn caller(address: *mut u8);
    /// 20 bytes: who sent the transaction.
    pub fn origin(address: *mut u8);
    /// 32 bytes: the wei that came with the call.
    pub fn value(amount: *mut u8);
    /// 32 bytes: wei per gas that the transaction pays.
    pub fn gas_price(amount: *mut u8);
    /// Gas that is left of this call's.
    pub fn gas_left() -> u64;
    /// Bytes of the call's input.
    pub fn input_size() -> u32;
    /// Copy `length` bytes of the input from `offset` on; zeros beyond its end.
    pub fn input_copy(destination: *mut u8, offset: u32, length: u32);

    // The block.

    /// The block's number.
    pub fn block_number() -> u64;
    /// The block's time in UNIX seconds.
    pub fn block_timestamp() -> u64;
    /// Gas that the block's transactions may use together.
    pub fn block_gas_limit() -> u64;
    /// 20 bytes: who gets the block's fees.
    pub fn block_coinbase(address: *mut u8);
    /// 32 bytes: the hash of block `number`; zeros unless it is one of the 256 before this one.
    pub fn block_hash(number: u64, hash: *mut u8);
    /// 32 bytes: the chain's number.
    pub fn chain_id(id: *mut u8);
    /// 32 bytes: wei per gas that is burnt.
    pub fn base_fee(amount: *mut u8);
    /// 32 bytes: the beacon chain's randomness (EIP-4399). Whoever proposes the block knows it before anyone else.
    pub fn prev_randao(word: *mut u8);

    // Accounts.

    /// 32 bytes: the wei that an account has.
    pub fn balance(address: *const u8, amount: *mut u8);
    /// Bytes of an account's code.
    pub fn code_size(address: *const u8) -> u32;
    /// 32 bytes: keccak256 of an account's code; zeros if there is no such account (EIP-1052).
    pub fn code_hash(address: *const u8, hash: *mut u8);
    /// Copy `length` bytes of an account's code from `offset` on; zeros beyond its end.
    pub fn code_copy(address: *const u8, destination: *mut u8, offset: u32, length: u32);

    // Events.

    /// Emit an event: up to four topics of 32 bytes each, one after the other, and data.
    pub fn emit(topics: *const u8, topic_count: u32, data: *const u8, data_len: u32);

    // Calls of other contracts, whichever VM runs them.

    /// Call an account with at most `gas` and with `value`, 32 bytes of wei; a null pointer is none.
    pub fn call(gas: u64, address: *const u8, value: *const u8, input: *const u8, input_len: u32) -> i32;
    /// Call an account that, like all that it calls, may change nothing.
    pub fn call_static(gas: u64, address: *const u8, input: *const u8, input_len: u32) -> i32;
    /// Run another account's code on this one's storage, with this call's caller and value.
    pub fn call_delegate(gas: u64, address: *const u8, input: *const u8, input_len: u32) -> i32;
    /// Make a contract; its address, 20 bytes, follows from this one's address and nonce. Zeros if that fails.
    pub fn create(
        value: *const u8,
        code: *const u8,
        code_len: u32,
        input: *const u8,
        input_len: u32,
        address: *mut u8,
    ) -> i32;
    /// Make a contract; its address follows from this one's address, the salt (32 bytes), code and input.
    pub fn create2(
        value: *const u8,
        code: *const u8,
        code_len: u32,
        input: *const u8,
        input_len: u32,
        salt: *const u8,
        address: *mut u8,
    ) -> i32;
    /// Bytes that the last call or creation returned.
    pub fn return_data_size() -> u32;
    /// Copy `length` bytes of what the last call or creation returned, from `offset` on.
    pub fn return_data_copy(destination: *mut u8, offset: u32, length: u32);

    // The end of the call.

    /// Say what the call returns; `main` goes on. It wins over other ways to leave output.
    pub fn set_output(data: *const u8, length: u32);
    /// End the call with success.
    pub fn finish(data: *const u8, length: u32) -> !;
    /// End the call and undo what it did; the rest of the gas goes back.
    pub fn revert(data: *const u8, length: u32) -> !;

    // Hashes of 32 bytes.

    /// Keccak-256, as the EVM's.
    pub fn keccak256(data: *const u8, length: u32, digest: *mut u8);
    /// SHA-256.
    pub fn sha256(data: *const u8, length: u32, digest: *mut u8);
}
