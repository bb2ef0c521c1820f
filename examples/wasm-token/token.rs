//! The Loom token in Rust: an ERC-20 with Solidity's interface and storage layout.
//!
//! Output is left with the host function `set_output`. Nothing here can panic: what fails says so in its result.

#![no_std]

#[path = "../../plugins/wasm/src/vmloom_wasm/sdk/vmloom.rs"]
mod vmloom;

use core::arch::wasm32;
use core::panic::PanicInfo;

/// How a call that succeeds is answered.
enum Output {
    Nothing,
    Word(Word),
    Text(&'static str),
}

/// How a call that reverts is answered.
enum Failure {
    /// with no output
    Silent,
    /// as Solidity does: `Error(string)`
    Because(&'static str),
}

type Answer = Result<Output, Failure>;

/// 256 bits, big-endian: an amount, a slot, a topic, or an address behind twelve zeros.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
struct Word([u8; 32]);

impl Word {
    const ZERO: Word = Word::of(0);
    const ONE: Word = Word::of(1);

    const fn of(value: u8) -> Word {
        let mut bytes = [0; 32];
        bytes[31] = value;
        Word(bytes)
    }

    fn plus(mut self, amount: &Word) -> Option<Word> {
        let mut carry = 0;
        for (byte, other) in self.0.iter_mut().zip(&amount.0).rev() {
            carry += *byte as u32 + *other as u32;
            *byte = carry as u8;
            carry >>= 8;
        }
        (carry == 0).then_some(self)
    }

    fn minus(mut self, amount: &Word) -> Option<Word> {
        let mut borrow = 0;
        for (byte, other) in self.0.iter_mut().zip(&amount.0).rev() {
            borrow += *byte as i32 - *other as i32;
            *byte = borrow as u8;
            borrow >>= 8;
        }
        (borrow == 0).then_some(self)
    }

    fn load(&self) -> Word {
        let mut value = Word::ZERO;
        unsafe { vmloom::storage_load(self.0.as_ptr(), value.0.as_mut_ptr()) }
        value
    }

    fn store(&self, value: &Word) {
        unsafe { vmloom::storage_store(self.0.as_ptr(), value.0.as_ptr()) }
    }

    /// Where Solidity keeps `mapping[key]`, for the mapping in this slot.
    fn at(&self, key: &Word) -> Word {
        let pair = [*key, *self];
        let mut slot = Word::ZERO;
        unsafe { vmloom::keccak256(pair.as_ptr().cast(), 64, slot.0.as_mut_ptr()) }
        slot
    }
}

// Storage, in the order in which Solidity would declare it.
const TOTAL_SUPPLY: Word = Word::of(0);
const BALANCE_OF: Word = Word::of(1);
const ALLOWANCE: Word = Word::of(2);
const INITIALIZED: Word = Word::of(3);

/// keccak256("Transfer(address,address,uint256)")
const TRANSFER: Word = Word([
    0xdd, 0xf2, 0x52, 0xad, 0x1b, 0xe2, 0xc8, 0x9b, 0x69, 0xc2, 0xb0, 0x68, 0xfc, 0x37, 0x8d, 0xaa, //
    0x95, 0x2b, 0xa7, 0xf1, 0x63, 0xc4, 0xa1, 0x16, 0x28, 0xf5, 0x5a, 0x4d, 0xf5, 0x23, 0xb3, 0xef,
]);
/// keccak256("Approval(address,address,uint256)")
const APPROVAL: Word = Word([
    0x8c, 0x5b, 0xe1, 0xe5, 0xeb, 0xec, 0x7d, 0x5b, 0xd1, 0x4f, 0x71, 0x42, 0x7d, 0x1e, 0x84, 0xf3, //
    0xdd, 0x03, 0x14, 0xc0, 0xf7, 0xb2, 0x29, 0x1e, 0x5b, 0x20, 0x0a, 0xc8, 0xc7, 0xc3, 0xb9, 0x25,
]);

fn emit(event: Word, first: Word, second: Word, amount: &Word) {
    let topics = [event, first, second];
    unsafe { vmloom::emit(topics.as_ptr().cast(), 3, amount.0.as_ptr(), 32) }
}

fn caller() -> Word {
    let mut word = Word::ZERO;
    unsafe { vmloom::caller(word.0.as_mut_ptr().add(12)) }
    word
}

fn value() -> Word {
    let mut word = Word::ZERO;
    unsafe { vmloom::value(word.0.as_mut_ptr()) }
    word
}

// The token.

fn initialize(supply: Word) -> Answer {
    if INITIALIZED.load() != Word::ZERO {
        return Err(Failure::Because("already initialized"));
    }
    let holder = caller();
    INITIALIZED.store(&Word::ONE);
    TOTAL_SUPPLY.store(&supply);
    BALANCE_OF.at(&holder).store(&supply);
    emit(TRANSFER, Word::ZERO, holder, &supply);
    Ok(Output::Nothing)
}

fn transfer(sender: Word, receiver: Word, amount: Word) -> Answer {
    if receiver == Word::ZERO {
        return Err(Failure::Because("transfer to nobody"));
    }
    let slot = BALANCE_OF.at(&sender);
    let left = slot.load().minus(&amount).ok_or(Failure::Because("insufficient balance"))?;
    slot.store(&left);
    let slot = BALANCE_OF.at(&receiver); // read after the sender's is written: they may be the same
    let balance = slot.load().plus(&amount).ok_or(Failure::Because("balance overflow"))?;
    slot.store(&balance);
    emit(TRANSFER, sender, receiver, &amount);
    Ok(Output::Word(Word::ONE))
}

fn transfer_from(sender: Word, receiver: Word, amount: Word) -> Answer {
    let slot = ALLOWANCE.at(&sender).at(&caller());
    let left = slot.load().minus(&amount).ok_or(Failure::Because("insufficient allowance"))?;
    slot.store(&left);
    transfer(sender, receiver, amount)
}

fn approve(spender: Word, amount: Word) -> Answer {
    let owner = caller();
    ALLOWANCE.at(&owner).at(&spender).store(&amount);
    emit(APPROVAL, owner, spender, &amount);
    Ok(Output::Word(Word::ONE))
}

/// The arguments of a call, each a word.
struct Arguments<'a>(&'a [u8]);

impl Arguments<'_> {
    fn word(&self, index: usize) -> Result<Word, Failure> {
        let bytes = self.0.get(32 * index..32 * index + 32).ok_or(Failure::Silent)?;
        bytes.try_into().map(Word).map_err(|_| Failure::Silent)
    }

    fn address(&self, index: usize) -> Result<Word, Failure> {
        let word = self.word(index)?;
        let zeros = word.0[..12].iter().all(|byte| *byte == 0);
        zeros.then_some(word).ok_or(Failure::Silent)
    }
}

fn answer(input: &[u8]) -> Answer {
    if value() != Word::ZERO {
        return Err(Failure::Silent);
    }
    let selector = input.get(..4).and_then(|bytes| bytes.try_into().ok()).ok_or(Failure::Silent)?;
    let arguments = Arguments(&input[4..]);
    // Selectors: the first four bytes of the hash of a function's signature.
    match u32::from_be_bytes(selector) {
        0x06fdde03 => Ok(Output::Text("Loom")),
        0x95d89b41 => Ok(Output::Text("LOOM")),
        0x313ce567 => Ok(Output::Word(Word::of(18))),
        0x18160ddd => Ok(Output::Word(TOTAL_SUPPLY.load())),
        0x70a08231 => Ok(Output::Word(BALANCE_OF.at(&arguments.address(0)?).load())),
        0xdd62ed3e => Ok(Output::Word(ALLOWANCE.at(&arguments.address(0)?).at(&arguments.address(1)?).load())),
        0xfe4b84df => initialize(arguments.word(0)?),
        0xa9059cbb => transfer(caller(), arguments.address(0)?, arguments.word(1)?),
        0x095ea7b3 => approve(arguments.address(0)?, arguments.word(1)?),
        0x23b872dd => transfer_from(arguments.address(0)?, arguments.address(1)?, arguments.word(2)?),
        _ => Err(Failure::Silent),
    }
}

// What the host sees.

fn set_output(data: &[u8]) {
    unsafe { vmloom::set_output(data.as_ptr(), data.len() as u32) }
}

/// The selector of `Error(string)`, and a text of at most 32 bytes as Solidity encodes it.
fn error(text: &str) -> [u8; 100] {
    let mut data = [0; 100];
    data[..4].copy_from_slice(&[0x08, 0xc3, 0x79, 0xa0]);
    data[35] = 32;
    data[67] = text.len() as u8;
    for (byte, letter) in data[68..].iter_mut().zip(text.bytes()) {
        *byte = letter;
    }
    data
}

/// Where the host puts `size` bytes of input: what no function of the token takes goes behind the rest of the memory.
#[no_mangle]
pub extern "C" fn allocate(size: usize) -> *mut u8 {
    static mut INPUT: [u8; 256] = [0; 256];
    if size <= 256 {
        return unsafe { core::ptr::addr_of_mut!(INPUT).cast() };
    }
    let page = wasm32::memory_grow::<0>(size / 65536 + (size % 65536 != 0) as usize);
    if page == usize::MAX {
        wasm32::unreachable();
    }
    (page * 65536) as *mut u8
}

/// # Safety
///
/// The host has put `input_len` bytes at `input`.
#[export_name = "main"]
pub unsafe extern "C" fn entry(input_len: usize, input: *const u8, _output: *mut u8) -> i32 {
    let input = if input_len == 0 { &[] } else { core::slice::from_raw_parts(input, input_len) };
    let answer = answer(input);
    match &answer {
        Ok(Output::Word(word)) => set_output(&word.0),
        Ok(Output::Text(text)) => set_output(&error(text)[4..]),
        Err(Failure::Because(reason)) => set_output(&error(reason)),
        Ok(Output::Nothing) | Err(Failure::Silent) => {}
    }
    answer.is_ok() as i32
}

#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    wasm32::unreachable()
}
