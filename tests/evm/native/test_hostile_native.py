"""Programs that mean harm, on guarded memory: what a step beyond a region would stop, and equal to the reference."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest
from vmloom import Account, MemoryState
from vmloom_evm.assembly import (
    Bytecode,
    add,
    balance,
    call,
    callcode,
    calldatacopy,
    calldataload,
    codecopy,
    codesize,
    create,
    create2,
    create_from,
    delegatecall,
    deployer,
    dup,
    eq,
    extcodecopy,
    extcodehash,
    extcodesize,
    gas,
    iszero,
    jump,
    jumpdest,
    jumpi,
    keccak256,
    label,
    log0,
    log4,
    mark,
    mload,
    msize,
    mstore,
    mstore8,
    op,
    pop,
    push,
    push0,
    raw,
    ret_top,
    return_,
    returndatacopy,
    returndatasize,
    revert,
    selfbalance,
    selfdestruct,
    sload,
    sstore,
    staticcall,
    swap,
    tload,
    tstore,
)
from vmloom_evm.forks import FORKS
from vmloom_evm.native.state import NativeState
from vmloom_evm.table import OPS
from vmloom_evm.testing import CONTRACT, EvmUnderTest
from vmloom_evm.trace.hooks import Tracer
from vmloom_evm.transaction.types import AccessListEntry

MAX = 2**256 - 1
OSAKA = FORKS["osaka"]
ROWS = sorted((row for row in OPS.values() if row.name in OSAKA.gas), key=lambda row: row.code)
CODE_LIMIT, INITCODE_LIMIT = 24_576, 49_152


# The guards


@pytest.mark.skipif(sys.platform != "linux", reason="other systems name the death otherwise")
@pytest.mark.parametrize("region", ["memory", "journal", "frames", "stack", "code"])
@pytest.mark.parametrize("beyond", [False, True])
def test_touching_a_byte_beyond_a_guarded_region_is_death(region: str, beyond: bool) -> None:
    program = """
import ctypes, sys
from vmloom_evm.native.state import NativeState
memory = NativeState(guarded=True).memory
region, beyond = sys.argv[1], int(sys.argv[2])
if region == "stack":
    end = memory.pages["stacks"].address + 1024 * 32
else:
    pages = memory.chunks[0] if region == "code" else memory.pages[region]
    end = pages.address + (pages.size + 7 & ~7)
ctypes.memset(end - 1 + beyond, 1, 1)
"""
    done = subprocess.run([sys.executable, "-c", program, region, str(int(beyond))], check=False)
    assert done.returncode == (-signal.SIGSEGV if beyond else 0)


# The stack


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_stack_that_is_too_low_or_too_high_for_an_instruction(pair: Any, row: Any) -> None:
    code = raw(bytes([row.code]) + bytes(row.immediate))
    rises = row.pushes > row.pops
    for depth in {row.pops - 1, row.pops, 1023, 1024}:
        if depth >= 0:
            outcome = pair.run(push0 * depth + code, gas=100_000)
            if depth < row.pops:
                assert outcome.error == "stack underflow"
            elif depth == 1024 and rises:
                assert outcome.error == "stack limit reached"
            else:
                assert outcome.error not in ("stack underflow", "stack limit reached")


def test_all_of_a_full_stack_is_kept(pair: Any) -> None:
    fill = Bytecode()
    for number in range(1, 1023):
        fill += push(number * 2**200)
    assert pair.run(fill + add * 1021 + ret_top()).output_int == sum(range(1, 1023)) * 2**200


# Memory

OFFSETS = [2**32 - 1, 2**32, 2**63, 2**64 - 1, 2**64, 2**255, MAX]
RANGES: dict[str, list[tuple[int, int]]] = {
    # where among the operands offset and size of a range stand
    "KECCAK256": [(0, 1)],
    "CALLDATACOPY": [(0, 2)],
    "CODECOPY": [(0, 2)],
    "EXTCODECOPY": [(1, 3)],
    "RETURNDATACOPY": [(0, 2)],
    "MCOPY": [(0, 2), (1, 2)],
    "LOG0": [(0, 1)],
    "LOG4": [(0, 1)],
    "CREATE": [(1, 2)],
    "CREATE2": [(1, 2)],
    "CALL": [(3, 4), (5, 6)],
    "CALLCODE": [(3, 4), (5, 6)],
    "DELEGATECALL": [(2, 3), (4, 5)],
    "STATICCALL": [(2, 3), (4, 5)],
    "RETURN": [(0, 1)],
    "REVERT": [(0, 1)],
}
OTHER_OPERANDS = {"CALL": {0: 5_000}, "CALLCODE": {0: 5_000}, "DELEGATECALL": {0: 5_000}, "STATICCALL": {0: 5_000}}


def with_range(name: str, place: tuple[int, int], offset: int, size: int) -> Bytecode:
    operands = [OTHER_OPERANDS.get(name, {}).get(number, 0) for number in range(op(name).pops)]
    operands[place[0]], operands[place[1]] = offset, size
    return op(name)(*operands)


@pytest.mark.parametrize(("name", "place"), [(name, place) for name, places in RANGES.items() for place in places])
def test_ranges_of_memory_that_cannot_be(pair: Any, name: str, place: tuple[int, int]) -> None:
    for huge in OFFSETS:
        for offset, size in ((huge, 1), (0, huge), (huge, huge), (1, huge)):
            assert not pair.run(with_range(name, place, offset, size), gas=10_000_000).success
    assert pair.run(with_range(name, place, MAX, 0)).error == ("execution reverted" if name == "REVERT" else "")


@pytest.mark.parametrize(("name", "place"), [(name, place) for name, places in RANGES.items() for place in places])
def test_ranges_around_the_end_of_memory(pair: Any, name: str, place: tuple[int, int]) -> None:
    """Memory has 64 bytes; what comes before the program is there after it, and what follows is zero."""
    for offset in (0, 31, 32, 33, 62, 63, 64, 65, 95, 96, 97):
        for size in (1, 2, 31, 32, 33, 64):
            program = mstore(0, MAX) + mstore(32, MAX) + with_range(name, place, offset, size) + return_(0, msize)
            pair.run(program, input=b"\xaa" * 7, gas=200_000)


@pytest.mark.parametrize("instruction", [mload, mstore8, mstore])
def test_words_of_memory_at_any_offset(pair: Any, instruction: Bytecode) -> None:
    for offset in (0, 1, 31, 32, 33, 2**15 - 32, 2**20 - 33, 2**20 - 32, 2**20 - 31, 2**20, *OFFSETS):
        outcome = pair.run(push(7) + push(offset) + instruction + keccak256(0, msize) + ret_top(), gas=10_000_000)
        assert outcome.success == (offset <= 2**20)


def test_memory_that_moves_under_frames_that_are_in_the_middle(pair: Any) -> None:
    """Every frame fills more than half a MiB and hashes it after its callee is done: the region moves several times."""
    size = 600_000
    program = (
        mstore(0, calldataload(0))
        + mstore(size, 7)
        + jumpi("end", iszero(calldataload(0)))
        + mstore(64, op("SUB")(calldataload(0), 1))
        + pop(call(CONTRACT, input=(64, 32), output=(96, 32)))
        + label("end")
        + mstore(128, keccak256(0, msize))
        + return_(128, 32)
    )
    assert pair.run(program, input=(9).to_bytes(32, "big"), gas=100_000_000).success


def test_init_code_moves_with_the_memory_in_which_it_lies(pair: Any) -> None:
    runtime = ret_top(5)
    init = mstore(3_000_000, 1) + pop(mload(6_000_000)) + jump("on") + raw(b"\xfe" * 40) + label("on")
    init += mstore(0, bytes(runtime)) + return_(32 - len(bytes(runtime)), len(bytes(runtime)))
    program = create_from(init) + mstore(0) + call(mload(0), output=(32, 32)) + pop + return_(0, 64)
    outcome = pair.run(program, gas=500_000_000)
    assert outcome.words[1] == 5


def test_return_data_larger_than_its_room(pair: Any) -> None:
    pair.deploy(mstore(500_000, 9) + return_(0, 500_032), 0xCA)
    program = pop(call(0xCA)) + returndatacopy(0, 0, returndatasize) + mstore(0, keccak256(0, msize)) + return_(0, 32)
    assert pair.run(program, gas=50_000_000).success


# Copies from what has an end

COPIES = {
    "CALLDATACOPY": lambda to, at, size: calldatacopy(to, at, size),
    "CODECOPY": lambda to, at, size: codecopy(to, at, size),
    "EXTCODECOPY": lambda to, at, size: extcodecopy(0xC0, to, at, size),
    "RETURNDATACOPY": lambda to, at, size: pop(call(0xCA)) + returndatacopy(to, at, size),
}


@pytest.mark.parametrize("name", COPIES)
@pytest.mark.parametrize("length", [0, 1, 31, 32, 33])
def test_copies_around_the_end_of_their_source(pair: Any, name: str, length: int) -> None:
    content = bytes(range(1, length + 1))
    pair.deploy(content, 0xC0)
    pair.deploy(codecopy(0, "data", length) + return_(0, length) + mark("data") + raw(content), 0xCA)
    for offset in (0, 1, length - 1, length, length + 1, 2**32, 2**64 - 1, 2**64, 2**64 + 1, MAX - 31, MAX):
        for size in (0, 1, length, length + 1, 64):
            if offset >= 0:
                program = mstore(0, MAX) + COPIES[name](3, offset, size) + return_(0, msize)
                outcome = pair.run(program, input=content)
                assert outcome.success == (name != "RETURNDATACOPY" or offset + size <= length)


@pytest.mark.parametrize("length", [0, 1, 31, 32, 33, 64])
def test_words_of_input_around_its_end(pair: Any, length: int) -> None:
    for offset in (0, 1, length, max(0, length - 1), max(0, length - 32), length + 1, 2**64 - 1, 2**64, 2**255, MAX):
        pair.run(ret_top(calldataload(offset)), input=b"\xab" * length)


# Code


@pytest.mark.parametrize("size", [*range(1, 71), 255, 256, 257])
def test_jumps_to_every_byte_of_code(pair: Any, size: int) -> None:
    """Half of it are JUMPDESTs, some of them in push data, and one ends the code."""
    head = bytes(jump(calldataload(0)))
    body = random.Random(size).choices(
        [b"\x5b", b"\x60", b"\x61", b"\x6f", b"\x7f", b"\x00"], [5, 1, 1, 1, 1, 2], k=size
    )
    code = head + b"".join(body[:-1]) + b"\x5b"
    allowed = destinations(code)
    evm = EvmUnderTest("native")
    evm.state = NativeState(guarded=True)  # type: ignore[assignment]
    for target in [*range(len(code) + 9), 2**64, 2**64 + 4, MAX]:
        outcome = evm.run(code, input=target.to_bytes(32, "big"))
        assert (outcome.error == "invalid jump destination") == (target not in allowed)


def destinations(code: bytes) -> set[int]:
    found, offset = set(), 0
    while offset < len(code):
        if code[offset] == 0x5B:
            found.add(offset)
        offset += 1 + max(0, code[offset] - 0x5F if 0x60 <= code[offset] <= 0x7F else 0)
    return found


@pytest.mark.parametrize("width", range(1, 33))
def test_push_whose_data_the_code_cuts_short(pair: Any, width: int) -> None:
    """The rest is zero, seen by a tracer; in the middle of other code, and at the end of a region."""
    opcode = bytes([0x5F + width])
    for present in {0, 1, width // 2, width - 1, width}:
        program = opcode + b"\xff" * present
        assert pair.run(program).success
        assert pair.run(create_from(program) + ret_top()).success
        seen: list[int] = []
        evm = EvmUnderTest("native")
        evm.state = NativeState(guarded=True)  # type: ignore[assignment]
        evm.run(program, tracers=[Tops(seen)])
        assert seen[-1] == int.from_bytes(b"\xff" * present + bytes(width - present), "big")


class Tops(Tracer):
    """Keeps what is on top of the stack after each instruction."""

    opcodes = None

    def __init__(self, seen: list[int]) -> None:
        self.seen = seen

    def after(self, frame: Any, opcode: int) -> None:
        if len(frame.stack):
            self.seen.append(frame.stack[-1])


@pytest.mark.parametrize("extra", [0, 1])
def test_code_of_the_greatest_size_is_deployed_and_runs(pair: Any, extra: int) -> None:
    size = CODE_LIMIT + extra
    body = bytes(jump(push(CODE_LIMIT - 1, 2)))
    runtime = body + b"\x7f" * (CODE_LIMIT - 1 - 32 - len(body)) + b"\x00" * 32 + b"\x5b" + b"\x00" * extra
    assert len(runtime) == size
    data = bytes(deployer(runtime))
    result = pair.transact(None, data=data, gas_limit=16_000_000)
    assert result.success == (extra == 0)
    if not extra:
        pair.deploy(runtime, 0xCA)
        assert pair.run(call(0xCA) + ret_top()).output_int in (0, 1)


@pytest.mark.parametrize("size", [INITCODE_LIMIT - 1, INITCODE_LIMIT, INITCODE_LIMIT + 1])
def test_init_code_of_the_greatest_size_runs(pair: Any, size: int) -> None:
    init = bytes(jump(push(size - 1, 2))).ljust(size - 1, b"\x5b") + b"\x5b"
    pair.deploy(init, 0xC0)
    for making in (create(0, 0, size), create2(0, 0, size, 1)):
        outcome = pair.run(extcodecopy(0xC0, 0, 0, size) + making + ret_top(), gas=20_000_000)
        assert outcome.success == (size <= INITCODE_LIMIT)
    how = {"data": init, "gas_limit": 16_000_000}
    if size > INITCODE_LIMIT:
        with pytest.raises(Exception, match="init"):
            pair.transact(None, **how)
    else:
        assert pair.transact(None, **how).success


def test_code_larger_than_any_that_is_deployed(pair: Any) -> None:
    pair.deploy(jump(push(INITCODE_LIMIT - 1, 2)) + jumpdest * (INITCODE_LIMIT - 4), 0xCA)
    pair.deploy(jumpdest * 300_000 + ret_top(7), 0xCB)
    assert pair.run(call(0xCB, output=(0, 32)) + pop + call(0xCA) + ret_top(), gas=10_000_000).output_int == 1


# Depth


def test_frames_to_the_limit_with_full_stacks_and_memory() -> None:
    """Each frame sums up its stack and checks its memory after its callee is done, and says how deep it is."""
    pushed = 1_000
    fill = Bytecode()
    for number in range(pushed):
        fill += push(number + 1)
    program = (
        mstore(1_000, gas)
        + mload(1_000)
        + fill
        + call(CONTRACT, output=(0, 32))
        + pop
        + add * (pushed - 1)
        + eq(pushed * (pushed + 1) // 2)
        + swap(1)
        + eq(mload(1_000))
        + op("AND")
        + jumpi("fine")
        + revert(0, 0)
        + label("fine")
        + ret_top(add(mload(0), 1))
    )
    for state in (NativeState(guarded=True), NativeState(source=MemoryState(), guarded=True)):
        evm = EvmUnderTest("native")
        evm.state = state  # type: ignore[assignment]
        assert evm.run(program, gas=2**62).output_int == 1_025


def test_limits_beyond_what_native_memory_is_made_for_are_kept() -> None:
    nesting = mstore(0, 0) + call(CONTRACT, output=(0, 32)) + pop + ret_top(add(mload(0), 1))
    assert EvmUnderTest("native", call_depth_limit=1_500).run(nesting, gas=2**62).output_int == 1_501
    assert EvmUnderTest("native", stack_limit=3_000).run(push0 * 3_000).success
    assert EvmUnderTest("native", stack_limit=3_000).run(push0 * 3_001).error == "stack limit reached"
    assert EvmUnderTest("native", call_depth_limit=3).run(nesting, gas=2**62).output_int == 4
    assert EvmUnderTest("native", stack_limit=5).run(push0 * 6).error == "stack limit reached"


def test_creations_to_the_limit(pair: Any) -> None:
    program = codecopy(0, 0, codesize) + create(0, 0, codesize) + ret_top()
    evm = EvmUnderTest("native")
    evm.state = NativeState(guarded=True)  # type: ignore[assignment]
    assert evm.run(program, gas=2**60).success
    assert len(list(evm.state.accounts())) == 1 + 1_024
    assert pair.run(program, gas=1_000_000).success


def test_calls_of_every_kind_within_each_other(pair: Any) -> None:
    for kind in (call, callcode, delegatecall, staticcall):
        program = pop(kind(CONTRACT, input=(0, 3), output=(0, 64))) + mstore(5, gas) + return_(0, 70)
        pair.run(program, gas=3_000_000)


# Floods


@pytest.mark.parametrize("address", [*range(1, 0x12), 0x100])
def test_flood_of_calls_of_a_precompile(pair: Any, address: int) -> None:
    """With inputs of every size up to a few words, whose bytes are the loop's counter and the gas left."""
    again = (
        mstore(0, gas)
        + mstore(32, dup(1))
        + pop(call(address, gas=50_000, input=(7, dup(3)), output=(64, 40)))
        + mstore(224, keccak256(0, msize))
    )
    loop = push(0) + label("on") + again + add(1) + jumpi("on", op("LT")(dup(1), 150)) + return_(224, 32)
    pair.run(loop, gas=1_500_000)


def test_flood_of_logs(pair: Any) -> None:
    pair.deploy(mstore(1_000, MAX) + label("on") + log4(3, 997, gas, 2, 3, 4) + log0(0, 0) + jump("on"), 0xCA)
    pair.deploy(push(60) + label("on") + log4(0, 999, dup(1), 2, 3, 4) + log_down("on"), 0xCB)
    outcome = pair.run(pop(call(0xCB)) + pop(call(0xCA, gas=500_000)) + pop(call(0xCB)) + log0(0, 5))
    assert len(outcome.events) == 121


def log_down(name: str) -> Bytecode:
    """Count the top of the stack down, and go on at `name` unless it is 0."""
    return op("SUB")(swap(1), 1) + jumpi(name, dup(1))


def test_flood_of_accounts_slots_and_transient_words(pair: Any) -> None:
    program = push(1) + label("on") + pop(balance(dup(1))) + sstore(dup(1), dup(1)) + tstore(dup(1), dup(1))
    program += pop(tload(dup(1))) + pop(extcodehash(dup(1))) + add(1) + jumpi("on", op("LT")(dup(1), 1_500))
    pair.deploy(program, 0xCA, storage={slot: slot for slot in range(0, 1_500, 3)})
    assert pair.run(pop(call(0xCA, gas=2_000_000)) + call(0xCA) + ret_top(), gas=60_000_000).output_int == 1


def test_chain_of_contracts_that_destroy_themselves(pair: Any) -> None:
    """Each is created in the transaction, and leaves what it has to the next."""
    program = push(80) + label("on") + create_from(selfdestruct(op("CALLER")), value=1) + pop
    program += create_from(deployer(selfdestruct(0xBEEF)), value=2) + mstore(0) + pop(call(mload(0), value=3))
    program += log_down("on")
    pair.deploy(program, CONTRACT, balance=10_000)
    assert pair.transact(gas_limit=16_000_000).success


def test_access_lists_of_thousands(pair: Any) -> None:
    entries = tuple(
        AccessListEntry(number.to_bytes(20, "big"), tuple(range(number % 4))) for number in range(2_000, 4_000)
    )
    pair.deploy(sstore(0, add(balance(2_005), sload(1))), CONTRACT)
    result = pair.transact(type=1, access_list=entries, gas_limit=16_000_000)
    assert result.success
    result = pair.transact(type=1, access_list=(AccessListEntry(CONTRACT, tuple(range(5_000))),), gas_limit=16_000_000)
    assert result.success


# Needs in the middle of instructions


class Counting(MemoryState):
    """Counts what is asked of it."""

    def __init__(self, accounts: dict[bytes, Account]) -> None:
        super().__init__(accounts)
        self.asked: Counter[Any] = Counter()

    def get_account(self, address: bytes) -> Account | None:
        self.asked[address] += 1
        return super().get_account(address)

    def get_storage(self, address: bytes, slot: int) -> int:
        self.asked[address, slot] += 1
        return super().get_storage(address, slot)


LOADING = (
    sstore(0, 1)
    + sstore(0, add(sload(0), sload(7)))
    + log4(0, 50, balance(0xB0), extcodehash(0xB1), extcodesize(0xB2), selfbalance)
    + extcodecopy(0xCA, 10, 0, 9)
    + pop(call(0xCA, value=3, input=(0, 9), output=(40, 9)))
    + pop(call(0xB3, value=1))
    + pop(callcode(0xCB, value=2))
    + pop(delegatecall(0xCC))
    + pop(staticcall(0xCD, gas=20_000))
    + pop(call(0xCD, gas=20_000))
    + pop(create(1, 0, 0))
    + pop(create2(2, 0, 0, 5))
    + pop(create_from(sstore(3, sload(1)) + selfdestruct(0xB5), value=4))
    + tstore(1, balance(0xB6))
    + ret_top(tload(1))
)


def test_instruction_that_has_to_load_something_happens_once(pair: Any) -> None:
    for number in range(0xCA, 0xCE):
        pair.deploy(sstore(1, add(sload(1), sload(2))) + log0(0, balance(0xB7)) + ret_top(gas), number, balance=7)
    pair.deploy(selfdestruct(0xB8), 0xCD)
    for size in (1_000_000, 700_000, 400_000, 250_000, 160_000, 100_000, 60_000, 30_000):
        pair.run(LOADING, balance=100, gas=size)
    pair.deploy(LOADING, CONTRACT, balance=100)
    assert pair.transact(max_fee_per_gas=3, max_priority_fee_per_gas=1, value=5).success


def test_nothing_is_loaded_twice() -> None:
    source = Counting({CONTRACT: Account(1, 100, bytes(LOADING))})
    evm = EvmUnderTest("native")
    evm.state = NativeState(source=source)  # type: ignore[assignment]
    assert evm.run(LOADING, balance=100).success
    assert evm.run(LOADING, balance=100).success
    words = {what: count for what, count in source.asked.items() if isinstance(what, tuple)}
    assert set(words.values()) == {1}
    accounts = {what: count for what, count in source.asked.items() if isinstance(what, bytes)}
    assert max(accounts.values()) <= 2  # a second time for whether it has storage


@pytest.mark.parametrize("known", [0, 1])
def test_creation_where_only_the_source_has_storage(known: int) -> None:
    """EIP-7610: such an address is taken, whether none or some of its words have been loaded."""
    target = EvmUnderTest().value_of(create2(0, 0, 0, 0)).to_bytes(20, "big")
    source = MemoryState({target: Account(balance=1)})
    source.set_storage(target, 5, 6)
    evm = EvmUnderTest("native", rules={"reject_storage_collision": True})
    state = evm.state = NativeState(source=source)  # type: ignore[assignment]
    if known:
        assert state.get_storage(target, 4) == 0
    assert evm.value_of(create2(0, 0, 0, 0)) == 0
    state.set_storage(target, 5, 0)
    assert evm.value_of(create2(0, 0, 0, 0)) == int.from_bytes(target, "big")


# Chance


@pytest.mark.parametrize("seed", range(40))
def test_random_bytes(pair: Any, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(6):
        code = chance.randbytes(chance.randrange(1, 300))
        pair.deploy(chance.randbytes(100), 0xCA)
        pair.run(code, gas=100_000, input=chance.randbytes(chance.randrange(80)), static=chance.random() < 0.1)
        pair.run(likely(chance) + raw(code), gas=300_000, balance=50)


def likely(chance: random.Random) -> Bytecode:
    """Instructions with operands of all sizes, mostly small."""
    parts = []
    for _ in range(chance.randrange(5, 40)):
        row = chance.choice(ROWS)
        for _ in range(row.pops):
            word = chance.choice([chance.randrange(100), 0xCA, chance.getrandbits(chance.choice([8, 16, 64, 256]))])
            parts.append(bytes(push(word)))
        if row.name not in ("STOP", "RETURN", "REVERT", "SELFDESTRUCT"):
            parts.append(bytes([row.code]) + chance.randbytes(row.immediate))
    return raw(b"".join(parts))


@pytest.mark.parametrize("seed", range(10))
def test_random_init_code(pair: Any, seed: int) -> None:
    chance = random.Random(1_000 + seed)
    for _ in range(5):
        data = bytes(likely(chance)) + chance.randbytes(40)
        pair.transact(None, data=data, gas_limit=1_000_000, value=chance.randrange(3))
        pair.run(create_from(data) + ret_top(), gas=2_000_000)
