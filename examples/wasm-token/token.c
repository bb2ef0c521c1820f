/* The Loom token in C: an ERC-20 with Solidity's interface and storage layout.
 *
 * Output is left in the globals `output_ptr` and `output_len`, which the linker exports as their addresses. Every call
 * gets a new instance, so static buffers are zero at its start and belong to it alone.
 */

#include "vmloom.h"

typedef struct {
    uint8_t bytes[32];
} Word;

typedef struct {
    Word event, first, second;
} Topics;

/* Storage, in the order in which Solidity would declare it. */
static const Word TOTAL_SUPPLY = {{[31] = 0}};
static const Word BALANCE_OF = {{[31] = 1}};
static const Word ALLOWANCE = {{[31] = 2}};
static const Word INITIALIZED = {{[31] = 3}};

static const Word NOBODY;
static const Word ONE = {{[31] = 1}};

/* keccak256("Transfer(address,address,uint256)") */
static const Word TRANSFER = {{
    0xdd, 0xf2, 0x52, 0xad, 0x1b, 0xe2, 0xc8, 0x9b, 0x69, 0xc2, 0xb0, 0x68, 0xfc, 0x37, 0x8d, 0xaa,
    0x95, 0x2b, 0xa7, 0xf1, 0x63, 0xc4, 0xa1, 0x16, 0x28, 0xf5, 0x5a, 0x4d, 0xf5, 0x23, 0xb3, 0xef,
}};
/* keccak256("Approval(address,address,uint256)") */
static const Word APPROVAL = {{
    0x8c, 0x5b, 0xe1, 0xe5, 0xeb, 0xec, 0x7d, 0x5b, 0xd1, 0x4f, 0x71, 0x42, 0x7d, 0x1e, 0x84, 0xf3,
    0xdd, 0x03, 0x14, 0xc0, 0xf7, 0xb2, 0x29, 0x1e, 0x5b, 0x20, 0x0a, 0xc8, 0xc7, 0xc3, 0xb9, 0x25,
}};

/* Selectors: the first four bytes of the hash of a function's signature. */
enum {
    NAME = 0x06fdde03,
    SYMBOL = 0x95d89b41,
    DECIMALS = 0x313ce567,
    TOTAL_SUPPLY_OF = 0x18160ddd,
    BALANCE = 0x70a08231,
    ALLOWED = 0xdd62ed3e,
    INITIALIZE = 0xfe4b84df,
    MOVE = 0xa9059cbb,
    APPROVE = 0x095ea7b3,
    MOVE_FROM = 0x23b872dd,
};

uint32_t output_ptr, output_len;

static uint8_t input_buffer[256];
static uint8_t text_buffer[4 + 3 * sizeof(Word)];
static Word result;

/* Where the host puts `size` bytes of input: what no function of the token takes goes behind the rest of the memory. */
VMLOOM_EXPORT("allocate") void *allocate(uint32_t size) {
    if (size <= sizeof(input_buffer)) return input_buffer;
    uint32_t pages = size / 65536 + (size % 65536 != 0);
    uint32_t page = __builtin_wasm_memory_grow(0, pages);
    if (page == UINT32_MAX) __builtin_trap();
    return (void *)(page * 65536);
}

/* How functions end: 1 is success, 0 is revert. */

static int32_t answer(const void *data, uint32_t length) {
    output_ptr = (uint32_t)data;
    output_len = length;
    return 1;
}

static int32_t refuse(void) {
    output_len = 0;
    return 0;
}

/* A string of at most 32 bytes as Solidity encodes it, at `place`, which has zeros; how many bytes that is. */
static uint32_t put_text(uint8_t *place, const char *text) {
    uint8_t length = 0;
    while (text[length]) {
        place[2 * sizeof(Word) + length] = (uint8_t)text[length];
        length++;
    }
    place[sizeof(Word) - 1] = sizeof(Word);
    place[2 * sizeof(Word) - 1] = length;
    return 3 * sizeof(Word);
}

static int32_t answer_text(const char *text) { return answer(text_buffer, put_text(text_buffer, text)); }

static int32_t answer_one(void) {
    result = ONE;
    return answer(&result, sizeof result);
}

/* Revert as Solidity does: Error(string). */
static int32_t fail(const char *reason) {
    text_buffer[0] = 0x08, text_buffer[1] = 0xc3, text_buffer[2] = 0x79, text_buffer[3] = 0xa0;
    answer(text_buffer, 4 + put_text(text_buffer + 4, reason));
    return 0;
}

/* Words. */

static int is_zero(const Word *word) {
    uint8_t bits = 0;
    for (int i = 0; i < 32; i++) bits |= word->bytes[i];
    return bits == 0;
}

/* Add `amount` to `word`; whether that is too much for a word. */
static int add(Word *word, const Word *amount) {
    uint32_t carry = 0;
    for (int i = 31; i >= 0; i--) {
        carry += word->bytes[i] + amount->bytes[i];
        word->bytes[i] = (uint8_t)carry;
        carry >>= 8;
    }
    return carry != 0;
}

/* Subtract `amount` from `word`; whether it was less. */
static int subtract(Word *word, const Word *amount) {
    uint32_t borrow = 0;
    for (int i = 31; i >= 0; i--) {
        uint32_t difference = word->bytes[i] - amount->bytes[i] - borrow;
        word->bytes[i] = (uint8_t)difference;
        borrow = difference >> 31;
    }
    return borrow != 0;
}

static int is_address(const Word *word) {
    uint8_t bits = 0;
    for (int i = 0; i < 12; i++) bits |= word->bytes[i];
    return bits == 0;
}

/* Where Solidity keeps `mapping[key]`. */
static Word slot_of(const Word *mapping, const Word *key) {
    Word pair[2] = {*key, *mapping}, slot;
    vmloom_keccak256(pair, sizeof pair, &slot);
    return slot;
}

static Word slot_of_balance(const Word *holder) { return slot_of(&BALANCE_OF, holder); }

static Word slot_of_allowance(const Word *owner, const Word *spender) {
    Word of_owner = slot_of(&ALLOWANCE, owner);
    return slot_of(&of_owner, spender);
}

static int32_t answer_slot(const Word *slot) {
    vmloom_storage_load(slot, &result);
    return answer(&result, sizeof result);
}

static void emit(const Word *event, const Word *first, const Word *second, const Word *amount) {
    Topics topics = {*event, *first, *second};
    vmloom_emit(&topics, 3, amount, sizeof *amount);
}

/* The token. */

static int32_t initialize(const Word *caller, const Word *supply) {
    Word word;
    vmloom_storage_load(&INITIALIZED, &word);
    if (!is_zero(&word)) return fail("already initialized");
    vmloom_storage_store(&INITIALIZED, &ONE);
    vmloom_storage_store(&TOTAL_SUPPLY, supply);
    Word slot = slot_of_balance(caller);
    vmloom_storage_store(&slot, supply);
    emit(&TRANSFER, &NOBODY, caller, supply);
    return answer(0, 0);
}

static int32_t move(const Word *sender, const Word *receiver, const Word *amount) {
    Word slot, balance;
    if (is_zero(receiver)) return fail("transfer to nobody");
    slot = slot_of_balance(sender);
    vmloom_storage_load(&slot, &balance);
    if (subtract(&balance, amount)) return fail("insufficient balance");
    vmloom_storage_store(&slot, &balance);
    slot = slot_of_balance(receiver); /* read after the sender's is written: they may be the same */
    vmloom_storage_load(&slot, &balance);
    if (add(&balance, amount)) return fail("balance overflow");
    vmloom_storage_store(&slot, &balance);
    emit(&TRANSFER, sender, receiver, amount);
    return answer_one();
}

static int32_t move_from(const Word *caller, const Word *sender, const Word *receiver, const Word *amount) {
    Word allowed, slot = slot_of_allowance(sender, caller);
    vmloom_storage_load(&slot, &allowed);
    if (subtract(&allowed, amount)) return fail("insufficient allowance");
    vmloom_storage_store(&slot, &allowed);
    return move(sender, receiver, amount);
}

static int32_t approve(const Word *owner, const Word *spender, const Word *amount) {
    Word slot = slot_of_allowance(owner, spender);
    vmloom_storage_store(&slot, amount);
    emit(&APPROVAL, owner, spender, amount);
    return answer_one();
}

/* Whether the input has `count` arguments of which the first `addresses` are addresses. */
static int takes(uint32_t input_len, const Word *arguments, uint32_t count, uint32_t addresses) {
    if (input_len < 4 + count * sizeof(Word)) return 0;
    for (uint32_t i = 0; i < addresses; i++)
        if (!is_address(&arguments[i])) return 0;
    return 1;
}

VMLOOM_EXPORT("main") int32_t token(uint32_t input_len, const uint8_t *input, void *output) {
    (void)output;
    Word value, caller = NOBODY;
    vmloom_value(&value);
    if (input_len < 4 || !is_zero(&value)) return refuse();
    vmloom_caller(&caller.bytes[12]);
    uint32_t selector = (uint32_t)input[0] << 24 | (uint32_t)input[1] << 16 | (uint32_t)input[2] << 8 | input[3];
    const Word *arguments = (const Word *)(input + 4);
    Word slot;

    switch (selector) {
    case NAME:
        return answer_text("Loom");
    case SYMBOL:
        return answer_text("LOOM");
    case DECIMALS:
        result.bytes[31] = 18;
        return answer(&result, sizeof result);
    case TOTAL_SUPPLY_OF:
        return answer_slot(&TOTAL_SUPPLY);
    case BALANCE:
        if (!takes(input_len, arguments, 1, 1)) return refuse();
        slot = slot_of_balance(&arguments[0]);
        return answer_slot(&slot);
    case ALLOWED:
        if (!takes(input_len, arguments, 2, 2)) return refuse();
        slot = slot_of_allowance(&arguments[0], &arguments[1]);
        return answer_slot(&slot);
    case INITIALIZE:
        if (!takes(input_len, arguments, 1, 0)) return refuse();
        return initialize(&caller, &arguments[0]);
    case MOVE:
        if (!takes(input_len, arguments, 2, 1)) return refuse();
        return move(&caller, &arguments[0], &arguments[1]);
    case APPROVE:
        if (!takes(input_len, arguments, 2, 1)) return refuse();
        return approve(&caller, &arguments[0], &arguments[1]);
    case MOVE_FROM:
        if (!takes(input_len, arguments, 3, 2)) return refuse();
        return move_from(&caller, &arguments[0], &arguments[1], &arguments[2]);
    default:
        return refuse();
    }
}
