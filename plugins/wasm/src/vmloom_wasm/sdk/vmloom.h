/* The host functions of version 1 of vmloom's contract interface, for C.
 *
 * A contract exports its memory as `memory` and a function
 *     int32_t main(uint32_t input_len, const void *input, void *output)
 * that returns 1 for success and 0 to revert. clang has its own idea of `main`, so name it otherwise:
 *     VMLOOM_EXPORT("main") int32_t token(uint32_t input_len, const void *input, void *output) { ... }
 *
 * Output is what `set_output` was given, else what the exported globals `output_ptr` and `output_len` say (mutable ones
 * are values, immutable ones addresses of 32-bit values), else the address and the length in the eight bytes at
 * `output`; the latter is null for contracts that have such globals or import `set_output`, `finish` or `revert`. Input
 * is where the exported function `allocate(size)` says, else behind the rest of the memory; a contract that imports
 * `input_copy` gets a null pointer instead.
 *
 * Words, topics and amounts of wei are 32 bytes, big-endian; addresses are 20 bytes. Bytes beyond the memory, a write
 * in a static call and return data beyond their end are failures that use up all gas. AssemblyScript's `abort` is not
 * here: it takes that language's strings.
 */

#ifndef VMLOOM_H
#define VMLOOM_H

#include <stdint.h>

#define VMLOOM_EXPORT(name) __attribute__((export_name(name)))
#define VMLOOM_HOST(name) __attribute__((import_module("env"), import_name(name)))

/* What calls and creations return. */
enum { VMLOOM_SUCCESS = 0, VMLOOM_REVERTED = 1, VMLOOM_FAILED = 2 };

/* Storage: slots of 32 bytes, as the EVM's. */

/* Read the slot `key` into `value`; a slot never written has zeros. */
VMLOOM_HOST("storage_load") void vmloom_storage_load(const void *key, void *value);
/* Write the slot `key`. */
VMLOOM_HOST("storage_store") void vmloom_storage_store(const void *key, const void *value);
/* Read the slot `key` of the storage that lasts until the transaction ends. */
VMLOOM_HOST("transient_load") void vmloom_transient_load(const void *key, void *value);
/* Write the slot `key` of the storage that lasts until the transaction ends. */
VMLOOM_HOST("transient_store") void vmloom_transient_store(const void *key, const void *value);

/* Storage: records of any size under keys of any size. */

/* Bytes of the record `key`; -1 if there is none. */
VMLOOM_HOST("record_size") int32_t vmloom_record_size(const void *key, uint32_t key_len);
/* Copy up to `capacity` bytes of the record `key` from `offset` on; how many, or -1 if there is none. */
VMLOOM_HOST("record_read") int32_t vmloom_record_read(
    const void *key, uint32_t key_len, void *destination, uint32_t offset, uint32_t capacity);
/* Write the record `key`. */
VMLOOM_HOST("record_write") void vmloom_record_write(
    const void *key, uint32_t key_len, const void *value, uint32_t value_len);
/* Remove the record `key`, if there is one. */
VMLOOM_HOST("record_remove") void vmloom_record_remove(const void *key, uint32_t key_len);

/* The call. */

/* 20 bytes: the account whose storage and balance this call uses. */
VMLOOM_HOST("address") void vmloom_address(void *address);
/* 20 bytes: who called. */
VMLOOM_HOST("caller") void vmloom_caller(void *address);
/* 20 bytes: who sent the transaction. */
VMLOOM_HOST("origin") void vmloom_origin(void *address);
/* 32 bytes: the wei that came with the call. */
VMLOOM_HOST("value") void vmloom_value(void *amount);
/* 32 bytes: wei per gas that the transaction pays. */
VMLOOM_HOST("gas_price") void vmloom_gas_price(void *amount);
/* Gas that is left of this call's. */
VMLOOM_HOST("gas_left") uint64_t vmloom_gas_left(void);
/* Bytes of the call's input. */
VMLOOM_HOST("input_size") uint32_t vmloom_input_size(void);
/* Copy `length` bytes of the input from `offset` on; zeros beyond its end. */
VMLOOM_HOST("input_copy") void vmloom_input_copy(void *destination, uint32_t offset, uint32_t length);

/* The block. */

/* The block's number. */
VMLOOM_HOST("block_number") uint64_t vmloom_block_number(void);
/* The block's time in UNIX seconds. */
VMLOOM_HOST("block_timestamp") uint64_t vmloom_block_timestamp(void);
/* Gas that the block's transactions may use together. */
VMLOOM_HOST("block_gas_limit") uint64_t vmloom_block_gas_limit(void);
/* 20 bytes: who gets the block's fees. */
VMLOOM_HOST("block_coinbase") void vmloom_block_coinbase(void *address);
/* 32 bytes: the hash of block `number`; zeros unless it is one of the 256 before this one. */
VMLOOM_HOST("block_hash") void vmloom_block_hash(uint64_t number, void *hash);
/* 32 bytes: the chain's number. */
VMLOOM_HOST("chain_id") void vmloom_chain_id(void *id);
/* 32 bytes: wei per gas that is burnt. */
VMLOOM_HOST("base_fee") void vmloom_base_fee(void *amount);
/* 32 bytes: the beacon chain's randomness (EIP-4399). Whoever proposes the block knows it before anyone else. */
VMLOOM_HOST("prev_randao") void vmloom_prev_randao(void *word);

/* Accounts. */

/* 32 bytes: the wei that an account has. */
VMLOOM_HOST("balance") void vmloom_balance(const void *address, void *amount);
/* Bytes of an account's code. */
VMLOOM_HOST("code_size") uint32_t vmloom_code_size(const void *address);
/* 32 bytes: keccak256 of an account's code; zeros if there is no such account (EIP-1052). */
VMLOOM_HOST("code_hash") void vmloom_code_hash(const void *address, void *hash);
/* Copy `length` bytes of an account's code from `offset` on; zeros beyond its end. */
VMLOOM_HOST("code_copy") void vmloom_code_copy(
    const void *address, void *destination, uint32_t offset, uint32_t length);

/* Events. */

/* Emit an event: up to four topics of 32 bytes each, one after the other, and data. */
VMLOOM_HOST("emit") void vmloom_emit(const void *topics, uint32_t topic_count, const void *data, uint32_t data_len);

/* Calls of other contracts, whichever VM runs them. */

/* Call an account with at most `gas` and with `value`, 32 bytes of wei; a null pointer is none. */
VMLOOM_HOST("call") int32_t vmloom_call(
    uint64_t gas, const void *address, const void *value, const void *input, uint32_t input_len);
/* Call an account that, like all that it calls, may change nothing. */
VMLOOM_HOST("call_static") int32_t vmloom_call_static(
    uint64_t gas, const void *address, const void *input, uint32_t input_len);
/* Run another account's code on this one's storage, with this call's caller and value. */
VMLOOM_HOST("call_delegate") int32_t vmloom_call_delegate(
    uint64_t gas, const void *address, const void *input, uint32_t input_len);
/* Make a contract; its address, 20 bytes, follows from this one's address and nonce. Zeros if that fails. */
VMLOOM_HOST("create") int32_t vmloom_create(
    const void *value, const void *code, uint32_t code_len, const void *input, uint32_t input_len, void *address);
/* Make a contract; its address follows from this one's address, the salt (32 bytes), code and input. */
VMLOOM_HOST("create2") int32_t vmloom_create2(
    const void *value, const void *code, uint32_t code_len, const void *input, uint32_t input_len, const void *salt,
    void *address);
/* Bytes that the last call or creation returned. */
VMLOOM_HOST("return_data_size") uint32_t vmloom_return_data_size(void);
/* Copy `length` bytes of what the last call or creation returned, from `offset` on. */
VMLOOM_HOST("return_data_copy") void vmloom_return_data_copy(void *destination, uint32_t offset, uint32_t length);

/* The end of the call. */

/* Say what the call returns; `main` goes on. It wins over other ways to leave output. */
VMLOOM_HOST("set_output") void vmloom_set_output(const void *data, uint32_t length);
/* End the call with success. */
VMLOOM_HOST("finish") _Noreturn void vmloom_finish(const void *data, uint32_t length);
/* End the call and undo what it did; the rest of the gas goes back. */
VMLOOM_HOST("revert") _Noreturn void vmloom_revert(const void *data, uint32_t length);

/* Hashes of 32 bytes. */

/* Keccak-256, as the EVM's. */
VMLOOM_HOST("keccak256") void vmloom_keccak256(const void *data, uint32_t length, void *digest);
/* SHA-256. */
VMLOOM_HOST("sha256") void vmloom_sha256(const void *data, uint32_t length, void *digest);

#endif
