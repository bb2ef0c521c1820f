// The host functions of version 1 of vmloom's contract interface, for AssemblyScript.
//
// A contract exports a function
//     main(input_len: i32, input: usize, output: usize): i32
// that returns 1 for success and 0 to revert; the compiler exports its memory as `memory`. Compile with `--exportStart
// _start`, so that the host runs the top level before anything else.
//
// Output is what `set_output` was given, else what the exported globals `output_ptr` and `output_len` say (mutable ones
// are values, immutable ones addresses of 32-bit values), else the address and the length in the eight bytes at
// `output`; the latter is null for contracts that have such globals or import `set_output`, `finish` or `revert`. Input
// is where the exported function `allocate(size)` says, else behind the rest of the memory; a contract that imports
// `input_copy` gets a null pointer instead.
//
// Words, topics and amounts of wei are 32 bytes, big-endian; addresses are 20 bytes. Bytes beyond the memory, a write
// in a static call and return data beyond their end are failures that use up all gas. All of them are passed by where
// they are. `abort`, which the compiler declares itself, is a failure with its message.

/** What calls and creations return if they succeeded. */
export const SUCCESS: i32 = 0;
/** What calls and creations return if they reverted. */
export const REVERTED: i32 = 1;
/** What calls and creations return if they failed. */
export const FAILED: i32 = 2;

// Storage: slots of 32 bytes, as the EVM's.

/** Read the slot `key` into `value`; a slot never written has zeros. */
@external("env", "storage_load") export declare function storage_load(key: usize, value: usize): void;
/** Write the slot `key`. */
@external("env", "storage_store") export declare function storage_store(key: usize, value: usize): void;
/** Read the slot `key` of the storage that lasts until the transaction ends. */
@external("env", "transient_load") export declare function transient_load(key: usize, value: usize): void;
/** Write the slot `key` of the storage that lasts until the transaction ends. */
@external("env", "transient_store") export declare function transient_store(key: usize, value: usize): void;

// Storage: records of any size under keys of any size.

/** Bytes of the record `key`; -1 if there is none. */
@external("env", "record_size") export declare function record_size(key: usize, key_len: u32): i32;
/** Copy up to `capacity` bytes of the record `key` from `offset` on; how many, or -1 if there is none. */
@external("env", "record_read") export declare function record_read(
  key: usize,
  key_len: u32,
  destination: usize,
  offset: u32,
  capacity: u32,
): i32;
/** Write the record `key`. */
@external("env", "record_write") export declare function record_write(
  key: usize,
  key_len: u32,
  value: usize,
  value_len: u32,
): void;
/** Remove the record `key`, if there is one. */
@external("env", "record_remove") export declare function record_remove(key: usize, key_len: u32): void;

// The call.

/** 20 bytes: the account whose storage and balance this call uses. */
@external("env", "address") export declare function address(address: usize): void;
/** 20 bytes: who called. */
@external("env", "caller") export declare function caller(address: usize): void;
/** 20 bytes: who sent the transaction. */
@external("env", "origin") export declare function origin(address: usize): void;
/** 32 bytes: the wei that came with the call. */
@external("env", "value") export declare function value(amount: usize): void;
/** 32 bytes: wei per gas that the transaction pays. */
@external("env", "gas_price") export declare function gas_price(amount: usize): void;
/** Gas that is left of this call's. */
@external("env", "gas_left") export declare function gas_left(): u64;
/** Bytes of the call's input. */
@external("env", "input_size") export declare function input_size(): u32;
/** Copy `length` bytes of the input from `offset` on; zeros beyond its end. */
@external("env", "input_copy") export declare function input_copy(destination: usize, offset: u32, length: u32): void;

// The block.

/** The block's number. */
@external("env", "block_number") export declare function block_number(): u64;
/** The block's time in UNIX seconds. */
@external("env", "block_timestamp") export declare function block_timestamp(): u64;
/** Gas that the block's transactions may use together. */
@external("env", "block_gas_limit") export declare function block_gas_limit(): u64;
/** 20 bytes: who gets the block's fees. */
@external("env", "block_coinbase") export declare function block_coinbase(address: usize): void;
/** 32 bytes: the hash of block `number`; zeros unless it is one of the 256 before this one. */
@external("env", "block_hash") export declare function block_hash(number: u64, hash: usize): void;
/** 32 bytes: the chain's number. */
@external("env", "chain_id") export declare function chain_id(id: usize): void;
/** 32 bytes: wei per gas that is burnt. */
@external("env", "base_fee") export declare function base_fee(amount: usize): void;
/** 32 bytes: the beacon chain's randomness (EIP-4399). Whoever proposes the block knows it before anyone else. */
@external("env", "prev_randao") export declare function prev_randao(word: usize): void;

// Accounts.

/** 32 bytes: the wei that an account has. */
@external("env", "balance") export declare function balance(address: usize, amount: usize): void;
/** Bytes of an account's code. */
@external("env", "code_size") export declare function code_size(address: usize): u32;
/** 32 bytes: keccak256 of an account's code; zeros if there is no such account (EIP-1052). */
@external("env", "code_hash") export declare function code_hash(address: usize, hash: usize): void;
/** Copy `length` bytes of an account's code from `offset` on; zeros beyond its end. */
@external("env", "code_copy") export declare function code_copy(
  address: usize,
  destination: usize,
  offset: u32,
  length: u32,
): void;

// Events.

/** Emit an event: up to four topics of 32 bytes each, one after the other, and data. */
@external("env", "emit") export declare function emit(
  topics: usize,
  topic_count: u32,
  data: usize,
  data_len: u32,
): void;

// Calls of other contracts, whichever VM runs them.

/** Call an account with at most `gas` and with `value`, 32 bytes of wei; a null pointer is none. */
@external("env", "call") export declare function call(
  gas: u64,
  address: usize,
  value: usize,
  input: usize,
  input_len: u32,
): i32;
/** Call an account that, like all that it calls, may change nothing. */
@external("env", "call_static") export declare function call_static(
  gas: u64,
  address: usize,
  input: usize,
  input_len: u32,
): i32;
/** Run another account's code on this one's storage, with this call's caller and value. */
@external("env", "call_delegate") export declare function call_delegate(
  gas: u64,
  address: usize,
  input: usize,
  input_len: u32,
): i32;
/** Make a contract; its address, 20 bytes, follows from this one's address and nonce. Zeros if that fails. */
@external("env", "create") export declare function create(
  value: usize,
  code: usize,
  code_len: u32,
  input: usize,
  input_len: u32,
  address: usize,
): i32;
/** Make a contract; its address follows from this one's address, the salt (32 bytes), code and input. */
@external("env", "create2") export declare function create2(
  value: usize,
  code: usize,
  code_len: u32,
  input: usize,
  input_len: u32,
  salt: usize,
  address: usize,
): i32;
/** Bytes that the last call or creation returned. */
@external("env", "return_data_size") export declare function return_data_size(): u32;
/** Copy `length` bytes of what the last call or creation returned, from `offset` on. */
@external("env", "return_data_copy") export declare function return_data_copy(
  destination: usize,
  offset: u32,
  length: u32,
): void;

// The end of the call.

/** Say what the call returns; `main` goes on. It wins over other ways to leave output. */
@external("env", "set_output") export declare function set_output(data: usize, length: u32): void;
/** End the call with success. */
@external("env", "finish") export declare function finish(data: usize, length: u32): void;
/** End the call and undo what it did; the rest of the gas goes back. */
@external("env", "revert") export declare function revert(data: usize, length: u32): void;

// Hashes of 32 bytes.

/** Keccak-256, as the EVM's. */
@external("env", "keccak256") export declare function keccak256(data: usize, length: u32, digest: usize): void;
/** SHA-256. */
@external("env", "sha256") export declare function sha256(data: usize, length: u32, digest: usize): void;
