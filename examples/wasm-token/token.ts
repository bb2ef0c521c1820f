// The Loom token in AssemblyScript: an ERC-20 with Solidity's interface and storage layout.
//
// Output is left in the exported variables `output_ptr` and `output_len`. Words are 32 bytes, big-endian, and passed by
// where they are. Every call gets a new instance, so static data are as they stand here at its start.

import { caller, emit, keccak256, storage_load, storage_store, value } from "../../plugins/wasm/src/vmloom_wasm/sdk/vmloom";

export let output_ptr: usize = 0;
export let output_len: i32 = 0;

// Storage, in the order in which Solidity would declare it.
const TOTAL_SUPPLY = word(0);
const BALANCE_OF = word(1);
const ALLOWANCE = word(2);
const INITIALIZED = word(3);

const NOBODY = word(0);
const ONE = word(1);
const EIGHTEEN = word(18);

/** keccak256("Transfer(address,address,uint256)") */
const TRANSFER = memory.data<u8>([
  0xdd, 0xf2, 0x52, 0xad, 0x1b, 0xe2, 0xc8, 0x9b, 0x69, 0xc2, 0xb0, 0x68, 0xfc, 0x37, 0x8d, 0xaa,
  0x95, 0x2b, 0xa7, 0xf1, 0x63, 0xc4, 0xa1, 0x16, 0x28, 0xf5, 0x5a, 0x4d, 0xf5, 0x23, 0xb3, 0xef,
]);
/** keccak256("Approval(address,address,uint256)") */
const APPROVAL = memory.data<u8>([
  0x8c, 0x5b, 0xe1, 0xe5, 0xeb, 0xec, 0x7d, 0x5b, 0xd1, 0x4f, 0x71, 0x42, 0x7d, 0x1e, 0x84, 0xf3,
  0xdd, 0x03, 0x14, 0xc0, 0xf7, 0xb2, 0x29, 0x1e, 0x5b, 0x20, 0x0a, 0xc8, 0xc7, 0xc3, 0xb9, 0x25,
]);

/** Selectors: the first four bytes of the hash of a function's signature. */
enum Selector {
  name = 0x06fdde03,
  symbol = 0x95d89b41,
  decimals = 0x313ce567,
  totalSupply = 0x18160ddd,
  balanceOf = 0x70a08231,
  allowance = 0xdd62ed3e,
  initialize = 0xfe4b84df,
  transfer = 0xa9059cbb,
  approve = 0x095ea7b3,
  transferFrom = 0x23b872dd,
}

/** A new word with a small value. */
function word(small: u8 = 0): usize {
  const made = heap.alloc(32);
  memory.fill(made, 0, 32);
  store<u8>(made + 31, small);
  return made;
}

/** Where the host puts `size` bytes of input. */
export function allocate(size: i32): usize {
  return heap.alloc(size);
}

// How functions end: 1 is success, 0 is revert.

function answer(data: usize, length: i32): i32 {
  output_ptr = data;
  output_len = length;
  return 1;
}

/** The selector of Error(string), and a text of at most 32 bytes as Solidity encodes it. */
function encoded(text: string): usize {
  const data = heap.alloc(100);
  memory.fill(data, 0, 100);
  store<u32>(data, bswap<u32>(0x08c379a0));
  store<u8>(data + 35, 32);
  store<u8>(data + 67, text.length as u8);
  for (let i = 0; i < text.length; i++) store<u8>(data + 68 + i, text.charCodeAt(i) as u8);
  return data;
}

function answerText(text: string): i32 {
  return answer(encoded(text) + 4, 96);
}

function answerSlot(slot: usize): i32 {
  return answer(loaded(slot), 32);
}

/** Revert as Solidity does: Error(string). */
function fail(reason: string): i32 {
  answer(encoded(reason), 100);
  return 0;
}

// Words.

function isZero(word: usize, size: i32 = 32): bool {
  for (let i = 0; i < size; i++) {
    if (load<u8>(word + i)) return false;
  }
  return true;
}

/** Add `amount` to `word`; whether that is too much for a word. */
function add(word: usize, amount: usize): bool {
  let carry: u32 = 0;
  for (let i = 31; i >= 0; i--) {
    carry += (load<u8>(word + i) as u32) + load<u8>(amount + i);
    store<u8>(word + i, carry as u8);
    carry >>= 8;
  }
  return carry != 0;
}

/** Subtract `amount` from `word`; whether it was less. */
function subtract(word: usize, amount: usize): bool {
  let borrow: i32 = 0;
  for (let i = 31; i >= 0; i--) {
    borrow += (load<u8>(word + i) as i32) - load<u8>(amount + i);
    store<u8>(word + i, borrow as u8);
    borrow >>= 8;
  }
  return borrow != 0;
}

/** What is in a slot, in a new word. */
function loaded(slot: usize): usize {
  const found = heap.alloc(32);
  storage_load(slot, found);
  return found;
}

/** Where Solidity keeps `mapping[key]`, in a new word. */
function slotOf(mapping: usize, key: usize): usize {
  const pair = heap.alloc(64);
  memory.copy(pair, key, 32);
  memory.copy(pair + 32, mapping, 32);
  keccak256(pair, 64, pair);
  return pair;
}

function slotOfAllowance(owner: usize, spender: usize): usize {
  return slotOf(slotOf(ALLOWANCE, owner), spender);
}

function tell(event: usize, first: usize, second: usize, amount: usize): void {
  const topics = heap.alloc(96);
  memory.copy(topics, event, 32);
  memory.copy(topics + 32, first, 32);
  memory.copy(topics + 64, second, 32);
  emit(topics, 3, amount, 32);
}

function who(): usize {
  const found = word();
  caller(found + 12);
  return found;
}

// The token.

function initialize(supply: usize): i32 {
  if (!isZero(loaded(INITIALIZED))) return fail("already initialized");
  const holder = who();
  storage_store(INITIALIZED, ONE);
  storage_store(TOTAL_SUPPLY, supply);
  storage_store(slotOf(BALANCE_OF, holder), supply);
  tell(TRANSFER, NOBODY, holder, supply);
  return answer(0, 0);
}

function transfer(sender: usize, receiver: usize, amount: usize): i32 {
  if (isZero(receiver)) return fail("transfer to nobody");
  let slot = slotOf(BALANCE_OF, sender);
  let balance = loaded(slot);
  if (subtract(balance, amount)) return fail("insufficient balance");
  storage_store(slot, balance);
  slot = slotOf(BALANCE_OF, receiver);
  balance = loaded(slot); // after the sender's is written: they may be the same
  if (add(balance, amount)) return fail("balance overflow");
  storage_store(slot, balance);
  tell(TRANSFER, sender, receiver, amount);
  return answer(ONE, 32);
}

function transferFrom(sender: usize, receiver: usize, amount: usize): i32 {
  const slot = slotOfAllowance(sender, who());
  const allowed = loaded(slot);
  if (subtract(allowed, amount)) return fail("insufficient allowance");
  storage_store(slot, allowed);
  return transfer(sender, receiver, amount);
}

function approve(spender: usize, amount: usize): i32 {
  const owner = who();
  storage_store(slotOfAllowance(owner, spender), amount);
  tell(APPROVAL, owner, spender, amount);
  return answer(ONE, 32);
}

/** Whether the input has `count` arguments of which the first `addresses` are addresses. */
function takes(length: i32, first: usize, count: i32, addresses: i32): bool {
  if (length < 4 + count * 32) return false;
  for (let i = 0; i < addresses; i++) {
    if (!isZero(first + i * 32, 12)) return false;
  }
  return true;
}

export function main(length: i32, input: usize, _output: usize): i32 {
  const sent = heap.alloc(32);
  value(sent);
  if (length < 4 || !isZero(sent)) return 0;
  const first = input + 4, second = input + 36, third = input + 68;
  switch (bswap<u32>(load<u32>(input))) {
    case Selector.name: return answerText("Loom");
    case Selector.symbol: return answerText("LOOM");
    case Selector.decimals: return answer(EIGHTEEN, 32);
    case Selector.totalSupply: return answerSlot(TOTAL_SUPPLY);
    case Selector.balanceOf: return takes(length, first, 1, 1) ? answerSlot(slotOf(BALANCE_OF, first)) : 0;
    case Selector.allowance: return takes(length, first, 2, 2) ? answerSlot(slotOfAllowance(first, second)) : 0;
    case Selector.initialize: return takes(length, first, 1, 0) ? initialize(first) : 0;
    case Selector.transfer: return takes(length, first, 2, 1) ? transfer(who(), first, second) : 0;
    case Selector.approve: return takes(length, first, 2, 1) ? approve(first, second) : 0;
    case Selector.transferFrom: return takes(length, first, 3, 2) ? transferFrom(first, second, third) : 0;
  }
  return 0;
}
